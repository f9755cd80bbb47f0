"""Classifier of categories over features of masks, cross-fitted by image, with its measured worth.

Multinomial logistic regression with an L2 penalty; a category weighs with the root of its masks, so
that rare ones are not drowned. The probabilities are out of fold (confident learning, Northcutt et
al., 2021, asks for that): a mask is judged by the classifier that no mask of its image, nor of a
near-duplicate of it, was shown to. They are also calibrated by two numbers, those of the least log
loss out of fold: the logits of all classifiers are divided by a temperature (Guo et al., 2017), and
a share of each probability is that of the category among the masks that were trained on, since a
classifier of many features says 99.9% where it is right for half of the masks, which no temperature
alone mends. Written anew from the papers' ideas, not their code.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
import scipy
from scipy import special

from curate.common.arrays import AnyArray, BoolArray, Float32Array, FloatArray, IntArray
from curate.common.json_values import JsonObject
from curate.networks.verifiers.verifier_worth import FULL_AUC, WEAK_AUC
from curate.store.audit_records import CategoryFold, CategoryReference, CategoryWorth, Empty

FOLDS = 5
MOST_MASKS = 20_000
"""Masks that are trained on at most, drawn at random."""

MOST_CATEGORIES = 200
"""Categories that are told apart: those with the most masks."""

LEAST_MASKS = 1
"""Masks of a category on images of other folds, for a fold's classifier to know it."""

STRENGTHS = (0.01, 0.1, 1.0)
"""Weights of the summed log loss against the penalty (scikit-learn's C) that are tried."""

TRIED_ON = 4_000
"""Masks on which one of them is chosen, at most: that of the least log loss out of fold."""

ENDING = {"maxiter": 100, "ftol": 1e-5}
"""When L-BFGS ends: after so many steps, or where one changes the loss by less than this share."""

CHUNK = 20_000
"""Masks that are judged at once."""

FLAT = 1e-3
"""Standard deviation under which a feature is taken for constant."""

RELIABLE = 0.5
"""Share of masks for which a category as probable was right, and least probability of a category,
for it to be suggested."""

LEAST_SUGGESTED = 10
"""Held-out masks that this share is taken from, at least."""

EVEN = 0.5
"""Score under which another category is more probable."""

MISNAMED = 0.05
"""Share of wrong categories for which it is told how many suggestions are right.

Ten much used datasets have 3.3% of wrong labels in the mean (Northcutt et al., 2021).
"""

TEMPERATURES = (0.5, 50.0)
"""Least and greatest temperature that logits are divided by."""

USUAL_SHARES = (0.001, 0.9)
"""Least and greatest share of a probability that is the category's among all masks."""

BINS = 10
"""Bins of equally many masks, in the order of the top probability, for the calibration error."""

BOUND = 1.645
"""Standard errors by which the accuracy must beat the most frequent category."""

MOST_WEIGHT = 0.5
"""How far ``category_score`` counts in ``quality_score`` at most.

A wrong category is one kind of error among a dozen: on COCO's images for choosing, with 3% of the
categories swapped and 11% of the masks spoilt, full weight gave the average precision of errors of
the mask away (0.37 to 0.32), half of it kept that (0.36) and raised that of any error.
"""

_SALTS = 32
_DIGITS = 6
"""Digits that do not depend on which masks are judged together."""


@dataclass(frozen=True)
class CategoryJudgement:
    """Judgement of n masks; NaN, and None for the suggestion, where there is none.

    Attributes:
        score: P(given) / (P(given) + P(best other)), shape (n,), in [0, 1].
        given: P(given), shape (n,).
        best: Place of the most probable category, shape (n,); -1 where nothing is known.
        best_probability: Its probability, shape (n,).
        suggested: Its name where it is worth telling, shape (n,), object.
        suggested_probability: Its probability there, shape (n,).
    """

    score: FloatArray
    given: FloatArray
    best: IntArray
    best_probability: FloatArray
    suggested: AnyArray
    suggested_probability: FloatArray


def pack(features: FloatArray) -> AnyArray:
    """Return each row of features as bytes, shape (n,); half precision holds what differs."""
    limit = float(np.finfo(np.float16).max)
    halves = np.clip(np.nan_to_num(features), -limit, limit).astype("<f2")
    packed = np.empty(len(halves), object)
    packed[:] = [row.tobytes() for row in halves]
    return packed


