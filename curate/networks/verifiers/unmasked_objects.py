"""Objects that an image's masks do not explain: proposed masks, each with its probability.

A network says of each pixel whether an object without a mask lies there. Connected pixels over
several levels are candidates, so that one level need not suit large and small objects alike; two
logistic functions, which were fitted to masks dropped from held-out images, turn what is measured
of a candidate into the probability that an object lies there, and the candidates of an image into
the probability that one of its objects has no mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from curate.common.arrays import BoolArray, ByteArray, Float32Array, FloatArray
from curate.common.json_values import is_finite_number
from curate.networks.runtime.hub import import_optional
from curate.networks.verifiers.exhaustivity_network import (
    ExhaustivityShape,
    run_exhaustivity,
    stack_channels,
)
from curate.networks.verifiers.mask_frames import ImageCover
from curate.networks.verifiers.reduced_images import OBJECT_PX, ReducedImage, reduce_image
from curate.rle import Runs, concat, decode_counts, from_dense

LEVELS = (0.08, 0.15, 0.3, 0.5, 0.7, 0.85)
"""Probabilities of pixels over which connected ones are candidates."""

LEAST_SHARE = 0.04
"""Area of the smallest candidate, as a share of that of a typical object."""

EACH_LEVEL = 30
"""Candidates of one level, at most; those with most probability are kept."""

SAME_OBJECT = 0.5
"""Share of the smaller of two candidates that they share, from which on they are one object."""

MOST_OBJECTS = 10
"""Proposed masks of an image, at most."""

MEASURES = ("mean", "highest", "area", "thickness", "beside masks", "filled box", "level")
"""What is measured of a candidate, in the order of :class:`UnmaskedCandidate`."""

SUMMARY = ("best", "sum")
"""What is measured of an image."""

_FLOOR = 1e-3


@dataclass(frozen=True)
class UnmaskedCandidate:
    """Connected pixels in which an object without a mask may lie.

    Attributes:
        top: First row of its box in the reduced picture.
        left: First column.
        pixels: Shape (height, width) of the box.
        level: Probability that all of its pixels have.
        measures: Shape (len(:data:`MEASURES`),).
    """

    top: int
    left: int
    pixels: BoolArray
    level: float
    measures: FloatArray

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of its box."""
        height, width = self.pixels.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


@dataclass(frozen=True)
class LogisticFunction:
    """Probability by measures: a logistic function of their standardised values.

    Attributes:
        means: Shape (k,).
        spreads: Shape (k,), each over 0.
        weights: Shape (k + 1,), the last is the constant.
    """

    means: tuple[float, ...]
    spreads: tuple[float, ...]
    weights: tuple[float, ...]

    def __call__(self, measures: FloatArray) -> FloatArray:
        """Return probabilities, shape (n,), of measures of shape (n, k)."""
        values = (measures - np.array(self.means)) / np.array(self.spreads)
        logits = np.clip(values, -5, 5) @ np.array(self.weights[:-1]) + self.weights[-1]
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))), np.float64)

    def as_record(self) -> dict[str, list[float]]:
        """Return it as JSON has it."""
        return {name: list(getattr(self, name)) for name in ("means", "spreads", "weights")}

    @classmethod
    def from_record(cls, record: object, count: int) -> LogisticFunction:
        """Read what :meth:`as_record` gave.

        Args:
            record: The value.
            count: Measures that it must have.

        Raises:
            ValueError: It is something else.
        """
        if not isinstance(record, dict):
            raise ValueError("a function of measures is no object")
        found = []
        for name, length in (("means", count), ("spreads", count), ("weights", count + 1)):
            values = record.get(name)
            if not isinstance(values, list) or len(values) != length:
                raise ValueError(f"{name} are no list of {length} numbers")
            if not all(is_finite_number(one) for one in values):
                raise ValueError(f"{name} are no finite numbers")
            found.append(tuple(float(one) for one in values))
        if not all(one > 0 for one in found[1]):
            raise ValueError("spreads are not over 0")
        return cls(*found)


