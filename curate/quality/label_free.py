"""Label-free quality: the worst of all signals, by how unusual each is in the dataset.

Own definition. A signal speaks where a value is rare, and the rarer the louder: its evidence is
``-ln(tail)``, tail being the share of the dataset's masks that score as low or lower. Rare is not
yet wrong, so the evidence counts fully only

- where a flaw is almost unheard of: ``(1 - flawed) ** 10``, flawed being the share of masks that
  score under 1, is the chance that ten masks drawn at random are all flawless; and otherwise
- by how far the value lies under what nine masks in ten reach, against the ordinary spread,
  squared; a column that is merely wide then adds little. For signals of form, that shortfall also
  counts as a share of the usual value, squared: objects may well be long, bent or ragged, and only
  a gross oddity of form hints at an error, while a picture or a model that contradicts the mask
  does so at any size.

What others annotated counts apart. Who drew the same image without knowing this mask says whether
it is right, not whether it is rare: a mask in ten without any counterpart is not usual but often
wrong. So that evidence is the tail's in full for the lowest quarter of the masks (it falls to 0 at
the median, since half of the masks are ordinary), and the sum over the others, as if they were
independent (on neurons, which three people and four programs drew, average precision rose from
between 0.12 and 0.41 to between 0.28 and 0.70; agreement alone has 0.27 to 0.69).

A signal that is itself a probability that the mask is good (a verifier's) has a scale of its own,
its log odds, and both signs: :data:`PER_ODDS` of those against the mask are added to what form,
picture and models say of it together, and of those for the mask taken away. So what is odd and
looks wrong comes first, what is odd and looks right later. As one more evidence among others it
would have mixed what geometry finds surely with what the verifier finds: planted into nuclei
(average precision, without a verifier, as one more, and added), slivers had 0.91, 0.87 and 0.97,
torn masks 0.75, 0.73 and 0.95, six kinds that geometry hardly finds 0.06, 0.15 and 0.25. It counts
in proportion to what was measured of the model on held-out images, and not at all where that is
little more than chance (:mod:`curate.networks.verifiers.verifier_worth`).

A classifier's doubt about the category stands apart from all that: it says nothing of the mask, and
a mask that looks right takes nothing from it. It counts by its rarity, times the share by which it
is under one half, times half at most by what was measured of the classifier
(:mod:`curate.scorers.category_classifier`).

The evidences of a mask come together as the root of their squares, so that the strongest sign leads
and others corroborate; the judgement is added to that. What other masks and other annotations say
stands apart from it, since a verifier sees them too or not at all: the root of the squares of both
is E, and ``quality_score = 1 / (1 + E)``. Where masks are judged, what stands apart counts
:data:`APART` times, and the fourth root of the fourth powers is taken, so that the larger leads.
There the evidence without the judgement stands apart, too, :data:`ALONE` times: a network does not
look for all that geometry sees, and what it takes for right may well be a sure find. The quality is
relative to its dataset and no probability until reviews calibrate it.

Each column says of itself whether and how it counts (:func:`signals`). Of the built-in ones these
do not, on purpose: ``coverage_score`` and ``shape_score``, since a large or an odd object is not a
bad mask (on held-out nuclei and COCO they took precision away), and ``contrast_score`` likewise.
``declaration_score`` and ``detector_category_score`` speak of the box, area and category stored
beside the mask, not of the mask; a policy has rules of their own for them.
``prompt_robustness_score`` says what ``reprompt_score`` says, and took precision away on nuclei.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray
from curate.rle.runs import kernel
from curate.scorers import columns
from curate.scorers.scorer import Column, Evidence
from curate.store.audit_records import TailReference

STORED: tuple[Column, ...] = (
    Column("predicted_iou", "Predicted IoU", "measure", "share", evidence="contradiction"),
    Column("stability_score", "Stability", evidence="contradiction"),
)
"""Signals that come from the source, which no scorer writes."""

ORDER: tuple[str, ...] = (
    "predicted_iou",
    "stability_score",
    "prompt_score",
    "uniqueness_score",
    "edge_score",
    "detector_score",
    "agreement_score",
    "reprompt_score",
    "verifier_score",
    "category_score",
    "fragment_score",
    "hole_score",
    "outline_score",
    "hairline_score",
    "compact_score",
    "straight_score",
    "split_score",
    "crop_score",
    "detail_score",
    "edge_offset_score",
)
"""Order in which evidences are summed up, so that a quality is the same to its last bit."""

FLAWLESS_DRAWS = 10
USUAL = 0.1
LOWEST_QUARTER = 0.25
"""Share of masks on which annotations count in full; from twice as many on they do not count."""

PER_ODDS = 1.0
"""Nats of evidence that a nat of the log odds of a judgement counts as.

