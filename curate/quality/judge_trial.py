"""Trial of a judge: whether a model that sees its score is better by more than luck explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.quality.metrics import interval_by_groups, log_losses, share_in_order
from curate.quality.training import JUDGE_SCORE, CrossValidated, TrainingSet

CONFIDENCE = 0.95
"""Of the intervals."""

_BY_CHANCE = 0.5


@dataclass(frozen=True)
class ResampledInterval:
    """A measure with its interval, from resampled whole images.

    Attributes:
        value: On all rows.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class JudgeTrial:
    """What a judge added to a model, and how good its own order is.

    Attributes:
        gain: By how much the log loss is lower with its score; weighted as the model's loss is.
        order: In which share of pairs of a bad and a good mask it gives the bad one the lower
            score, equal scores as half; of the reviewed masks that it answered, each counted once.
        precise: Whether the average precision of bad masks is higher with its score.
    """

    gain: ResampledInterval
    order: ResampledInterval
    precise: bool

    @property
    def gains(self) -> bool:
        """Whether luck does not explain the gain."""
        return self.gain.low > 0 and self.precise

    @property
    def orders(self) -> bool:
        """Whether luck does not explain its order."""
        return self.order.low > _BY_CHANCE

    @property
    def helped(self) -> bool:
        """Whether its score is to be used."""
        return self.gains and self.orders

    def text(self) -> str:
        """Return the measures as a clause, and what speaks against the judge."""
        gain, order = self.gain, self.order
        said = (
            f"a gain of {gain.value:.4f} ({gain.low:.4f} to {gain.high:.4f}, {CONFIDENCE:.0%}); "
            f"of a bad and a good mask it scores the bad one lower in {order.value:.0%} of pairs "
            f"({order.low:.0%} to {order.high:.0%}; {_BY_CHANCE:.0%} by chance)"
        )
        against = []
        if not self.orders:
            against.append("its own order may be chance")
        if self.gain.low <= 0:
            against.append("luck may explain the gain")
        elif not self.precise:
            against.append("the average precision of bad masks is not higher with it")
        return "; ".join([said, *against])


def try_judge(judged: CrossValidated, without: CrossValidated, data: TrainingSet) -> JudgeTrial:
    """Measure a judge on masks of images that were not learned from.

    Args:
        judged: The model that sees its score.
        without: The model that does not.
        data: The reviewed masks, some with an answer.
    """
    losses = [
        np.mean([log_losses(x, data.bad) for x in one.logit], axis=0) for one in (without, judged)
    ]
    gained = losses[0] - losses[1]
    groups = np.unique(data.groups, return_inverse=True)[1]
    low, high = interval_by_groups(
        groups, data.seed, lambda counts: _mean(gained, data.weight * counts)
    )
    gain = ResampledInterval(_mean(gained, data.weight), low, high)
    answered = data.answered
    score = data.matrix[answered, 1 + data.columns.names.index(JUDGE_SCORE)]
    order = measure_order(score, data.bad[answered], data.groups[answered], data.seed)
    return JudgeTrial(gain, order, judged.precision > without.precision)


def measure_order(
    score: FloatArray, bad: BoolArray, groups: IntArray, seed: int
) -> ResampledInterval:
    """Return in which share of pairs of a bad and a good row the bad one has the lower score.

    Args:
        score: A score a row, shape (rows,); equal ones count as half.
        bad: Which rows are bad; some are, and some are not.
        groups: The image of each row.
        seed: Of the resampled images.
    """
    groups = np.unique(groups, return_inverse=True)[1]

    def share(counts: FloatArray) -> float:
        return share_in_order(score, bad, counts)

    low, high = interval_by_groups(groups, seed, share)
    return ResampledInterval(share(np.ones(len(score))), low, high)


def _mean(values: FloatArray, weight: FloatArray) -> float:
    return float(values @ weight / weight.sum())
