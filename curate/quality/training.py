"""Training of the quality model: stacked experts, cross-validated by image, chosen with care.

Two experts give a logit each: the label-free *suspicion*, and small boosted *trees* in which a
lower signal can never make a mask better (:mod:`curate.quality.trees`). A *start*, an earlier
model, can be a third one. Where a judge was asked about reviewed masks
(:mod:`curate.scorers.judge`), trees that see its score are another expert, in the place of those
that do not: few masks have an answer, so they are grown on each mask twice, once without it.

1. :func:`score_out_of_fold`: five folds, all masks of an image in one, bad masks spread evenly
   (three rounds where reviews are few). Trees grown on four folds score the fifth.
2. :func:`stack_and_evaluate`: a logistic regression without falling slopes says how much each
   expert counts and calibrates their sum (stacked generalization, Wolpert 1992, with Platt's
   targets). It is fitted on out-of-fold scores, for each fold on the other folds, so order and log
   loss are measured on masks that neither the experts nor the regression have seen.
3. :func:`fit`: the experts as grown on all rows, added up by the slopes found on all rows.

**Selection.** With few reviews chance is larger than skill. So the experts together are used only
where there are ten bad and ten good masks, their average precision is higher than that of the
suspicion alone, and their log loss lower in 84% of bootstrap samples of whole images (for a normal
mean: by more than a standard error). A judge's score has more to show
(:mod:`curate.quality.judge_trial`).

**Unreviewed range.** Queues of likely errors show the most suspicious masks only, and what is right
for these says little of all others. Where most of the dataset lies below what was reviewed, eight
of its masks from there, evenly spaced, take part in the stacking as *pseudo-good*: a dataset is
believed to be mostly good until its reviews say otherwise.

Invariants: no row is scored by anything that was fitted on its image (for a start that has seen
some, measure on the others: ``rows``); equal reviews and an equal seed give an equal model; slopes
are at least 0, so that no expert is turned round.
Time is (rounds x folds + 1) fits of 100 trees, each linear in the reviews; memory is the matrix of
reviews and a copy of four fifths of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import scipy

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.quality.features import FeatureColumns
from curate.quality.metrics import average_precision, log_losses, share_over_zero
from curate.quality.model import LogitModel, QualityModel, expit
from curate.quality.tree_growing import grow
from curate.quality.trees import empty_trees

SHRINKAGE = 2.0
"""How firmly slopes stay near an even mean of the scores: about as much as eight sure reviews."""

FOLDS = 5
MANY = 2_000
"""From so many reviews on one round of folds is enough; with fewer there are three."""

FEWEST_FOR_TREES = 10
"""Bad masks and good masks that trees need; with fewer their order is luck."""

FEWEST_FOR_JUDGE = 20
"""Bad masks and good masks with an answer that trees with a judge's score need.

A judge is somebody else's program, which may guess. The share of pairs of a bad and a good mask
that a guess orders rightly has a standard error of 0.09 with 20 and 20, so a judge that orders
seven in ten is told from one; with 10 and 10 it is 0.13, and the interval holds chance.
"""

SURE = 0.84
"""Share of bootstrap samples in which the log loss must be lower."""

SUSPICION, TREES, START = "suspicion", "trees", "start"
JUDGED_TREES = "judged trees"
"""Trees that see the judge's score beside all that :data:`TREES` see."""

JUDGE_SCORE = "judge_score"


