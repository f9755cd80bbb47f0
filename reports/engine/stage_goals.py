"""Prefilled masks and certified ones against the truth (goals 3 and 4)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from arms import STAGES, Plan, round_folders
from goals import Results, Row, over_seeds
from measuring import by_image, names_of

import curate
from curate import rle
from curate.demo_dataset import ErrorRates
from curate.demo_dataset.simulated_people import match_objects
from curate.engine.prefill_checks import draw_checks, measure_precision
from curate.engine.prefilling import PrefilledMasks, read_prefilled

REPEATS = 100
"""Random looks at the same prefilled masks, each with another draw."""


@dataclass(frozen=True)
class PrefilledRound:
    """Prefilled masks of a round, and what is known of them.

    Attributes:
        found: The masks, and the draw of checks.
        good: Which are good by the truth, index ``mask_id``.
        measured: The engine's own precision with its interval; None where nobody answered.
    """

    found: PrefilledMasks
    good: pd.Series[bool]
    measured: dict[str, Any] | None

    @property
    def share(self) -> float:
        """Share of the prefilled masks that are good by the truth."""
        return float(self.good.mean())


def stage_rows(results: Results, plan: Plan, work: Path) -> list[Row]:
    """Return rows of goals 3 and 4.

    A mask is good from the IoU on from which people accept it, one mask an object.

    Args:
        results: Finished arms.
        plan: Of the study.
        work: Folder of the study.
    """
    seeds = sorted(results.get(STAGES, {}))
    truth = by_image(curate.read(plan.large.pool))
    projects = {seed: work / f"seed-{seed}" / STAGES / "project" for seed in seeds}
    prefilled = {
        seed: list(prefilled_rounds(project, truth, plan.good_iou))
        for seed, project in projects.items()
    }
    rows = [row for seed in seeds for row in _rows_by_round(seed, prefilled[seed])]
    rows += _prefill_means(seeds, prefilled, plan.errors)
    certified = {
        seed: certified_masks(project, truth, plan.good_iou) for seed, project in projects.items()
    }
    return [*rows, *_certified_rows(seeds, certified)]


def prefilled_rounds(
    project: Path, truth: dict[str, rle.Runs], good_iou: float
) -> Iterator[PrefilledRound]:
    """Yield the rounds of an engine in which masks were prefilled."""
    for folder in round_folders(project)[1:]:
        found = read_prefilled(folder)
        if found is None or not len(found.masks):
            continue
        good = _truth_ious(folder / "proposals.json", None, truth) >= good_iou
        record = json.loads((folder / "round.json").read_text())
        measured = record["prefill"]["precision"]
        known = measured is not None and measured["precision"] is not None
        yield PrefilledRound(found, good.loc[found.masks.index], measured if known else None)


def _truth_ious(
    source: Path, only: set[int] | None, truth: dict[str, rle.Runs]
) -> pd.Series[float]:
    """Return each mask's IoU with its object, 0 for none, index ``mask_id``.

    Args:
        source: COCO file of the masks.
        only: Masks that stand; the others take no object. None: all stand.
        truth: Objects by the name of the image's file.
    """
    table = curate.read(source, format="coco")
    names = names_of(table).to_numpy()
    stands = np.ones(len(table), bool) if only is None else table.masks.index.isin(list(only))
    ious = np.zeros(len(table))
    for name in np.unique(names[stands]):
        rows = np.flatnonzero((names == name) & stands)
        if name in truth:
            ious[rows] = np.nan_to_num(match_objects(table.runs[rows], truth[name])[1])
    return pd.Series(ious, table.masks.index)[stands]


def _rows_by_round(seed: int, rounds: list[PrefilledRound]) -> Iterator[Row]:
    """Yield what the engine measured of each round's prefilled masks, beside the truth."""
    for number, one in enumerate(rounds, 1):
        about = {"goal": "3", "seed": str(seed)}
        what = f"prefilled masks, round {number} of stage 2"
        yield about | {"what": f"{what}: share good by the truth", "value": one.share}
        if one.measured is not None:
            ends = {name: one.measured[name] for name in ("low", "high")}
            value = {"value": one.measured["precision"]}
            yield about | {"what": f"{what}: share good by the random look"} | value | ends


