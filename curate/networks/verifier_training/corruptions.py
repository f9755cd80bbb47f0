"""Corruptions of masks: wrong masks made of good ones, each with its kind and its IoU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from curate.common.arrays import BoolArray, Float32Array
from curate.networks.verifiers.crops import signed_distance
from curate.networks.verifiers.mask_frames import MaskFrame
from curate.rle.outlines import outlines

KINDS = (
    "shifted",
    "in the wrong place",
    "too large",
    "too small",
    "part missing",
    "merged",
    "holes",
    "inexact outline",
    "drawn twice",
    "not an object",
)
"""Kinds of error that a verifier tells apart, in the words that people read."""

OFTEN = {"part missing": 2.0, "too large": 1.5, "inexact outline": 1.5, "holes": 1.5}
"""How often a kind is drawn, where not once: these are the hardest to see."""

UNSEEN_IN_IOU = ("holes", "drawn twice")
"""Kinds that are wrong however high their IoU is."""

WRONG_CATEGORY = "wrong category"
"""Kind of a mask that only has another category than its object."""

OTHER_KEPT = 0.5
"""Chance that an object that is drawn into another one's mask keeps a mask of its own."""

LEAST_PIXELS = 9
"""Pixels that a corrupted mask has at least, in its frame."""

LARGEST_IOU = 0.97
"""IoU above which a corruption is none."""

MOST_IOU = {"in the wrong place": 0.3, "holes": 0.995, "drawn twice": 1.0, "not an object": 0.4}
"""The same of kinds that have another."""

TRIES = 4
"""Draws of one kind before another is taken."""


@dataclass(frozen=True)
class CorruptedMask:
    """A mask that was made wrong.

    Attributes:
        frame: The mask.
        kind: Its place in :data:`KINDS`.
        iou: With the mask that it was made of, in the frame's pixels.
    """

    frame: MaskFrame
    kind: int
    iou: float


@dataclass(frozen=True)
class MaskScene:
    """A mask, and what corruptions need to know of its surroundings.

    Attributes:
        frame: The mask.
        neighbour: The nearest other mask of the image in the same frame, where there is one.
        random: Draws the corruption.
        look: Gives where other masks lie in a window of that frame's size, by its left and top.
    """

    frame: MaskFrame
    neighbour: BoolArray | None
    random: np.random.Generator
    look: Callable[[int, int], BoolArray]

    @property
    def pixels(self) -> BoolArray:
        """Pixels of the mask."""
        return self.frame.pixels

    def size(self) -> float:
        """Return the side that the mask had as a square, in pixels."""
        return float(np.sqrt(self.pixels.sum()))

    def box(self) -> tuple[int, int, int, int]:
        """Return top, bottom, left and right of the mask in its frame, half open."""
        rows, columns = np.flatnonzero(self.pixels.any(1)), np.flatnonzero(self.pixels.any(0))
        return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def shift(scene: MaskScene) -> MaskFrame:
    """Displace it by 6% to 50% of its box, in any direction."""
    top, bottom, left, right = scene.box()
    angle, far = scene.random.uniform(0, 2 * np.pi), scene.random.uniform(0.06, 0.5)
    down = round(far * (bottom - top) * np.sin(angle))
    across = round(far * (right - left) * np.cos(angle))
    return scene.frame.with_pixels(_displace(scene.pixels, down, across))


def relocate(scene: MaskScene) -> MaskFrame:
    """Put it anywhere in the image, sometimes mirrored."""
    frame = scene.frame
    left, top, right, bottom = frame.box()
    x = scene.random.uniform(0, max(0.0, frame.width - (right - left)))
    y = scene.random.uniform(0, max(0.0, frame.height - (bottom - top)))
    there = (round(frame.left + x - left), round(frame.top + y - top))
    pixels = frame.pixels[:, ::-1] if scene.random.random() < 0.3 else frame.pixels
    moved = replace(frame, left=there[0], top=there[1], others=scene.look(*there))
    return moved.with_pixels(np.ascontiguousarray(pixels))


