"""Changes to each mask, and added ones, when a dataset is written: from plan and decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import IntArray
from curate.common.ranges import DUPLICATES
from curate.formats.edits import MASKS, OVERLAPS, Addition, Change, Edits, Stored
from curate.people.reviews.outcomes import DISPUTED, NOT_DRAWN, NOT_DRAWN_REASON
from curate.policy.grammar import check_choice
from curate.rle import area
from curate.store.audit import StoredAudit
from curate.store.audit_sql import column_types
from curate.store.people_overlay import DECIDED_BY_PEOPLE
from curate.store.rows_by_id import decode_masks, pair_iou
from curate.writing.added_masks import find_new
from curate.writing.format_losses import FormLoss, form_loss
from curate.writing.prune_plan import PruneOptions, PrunePlan

ROWS = (
    *("change", "mask_id", "source_key", "new_mask_id", "new_source_key", "image_id", "file_name"),
    *("category", "category_before", "iou", "stored_iou", "action", "decided_by", "reviewers"),
    *("time", "draw_id", "reason"),
)
"""Columns of :attr:`Changes.rows`."""

_WHO = "reviewers"
_NO_CHANGES: Mapping[str, Change] = MappingProxyType({})
_NUMBERS = ("mask_id", "new_mask_id", "image_id", "draw_id")
_IOUS = ("iou", "stored_iou")

_TOUCHED = """
select p.mask_id, m.source_key, m.image_id, m.file_name, {before} as category_before, m.height,
  m.width, m.reasons as reason, m.action, p.change, p.segmentation, p.category, p.iou, p.reviewers,
  p.time, p.draw_id, p.decided_by
from people p join masks m on p.mask_id = m.mask_id
where p.change in ('redrawn', 'relabelled'{kept}) order by m.mask_id
"""

_OF_AUDIT = (
    *("mask_id", "source_key", "image_id", "file_name", "category", "action", "decided_by"),
    "reasons",
)
_LEAVING = """
select {columns}{people} from masks m {join} {where} order by m.mask_id
"""

_CUT = """
select mask_id, source_key, image_id, file_name, category, height, width, segmentation, action,
  decided_by, reasons as reason
from masks where source_key in (select unnest(?))
"""

_EMPTIED = """
select image_id from masks group by image_id having bool_and(coalesce({dropped}, false))
"""

_WAITING = """
select m.mask_id, m.source_key, m.file_name, p.reviewers, m.reasons as reason,
  case when starts_with(m.reasons, ?) then ? else ? end as why
