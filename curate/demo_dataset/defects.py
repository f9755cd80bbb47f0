"""Planting of defects: each function damages a sound annotation, or adds a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from curate.common.arrays import BoolArray
from curate.demo_dataset.annotation import DemoAnnotation, deepest, disc, grow, middle, move, wobble
from curate.demo_dataset.defect_kinds import HTML_CATEGORY
from curate.demo_dataset.scenes import HEIGHT, WIDTH, around

Planted = tuple[DemoAnnotation | None, DemoAnnotation | None]
"""The changed annotation (None: dropped), and one added beside it, if any."""

Plant = Callable[[np.random.Generator, DemoAnnotation, Sequence[DemoAnnotation]], Planted | None]
"""(rng, a sound annotation, the others of its image) to what is planted, None if it cannot be."""


def _edit(own: DemoAnnotation, mask: BoolArray, detail: str) -> Planted | None:
    """Return ``own`` with another mask, and the point that such a mask would come from."""
    if mask.sum() < 60:
        return None
    return replace(own, mask=mask, rings=None, detail=detail, prompt=deepest(mask)), None


def _add(own: DemoAnnotation, mask: BoolArray, detail: str, **fields: Any) -> Planted | None:
    """Return ``own`` as it is, and a new annotation beside it."""
    if mask.sum() < 60:
        return None
    new = replace(own, mask=mask, rings=None, detail=detail, prompt=deepest(mask), **fields)
    return own, new


def _half_plane(mask: BoolArray, angle: float, share: float) -> BoolArray:
    """Return which pixels lie before the line across which ``share`` of the mask lies behind."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    along = x * np.cos(angle) + y * np.sin(angle)
    before: BoolArray = along <= np.quantile(along[mask], 1 - share)
    return before


