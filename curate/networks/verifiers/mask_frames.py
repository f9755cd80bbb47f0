"""Masks cut out with their surroundings, large ones reduced, for crops and for corruptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from PIL import Image

from curate.common.arrays import BoolArray, ByteArray, IntArray
from curate.rle import Runs, bbox, to_dense

OBJECT_SIDE = 64
"""Longest side of an object in its frame, in pixels; smaller objects keep their pixels."""

SURROUNDINGS = 3
"""Side of a frame, as a multiple of the object's longest side."""


Window = tuple[int, int, int, int]
"""XYWH in pixels of an image; may reach outside of it."""


@dataclass(frozen=True)
class MaskFrame:
    """A mask in a square window around it.

    Attributes:
        pixels: Shape (side, side).
        others: Where other masks of the image lie, of the same shape.
        left: Of the window in the image, in pixels of the image; may be negative.
        top: The same downwards.
        scale: Pixels of the frame per pixel of the image, at most 1.
        height: Of the image, in its pixels.
        width: Of the image, in its pixels.
    """

    pixels: BoolArray
    others: BoolArray
    left: float
    top: float
    scale: float
    height: int
    width: int

    def with_pixels(self, pixels: BoolArray) -> MaskFrame:
        """Return another mask in the same window; what lies outside of the image is cut off."""
        return replace(self, pixels=pixels & self.inside())

    def inside(self) -> BoolArray:
        """Return which pixels of the frame have their centre within the image."""
        centres = (np.arange(len(self.pixels)) + 0.5) / self.scale
        rows = (centres + self.top >= 0) & (centres + self.top < self.height)
        columns = (centres + self.left >= 0) & (centres + self.left < self.width)
        return np.asarray(rows[:, None] & columns[None, :])

    def box(self) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the mask in the image, in its pixels.

        A mask without pixels has the box of its window.
        """
        rows, columns = np.flatnonzero(self.pixels.any(1)), np.flatnonzero(self.pixels.any(0))
        if not len(rows):
            rows = columns = np.array([0, len(self.pixels) - 1])
        return (
            self.left + columns[0] / self.scale,
            self.top + rows[0] / self.scale,
            self.left + (columns[-1] + 1) / self.scale,
            self.top + (rows[-1] + 1) / self.scale,
        )


@dataclass(frozen=True)
class ImageCover:
    """The masks of one image, and how many of them cover each of its pixels.

    Attributes:
        runs: The masks.
        boxes: Theirs, XYWH in pixels, shape (n, 4).
        cover: Shape (height, width); 255 for more.
    """

    runs: Runs
    boxes: IntArray
    cover: ByteArray

    @classmethod
    def of(cls, runs: Runs) -> ImageCover:
        """Count the masks over each pixel.

        Args:
            runs: One or more masks of one image.
        """
        boxes = bbox(runs)
        cover = np.zeros((int(runs.heights[0]), int(runs.widths[0])), np.uint8)
        for k, (x, y, w, h) in enumerate(boxes.tolist()):
            part = cover[y : y + h, x : x + w]
            part += to_dense(runs, k, (x, y, w, h)) & (part < 255)
        return cls(runs, boxes, cover)

    def instead(self, which: int, changed: Runs) -> ImageCover:
        """Return masks that could stand in the place of one, each beside all the others.

        Args:
            which: The mask that they stand in the place of.
            changed: One or more masks; they do not count as neighbours of each other.
        """
        x, y, w, h = (int(v) for v in self.boxes[which])
        others = self.cover.copy()
        others[y : y + h, x : x + w] -= to_dense(self.runs, which, (x, y, w, h))
        # 255 lies above any single mask, so that a pixel of another mask counts under each.
        return ImageCover(changed, bbox(changed), np.where(others > 0, np.uint8(255), np.uint8(0)))

    def cut(self, which: int) -> MaskFrame:
        """Cut a mask that has pixels out with its surroundings."""
        x, y, w, h = (int(v) for v in self.boxes[which])
        longest = max(w, h)
        side = SURROUNDINGS * longest
        left, top = x + w // 2 - side // 2, y + h // 2 - side // 2
        reduced = max(SURROUNDINGS, round(side * min(1.0, OBJECT_SIDE / longest)))
        return MaskFrame(
            self._draw(which, (left, top, side, side), reduced),
            self.cut_others(which, (left, top, side, side), reduced),
            left,
            top,
            reduced / side,
            *self.cover.shape,
        )

    def cut_beside(self, which: int, frame: MaskFrame) -> BoolArray:
        """Return another mask in the window of a frame."""
        side = round(len(frame.pixels) / frame.scale)
        window = (round(frame.left), round(frame.top), side, side)
        return self._draw(which, window, len(frame.pixels))

    def cut_others(self, which: int, window: Window, side: int) -> BoolArray:
        """Return where other masks than one lie.

        Args:
            which: The mask that is left out.
            window: XYWH in pixels of the image; square.
            side: Of the result; not larger.
        """

        def draw(box: Window) -> BoolArray:
            left, top, width, height = box
            found = np.zeros((height, width), np.bool_)
            x, y = max(0, left), max(0, top)
            inside = self.cover[y : max(y, top + height), x : max(x, left + width)]
            if inside.size:
                rows, columns = inside.shape
                own = to_dense(self.runs, which, (x, y, columns, rows))
                found[y - top : y - top + rows, x - left : x - left + columns] = inside > own
            return found

        return self._reduce(draw, window, side)

    def _draw(self, which: int, window: Window, side: int) -> BoolArray:
        return self._reduce(partial(to_dense, self.runs, which), window, side)

    def _reduce(self, draw: Callable[[Window], BoolArray], window: Window, side: int) -> BoolArray:
        """Draw a square window at a lower resolution; a mask that would vanish keeps some pixels.

        Only what lies in the image is drawn: the window of a large object is far larger.
        """
        left, top, width, _ = window
        if side >= width:
            return draw(window)
        step = width / side
        height, across = self.cover.shape
        low_x, high_x = _cells(left, across, step, side)
        low_y, high_y = _cells(top, height, step, side)
        result = np.zeros((side, side), np.bool_)
        if high_x <= low_x or high_y <= low_y:
            return result
        x, y = int(low_x * step), int(low_y * step)  # in the window
        right, bottom = int(np.ceil(high_x * step)), int(np.ceil(high_y * step))
        pixels = draw((left + x, top + y, right - x, bottom - y))
        levels = Image.fromarray(pixels.astype(np.uint8) * 255)
        box = (low_x * step - x, low_y * step - y, high_x * step - x, high_y * step - y)
        size = (high_x - low_x, high_y - low_y)
        shares = np.asarray(levels.resize(size, Image.Resampling.BOX, box=box))
        kept = shares >= 128
        result[low_y:high_y, low_x:high_x] = kept if kept.any() else shares > 0
        return result


def _cells(first: int, length: int, step: float, side: int) -> tuple[int, int]:
    """Return the range of a window's cells that the image reaches into, along one axis.

    Args:
        first: Where the window begins in the image, in pixels.
        length: Of the image.
        step: Pixels a cell.
        side: Cells of the window.
    """
    low = min(max(0, int(np.floor(-first / step))), side)
    return low, max(low, min(side, int(np.ceil((length - first) / step))))