from people p join masks m on p.mask_id = m.mask_id
where p.change = 'unsettled' order by m.mask_id
"""


@dataclass(frozen=True)
class WriteOptions:
    """How a dataset is written as people left it; each is an argument of :func:`curate.write`.

    Raises:
        CallError: There is no such option.
    """

    masks: str = "same"
    overlap: str | None = None
    duplicates: str | None = None
    category: str | None = None
    attributes: bool = False

    def __post_init__(self) -> None:
        for name, value, known in (
            ("masks", self.masks, MASKS),
            ("overlap", self.overlap, OVERLAPS),
            ("duplicates", self.duplicates, DUPLICATES),
        ):
            check_choice(value, f"--{name}", known)


@dataclass(frozen=True)
class Changes:
    """All that changes, for the format and for people.

    Attributes:
        edits: What the format is asked to do.
        rows: A row a mask that is removed, redrawn, relabelled, added or cut (it loses pixels to
            one of these): :data:`ROWS`. ``mask_id`` and ``source_key`` are NA for added ones, which
            have ``new_mask_id`` and ``new_source_key`` once they are written. ``stored_iou`` is
            that of what is stored with what was meant, NaN where these are equal.
        waiting: A row a mask on which people have not settled and which stays as it is:
            ``mask_id``, ``source_key``, ``file_name``, ``reviewers``, ``reason``, and ``why``:
            one of :data:`~curate.people.reviews.outcomes.UNSETTLED_KINDS`.
        masks: How many masks the dataset holds now.
        left_out: Added masks that are left out because their object has a mask already.
        emptied: Images that lose all their masks and get none.
        form: What of it goes for format errors.
        plan: Which masks stay, where that is more than a matter of their actions; None else.
        voids: How many masks become void pixels, and are no masks of the dataset any more.
        renumbered: Ids of masks that have another one in what is written, by that in the audit.
    """

    edits: Edits = field(repr=False)
    rows: pd.DataFrame = field(repr=False)
    waiting: pd.DataFrame = field(repr=False)
    masks: int
    left_out: int
    emptied: int
    form: FormLoss
    plan: PrunePlan | None = field(default=None, repr=False)
    voids: int = 0
    renumbered: Mapping[int, int] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Return how many masks each change happens to, each mask under one heading.

        ``redrawn`` are those with a new category too, ``redrawn_and_relabelled`` says how many.
        """
        change, why = self.rows["change"], self.waiting["why"]
        removed = self.rows[change == "removed"]
        chosen = frozenset() if self.plan is None else self.plan.left_by_choice
        by_choice = removed["mask_id"].isin(chosen)
        left_by_choice, removed = int(by_choice.sum()), removed[~by_choice]
        rejected = removed["action"] == "reject"
        by_people = removed["decided_by"].isin(DECIDED_BY_PEOPLE)
        both = int((change == "redrawn and relabelled").sum())
        return {
            "removed_by_policy": int((rejected & ~by_people).sum()),
            "removed_by_people": int((rejected & by_people).sum()),
            "removed_for_review": int((removed["action"] == "review").sum()),
            "removed_accepted": int((removed["action"] == "accept").sum()),
            "removed_by_choice": left_by_choice,
            "ignored": int((change == "ignored").sum()),
            "redrawn": int((change == "redrawn").sum()) + both,
            "redrawn_and_relabelled": both,
            "relabelled": int((change == "relabelled").sum()),
            "added": int((change == "added").sum()),
            "cut": int((change == "cut").sum()),
            "unsettled": len(why),
            "disputed": int((why == DISPUTED).sum()),
            "not_drawn": int((why == NOT_DRAWN).sum()),
            "added_left_out": self.left_out,
        }

    @property
    def masks_after(self) -> int:
        """How many masks the written dataset will hold."""
        return self.masks - len(self.edits.drop) - self.voids + len(self.edits.add)


def changes(
    audit: StoredAudit,
    chosen: PruneOptions,
    options: WriteOptions,
    *,
    plan: PrunePlan | None = None,
    agreed: bool = False,
) -> Changes:
    """Work out what changes in an audited dataset.

    Args:
        audit: The audit; all of it is taken to be of one moment (see ``Audit.pin``).
        chosen: Which masks are asked to stay.
        options: How it is to be written.
        plan: Which masks stay; None where they leave by their action alone.
        agreed: Whether masks with format errors are to go, however many they are.

    Raises:
        CallError: An added mask has no place to go to.
        DuplicateError: An added mask is of an object that has one, and nothing says what to do.
    """
    people = audit.has_people()
    removed = find_leaving(audit, chosen.gone_sql, plan)
    touched = _find_changed(audit, options) if people else pd.DataFrame()
    if len(touched):
        gone = removed["mask_id"][removed["change"] == "removed"]
        touched = touched[~touched["mask_id"].isin(gone)].reset_index(drop=True)
    leaving = removed["mask_id"]
    added, left_out = find_new(audit, leaving, touched, options.category, options.duplicates)
    edits = make_edits(removed, _changes_of(touched, options))
    edits = replace(
        edits, add=_additions_of(added, options), masks=options.masks, overlap=options.overlap
    )
    if len(touched):  # a mask that becomes an ignore region is one, whatever else changes in it
        touched = touched[~touched["mask_id"].isin(removed["mask_id"])]
    rows = [to_rows(frame) for frame in (removed, touched, added) if len(frame)]
    shown = pd.concat(rows, ignore_index=True) if rows else to_rows(pd.DataFrame())
    listed = shown[shown["change"] != "kept"].reset_index(drop=True)
    numbers = audit.query("select count(*) as masks from masks")["masks"]
    waiting = _find_waiting(audit, removed) if people else pd.DataFrame(columns=["why"])
    emptied = _find_emptied(audit, chosen.gone_sql) if plan is None else plan.emptied
    if len(added):
        emptied = np.setdiff1d(emptied, added["image_id"].to_numpy(np.int64))
    total, lost = int(numbers.iloc[0]), form_loss(audit, chosen.gone_sql, agreed=agreed)
    return Changes(edits, listed, waiting, total, left_out, len(emptied), lost, plan)


