"""The goals of the study as numbers: a value a seed, then means and intervals over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from arms import ENGINE, MANUAL, NAMES, ONCE, ArmResult, finished_order
from measuring import Curve, curve_of, mean_interval
from time_model import variations

from curate.demo_dataset import AnnotationTimes, WorkDone
from curate.demo_dataset.simulated_people import COVERED_IOU

Results = Mapping[str, Mapping[int, ArmResult]]
"""By arm and seed."""

Row = dict[str, Any]

MADE = ("accept", "fix", "relabel", "add")
"""Actions that leave a mask."""


def rows_of(results: Results) -> list[Row]:
    """Return all rows of ``results.csv`` that finished arms give."""
    rows: list[Row] = []
    for constant, factor, times in variations():
        about = {"constant": constant, "factor": factor}
        rows += [about | row for row in _time_rows(results, times)]
    return [*rows, *_quality_rows(results)]


def _time_rows(results: Results, times: AnnotationTimes) -> Iterator[Row]:
    """Yield rows of goals 1 and 2 under one time model."""
    if ENGINE in results:
        yield from _saving_rows(results, times)
        yield from _pace_rows(results[ENGINE], times)
        yield from _pace_over_once(results, times)
    for arm, ones in results.items():
        seeds = sorted(ones)
        values = [float(seconds_a_mask(ones[seed], times)) for seed in seeds]
        yield from over_seeds("2", f"seconds a mask, {NAMES[arm]}", seeds, values)


def _saving_rows(results: Results, times: AnnotationTimes) -> Iterator[Row]:
    """Yield the engine's seconds over the others' at equal mean IoU."""
    for rival, false in ((MANUAL, True), (ONCE, True), (MANUAL, False), (ONCE, False)):
        shared = sorted(set(results[ENGINE]) & set(results.get(rival, {})))
        ratios = [
            _ratio(*(arm_curve(results[arm][seed], times, false=false) for arm in (ENGINE, rival)))
            for seed in shared
        ]
        what = f"seconds, the engine over: {NAMES[rival]}"
        what += "" if false else "; were false masks not counted"
        yield from over_seeds("1", what, shared, ratios)


def _pace_rows(results: Mapping[int, ArmResult], times: AnnotationTimes) -> Iterator[Row]:
    """Yield the engine's seconds a mask by round, and how they fall."""
    seeds = sorted(results)
    paces = {seed: seconds_by_round(results[seed], times) for seed in seeds}
    for number in sorted({k for pace in paces.values() for k in pace.index}):
        values = [float(paces[seed].get(number, float("nan"))) for seed in seeds]
        yield from over_seeds("2", f"seconds a mask, round {number}", seeds, values)
    falls = [_fall(paces[seed]) for seed in seeds]
    yield from over_seeds("2", "seconds a mask, last round over first", seeds, falls)
    falls = [_fall(seconds_by_round(results[seed], times, true=True)) for seed in seeds]
    yield from over_seeds("2", "seconds an object with a mask, last round over first", seeds, falls)
    for action, name in (("fix", "fix"), ("add", "drawing")):
        values = [seconds_of(results[seed], action, times) for seed in seeds]
        yield from over_seeds("2", f"seconds of a {name}", seeds, values)
    held = [share_of_validation(results[seed], times) for seed in seeds]
    yield from over_seeds("2", "share of the engine's seconds on validation images", seeds, held)
    cheaper = [float((paces[seed].diff().dropna() < 0).mean()) for seed in seeds]
    yield from over_seeds("2", "share of rounds cheaper than the one before", seeds, cheaper)


def _fall(pace: pd.Series[float]) -> float:
    return float(pace.iloc[-1] / pace.iloc[0])


def _pace_over_once(results: Results, times: AnnotationTimes) -> Iterator[Row]:
    """Yield the engine's last seconds a mask over those of fixing the first proposals."""
    shared = sorted(set(results[ENGINE]) & set(results.get(ONCE, {})))
    over = [
        float(seconds_by_round(results[ENGINE][seed], times).iloc[-1])
        / seconds_a_mask(results[ONCE][seed], times)
        for seed in shared
    ]
    yield from over_seeds("2", f"seconds a mask, last round over: {NAMES[ONCE]}", shared, over)
    over = [
        _seconds_of_rounds(results[ENGINE][seed], times)
        / seconds_a_mask(results[ONCE][seed], times)
        for seed in shared
    ]
    yield from over_seeds("2", f"seconds a mask, all rounds over: {NAMES[ONCE]}", shared, over)