@dataclass(frozen=True)
class TrainingSet:
    """Reviewed masks as a matrix, labels and weights.

    Attributes:
        columns: Of the matrix.
        matrix: Shape (rows, columns); see :meth:`FeatureColumns.matrix`.
        bad: Shape (rows,): which masks people found bad.
        weight: Shape (rows,): post-stratification weights; mean 1.
        groups: The image of each, numbered from 0.
        start: Shape (rows,): an earlier model's logits of being bad; None for no such model.
        unseen: Whether the earlier model has learned nothing from the image.
        pseudo_good: Masks taken as good though nobody looked, as rows of a matrix: see above.
        pseudo_good_start: The earlier model's logits of these.
        seed: Of folds, trees and resampling.
    """

    columns: FeatureColumns
    matrix: FloatArray
    bad: BoolArray
    weight: FloatArray
    groups: IntArray
    start: FloatArray | None = None
    unseen: BoolArray | None = None
    pseudo_good: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    pseudo_good_start: FloatArray | None = None
    seed: int = 0

    def __len__(self) -> int:
        return len(self.bad)

    @property
    def answered(self) -> BoolArray:
        """Which rows a judge has answered about, shape (rows,)."""
        if JUDGE_SCORE not in self.columns.names:
            return np.zeros(len(self), np.bool_)
        return np.isfinite(self.matrix[:, 1 + self.columns.names.index(JUDGE_SCORE)])

    def without_judge(self) -> TrainingSet:
        """Return the same without the judge's column."""
        if JUDGE_SCORE not in self.columns.names:
            return self
        at = 1 + self.columns.names.index(JUDGE_SCORE)
        good = self.pseudo_good
        return replace(
            self,
            columns=self.columns.without(JUDGE_SCORE),
            matrix=np.delete(self.matrix, at, axis=1),
            pseudo_good=np.delete(good, at, axis=1) if len(good) else good,
        )

    def with_unasked_copies(self) -> TrainingSet:
        """Return each row twice, the second time as if the judge had not been asked about it.

        What is grown on it knows what to say of a mask without an answer.
        """
        unasked = self.matrix.copy()
        unasked[:, 1 + self.columns.names.index(JUDGE_SCORE)] = np.nan
        return replace(
            self,
            matrix=np.concatenate([self.matrix, unasked]),
            bad=np.tile(self.bad, 2),
            weight=np.tile(self.weight, 2),
            groups=np.tile(self.groups, 2),
            start=None,
            unseen=None,
        )

    def some(self, rows: BoolArray) -> TrainingSet:
        """Return some of the rows, groups numbered anew."""
        return replace(
            self,
            matrix=self.matrix[rows],
            bad=self.bad[rows],
            weight=self.weight[rows] / self.weight[rows].mean(),
            groups=np.unique(self.groups[rows], return_inverse=True)[1],
            start=None if self.start is None else self.start[rows],
            unseen=None if self.unseen is None else self.unseen[rows],
        )


@dataclass(frozen=True)
class CrossValidated:
    """Cross-validated logits and measures of some experts stacked together.

    Attributes:
        experts: Which.
        logit: Calibrated logits of being bad, (rounds, rows).
        loss: Mean log loss.
        precision: Average precision of the bad masks.
        line: The stacking regression fitted on all rows.
    """

    experts: tuple[str, ...]
    logit: FloatArray
    loss: float
    precision: float
    line: LogitModel

    def probability(self) -> FloatArray:
        """Return P(good) of each row, the mean of the rounds."""
        return np.asarray(expit(-self.logit).mean(axis=0), np.float64)


@dataclass(frozen=True)
class OutOfFoldScores:
    """Logits of each expert for rows that it was not trained on.

    Attributes:
        folds: The folds of each round, (rounds, rows).
        logits: By expert, (rounds, rows).
        pseudo_good: By expert, of the masks taken as good, (masks,).
        trees: Trees grown on all rows; None where there are too few of either kind.
        judged_trees: Those that see the judge's score; None where it has answered about too few of
            either kind.
    """

    folds: IntArray
    logits: dict[str, FloatArray]
    pseudo_good: dict[str, FloatArray]
    trees: QualityModel | None
    judged_trees: QualityModel | None = None


def cut_folds(bad: BoolArray, groups: IntArray, seed: int) -> IntArray:
    """Give each row a fold, rows of a group the same one, bad rows spread over the folds.

    Groups are dealt out in an order by chance, those with most bad rows first, each to the fold
    with the fewest bad rows so far; groups without any, to the fold with the fewest rows.
    """
    count = int(groups.max()) + 1
    worse = np.bincount(groups, weights=bad, minlength=count)
    size = np.bincount(groups, minlength=count)
    chance = np.random.default_rng([seed, 7]).random(count)
    of_group = np.empty(count, np.int64)
    bads, rows = np.zeros(FOLDS), np.zeros(FOLDS)
    for group in np.lexsort((chance, -worse)):
        least = np.lexsort((rows, bads)) if worse[group] else np.argsort(rows, kind="stable")
        fold = int(least[0])
        of_group[group] = fold
        bads[fold] += worse[group]
        rows[fold] += size[group]
    return np.asarray(of_group[groups], np.int64)


