"""Current plan, people's decisions over policy, model and certificate; masks that they added.

``people.parquet`` holds what came of people's decisions, a row a mask. It is brought up to date
whenever the plan is read, by resolving only the masks that decisions were added to or withdrawn
from since. Deleted or outdated, it is made anew; nothing stands in it that is not in
``reviews.sqlite`` and the parts.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.common import files
from curate.dataset.notes import count_noun
from curate.dataset.table import STRING
from curate.errors import AuditError
from curate.people.reviews.outcomes import distinct_names, resolve_outcomes, unsettled_kind
from curate.people.reviews.review_file import Reviews, has_reviews
from curate.people.reviews.review_settings import DecisionSettings
from curate.people.reviews.schema import BULK, FILE
from curate.scorers.reason_template import JOINT
from curate.store.audit import AnyAudit, StoredAudit
from curate.store.audit import open_audit as open_pinned
from curate.store.audit_files import to_frame, writing
from curate.store.audit_info import AuditInfo, read_info
from curate.store.people_overlay import PEOPLE, read_people
from curate.store.rows_by_id import rows_of

_STATE = b"curate"
_LAYOUT = 4
_PLAN = ("action", "reasons", "decided_by")
_ACTIONS = {"kept": "accept", "removed": "reject", "unsettled": "review"}

ADDED_COLUMNS = (
    *("image_id", "segmentation", "category", "reviewers", "time"),
    *("file_name", "height", "width", "image_key"),
)


class PlanState(NamedTuple):
    """Inputs of ``people.parquet``: it is up to date as long as none of them changes.

    Attributes:
        decision_id: The last decision.
        withdrawn_id: The last withdrawal.
        note_id: The last note.
        last_key: Key of the last decision: another one under its number is another file.
        rule: How people who disagree are resolved.
        plan: A short name of the plan that they override.
        layout: What columns the file has; another number whenever these change.
    """

    decision_id: int
    withdrawn_id: int
    note_id: int
    last_key: str
    rule: str
    plan: str
    layout: int


def open_audit(audit: AnyAudit) -> StoredAudit:
    """Open a finished audit; its plan is that of today whenever it is read.

    Where its directory cannot be written, the plan is that of the moment in which it is opened.

    Args:
        audit: Its directory; or an audit, to see what was decided on disk since it was opened.

    Raises:
        AuditError: There is none, it is of another version, or it was interrupted.
    """
    found = open_pinned(audit)
    if os.access(found.path, os.W_OK):
        return StoredAudit(found.path, found.info, update_plan)
    return StoredAudit(
        found.path, found.info, None, _resolve_in_memory(found)
    )  # what cannot be kept, is made


def open_unwritten(audit: AnyAudit) -> StoredAudit:
    """Open a finished audit with the plan of this moment, and write nothing into its directory.

    Raises:
        AuditError: As :func:`open_audit`.
    """
    found = open_pinned(audit)
    return StoredAudit(found.path, found.info, None, _resolve_in_memory(found))


def update_plan(audit: StoredAudit) -> None:
    """Bring ``people.parquet`` up to date with people's decisions.

    Raises:
        AuditError: The file of decisions cannot be used, or nothing can be written.
    """
    target = audit.path / PEOPLE
    pinned = StoredAudit(audit.path, audit.info)
    if not has_reviews(pinned):
        _refuse_lost_file(target)
        files.unlink(target, missing_ok=True)
        return
    found = _resolve_changes(pinned)
    if found is not None:
        _write(target, *found)


def _refuse_lost_file(target: Path) -> None:
    """Check that there were no decisions where the file of decisions is missing.

    Raises:
        AuditError: Somebody had.
    """
    try:
        lost = pq.read_metadata(target).num_rows if target.exists() else 0
    except (OSError, ValueError, pa.ArrowException):
        lost = 0
    if lost:
        what = f"people's decisions on {count_noun(lost, 'mask')} are gone: {FILE} is not there"
        do = f"put it back; to go on without them, remove {target.name} too"
        raise AuditError(what, str(target.parent), do)


def _resolve_in_memory(audit: StoredAudit) -> pa.Table:
    """Return the current outcomes where the audit's directory cannot be written."""
    if not has_reviews(audit):
        _refuse_lost_file(audit.path / PEOPLE)
        return pa.table({})
    found = _resolve_changes(audit)
    kept = read_people(audit.path) if found is None else _to_table(found[0])
    return pa.table({}) if kept is None else kept


