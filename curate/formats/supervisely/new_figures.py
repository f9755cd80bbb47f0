"""New pixels as figures of Supervisely: a bitmap, or a polygon with its holes."""

from __future__ import annotations

from curate.errors import CallError
from curate.formats.new_pixels import PixelTally, new_runs, ragged_error
from curate.formats.png.embedded_png import cut_out
from curate.formats.polygons import TracedRings, trace_rings
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
        falls_back: Whether a mask that has no polygon becomes a bitmap where polygons are asked
            for, and is counted; else it is refused.
    """

    def __init__(
        self,
        masks: str,
        meta: ProjectMeta | None,
        tally: PixelTally,
        *,
        falls_back: bool = False,
    ) -> None:
        self._masks, self._meta, self._tally = masks, meta, tally
        self._falls_back = falls_back

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
        must = wanted == POLYGON and (self._masks == "polygon" or BITMAP not in allowed)
        found = self._tally.choose(
            lambda seams: _trace_figure(counts, size, seams), wanted == POLYGON, must
        )
        if found is None and must and not (self._falls_back and BITMAP in allowed):
            raise ragged_error(key, "use a class for figures of any type")
        if found is None:
            x, y, pixels = cut_out(runs, key)
            bitmap = {"data": pack_bitmap(pixels), "origin": [x, y]}
            return {"geometryType": BITMAP, "bitmap": bitmap}
        exterior, *interior = (points_of(ring) for ring in found.rings)
        points = {"exterior": exterior, "interior": interior}
        return {"geometryType": POLYGON, "points": points}


def _trace_figure(counts: bytes, size: tuple[int, int], seams: bool) -> TracedRings | None:
    """Return the exterior ring and the interior ones, or a ring along seams."""
    found = rings_with_holes(counts, size)
    if found is not None:
        return TracedRings([found[0], *found[1]], seamed=False)
    return trace_rings(counts, size, single=True, seams=True) if seams else None
