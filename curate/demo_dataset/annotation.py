"""Demo annotations before writing, and the shape changes typical of people and models."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from curate.common.arrays import BoolArray
from curate.demo_dataset.scenes import HEIGHT, WIDTH, around
from curate.demo_dataset.table_objects import blur, noise

SOFT_LIMIT = 12.0
"""Logits are clipped to this on either side, as far from the outline nobody needs them."""


@dataclass(frozen=True)
class DemoAnnotation:
    """One annotation of one image, with the truth about it.

    Attributes:
        image_id: Image that it belongs to.
        category: Name of its category.
        mask: Shape (480, 640); what it claims to be the object.
        true: Shape (480, 640); the object that it is an annotation of, all False for none.
        prompt: x, y of the point it was prompted with.
        rings: Polygon rings, where it is stored as those instead of run lengths.
        slope: Steepness of the logits across the outline, per pixel.
        predicted_iou: What the model says of it.
        kind: What was planted; empty for a sound one.
        detail: What exactly was done, in words.
        partner: Position, among all annotations, of the one it doubles or cuts; -1 if none.
        stored: Fields of the written annotation that differ from what the mask gives.
        object_category: The object's right category, where ``category`` is another; empty else.
    """

    image_id: int
    category: str
    mask: BoolArray
    true: BoolArray
    prompt: tuple[float, float]
    rings: list[list[float]] | None = None
    slope: float = 8.0
    predicted_iou: float = 0.95
    kind: str = ""
    detail: str = ""
    partner: int = -1
    stored: dict[str, object] = field(default_factory=dict)
    object_category: str = ""

    @property
    def right_category(self) -> str:
        """The category of the object."""
        return self.object_category or self.category

    @cached_property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(self.mask.sum())


def iou(a: BoolArray, b: BoolArray) -> float:
    """Return the IoU of two masks; 0 where both are empty."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 0.0


def middle(mask: BoolArray) -> tuple[float, float]:
    """Return x, y of a mask's centre of gravity in pixels."""
    ys, xs = np.nonzero(mask)
    return float(xs.mean()), float(ys.mean())


def deepest(mask: BoolArray) -> tuple[float, float]:
    """Return x, y of a pixel that lies well inside a mask, where a person would click."""
    y, x = around(mask, 0)
    soft = blur(mask[y, x], 0.2 * min(mask[y, x].shape) + 1)
    soft = np.where(mask[y, x], soft, -1)
    row, column = np.unravel_index(int(np.argmax(soft)), soft.shape)
    return float(column + x.start), float(row + y.start)


def grow(mask: BoolArray, px: float) -> BoolArray:
    """Return a mask with its outline moved outwards by about ``px`` pixels; negative is inwards."""
    y, x = around(mask, int(2 * abs(px)) + 4)
    out = np.zeros_like(mask)
    soft = blur(mask[y, x], abs(px))
    out[y, x] = soft > (0.16 if px > 0 else 0.84)
    return out


def wobble(rng: np.random.Generator, mask: BoolArray, px: float, cell: float) -> BoolArray:
    """Return a mask whose outline wanders by about ``px`` pixels, in waves ``cell`` pixels long.

    One pixel at a wave of 18 is a careful hand; three at a wave of 4 is torn.
    """
    y, x = around(mask, int(3 * px) + 2)
    crop = mask[y, x].astype(np.float32)
    h, w = crop.shape
    gy, gx = np.mgrid[0:h, 0:w].astype(np.float32)
    gx = np.clip(gx + px * noise(rng, h, w, cell), 0, w - 1.001)
    gy = np.clip(gy + px * noise(rng, h, w, cell), 0, h - 1.001)
    x0, y0 = gx.astype(np.intp), gy.astype(np.intp)
    x1, y1 = np.minimum(x0 + 1, w - 1), np.minimum(y0 + 1, h - 1)
    fx, fy = gx - x0, gy - y0
    above = crop[y0, x0] * (1 - fx) + crop[y0, x1] * fx
    below = crop[y1, x0] * (1 - fx) + crop[y1, x1] * fx
    out = np.zeros_like(mask)
    out[y, x] = above * (1 - fy) + below * fy > 0.5
    return out


def move(mask: BoolArray, dx: int, dy: int) -> BoolArray:
    """Return a mask moved by whole pixels; what leaves the picture is lost."""
    out = np.zeros_like(mask)
    to_y, from_y = _overlap(dy, HEIGHT)
    to_x, from_x = _overlap(dx, WIDTH)
    out[to_y, to_x] = mask[from_y, from_x]
    return out


def _overlap(by: int, size: int) -> tuple[slice, slice]:
    return slice(max(by, 0), size + min(by, 0)), slice(max(-by, 0), size - max(by, 0))


def disc(x: float, y: float, radius: float) -> BoolArray:
    """Return a filled circle as a mask."""
    gy, gx = np.ogrid[0:HEIGHT, 0:WIDTH]
    inside: BoolArray = (gx - x) ** 2 + (gy - y) ** 2 <= radius**2
    return inside


def logits(mask: BoolArray, slope: float) -> npt.NDArray[np.float16]:
    """Return logits whose cut at 0 is the mask, and which rise by ``slope`` a pixel at its edge.

    Args:
        mask: Shape (480, 640), with at least one pixel.
        slope: Per pixel; 8 is a model that is sure, 0.2 one that does not know where the edge is.
    """
    radius = min(8.0, max(1.5, 1.2 / slope))
    y, x = around(mask, int(4 * radius) + 3)
    share = np.clip(blur(mask[y, x], radius), 0.004, 0.996)
    # A blurred straight edge has a logit slope of 1.6 / radius where it crosses a half.
    soft = np.log(share / (1 - share)) * slope * radius / 1.6
    soft = np.where(mask[y, x], np.maximum(soft, 0.03), np.minimum(soft, -0.03))
    out = np.full(mask.shape, -SOFT_LIMIT, np.float16)
    out[y, x] = np.clip(soft, -SOFT_LIMIT, SOFT_LIMIT)
    return out


def stability(soft: npt.NDArray[np.float16]) -> float:
    """Return SAM's stability score of logits: area above 1 over area above -1; NaN for 0 / 0."""
    wide = int((soft > -1).sum())
    return int((soft > 1).sum()) / wide if wide else float("nan")
