"""Effect of leaving masks out: masks and images before and after, by category and by size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun, plural
from curate.subsets.candidates import Candidates

SIZES = (("small", 0, 32**2), ("medium", 32**2, 96**2), ("large", 96**2, 2**62))
"""COCO's sizes: name, least area in pixels, and the area from which on it is the next."""

_SHOWN = 10
"""Categories that the text lists; JSON has all."""

_NO_CATEGORY = "no category"


@dataclass(frozen=True)
class Count:
    """Masks of one kind.

    Attributes:
        name: The category or size; None for masks without a category.
        before: How many there are.
        after: How many stay as masks.
    """

    name: str | None
    before: int
    after: int


@dataclass(frozen=True, repr=False)
class Effect(ReadableResult):
    """Effect of leaving masks out, or of making them ignore regions.

    Attributes:
        masks: All masks but crowd regions; all other counts are of these.
        images: Images with masks before, and after.
        images_in_all: All images, those without masks too.
        partial_images: Images that keep some of their masks and lose others, which become no ignore
            regions.
        crowds: Crowd regions: regions that are not judged, and no mask to choose.
        categories: A count a category, by name.
        sizes: A count for each of COCO's sizes.
        floor: Masks of each category that were to stay; 0 for no floor.
        ignored: Masks that become ignore regions.
    """

    masks: Count
    images: Count
    images_in_all: int
    partial_images: int
    crowds: Count
    categories: Sequence[Count]
    sizes: Sequence[Count]
    floor: int = 0
    ignored: int = 0

    @property
    def emptied_images(self) -> int:
        """Images that lose all their masks."""
        return self.images.before - self.images.after

    @property
    def lost_categories(self) -> list[Count]:
        """Categories that have masks before and none after."""
        return [one for one in self.categories if one.before and not one.after]

    @property
    def under_floor(self) -> list[Count]:
        """Categories that keep some masks, but fewer than the floor and than they had."""
        return [one for one in self.categories if 0 < one.after < min(self.floor, one.before)]

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return {
            "masks": _plain(self.masks),
            "images": _plain(self.images),
            "images_in_all": self.images_in_all,
            "emptied_images": self.emptied_images,
            "partial_images": self.partial_images,
            "crowd_regions": _plain(self.crowds),
            "ignored": self.ignored,
            "categories": [{"name": one.name, **_plain(one)} for one in self.categories],
            "sizes": [{"name": one.name, **_plain(one)} for one in self.sizes],
            "floor": self.floor,
            "categories_lost": [one.name for one in self.lost_categories],
            "categories_under_floor": [one.name for one in self.under_floor],
        }

    def text(self) -> str:
        """Return the effect as a small table, and what it costs in sentences."""
        shown = sorted(self.categories, key=lambda one: (-one.before, one.name or ""))
        rows = [("masks", self.masks), ("images with masks", self.images)]
        rows += [(f"  {one.name or _NO_CATEGORY}", one) for one in shown[:_SHOWN]]
        rest = shown[_SHOWN:]
        if rest:
            more = Count(None, sum(c.before for c in rest), sum(c.after for c in rest))
            rows.append((f"  {len(rest):,} further categories", more))
        rows += [(f"  {one.name}", one) for one in self.sizes]
        width = max(len(name) for name, _ in rows)
        numbers = [(f"{one.before:,}", f"{one.after:,}") for _, one in rows]
        left, right = (max(len("before"), *(len(n[k]) for n in numbers)) for k in (0, 1))
        lines = [f"{'':{width}}  {'before':>{left}}  {'after':>{right}}"]
        for (name, one), (before, after) in zip(rows, numbers, strict=True):
            share = f"{one.after / one.before:7.1%}" if one.before else ""
            lines.append(f"{name:{width}}  {before:>{left}}  {after:>{right}} {share}".rstrip())
        return "\n".join([*lines, *self._losses()])

    def _losses(self) -> list[str]:
        lines = []
        if self.crowds.before:
            some = count_noun(self.crowds.before, "crowd region")
            lines.append(f"{some} besides, {self.crowds.after:,} of them kept")
        lost, under = self.lost_categories, self.under_floor
        if lost:
            what = plural(len(lost), "category loses", "categories lose")
            lines.append(f"{len(lost):,} {what} all masks: {_list_names(lost)}")
        if under:
            what = plural(len(under), "category keeps", "categories keep")
            text = f"{len(under):,} {what} fewer than {self.floor:,} masks"
            lines.append(f"{text}: {_list_names(under)}")
        return lines


def measure_effect(
    candidates: Candidates,
    stays: BoolArray | FloatArray,
    ignored: BoolArray | None = None,
    *,
    floor: int = 0,
) -> Effect:
    """Count what stays and what goes.

    Args:
        candidates: All masks.
        stays: Shape (n,); which stay as masks, or their weights, which are summed up.
        ignored: Shape (n,); which of the others become ignore regions.
        floor: Masks of each category that were to stay.
    """
    regions = np.zeros(len(stays), np.bool_) if ignored is None else ignored
    crowd = candidates.masks["crowd"].to_numpy(np.bool_)
    crowds = Count("crowd regions", int(crowd.sum()), round(float(stays[crowd].sum())))
    masks, kept = candidates.masks[~crowd], stays[~crowd]
    area = masks["area_px"].to_numpy(np.int64)
    category = masks["category"].to_numpy(np.int64)
    image = np.unique(masks["image_id"].to_numpy(np.int64), return_inverse=True)[1]
    before = np.bincount(image)
    after = np.bincount(image[kept > 0], minlength=len(before))
    lasting = np.bincount(image[(kept > 0) | regions[~crowd]], minlength=len(before))
    band = np.searchsorted([low for _, low, _ in SIZES], area, side="right") - 1
    return Effect(
        Count("masks", len(masks), round(float(kept.sum()))),
        Count("images", len(before), int((after > 0).sum())),
        candidates.images,
        int(((after > 0) & (lasting < before)).sum()),
        crowds,
        _count(category, kept, candidates.names),
        _count(band, kept, [name for name, _, _ in SIZES]),
        floor,
        int(regions.sum()),
    )


def _count(
    group: IntArray, kept: BoolArray | FloatArray, names: Sequence[str | None]
) -> list[Count]:
    before = np.bincount(group, minlength=len(names)).tolist()
    after = np.bincount(group, kept, minlength=len(names)).tolist()
    return [Count(name, b, round(a)) for name, b, a in zip(names, before, after, strict=True)]


def _plain(one: Count) -> dict[str, int]:
    return {"before": one.before, "after": one.after}


def _list_names(some: Sequence[Count]) -> str:
    named = [f"{one.name or _NO_CATEGORY} ({one.after:,} of {one.before:,})" for one in some]
    more = f" and {len(named) - _SHOWN:,} more" if len(named) > _SHOWN else ""
    return ", ".join(named[:_SHOWN]) + more
