"""Random edits of a COCO file, of eight classes, with what was done to every mask."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pycocotools.mask as coco_mask
from scipy import ndimage

SMALLEST = 100
"""Masks under this area are left alone, px."""

Annotation = dict[str, Any]
Pixels = np.ndarray


@dataclass
class Edited:
    """A file before and after, and the truth.

    Attributes:
        before: COCO content.
        after: COCO content.
        truth: (change, ids in A, ids in B) of everything that was edited.
        left: Ids in A and in B of masks that nothing was done to.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    truth: list[tuple[str, frozenset[int], frozenset[int]]] = field(default_factory=list)
    left: dict[int, int] = field(default_factory=dict)


def pixels_of(annotation: Annotation, size: tuple[int, int]) -> Pixels:
    """Decode with pycocotools."""
    stored = annotation["segmentation"]
    if isinstance(stored, list):
        stored = coco_mask.merge(coco_mask.frPyObjects(stored, *size))
    elif isinstance(stored["counts"], list):
        stored = coco_mask.frPyObjects(stored, *size)
    return np.asarray(coco_mask.decode(stored), bool)


def stored(pixels: Pixels) -> dict[str, Any]:
    """Encode with pycocotools."""
    packed = coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {"size": list(pixels.shape), "counts": packed["counts"].decode()}


def redrawn(pixels: Pixels, rng: np.random.Generator) -> Pixels | None:
    """Grow or shrink a mask, or one half of it, by 4 to 10% of its side."""
    reach = max(1, round(rng.uniform(0.04, 0.1) * float(np.sqrt(pixels.sum()))))
    change = ndimage.binary_dilation if rng.random() < 0.5 else ndimage.binary_erosion
    made = change(pixels, iterations=reach)
    if rng.random() < 0.5:
        middle = int(np.nonzero(pixels)[1].mean())
        made[:, :middle] = pixels[:, :middle]
    share = (made & pixels).sum() / (made | pixels).sum()
    return made if 0.5 < share < 1 else None


def moved(pixels: Pixels, rng: np.random.Generator) -> Pixels | None:
    """Put a mask 10 to 100% of its box away, wholly inside the image."""
    rows, columns = np.nonzero(pixels)
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 1.0)
    down = round(reach * np.sin(angle) * (np.ptp(rows) + 1))
    right = round(reach * np.cos(angle) * (np.ptp(columns) + 1))
    rows, columns = rows + down, columns + right
    height, width = pixels.shape
    fits = rows.min() >= 0 and columns.min() >= 0 and rows.max() < height and columns.max() < width
    if not fits or (down, right) == (0, 0):
        return None
    made = np.zeros_like(pixels)
    made[rows, columns] = True
    return made


def halves(pixels: Pixels, rng: np.random.Generator) -> list[Pixels] | None:
    """Cut a mask across its longer side, near its middle."""
    points = np.stack(np.nonzero(pixels)).astype(float)
    centred = points - points.mean(axis=1, keepdims=True)
    along = np.linalg.eigh(centred @ centred.T)[1][:, -1] @ centred
    first = along < rng.uniform(-0.2, 0.2) * np.abs(along).max()
    if not 0.2 < first.mean() < 0.8:
        return None
    made = [np.zeros_like(pixels), np.zeros_like(pixels)]
    for one, some in zip(made, (first, ~first), strict=True):
        rows, columns = points[:, some].astype(int)
        one[rows, columns] = True
    return made


