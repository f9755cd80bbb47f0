"""Status of an audit: what it is, what was decided, what is stale, what comes next; only read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pandas as pd
import pyarrow as pa

from curate import __version__
from curate.common.fingerprint import fingerprint
from curate.common.locks import find_holder
from curate.common.ranges import ACTIONS
from curate.dataset.notes import count_noun, short_version
from curate.errors import CurateError
from curate.people.guarantees.overrides import describe_certificate
from curate.people.queues.missing_proposals import ProposalCounts, count_proposals
from curate.people.reviews import has_reviews, open_reviews
from curate.people.reviews.current_plan import open_unwritten, read_added_masks
from curate.people.reviews.outcomes import describe_unsettled, unsettled_kind
from curate.policy.certificate_in_force import void_text
from curate.reporting.next_steps import NextStep, find_next_steps
from curate.store.audit import AnyAudit, StoredAudit, path_of
from curate.store.audit_files import count_parts
from curate.store.audit_info import COMPLETE, INFO, AuditInfo, any_info
from curate.store.audit_records import LearningRecord
from curate.store.engine_folder import resolve_audit

REPORT = "report.html"
"""The report's name in the audit directory."""

_NEWER = """
select count(*) from (select mask_id from standing where time > ?1 union
  select mask_id from decisions join withdrawn w using (decision_id)
  where decisions.time <= ?1 and w.time > ?1)
"""
"""Masks of which a decision was made, or an earlier one taken back, after a moment."""

_CHANGES = {"kept": "accepted", "removed": "rejected"}
"""How people's changes are called where they are counted; others are called as they are."""


@dataclass(frozen=True)
class DrawStatus:
    """A draw for review: its number, what it is for, its masks, and how many are decided."""

    number: int
    kind: str
    masks: int
    decided: int


@dataclass(frozen=True)
class AuditStatus:
    """Status of an audit.

    Attributes:
        path: The directory.
        state: "complete", "scoring" or "deciding": cut off there, unless somebody is at it.
        holder: Who is writing in it now; "" for nobody.
        source: The dataset's path.
        format: The dataset's format.
        version: The dataset's short version id; "" where it is not known.
        written: When ``audit.json`` was last written, in UTC.
        parts: Parts that are scored.
        masks: How many there are; None where not all are scored.
        images: How many there are, as well.
        actions: How many masks have each action, with people's decisions.
        changes: What people did to how many masks: "accepted", "rejected", "redrawn",
            "relabelled".
        bulk: Masks that were decided on in bulk.
        learned_from: Reviewed masks of the latest learning, whether it helped or not; 0 for none.
        unsettled: Masks on which people decided and did not settle, by why.
        added: Masks that people added.
        draws: All draws.
        certificate: Lines on the certificate in force and on how decisions stand to it.
        model: The quality model in force; "" for none.
        policy: The policy's name.
        stale: What does not hold any more, a sentence each.
        report: The report's path; None where there is none.
        inputs: Paths of what the audit was given, by name.
        source_is_there: Whether the dataset is where it was.
        proposals: Missing masks that detections propose, by what people made of them.
    """

    path: Path
    state: str
    holder: str
    source: str
    format: str
    version: str
    written: str
    parts: int
    masks: int | None
    images: int | None
    actions: Mapping[str, int]
    changes: Mapping[str, int]
    unsettled: Mapping[str, int]
    added: int
    draws: tuple[DrawStatus, ...]
    certificate: tuple[str, ...]
    model: str
    policy: str
    stale: tuple[str, ...]
    report: Path | None
    inputs: Mapping[str, str]
    source_is_there: bool
    proposals: ProposalCounts = field(default_factory=ProposalCounts)
    bulk: int = 0
    learned_from: int = 0

    @property
    def decided(self) -> int:
        """How many masks people have settled."""
        return sum(self.changes.values())

    def next_steps(self) -> tuple[NextStep, ...]:
        """Return the next steps, the most useful first."""
        return find_next_steps(self)

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        steps = [asdict(step) for step in self.next_steps()]
        found = asdict(self) | {"next": steps}
        found |= {"path": str(self.path), "decided": self.decided}
        return found | {"report": None if self.report is None else str(self.report)}

    def text(self) -> str:
        """Return the status as lines of text."""
        return "\n".join(line for line in self._lines() if line)

    def _lines(self) -> Iterator[str]:
        version = f", version {self.version}" if self.version else ""
        yield f"{self.path}: {self.format} {self.source}{version}"
        yield f"last written {self.written}"
        if self.holder:
            yield f"being written: {self.holder}"
        elif self.state != COMPLETE:
            yield f"interrupted while {self.state}: {count_noun(self.parts, 'part')} scored so far"
        if self.masks is not None and self.actions:
            shares = ", ".join(f"{self.actions.get(name, 0):,} {name}" for name in ACTIONS)
            images = count_noun(self.images or 0, "image")
            yield f"{count_noun(self.masks, 'mask')} in {images}: {shares}"
        yield self._people()
        yield self.proposals.text()
        for draw in self.draws:
            left = draw.masks - draw.decided
            rest = f", {left:,} left" if left else ", done"
            yield f"draw {draw.number} ({draw.kind}): {draw.decided:,} of {draw.masks:,}{rest}"
        yield f"policy {self.policy}" if self.policy else ""
        yield self.model
        yield from self.certificate
        yield from (f"stale: {text}" for text in self.stale)

    def _people(self) -> str:
        clauses = []
        if self.decided:
            did = ", ".join(f"{count:,} {name}" for name, count in self.changes.items())
            clauses.append(f"people decided on {count_noun(self.decided, 'mask')}: {did}")
        if self.bulk:
            clauses.append(f"{count_noun(self.bulk, 'mask')} decided on in bulk")
        if self.unsettled:
            clauses.append(f"not settled: {describe_unsettled(self.unsettled)}")
        if self.added:
            clauses.append(f"{count_noun(self.added, 'mask')} added")
        return "; ".join(clauses) or "nobody has decided on a mask yet" * (self.state == COMPLETE)