@dataclass(frozen=True)
class UnmaskedObjects:
    """Objects of one image that its masks do not explain, the most probable first.

    Attributes:
        runs: Proposed masks, of the image's size; none shares a pixel with a mask that is there.
        probability: Of each that an object without a mask lies there, shape (n,).
        any_probability: That the image has one.
        category: What they are, where the dataset has one category only; None otherwise.
    """

    runs: Runs
    probability: FloatArray
    any_probability: float
    category: str | None = None


def map_unmasked(
    networks: Sequence[object], image: ReducedImage, cover: BoolArray, place: str
) -> Float32Array:
    """Return the probability that an object without a mask lies at each pixel.

    Args:
        networks: They are averaged, and each over the picture and its mirror image.
        image: The picture.
        cover: Which pixels masks cover, shape (height, width) of the reduced picture.
        place: torch's name of the device.

    Returns:
        Shape (height, width); 0 where a mask lies.
    """
    torch = import_optional("torch", "a verifier")
    height, width = image.shape
    inside = np.ones((height, width), np.bool_)
    inputs = torch.from_numpy(stack_channels(image.colours(), inside, cover)[None]).to(place)
    with torch.inference_mode():
        found = [
            logits
            for network in networks
            for logits in (
                run_exhaustivity(network, inputs),
                run_exhaustivity(network, inputs.flip(-1)).flip(-1),
            )
        ]
        logits = torch.stack(found).mean(0)
        double = torch.nn.functional.interpolate(
            logits[:, None], scale_factor=2.0, mode="bilinear", align_corners=False
        )
        shares = torch.sigmoid(double)[0, 0, :height, :width].float().cpu().numpy()
    return np.asarray(np.where(cover, 0, shares), np.float32)


def find_candidates(probability: Float32Array, cover: BoolArray) -> list[UnmaskedCandidate]:
    """Return connected pixels over each of :data:`LEVELS`, and measures of them.

    Args:
        probability: Shape (height, width); 0 where a mask lies.
        cover: Where masks lie.
    """
    near = ndimage.binary_dilation(cover, np.ones((3, 3), np.bool_)) if cover.any() else cover
    found: list[UnmaskedCandidate] = []
    for level in LEVELS:
        over = probability >= level
        if not over.any():
            break
        labels, count = ndimage.label(over)
        sums = np.bincount(labels.ravel(), probability.ravel(), count + 1)
        areas = np.bincount(labels.ravel(), minlength=count + 1)
        large = np.flatnonzero(areas[1:] >= LEAST_SHARE * OBJECT_PX**2) + 1
        chosen = large[np.argsort(-sums[large], kind="stable")[:EACH_LEVEL]]
        boxes = ndimage.find_objects(labels)
        for number in chosen.tolist():
            rows, columns = boxes[number - 1]
            pixels = labels[rows, columns] == number
            measures = _measure(pixels, probability[rows, columns], near[rows, columns], level)
            found.append(UnmaskedCandidate(rows.start, columns.start, pixels, level, measures))
    return found


def _measure(
    pixels: BoolArray, probability: Float32Array, near: BoolArray, level: float
) -> FloatArray:
    """Return the measures of a candidate, shape (len(:data:`MEASURES`),)."""
    area = float(pixels.sum())
    inside = np.pad(pixels, 1)
    distance = ndimage.distance_transform_edt(inside)
    rim = pixels & (distance[1:-1, 1:-1] < 1.5)
    mean, highest = float(probability[pixels].mean()), float(probability[pixels].max())
    return np.array(
        [
            _logit(mean),
            _logit(highest),
            np.log(area / OBJECT_PX**2),
            np.log(float(distance.max()) / np.sqrt(area)),
            float((rim & near).sum()) / max(1.0, float(rim.sum())),
            area / pixels.size,
            level,
        ]
    )


def _logit(share: float) -> float:
    kept = min(max(share, _FLOOR), 1 - _FLOOR)
    return float(np.log(kept / (1 - kept)))