def _resolve_changes(pinned: StoredAudit) -> tuple[pd.DataFrame, PlanState] | None:
    """Return the new content of ``people.parquet`` and its state; None where it is up to date."""
    before = _read_state(pinned.path / PEOPLE)
    info = read_info(pinned.path) or pinned.info  # another call may have changed it since
    settings = DecisionSettings.of(info)
    with Reviews(pinned).connect() as connection:
        now = _current_state(connection, settings.rule, info)
        if now == before:
            return None
        kept: pd.DataFrame | None = None
        changed: np.ndarray[Any, Any] | None = None
        if before is not None and _is_continued(connection, before, now):
            kept = to_frame(read_people(pinned.path)).set_index("mask_id")
            changed = _changed_masks(connection, before)
        fresh = resolve_outcomes(connection, settings.rule, changed)
    rows = _make_plan(pinned, fresh)
    if kept is not None and changed is not None:
        rows = pd.concat([kept[~kept.index.isin(changed)], rows])
    return rows.sort_index(), now


def find_unsettled_masks(audit: StoredAudit) -> dict[int, str]:
    """Return the masks that people's decisions do not settle, and why.

    Returns:
        By ``mask_id``, one of :data:`~curate.people.reviews.outcomes.UNSETTLED_KINDS`.

    Raises:
        AuditError: As :func:`update_plan`.
    """
    update_plan(audit)
    rows = read_people(audit.path)
    if rows is None:
        return {}
    rows = rows.filter(pc.equal(rows["change"], "unsettled"))
    reasons = zip(rows["mask_id"].to_pylist(), rows["reasons"].to_pylist(), strict=True)
    return {mask_id: unsettled_kind(reason) for mask_id, reason in reasons}


def _current_state(connection: sqlite3.Connection, rule: str, info: AuditInfo) -> PlanState:
    """Return the state that a file made now would have."""
    last = [
        int(connection.execute(f"select coalesce(max({name}_id), 0) from {table}").fetchone()[0])
        for name, table in (
            ("decision", "decisions"),
            ("withdrawn", "withdrawn"),
            ("note", "notes"),
        )
    ]
    plan = orjson.dumps(
        [info.policy, info.certified_line, info.judged_by, info.identity],
        option=orjson.OPT_SORT_KEYS,
    )
    stamp = hashlib.blake2b(plan, digest_size=8).hexdigest()
    last_key = _decision_key(connection, last[0])
    return PlanState(last[0], last[1], last[2], last_key, rule, stamp, _LAYOUT)


def _decision_key(connection: sqlite3.Connection, decision_id: int) -> str:
    sql = "select key from decisions where decision_id = ?"
    found = connection.execute(sql, (decision_id,)).fetchone()
    return str(found[0]) if found else ""


def _is_continued(connection: sqlite3.Connection, before: PlanState, now: PlanState) -> bool:
    """Return whether decisions were only added since: not so in a file restored from a backup."""
    same = (before.rule, before.plan) == (now.rule, now.plan)
    ids = ("decision_id", "withdrawn_id", "note_id")
    more = all(getattr(before, name) <= getattr(now, name) for name in ids)
    return same and more and _decision_key(connection, before.decision_id) == before.last_key