def find_leaving(audit: StoredAudit, gone: str, plan: PrunePlan | None) -> pd.DataFrame:
    """Return the masks that are removed or become ignore regions, by ascending id.

    Args:
        audit: The audit.
        gone: SQL of the masks that leave by their action.
        plan: Which masks stay; None where they leave by their action alone.
    """
    people = audit.has_people()
    joined = "left join people p on p.mask_id = m.mask_id" if people else ""
    named = ", p.reviewers, p.time, p.draw_id" if people else ""
    where = f"where m.{gone}" if plan is None else ""
    types = column_types(audit)
    columns = ", ".join(f"m.{name}" for name in _OF_AUDIT if name in types)
    sql = _LEAVING.format(columns=columns, people=named, join=joined, where=where)
    found = audit.query(sql).rename(columns={"reasons": "reason"})
    return found.assign(change="removed") if plan is None else plan.leaving(found)


def make_edits(leaving: pd.DataFrame, change: Mapping[str, Change] = _NO_CHANGES) -> Edits:
    """Return the edits of masks that are removed or become ignore regions, and of others.

    Args:
        leaving: As :func:`find_leaving` gives it.
        change: Changes of masks that are not removed, by source key.
    """
    keys = leaving["source_key"].astype(str)
    ignored = keys[leaving["change"] == "ignored"]
    regions = {key: replace(change.get(key, Change()), ignore=True) for key in ignored}
    drop = frozenset(keys[leaving["change"] == "removed"])
    return Edits(drop=drop, change={**change, **regions})


def _find_emptied(audit: StoredAudit, dropped: str) -> IntArray:
    found = audit.query(_EMPTIED.format(dropped=dropped))["image_id"]
    return found.to_numpy(np.int64)


def with_stored(audit: StoredAudit, found: Changes, stored: Stored) -> Changes:
    """Return the changes with the IoU of masks that a format could not hold to the pixel."""
    if not stored.held:
        return found
    rows = found.rows.copy()
    keys = [key for key in stored.held if isinstance(key, str)]
    frame = audit.query(_CUT, [keys]).assign(change="cut").set_index("source_key", drop=False)
    records = {str(row["source_key"]): row for row in frame.to_dict("records")}
    added = np.flatnonzero((rows["change"] == "added").to_numpy(np.bool_))
    cut = []
    for key, counts in stored.held.items():
        if isinstance(key, int):
            one = found.edits.add[key]
            at, meant, size = int(added[key]), one.counts, (one.height, one.width)
        else:
            row, change = records[key], found.edits.change.get(key)
            new = None if change is None else change.counts
            meant = bytes(row["segmentation"]) if new is None else new
            size = int(row["height"]), int(row["width"])
            here = np.flatnonzero((rows["source_key"] == key).to_numpy(np.bool_))
            at = int(here[0]) if len(here) else -1
        iou, text = describe_loss(meant, counts, size)
        if at < 0:
            cut.append(
                frame.loc[[key]].assign(stored_iou=iou, reason=append_reason(row["reason"], text))
            )
        else:
            rows.loc[at, "stored_iou"] = iou
            rows.loc[at, "reason"] = append_reason(rows.loc[at, "reason"], text)
    made = [to_rows(one) for one in cut]
    return replace(found, rows=pd.concat([rows, *made], ignore_index=True) if made else rows)


