"""The goals of the study, each with its line, and whether it is met."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from arms import MANUAL, NAMES, ONCE

MET, MET_IN_THE_MEAN, MISSED, UNKNOWN = "met", "met in the mean only", "not met", "not measured"


@dataclass(frozen=True)
class Line:
    """A goal's line.

    Attributes:
        goal: Its number.
        what: Of the rows of ``results.csv``.
        value: The line.
        most: Whether the value is to be at most, not at least, the line.
    """

    goal: str
    what: str
    value: float
    most: bool

    def text(self) -> str:
        """Return the line in words."""
        return f"{'at most' if self.most else 'at least'} {self.value:g}"

    def judge(self, mean: float, low: float, high: float) -> str:
        """Return whether the line is met: wholly, in the mean, or not."""
        if pd.isna(mean):
            return UNKNOWN
        if (mean > self.value) if self.most else (mean < self.value):
            return MISSED
        worst = high if self.most else low
        inside = pd.notna(worst) and ((worst <= self.value) if self.most else worst >= self.value)
        return MET if inside else MET_IN_THE_MEAN


LINES = (
    Line("1", f"seconds, the engine over: {NAMES[MANUAL]}", 0.5, most=True),
    Line("1", f"seconds, the engine over: {NAMES[ONCE]}", 0.7, most=True),
    Line("2", "share of rounds cheaper than the one before", 1, most=False),
    Line("2", "seconds a mask, last round over first", 0.45, most=True),
    Line("2", f"seconds a mask, last round over: {NAMES[ONCE]}", 1, most=True),
    Line("3", "prefilled masks: share good by the random look", 0.95, most=False),
    Line("3", "the look's interval covers the truth, of repeated looks", 0.95, most=False),
    Line("4", "the certificate holds, of runs with one", 0.95, most=False),
    Line("5", "images, the engine's rule over chance", 0.8, most=True),
    Line("6", "gain of learned quality over predicted IoU", 0, most=False),
    Line("7", "gain of the finished dataset over the uncorrected proposals", 0, most=False),
    Line("7", "gain of the finished dataset over by hand", 0, most=False),
)
"""A gain has no line in the issue: over nothing is taken for one."""


def find_mean(results: pd.DataFrame, goal: str, what: str) -> tuple[float, float, float, int]:
    """Return a row's mean and interval at the published times, and its seeds; NaN for none."""
    rows = results[(results["goal"].astype(str) == goal) & (results["what"] == what)]
    rows = rows[rows["factor"].isna() | (rows["factor"] == 1)]
    means, seeds = rows[rows["seed"] == "mean"], rows[rows["seed"] != "mean"]
    if means.empty:
        return float("nan"), float("nan"), float("nan"), 0
    one = means.iloc[0]
    known = int(seeds["value"].notna().sum())
    return float(one["value"]), float(one["low"]), float(one["high"]), known