def choose_candidates(
    candidates: Sequence[UnmaskedCandidate], probability: FloatArray, most: int = MOST_OBJECTS
) -> list[int]:
    """Return the places of the most probable candidates, one an object, the surest first.

    Args:
        candidates: Of one image.
        probability: Of each, shape (n,).
        most: How many at most.
    """
    chosen: list[int] = []
    for k in np.argsort(-probability, kind="stable").tolist():
        if not any(_share(candidates[k], candidates[other]) >= SAME_OBJECT for other in chosen):
            chosen.append(k)
            if len(chosen) == most:
                break
    return chosen


def _share(one: UnmaskedCandidate, other: UnmaskedCandidate) -> float:
    """Return the share of the smaller of two candidates that they share."""
    top, left = max(one.top, other.top), max(one.left, other.left)
    parts = []
    for each in (one, other):
        rows, columns = each.place
        bottom, right = (
            min(one.place[0].stop, other.place[0].stop),
            min(one.place[1].stop, other.place[1].stop),
        )
        if bottom <= top or right <= left:
            return 0.0
        own = each.pixels[top - rows.start : bottom - rows.start]
        parts.append(own[:, left - columns.start : right - columns.start])
    both = int((parts[0] & parts[1]).sum())
    return both / min(int(one.pixels.sum()), int(other.pixels.sum()))


def summarise_image(probability: FloatArray) -> FloatArray:
    """Return the measures of an image, shape (len(:data:`SUMMARY`),).

    Args:
        probability: Of its candidates after :func:`choose_candidates`, the surest first.
    """
    best = float(probability[0]) if len(probability) else 0.0
    return np.array([_logit(best), np.log(float(probability.sum()) + 0.01)])


@dataclass(frozen=True)
class ExhaustivityWorth:
    """Worth of what is said of objects without a mask, measured on held-out images.

    Attributes:
        images_auc: Chance that an image from which one mask was dropped gets a higher probability
            of having an unmasked object than one with all its masks; None where it is not known.
        images_auc_low: Lower end of its interval of 90%, by resampling images.
        found: Share of the dropped masks that are among an image's proposals (IoU 0.5 or more).
    """

    images_auc: float | None
    images_auc_low: float | None
    found: float | None

    @property
    def counts(self) -> bool:
        """Whether it is better than chance, so that an audit says anything of it."""
        return self.images_auc_low is not None and self.images_auc_low > 0.5

    def as_record(self) -> dict[str, float | None]:
        """Return it as JSON has it."""
        names = ("images_auc", "images_auc_low", "found")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_record(cls, record: object) -> ExhaustivityWorth:
        """Read what :meth:`as_record` gave.

        Raises:
            ValueError: It is something else.
        """
        if not isinstance(record, dict):
            raise ValueError("what was measured of it is no object")
        values = []
        for name in ("images_auc", "images_auc_low", "found"):
            value = record.get(name)
            if value is not None and not (is_finite_number(value) and 0 <= value <= 1):
                raise ValueError(f"{name} is no number from 0 to 1")
            values.append(None if value is None else float(value))
        return cls(*values)