def unpack(packed: AnyArray, count: int | None = None) -> tuple[Float32Array, BoolArray]:
    """Return features, shape (known, numbers), and which rows have some, shape (n,).

    Args:
        packed: Bytes, or anything else for none.
        count: Numbers of a mask; those of the first, if None. Others are unknown.
    """
    lengths = np.array([len(one) // 2 if isinstance(one, bytes) else 0 for one in packed], np.int64)
    wanted = count if count is not None else int(lengths.max(initial=0))
    known = (lengths == wanted) & (lengths > 0)
    joined = b"".join(packed[known].tolist())
    return np.frombuffer(joined, "<f2").reshape(-1, max(wanted, 1)).astype(np.float32), known


def fit_classifier(packed: AnyArray, names: AnyArray, groups: IntArray) -> JsonObject:
    """Train one classifier a fold, and measure all on the masks of images they have not seen.

    Args:
        packed: Features of masks, of :func:`pack`, shape (n,).
        names: Their categories, None for none, shape (n,).
        groups: Their images, near-duplicates as one, shape (n,).

    Returns:
        A :class:`~curate.store.audit_records.CategoryReference`; ``{}`` where there are no two
        categories with masks enough on two images.
    """
    named = np.flatnonzero([isinstance(one, str) for one in names])
    if len(named) > MOST_MASKS:
        named = np.sort(np.random.default_rng(0).choice(named, MOST_MASKS, replace=False))
    features, known = unpack(packed[named])
    rows = named[known]
    categories = _most_frequent(names[rows])
    place = {name: k for k, name in enumerate(categories)}
    codes = np.array([place.get(one, -1) for one in names[rows]], np.int64)
    features, codes, of_image = features[codes >= 0], codes[codes >= 0], groups[rows][codes >= 0]
    salt = _choose_salt(of_image)

    fold_of = deal(of_image, salt)
    strength = _choose_strength(features, codes, fold_of, len(categories))
    folds: list[CategoryFold] = []
    for fold in range(FOLDS):
        shown = fold_of != fold
        fitted = _train(features[shown], codes[shown], len(categories), strength)
        if fitted is None:
            return {}
        folds.append(fitted)
    reference: CategoryReference = {
        "categories": categories,
        "features": int(features.shape[1]),
        "salt": salt,
        "folds": folds,
        "temperature": 1.0,
        "usual": 0.0,
        "least_suggested": None,
    }
    before, _ = _measure(reference, features, codes, of_image)
    reference = _calibrate(reference, features, codes, of_image)
    worth, least = _measure(reference, features, codes, of_image)
    worth["calibration_error_before"] = before.get("calibration_error")
    return {**reference, "held_out": worth, "least_suggested": least}


def _calibrate(
    reference: CategoryReference, features: Float32Array, codes: IntArray, groups: IntArray
) -> CategoryReference:
    """Return classifiers with the temperature and the share of the usual of the least log loss."""
    fold_of, shown = deal(groups, reference["salt"]), []
    for number, fold in enumerate(reference["folds"]):
        known = np.array(fold["known"], np.int64)
        rows = np.flatnonzero((fold_of == number) & np.isin(codes, known))
        own = np.searchsorted(known, codes[rows])
        logits = _logits(fold, features[rows])
        shown.append((logits, logits[np.arange(len(rows)), own], _shares(fold)[own]))
    total = sum(len(own) for _, own, _ in shown)
    if not total:
        return reference

    def lost(values: FloatArray) -> float:
        temperature, usual = np.exp(values[0]), special.expit(values[1])
        found = 0.0
        for logits, own, share in shown:
            log = own / temperature - special.logsumexp(logits / temperature, axis=1)
            found -= float(np.log((1 - usual) * np.exp(log) + usual * share).sum())
        return found / total

    bounds = (np.log(TEMPERATURES), special.logit(USUAL_SHARES))
    found = scipy.optimize.minimize(lost, [0.0, -2.0], method="L-BFGS-B", bounds=bounds)
    temperature, usual = np.exp(found.x[0]), special.expit(found.x[1])
    return {
        **reference,
        "temperature": round(float(temperature), 3),
        "usual": round(float(usual), 4),
    }


def _choose_strength(
    features: Float32Array, codes: IntArray, fold_of: IntArray, count: int
) -> float:
    """Return the weight of the log loss with which the largest fold is foretold best."""
    fold = int(np.bincount(fold_of, minlength=FOLDS).argmax())
    shown, held = np.flatnonzero(fold_of != fold)[:TRIED_ON], np.flatnonzero(fold_of == fold)
    lost: dict[float, float] = {}
    for strength in STRENGTHS:
        fitted = _train(features[shown], codes[shown], count, strength)
        if fitted is None:
            break
        found = _foretell(fitted, features[held])
        place = np.full(count, -1)
        place[fitted["known"]] = np.arange(len(fitted["known"]))
        own = place[codes[held]]
        given = found[own >= 0, own[own >= 0]]
        lost[strength] = float(-np.log(np.maximum(given, 1e-12)).mean()) if len(given) else 0.0
    return min(lost, key=lambda one: lost[one]) if lost else STRENGTHS[0]


def _logits(fold: CategoryFold, features: Float32Array) -> FloatArray:
    """Return the logits of the categories that a classifier knows, shape (n, known)."""
    weights = np.frombuffer(base64.b64decode(fold["weights"]), "<f2").astype(np.float64)
    slopes = weights.reshape(len(fold["known"]), -1)
    return np.asarray(features.astype(np.float64) @ slopes.T + np.array(fold["bias"]), np.float64)


def _shares(fold: CategoryFold) -> FloatArray:
    """Return the shares of the categories among the masks trained on; older audits lack them."""
    known = len(fold["known"])
    return np.asarray(fold.get("shares") or np.full(known, 1 / known), np.float64)


def _foretell(
    fold: CategoryFold, features: Float32Array, temperature: float = 1.0, usual: float = 0.0
) -> FloatArray:
    """Return the probabilities of the categories that a classifier knows, shape (n, known)."""
    found = special.softmax(_logits(fold, features) / temperature, axis=1)
    return np.asarray((1 - usual) * found + usual * _shares(fold), np.float64)


def _most_frequent(names: AnyArray) -> list[str]:
    """Return the categories with the most masks, in the order of their names."""
    found, counts = np.unique(names.astype(str), return_counts=True)
    order = np.lexsort((found, -counts))[:MOST_CATEGORIES]
    return [str(name) for name in sorted(found[order].tolist())]


def deal(groups: IntArray, salt: int) -> IntArray:
    """Return the fold of each image, shape (n,), which depends on its number and a salt alone."""
    x = groups.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt + 1)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) % np.uint64(FOLDS)).astype(np.int64)


