"""New masks as values of COCO's ``segmentation`` field, with the box and the area that follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curate import rle
from curate.errors import CallError
from curate.formats.edits import MASKS, Stored
from curate.formats.new_pixels import PixelTally, ragged_error, wants_polygon

POLYGON, COMPRESSED, UNCOMPRESSED = "polygon", "compressed", "uncompressed"
"""What a segmentation can be: rings; run lengths as a string; run lengths as a list."""


@dataclass(frozen=True)
class NewMask:
    """A mask that is to be stored.

    Attributes:
        counts: Its pixels as COCO compressed counts.
        height: Height of its image in pixels.
        width: Width of its image in pixels.
        area: Its pixels.
        box: Its box, XYWH, where w and h count pixels.
    """

    counts: bytes
    height: int
    width: int
    area: int
    box: tuple[int, int, int, int]


def measure_masks(
    counts: Sequence[bytes], sizes: Sequence[tuple[int, int]], names: Sequence[str]
) -> list[NewMask]:
    """Return masks with what is measured from their pixels.

    Args:
        counts: COCO compressed counts of n masks.
        sizes: Heights and widths of their images.
        names: What to call them in messages.

    Raises:
        CallError: Counts do not decode to an image of that size.
    """
    runs, codes = rle.decode_counts(list(counts), [h for h, _ in sizes], [w for _, w in sizes])
    for i in np.flatnonzero(codes)[:1].tolist():
        height, width = sizes[i]
        what = f"the new mask is none of an image of {width} x {height} ({rle.PROBLEMS[codes[i]]})"
        raise CallError(what, names[i])
    areas, boxes = rle.measure(runs)
    rows = zip(
        rle.encode_counts(runs).to_pylist(), sizes, areas.tolist(), boxes.tolist(), strict=True
    )
    return [NewMask(one, *size, area, tuple(box)) for one, size, area, box in rows]


def kind_of(value: Any) -> str | None:
    """Return which kind of segmentation a value is; None for what is none."""
    if type(value) is list and value:
        return POLYGON
    counts = value.get("counts") if type(value) is dict else None
    if type(counts) is list:
        return UNCOMPRESSED
    return COMPRESSED if type(counts) is str else None


def usual_kind(values: Iterable[Any]) -> str:
    """Return the most frequent kind among segmentations; compressed where there are none."""
    kinds = Counter(kind for value in values if (kind := kind_of(value)) is not None)
    return kinds.most_common(1)[0][0] if kinds else COMPRESSED


class MaskValues:
    """Makes segmentations of new masks, and counts what became of them.

    Args:
        masks: "same", "polygon" or "rle"; see :class:`curate.formats.edits.Edits`.

    Raises:
        CallError: There is no such way of storing.
    """

    def __init__(self, masks: str) -> None:
        if masks not in MASKS:
            raise CallError(f"masks are not stored as {masks}", "masks", f"use {', '.join(MASKS)}")
        self._masks = masks
        self._tally = PixelTally()

    def value(self, mask: NewMask, kind: str, name: str, sized: bool) -> Any:
        """Return a mask as a segmentation.

        Args:
            mask: The mask.
            kind: How it is to be stored where masks stay as they were stored.
            name: What to call it in a message.
            sized: Whether the file states the size of its image, without which nobody can draw a
                polygon.

        Raises:
            CallError: Polygons are asked for, and it has none.
        """
        if self._masks == "polygon" and not sized:
            what = "the file does not state the size of its image, which a polygon needs"
            raise CallError(what, name, "store masks as RLE, which has a size of its own")
        if kind == POLYGON and not sized:
            kind = COMPRESSED
        sides, must = (mask.height, mask.width), self._masks == "polygon"
        wanted = wants_polygon(self._masks, kind)
        rings = self._tally.choose_rings(mask.counts, sides, wanted=wanted, must=must, single=False)
        if rings is not None:
            return [[int(c) if c == int(c) else c for c in ring] for ring in rings]
        if must:
            raise ragged_error(name, "store masks as they were, or as RLE")
        size = [*sides]
        if self._masks == "same" and kind == UNCOMPRESSED:
            return {"size": size, "counts": _run_lengths(mask)}
        return {"size": size, "counts": mask.counts.decode("ascii")}

    def count_stored(self) -> Stored:
        """Return how many masks were stored as polygons and as run lengths."""
        return self._tally.count_stored()


def empty_counts(height: int, width: int) -> str:
    """Return compressed counts of a mask without a pixel."""
    none = np.zeros(0, np.int32)
    sides = [np.array([side], np.int32) for side in (height, width)]
    runs = rle.Runs(np.zeros(2, np.int64), none, none, *sides)
    return str(rle.encode_counts(runs)[0].as_py(), "ascii")


def _run_lengths(mask: NewMask) -> list[int]:
    """Return uncompressed counts: background, mask, background, ... in column order."""
    runs, _ = rle.decode_counts([mask.counts], [mask.height], [mask.width])
    total = mask.height * mask.width
    inner = np.stack([runs.starts, runs.ends], axis=1).reshape(-1).astype(np.int64)
    edges = np.concatenate([[0], inner, [total]])
    lengths: list[int] = np.diff(edges).tolist()
    return lengths[:-1] if lengths[-1] == 0 and len(lengths) > 1 else lengths
