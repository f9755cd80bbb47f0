"""New pixels as figures of Supervisely: a bitmap, or a polygon with its holes."""

from __future__ import annotations

from curate.errors import CallError
from curate.formats.new_pixels import PixelTally, new_runs
from curate.formats.png.embedded_png import cut_out
from curate.formats.polygons import rings_of
from curate.formats.segmentation import valid_size
from curate.formats.supervisely.figures import (
    BITMAP,
    POLYGON,
    pack_bitmap,
    points_of,
    rings_with_holes,
)
from curate.formats.supervisely.project import ProjectMeta

BOTH = frozenset({BITMAP, POLYGON})
"""Types of figures that are masks."""


class FigureForm:
    """Chooses how new pixels are stored in a project, and counts it.

    Args:
        masks: See :class:`Edits`.
        meta: The classes of the project; None where nothing declares them.
        tally: Counts what became of them.
    """

    def __init__(self, masks: str, meta: ProjectMeta | None, tally: PixelTally) -> None:
        self._masks, self._meta, self._tally = masks, meta, tally

    def kinds(self, title: str | None) -> frozenset[str]:
        """Return the types of figures that a class allows."""
        known = self._meta.classes.get(title or "") if self._meta else None
        return BOTH if known is None or known.shape == "any" else frozenset({known.shape})

    def class_id(self, title: str) -> int | None:
        """Return the id of a class; None where it has none."""
        known = self._meta.classes.get(title) if self._meta else None
        return None if known is None else known.number

    def fields(
        self, counts: bytes, size: tuple[int, int], kind: str, title: str | None, key: str
    ) -> dict[str, object]:
        """Return the fields that new pixels become: ``geometryType``, ``bitmap`` or ``points``.

        Args:
            counts: COCO compressed counts.
            size: Height and width of the image.
            kind: What the mask was, or what most figures of its document are.
            title: The class that it has or gets.
            key: The mask's source key, or that of its image, for messages.
        """
        if not valid_size(*size):
            raise CallError("the size of its image is not known", key, "put it into the file")
        runs = new_runs(counts, size, key)
        allowed = self.kinds(title)
        wanted = {"polygon": POLYGON, "rle": BITMAP}.get(self._masks, kind)
        if not allowed & BOTH or (self._masks != "same" and wanted not in allowed):
            what = f"the class {title} takes figures of the type {min(allowed)} only"
            raise CallError(what, key, "use --masks same, or another class")
        wanted = wanted if wanted in allowed else min(allowed & BOTH)
        if wanted == POLYGON:
            rings = rings_with_holes(counts, size)
            if rings is None and (self._masks == "polygon" or BITMAP not in allowed):
                rings = self._with_seams(counts, size, key)
            if rings is not None:
                self._tally.polygons += 1
                interior = [points_of(ring) for ring in rings[1]]
                points = {"exterior": points_of(rings[0]), "interior": interior}
                return {"geometryType": POLYGON, "points": points}
            self._tally.turned += 1
        self._tally.runs += 1
        x, y, pixels = cut_out(runs, key)
        return {"geometryType": BITMAP, "bitmap": {"data": pack_bitmap(pixels), "origin": [x, y]}}

    def _with_seams(
        self, counts: bytes, size: tuple[int, int], key: str
    ) -> tuple[list[float], list[list[float]]]:
        rings = rings_of(counts, *size, single=True, seams=True)
        if rings is None:
            what = "the new mask is too large or too ragged for one polygon"
            raise CallError(what, key, "use a class for figures of any type")
        self._tally.seams += 1
        return rings[0], []