def status(audit: AnyAudit) -> AuditStatus:
    """Read the status of an audit, finished or not, without writing anything.

    Args:
        audit: The audit, or its directory; or that of an engine: its open round.

    Raises:
        AuditError: There is no audit, or it is damaged or of another version.
    """
    path = path_of(resolve_audit(audit))
    info = any_info(path)
    holder = find_holder(path)
    opened = open_unwritten(path) if info.state == COMPLETE else None
    people = opened.people() if opened else None
    stale = tuple(_find_stale(info, opened, people, path / REPORT))
    return _gather(path, info, opened, people, "" if holder is None else str(holder), stale)


def next_steps(audit: StoredAudit) -> tuple[NextStep, ...]:
    """Return the next steps on a finished audit once what is being done to it is done.

    Args:
        audit: The audit; its dataset is not looked at again.
    """
    return find_next_steps(_gather(audit.path, audit.info, audit, audit.people(), "", ()))


def _gather(
    path: Path,
    info: AuditInfo,
    opened: StoredAudit | None,
    people: pa.Table | None,
    holder: str,
    stale: tuple[str, ...],
) -> AuditStatus:
    source, report = Path(info.source.get("path", "")), path / REPORT
    return AuditStatus(
        path=path,
        state=info.state,
        holder=holder,
        source=str(source),
        format=info.source.get("format", ""),
        version=short_version(info.version) if info.version else "",
        written=find_moment(path),
        parts=count_parts(path),
        masks=info.mask_count,
        images=None if info.counts is None else info.counts["images"],
        actions=_count_actions(info, people),
        changes=_count_changes(people),
        unsettled=_count_unsettled(people),
        added=len(read_added_masks(opened)) if opened else 0,
        draws=_read_draws(opened),
        certificate=tuple(_describe_certificate(opened)),
        model=_describe_model(info),
        policy=str((info.policy or {}).get("name", "")),
        stale=stale,
        report=report if report.is_file() else None,
        inputs=dict(info.inputs),
        source_is_there=source.exists(),
        proposals=count_proposals(opened) if opened else ProposalCounts(),
        bulk=0 if people is None else people["decided_by"].to_pylist().count("bulk"),
        learned_from=_count_learned_from(info),
    )


