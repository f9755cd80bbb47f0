"""Lines of confident masks: what they accept, when there are none, and that the bound holds."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.engine.confident_masks import (
    LINE_SIGNALS,
    ConfidentLines,
    Strictness,
    choose_lines,
    next_strictness,
)
from curate.errors import CallError

FIVE = Strictness(0.05)


def proposals(seed: int, images: int, *, bad: float = 0.2, together: float = 0.0) -> pd.DataFrame:
    """Return proposals, 1 to 15 an image, whose signals are higher where they are good.

    Args:
        seed: Of chance.
        images: How many.
        bad: Share of bad ones.
        together: How much of an image goes wrong at once, in [0, 1].
    """
    random = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), random.integers(1, 16, images))
    n = len(image)
    of_image = random.random(images)[image]
    fate = np.where(random.random(n) < together, of_image, random.random(n))
    good = fate > bad
    columns = {
        name: np.clip(random.normal(0.75, 0.12, n) - 0.25 * ~good * random.random(n), 0, 1)
        for name in LINE_SIGNALS
    }
    return pd.DataFrame({"image_id": image, "good": good, **columns})


def bad_share(frame: pd.DataFrame, lines: ConfidentLines) -> float:
    return float((~frame["good"])[lines.apply(frame)].mean())


def test_signals_that_tell_good_from_bad() -> None:
    frame = proposals(1, 300)
    for name in LINE_SIGNALS:
        frame[name] = frame[name].where(frame["good"], 0.2 * frame[name])
    found = choose_lines(frame, strictness=FIVE)
    assert found.lines is not None
    assert found.confident == found.apply(frame).sum() > 0.9 * frame["good"].sum()
    assert found.bad <= 0.05 * found.confident
    assert found.share == pytest.approx(found.confident / len(frame))
    assert "at most 5.00% with 95% confidence" in found.text()
    assert found.as_dict()["lines"] == dict(zip(LINE_SIGNALS, found.lines, strict=True))


@pytest.mark.parametrize("basis", ["certified", "estimated"])
def test_signals_that_say_nothing(basis: str) -> None:
    frame = proposals(2, 300)
    frame["good"] = np.random.default_rng(0).random(len(frame)) > 0.2
    found = choose_lines(frame, strictness=FIVE, basis=basis)
    assert found.lines is None
    assert not found.apply(frame).any()
    assert "no lines were found over which at most 5.00%" in found.text()


def test_one_signal_alone_can_carry_the_lines() -> None:
    """The other two say nothing, so a line of theirs would only cost."""
    random = np.random.default_rng(3)
    frame = proposals(3, 300)
    for name in LINE_SIGNALS[:2]:
        frame[name] = random.random(len(frame))
    frame["quality_score"] = np.where(frame["good"], 0.9, 0.1) + 0.05 * random.random(len(frame))
    found = choose_lines(frame, strictness=FIVE)
    assert found.lines is not None
    assert found.share > 0.6
    assert found.lines[2] > 0.14  # the surest of the bad have less than 0.15


def test_too_few_images_are_named_with_the_number_that_does() -> None:
    frame = pd.DataFrame({"image_id": np.repeat(np.arange(40), 5), "good": True})
    frame = frame.assign(**dict.fromkeys(LINE_SIGNALS, 0.9))
    found = choose_lines(frame, strictness=FIVE)
    assert found.lines is None
    assert found.images_needed is not None
    assert f"{found.images_needed:,} are needed even if all are good" in found.reason
    # The number is right to the image.
    for images, enough in ((found.images_needed - 1, False), (found.images_needed, True)):
        more = pd.DataFrame({"image_id": np.repeat(np.arange(images), 5), "good": True})
        more = more.assign(**dict.fromkeys(LINE_SIGNALS, 0.9))
        assert (choose_lines(more, strictness=FIVE).lines is not None) == enough
    # An estimate has no promise to keep, and one image of bad masks among 20 is still 5%.
    assert choose_lines(frame, strictness=FIVE, basis="estimated").lines == (0.9, 0.9, 0.9)
    few = frame[frame["image_id"] < 19]
    assert choose_lines(few, strictness=FIVE, basis="estimated").lines == (0.9, 0.9, 0.9)
    few = frame[frame["image_id"] < 18]
    assert choose_lines(few, strictness=FIVE, basis="estimated").lines is None


def test_masks_of_an_image_count_as_one_thing() -> None:
    """A thousand good masks in five images show no more than five images do."""
    frame = pd.DataFrame({"image_id": np.repeat(np.arange(5), 1000), "good": True})
    frame = frame.assign(**dict.fromkeys(LINE_SIGNALS, 0.9))
    for basis in ("certified", "estimated"):
        assert choose_lines(frame, strictness=FIVE, basis=basis).lines is None


@settings(max_examples=4)
@given(st.integers(0, 99), st.sampled_from(["certified", "estimated"]))
def test_only_the_order_within_each_signal_counts_and_not_that_of_rows(
    seed: int, basis: str
) -> None:
    frame = proposals(seed, 150, bad=0.05)
    found = choose_lines(frame, strictness=FIVE, basis=basis)
    bent = frame.assign(
        detector_iou=frame["detector_iou"] ** 3,
        detector_confidence=np.log(frame["detector_confidence"] + 0.1),
        quality_score=1000 * frame["quality_score"],
    ).sample(frac=1, random_state=seed)
    again = choose_lines(bent, strictness=FIVE, basis=basis)
    assert (again.confident, again.bad, again.reason) == (found.confident, found.bad, found.reason)
    inside = pd.Series(again.apply(bent), bent.index).sort_index().to_numpy()
    np.testing.assert_array_equal(inside, found.apply(frame))


@settings(max_examples=4)
@given(st.integers(0, 99), st.floats(0.05, 1), st.sampled_from(["certified", "estimated"]))
def test_the_ceiling_holds(seed: int, most: float, basis: str) -> None:
    frame = proposals(seed, 250, bad=0.05)
    found = choose_lines(frame, strictness=Strictness(0.1, most), basis=basis)
    assert found.confident <= most * len(frame)
    if found.lines is not None:
        assert found.bad <= 0.1 * found.confident


def test_a_ceiling_under_all_lines_is_a_reason() -> None:
    frame = proposals(1, 300, bad=0.0)
    found = choose_lines(frame, strictness=Strictness(0.05, 1e-4), basis="estimated")
    assert found.reason == "no lines leave 0.01% of the proposals or fewer over them"


def test_without_a_signal_no_mask_is_confident() -> None:
    frame = proposals(5, 300, bad=0.0)
    frame.loc[::3, "detector_iou"] = np.nan
    found = choose_lines(frame, strictness=FIVE)
    assert found.lines is not None
    assert not found.apply(frame)[::3].any()
    frame["quality_score"] = np.nan
    assert "all three signals" in choose_lines(frame, strictness=FIVE).reason
    assert choose_lines(frame[:0], strictness=FIVE).reason == "validation images have no proposal"


def test_lines_by_the_signals_of_all_images() -> None:
    every = proposals(6, 900, bad=0.005)
    mine = every[every["image_id"] % 3 == 0]
    found = choose_lines(mine, strictness=FIVE, population=every.drop(columns="good"))
    assert found.lines is not None
    assert found.share == pytest.approx(found.apply(every).mean())
    with pytest.raises(CallError, match="population: it lacks images"):
        choose_lines(every, strictness=FIVE, population=mine)


def violations(runs: range, together: float) -> int:
    """Count in how many draws the confident masks of all images break a certified bound of 10%."""
    every = proposals(7, 2000, bad=0.12, together=together)
    broken = certified = 0
    for seed in runs:
        drawn = np.random.default_rng([seed, 1]).choice(2000, 200, replace=False)
        mine = every[every["image_id"].isin(drawn)]
        found = choose_lines(mine, strictness=Strictness(0.10), confidence=0.8)
        certified += found.lines is not None
        broken += found.lines is not None and bad_share(every, found) > 0.10
    assert certified > len(runs) / 4, "a bound that is never given cannot be broken"
    return broken


def test_the_bound_holds() -> None:
    assert violations(range(10), 0.5) <= 5  # 2 are expected at most


@pytest.mark.slow
@pytest.mark.parametrize("together", [0.0, 0.5, 1.0])
def test_the_bound_holds_in_many_draws(together: float) -> None:
    runs = 300
    broken = violations(range(100, 100 + runs), together)
    assert broken <= 0.2 * runs + 3 * math.sqrt(runs * 0.2 * 0.8)


def test_the_next_round_prefills_less_where_masks_were_worse() -> None:
    frame = proposals(8, 400, bad=0.02)
    lines = choose_lines(frame, strictness=FIVE)
    worse = next_strictness(lines, 0.10, max_bad=0.05)
    assert worse == Strictness(0.025, lines.share / 2)
    # Though the validation images say that nothing is wrong.
    assert choose_lines(frame, strictness=worse, basis="estimated").share <= lines.share / 2
    assert next_strictness(lines, 0.9, max_bad=0.05) == Strictness(0.0125, lines.share / 4)
    assert next_strictness(lines, 0.05, max_bad=0.05) == FIVE
    assert next_strictness(lines, math.nan, max_bad=0.05) == FIVE
    strict = choose_lines(frame, strictness=Strictness(0.02, 0.3), basis="estimated")
    eased = next_strictness(strict, 0.01, max_bad=0.05)
    assert (eased.max_bad, eased.most_share) == pytest.approx((0.03, 0.45))
    # A round without lines measured nothing, and would otherwise stay without.
    none = ConfidentLines(None, "certified", Strictness(0.02, 0.3), 0.95, 9, 90)
    eased = next_strictness(none, math.nan, max_bad=0.05)
    assert (eased.max_bad, eased.most_share) == pytest.approx((0.03, 0.45))


def test_calls_that_cannot_be_answered() -> None:
    frame = proposals(1, 5)
    with pytest.raises(CallError, match="'hoped' is no basis"):
        choose_lines(frame, strictness=FIVE, basis="hoped")
    with pytest.raises(CallError, match="no column good, quality_score"):
        choose_lines(frame.drop(columns=["good", "quality_score"]), strictness=FIVE)
    with pytest.raises(CallError, match="--confidence is 1"):
        choose_lines(frame, strictness=FIVE, confidence=1.0)
    with pytest.raises(CallError, match="--max-bad is 0"):
        Strictness(0.0)
    with pytest.raises(CallError, match="0 is no share"):
        Strictness(0.05, 0.0)