def _choose_salt(groups: IntArray) -> int:
    """Return the salt whose largest fold of masks is the smallest."""
    largest = [
        int(np.bincount(deal(groups, salt), minlength=FOLDS).max()) for salt in range(_SALTS)
    ]
    return int(np.argmin(largest))


def _train(
    features: Float32Array, codes: IntArray, count: int, strength: float
) -> CategoryFold | None:
    """Train a classifier; None where it would know fewer than two categories."""
    masks = np.bincount(codes, minlength=count)
    known = np.flatnonzero(masks >= LEAST_MASKS)
    if len(known) < 2:
        return None
    own = masks[codes] >= LEAST_MASKS
    x, y = features[own].astype(np.float64), np.searchsorted(known, codes[own])
    mean, spread = x.mean(0), x.std(0)
    scale = np.where(spread < FLAT, 0.0, 1 / np.maximum(spread, FLAT))
    x = np.asarray((x - mean) * scale, np.float32)
    weight = 1 / np.sqrt(masks[known])[y]
    weight /= weight.mean()
    target = np.zeros((len(x), len(known)))
    target[np.arange(len(x)), y] = 1.0
    shape = (x.shape[1] + 1, len(known))

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        values = flat.reshape(shape)
        logits = (x @ values[:-1].astype(np.float32)).astype(np.float64) + values[-1]
        log_total = special.logsumexp(logits, axis=1)
        lost = weight @ (log_total - logits[np.arange(len(x)), y])
        error = (np.exp(logits - log_total[:, None]) - target) * weight[:, None]
        slope = np.concatenate([x.T @ error.astype(np.float32), error.sum(0)[None]])
        slope[:-1] += values[:-1] / strength
        penalty = (values[:-1] ** 2).sum() / (2 * strength)
        return float(lost + penalty) / len(x), np.asarray(slope.ravel() / len(x), np.float64)

    found = scipy.optimize.minimize(
        loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options=ENDING
    )
    values = found.x.reshape(shape)
    slopes = values[:-1] * scale[:, None]
    packed = np.asarray(slopes.T, "<f2").tobytes()
    return {
        "known": known.tolist(),
        "weights": base64.b64encode(packed).decode(),
        "bias": (values[-1] - mean @ slopes).tolist(),
        "shares": (masks[known] / masks[known].sum()).tolist(),
    }


