"""How the quality model is trained, tried on images it has not seen, and chosen, or not.

Two experts give a logit each: the label-free *suspicion*, and small *trees* in which a lower signal
can never make a mask better. A *start*, an earlier model, can be a third one. A stacking regression
says how much each counts and calibrates their sum. What an expert says of a reviewed mask always
comes from folds in which its image was not seen, and so do all measures: order and log loss, each
fold calibrated on the others.

**The rule against luck.** With few reviews chance is larger than skill. So the experts together are
used only where there are ten bad and ten good masks, their average precision is higher than that of
the suspicion alone, and their log loss lower in 84% of sets of images resampled from those
reviewed (for a normal mean: by more than a standard error).

**Where nobody has looked.** Queues of likely errors show the most suspicious masks only, and what
is right for these says little of all others. Where most of the dataset lies below what was
reviewed, eight of its masks from there, evenly spaced, take part in the stacking as if people had
found them good: a dataset is believed to be mostly good until its reviews say otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from curate.quality.features import FeatureColumns
from curate.quality.metrics import average_precision, log_losses, share_over_zero
from curate.quality.model import QualityModel
from curate.quality.stacking import LogitModel, expit, stack
from curate.quality.trees import grow, no_trees

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

FOLDS = 5
MANY = 2_000
"""From so many reviews on one round of folds is enough; with fewer there are three."""

FEWEST_FOR_TREES = 10
"""Bad masks and good masks that trees need; with fewer their order is luck."""

SURE = 0.84

SUSPICION, TREES, START = "suspicion", "trees", "start"


@dataclass(frozen=True)
class Lessons:
    """Reviewed masks as numbers.

    Attributes:
        columns: Of the matrix.
        matrix: A row a reviewed mask; see :meth:`FeatureColumns.matrix`.
        bad: Which masks people found bad.
        weight: How much each counts, so that together they stand for the dataset; mean 1.
        groups: The image of each, numbered from 0.
        start: What an earlier model says of each, a logit of being bad; None for no such model.
        unseen: Whether the earlier model has learned nothing from the image.
        believed: Masks that are believed to be good, as rows of a matrix: see above.
        believed_start: What the earlier model says of these.
        seed: Of folds, trees and resampling.
    """

    columns: FeatureColumns
    matrix: FloatArray
    bad: BoolArray
    weight: FloatArray
    groups: IntArray
    start: FloatArray | None = None
    unseen: BoolArray | None = None
    believed: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    believed_start: FloatArray | None = None
    seed: int = 0

    def __len__(self) -> int:
        return len(self.bad)

    def some(self, rows: BoolArray) -> Lessons:
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
class Tried:
    """How some experts together did on images that they had not seen.

    Attributes:
        experts: Which.
        logit: Calibrated logits of being bad, (rounds, rows).
        loss: Mean log loss.
        precision: Average precision of the bad masks.
        line: What puts the experts' logits together in the end.
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
class Said:
    """What each expert says of rows it has not learned from.

    Attributes:
        folds: The folds of each round, (rounds, rows).
        logits: By expert, (rounds, rows).
        believed: By expert, of the masks that are believed to be good.
        trees: What the trees say when they are grown on all rows; None where they are not.
    """

    folds: IntArray
    logits: dict[str, FloatArray]
    believed: dict[str, FloatArray]
    trees: QualityModel | None


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


def ask(lessons: Lessons) -> Said:
    """Return what each expert says of every row, trees grown on the other folds."""
    rounds = 1 if len(lessons) >= MANY else 3
    seeds = range(lessons.seed, lessons.seed + rounds)
    folds = np.array([cut_folds(lessons.bad, lessons.groups, seed) for seed in seeds])
    logits = {SUSPICION: np.tile(lessons.matrix[:, 0], (rounds, 1))}
    believed = {SUSPICION: lessons.believed[:, 0] if len(lessons.believed) else np.empty(0)}
    trees = None
    if min(int(lessons.bad.sum()), int((~lessons.bad).sum())) >= FEWEST_FOR_TREES:
        logits[TREES] = np.array([_grown(lessons, each) for each in folds])
        trees = _trees(lessons)
        believed[TREES] = trees.logit(lessons.believed) if len(lessons.believed) else np.empty(0)
    if lessons.start is not None:
        logits[START] = np.tile(lessons.start, (rounds, 1))
        said = lessons.believed_start
        believed[START] = np.empty(0) if said is None else said
    return Said(folds, logits, believed, trees)