def _prefill_means(
    seeds: list[int], prefilled: dict[int, list[PrefilledRound]], errors: ErrorRates
) -> Iterator[Row]:
    """Yield shares over all rounds of a seed, and how often intervals cover the truth."""
    having = [seed for seed in seeds if prefilled[seed]]
    counts = [float(sum(len(one.good) for one in prefilled[seed])) for seed in seeds]
    yield from over_seeds("3", "prefilled masks", seeds, counts)
    looked = [[one for one in prefilled[seed] if one.measured] for seed in having]
    shares = [_pooled([(one.share, len(one.good)) for one in prefilled[seed]]) for seed in having]
    yield from over_seeds("3", "prefilled masks: share good by the truth", having, shares)
    shares = [
        _pooled([(float((one.measured or {})["precision"]), len(one.good)) for one in some])
        for some in looked
    ]
    yield from over_seeds("3", "prefilled masks: share good by the random look", having, shares)
    covered = [
        float(np.mean([_covers(one.measured or {}, one.share) for one in some])) if some else np.nan
        for some in looked
    ]
    yield from over_seeds("3", "the look's interval covers the truth, as run", having, covered)
    for name, wrong in (("", None), (", with people's mistakes", errors)):
        values = [
            float(np.mean([repeated_coverage(one, wrong, seed) for one in prefilled[seed]]))
            for seed in having
        ]
        what = f"the look's interval covers the truth, of repeated looks{name}"
        yield from over_seeds("3", what, having, values)


def _pooled(parts: list[tuple[float, int]]) -> float:
    """Return the mean of shares, each weighted by its masks."""
    masks = sum(count for _, count in parts)
    return sum(share * count for share, count in parts) / masks if masks else float("nan")


def _covers(measured: dict[str, Any], share: float) -> bool:
    return bool(measured["low"] - 1e-12 <= share <= measured["high"] + 1e-12)


def repeated_coverage(one: PrefilledRound, errors: ErrorRates | None, seed: int) -> float:
    """Return the share of repeated looks whose interval holds the true share of good masks.

    Only the draw of the masks, people's mistakes and the interval are repeated, by the functions
    that the engine uses; the masks stay.

    Args:
        one: Prefilled masks of a round.
        errors: Of the people; None: they make none.
        seed: Of the study.
    """
    assert one.found.draw is not None
    count, masks = len(one.found.draw.rows), one.found.masks
    random = np.random.default_rng([seed, 3])
    covered = 0
    for k in range(REPEATS):
        draw = draw_checks(masks, count, seed=k)
        ids = draw.rows["mask_id"].to_numpy()
        good = one.good.loc[ids].to_numpy(bool)
        if errors is not None:
            chance = random.random(len(good))
            good = np.where(good, chance >= errors.reject_good, chance < errors.accept_bad)
        action = np.where(good, "accept", "reject")
        index = pd.Index(ids, name="mask_id")
        answers = pd.DataFrame({"good": good, "action": action, "iou": np.nan}, index)
        found = measure_precision(draw, answers, masks)
        covered += _covers({"low": found.low, "high": found.high}, one.share)
    return covered / REPEATS


@dataclass(frozen=True)
class Certified:
    """Masks that an engine certified.

    Attributes:
        masks: How many.
        bad: Of these, those that are bad by the truth.
        max_bad: Share of bad masks that the certificate allows.
    """

    masks: int
    bad: int
    max_bad: float

    @property
    def share(self) -> float:
        """Share of bad masks; NaN where nothing is certified."""
        return self.bad / self.masks if self.masks else float("nan")


def certified_masks(project: Path, truth: dict[str, rle.Runs], good_iou: float) -> Certified | None:
    """Return what an engine certified; None where it had no automatic stage."""
    folder = round_folders(project)[-1]
    record = json.loads((folder / "round.json").read_text())
    if record["stage"] != 3 or record["automatic"] is None:
        return None
    audit = curate.open_audit(folder / "audit")
    where = "action = 'accept' and decided_by = 'certificate'"
    ids = audit.query(f"select mask_id from masks where {where}")["mask_id"]
    ious = _truth_ious(folder / "proposals.json", set(ids.tolist()), truth)
    return Certified(len(ids), int((ious < good_iou).sum()), record["automatic"]["max_bad"])


def _certified_rows(seeds: list[int], certified: dict[int, Certified | None]) -> Iterator[Row]:
    found = {seed: one for seed in seeds if (one := certified[seed]) is not None}
    having = [seed for seed in found if found[seed].masks]
    counts = [float(one.masks) for one in found.values()]
    yield from over_seeds("4", "certified masks", list(found), counts)
    shares = [found[seed].share for seed in having]
    yield from over_seeds("4", "certified masks: share bad by the truth", having, shares)
    holds = [float(found[seed].share <= found[seed].max_bad) for seed in having]
    yield from over_seeds("4", "the certificate holds, of runs with one", having, holds)
