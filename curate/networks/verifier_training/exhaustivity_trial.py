"""Trial of what is said of unmasked objects: masks dropped from held-out images, one at a time.

From it come the two functions that turn measures into probabilities, and the worth of both, for
which the functions were fitted to the images of other networks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from curate.common.arrays import BoolArray, FloatArray
from curate.networks.runtime.devices import Device
from curate.networks.verifiers.reduced_images import ReducedImage
from curate.networks.verifiers.unmasked_objects import (
    MEASURES,
    SUMMARY,
    ExhaustivityWorth,
    LogisticFunction,
    UnmaskedCandidate,
    choose_candidates,
    find_candidates,
    map_unmasked,
    measures_of,
    summarise_image,
)
from curate.quality.metrics import share_in_order

DROPS = 3
"""Masks that are dropped from each image that is tried, one at a time."""

FOUND_IOU = 0.5
"""IoU with a dropped mask from which on a candidate is that object."""

LEAST_FOUND = 10
"""Candidates that are dropped objects, for their probability to be learned."""

LEAST_IMAGES = 10
"""Images that are tried, for the worth to be known."""

RIDGE = 1.0
"""Strength of the pull of a logistic function's weights towards 0."""

DRAWS = 500
"""Resamples of images for an interval."""

LEAST_PIXELS = 12
"""Pixels of the reduced picture that a mask has, at least, to be dropped."""


@dataclass(frozen=True)
class TriedImage:
    """Candidates in an image with all its masks but one, or with all.

    Attributes:
        image: Its number.
        fold: Number of the network that was asked.
        complete: Whether it had all its masks.
        candidates: What was found.
        iou: Of each with the dropped mask, shape (n,); 0 where none was dropped.
    """

    image: int
    fold: int
    complete: bool
    candidates: list[UnmaskedCandidate] = field(repr=False)
    iou: FloatArray

    def measures(self) -> FloatArray:
        """Return the measures of its candidates, shape (n, k)."""
        return measures_of(self.candidates)