def enlarge(scene: MaskScene) -> MaskFrame:
    """Draw its outline too far out, by 4% to 30% of its size, all around or unevenly."""
    step = max(0.8, scene.random.uniform(0.04, 0.3) * scene.size())
    distance = signed_distance(scene.pixels) + _unevenness(scene, 0.3 * step)
    return scene.frame.with_pixels(distance > -step)


def shrink(scene: MaskScene) -> MaskFrame:
    """Draw its outline too far in, by 4% to 25% of its size, all around or unevenly."""
    step = max(0.8, scene.random.uniform(0.04, 0.25) * scene.size())
    distance = signed_distance(scene.pixels) + _unevenness(scene, 0.3 * step)
    return scene.frame.with_pixels(distance > step)


def cut(scene: MaskScene) -> MaskFrame:
    """Cut 15% to 65% off along a straight line, or a band out; level or upright mostly."""
    rows, columns = np.nonzero(scene.pixels)
    angle = scene.random.uniform(0, 2 * np.pi)
    if scene.random.random() < 0.6:
        angle = scene.random.integers(4) * np.pi / 2
    along = rows * np.sin(angle) + columns * np.cos(angle)
    if scene.random.random() < 0.2:
        far = (along - along.min()) / max(1.0, float(np.ptp(along)))
        first, width = scene.random.uniform(0.15, 0.75), scene.random.uniform(0.06, 0.25)
        kept = (far < first) | (far > first + width)
    else:
        kept = along > np.quantile(along, scene.random.uniform(0.15, 0.65))
    result = np.zeros_like(scene.pixels)
    result[rows[kept], columns[kept]] = True
    return scene.frame.with_pixels(result)


def merge(scene: MaskScene) -> MaskFrame | None:
    """Draw the nearest other object into it, which has a mask of its own too, or has none.

    Were it always to have one, a network would learn to look for that alone, and would see nothing
    in the masks of two objects that no other mask overlaps.
    """
    if scene.neighbour is None:
        return None
    merged = scene.frame.with_pixels(scene.pixels | scene.neighbour)
    if scene.random.random() < OTHER_KEPT:
        return merged
    return replace(merged, others=merged.others & ~scene.neighbour)


def pierce(scene: MaskScene) -> MaskFrame | None:
    """Leave one to three round holes."""
    distance = signed_distance(scene.pixels)
    rows, columns = np.nonzero(distance > max(1.5, 0.3 * float(distance.max())))
    if not len(rows):
        return None
    result = scene.pixels.copy()
    for _ in range(int(scene.random.integers(1, 4))):
        k = int(scene.random.integers(len(rows)))
        radius = scene.random.uniform(0.3, 0.9) * float(distance[rows[k], columns[k]])
        down, across = np.ogrid[: len(result), : len(result)]
        result &= (down - rows[k]) ** 2 + (across - columns[k]) ** 2 > max(1.0, radius) ** 2
    return scene.frame.with_pixels(result)


def coarsen(scene: MaskScene) -> MaskFrame | None:
    """Draw it with few corners, or with an outline that sways."""
    if scene.random.random() < 0.35:
        strength = scene.random.uniform(0.08, 0.3) * scene.size()
        swaying = signed_distance(scene.pixels) + _unevenness(scene, strength)
        return scene.frame.with_pixels(swaying > 0)
    rings = outlines(scene.pixels)
    ring = max(rings, key=len)
    corners = int(scene.random.integers(3, 9))
    if len(ring) < corners:
        return None
    steps = np.hypot(*np.diff(ring, axis=0, append=ring[:1]).T)
    walked = np.cumsum(steps) / steps.sum()
    places = (np.arange(corners) + scene.random.uniform(-0.35, 0.35, corners)) / corners
    chosen = ring[np.searchsorted(walked, np.sort((places + scene.random.random()) % 1))]
    canvas = Image.new("1", (len(scene.pixels), len(scene.pixels)))
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in chosen], fill=1)
    return scene.frame.with_pixels(np.array(canvas, np.bool_))