def duplicate_twin(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Add the same mask again, moved by nothing or by a breath."""
    exact = rng.random() < 0.5
    mask = own.mask if exact else wobble(rng, own.mask, 0.5, 30)
    return _add(own, mask, "the same mask again" if exact else "nearly the same mask again")


def near_duplicate(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Add a coarser mask of the same object."""
    size = np.sqrt(own.area)
    mask = wobble(rng, grow(own.mask, -0.02 * size - 0.5), 0.03 * size, 14)
    return _add(own, mask, "a coarser mask of the same object", predicted_iou=0.84, slope=3.0)


def part_of(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Add a mask of about half of the object."""
    share = rng.uniform(0.4, 0.6)
    keep = _half_plane(own.mask, rng.uniform(0, 6.28), share)
    mask = wobble(rng, own.mask & keep, 0.8, 12) & own.mask
    return _add(own, mask, f"the object is cut in two, {1 - share:.0%} of it here")


def nested_wrong(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Add a mask of a patch of light on the object."""
    x, y = middle(own.mask)
    radius = 0.22 * np.sqrt(own.area)
    patch = disc(x - 0.5 * radius, y - 0.6 * radius, radius)
    mask = wobble(rng, patch, 1.2, 8) & own.mask
    if mask.sum() < 0.9 * patch.sum():
        return None
    return _add(own, mask, "a patch of light inside the object")


def holes(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Punch a few holes."""
    inner = grow(own.mask, -3) & own.mask
    ys, xs = np.nonzero(inner)
    if not len(ys):
        return None
    mask, n = own.mask.copy(), int(rng.integers(2, 5))
    radius = 0.075 * np.sqrt(own.area)
    for k in rng.integers(len(ys), size=n):
        mask &= ~(disc(xs[k], ys[k], rng.uniform(0.7, 1.4) * radius) & inner)
    return _edit(own, mask, f"{n} holes punched")


def islands(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Scatter specks around the object."""
    x, y = middle(own.mask)
    reach, n = np.sqrt(own.area), int(rng.integers(3, 8))
    mask = own.mask.copy()
    for angle in rng.uniform(0, 6.28, n):
        far = rng.uniform(0.75, 1.15) * reach + 4
        mask |= disc(x + far * np.cos(angle), y + far * np.sin(angle), rng.uniform(2, 4.5))
    return _edit(own, mask, f"{n} specks around it")


def ragged(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Tear the outline."""
    return _edit(own, wobble(rng, own.mask, rng.uniform(2.4, 3.6), 4), "torn outline")


def shifted(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Move the mask a quarter of its size aside."""
    far = rng.uniform(0.2, 0.32) * np.sqrt(own.area)
    angle = rng.uniform(0, 6.28)
    dx, dy = round(far * np.cos(angle)), round(far * np.sin(angle))
    return _edit(own, move(own.mask, dx, dy), f"moved by {dx}, {dy} px")


def dilated(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Move the outline outwards."""
    px = rng.uniform(0.09, 0.14) * np.sqrt(own.area) + 1
    return _edit(own, grow(own.mask, px), f"outline {px:.0f} px too far out")


def eroded(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Move the outline inwards."""
    px = rng.uniform(0.08, 0.12) * np.sqrt(own.area)
    return _edit(own, grow(own.mask, -px), f"outline {px:.0f} px too far in")


def cut(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Cut off a part along a straight line."""
    share = rng.uniform(0.28, 0.42)
    keep = _half_plane(own.mask, rng.uniform(0, 6.28), share)
    return _edit(own, own.mask & keep, f"{share:.0%} cut off along a line")


def cut_at_crop(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Cut the mask off where the crop ended that a model saw."""
    x = around(own.mask, 0)[1]
    share, right = rng.uniform(0.3, 0.45), own.mask[:, : WIDTH // 2].sum() > own.area / 2
    if right:  # the crop is the left part of the picture, the object goes on to its right
        edge = round(x.stop - share * (x.stop - x.start))
        box = [0, 0, edge, HEIGHT]
    else:
        edge = round(x.start + share * (x.stop - x.start))
        box = [edge, 0, WIDTH - edge, HEIGHT]
    keep = np.zeros_like(own.mask)
    keep[:, box[0] : box[0] + box[2]] = True
    if x.start == 0 or x.stop == WIDTH:
        return None
    stored = own.stored | {"crop_box": box}
    return _edit(replace(own, stored=stored), own.mask & keep, f"cut off by a crop at x {edge}")


def merged(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Take the neighbour that it touches into the same mask; the neighbour keeps its own."""
    near = grow(own.mask, 4)
    touching = [o for o in others if not o.kind and (o.mask & near).sum() / o.area > 0.05]
    touching += [o for o in others if not o.kind and (o.mask & near).sum() >= 12]
    if not touching:
        return None
    both = own.mask | touching[0].mask
    closed = grow(grow(both, 3), -3) | both
    return _edit(own, closed, f"one mask for this and the {touching[0].category} beside it")


def wrong_place(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Add the mask again where there is only table."""
    taken = own.true.copy()
    for other in others:
        taken |= other.true
    y, x = around(own.mask, 0)
    for _ in range(80):
        dx = int(rng.integers(-x.start, WIDTH - x.stop + 1))
        dy = int(rng.integers(-y.start, HEIGHT - y.stop + 1))
        there = move(own.mask, dx, dy)
        if (there & taken).sum() < 0.02 * there.sum():
            true = np.zeros_like(there)
            return _add(own, there, "there is only table", true=true, partner=-1)
    return None


def whole_image(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Add a mask of nearly everything."""
    mask = np.zeros_like(own.mask)
    mask[1:-1, 1:-2] = True
    return _add(own, mask, "the whole image", true=np.zeros_like(mask), partner=-1)


def odd_shape(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Put a long bar, or a dot, where the object is."""
    x, y = middle(own.mask)
    if rng.random() < 0.3:
        return _edit(own, disc(x, y, 5), "a dot in the middle of the object")
    gy, gx = np.mgrid[0:HEIGHT, 0:WIDTH]
    angle, long = rng.uniform(0, 6.28), rng.uniform(2.2, 3.0) * np.sqrt(own.area)
    along = (gx - x) * np.cos(angle) + (gy - y) * np.sin(angle)
    across = (gy - y) * np.cos(angle) - (gx - x) * np.sin(angle)
    bar = (np.abs(along) < long / 2) & (np.abs(across) < 5)
    return _edit(own, wobble(rng, bar, 0.8, 14), "a long bar across the object")


def wrong_category(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Call it something that it does not look like."""
    unlike = "orange" if own.category in ("leaf", "cherry") else "leaf"
    what = f"it is a {own.category}"
    return replace(own, category=unlike, object_category=own.category, detail=what), None


def declared_bbox(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Store the box of another mask."""
    if not others:
        return None
    y, x = around(others[int(rng.integers(len(others)))].mask, 0)
    box = [x.start, y.start, x.stop - x.start, y.stop - y.start]
    return replace(own, stored=own.stored | {"bbox": box}, detail="box of another mask"), None


def declared_area(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Store an area that is far off."""
    area = int(own.area * rng.choice([0.25, 1.6, 4.0]))
    return replace(own, stored=own.stored | {"area": area}, detail=f"area stored as {area}"), None


def prompt_outside(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Store a prompt point that lies well outside."""
    allowed = ~grow(own.mask, 14) & grow(own.mask, 70)
    ys, xs = np.nonzero(allowed)
    if not len(ys):
        return None
    k = int(rng.integers(len(ys)))
    point = (float(xs[k]), float(ys[k]))
    return replace(own, prompt=point, detail="the prompt point lies outside"), None


def unstable(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Give it logits that hardly rise across the outline."""
    slope = rng.uniform(0.12, 0.3)
    return replace(own, slope=slope, detail=f"logits rise by {slope:.2f} a pixel"), None


def predicted_iou_over_1(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Store a predicted IoU that no IoU can be."""
    value = round(float(rng.uniform(1.3, 3.0)), 3)
    return replace(own, predicted_iou=value, detail=f"predicted IoU {value}"), None


def missing(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Drop the annotation; the object stays in the picture."""
    return None, None


def html_category(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Give a plum a category whose name holds markup."""
    if own.category != "plum":
        return None
    return replace(own, category=HTML_CATEGORY, detail="its category's name holds markup"), None


def marked_only(
    rng: np.random.Generator, own: DemoAnnotation, others: Sequence[DemoAnnotation]
) -> Planted | None:
    """Leave the mask; what is wrong is done when it is written."""
    return own, None


_IN_THE_MASK: tuple[Plant, ...] = (
    duplicate_twin,
    near_duplicate,
    part_of,
    nested_wrong,
    holes,
    islands,
    ragged,
    shifted,
    dilated,
    eroded,
    cut,
    cut_at_crop,
    merged,
    wrong_place,
    whole_image,
    odd_shape,
    wrong_category,
    declared_bbox,
    declared_area,
    prompt_outside,
    unstable,
    predicted_iou_over_1,
    missing,
    html_category,
)

_IN_THE_FILE = (
    "undecodable",
    "empty",
    "rle_size",
    "two_point_polygon",
    "duplicate_id",
    "unknown_image",
    "category_0",
)

PLANTS: dict[str, Plant] = {
    **{getattr(plant, "__name__", ""): plant for plant in _IN_THE_MASK},
    **dict.fromkeys(_IN_THE_FILE, marked_only),
}
"""Planting functions by kind; some defects appear only on writing."""
