"""Kinds of planted defects; the function of a kind damages an annotation, or adds a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.random import Generator

from curate.common.arrays import BoolArray
from curate.demo_dataset.annotation import DemoAnnotation, deepest, disc, grow, middle, move, wobble
from curate.demo_dataset.scenes import HEIGHT, WIDTH, around


@dataclass(frozen=True)
class Kind:
    """One kind of planted defect.

    Attributes:
        name: Its name in ``truth.json``.
        title: Its name for people.
        count: How many are planted among 24 images.
        reason: Regular expression that the reasons, or the status, of a mask match if it was found
            for the right cause; empty where no model-free signal is about this kind.
        least_px: The smallest mask that it is planted on, in pixels.
        level: "mask"; "image" for defects of picture files; "missing" for objects without a mask.
    """

    name: str
    title: str
    count: int
    reason: str = ""
    least_px: int = 900
    level: Literal["mask", "image", "missing"] = "mask"


OTHERS = "|others|edge|detector"
"""What reasons say where the picture, a detector or another annotator speaks against a mask."""

KINDS: tuple[Kind, ...] = (
    Kind("duplicate_twin", "the same mask twice", 3, "twin|duplicate|same object"),
    Kind("near_duplicate", "a second, worse mask of the object", 3, "twin|duplicate|same object"),
    Kind("part_of", "half of an object that has a mask", 3, "part of|inside|nested" + OTHERS),
    Kind("nested_wrong", "a patch inside an object", 3, "part of|inside|nested" + OTHERS, 2500),
    Kind("holes", "holes punched", 3, "hole", 2000),
    Kind("islands", "stray islands", 3, "fragment|piece|island|speck|split|apart"),
    Kind("ragged", "ragged outline", 3, "outline|ragged|torn|compact|edge"),
    Kind("shifted", "shifted", 3, "shifted|moved" + OTHERS),
    Kind("dilated", "too large all around", 3, "too large" + OTHERS),
    Kind("eroded", "too small all around", 3, "too small" + OTHERS, 2000),
    Kind("cut", "cut off at a straight line", 3, "straight|cut|compact|shape" + OTHERS, 2000),
    Kind("cut_at_crop", "cut off at the crop's border", 3, "crop|straight|cut", 2000),
    Kind("merged", "merged with its neighbour", 3, "contain|piece|apart|split|shape" + OTHERS),
    Kind("wrong_place", "on the bare table", 3, "place" + OTHERS),
    Kind("whole_image", "the whole image", 2, "whole|covers"),
    Kind("odd_shape", "a shape unlike its category", 3, "unlike|shape|outlier" + OTHERS),
    Kind("wrong_category", "wrong category", 3, "categor|something else|unlike"),
    Kind("declared_bbox", "stored box of another mask", 2, "declar|stored|box"),
    Kind("declared_area", "stored area is wrong", 2, "declar|stored|area"),
    Kind("prompt_outside", "prompt point not in the mask", 3, "prompt|point"),
    Kind("unstable", "outline that the model is unsure of", 3, "stabil|threshold"),
    Kind("predicted_iou_over_1", "predicted IoU over 1", 2, "predict"),
    Kind("undecodable", "run lengths that do not decode", 2, "undecodable|decode|runs"),
    Kind("empty", "empty mask", 2, "empty|no pixel"),
    Kind("rle_size", "run lengths of another size", 2, "size|the rle is"),
    Kind("two_point_polygon", "polygon of two points", 1, "polygon|points"),
    Kind("duplicate_id", "an id that another mask has", 1, r"\bid\b|duplicate_id"),
    Kind("unknown_image", "image that is not listed", 1, "unknown_image|among the images"),
    Kind("category_0", "category 0", 2, "categor"),
    Kind("missing", "object without a mask", 5, level="missing"),
    Kind("image_missing", "picture not on disk", 1, "missing", level="image"),
    Kind("image_truncated", "picture cut off", 1, "truncated|unreadable", level="image"),
    Kind("image_exif_rotated", "picture turned by EXIF", 1, "exif", level="image"),
    Kind("image_size", "picture of another size", 1, "size", level="image"),
    Kind("image_near_duplicate", "picture that is nearly another", 1, level="image"),
)
"""Every kind of planted defect, in the order in which it is told."""

ODD_NAME = "html_category"
"""Kind of the masks whose category's name holds markup: no defect, but a name to show as text."""

HTML_CATEGORY = 'fig <b onclick="alert(1)">&amp;</b> \u202eco\u202c "<script>alert(2)</script>"'
"""A category name that must be shown as the text that it is."""

BY_NAME = {kind.name: kind for kind in KINDS}


Others = Sequence[DemoAnnotation]
"""The other annotations of an image."""

Planted = tuple[DemoAnnotation | None, DemoAnnotation | None] | None
"""The changed annotation (None: dropped), and one added beside it, if any; None: unfit for it."""


def _edit(own: DemoAnnotation, mask: BoolArray, detail: str) -> Planted:
    """Return ``own`` with another mask, and the point that such a mask would come from."""
    if mask.sum() < 60:
        return None
    return replace(own, mask=mask, rings=None, detail=detail, prompt=deepest(mask)), None


def _add(own: DemoAnnotation, mask: BoolArray, detail: str, **fields: Any) -> Planted:
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