On the development half of three sets, 0.5 to 1 were compared: less finds fewer masks in the wrong
place, more puts them before what geometry finds surely, which :data:`ALONE` holds against.
"""

MOST_FOR = 3.0
"""Log odds for a mask that count, at most: a network does not look for all that geometry sees."""

MANY_AGAINST = 6.0
"""Log odds against a mask from which on more of them count by their logarithm only."""

OF_OTHER_MASKS = ("uniqueness_score",)
"""Signals that no judgement is added to, beside annotations: the verifier sees other masks, too."""

APART = 2.0
"""How often what stands apart from a judgement counts where there is one.

A sum of evidence and judgement is larger than any evidence alone: duplicates, of which a verifier
knows less than :data:`OF_OTHER_MASKS`, would come after all sums.
"""

ALONE = 2.0
"""How often the evidence of form, picture and models counts beside its sum with a judgement.

Of the nuclei as first published people mended small holes, which a verifier takes for right. By the
sum alone, those masks had an average precision of 0.35 on the development half (0.87 without a
verifier); with the evidence beside it they have 0.85. Planted errors of any kind lost 0.05 by that
among nuclei (0.82; 0.66 without a verifier), none in COCO and brain tumours.
"""

EVEN = 0.5
"""Score of a category under which another one is more probable."""

SMALLEST = 0.5
"""Sum of evidence and judgement from which on down it falls by degrees, and never to 0."""

MOST_EVIDENCE = 50.0
"""Nats of evidence that are told apart as odds."""

POINTS_PER_DECADE = 30


def signals() -> dict[str, Column]:
    """Return the columns that the quality is made of, by name; one that a frame lacks is silent.

    Each says of itself how it counts (:attr:`~curate.scorers.scorer.Column.evidence`): those of the
    source, of the built-in scorers, and behind them those of other packages.
    """
    described = {column.name: column for column in STORED} | columns("mask")
    found = {name: column for name, column in described.items() if column.evidence}
    others = [name for name in found if name not in ORDER]
    return {name: found[name] for name in (*ORDER, *others) if name in found}


def signals_of(reference: Mapping[str, TailReference]) -> dict[str, Column]:
    """Return the signals of a reference by name, also those whose package is gone since."""
    known = signals()
    return {name: known.get(name) or _describe(name, one) for name, one in reference.items()}


def columns_read(reference: Mapping[str, TailReference]) -> set[str]:
    """Return the columns of masks that :func:`evidence` reads."""
    counts = {signal.count for signal in signals_of(reference).values() if signal.count}
    return {*reference, *counts}


def _describe(name: str, reference: TailReference) -> Column:
    """Return a signal as its entry in a reference describes it."""
    kind: Literal["score", "measure"] = "score" if name.endswith("_score") else "measure"
    return Column(
        name,
        name,
        kind,
        evidence=reference.get("evidence", "form"),
        count=reference.get("count", ""),
        best=reference.get("best", 1.0),
        worst=reference.get("worst", 0.0),
    )


def _lower_tail(values: FloatArray) -> TailReference:
    """Describe a column in some 200 numbers: its lower tail at log-spaced ranks, its usual ones."""
    ordered = np.sort(values)
    n = len(ordered)
    decades = np.arange(0, np.log10(n) + 1 / POINTS_PER_DECADE, 1 / POINTS_PER_DECADE)
    ranks = np.unique(np.ceil(n / 10**decades).astype(int).clip(1, n))
    points = np.unique(ordered[ranks - 1])
    return {
        "value": points.tolist(),
        "share": (np.searchsorted(ordered, points, side="right") / n).tolist(),
        "usual": float(ordered[int(USUAL * (n - 1))]),
        "median": float(ordered[n // 2]),
        "flawed": float((ordered < 1).mean()),
    }


def fit(
    frame: pd.DataFrame, weights: Mapping[str, float] | None = None
) -> dict[str, TailReference]:
    """Describe what is usual in a dataset.

    Args:
        frame: A row a mask (a random sample is enough), any of :func:`signals` as columns.
        weights: How far some signals count, in [0, 1]; all others count in full.

    Returns:
        By column, some 200 numbers on the scale of scores; JSON-able.
    """
    reference = {}
    for name, column in signals().items():
        if name in frame:
            values = scores_of(frame, column)
            known = values[np.isfinite(values)]
            if len(known):
                reference[name] = _lower_tail(known)
                if name not in ORDER:  # the package that wrote it may be gone when it is read
                    reference[name]["evidence"] = column.evidence
                    if column.count:
                        reference[name]["count"] = column.count
                    reference[name]["best"] = column.best
                    reference[name]["worst"] = column.worst
                if weights and name in weights:
                    reference[name]["weight"] = weights[name]
    return reference


def evidence(
    frame: pd.DataFrame,
    reference: Mapping[str, TailReference],
    limits: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return how strongly each signal speaks against each mask.

    Args:
        frame: A row a mask, the columns of the reference.
        reference: What :func:`fit` gave.
        limits: By signal, the value from which on it does not speak, however rare it is; in the
            unit of the column.

    Returns:
        Same index, a column a signal, in nats, at least 0; 0 where the signal is not available.
    """
    limits = limits or {}
    found = {}
    for name, signal in signals_of(reference).items():
        if name in frame:
            values = scores_of(frame, signal)
            limit = signal.as_score(np.array(limits[name])) if name in limits else 1.0
            times = reference[name].get("weight", 1.0) * _count_others(frame, signal)
            strength = _speaks(values, signal.evidence, reference[name])
            found[name] = strength * times * (values < limit)
    return pd.DataFrame(found, index=frame.index)