def blob(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Draw an ellipse somewhere in the image."""
    height, width = pixels.shape
    rows, columns = np.mgrid[:height, :width]
    sides = rng.uniform(0.03, 0.15, 2) * (height, width) + 4
    at = rng.uniform(0, 1, 2) * (height, width)
    made: Pixels = ((rows - at[0]) / sides[0]) ** 2 + ((columns - at[1]) / sides[1]) ** 2 < 1
    return made


REDRAWING: dict[str, Callable[[Pixels, np.random.Generator], Pixels | None]] = {
    "redrawn": redrawn,
    "moved": moved,
}


def edit(content: dict[str, Any], seed: int, *, keep_ids: bool, share: float = 0.01) -> Edited:
    """Edit a share of the masks in each of eight ways (what nothing is done to is the eighth).

    Args:
        content: COCO content.
        seed: Of the draw.
        keep_ids: Whether masks that stay keep their ids; else all ids are new. The order is
            shuffled in any case.
        share: Of the masks, for each class; 5 masks at least.
    """
    rng = np.random.default_rng(seed)
    sizes = {one["id"]: (one["height"], one["width"]) for one in content["images"]}
    masks = [one for one in content["annotations"] if not one.get("iscrowd")]
    decoded = {one["id"]: pixels_of(one, sizes[one["image_id"]]) for one in masks}
    keys = {
        number: (one["image_id"], bytes(stored(decoded[number])["counts"], "ascii"))
        for number, one in ((one["id"], one) for one in masks)
    }
    seen: dict[Any, int] = {}
    for key in keys.values():
        seen[key] = seen.get(key, 0) + 1
    order = [masks[k] for k in rng.permutation(len(masks))]
    # Of two equal masks nobody can tell which one was edited.
    free = [o for o in order if decoded[o["id"]].sum() >= SMALLEST and seen[keys[o["id"]]] == 1]
    count = max(5, round(share * len(masks)))
    after = {one["id"]: copy.deepcopy(one) for one in masks}
    made = Edited({**content, "annotations": masks}, {})
    fresh = max(after) + 1
    used: set[int] = set()
    truth: list[tuple[str, list[int], list[int]]] = []
    categories = [one["id"] for one in content["categories"]]
    used_categories = {one["category_id"] for one in masks}

    def take() -> Annotation | None:
        while free:
            one = free.pop()
            if one["id"] not in used:
                used.add(one["id"])
                return one
        return None

    for change in ("redrawn", "moved", "relabelled", "split", "merged", "removed", "added"):
        if change == "relabelled" and len(used_categories) < 2:
            continue
        done = tries = 0
        while done < count and tries < 20 * count and (one := take()) is not None:
            tries += 1
            number, pixels = one["id"], decoded[one["id"]]
            if change in REDRAWING:
                new = REDRAWING[change](pixels, rng)
                if new is None:
                    continue
                after[number]["segmentation"] = stored(new)
                truth.append((change, [number], [number]))
            elif change == "relabelled":
                others = [c for c in categories if c != one["category_id"] and c in used_categories]
                after[number]["category_id"] = int(rng.choice(others))
                truth.append((change, [number], [number]))
            elif change == "split":
                pieces = halves(pixels, rng)
                if pieces is None:
                    continue
                after[number]["segmentation"] = stored(pieces[0])
                after[fresh] = {**one, "id": fresh, "segmentation": stored(pieces[1])}
                truth.append((change, [number], [number, fresh]))
                fresh += 1
            elif change == "merged":
                near = _nearest(one, free, decoded, used)
                if near is None:
                    continue
                used.add(near)
                after[number]["segmentation"] = stored(pixels | decoded[near])
                del after[near]
                truth.append((change, [number, near], [number]))
            elif change == "removed":
                del after[number]
                truth.append((change, [number], []))
            else:
                used.discard(number)
                new = blob(pixels, rng)
                if not new.any():
                    continue
                after[fresh] = {**one, "id": fresh, "segmentation": stored(new)}
                truth.append((change, [], [fresh]))
                fresh += 1
            done += 1
    rows = list(after.values())
    rows = [rows[k] for k in rng.permutation(len(rows))]
    named = {one["id"]: one["id"] if keep_ids else k + 1 for k, one in enumerate(rows)}
    for one in rows:
        one.pop("bbox", None)
        one.pop("area", None)
    made.after = {**content, "annotations": [{**one, "id": named[one["id"]]} for one in rows]}
    made.truth = [
        (change, frozenset(old), frozenset(named[n] for n in new)) for change, old, new in truth
    ]
    edited = {n for _, old, _ in truth for n in old}
    made.left = {n: named[n] for n in decoded if n not in edited}
    return made


def _nearest(
    one: Annotation, free: list[Annotation], decoded: dict[int, Pixels], used: set[int]
) -> int | None:
    """Return the nearest mask of the image and category that may be edited and meets none."""
    mine = decoded[one["id"]]
    same = [
        other["id"]
        for other in free
        if other["image_id"] == one["image_id"]
        and other["category_id"] == one["category_id"]
        and other["id"] not in used
        and not (decoded[other["id"]] & mine).any()
        and decoded[other["id"]].sum() >= SMALLEST
    ]
    centre = np.array([np.nonzero(mine)[k].mean() for k in (0, 1)])

    def away(number: int) -> float:
        rows, columns = np.nonzero(decoded[number])
        return float(np.hypot(rows.mean() - centre[0], columns.mean() - centre[1]))

    return min(same, key=away, default=None)