def _read_state(path: Path) -> PlanState | None:
    """Return the state of the file on disk; None where there is none, or it is unusable."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        return PlanState(**orjson.loads(metadata[_STATE]))
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowInvalid):
        return None


def _changed_masks(connection: sqlite3.Connection, since: PlanState) -> np.ndarray[Any, Any]:
    """Return the masks with new decisions, withdrawals or notes since a state, sorted."""
    rows = connection.execute(
        "select mask_id from decisions where decision_id > ?1 union "
        "select d.mask_id from withdrawn w join decisions d using (decision_id) "
        "where w.withdrawn_id > ?2 union "
        "select d.mask_id from notes n join decisions d using (decision_id) "
        "where n.note_id > ?3 order by 1",
        (since.decision_id, since.withdrawn_id, since.note_id),
    )
    return np.array([row[0] for row in rows], np.int64)


def _make_plan(audit: StoredAudit, found: pd.DataFrame) -> pd.DataFrame:
    """Return action, reasons and ``decided_by`` of masks that people decided on.

    A mask that cannot be read stays what the policy made of it, even if a person accepted it: a
    click does not give it pixels. Masks that the audit does not have any more are left out.
    """
    columns = ["image_id", "area_px", "action", "reasons", "decided_by"]
    own = rows_of(audit, "masks", "mask_id", found.index.to_numpy(np.int64), columns)
    if "decided_by" not in own:
        own = own.assign(decided_by="policy")
    own = own.set_index("mask_id").sort_index()
    found = found.reindex(own.index)
    change = found["change"].astype(object)
    blank = (own["area_px"] == 0).to_numpy(np.bool_) & change.isin(
        ("kept", "relabelled")
    ).to_numpy()
    action = change.map(_ACTIONS).fillna("accept").to_numpy(object)
    texts = found["said"].to_numpy(object)
    decider = np.where((found["queue_kind"] == BULK).to_numpy(np.bool_), "bulk", "person")
    policy = {name: own[name].astype(object).to_numpy() for name in _PLAN}
    stays = [
        f"{reasons}{JOINT if reasons else ''}{text}, but it has no readable pixel"
        for reasons, text in zip(policy["reasons"][blank], texts[blank], strict=True)
    ]
    reasons = texts.copy()
    reasons[blank] = stays
    plan = {
        "image_id": own["image_id"].to_numpy(np.int64),
        "action": pd.Series(np.where(blank, policy["action"], action), own.index, STRING),
        "reasons": pd.Series(reasons, own.index, STRING),
        "decided_by": pd.Series(np.where(blank, policy["decided_by"], decider), own.index, STRING),
        "policy_action": pd.Series(policy["action"], own.index, STRING),
    }
    others = found.drop(columns="said").astype({"people": "int64", "decision_id": "int64"})
    return pd.DataFrame(plan, index=own.index).join(others)


def _to_table(rows: pd.DataFrame) -> pa.Table:
    table = pa.Table.from_pandas(rows.drop(columns="reviewers"), preserve_index=True)
    names = [list(one) for one in rows["reviewers"]]
    table = table.append_column("reviewers", pa.array(names, pa.list_(pa.string())))
    return table.replace_schema_metadata(None)


def _write(target: Path, rows: pd.DataFrame, state: PlanState) -> None:
    table = _to_table(rows).replace_schema_metadata({_STATE: orjson.dumps(state._asdict())})
    files.remove_abandoned(target.parent)
    with writing(target) as temporary, files.open_file(temporary) as file:
        pq.write_table(table, file, compression="lz4", write_page_checksum=True)


def read_added_masks(audit: StoredAudit) -> pd.DataFrame:
    """Return the masks that people added to an audit's images, each once.

    The same pixels with the same category, added by several people, are one mask.

    Returns:
        In order of image and time: :data:`ADDED_COLUMNS`. ``segmentation`` is COCO counts,
        ``category`` None where nobody said, ``reviewers`` a list of names, ``time`` that of
        the last of them, ``image_key`` the image's place in the source ("" where not known).
    """
    nothing = pd.DataFrame(columns=list(ADDED_COLUMNS))
    if not has_reviews(audit):
        return nothing
    found = Reviews(audit).missing()
    if not len(found):
        return nothing
    found = found.assign(
        category=found["category"].astype(object).where(found["category"].notna(), None),
        segmentation=found["segmentation"].astype(object),
        reviewer=found["reviewer"].fillna(""),
    )
    ids = found["image_id"].to_numpy(np.int64)
    columns = ["file_name", "height", "width", "source_key"]
    images = rows_of(audit, "images", "image_id", ids, columns)
    images["image_key"] = images["source_key"].fillna("") if "source_key" in images else ""
    grouped = found.groupby(["image_id", "segmentation", "category"], dropna=False, sort=False)
    once = grouped.agg(reviewers=("reviewer", distinct_names), time=("time", "max")).reset_index()
    once["category"] = once["category"].astype(object).where(once["category"].notna(), None)
    once = once.merge(images, on="image_id")
    return once.sort_values(["image_id", "time"], kind="stable", ignore_index=True)[
        list(ADDED_COLUMNS)
    ]
