"""New pixels as shapes of labelme: polygons of one group, or a mask with its PNG."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from curate import rle
from curate.errors import CallError
from curate.formats.labelme.shapes import MASK, POLYGON
from curate.formats.new_pixels import PixelTally, new_runs, ragged_error, wants_polygon
from curate.formats.png.embedded_png import cut_out, png_of
from curate.formats.segmentation import valid_size


@dataclass(frozen=True)
class NewShape:
    """Fields that follow from new pixels.

    Attributes:
        points: Corners of a polygon, or upper left and lower right pixel of a mask.
        mask: The mask's PNG in base64; None for a polygon.
    """

    points: list[list[float]]
    mask: str | None = None

    @classmethod
    def of_ring(cls, ring: Sequence[float]) -> NewShape:
        """Return the polygon of a ring of alternating x and y."""
        return cls([[x, y] for x, y in zip(ring[::2], ring[1::2], strict=True)])

    @property
    def kind(self) -> str:
        """Its ``shape_type``."""
        return POLYGON if self.mask is None else MASK


@dataclass(frozen=True)
class ShapeForm:
    """How new pixels are stored in a document.

    Attributes:
        masks: See :class:`Edits`.
        has_masks: Whether the tool that wrote the document knows shapes of the type ``mask``.
        tally: Counts what became of them.
        falls_back: Whether a mask that has no polygon becomes a shape of the type ``mask`` where
            polygons are asked for, and is counted; else it is refused.
    """

    masks: str
    has_masks: bool
    tally: PixelTally
    falls_back: bool = False

    def shapes(self, counts: bytes, size: tuple[int, int], kind: str, where: str) -> list[NewShape]:
        """Return the shapes that new pixels become.

        Args:
            counts: COCO compressed counts.
            size: Height and width of the image.
            kind: Type of the shapes before, or of most of the document.
            where: The mask's source key, or that of its image, for messages.
        """
        if not valid_size(*size):
            raise CallError("the size of its image is not known", where, "put it into the file")
        runs = new_runs(counts, size, where)
        if self.masks == "rle" and not self.has_masks:
            what = "X-AnyLabeling wrote it, which knows no shapes of the type mask"
            raise CallError(what, where, "use --masks same")
        must = self.masks == "polygon" or not self.has_masks
        wanted = wants_polygon(self.masks, kind)
        rings = self.tally.choose_rings(counts, size, wanted=wanted, must=must, single=False)
        if rings is None and must and not (self.falls_back and self.has_masks):
            raise ragged_error(where, "use --masks same" if self.has_masks else "")
        if rings is None:
            return [_mask_shape(runs, where)]
        return [NewShape.of_ring(ring) for ring in rings]


def _mask_shape(runs: rle.Runs, where: str) -> NewShape:
    x, y, pixels = cut_out(runs, where)
    height, width = pixels.shape
    corners = [[float(x), float(y)], [float(x + width - 1), float(y + height - 1)]]
    return NewShape(corners, base64.b64encode(png_of(pixels)).decode("ascii"))