def probabilities(
    reference: CategoryReference, features: Float32Array, groups: IntArray
) -> FloatArray:
    """Return P(category) by the classifier that has not seen a mask's image, shape (n, categories).

    0 of a category that this classifier does not know.
    """
    found = np.zeros((len(features), len(reference["categories"])))
    fold_of = deal(groups, reference["salt"])
    calibration = reference.get("temperature", 1.0), reference.get("usual", 0.0)
    for number, fold in enumerate(reference["folds"]):
        rows, known = np.flatnonzero(fold_of == number), np.array(fold["known"], np.int64)
        for first in range(0, len(rows), CHUNK):
            some = rows[first : first + CHUNK]
            found[np.ix_(some, known)] = _foretell(fold, features[some], *calibration)
    return found


def _ask(
    reference: CategoryReference, features: Float32Array, groups: IntArray, codes: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return the score of each mask's category, and the probabilities of all categories.

    The score is NaN of a category that the classifier does not know. It is one of the probabilities
    before the share of the usual: with it, of swapped categories of COCO fewer came early (average
    precision 0.35 instead of 0.36, beside other errors 0.29 instead of 0.31).
    """
    found = probabilities({**reference, "usual": 0.0}, features, groups)
    rows = np.arange(len(found))
    given = found[rows, codes]
    found[rows, codes] = 0.0
    total = given + found.max(1, initial=0.0)
    score = np.divide(given, total, out=np.full(len(found), np.nan), where=given > 0)
    return score, probabilities(reference, features, groups)


def judge_categories(
    reference: CategoryReference | Empty, packed: AnyArray, names: AnyArray, groups: IntArray
) -> CategoryJudgement:
    """Judge the categories of masks.

    Args:
        reference: Of :func:`fit_classifier`; ``{}`` gives no judgement.
        packed: Features of masks, shape (n,).
        names: Their categories, shape (n,).
        groups: Their images, near-duplicates as one, shape (n,).
    """
    n = len(packed)
    blank = np.full(n, np.nan)
    result = CategoryJudgement(
        blank.copy(), blank.copy(), np.full(n, -1), blank.copy(), np.full(n, None, object), blank
    )
    if "categories" not in reference or not n:
        return result
    categories = reference["categories"]
    place = {name: k for k, name in enumerate(categories)}
    features, known = unpack(packed, reference["features"])
    codes = np.array([place.get(one, -1) for one in names], np.int64)
    kept = codes[known] >= 0
    rows = np.flatnonzero(known)[kept]
    if not len(rows):
        return result
    score, found = _ask(reference, features[kept], groups[rows], codes[rows])
    given = found[np.arange(len(rows)), codes[rows]]
    judged = np.isfinite(score)
    rows, found = rows[judged], np.round(found[judged], _DIGITS)
    result.score[rows] = np.round(score[judged], _DIGITS)
    result.given[rows] = np.round(given[judged], _DIGITS)
    best = found.argmax(1)
    result.best[rows] = best
    result.best_probability[rows] = found[np.arange(len(rows)), best]
    least = reference["least_suggested"]
    told = (best != codes[rows]) & (result.score[rows] < EVEN)
    told &= result.best_probability[rows] >= (2.0 if least is None else least)
    result.suggested[rows[told]] = np.array(categories, object)[best[told]]
    result.suggested_probability[rows[told]] = result.best_probability[rows[told]]
    return result


def _measure(
    reference: CategoryReference, features: Float32Array, codes: IntArray, groups: IntArray
) -> tuple[CategoryWorth, float | None]:
    """Measure classifiers on images they have not seen, against the categories as given.

    Returns:
        What was measured, and the probability from which on the most probable category was right
        for :data:`RELIABLE` of the masks; None where there is none.
    """
    score, found = _ask(reference, features, groups, codes)
    judged = np.isfinite(score)
    found, codes, groups, score = found[judged], codes[judged], groups[judged], score[judged]
    if not len(score):
        return {
            "masks": 0,
            "accuracy": None,
            "most_frequent": None,
            "auc": None,
            "weight": 0.0,
            "calibration_error": None,
        }, None
    right = found.argmax(1) == codes
    frequent = codes == np.bincount(codes).argmax()
    gain = right.astype(np.float64) - frequent
    _, of_image = np.unique(groups, return_inverse=True)
    per_image = np.bincount(of_image, gain - gain.mean())
    error = float(np.sqrt((per_image**2).sum())) / len(gain)  # masks of an image go together
    swapped, _ = _ask(reference, features[judged], groups, _swap(codes, found))
    auc = _auc(score, swapped[np.isfinite(swapped)])
    weight = 0.0
    if gain.mean() > BOUND * error and auc is not None:
        share = (auc - WEAK_AUC) / (FULL_AUC - WEAK_AUC)
        weight = round(MOST_WEIGHT * min(1.0, max(0.0, share)), 3)
    worth: CategoryWorth = {
        "masks": len(score),
        "accuracy": round(float(right.mean()), 4),
        "most_frequent": round(float(frequent.mean()), 4),
        "auc": None if auc is None else round(auc, 4),
        "weight": weight,
        "calibration_error": round(calibration_error(found.max(1), right), 4),
    }
    least = _least_reliable(found.max(1), right) if weight else None
    if least is not None:
        worth["suggestions_right"] = _suggestions_right(right[found.max(1) >= least])
    return worth, least


def _suggestions_right(right: BoolArray) -> float:
    """Return the share of suggestions that are right where :data:`MISNAMED` masks are misnamed.

    Where a name is wrong the classifier is as often right as it is of all masks, as far as is
    known; where the name is right, it suggests another one as often as it differs.

    Args:
        right: Whether the most probable category is the given one, of masks of which it is probable
            enough to be suggested, shape (n,), n of 1 or more.
    """
    same = float(right.mean())
    hit, miss = MISNAMED * same, (1 - MISNAMED) * (1 - same)
    # A wrong name is contradicted by nearly every probable category, the right one or not.
    return round(hit / (MISNAMED + miss), 4)


def calibration_error(probability: FloatArray, right: BoolArray) -> float:
    """Return the mean distance of probabilities from how often they were right, in [0, 1].

    The expected calibration error (Naeini et al., 2015) over :data:`BINS` bins of equally many.

    Args:
        probability: Of the most probable category, shape (n,), n of 1 or more.
        right: Whether it is the given one, shape (n,).
    """
    order = np.argsort(probability, kind="stable")
    off = [
        abs(float(probability[some].sum()) - int(right[some].sum()))
        for some in np.array_split(order, BINS)
    ]
    return sum(off) / len(probability)


def _swap(codes: IntArray, found: FloatArray) -> IntArray:
    """Return another category for each mask, drawn at random among those that are known to it."""
    draws = np.random.default_rng(0).random(found.shape) * (found > 0)
    draws[np.arange(len(codes)), codes] = -1.0
    return np.asarray(draws.argmax(1), np.int64)


def _auc(right: FloatArray, wrong: FloatArray) -> float | None:
    """Return the chance that a right category scores higher than a wrong one; ties count half."""
    if not len(right) or not len(wrong):
        return None
    ordered = np.sort(wrong)
    below = np.searchsorted(ordered, right, "left") + np.searchsorted(ordered, right, "right")
    return float(below.mean() / (2 * len(wrong)))


def _least_reliable(probability: FloatArray, right: BoolArray) -> float | None:
    """Return the least probability down to which the best category was right often enough.

    It is at least :data:`RELIABLE`: the mean over more probable ones hides those at its end.
    """
    order = np.argsort(-probability, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((share >= RELIABLE) & (np.arange(len(order)) >= LEAST_SUGGESTED - 1))
    if not len(enough):
        return None
    return round(max(RELIABLE, float(probability[order[enough[-1]]])), _DIGITS)
