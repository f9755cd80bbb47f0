"""Worth of a judge: its answers held against people's decisions on the same masks."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.dataset.notes import count_noun
from curate.quality.metrics import average_precision, calibration_error, reliability

LEAST_OF_A_KIND = 5
"""Good masks, bad masks, and images that a measurement takes at least."""

_DRAWS = 1000
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class JudgeWorth:
    """Measures of a judge on masks that people decided on.

    Attributes:
        masks: How many masks have both an answer and people's decision.
        bad: How many of these people found bad.
        images: Their images.
        agreement: Share of them on which accept means good and reject bad.
        low: Lower end of its 95% interval, from resampled images.
        high: Upper end.
        average_precision: Of the bad masks, by ``judge_score``, lowest first.
        quality_average_precision: The same by the quality without people's decisions.
        calibration_error: Expected calibration error of ``judge_score`` as P(good).
    """

    masks: int
    bad: int
    images: int
    agreement: float
    low: float
    high: float
    average_precision: float
    quality_average_precision: float
    calibration_error: float

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)

    def text(self) -> str:
        """Return the measures in lines."""
        return (
            f"on {count_noun(self.masks, 'mask')} that people decided on ({self.bad:,} bad, "
            f"{count_noun(self.images, 'image')}): it agrees on {self.agreement:.0%} "
            f"({self.low:.0%} to {self.high:.0%}, 95%)\n"
            f"average precision of the bad ones: {self.average_precision:.2f} by judge_score, "
            f"{self.quality_average_precision:.2f} by the label-free quality; by chance "
            f"{self.bad / self.masks:.2f}. Each of these masks counts once; `curate learn` weights "
            "them, and fits its model without the image that it is measured on\n"
            f"calibration error of judge_score: {self.calibration_error:.3f}"
        )


def measure_worth(rows: pd.DataFrame) -> tuple[JudgeWorth | None, str]:
    """Measure a judge on masks that people decided on.

    Args:
        rows: A row a mask with an answer and a decision: ``image_id``, ``good`` (bool),
            ``judge_answer``, ``judge_score``, ``quality`` (NaN for none).

    Returns:
        The measures, or None and a sentence that says what is missing.
    """
    good = rows["good"].to_numpy(np.bool_)
    images = np.unique(rows["image_id"].to_numpy(), return_inverse=True)[1].astype(np.int64)
    count = int(images.max()) + 1 if len(rows) else 0
    have = {"good masks": int(good.sum()), "bad masks": int((~good).sum()), "images": count}
    lacking = [f"{LEAST_OF_A_KIND - n} {what}" for what, n in have.items() if n < LEAST_OF_A_KIND]
    if lacking:
        text = (
            f"its worth is not measured: people decided on {len(rows):,} of the masks that it "
            f"answered; {', '.join(lacking)} more are needed"
        )
        return None, text
    right = (rows["judge_answer"] == "accept").to_numpy(np.bool_) == good
    low, high = _interval(right, images)
    even, score = np.ones(len(rows)), rows["judge_score"].to_numpy(np.float64)
    quality = rows["quality"].fillna(1.0).to_numpy(np.float64)
    worth = JudgeWorth(
        masks=len(rows),
        bad=int((~good).sum()),
        images=count,
        agreement=float(right.mean()),
        low=low,
        high=high,
        average_precision=average_precision(-score, ~good, even),
        quality_average_precision=average_precision(-quality, ~good, even),
        calibration_error=calibration_error(reliability(score, ~good, even)),
    )
    return worth, ""


def _interval(right: BoolArray, images: IntArray) -> tuple[float, float]:
    """Return the interval of a share by resampling whole images (percentiles)."""
    hits = np.bincount(images, weights=right)
    sizes = np.bincount(images).astype(np.float64)
    random = np.random.default_rng([0, 17])
    drawn = random.integers(len(sizes), size=(_DRAWS, len(sizes)))
    shares: FloatArray = hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    rest = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(shares, [rest, 1 - rest])
    return float(low), float(high)