def score_out_of_fold(data: TrainingSet) -> OutOfFoldScores:
    """Return each expert's logits of every row, those of trees grown on the other folds."""
    rounds = 1 if len(data) >= MANY else 3
    seeds = range(data.seed, data.seed + rounds)
    folds = np.array([cut_folds(data.bad, data.groups, seed) for seed in seeds])
    logits = {SUSPICION: np.tile(data.matrix[:, 0], (rounds, 1))}
    pseudo_good = {SUSPICION: data.pseudo_good[:, 0] if len(data.pseudo_good) else np.empty(0)}
    trees = judged = None
    plain = data.without_judge()
    if _has_enough(data, np.ones(len(data), np.bool_), FEWEST_FOR_TREES):
        logits[TREES] = np.array([_score_folds(plain, each) for each in folds])
        trees = _grow_trees(plain)
        some = len(data.pseudo_good) > 0
        pseudo_good[TREES] = trees.logit(plain.pseudo_good) if some else np.empty(0)
        if _has_enough(data, data.answered, FEWEST_FOR_JUDGE):
            logits[JUDGED_TREES] = np.array([_score_folds(data, each) for each in folds])
            judged = _grow_trees(data.with_unasked_copies())
            pseudo_good[JUDGED_TREES] = judged.logit(data.pseudo_good) if some else np.empty(0)
    if data.start is not None:
        logits[START] = np.tile(data.start, (rounds, 1))
        logit = data.pseudo_good_start
        pseudo_good[START] = np.empty(0) if logit is None else logit
    return OutOfFoldScores(folds, logits, pseudo_good, trees, judged)


def _has_enough(data: TrainingSet, rows: BoolArray, fewest: int) -> bool:
    return min(int(data.bad[rows].sum()), int((~data.bad[rows]).sum())) >= fewest


def _score_folds(data: TrainingSet, folds: IntArray) -> FloatArray:
    """Return out-of-fold logits, shape (rows,): of trees grown on the other folds."""
    logit = np.empty(len(data))
    for fold in np.unique(folds):
        held = folds == fold
        seen = data.some(~held)
        if JUDGE_SCORE in data.columns.names:
            seen = seen.with_unasked_copies()
        logit[held] = _grow_trees(seen).logit(data.matrix[held])
    return logit


def _grow_trees(data: TrainingSet) -> QualityModel:
    """Grow trees as a model of their own, without weights.

    Which masks were shown depends on their scores alone (covariate shift), so P(bad | scores) is
    learned without bias all the same; weights would only raise its variance.
    """
    trees = empty_trees()
    if data.bad.any() and not data.bad.all():
        trees = grow(data.matrix, data.bad, data.columns.directions(), data.seed)
    return QualityModel(data.columns, 0.0, 0.0, trees)


def stack_and_evaluate(
    scores: OutOfFoldScores, experts: Sequence[str], data: TrainingSet, rows: BoolArray
) -> CrossValidated:
    """Stack experts, each fold by a regression on the others, and measure the result.

    Args:
        scores: Their out-of-fold logits.
        experts: Which of them.
        data: The labels and weights.
        rows: Shape (rows,): the rows to fit and measure on.
    """
    bad, weight = data.bad[rows], data.weight[rows]
    folds = scores.folds[:, rows]
    logits = np.stack([scores.logits[name][:, rows] for name in experts], axis=-1)
    good = np.stack([scores.pseudo_good[name] for name in experts], axis=-1)
    logit = np.empty(folds.shape)
    for k in range(len(folds)):
        for fold in np.unique(folds[k]):
            held = folds[k] == fold
            line = _stack(logits[k][~held], bad[~held], weight[~held], good)
            logit[k][held] = line(logits[k][held])
    many = len(folds)
    weights = np.tile(weight, many) / many
    final = _stack(np.concatenate(logits), np.tile(bad, many), weights, good)
    loss = np.mean([weight @ log_losses(each, bad) for each in logit]) / weight.sum()
    precision = np.mean([average_precision(each, bad, weight) for each in logit])
    return CrossValidated(tuple(experts), logit, float(loss), float(precision), final)