def find_moment(path: Path) -> str:
    """Return when ``audit.json`` was last written, in UTC."""
    written = (path / INFO).stat().st_mtime
    return datetime.fromtimestamp(written, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _count_actions(info: AuditInfo, people: pa.Table | None) -> dict[str, int]:
    """Return how many masks have each action: the policy's, moved by people's decisions."""
    if info.counts is None or info.state != COMPLETE:
        return {}
    found = Counter(info.counts["actions"])
    if people is not None:
        found.subtract(Counter(people["policy_action"].to_pylist()))
        found.update(Counter(people["action"].to_pylist()))
    return {name: found.get(name, 0) for name in ACTIONS}


def _count_changes(people: pa.Table | None) -> dict[str, int]:
    if people is None:
        return {}
    pairs = zip(people["change"].to_pylist(), people["decided_by"].to_pylist(), strict=True)
    found = Counter(change for change, who in pairs if who == "person" and change != "unsettled")
    return {_CHANGES.get(name, name): count for name, count in sorted(found.items())}


def _count_unsettled(people: pa.Table | None) -> dict[str, int]:
    if people is None:
        return {}
    pairs = zip(people["change"].to_pylist(), people["reasons"].to_pylist(), strict=True)
    return dict(Counter(unsettled_kind(why) for change, why in pairs if change == "unsettled"))


def _read_draws(opened: StoredAudit | None) -> tuple[DrawStatus, ...]:
    if opened is None or not has_reviews(opened):
        return ()
    draws = open_reviews(opened).draws()
    columns = (draws[name].tolist() for name in ("draw_id", "kind", "masks", "decided"))
    rows = zip(*columns, strict=True)
    return tuple(DrawStatus(int(n), str(k), int(m), int(d)) for n, k, m, d in rows)


def _describe_certificate(opened: StoredAudit | None) -> list[str]:
    if opened is None:
        return []
    return describe_certificate(opened, len(read_added_masks(opened)))


def _describe_model(info: AuditInfo) -> str:
    if info.quality_model is None or info.learning is None:
        return ""
    n = info.learning["reviews"]
    return (
        f"quality model in force, {info.quality_model['outcome']} from "
        f"{count_noun(n['masks'], 'reviewed mask')}, {n['bad']:,} of them bad"
    )


def _count_learned_from(info: AuditInfo) -> int:
    if info.learning is None:
        return 0
    latest = cast(LearningRecord, info.learning.get("later", info.learning))
    return latest["reviews"]["masks"]


def _find_stale(
    info: AuditInfo, opened: StoredAudit | None, people: pa.Table | None, page: Path
) -> Iterator[str]:
    """Yield what does not hold any more."""
    yield from _find_changed_source(info)
    if info.tool_version not in (None, __version__):
        yield f"it was made by curate {info.tool_version}; this is {__version__}"
    if opened is None:
        return
    if not page.is_file():
        yield "there is no report.html"
    elif newer := _describe_newer(opened, page):
        yield f"report.html is older than {newer}"
    if text := void_text(info):
        yield text
    known = info.learning["reviews"]["masks"] if info.quality_model and info.learning else 0
    if people is not None and known and len(people) >= 2 * known:
        yield (
            f"the quality model was learned from {known:,} reviewed masks, and people have "
            f"decided on {len(people):,} by now"
        )


def _find_changed_source(info: AuditInfo) -> Iterator[str]:
    source, before = info.source.get("path"), info.source.get("fingerprint")
    if not source or not before:
        return
    try:
        if fingerprint(Path(source)) != before:
            yield f"the dataset {source} has changed since it was audited"
    except CurateError:
        yield f"the dataset {source} is not there any more"


def _describe_newer(opened: StoredAudit, page: Path) -> str:
    """Describe what people did since the report was written, in masks; "" for nothing."""
    if not has_reviews(opened):
        return ""
    written = page.stat().st_mtime
    moment = pd.Timestamp(written, unit="s", tz="UTC")
    with open_reviews(opened).connect() as connection:
        found = int(connection.execute(_NEWER, (int(written * 1e6),)).fetchone()[0])
    added = int((read_added_masks(opened)["time"] > moment).sum())
    parts = (
        f"people's decisions on {count_noun(found, 'mask')}" if found else "",
        count_noun(added, "added mask") if added else "",
    )
    return " and ".join(part for part in parts if part)