def _count_others(frame: pd.DataFrame, signal: Column) -> FloatArray | float:
    """Return how often a signal counts: 1, or for annotations once for each other, (masks,)."""
    if signal.count not in frame:
        return 1.0
    count = frame[signal.count].to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isnan(count), 1.0, count)


def scores_of(frame: pd.DataFrame, signal: Column) -> FloatArray:
    """Return a signal's values on the scale of scores, shape (masks,), NaN where there is none."""
    return signal.as_score(frame[signal.name].to_numpy(np.float64, na_value=np.nan))


def _speaks(values: FloatArray, kind: Evidence, reference: TailReference) -> FloatArray:
    """Return one signal's evidence against each mask, for one other where it is an annotation."""
    points = np.array(reference["value"], np.float64)
    loud = -np.log(np.array(reference["share"], np.float64))
    if kind == "annotation":
        tail = np.where(values < 1, np.interp(values, points, loud), 0.0)  # NaN is no evidence
        return np.asarray(tail * np.clip(2 - np.exp(-tail) / LOWEST_QUARTER, 0, 1), np.float64)
    if kind == "category":
        under = np.clip(1 - values / EVEN, 0.0, 1.0)
        return np.where(np.isfinite(values), np.interp(values, points, loud) * under, 0.0)
    if kind == "judgement":
        against = np.maximum(_log_odds(values), 0.0)
        beyond = np.log1p(np.maximum(against - MANY_AGAINST, 0.0))
        return np.asarray(PER_ODDS * (np.minimum(against, MANY_AGAINST) + beyond), np.float64)
    full = (1 - reference.get("flawed", 1.0)) ** FLAWLESS_DRAWS
    usual, median = reference["usual"], reference["median"]
    return _weigh_tails(values, kind == "form", points, loud, usual, median, full)


@kernel
def _weigh_tails(
    values: FloatArray,
    form: bool,
    points: FloatArray,
    loud: FloatArray,
    usual: float,
    median: float,
    full: float,
) -> FloatArray:
    """Return one signal's evidence against each mask; ``loud`` is interpolated over ``points``."""
    found = np.zeros(len(values))
    last = len(points) - 1
    for i in range(len(values)):
        x = values[i]
        if not (np.isfinite(x) and x < 1):
            continue
        if x <= points[0]:
            tail = loud[0]
        elif x >= points[last]:
            tail = loud[last]
        else:
            low, k = 0, last  # points[low] <= x < points[k]
            while k - low > 1:
                middle = (low + k) // 2
                if points[middle] <= x:
                    low = middle
                else:
                    k = middle
            step = (x - points[k - 1]) / (points[k] - points[k - 1])
            tail = loud[k - 1] + step * (loud[k] - loud[k - 1])
        below = max(usual - x, 0.0)
        short = below / max(below + median - usual, 1e-12)
        if form:
            short *= min(below / max(usual, 1e-9), 1.0)
        found[i] = tail * (full + (1 - full) * short**2)
    return found


