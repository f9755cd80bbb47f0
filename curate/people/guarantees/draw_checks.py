"""Checks of draws: random, complete, of this population, combinable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from curate.errors import CallError
from curate.people.reviews.recorded_draws import RecordedDraw

EQUAL_RATIO = 1.1
"""Inclusion probabilities that differ by no more than this factor are equal up to rounding."""

WHERE = "the random sample"
_DRAW = "draw one with `curate queue --kind estimate`"
_ROUNDING = 1e-6


def choose_draws(
    draws: Sequence[RecordedDraw], labels: pd.DataFrame, unit: str | None
) -> tuple[list[RecordedDraw], list[str]]:
    """Return the draws to use, and notes on those left out.

    Draws of other kinds are left out, for they were made to find errors or to learn from.

    Raises:
        CallError: There is no random one, or it does not say what was drawn.
    """
    if not draws:
        kinds = labels["queue_kind"].value_counts() if len(labels) else pd.Series(dtype=np.int64)
        listed = ", ".join(f"{count:,} of the queue {str(kind)!r}" for kind, count in kinds.items())
        what = f"there is no random sample, only decisions that were chosen: {listed}"
        raise CallError(what if listed else "nobody has decided on a random sample", WHERE, _DRAW)
    random = [draw for draw in draws if draw.kind == "estimate"]
    if not random:
        what = f"draw {draws[0].number} is of the kind {draws[0].kind!r}: its masks were not random"
        raise CallError(what, WHERE, _DRAW)
    for draw in random:
        if draw.unit not in ("mask", "image"):
            what = f"draw {draw.number} does not say what was drawn by chance"
            raise CallError(what, WHERE, _DRAW)
    units = {draw.unit for draw in random}
    if unit is None:
        unit = "mask" if "mask" in units else "image"
    kept = [draw for draw in random if draw.unit == unit]
    if not kept:
        raise CallError(f"no draw is of whole {unit}s", WHERE, _DRAW)
    if len(units) == 1:
        return kept, []
    other = "whole images" if unit == "mask" else "single masks"
    return kept, [f"draws of {other} are a sample of their own and are left out"]


def join_masks(draw: RecordedDraw, masks: pd.DataFrame) -> pd.DataFrame:
    """Return a draw's masks in order, without honeypots and overlaps, joined with their columns.

    Raises:
        CallError: A mask is there twice, or unknown, or has no inclusion probability.
    """
    rows, where = draw.sample(), f"draw {draw.number}"
    if not len(rows):
        raise CallError("it has no masks", where, _DRAW)
    twice = rows["mask_id"].duplicated()
    if twice.any():
        mask = rows.loc[twice, "mask_id"].iloc[0]
        raise CallError(f"mask {mask} was drawn twice", where, "leave the draw out")
    chance = rows["inclusion_probability"].to_numpy(np.float64)
    if not np.all((chance > 0) & (chance <= 1)):
        count = int((~((chance > 0) & (chance <= 1))).sum())
        what = f"{count:,} of {len(rows):,} masks have no inclusion probability in (0, 1]"
        raise CallError(what, where, f"a sample without them is not known to be random; {_DRAW}")
    gone = rows.loc[~rows["mask_id"].isin(masks.index), "mask_id"]
    if len(gone):
        what = f"{len(gone):,} masks are not in the audit any more, mask {gone.iloc[0]} first"
        raise CallError(what, where, _DRAW)
    rows = rows.sort_values("place", ignore_index=True)
    return rows.join(masks[["image_id", "quality_score"]], on="mask_id")


def check_matches_population(
    draw: RecordedDraw, before: Sequence[pd.DataFrame], rows: pd.DataFrame, size: int
) -> None:
    """Check that a draw was made from this population, and that all of its masks are there.

    Args:
        draw: The draw.
        before: The masks of the draws made before it.
        rows: Its own.
        size: Masks in the population.

    Raises:
        CallError: It was not.
    """
    settings, where = draw.settings, f"draw {draw.number}"
    if settings.get("population") != size:
        had = settings.get("population")
        what = f"it was drawn from {had:,} masks, and there are {size:,}" if had else "of what?"
        raise CallError(what, where, "a sample stands for what it was drawn from; " + _DRAW)
    earlier = pd.concat(before)["mask_id"] if before else pd.Series(dtype=np.int64)
    if settings.get("before", 0) and rows["mask_id"].isin(earlier).any():
        raise CallError("it has masks of draws that it says were left out", where, _DRAW)
    groups = rows.groupby("stratum")["inclusion_probability"]
    if (groups.max() - groups.min() > _ROUNDING).any():
        what = "masks of one stratum have different inclusion probabilities"
        raise CallError(what, where, _DRAW)
    if draw.unit == "mask":
        _check_strata(draw, len(earlier), rows, size)


def _check_strata(draw: RecordedDraw, earlier: int, rows: pd.DataFrame, size: int) -> None:
    """Check that probabilities, strata and the number of masks of a draw are consistent."""
    where, out = f"draw {draw.number}", draw.settings.get("before", 0)
    drawn = sum(stratum["drawn"] for stratum in draw.settings.get("strata", ()))
    if drawn != len(rows):
        what = f"it holds {len(rows):,} masks, and {drawn:,} were drawn"
        raise CallError(what, where, "a sample with holes is not random; " + _DRAW)
    if out not in (0, earlier):
        what = f"{out:,} masks were left out of it, and earlier draws had {earlier:,}"
        raise CallError(what, where, "masks left out for another reason make it unlike the rest")
    meant = (1 / rows["inclusion_probability"]).sum()
    if abs(meant - (size - out)) > 0.5:
        what = f"its inclusion probabilities imply {meant:,.0f} masks instead of {size - out:,}"
        raise CallError(what, where, _DRAW)


def describe_gaps(draw: RecordedDraw, rows: pd.DataFrame, part: pd.DataFrame) -> list[str]:
    """Return notes on masks of a draw that do not count, or count as bad."""
    notes = []
    gaps = int((~part["decided"]).sum())
    if gaps:
        notes.append(f"draw {draw.number}: {gaps:,} masks without a decision count as bad")
    if len(part) < len(rows):
        notes.append(f"draw {draw.number}: the first {len(part):,} of {len(rows):,} masks count")
    return notes


def check_any_decided(parts: Sequence[pd.DataFrame], draws: Sequence[RecordedDraw]) -> None:
    """Check that any mask of the draws was decided on, in order.

    Raises:
        CallError: Nothing was, or out of turn.
    """
    if sum(map(len, parts)):
        return
    names = ", ".join(str(draw.number) for draw in draws)
    what = f"the first masks of draw {names} have no decisions yet"
    do = "decide on its masks in their order: what is picked out of a random sample is not random"
    raise CallError(what, WHERE, do)


def check_combinable(draws: Sequence[RecordedDraw], frames: Sequence[pd.DataFrame]) -> None:
    """Check that several draws can be combined into one sample.

    Raises:
        CallError: One has unequal probabilities.
    """
    if len(draws) == 1:
        return
    for draw, rows in zip(draws, frames, strict=True):
        chance = rows["inclusion_probability"]
        if chance.max() > EQUAL_RATIO * chance.min():
            what = f"draw {draw.number} has unequal probabilities and does not combine with others"
            raise CallError(what, WHERE, f"give one draw alone; {_DRAW}")