def _seconds_of_rounds(result: ArmResult, times: AnnotationTimes) -> float:
    """Return people's seconds a mask over all rounds, the validation images left out."""
    actions = timed(result, times)
    rounds = actions[actions["round"] > 0]
    return float(rounds["seconds"].sum() / rounds["action"].isin(MADE).sum())


def share_of_validation(result: ArmResult, times: AnnotationTimes) -> float:
    """Return the share of people's seconds that the validation images took."""
    actions = timed(result, times)
    held = actions.loc[actions["round"] == 0, "seconds"].sum()
    return float(held / actions["seconds"].sum())


def _quality_rows(results: Results) -> Iterator[Row]:
    """Yield how good the finished datasets are, and how long the machine took."""
    for arm, ones in results.items():
        seeds = sorted(ones)
        counts = [float(count_false(ones[seed])) for seed in seeds]
        yield from over_seeds("1", f"false proposals accepted, {NAMES[arm]}", seeds, counts)
        ious = [mean_iou(ones[seed].images) for seed in seeds]
        yield from over_seeds("1", f"mean IoU of the dataset, {NAMES[arm]}", seeds, ious)
        machine = [float(ones[seed].about["machine_s"]) for seed in seeds]
        yield from over_seeds("", f"seconds of the machine, {NAMES[arm]}", seeds, machine)


def over_seeds(goal: str, what: str, seeds: list[int], values: list[float]) -> Iterator[Row]:
    """Yield a row a seed, and one with the mean and its interval."""
    for seed, value in zip(seeds, values, strict=True):
        yield {"goal": goal, "what": what, "seed": str(seed), "value": value}
    if values:
        mean, low, high = mean_interval(values)
        yield {"goal": goal, "what": what, "seed": "mean", "value": mean, "low": low, "high": high}


def timed(result: ArmResult, times: AnnotationTimes) -> pd.DataFrame:
    """Return an arm's actions with the seconds that they take by other times."""
    return WorkDone(result.actions).timed(times).actions


def arm_curve(result: ArmResult, times: AnnotationTimes, *, false: bool = True) -> Curve:
    """Return the mean IoU of an arm's dataset over people's seconds.

    Args:
        result: Of the arm.
        times: How long everything takes.
        false: Count masks without an object, as 0; else the mean is over objects alone.
    """
    actions = timed(result, times)
    seconds = actions.groupby("file_name")["seconds"].sum()
    images = result.images if false else result.images.assign(count=result.images["objects"])
    return curve_of(images, seconds, list(finished_order(actions)))


def _ratio(mine: Curve, other: Curve) -> float:
    """Return the seconds of two arms over each other where both have the same mean IoU.

    It is the highest that both reach.
    """
    level = min(mine.iou[-1], other.iou[-1])
    return mine.seconds_at(level) / other.seconds_at(level)


def count_false(result: ArmResult) -> int:
    """Return how many proposals people accepted by mistake that are of no object."""
    actions = result.actions
    return int(((actions["action"] == "accept") & ~(actions["iou"] >= COVERED_IOU)).sum())


def mean_iou(images: pd.DataFrame) -> float:
    """Return the mean IoU of a dataset: missing masks count 0, and so do false ones."""
    return float(images["iou"].sum() / images["count"].sum())


def seconds_a_mask(result: ArmResult, times: AnnotationTimes) -> float:
    """Return people's seconds over all, a mask of the finished dataset."""
    return float(timed(result, times)["seconds"].sum() / result.images["masks"].sum())


def seconds_of(result: ArmResult, action: str, times: AnnotationTimes) -> float:
    """Return the mean seconds of an action."""
    actions = timed(result, times)
    return float(actions.loc[actions["action"] == action, "seconds"].mean())


def seconds_by_round(
    result: ArmResult, times: AnnotationTimes, *, true: bool = False
) -> pd.Series[float]:
    """Return people's seconds a mask by round from 1; masks are the accepted, fixed and added.

    Args:
        result: Of an arm.
        times: How long everything takes.
        true: Count only masks of an object: accepted ones need an IoU of 0.5 with it.
    """
    actions = timed(result, times)
    actions = actions[actions["round"] > 0]
    made = actions["action"].isin(MADE)
    if true:
        made &= ~((actions["action"] == "accept") & ~(actions["iou"] >= COVERED_IOU))
    groups = actions.assign(made=made).groupby("round")[["seconds", "made"]].sum()
    return groups["seconds"] / groups["made"]
