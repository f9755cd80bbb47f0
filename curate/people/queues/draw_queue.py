"""Drawing of review queues of three kinds: rows for people, and the record of the draw.

- **errors**: the most likely and most costly errors first
  (:mod:`curate.people.queues.population`).
- **learn**: doubtful masks unlike each other (:mod:`curate.people.queues.sampling`).
- **estimate**: a random sample (:mod:`curate.people.queues.sampling`) of all masks that could ever
  be accepted, whatever the plan says of them now: those with status "ok" that are no crowd regions.
  Only masks of earlier random samples are left out; leaving out masks that people have seen for
  other reasons would leave out mostly bad ones.

Errors and learn leave out masks that people decided on, and the random samples, which nothing may
be learned from. What people see never says which masks are checks of themselves, and a random
sample comes without anything that hints at what the audit thinks of a mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from curate.common.ranges import BY_PRIORITY, BY_SECONDS, QUEUE_ORDERS, check_numbers
from curate.common.ranges import KINDS as KINDS
from curate.errors import AuditError, CallError
from curate.people.queues.look_times import LookTimes, measure_times
from curate.people.queues.population import (
    SECONDS_PER_MASK,
    DrawnMasks,
    PastReviews,
    QueueCandidates,
    ids_sql,
    queue_columns,
    queue_size,
)
from curate.people.queues.sampling import add_honeypots, add_overlap
from curate.people.reviews.recorded_draws import DrawSettings
from curate.policy.grammar import check_choice
from curate.store.audit import StoredAudit
from curate.store.audit_sql import column_types, dataset_version, quote_name

HINT_COLUMNS = ("rank", "priority", "quality_score", "action")
"""Columns whose order would betray a mask that was mixed in."""

BLIND_COLUMNS = (
    *("mask_id", "image_id", "file_name", "category", "category_id", "height", "width"),
    *("area_px", "bbox_x", "bbox_y", "bbox_w", "bbox_h", "source_key"),
)
"""What people see of a random sample: what finds the mask, nothing that judges it."""

_BATCH = 50_000


@dataclass(frozen=True)
class QueueDraw:
    """A queue that was drawn.

    Attributes:
        kind: One of :data:`KINDS`.
        rows: What people see, in order; ``place``, ``slot`` and ``queue_kind`` first.
        record: What is recorded of each row, see :mod:`curate.people.queues.sampling`.
        settings: What is recorded of the draw: seed, version of the dataset, population, strata,
            and so on; JSON-able.
    """

    kind: str
    rows: pd.DataFrame
    record: pd.DataFrame = field(repr=False)
    settings: DrawSettings

    def numbered_rows(self, draw_id: int) -> pd.DataFrame:
        """Return the rows shown to people, with the recorded number of the draw."""
        rows = self.rows.copy()
        rows.insert(0, "draw_id", draw_id)
        return rows


def draw_queue(
    audit: StoredAudit,
    *,
    kind: str = "errors",
    budget: int | None = None,
    minutes: float | None = None,
    seconds_per_mask: float = SECONDS_PER_MASK,
    actions: Sequence[str] | None = None,
    overlap: float = 0.0,
    honeypots: float = 0.0,
    known: pd.Series[Any] | None = None,
    already: PastReviews | None = None,
    seed: int = 0,
    whole_images: bool = False,
    order: str = BY_PRIORITY,
) -> QueueDraw:
    """Draw a queue; nothing is written.

    Args:
        audit: A finished audit.
        kind: "errors", "learn" or "estimate".
        budget: How many rows at most, those for a second person and the checks among them.
        minutes: How much time people have; with ``budget``, the smaller of both counts.
        seconds_per_mask: How long one mask takes.
        actions: Whose masks; of an errors queue those to review, of a learn queue all, if None.
        overlap: Share of the masks that a second person gets too (slot 1).
        honeypots: Share of the rows that are masks with a known answer.
        known: The answers, "accept" or "reject" by ``mask_id``.
        already: What was decided and drawn before.
        seed: Equal seeds draw equal queues.
        whole_images: Estimate: draw images, with all their masks.
        order: Errors: "priority", the most likely and most costly first, or "seconds", the most
            expected finds a second first (:mod:`curate.people.queues.look_times`).

    Raises:
        CallError: An argument is out of range, or two do not go together.
        AuditError: The audit has no plan, or no mask is left to draw.
    """
    types = column_types(audit)
    if "action" not in types:
        raise AuditError("no mask has an action yet", str(audit.path), "run `curate decide` first")
    _check_arguments(kind, actions, whole_images, overlap, honeypots, known)
    check_choice(order, "--order", QUEUE_ORDERS)
    if order != BY_PRIORITY and kind != "errors":
        what = f"--kind {kind} has an order of its own"
        raise CallError(what, f"--order {order}", "leave --order out")
    rows = queue_size(budget, minutes, seconds_per_mask)
    n = None if rows is None else max(1, int(rows * (1 - honeypots) / (1 + overlap) + 1e-9))
    if kind == "errors":
        actions = tuple(actions or ("review",))
    candidates = QueueCandidates(audit, types, already or PastReviews(), seed)
    times = measure_times(audit) if order == BY_SECONDS else None
    record, how = _draw_kind(candidates, kind, n, actions, whole_images, times)
    if times is not None:
        how = {**how, "order": order}
    record = add_overlap(record, overlap, seed)
    if honeypots and known is not None:
        known = candidates.eligible_honeypots(known, actions if kind == "errors" else None)
        record = add_honeypots(record, known, honeypots, seed)
    shown = show_drawn(audit, kind, record, checks=honeypots > 0)
    settings: DrawSettings = {"kind": kind, "seed": seed, "unit": "", **how}
    if (version := dataset_version(audit)) is not None:
        settings["dataset_version"] = version
    settings = {**settings, **_summarise(record, overlap, honeypots)}
    return QueueDraw(kind, shown, record, settings)


def show_drawn(
    audit: StoredAudit, kind: str, record: pd.DataFrame, *, checks: bool = False
) -> pd.DataFrame:
    """Return the rows of a draw as people see them, a row a place.

    Args:
        audit: The audit.
        kind: The draw's.
        record: Its rows, as they are recorded.
        checks: Whether there are masks with a known answer among them.
    """
    shown = _read_rows(audit, visible_columns(kind, column_types(audit), checks=checks), record)
    shown.insert(0, "place", record["place"])
    shown.insert(1, "slot", record["slot"])
    shown.insert(2, "queue_kind", kind)
    return shown


def _draw_kind(
    candidates: QueueCandidates,
    kind: str,
    n: int | None,
    actions: Sequence[str] | None,
    whole_images: bool,
    times: LookTimes | None,
) -> DrawnMasks:
    if kind == "errors":
        return candidates.errors(n, actions or (), times)
    if n is None:
        raise CallError("no budget is given", f"--kind {kind}", "give --budget or --minutes")
    if kind == "learn":
        return candidates.learn(n, actions)
    return candidates.images(n) if whole_images else candidates.masks(n)


def visible_columns(kind: str, types: Mapping[str, str], *, checks: bool) -> list[str]:
    """Return the columns of a queue that people see."""
    if kind == "estimate":
        return [name for name in BLIND_COLUMNS if name in types]
    return [name for name in queue_columns(types) if not (checks and name in HINT_COLUMNS)]


def _check_arguments(
    kind: str,
    actions: Sequence[str] | None,
    whole_images: bool,
    overlap: float,
    honeypots: float,
    known: pd.Series[Any] | None,
) -> None:
    check_choice(kind, "--kind", KINDS)
    if actions is not None and kind == "estimate":
        what = "an estimate is about all masks, whatever their action"
        raise CallError(what, "--kind estimate", "give no actions")
    if whole_images and kind != "estimate":
        raise CallError("whole images are for estimates", f"--kind {kind}", "leave it out")
    if whole_images and honeypots:
        what = "a mask with a known answer stands out among whole images"
        raise CallError(what, "--whole-images", "leave --honeypots out")
    check_numbers(overlap=overlap, honeypots=honeypots)
    if honeypots and (known is None or known.empty):
        what = "no mask has a known answer yet"
        do = "let two people review the same masks first (--overlap), or give a file of answers"
        raise CallError(what, "--honeypots", do)


def _summarise(record: pd.DataFrame, overlap: float, honeypots: float) -> DrawSettings:
    checks = int(record["honeypot"].notna().sum())
    twice = int((record["slot"] == 1).sum())
    return {
        "rows": len(record),
        "masks": len(record) - checks - twice,
        "overlap": {"share": overlap, "masks": twice},
        "honeypots": {"share": honeypots, "masks": checks},
    }


def _read_rows(audit: StoredAudit, names: Sequence[str], record: pd.DataFrame) -> pd.DataFrame:
    """Read what people see of the masks of a draw, in its order."""
    types = column_types(audit)
    ids = np.unique(record["mask_id"].to_numpy(np.int64))
    batches = [ids[k : k + _BATCH] for k in range(0, len(ids), _BATCH)]
    select = f"select {', '.join(map(quote_name, names))} from masks where"
    parts = [audit.query(f"{select} mask_id in ({ids_sql(batch)})") for batch in batches]
    found = pd.concat(parts) if parts else audit.query(f"{select} false")
    found = found.astype({name: "Int64" for name in names if "INT" in types[name]})
    return found.set_index("mask_id", drop=False).loc[record["mask_id"]].reset_index(drop=True)
