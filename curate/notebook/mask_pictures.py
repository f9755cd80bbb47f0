"""Masks drawn on crops of their pictures, for Python: the pixels' own outlines, seen in context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from curate.common.arrays import IntArray
from curate.common.paths import AnyPath, check_folder
from curate.errors import CallError, CurateError
from curate.images import Box, ImageFolder, Rectangle, window
from curate.notebook.mask_html import MaskGallery, MaskView
from curate.notebook.row_selection import known_columns, parse_condition, select_rows
from curate.render.crops import SHOWN_BYTES, DatasetImages
from curate.render.mask_drawing import (
    SHOWN_PX,
    box_of,
    declared_of,
    point_of,
    read_finite,
    twin_of,
    twin_words,
)
from curate.render.outline_path import MOST_SAMPLES, sample
from curate.reporting.mask_selection import boxes_of, read_redrawn, runs_of
from curate.reporting.methods import glossary
from curate.reporting.queries import ReportSource
from curate.rle import Runs
from curate.rle.outlines import outlines
from curate.store.audit import StoredAudit
from curate.store.known_pictures import open_pictures

MOST_DRAWN = 500
"""Masks in a gallery, at most."""

_COUNT = "select count(*) as n from masks"

REDRAWN = "as people redrew it"
"""What the second outline of a redrawn mask is."""


def draw_masks(
    audit: StoredAudit, mask_ids: Sequence[int], images: AnyPath | None = None
) -> list[MaskView]:
    """Draw masks on crops of their pictures, in the order of their ids' list.

    Args:
        audit: The audit.
        mask_ids: Which masks.
        images: Folder of the pictures; where the audit had them if None. Masks whose picture is not
            there are drawn on a plain ground.

    Raises:
        CurateError: There is no such mask, or no such folder.
    """
    check_folder(images)
    source = ReportSource(audit.pin())
    rows = _read_rows(source, mask_ids)
    drawing = _Drawing(source, rows, _open_folder(audit, images))
    # One picture is open at a time, so masks of one picture are drawn together.
    by_picture = sorted(rows, key=lambda i: (str(rows[i].get("file_name")), i))
    drawn = {mask_id: drawing.draw(mask_id) for mask_id in by_picture}
    return [drawn[mask_id] for mask_id in mask_ids]


def draw_gallery(
    audit: StoredAudit, where: str | None, limit: int, images: AnyPath | None = None
) -> MaskGallery:
    """Draw masks of which a condition holds, the first of the queue first.

    Args:
        audit: The audit.
        where: The condition; None for all masks.
        limit: Masks drawn, at most :data:`MOST_DRAWN`.
        images: As in :func:`draw_masks`.

    Raises:
        CurateError: The condition does not follow the grammar, or the limit is out of range.
    """
    if not 1 <= limit <= MOST_DRAWN:
        raise CallError(f"a gallery of {limit} masks cannot be drawn", "", f"1 to {MOST_DRAWN}")
    known = known_columns(audit, "masks")
    order = "rank" if "rank" in known else "mask_id"
    if where is None:
        ids = audit.query(f"select mask_id from masks order by {order}, mask_id limit {int(limit)}")
        first, total = ids["mask_id"].tolist(), int(audit.query(_COUNT)["n"].iloc[0])
    else:
        found = select_rows(audit, "masks", parse_condition(audit, "masks", where), ["rank"])
        if "rank" in found:
            found = found.sort_values("rank", kind="stable")
        first, total = found.index[:limit].tolist(), len(found)
    return MaskGallery(draw_masks(audit, first, images), total, where or "")


def _read_rows(source: ReportSource, mask_ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    """Return the columns of masks by id, without their pixels.

    Raises:
        CallError: There is no such mask.
    """
    wanted = [int(mask_id) for mask_id in mask_ids]
    if not wanted:
        return {}
    left_out = "exclude (segmentation)" if "segmentation" in source.masks else ""
    listed = ", ".join(map(str, wanted))
    found = source.rows(f"select * {left_out} from masks where mask_id in ({listed})")
    rows: dict[int, Mapping[str, Any]] = {int(row["mask_id"]): row for row in found}
    for mask_id in wanted:
        if mask_id not in rows:
            do = "audit.masks(['category']) lists the ids"
            raise CallError(f"there is no mask {mask_id}", str(source.audit.path), do)
    return rows


def _open_folder(audit: StoredAudit, images: AnyPath | None) -> ImageFolder | None:
    """Return the folder of the pictures; None where the audit had none, or they are gone."""
    folder = images or audit.info.inputs.get("images")
    if not folder:
        return None
    try:
        return open_pictures(audit, Path(folder), SHOWN_BYTES)
    except CurateError:
        if images is not None:
            raise
        return None


@dataclass(frozen=True)
class _Outline:
    """A mask that can be drawn: its place among the runs."""

    runs: Runs
    index: int

    def rings(self, box: Box, size: tuple[int, int]) -> list[IntArray]:
        """Return its rings inside a window, in pixels from the window's corner.

        Exactly along the edges of the pixels; of windows over :data:`MOST_SAMPLES` pixels wide,
        of blocks of pixels. None for a mask on a canvas of another size.
        """
        if (self.runs.widths[self.index], self.runs.heights[self.index]) != size:
            return []
        step = max(1, -(-box.longest // MOST_SAMPLES))
        return [ring * step for ring in outlines(sample(self.runs, self.index, box, step))]


def draw_rings(view: MaskView, runs: Runs, index: int) -> list[IntArray]:
    """Return the rings of another mask of the same image, in pixels from the window's corner."""
    size = (int(runs.widths[index]), int(runs.heights[index]))
    return [] if view.box is None else _Outline(runs, index).rings(view.box, size)