@dataclass(frozen=True)
class ObjectFinder:
    """All that turns a picture and its masks into proposed masks, but for the networks' weights.

    Attributes:
        shape: Size of the networks.
        object_side: Side of the dataset's typical object as a square, in pixels of images.
        of_candidate: Probability that an object lies in a candidate, by :data:`MEASURES`.
        of_image: Probability that an image has an unmasked object, by :data:`SUMMARY`.
        worth: What was measured of it.
        category: The dataset's only category; None where it has several, or none.
    """

    shape: ExhaustivityShape
    object_side: float
    of_candidate: LogisticFunction
    of_image: LogisticFunction
    worth: ExhaustivityWorth
    category: str | None = None

    def as_record(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {
            "width": self.shape.width,
            "object_side": self.object_side,
            "of_candidate": self.of_candidate.as_record(),
            "of_image": self.of_image.as_record(),
            "held_out": self.worth.as_record(),
            "category": self.category,
        }

    @classmethod
    def from_record(cls, record: object) -> ObjectFinder:
        """Read what :meth:`as_record` gave.

        Raises:
            ValueError: It is something else.
            SourceError: The network's size is beyond reason.
        """
        if not isinstance(record, dict):
            raise ValueError("exhaustivity is no object")
        side: Any = record.get("object_side")
        width, category = record.get("width"), record.get("category")
        if not is_finite_number(side) or not side > 0:
            raise ValueError("object_side is no number over 0")
        if not isinstance(width, int) or not (category is None or isinstance(category, str)):
            raise ValueError("width is no whole number, or category no name")
        return cls(
            ExhaustivityShape(width),
            float(side),
            LogisticFunction.from_record(record.get("of_candidate"), len(MEASURES)),
            LogisticFunction.from_record(record.get("of_image"), len(SUMMARY)),
            ExhaustivityWorth.from_record(record.get("held_out")),
            category,
        )

    def find(
        self, networks: Sequence[object], picture: ByteArray, runs: Runs, place: str
    ) -> UnmaskedObjects:
        """Return the objects of one picture that its masks do not explain.

        Args:
            networks: Those that were not trained on the picture.
            picture: Shape (height, width, 3), RGB.
            runs: Its masks, of its size.
            place: torch's name of the device.
        """
        image = reduce_image(picture, runs, self.object_side)
        cover = image.cover()
        found = map_unmasked(networks, image, cover, place)
        candidates = find_candidates(found, cover)
        probability = self.of_candidate(measures_of(candidates))
        chosen = choose_candidates(candidates, probability)
        any_probability = float(self.of_image(summarise_image(probability[chosen])[None])[0])
        whole = ImageCover.of(runs).cover > 0 if len(runs) else np.zeros(image.size, np.bool_)
        drawn, kept = [], []
        for k in chosen:
            pixels = enlarge_candidate(candidates[k], found, image.size) & ~whole
            if pixels.any():
                drawn.append(from_dense(pixels))
                kept.append(k)
        masks = concat(drawn) if drawn else decode_counts([], [], [])[0]
        return UnmaskedObjects(masks, probability[kept], any_probability, self.category)


def measures_of(candidates: Sequence[UnmaskedCandidate]) -> FloatArray:
    """Return the measures of candidates, shape (n, len(:data:`MEASURES`))."""
    if not candidates:
        return np.zeros((0, len(MEASURES)))
    return np.stack([one.measures for one in candidates])


def enlarge_candidate(
    candidate: UnmaskedCandidate, probability: Float32Array, size: tuple[int, int]
) -> BoolArray:
    """Return a candidate as a mask of the image itself, with a smooth outline.

    Args:
        candidate: In the reduced picture.
        probability: Of the reduced picture's pixels.
        size: Height and width of the image.
    """
    height, width = probability.shape
    rows, columns = candidate.place
    top, left = max(0, rows.start - 1), max(0, columns.start - 1)
    bottom, right = min(height, rows.stop + 1), min(width, columns.stop + 1)
    own = np.zeros((bottom - top, right - left), np.bool_)
    inner = (rows.start - top, columns.start - left)
    own[inner[0] : inner[0] + len(candidate.pixels), inner[1] :][:, : candidate.pixels.shape[1]] = (
        candidate.pixels
    )
    near = ndimage.binary_dilation(own, np.ones((3, 3), np.bool_))
    levels = np.where(near, probability[top:bottom, left:right], 0).astype(np.float32)
    steps = size[0] / height, size[1] / width
    low = round(top * steps[0]), round(left * steps[1])
    high = round(bottom * steps[0]), round(right * steps[1])
    result = np.zeros(size, np.bool_)
    if high[0] <= low[0] or high[1] <= low[1]:
        return result
    drawn = Image.fromarray(levels).resize(
        (high[1] - low[1], high[0] - low[0]), Image.Resampling.BILINEAR
    )
    result[low[0] : high[0], low[1] : high[1]] = np.asarray(drawn) >= candidate.level
    return result
