"""Validation of a segmenter: IoU of annotated masks with those drawn from boxes and points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from curate.common.arrays import FloatArray
from curate.networks.segmenter_training.segmenter_record import IouRecord
from curate.networks.segmenter_training.training_masks import MaskedImage
from curate.networks.segmenters.prompting import pairwise_iou, prompt_masks
from curate.networks.segmenters.segmenter import Embedding, Segmenter
from curate.rle import Runs

MOST_MASKS = 100
"""Masks of one image that are tried; of an image with more, as many drawn at random."""

SAMPLES = 1000
"""Bootstrap samples of whole images."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class ValidationIou:
    """IoU of annotated masks with what a segmenter draws for them.

    Each mask is prompted by its box, and by its deepest point; there the one of three masks counts
    that the model itself thinks best.

    Attributes:
        box: For each image the IoU of each mask, shape (n,), in [0, 1].
        point: The same from points.
    """

    box: tuple[FloatArray, ...]
    point: tuple[FloatArray, ...]

    def sums(self) -> FloatArray:
        """Return for each image the sum over its masks of the mean of both IoUs; shape (k,)."""
        pairs = zip(self.box, self.point, strict=True)
        return np.array([(box.sum() + point.sum()) / 2 for box, point in pairs])

    def counts(self) -> FloatArray:
        """Return the masks of each image; shape (k,)."""
        return np.array([len(box) for box in self.box], np.float64)

    @property
    def mean(self) -> float:
        """Mean over masks of the mean of both IoUs."""
        return float(self.sums().sum() / self.counts().sum())

    def as_record(self) -> IouRecord:
        """Return the means, and the interval of the first over images."""
        low, high = bootstrap_interval(self.sums(), self.counts())
        box, point = (float(np.concatenate(v).mean()) for v in (self.box, self.point))
        return {"iou": self.mean, "low": low, "high": high, "box_iou": box, "point_iou": point}

    def minus(self, other: ValidationIou) -> IouRecord:
        """Return the difference to another segmenter's on the same masks, paired by image."""
        gains = self.sums() - other.sums()
        low, high = bootstrap_interval(gains, self.counts())
        mine, its = self.as_record(), other.as_record()
        return {
            "iou": mine["iou"] - its["iou"],
            "low": low,
            "high": high,
            "box_iou": mine["box_iou"] - its["box_iou"],
            "point_iou": mine["point_iou"] - its["point_iou"],
        }


def bootstrap_interval(sums: FloatArray, counts: FloatArray) -> tuple[float | None, float | None]:
    """Return the 95% interval of a mean over masks, from bootstrap samples of whole images.

    Args:
        sums: Shape (k,): the sum over each image's masks.
        counts: Shape (k,): the masks of each image.

    Returns:
        Percentiles; None where there is a single image, which says nothing of others.
    """
    if len(sums) < 2:
        return None, None
    random = np.random.default_rng(0)
    means = []
    for _ in range(SAMPLES):
        drawn = random.integers(0, len(sums), len(sums))
        means.append(sums[drawn].sum() / counts[drawn].sum())
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def choose_masks(image: MaskedImage, seed: int) -> Runs:
    """Return the masks of an image that are tried: all, or :data:`MOST_MASKS` of them.

    Args:
        image: A held-out image.
        seed: Another seed, other masks; the same whichever other images there are.
    """
    if len(image.runs) <= MOST_MASKS:
        return image.runs
    random = np.random.default_rng([seed, int(image.key, 16)])
    return image.runs[np.sort(random.permutation(len(image.runs))[:MOST_MASKS])]


def validate(
    segmenter: Segmenter,
    images: Sequence[MaskedImage],
    embed: Callable[[MaskedImage], Embedding],
    seed: int,
) -> ValidationIou:
    """Measure a segmenter on held-out images; the prompts depend on the masks alone.

    Args:
        segmenter: The model.
        images: Held-out images.
        embed: Returns the embedding of one.
        seed: Of the masks that are drawn where an image has very many.
    """
    box, point = [], []
    for image in images:
        runs = choose_masks(image, seed)
        drawn = prompt_masks(
            segmenter, embed(image), runs, ways=("box", "point"), choose="predicted"
        )
        box.append(pairwise_iou(runs, drawn["box"].drawn.runs))
        point.append(pairwise_iou(runs, drawn["point"].drawn.runs))
    return ValidationIou(tuple(box), tuple(point))
