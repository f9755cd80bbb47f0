"""The gallery: the worst masks for each reason, and detections that no mask explains, drawn."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from curate.images import Box, ImageFolder, Rectangle, window
from curate.render.crops import DatasetImages
from curate.render.formatting import kind_of, number, score, title_of
from curate.render.mask_drawing import (
    Drawing,
    Painter,
    box_of,
    declared_of,
    point_of,
    read_finite,
    twin_kind,
    twin_of,
    twin_words,
)
from curate.reporting.distributions import Histogram
from curate.reporting.mask_selection import (
    REDRAWN_FROM,
    Pick,
    boxes_in,
    boxes_of,
    choose,
    read_redrawn,
    runs_of,
)
from curate.reporting.queries import Reason, ReportSource
from curate.rle import decode_counts

BYTES_FOR_PICTURES = 1_500_000
"""File size that all crops of a page share, before base64 adds a third."""

RARE = 0.1
"""A score is worth telling where at most this share of the masks has one as low."""

TELLING_SCORES = 2

REDRAWN = "as people redrew it"
"""Caption of the second outline of a redrawn mask."""

MOST_NEIGHBOURS = 24
THUMBS_A_REASON = 3

SHOWN_ELSEWHERE = (
    *("mask_id", "image_id", "category", "file_name", "height", "width", "segmentation"),
    *("action", "reasons", "priority", "rank", "status", "status_detail", "source_key"),
    *("bbox_x", "bbox_y", "bbox_w", "bbox_h", "area_px", "stability_curve"),
)
"""Columns that a card shows elsewhere, or not at all."""


@dataclass(frozen=True)
class Card:
    """One mask of the gallery, with all that its caption says.

    Attributes:
        groups: Indexes of all its reasons, for the filter.
        scores: (title, value) of its scores, the quality first, then the lowest first.
        facts: (column, value) of everything else known about it.
        twin: What the second outline is, in words.
        telling: (title, value, share of masks that have it as low) of its oddest scores.
    """

    pick: Pick
    drawing: Drawing | None
    reasons: Sequence[str]
    groups: Sequence[int]
    scores: Sequence[tuple[str, float]]
    facts: Sequence[tuple[str, str]]
    twin: str = ""
    telling: Sequence[tuple[str, float, float]] = ()

    @property
    def mask_id(self) -> int:
        """The mask."""
        return self.pick.mask_id


def cards(
    source: ReportSource,
    reasons: Sequence[Reason],
    images: ImageFolder | None,
    titles: Mapping[str, str],
    spread: Sequence[Histogram] = (),
    named: Sequence[int] = (),
) -> list[Card]:
    """Choose and draw the gallery.

    Args:
        source: The audit.
        reasons: As :func:`curate.reporting.queries.reasons` gives them.
        images: The pictures, or None.
        titles: Names of columns as people read them.
        spread: Histograms of the scores, to tell which of a mask's are unusually low.
        named: Masks that stand for the kinds of error that a verifier names.
    """
    picks = choose(source, reasons, named)
    if not picks:
        return []
    pictures = DatasetImages(images)
    redrawn = read_redrawn(source, (pick.mask_id for pick in picks))
    twins = {p.mask_id: redrawn.ids.get(p.mask_id) or twin_of(p.row) for p in picks}
    known = {i for i in twins.values() if i is not None and i < REDRAWN_FROM}
    twin_boxes = boxes_of(source, known) | dict(redrawn.boxes)
    windows = {p.mask_id: _window(p.row, twins[p.mask_id], twin_boxes) for p in picks}
    near = _neighbours(source, picks, windows, pictures)
    shown = {p.mask_id for p in picks} | known
    place, runs = redrawn.among(*runs_of(source, shown.union(*near.values())))
    painter = Painter(place, runs, pictures, BYTES_FOR_PICTURES // len(picks))
    kinds = {reason.kind: reason.index for reason in reasons}
    groups = {p.mask_id: (p.group, _groups(p, kinds)) for p in picks}
    thumbs = {i for reason in reasons for i in examples(reason.index, groups)}.union(named)
    drawings = {
        p.mask_id: painter.draw(
            p.row, box, twins[p.mask_id], near.get(p.mask_id, []), p.mask_id in thumbs
        )
        # One picture is open at a time, so masks of one picture are drawn together.
        for p in sorted(picks, key=lambda p: (str(p.row.get("file_name")), p.mask_id))
        if (box := windows[p.mask_id]) is not None
    }
    usual = {histogram.column: histogram for histogram in spread}
    found = [_card(p, drawings.get(p.mask_id), groups[p.mask_id][1], usual, titles) for p in picks]
    return [
        replace(card, twin=REDRAWN)
        if card.drawing and card.drawing.twin and card.pick.mask_id in redrawn.ids
        else card
        for card in found
    ]


def kinds_of_marks(cards: Sequence[Card]) -> set[str]:
    """Return the kinds of marks drawn on any card, for the key.

    They are copy, overlap and container (what the second outline is), redrawn, box and point.
    """
    drawings = [card.drawing for card in cards if card.drawing]
    found = {"box": any(d.boxes for d in drawings)}
    twins = {twin_kind(card.pick.row) for card in cards if card.twin and card.twin != REDRAWN}
    found |= dict.fromkeys(twins, True)
    found["redrawn"] = any(card.twin == REDRAWN for card in cards)
    found["point"] = any(d.points for d in drawings)
    return {kind for kind, there in found.items() if there}


def _window(row: Mapping[str, Any], twin: int | None, boxes: Mapping[int, Rectangle]) -> Box | None:
    point = point_of(row)
    mine = box_of(row) or declared_of(row)
    beside = boxes.get(twin) if twin is not None else None
    parts = [p for p in (mine, beside, (*point, 1.0, 1.0) if point else None) if p is not None]
    size = read_finite(row, ("width", "height"))
    return window((int(size[0]), int(size[1])), parts) if size else None


def _neighbours(
    source: ReportSource,
    picks: Sequence[Pick],
    windows: Mapping[int, Box | None],
    pictures: DatasetImages,
) -> dict[int, list[int]]:
    """Return the masks inside each window that has no picture to show the place."""
    bare = [p for p in picks if not pictures.has(p.row.get("file_name"))]
    if not bare:
        return {}
    by_image = dict(iter(boxes_in(source, (p.row["image_id"] for p in bare)).groupby("image_id")))
    found = {}
    for pick in bare:
        box, frame = windows[pick.mask_id], by_image.get(pick.row["image_id"])
        if box is not None and frame is not None:
            inside = _inside(frame, box)
            ids = inside.loc[inside["mask_id"] != pick.mask_id, "mask_id"]
            found[pick.mask_id] = [int(i) for i in ids[:MOST_NEIGHBOURS]]
    return found


def _inside(frame: pd.DataFrame, box: Box) -> pd.DataFrame:
    x, y = frame["bbox_x"], frame["bbox_y"]
    hit = (x < box.x + box.w) & (x + frame["bbox_w"] > box.x)
    hit &= (y < box.y + box.h) & (y + frame["bbox_h"] > box.y)
    return frame[hit]


def examples(index: int, groups: Mapping[int, tuple[int, Sequence[int]]]) -> list[int]:
    """Return the masks that stand for a reason in a list: those chosen for it before others.

    Args:
        index: The reason.
        groups: By mask id: the reason it was chosen for, and all its reasons.
    """
    having = [(own != index, k) for k, (own, every) in enumerate(groups.values()) if index in every]
    ids = list(groups)
    return [ids[k] for _, k in sorted(having)[:THUMBS_A_REASON]]


def _split_reasons(pick: Pick) -> list[str]:
    return [r.strip() for r in str(pick.row.get("reasons") or "").split("; ") if r.strip()]


def _groups(pick: Pick, kinds: Mapping[str, int]) -> list[int]:
    """Return the indexes of all reasons of a mask."""
    return sorted(
        {kinds[k] for k in map(kind_of, _split_reasons(pick)) if k in kinds} | {pick.group}
    )


def _card(
    pick: Pick,
    drawing: Drawing | None,
    groups: Sequence[int],
    usual: Mapping[str, Histogram],
    titles: Mapping[str, str],
) -> Card:
    values = [(c, v[0]) for c in usual if (v := read_finite(pick.row, (c,)))]
    lowest = sorted((v for v in values if v[0] != "quality_score"), key=lambda v: v[1])
    ordered = [v for v in values if v[0] == "quality_score"] + lowest
    return Card(
        pick=pick,
        drawing=drawing,
        reasons=_split_reasons(pick),
        groups=groups,
        scores=[(titles.get(c) or title_of(c), v) for c, v in ordered],
        facts=list(_facts(pick.row, usual)),
        telling=[(titles.get(c) or title_of(c), v, r) for c, v, r in _oddest_scores(lowest, usual)],
        twin=twin_words(pick.row) if drawing and drawing.twin else "",
    )


def _oddest_scores(
    values: Sequence[tuple[str, float]], usual: Mapping[str, Histogram]
) -> list[tuple[str, float, float]]:
    """Return the scores in which a mask is most unlike the rest: (column, value, rank share)."""
    ranked = [(c, v, usual[c].share_up_to(v)) for c, v in values]
    rare = sorted((r for r in ranked if r[2] <= RARE), key=lambda r: r[2])
    return rare[:TELLING_SCORES]


def _facts(row: Mapping[str, Any], scores: Container[str]) -> Iterable[tuple[str, str]]:
    for column, value in row.items():
        if value is None or value != value or column in SHOWN_ELSEWHERE or column in scores:
            continue
        yield column, number(value) if isinstance(value, int | float) else str(value)


@dataclass(frozen=True)
class Unexplained:
    """An image with detections that no mask explains."""

    image_id: int
    file_name: str
    count: int
    found: Sequence[str]
    drawing: Drawing | None


def draw_missing_masks(
    rows: Sequence[Mapping[str, Any]], images: ImageFolder | None, names: Mapping[int, str]
) -> list[Unexplained]:
    """Draw the detections that no mask explains on their images.

    Args:
        rows: As :func:`curate.reporting.tables.missing_masks` gives them.
        images: The pictures, or None.
        names: Categories by their numbers, for detectors that only tell a number.
    """
    nothing, _ = decode_counts([], [], [])
    painter = Painter({}, nothing, DatasetImages(images), 24_000)
    result = []
    for row in rows:
        seen = _detections(row.get("found"), names)
        drawing = painter.draw_boxes(row, [box for _, box in seen])
        words = [text for text, _ in seen if text]
        result.append(
            Unexplained(row["image_id"], str(row["file_name"]), int(row["n"]), words, drawing)
        )
    return result


def _detections(text: Any, names: Mapping[int, str], most: int = 40) -> list[tuple[str, Rectangle]]:
    try:
        entries = json.loads(text) if isinstance(text, str | bytes) and text else []
    except ValueError:
        return []
    found = []
    for entry in entries[:most] if isinstance(entries, list) else ():
        if not isinstance(entry, Mapping) or not entry.get("counted", True):
            continue
        box = _box_in(entry)
        if box is not None:
            confidence = read_finite(entry, ("score",))
            name = entry.get("category") or names.get(entry.get("category_id", -1), "")
            found.append(
                (f"{name} {score(confidence[0])}".strip() if confidence else str(name), box)
            )
    return found


def _box_in(entry: Mapping[str, Any]) -> Rectangle | None:
    box = entry.get("bbox", entry.get("box"))
    if isinstance(box, Sequence) and len(box) == 4:
        entry = dict(zip(("bbox_x", "bbox_y", "bbox_w", "bbox_h"), box, strict=True))
    return box_of(entry)