def duplicate_twin(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Add the same mask again, moved by nothing or by a breath."""
    exact = rng.random() < 0.5
    mask = own.mask if exact else wobble(rng, own.mask, 0.5, 30)
    return _add(own, mask, "the same mask again" if exact else "nearly the same mask again")


def near_duplicate(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Add a coarser mask of the same object."""
    size = np.sqrt(own.area)
    mask = wobble(rng, grow(own.mask, -0.02 * size - 0.5), 0.03 * size, 14)
    return _add(own, mask, "a coarser mask of the same object", predicted_iou=0.84, slope=3.0)


def part_of(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Add a mask of about half of the object."""
    share = rng.uniform(0.4, 0.6)
    keep = _half_plane(own.mask, rng.uniform(0, 6.28), share)
    mask = wobble(rng, own.mask & keep, 0.8, 12) & own.mask
    return _add(own, mask, f"the object is cut in two, {1 - share:.0%} of it here")


def nested_wrong(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Add a mask of a patch of light on the object."""
    x, y = middle(own.mask)
    radius = 0.22 * np.sqrt(own.area)
    patch = disc(x - 0.5 * radius, y - 0.6 * radius, radius)
    mask = wobble(rng, patch, 1.2, 8) & own.mask
    if mask.sum() < 0.9 * patch.sum():
        return None
    return _add(own, mask, "a patch of light inside the object")


def holes(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
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


def islands(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Scatter specks around the object."""
    x, y = middle(own.mask)
    reach, n = np.sqrt(own.area), int(rng.integers(3, 8))
    mask = own.mask.copy()
    for angle in rng.uniform(0, 6.28, n):
        far = rng.uniform(0.75, 1.15) * reach + 4
        mask |= disc(x + far * np.cos(angle), y + far * np.sin(angle), rng.uniform(2, 4.5))
    return _edit(own, mask, f"{n} specks around it")


def ragged(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Tear the outline."""
    return _edit(own, wobble(rng, own.mask, rng.uniform(2.4, 3.6), 4), "torn outline")


def shifted(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Move the mask a quarter of its size aside."""
    far = rng.uniform(0.2, 0.32) * np.sqrt(own.area)
    angle = rng.uniform(0, 6.28)
    dx, dy = round(far * np.cos(angle)), round(far * np.sin(angle))
    return _edit(own, move(own.mask, dx, dy), f"moved by {dx}, {dy} px")


def dilated(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Move the outline outwards."""
    px = rng.uniform(0.09, 0.14) * np.sqrt(own.area) + 1
    return _edit(own, grow(own.mask, px), f"outline {px:.0f} px too far out")


def eroded(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Move the outline inwards."""
    px = rng.uniform(0.08, 0.12) * np.sqrt(own.area)
    return _edit(own, grow(own.mask, -px), f"outline {px:.0f} px too far in")


def cut(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Cut off a part along a straight line."""
    share = rng.uniform(0.28, 0.42)
    keep = _half_plane(own.mask, rng.uniform(0, 6.28), share)
    return _edit(own, own.mask & keep, f"{share:.0%} cut off along a line")


def cut_at_crop(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
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


def merged(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Take the neighbour that it touches into the same mask; the neighbour keeps its own."""
    near = grow(own.mask, 4)
    touching = [o for o in others if not o.kind and (o.mask & near).sum() / o.area > 0.05]
    touching += [o for o in others if not o.kind and (o.mask & near).sum() >= 12]
    if not touching:
        return None
    both = own.mask | touching[0].mask
    closed = grow(grow(both, 3), -3) | both
    return _edit(own, closed, f"one mask for this and the {touching[0].category} beside it")


def wrong_place(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
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


def whole_image(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Add a mask of nearly everything."""
    mask = np.zeros_like(own.mask)
    mask[1:-1, 1:-2] = True
    return _add(own, mask, "the whole image", true=np.zeros_like(mask), partner=-1)


def odd_shape(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
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


def wrong_category(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Call it something that it does not look like."""
    unlike = "orange" if own.category in ("leaf", "cherry") else "leaf"
    what = f"it is a {own.category}"
    return replace(own, category=unlike, object_category=own.category, detail=what), None


def declared_bbox(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Store the box of another mask."""
    if not others:
        return None
    y, x = around(others[int(rng.integers(len(others)))].mask, 0)
    box = [x.start, y.start, x.stop - x.start, y.stop - y.start]
    return replace(own, stored=own.stored | {"bbox": box}, detail="box of another mask"), None


def declared_area(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Store an area that is far off."""
    area = int(own.area * rng.choice([0.25, 1.6, 4.0]))
    return replace(own, stored=own.stored | {"area": area}, detail=f"area stored as {area}"), None


def prompt_outside(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Store a prompt point that lies well outside."""
    allowed = ~grow(own.mask, 14) & grow(own.mask, 70)
    ys, xs = np.nonzero(allowed)
    if not len(ys):
        return None
    k = int(rng.integers(len(ys)))
    point = (float(xs[k]), float(ys[k]))
    return replace(own, prompt=point, detail="the prompt point lies outside"), None


def unstable(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Give it logits that hardly rise across the outline."""
    slope = rng.uniform(0.12, 0.3)
    return replace(own, slope=slope, detail=f"logits rise by {slope:.2f} a pixel"), None


def predicted_iou_over_1(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Store a predicted IoU that no IoU can be."""
    value = round(float(rng.uniform(1.3, 3.0)), 3)
    return replace(own, predicted_iou=value, detail=f"predicted IoU {value}"), None


def missing(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Drop the annotation; the object stays in the picture."""
    return None, None


def html_category(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Give a plum a category whose name holds markup."""
    if own.category != "plum":
        return None
    return replace(own, category=HTML_CATEGORY, detail="its category's name holds markup"), None


def marked_only(rng: Generator, own: DemoAnnotation, others: Others) -> Planted:
    """Leave the mask; what is wrong is done when it is written."""
    return own, None


PLANTS: dict[str, Callable[[Generator, DemoAnnotation, Others], Planted]] = {
    kind: globals().get(kind, marked_only) for kind in (*BY_NAME, ODD_NAME)
}
"""Planting functions by kind, called like it; kinds without one appear only on writing."""