def try_on_drops(
    network: object,
    images: Sequence[tuple[int, ReducedImage]],
    fold: int,
    device: Device,
    seed: int,
    seconds: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[TriedImage]:
    """Ask a network about held-out images, each whole and with up to three masks dropped in turn.

    Args:
        network: In its mode of evaluation.
        images: Images that it was not trained on, with their numbers, in an order by chance.
        fold: Its number.
        device: Where it is.
        seed: Of the masks that are dropped.
        seconds: Time after which no more images are asked about; None for no limit.
        progress: Called with the images that are done, and those in all.
    """
    random = np.random.default_rng([seed, 1 << 21])
    began = time.monotonic()
    found: list[TriedImage] = []
    for done, ((number, image), own) in enumerate(
        zip(images, random.spawn(len(images)), strict=True), 1
    ):
        large = [k for k, one in enumerate(image.masks) if one.pixels.sum() >= LEAST_PIXELS]
        drops = own.permutation(large)[:DROPS].tolist() if large else []
        for dropped in (None, *drops):
            cover = image.cover([] if dropped is None else [int(dropped)])
            probability = map_unmasked([network], image, cover, device.name)
            candidates = find_candidates(probability, cover)
            iou = np.zeros(len(candidates))
            if dropped is not None:
                truth = image.draw([int(dropped)]) & ~cover
                iou = np.array([_iou(one, truth) for one in candidates])
            found.append(TriedImage(number, fold, dropped is None, candidates, iou))
        if progress:
            progress(done, len(images))
        if seconds is not None and time.monotonic() - began >= seconds:
            break
    return found


def _iou(candidate: UnmaskedCandidate, truth: BoolArray) -> float:
    both = int((truth[candidate.place] & candidate.pixels).sum())
    return both / max(1, int(truth.sum()) + int(candidate.pixels.sum()) - both)


@dataclass(frozen=True)
class ExhaustivityTrial:
    """Functions fitted to all tried images, and their worth.

    Attributes:
        of_candidate: See :class:`curate.networks.verifiers.unmasked_objects.ObjectFinder`.
        of_image: Likewise.
        worth: Likewise.
        images: Images that were tried.
        drops: Masks that were dropped.
        found_first: Share of the dropped masks that the image's first proposal was.
    """

    of_candidate: LogisticFunction
    of_image: LogisticFunction
    worth: ExhaustivityWorth
    images: int
    drops: int
    found_first: float | None


def measure_trial(tried: Sequence[TriedImage]) -> ExhaustivityTrial:
    """Fit probabilities to tried images, and measure them on images that they were not fitted to.

    Args:
        tried: Of all networks.
    """
    folds = sorted({one.fold for one in tried})
    whole = _fit_both(tried)
    scores = np.zeros(len(tried))
    places = np.full(len(tried), np.inf)
    for fold in folds:
        others = [one for one in tried if one.fold != fold]
        functions = _fit_both(others) if len(folds) > 1 else whole
        for k, one in enumerate(tried):
            if one.fold == fold:
                scores[k], places[k] = _ask(one, *functions)
    complete = np.array([one.complete for one in tried], np.bool_)
    fold_of = np.array([one.fold for one in tried])
    image_of = np.array([one.image for one in tried])
    dropped = places[~complete]
    known = len(np.unique(image_of)) >= LEAST_IMAGES and 0 < int(complete.sum()) < len(tried)
    auc = _auc_by_fold(scores, complete, fold_of, np.ones(len(tried))) if known else None
    low = None
    if auc is not None:
        random = np.random.default_rng(0)
        images, which = np.unique(image_of, return_inverse=True)
        drawn = []
        for _ in range(DRAWS):
            count = np.bincount(random.integers(len(images), size=len(images)), None, len(images))
            value = _auc_by_fold(scores, complete, fold_of, count[which].astype(np.float64))
            drawn += [] if value is None else [value]
        low = float(np.quantile(drawn, 0.05)) if drawn else None
    learned = sum(int((one.iou >= FOUND_IOU).any()) for one in tried) >= LEAST_FOUND
    worth = ExhaustivityWorth(
        auc,
        low if learned else None,
        float(np.isfinite(dropped).mean()) if len(dropped) else None,
    )
    return ExhaustivityTrial(
        *whole,
        worth,
        len(np.unique(image_of)),
        int((~complete).sum()),
        float((dropped == 0).mean()) if len(dropped) else None,
    )


def _ask(
    one: TriedImage, of_candidate: LogisticFunction, of_image: LogisticFunction
) -> tuple[float, float]:
    """Return the probability of an image, and the place of its dropped mask among proposals."""
    probability = of_candidate(one.measures())
    chosen = choose_candidates(one.candidates, probability)
    score = float(of_image(summarise_image(probability[chosen])[None])[0])
    hits = np.flatnonzero(one.iou[chosen] >= FOUND_IOU)
    return score, float(hits[0]) if len(hits) else np.inf


def _fit_both(tried: Sequence[TriedImage]) -> tuple[LogisticFunction, LogisticFunction]:
    """Fit the probability of candidates, then that of images.

    A candidate in another place than a dropped mask's counts as nothing, although it may be an
    object that nobody has drawn: probabilities are rather too low than too high. Images with all
    their masks weigh as much as those from which one was dropped.
    """
    measures = np.concatenate([one.measures() for one in tried] or [np.zeros((0, len(MEASURES)))])
    found = np.concatenate([one.iou >= FOUND_IOU for one in tried] or [np.zeros(0, np.bool_)])
    of_candidate = fit_logistic(measures, found, np.ones(len(found)))
    summaries = []
    for one in tried:
        probability = of_candidate(one.measures())
        summaries.append(
            summarise_image(probability[choose_candidates(one.candidates, probability)])
        )
    lacking = np.array([not one.complete for one in tried], np.bool_)
    shares = np.where(lacking, 1 / max(1, lacking.sum()), 1 / max(1, (~lacking).sum()))
    weights = shares * len(tried) / 2
    table = np.stack(summaries) if summaries else np.zeros((0, len(SUMMARY)))
    return of_candidate, fit_logistic(table, lacking, weights)


def fit_logistic(measures: FloatArray, truth: BoolArray, weights: FloatArray) -> LogisticFunction:
    """Fit a logistic function by Newton's method, its weights drawn towards 0.

    Args:
        measures: Shape (n, k).
        truth: Shape (n,).
        weights: Of each row, shape (n,).
    """
    count = measures.shape[1]
    if not len(measures):
        return LogisticFunction((0.0,) * count, (1.0,) * count, (0.0,) * count + (-5.0,))
    means = measures.mean(0)
    spreads = measures.std(0)
    spreads = np.where(spreads > 1e-9, spreads, 1.0)
    table = np.clip((measures - means) / spreads, -5, 5)
    table = np.column_stack([table, np.ones(len(table))])
    pull = np.full(count + 1, RIDGE)
    pull[-1] = 1e-3
    found = np.zeros(count + 1)
    for _ in range(50):
        shares = 1 / (1 + np.exp(-np.clip(table @ found, -30, 30)))
        slope = table.T @ (weights * (shares - truth)) + pull * found
        curve = (table.T * (weights * np.maximum(shares * (1 - shares), 1e-6))) @ table
        step = np.linalg.solve(curve + np.diag(pull), slope)
        step *= min(1.0, 3.0 / max(1e-12, float(np.abs(step).max())))
        found -= step
        if float(np.abs(step).max()) < 1e-8:
            break
    return LogisticFunction(
        *(tuple(round(float(v), 9) for v in values) for values in (means, spreads, found))
    )


def _auc_by_fold(
    scores: FloatArray, complete: BoolArray, folds: FloatArray, weights: FloatArray
) -> float | None:
    """Return the mean over networks of the chance that an image with a drop scores higher."""
    values = []
    for fold in np.unique(folds):
        of = folds == fold
        share = share_in_order(scores[of], complete[of], weights[of])
        if not np.isnan(share):
            values.append(share)
    return float(np.mean(values)) if values else None