def stack(scores: FloatArray, bad: BoolArray, weight: FloatArray) -> LogitModel:
    """Fit the slopes and the intercept that turn scores into one calibrated logit of being bad.

    Labels are softened as Platt does, by one imagined mask of either kind, so that a clean
    separation does not claim certainty.

    Args:
        scores: Shape (rows, scores); higher is worse, about a logit each.
        bad: Which rows are bad.
        weight: How much each row counts.
    """
    count = scores.shape[1]
    worst, best = weight[bad].sum(), weight[~bad].sum()
    wanted = np.where(bad, (worst + 1) / (worst + 2), 1 / (best + 2))
    even = np.full(count, 1 / count)
    share = (wanted @ weight) / weight.sum()
    middle = np.average(scores @ even, weights=weight)
    start = np.concatenate([[np.log(share / (1 - share)) - middle], even])

    def cost(at: FloatArray) -> tuple[float, FloatArray]:
        logit = at[0] + scores @ at[1:]
        loss = weight @ (np.logaddexp(0, logit) - wanted * logit)
        away = at[1:] - even
        gap = weight * (expit(logit) - wanted)
        slope = np.concatenate([[gap.sum()], scores.T @ gap + SHRINKAGE * away])
        return float(loss + SHRINKAGE / 2 * (away @ away)), slope

    bounds = [(None, None), *[(0.0, None)] * count]
    found = scipy.optimize.minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return LogitModel(float(found.x[0]), np.asarray(found.x[1:], np.float64))


def _stack(scores: FloatArray, bad: BoolArray, weight: FloatArray, good: FloatArray) -> LogitModel:
    """Stack experts on rows with labels and on the pseudo-good ones."""
    return stack(
        np.concatenate([scores, good]),
        np.concatenate([bad, np.zeros(len(good), np.bool_)]),
        np.concatenate([weight, np.ones(len(good))]),
    )


def is_better(of: CrossValidated, over: CrossValidated, data: TrainingSet, rows: BoolArray) -> bool:
    """Return whether one beats another by more than luck explains, in loss and in order."""
    bad = data.bad[rows]
    losses = [np.mean([log_losses(x, bad) for x in one.logit], axis=0) for one in (over, of)]
    groups = np.unique(data.groups[rows], return_inverse=True)[1]
    gained = losses[0] - losses[1]
    sure = share_over_zero(gained, data.weight[rows], groups, data.seed)
    return sure >= SURE and of.precision > over.precision


def fit(
    stacked: CrossValidated,
    scores: OutOfFoldScores,
    columns: FeatureColumns,
    start: QualityModel | None = None,
) -> QualityModel:
    """Put experts that were stacked together into one model.

    Args:
        stacked: Which, and how much each counts.
        scores: Holds the trees grown on all rows.
        columns: Of the training set.
        start: The earlier model, where it is one of the experts.
    """
    if JUDGED_TREES not in stacked.experts:
        columns = columns.without(JUDGE_SCORE)
    if START in stacked.experts and start is not None:
        columns = columns.union(start.columns)
    model = QualityModel(columns, stacked.line.intercept, 0.0, empty_trees())
    for name, slope in zip(stacked.experts, stacked.line.slopes.tolist(), strict=True):
        if name == SUSPICION:
            model = model.plus(QualityModel(columns, 0.0, slope, empty_trees()))
            continue
        grown = {TREES: scores.trees, JUDGED_TREES: scores.judged_trees}
        expert = grown.get(name, start)
        if expert is not None and slope > 0:
            model = model.plus(expert.scale(slope, columns))
    return model