def repeat(scene: MaskScene) -> MaskFrame:
    """Draw it a second time over itself, about a pixel beside."""
    reach = max(1, round(0.02 * scene.size()))
    down, across = scene.random.integers(-reach, reach + 1, 2)
    again = scene.frame.with_pixels(_displace(scene.pixels, int(down), int(across)))
    return replace(again, others=again.others | scene.pixels)


def scrap(scene: MaskScene) -> MaskFrame:
    """Leave a line or a scrap instead of it: along its edge, across it, or at the image's edge."""
    frame, random = scene.frame, scene.random
    side, size = len(scene.pixels), scene.size()
    length, width = random.uniform(0.3, 1.5) * size, random.uniform(0.5, 0.12 * size + 1.0)
    if random.random() < 0.4:  # at an edge of the image, on a window of its own
        upright, far = random.random() < 0.5, random.random() < 0.5
        own = side / frame.scale
        x = random.uniform(-own / 2, frame.width - own / 2)
        y = random.uniform(-own / 2, frame.height - own / 2)
        edge = (frame.width if upright else frame.height) if far else 0
        x, y = (edge - own / 2, y) if upright else (x, edge - own / 2)
        there = (round(x), round(y))
        frame = replace(frame, left=there[0], top=there[1], others=scene.look(*there))
        middle = (side / 2, side / 2)
        angle = np.pi / 2 if upright else 0.0
    else:
        rows, columns = np.nonzero(scene.pixels)
        k = int(random.integers(len(rows)))
        middle, angle = (rows[k] + 0.5, columns[k] + 0.5), random.uniform(0, np.pi)
    down, across = np.mgrid[:side, :side] + 0.5
    down, across = down - middle[0], across - middle[1]
    along = across * np.cos(angle) + down * np.sin(angle)
    beside = down * np.cos(angle) - across * np.sin(angle)
    return frame.with_pixels((abs(along) < length / 2) & (abs(beside) < width))


_MAKERS: tuple[Callable[[MaskScene], MaskFrame | None], ...] = (
    shift,
    relocate,
    enlarge,
    shrink,
    cut,
    merge,
    pierce,
    coarsen,
    repeat,
    scrap,
)
"""What makes each of :data:`KINDS`."""


def corrupt(scene: MaskScene, kind: int) -> CorruptedMask | None:
    """Make a mask wrong in one way.

    Args:
        scene: The mask; it has pixels.
        kind: Place of the way in :data:`KINDS`.

    Returns:
        None where it cannot be done, or where nothing or hardly any change can be seen.
    """
    for _ in range(TRIES):
        made = _MAKERS[kind](scene)
        if made is None or made.pixels.sum() < LEAST_PIXELS:
            continue
        iou = _iou(scene.frame, made)
        if iou <= MOST_IOU.get(KINDS[kind], LARGEST_IOU):
            return CorruptedMask(made, kind, iou)
    return None


def _iou(one: MaskFrame, other: MaskFrame) -> float:
    """Return the IoU of two masks of one scale, each in its window."""
    right = round((other.left - one.left) * one.scale)
    down = round((other.top - one.top) * one.scale)
    both = int((one.pixels & _displace(other.pixels, down, right)).sum())
    return both / max(1, int(one.pixels.sum()) + int(other.pixels.sum()) - both)


def _displace(pixels: BoolArray, down: int, right: int) -> BoolArray:
    """Return pixels displaced within their array; what leaves it is cut off."""
    height, width = pixels.shape
    result = np.zeros_like(pixels)
    if abs(down) < height and abs(right) < width:
        result[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = (
            pixels[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
        )
    return result


def _unevenness(scene: MaskScene, strength: float) -> Float32Array:
    """Return smooth noise of about ``strength`` pixels over the frame, like the mask's size."""
    side = len(scene.pixels)
    coarse = scene.random.normal(0, 1, (12, 12))
    smooth = ndimage.zoom(coarse, side / 12, order=1, grid_mode=True, mode="nearest")
    smooth = np.pad(smooth, ((0, max(0, side - len(smooth))),) * 2, mode="edge")[:side, :side]
    return np.asarray(strength * smooth, np.float32)