def apply(
    frame: pd.DataFrame,
    reference: Mapping[str, TailReference],
    limits: Mapping[str, float] | None = None,
) -> pd.Series[Any]:
    """Return ``quality_score``, in (0, 1], low is worse; NaN for a mask without a pixel.

    Args:
        frame: A row a mask; ``area_px`` and the columns of the reference.
        reference: What :func:`fit` gave.
        limits: As for :func:`evidence`.
    """
    total = total_evidence(frame, evidence(frame, reference, limits), reference)
    quality = 1 / (1 + total)
    quality[frame["area_px"].to_numpy() <= 0] = np.nan
    return pd.Series(quality, index=frame.index, name="quality_score")


def total_evidence(
    frame: pd.DataFrame, strengths: pd.DataFrame, reference: Mapping[str, TailReference]
) -> FloatArray:
    """Return how strongly all signals together speak against each mask.

    Args:
        frame: A row a mask, the columns of the reference.
        strengths: What :func:`evidence` gave of these masks.
        reference: What :func:`fit` gave.

    Returns:
        The E of ``quality_score = 1 / (1 + E)``, shape (masks,), in nats, at least 0.
    """
    known = signals_of(reference)
    squares, apart, category, judged = (np.zeros(len(frame)) for _ in range(4))
    with_judgement = np.zeros(len(frame), np.bool_)
    for name, strength in strengths.items():
        kind, found = known[str(name)].evidence, strength.to_numpy(np.float64)
        if kind == "judgement":
            values = scores_of(frame, known[str(name)])
            weight = reference[str(name)].get("weight", 1.0)
            judged += found - weight * _speaks_for(values)
            with_judgement |= np.isfinite(values) & (weight > 0)
        else:
            aside = kind == "annotation" or name in OF_OTHER_MASKS
            (category if kind == "category" else apart if aside else squares)[:] += found**2
    together = np.sqrt(squares) + judged
    low = with_judgement & (together < SMALLEST)  # still in order, and over 0
    together[low] = SMALLEST * np.exp(together[low] / SMALLEST - 1)
    if _judges(frame, reference):  # also of masks that got none, so that all are on one scale
        beside = (APART**2 * apart) ** 2 + (ALONE**2 * squares) ** 2 + category**2
        return np.asarray((together**4 + beside) ** 0.25, np.float64)
    return np.asarray(np.sqrt(together**2 + apart + category), np.float64)


def suspicion(
    frame: pd.DataFrame, strengths: pd.DataFrame, reference: Mapping[str, TailReference]
) -> FloatArray:
    """Return the total evidence on the scale that a calibration takes the logarithm of.

    That is the evidence itself, or, where masks are judged, the odds ``e**E - 1``: E then holds log
    odds, and the logarithm of E would bend them (planted errors in COCO, 500 reviews, development
    half: calibration error 0.040 by the logarithm of E, 0.017 by that of the odds). The order is
    the same.

    Args:
        frame: As for :func:`total_evidence`.
        strengths: As for :func:`total_evidence`.
        reference: As for :func:`total_evidence`.

    Returns:
        Shape (masks,), at least 0.
    """
    total = total_evidence(frame, strengths, reference)
    if not _judges(frame, reference):
        return total
    return np.asarray(np.expm1(np.minimum(total, MOST_EVIDENCE)), np.float64)


def _judges(frame: pd.DataFrame, reference: Mapping[str, TailReference]) -> bool:
    """Return whether a judgement counts among the signals of these masks."""
    return any(
        signal.evidence == "judgement" and name in frame and reference[name].get("weight", 1.0) > 0
        for name, signal in signals_of(reference).items()
    )


def _log_odds(values: FloatArray) -> FloatArray:
    """Return the log odds that a mask is wrong by its probability of being good; 0 for NaN."""
    good = np.clip(np.where(np.isfinite(values), values, 0.5), 1e-6, 1 - 1e-6)
    return np.asarray(np.log1p(-good) - np.log(good), np.float64)


def _speaks_for(values: FloatArray) -> FloatArray:
    """Return how strongly a judgement speaks for each mask, in nats, at least 0."""
    return np.asarray(PER_ODDS * np.clip(-_log_odds(values), 0.0, MOST_FOR), np.float64)
