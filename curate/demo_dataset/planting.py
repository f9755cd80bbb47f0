"""From scenes to annotations: clean outlines of all objects, then planted defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pycocotools import mask as coco_mask

from curate import rle
from curate.common.arrays import BoolArray
from curate.demo_dataset.annotation import DemoAnnotation, deepest, grow, iou, wobble
from curate.demo_dataset.defects import KINDS, ODD_NAME, PLANTS, Kind
from curate.demo_dataset.scenes import HEIGHT, WIDTH, DemoScene, Thing

IMAGES = 24
"""Number of images that the counts of :data:`KINDS` are meant for."""

HARD_TO_SEE = 0.04
"""Share of objects on which even a sound mask is a little off."""


def annotate(rng: np.random.Generator, image_id: int, scene: DemoScene) -> list[DemoAnnotation]:
    """Annotate everything in a scene the way careful people and a good model do."""
    by_hand = rng.random() < 0.35
    return [_annotate(rng, image_id, thing, by_hand) for thing in scene.things]


def _annotate(
    rng: np.random.Generator, image_id: int, thing: Thing, by_hand: bool
) -> DemoAnnotation:
    rings = None
    if by_hand and thing.outline is not None:
        points = thing.outline + rng.normal(0, 0.35, thing.outline.shape)
        rings = [[round(float(v), 2) for v in points.ravel()]]
        mask = draw_polygon(rings)
    else:
        px = 1.6 if rng.random() < HARD_TO_SEE else 0.55
        mask = wobble(rng, thing.visible, px, 18)
    predicted = float(np.clip(rng.normal(0.955, 0.022), 0.86, 1.0))
    return DemoAnnotation(
        image_id=image_id,
        category=thing.category,
        mask=mask,
        true=thing.visible,
        prompt=deepest(mask),
        rings=rings,
        slope=float(rng.uniform(6, 13)),
        predicted_iou=round(predicted, 4),
    )


def draw_polygon(rings: list[list[float]]) -> BoolArray:
    """Return the mask of one polygon ring as every COCO tool draws it."""
    (drawn,) = coco_mask.frPyObjects(rings, HEIGHT, WIDTH)
    runs, _ = rle.decode_counts([drawn["counts"]], np.array([HEIGHT]), np.array([WIDTH]))
    return rle.to_dense(runs, 0)


def second_opinion(rng: np.random.Generator, scenes: dict[int, DemoScene]) -> list[DemoAnnotation]:
    """Annotate the scenes again with a less steady hand that overlooks one object in forty."""
    drawn = []
    for image_id, scene in scenes.items():
        for thing in scene.things:
            if rng.random() < 0.025:
                continue
            mask = wobble(rng, thing.visible, 0.9, 14)
            mask = grow(mask, 0.5) if rng.random() < 0.3 else mask
            drawn.append(DemoAnnotation(image_id, thing.category, mask, thing.visible, (0, 0)))
    return drawn


def counts(images: int) -> dict[str, int]:
    """Return how many of each kind are planted among this many images; at least one."""
    planned = {kind.name: max(1, round(kind.count * images / IMAGES)) for kind in KINDS}
    return planned | {ODD_NAME: max(1, round(3 * images / IMAGES))}


def plant(
    rng: np.random.Generator, sound: list[list[DemoAnnotation]], planned: dict[str, int]
) -> tuple[list[DemoAnnotation], list[DemoAnnotation]]:
    """Plant every kind of mask defect, spread evenly over the images.

    Args:
        rng: Where the choices come from.
        sound: The sound annotations of each image that may be spoilt.
        planned: How many of each kind; where no annotation is fit for a kind there are fewer.

    Returns:
        All annotations, image by image; and those that were dropped (objects without a mask).
    """
    garden = _Garden(rng, sound)
    kinds = [*KINDS, Kind(ODD_NAME, "", 3)]
    hardest_first = sorted(kinds, key=lambda kind: kind.name != "merged")
    for kind in hardest_first:
        if kind.level != "image":
            for _ in range(planned[kind.name]):
                garden.plant_one(kind)
    return garden.annotations, garden.dropped


class _Garden:
    """The annotations while defects are being planted among them.

    Attributes:
        annotations: All of them, sound and planted; positions never change, for partners' sake.
        dropped: Annotations taken away.
    """

    def __init__(self, rng: np.random.Generator, sound: Sequence[Sequence[DemoAnnotation]]) -> None:
        self._rng = rng
        self.annotations: list[DemoAnnotation] = [a for image in sound for a in image]
        self.dropped: list[DemoAnnotation] = []
        self._used: set[int] = set()
        self._planted: dict[int, int] = {image[0].image_id: 0 for image in sound if image}

    def plant_one(self, kind: Kind) -> bool:
        """Plant one defect where the fewest are so far; return whether a place was found."""
        for place in self._places(kind.least_px):
            own = self.annotations[place]
            others = [a for a in self.annotations if a.image_id == own.image_id and a is not own]
            marked = replace(own, kind=kind.name)
            planted = PLANTS[kind.name](self._rng, marked, others)
            if planted is None:
                continue
            changed, added = planted
            self._used.add(place)
            self._planted[own.image_id] += 1
            if changed is None:
                self.dropped.append(marked)
                del self.annotations[place]
                self._used = {p - (p > place) for p in self._used if p != place}
                self.annotations = [_without(a, place) for a in self.annotations]
            elif added is None:
                partner = self._take_neighbour(changed, place) if kind.name == "merged" else -1
                changed = replace(changed, partner=partner)
                self.annotations[place] = _judge(self._rng, changed, own)
            else:
                self._used.add(len(self.annotations))
                partner = place if added.true.any() else -1
                added = _judge(self._rng, replace(added, partner=partner), own)
                self.annotations.append(added)
            return True
        return False

    def _take_neighbour(self, merged: DemoAnnotation, place: int) -> int:
        """Return the position of the neighbour that a merged mask covers, and use it up."""
        covered = [
            0.0
            if k == place or a.image_id != merged.image_id
            else float((a.mask & merged.mask).sum() / a.area)
            for k, a in enumerate(self.annotations)
        ]
        neighbour = int(np.argmax(covered))
        self._used.add(neighbour)
        return neighbour

    def _places(self, least_px: int) -> list[int]:
        """Return positions of unspoilt annotations, those in the least spoilt images first."""
        free = [
            place
            for place, a in enumerate(self.annotations)
            if place not in self._used and not a.kind and a.area >= least_px
        ]
        order = self._rng.random(len(free))
        ranked = sorted(
            range(len(free)),
            key=lambda k: (self._planted[self.annotations[free[k]].image_id], order[k]),
        )
        return [free[k] for k in ranked]


def in_file_order(
    rng: np.random.Generator, annotations: list[DemoAnnotation]
) -> list[DemoAnnotation]:
    """Return annotations image by image, in any order within one, with partners set right."""
    shuffled = rng.permutation(len(annotations))
    order = sorted((int(k) for k in shuffled), key=lambda k: annotations[k].image_id)
    place = {old: new for new, old in enumerate(order)}
    return [replace(annotations[k], partner=place.get(annotations[k].partner, -1)) for k in order]


def _without(annotation: DemoAnnotation, place: int) -> DemoAnnotation:
    """Return an annotation whose partner's position counts without the one at ``place``."""
    partner = annotation.partner
    return replace(annotation, partner=partner - 1) if partner > place else annotation


def _judge(
    rng: np.random.Generator, planted: DemoAnnotation, own: DemoAnnotation
) -> DemoAnnotation:
    """Give a planted mask the predicted IoU of a model that half notices what is wrong."""
    if planted.predicted_iou != own.predicted_iou:
        return planted
    true = iou(planted.mask, planted.true)
    predicted = np.clip(rng.normal(0.84 + 0.11 * true, 0.03), 0.55, 1.0)
    return replace(planted, predicted_iou=round(float(predicted), 4))