def describe_loss(meant: bytes, held: bytes, size: tuple[int, int]) -> tuple[float, str]:
    """Return the IoU of what is stored with what was meant, and how many pixels it lacks in words.

    Args:
        meant: COCO compressed counts.
        held: Those of what is stored.
        size: Height and width of the image in pixels.
    """
    height, width = (np.array([side], np.int64) for side in size)
    a, b = (decode_masks([counts], height, width)[0] for counts in (meant, held))
    iou, before, after = float(pair_iou(a, b)[0]), int(area(a)[0]), int(area(b)[0])
    return iou, f"other masks have {before - after:,} of its {before:,} pixels (IoU {iou:.4f})"


def append_reason(reason: Any, text: str) -> str:
    """Return reasons with one more behind them; what is no text, or empty, is none."""
    return f"{reason}; {text}" if isinstance(reason, str) and reason else text


def _find_waiting(audit: StoredAudit, leaving: pd.DataFrame) -> pd.DataFrame:
    found = audit.query(_WAITING, [NOT_DRAWN_REASON, NOT_DRAWN, DISPUTED])
    found = found[~found["mask_id"].isin(leaving["mask_id"])].reset_index(drop=True)
    return found.assign(reviewers=to_name_lists(found[_WHO]))


def _find_changed(audit: StoredAudit, options: WriteOptions) -> pd.DataFrame:
    """Return the masks that people redrew or relabelled; with attributes all that they decided."""
    kept = ", 'kept'" if options.attributes else ""
    before = "m.category"
    if "category_id" in column_types(audit):
        before = f"coalesce({before}, cast(m.category_id as varchar))"  # it is named by its number
    found = audit.query(_TOUCHED.format(kept=kept, before=before))
    for name in ("segmentation", "category"):
        found[name] = found[name].astype(object).where(found[name].notna(), None)
    found.loc[(found["category"] == found["category_before"]).fillna(False), "category"] = None
    new_pixels, new_name = found["segmentation"].notna(), found["category"].notna()
    change = found["change"].where(~(new_pixels & new_name), "redrawn and relabelled")
    change = change.where(new_pixels | new_name, "kept")  # relabelled to what it was
    found = found.assign(change=change)
    return found if options.attributes else found[change != "kept"].reset_index(drop=True)


def _changes_of(touched: pd.DataFrame, options: WriteOptions) -> dict[str, Change]:
    return {
        str(row["source_key"]): Change(
            counts=None if row["segmentation"] is None else bytes(row["segmentation"]),
            category=row["category"],
            attributes=_attributes(row) if options.attributes else {},
        )
        for row in touched.to_dict("records")
    }


def _attributes(row: Mapping[Any, Any]) -> dict[str, str]:
    """Return the attributes of a mask: the same names as in the provenance."""
    when = pd.Timestamp(row["time"]).isoformat(timespec="seconds") if row["time"] else ""
    noted = {"curate_change": row["change"], "curate_reviewers": ", ".join(row["reviewers"])}
    return {name: str(value) for name, value in (noted | {"curate_time": when}).items() if value}


def _additions_of(added: pd.DataFrame, options: WriteOptions) -> list[Addition]:
    return [
        Addition(
            image_key=str(row["image_key"]),
            counts=bytes(row["segmentation"]),
            height=int(row["height"]),
            width=int(row["width"]),
            category=row["category"],
            attributes=_attributes(row) if options.attributes else {},
        )
        for row in added.to_dict("records")
    ]


def to_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the columns :data:`ROWS`, NA where it has none."""
    if "category_before" in frame:
        category = frame["category"].where(frame["category"].notna(), frame["category_before"])
        frame = frame.assign(category=category)
    made = frame.reindex(columns=list(ROWS)).reset_index(drop=True)
    made = made.astype(dict.fromkeys(_NUMBERS, "Int64"))
    for name in _IOUS:
        made[name] = pd.to_numeric(made[name], errors="coerce").astype("float64")
    made["time"] = pd.to_datetime(made["time"], utc=True)
    made[_WHO] = to_name_lists(made[_WHO])
    other = (*_NUMBERS, *_IOUS, "time", _WHO)
    return made.astype({name: "str" for name in ROWS if name not in other})


def to_name_lists(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column of lists of names, as Arrow and DuckDB give them, as plain lists."""
    lists = [list(one) if isinstance(one, list | tuple | np.ndarray) else [] for one in column]
    return pd.Series(lists, column.index, object)