def _shift(declared: Rectangle | None, box: Box | None) -> Rectangle | None:
    """Return a box in pixels from a window's corner."""
    if declared is None or box is None:
        return None
    return (declared[0] - box.x, declared[1] - box.y, declared[2], declared[3])


class _Drawing:
    """Runs, boxes and pictures of some masks and of those drawn beside them."""

    def __init__(
        self,
        source: ReportSource,
        rows: Mapping[int, Mapping[str, Any]],
        folder: ImageFolder | None,
    ) -> None:
        self.rows, self.pictures = rows, DatasetImages(folder)
        self.titles = {term.column: term.title for term in glossary(source)}
        self.scores = source.score_columns()
        redrawn = read_redrawn(source, rows)
        self.redrawn = redrawn.ids
        self.twins = {i: redrawn.ids.get(i) or twin_of(row) for i, row in rows.items()}
        beside = {t for i, t in self.twins.items() if t is not None and i not in redrawn.ids}
        self.boxes = boxes_of(source, beside) | dict(redrawn.boxes)
        self.place, self.runs = redrawn.among(*runs_of(source, beside.union(rows)))

    def draw(self, mask_id: int) -> MaskView:
        """Return the drawing of a mask, and what is known of it."""
        row, twin = self.rows[mask_id], self.twins[mask_id]
        size = read_finite(row, ("width", "height"))
        canvas = (int(size[0]), int(size[1])) if size else (0, 0)
        box = self._window(row, twin, canvas)
        picture, why = self._crop(row, canvas, box)
        second = REDRAWN if mask_id in self.redrawn else twin_words(row)
        values = [(c, v[0]) for c in self.scores if (v := read_finite(row, (c,)))]
        values.sort(key=lambda v: (v[0] != "quality_score", v[1]))
        beside, point = self._rings(twin, box, canvas), point_of(row)
        return MaskView(
            mask_id=mask_id,
            row=row,
            scores=[(self.titles.get(c) or c, v) for c, v in values],
            box=box,
            picture=picture,
            why=why,
            rings=self._rings(mask_id, box, canvas),
            beside=beside,
            beside_is=second if beside else "",
            declared=_shift(declared_of(row), box),
            point=(point[0] - box.x + 0.5, point[1] - box.y + 0.5) if point and box else None,
        )

    def _window(
        self, row: Mapping[str, Any], twin: int | None, canvas: tuple[int, int]
    ) -> Box | None:
        point, mine = point_of(row), box_of(row) or declared_of(row)
        beside = self.boxes.get(twin) if twin is not None else None
        parts = (mine, beside, (*point, 1.0, 1.0) if point else None)
        return window(canvas, [part for part in parts if part is not None])

    def _crop(
        self, row: Mapping[str, Any], canvas: tuple[int, int], box: Box | None
    ) -> tuple[Image.Image | None, str]:
        if box is None:
            return None, "it has no pixels on an image of a known size"
        return self.pictures.crop(row.get("file_name"), canvas, box, SHOWN_PX)

    def _rings(
        self, mask_id: int | None, box: Box | None, canvas: tuple[int, int]
    ) -> list[IntArray]:
        place = None if mask_id is None else self.place.get(mask_id)
        return [] if place is None or box is None else _Outline(self.runs, place).rings(box, canvas)