def _grown(lessons: Lessons, folds: IntArray) -> FloatArray:
    """Return what trees grown on the other folds say of every row."""
    logit = np.empty(len(lessons))
    for fold in np.unique(folds):
        held = folds == fold
        logit[held] = _trees(lessons.some(~held)).logit(lessons.matrix[held])
    return logit


def _trees(lessons: Lessons) -> QualityModel:
    """Grow trees as a model of their own; all rows count the same, whatever they stand for.

    Which masks were shown depends on their scores alone, so what is learned of a mask with given
    scores is right all the same; weights would only make it noisier.
    """
    trees = no_trees()
    if lessons.bad.any() and not lessons.bad.all():
        trees = grow(lessons.matrix, lessons.bad, lessons.columns.directions(), lessons.seed)
    return QualityModel(lessons.columns, 0.0, 0.0, trees)


def judge(said: Said, experts: Sequence[str], lessons: Lessons, rows: BoolArray) -> Tried:
    """Put experts together, each fold by what is right for the others, and measure them.

    Args:
        said: What they say.
        experts: Which of them.
        lessons: What is true.
        rows: The rows to fit and measure on.
    """
    bad, weight = lessons.bad[rows], lessons.weight[rows]
    folds = said.folds[:, rows]
    scores = np.stack([said.logits[name][:, rows] for name in experts], axis=-1)
    good = np.stack([said.believed[name] for name in experts], axis=-1)
    logit = np.empty(folds.shape)
    for k in range(len(folds)):
        for fold in np.unique(folds[k]):
            held = folds[k] == fold
            line = _stack(scores[k][~held], bad[~held], weight[~held], good)
            logit[k][held] = line(scores[k][held])
    many = len(folds)
    weights = np.tile(weight, many) / many
    final = _stack(np.concatenate(scores), np.tile(bad, many), weights, good)
    loss = np.mean([weight @ log_losses(each, bad) for each in logit]) / weight.sum()
    precision = np.mean([average_precision(each, bad, weight) for each in logit])
    return Tried(tuple(experts), logit, float(loss), float(precision), final)


def _stack(scores: FloatArray, bad: BoolArray, weight: FloatArray, good: FloatArray) -> LogitModel:
    """Stack experts on rows with labels and on some that are believed to be good."""
    return stack(
        np.concatenate([scores, good]),
        np.concatenate([bad, np.zeros(len(good), np.bool_)]),
        np.concatenate([weight, np.ones(len(good))]),
    )


def better(of: Tried, over: Tried, lessons: Lessons, rows: BoolArray) -> bool:
    """Return whether one beats another by more than luck explains, in loss and in order."""
    bad = lessons.bad[rows]
    losses = [np.mean([log_losses(x, bad) for x in tried.logit], axis=0) for tried in (over, of)]
    groups = np.unique(lessons.groups[rows], return_inverse=True)[1]
    gained = losses[0] - losses[1]
    sure = share_over_zero(gained, lessons.weight[rows], groups, lessons.seed)
    return sure >= SURE and of.precision > over.precision


def fit(
    tried: Tried, said: Said, columns: FeatureColumns, start: QualityModel | None = None
) -> QualityModel:
    """Put experts that were tried together as one model.

    Args:
        tried: Which, and how much each counts.
        said: What was grown on all rows.
        columns: Of the lessons.
        start: The earlier model, where it is one of the experts.
    """
    if START in tried.experts and start is not None:
        columns = columns.joined(start.columns)
    model = QualityModel(columns, tried.line.intercept, 0.0, no_trees())
    for name, slope in zip(tried.experts, tried.line.slopes.tolist(), strict=True):
        if name == SUSPICION:
            model = model.plus(QualityModel(columns, 0.0, slope, no_trees()))
            continue
        expert = said.trees if name == TREES else start
        if expert is not None and slope > 0:
            model = model.plus(expert.scaled(slope, columns))
    return model
