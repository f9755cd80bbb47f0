"""Selection of the masks in the gallery, a few hundred of any number, and their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from curate.images import Rectangle
from curate.reporting.queries import Reason, ReportSource, kinds_sql, undecided_sql
from curate.rle import Runs, bbox, concat, decode_counts

MOST_CARDS = 126
"""Masks with a reason in the gallery of one page; a few without are added."""

MOST_PER_IMAGE = 3
"""Masks of one image that one reason shows, unless there are few images: a broken image should
not fill a gallery."""

MOST_BY_PEOPLE = 12

NO_REASON = -1
ACCEPTED = -2
NOT_SETTLED = -3
CHANGED = -4
KIND_NAMED = -5

REDRAWN_FROM = 2**63
"""What people redrew is drawn beside the mask before, with ids from here on: no mask of a dataset
has one."""


@dataclass(frozen=True)
class Pick:
    """One mask of the gallery.

    Attributes:
        group: Index of the reason it was chosen for, :data:`NO_REASON`, :data:`ACCEPTED`, by what
            people decided :data:`NOT_SETTLED`, :data:`CHANGED`, or, as an example of a kind of
            error that a verifier names, :data:`KIND_NAMED`.
        row: Its columns, without the segmentation.
    """

    group: int
    row: Mapping[str, Any]

    @property
    def mask_id(self) -> int:
        """The mask."""
        return int(self.row["mask_id"])


def choose(
    source: ReportSource, reasons: Sequence[Reason], named: Sequence[int] = ()
) -> list[Pick]:
    """Choose the worst masks for each reason, a mask only once, and some accepted ones beside.

    These are masks that nobody decided on; some of those that people changed or have not settled
    follow.

    A mask with several reasons stands with the rarest of them, which says most about it.

    Args:
        source: The audit.
        reasons: As :func:`curate.reporting.queries.reasons` gives them.
        named: Masks that stand for the kinds of error that a verifier names.
    """
    each = max(2, min(18, MOST_CARDS // max(1, len(reasons))))
    candidates = _worst(source, 3 * each) if reasons else []
    wanted: dict[int, int] = {}
    for reason in sorted(reasons, key=lambda r: (r.masks, r.index)):
        ids = [row["mask_id"] for row in candidates if row["kind"] == reason.kind]
        fresh = [i for i in ids if i not in wanted][:each]
        wanted |= dict.fromkeys(fresh, reason.index)
    others: dict[int, Sequence[int]] = {
        KIND_NAMED: named,
        NO_REASON: _find_unexplained(source),
        ACCEPTED: _find_accepted(source),
        NOT_SETTLED: _find_by_people(source, "change = 'unsettled'"),
        CHANGED: _find_by_people(source, "change in ('removed', 'redrawn', 'relabelled')"),
    }
    for group, chosen in others.items():
        wanted |= dict.fromkeys((i for i in chosen if i not in wanted), group)
    rows = {int(row["mask_id"]): row for row in _rows(source, wanted)}
    order = {mask_id: k for k, mask_id in enumerate(wanted)}
    last = len(reasons)  # masks that no reason names stand behind those of all reasons
    place = {i: (group if group >= 0 else last - group) for i, group in wanted.items()}
    kept = sorted(wanted, key=lambda i: (place[i], order[i]))
    return [Pick(wanted[i], rows[i]) for i in kept if i in rows]


def _worst(source: ReportSource, each: int) -> list[dict[str, Any]]:
    images = int(source.row("select count(*) n from images")["n"])
    most = max(MOST_PER_IMAGE, -(-each // max(1, images)))
    return source.rows(
        f"with spread as (select kind, mask_id, priority from ({kinds_sql(source)}) "
        "qualify row_number() over (partition by kind, image_id "
        f"order by priority desc nulls last, mask_id) <= {most}) "
        "select kind, mask_id from spread qualify row_number() over (partition by kind "
        f"order by priority desc nulls last, mask_id) <= {each} "
        "order by kind, priority desc nulls last, mask_id"
    )


def _find_unexplained(source: ReportSource) -> list[int]:
    """Return masks that are not accepted although no rule gives a reason."""
    if not {"action", "reasons"} <= source.masks.keys():
        return []
    return [
        int(row["mask_id"])
        for row in source.rows(
            "select mask_id from masks where action in ('review', 'reject') "
            "and coalesce(reasons, '') = '' "
            f"order by {source.column('priority', '0')} desc nulls last, mask_id limit 12"
        )
    ]


def _find_accepted(source: ReportSource) -> list[int]:
    """Return a few accepted masks at random (the same ones each time), to compare with."""
    if "action" not in source.masks:
        return []
    return [
        int(row["mask_id"])
        for row in source.rows(
            f"select mask_id from {undecided_sql(source)} where action = 'accept' "
            "and area_px > 0 order by hash(mask_id) limit 12"
        )
    ]


def _find_by_people(source: ReportSource, where: str) -> list[int]:
    """Return a few of the masks of which people decided something, at random but the same ones."""
    if not source.has_people:
        return []
    rows = source.rows(
        f"select mask_id from people where {where} order by hash(mask_id) limit {MOST_BY_PEOPLE}"
    )
    return [int(row["mask_id"]) for row in rows]


def _rows(source: ReportSource, ids: Iterable[int]) -> list[dict[str, Any]]:
    named = ", ".join(str(int(i)) for i in ids)
    if not named:
        return []
    left_out = "exclude (segmentation)" if "segmentation" in source.masks else ""
    return source.rows(f"select * {left_out} from masks where mask_id in ({named})")


def boxes_in(source: ReportSource, image_ids: Iterable[int]) -> pd.DataFrame:
    """Return mask_id, image_id and the box of every mask of some images."""
    named = ", ".join(str(int(i)) for i in sorted(set(image_ids)))
    return source.audit.query(
        "select mask_id, image_id, bbox_x, bbox_y, bbox_w, bbox_h from masks "
        f"where area_px > 0 and image_id in ({named or 'null'}) order by mask_id"
    )


def boxes_of(
    source: ReportSource, ids: Iterable[int]
) -> dict[int, tuple[float, float, float, float]]:
    """Return the boxes of some masks, XYWH."""
    named = ", ".join(str(int(i)) for i in sorted(set(ids)))
    rows = source.rows(
        "select mask_id, bbox_x, bbox_y, bbox_w, bbox_h from masks "
        f"where area_px > 0 and mask_id in ({named or 'null'})"
    )
    return {int(r["mask_id"]): (r["bbox_x"], r["bbox_y"], r["bbox_w"], r["bbox_h"]) for r in rows}


def runs_of(source: ReportSource, ids: Iterable[int]) -> tuple[dict[int, int], Runs]:
    """Return the runs of some masks, and where each stands among them."""
    named = ", ".join(str(int(i)) for i in sorted(set(ids)))
    frame = source.audit.query(
        "select mask_id, height, width, segmentation from masks "
        f"where mask_id in ({named or 'null'}) order by mask_id"
    )
    counts = [None if _missing(c) else bytes(c) for c in frame["segmentation"]]
    runs, _ = decode_counts(counts, frame["height"].to_numpy(), frame["width"].to_numpy())
    return {int(i): k for k, i in enumerate(frame["mask_id"])}, runs


@dataclass(frozen=True)
class RedrawnMasks:
    """Masks as people redrew them.

    Attributes:
        ids: By id of the mask before: an id from :data:`REDRAWN_FROM` on.
        boxes: By that id: the box, XYWH.
        runs: Their runs, in the order of ``ids``.
    """

    ids: Mapping[int, int]
    boxes: Mapping[int, Rectangle]
    runs: Runs | None = None

    def among(self, place: dict[int, int], runs: Runs) -> tuple[dict[int, int], Runs]:
        """Return other masks' places and runs with these behind them."""
        if self.runs is None:
            return place, runs
        own = {number: len(runs) + k for k, number in enumerate(self.ids.values())}
        return place | own, concat([runs, self.runs])


def read_redrawn(source: ReportSource, ids: Iterable[int]) -> RedrawnMasks:
    """Return those of some masks that people redrew."""
    named = ", ".join(str(int(i)) for i in sorted(set(ids)))
    if not source.has_people or not named:
        return RedrawnMasks({}, {})
    frame = source.audit.query(
        "select p.mask_id, m.height, m.width, p.segmentation from people p "
        "join masks m on m.mask_id = p.mask_id "
        f"where p.change = 'redrawn' and p.mask_id in ({named}) order by p.mask_id"
    )
    if not len(frame):
        return RedrawnMasks({}, {})
    counts = [None if _missing(c) else bytes(c) for c in frame["segmentation"]]
    runs, _ = decode_counts(counts, frame["height"].to_numpy(), frame["width"].to_numpy())
    numbers = {int(i): REDRAWN_FROM + k for k, i in enumerate(frame["mask_id"])}
    boxes = [(float(x), float(y), float(w), float(h)) for x, y, w, h in bbox(runs)]
    return RedrawnMasks(numbers, dict(zip(numbers.values(), boxes, strict=True)), runs)


def _missing(counts: Any) -> bool:
    return not isinstance(counts, bytes | bytearray | memoryview)
