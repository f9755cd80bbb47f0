from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CallError
from curate.people.queues.sampling import (
    COLUMNS,
    add_honeypots,
    add_overlap,
    agreed_answers,
    allocate_webster,
    choose_images,
    count_strata,
    draw_estimate,
    draw_learn,
    make_ordered_draw,
    read_answers,
)
from curate.people.reviews.recorded_draws import RecordedDraw


def population(n: int = 200, per_image: int = 4, seed: int = 0) -> pd.DataFrame:
    """Return masks of random quality, with a few that have none and many of the same."""
    random = np.random.default_rng(seed)
    quality = random.uniform(0.1, 1, n).round(2)
    quality[:3] = np.nan
    index = pd.Index(random.permutation(n) + 1000, name="mask_id")
    return pd.DataFrame(
        {"image_id": np.arange(n) // per_image, "quality_score": quality}, index=index
    )


def webster(sizes: list[int], n: int) -> list[int]:
    """Give seats one at a time, each to the group with the highest claim."""
    seats = [0] * len(sizes)
    for _ in range(n):
        claims = [size / (2 * s + 1) for size, s in zip(sizes, seats, strict=True)]
        seats[int(np.argmax(claims))] += 1
    return seats


@given(st.lists(st.integers(1, 400), min_size=1, max_size=7), st.integers(0, 300))
def test_shares_are_those_of_giving_one_seat_after_the_other(sizes: list[int], n: int) -> None:
    n = min(n, sum(sizes))
    shared = allocate_webster(np.array(sizes), n)
    assert shared.sum() == n
    assert (shared <= sizes).all()
    # Equal claims may be settled either way; the claims that were met are the same.
    met = sorted(s / (2 * k + 1) for s, m in zip(sizes, shared, strict=True) for k in range(m))
    expected = webster(sizes, n)
    wanted = sorted(s / (2 * k + 1) for s, m in zip(sizes, expected, strict=True) for k in range(m))
    assert met == pytest.approx(wanted)


def test_a_sample_is_stratified_and_says_exactly_how() -> None:
    masks = population(203)
    drawn = draw_estimate(masks, 31, seed=1)
    assert tuple(drawn.columns) == COLUMNS
    assert drawn["place"].tolist() == list(range(1, 32))
    assert drawn["mask_id"].is_unique
    assert set(drawn["mask_id"]) <= set(masks.index)
    sizes = count_strata(drawn)
    assert [s["masks"] for s in sizes] == [41, 41, 40, 41, 40]
    assert sum(s["drawn"] for s in sizes) == 31
    for size in sizes:
        rows = drawn[drawn["stratum"] == size["stratum"]]
        assert (rows["inclusion_probability"] == size["drawn"] / size["masks"]).all()
    quality = masks["quality_score"].fillna(0).reindex(drawn["mask_id"])
    by = quality.groupby(drawn["stratum"].to_numpy())
    assert (by.max().to_numpy()[:-1] <= by.min().to_numpy()[1:]).all()


def test_every_mask_has_the_chance_that_is_recorded() -> None:
    masks = population(60)
    hits = pd.Series(0.0, masks.index)
    places = []
    for seed in range(500):
        drawn = draw_estimate(masks, 12, seed=seed)
        hits[drawn["mask_id"]] += 1
        places.append(np.corrcoef(drawn["stratum"], drawn["place"])[0, 1])
    # 12 of 60 in strata of 12: a fifth each but for rounding (2 or 3 of 12).
    spread = np.sqrt(500 * 0.25 * 0.75)
    assert ((hits > 500 * 2 / 12 - 4 * spread) & (hits < 500 * 3 / 12 + 4 * spread)).all()
    assert abs(np.mean(places)) < 4 / np.sqrt(12 * 500)  # the order tells nothing of the quality


def test_equal_seeds_draw_the_same_whatever_the_order_of_the_rows() -> None:
    masks = population()
    first = draw_estimate(masks, 20, seed=3)
    pd.testing.assert_frame_equal(first, draw_estimate(masks.iloc[::-1], 20, seed=3))
    assert first["mask_id"].tolist() != draw_estimate(masks, 20, seed=4)["mask_id"].tolist()


def test_all_masks_are_drawn_where_more_are_wanted() -> None:
    drawn = draw_estimate(population(7), 50, seed=0)
    assert sorted(drawn["mask_id"]) == list(range(1000, 1007))
    assert (drawn["inclusion_probability"] == 1).all()
    assert len(draw_estimate(population(7), 1, seed=0)) == 1


def later(masks: pd.DataFrame, before: list[RecordedDraw], n: int, seed: int) -> RecordedDraw:
    """Draw from what earlier draws left, as the product does."""
    seen = [i for draw in before for i in draw.sample()["mask_id"]]
    drawn = draw_estimate(masks.drop(index=seen), n, seed=seed)
    return RecordedDraw(1, "estimate", {"unit": "mask", "strata": count_strata(drawn)}, drawn)


def test_two_draws_together_are_one_sample_though_quality_changed_between() -> None:
    masks = population(50)
    other = masks.assign(quality_score=masks["quality_score"].to_numpy()[::-1])
    hits, rounds = pd.Series(0.0, masks.index), 200
    for seed in range(rounds):
        one = later(masks, [], 10, seed)
        two = later(other, [one], 20, seed + rounds)
        assert two.settings["strata"] == [{"stratum": h, "masks": 8, "drawn": 4} for h in range(5)]
        both = pd.concat([one.sample(), two.sample()])["mask_id"]
        assert both.is_unique
        hits[both] += 1
    # 1 - (1 - 10 / 50) (1 - 20 / 40)
    assert np.allclose(hits / rounds, 0.6, atol=4.5 * np.sqrt(0.24 / rounds))


def test_a_sample_is_what_was_drawn_by_chance() -> None:
    one = later(population(40), [], 10, 0)
    shown = add_honeypots(add_overlap(one.rows, 0.5, 0), answers(5, 5), 0.2, 0)
    assert len(shown) > 15
    again = RecordedDraw(1, "estimate", one.settings, shown).sample()
    assert again["mask_id"].tolist() == one.rows["mask_id"].tolist()


def test_whole_images_come_with_all_their_masks_one_image_after_the_other() -> None:
    masks = population(80)
    drawn = draw_estimate(masks, 21, seed=2, whole_images=True)
    image = masks["image_id"].reindex(drawn["mask_id"])
    assert len(drawn) == 20  # 21 masks are five images' on average
    assert (image.value_counts() == 4).all()
    assert (np.diff(image.to_numpy()) != 0).sum() == image.nunique() - 1
    assert (drawn["inclusion_probability"] == 5 / 20).all()
    counts = np.zeros(20)
    for seed in range(200):
        one = draw_estimate(masks, 20, seed=seed, whole_images=True)
        counts[np.unique(masks["image_id"].reindex(one["mask_id"]))] += 1
    assert np.allclose(counts / 200, 0.25, atol=4.5 * np.sqrt(0.1875 / 200))


def test_the_number_of_images_is_fixed_before_they_are_drawn() -> None:
    # An image of 97 masks and three of one: 50 masks are two images, whichever they are.
    sizes = {len(choose_images(np.arange(4), 100, 50, seed=seed)) for seed in range(20)}
    assert sizes == {2}
    assert len(choose_images(np.arange(4), 100, 1, seed=0)) == 1
    assert len(choose_images(np.arange(4), 100, 1000, seed=0)) == 4


def clustered(seed: int = 0) -> pd.DataFrame:
    """Return doubtful masks of eight kinds, one kind far more common, and sure ones."""
    random = np.random.default_rng(seed)
    kind = np.repeat(np.arange(8), [200, 10, 10, 10, 10, 10, 10, 10])
    doubtful = pd.DataFrame(
        {
            "image_id": np.arange(len(kind)) % 50,
            "quality_score": random.uniform(0.4, 0.6, len(kind)),
            "kind": kind,
            **{f"s{b}_score": kind // 2**b % 2 + random.normal(0, 0.02, len(kind)) for b in (0, 1)},
            "s2_score": kind // 4 + random.normal(0, 0.02, len(kind)),
        }
    )
    sure = doubtful.assign(quality_score=np.where(np.arange(len(kind)) % 2, 0.95, 0.05))
    frame = pd.concat([doubtful, sure], ignore_index=True)
    frame.index.name = "mask_id"
    return frame


def test_doubtful_masks_of_every_kind_are_learned_from() -> None:
    masks = clustered()
    drawn = draw_learn(masks.drop(columns="kind"), 54, seed=0)
    got = masks.loc[drawn["mask_id"]]
    assert len(got) == 54
    assert got["quality_score"].between(0.4, 0.6).all()
    assert set(got["kind"]) == set(range(8))
    assert (got["kind"] == 0).mean() < 0.6 < 0.7 < (masks["kind"] == 0).mean()
    assert drawn["inclusion_probability"].isna().all()
    assert (drawn["stratum"] == -1).all()
    assert abs((got["quality_score"] < 0.5).mean() - 0.5) < 0.25


def test_no_image_gives_more_than_its_cap() -> None:
    masks = clustered().assign(image_id=lambda m: np.where(np.arange(len(m)) % 4, 1, m.index + 2))
    drawn = draw_learn(masks.drop(columns="kind"), 40, seed=0, per_image=3)
    counts = masks["image_id"].reindex(drawn["mask_id"]).value_counts()
    assert counts.max() <= 3
    assert counts[1] == 3
    one = masks.assign(image_id=7).drop(columns="kind")
    assert len(draw_learn(one, 40, seed=0, per_image=3)) == 3


def test_learning_draws_do_not_depend_on_the_order_of_rows_and_bear_gaps() -> None:
    masks = clustered().drop(columns="kind")
    masks.loc[::3, "s0_score"] = np.nan
    masks.loc[5, "quality_score"] = np.nan
    first = draw_learn(masks, 20, seed=1)
    pd.testing.assert_frame_equal(first, draw_learn(masks.iloc[::-1], 20, seed=1))
    bare = masks[["image_id", "quality_score"]]
    assert len(draw_learn(bare, 20, seed=1)) == 20
    assert draw_learn(bare.iloc[:0], 20, seed=1).empty


def test_large_draws_to_learn_from_take_what_is_wanted() -> None:
    random = np.random.default_rng(0)
    n = 30_000
    masks = pd.DataFrame(
        {
            "image_id": np.arange(n) // 3,
            "quality_score": random.random(n),
            "a_score": random.random(n),
        },
        index=pd.RangeIndex(n, name="mask_id"),
    )
    drawn = draw_learn(masks, 3000, seed=0)
    assert len(drawn) == 3000
    assert drawn["mask_id"].is_unique
    away = (masks["quality_score"].reindex(drawn["mask_id"]) - 0.5).abs()
    assert away.max() < 0.26  # 15,000 of 30,000 are considered


def test_the_second_person_gets_a_mask_soon_after_the_first() -> None:
    drawn = add_overlap(make_ordered_draw(np.arange(500)), 0.1, seed=0)
    assert len(drawn) == 550
    assert drawn["place"].tolist() == list(range(1, 551))
    first, second = (drawn[drawn["slot"] == s].set_index("mask_id")["place"] for s in (0, 1))
    assert first.index.tolist() == list(range(500))
    assert len(second) == second.index.nunique() == 50
    lag = second - first.reindex(second.index)
    assert lag.min() >= 1
    assert 10 < lag.max() <= 60
    assert lag.nunique() > 10
    pd.testing.assert_frame_equal(
        add_overlap(make_ordered_draw(np.arange(9)), 0, 0), make_ordered_draw(np.arange(9))
    )
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(CallError, match="overlap"):
            add_overlap(drawn, wrong, 0)


def answers(good: int, bad: int, first: int = 10_000) -> pd.Series[Any]:
    ids = pd.Index(np.arange(first, first + good + bad), name="mask_id")
    return pd.Series(["accept"] * good + ["reject"] * bad, ids)


def test_known_answers_are_mixed_in_anywhere() -> None:
    places, known = [], answers(100, 100)
    for seed in range(60):
        drawn = add_honeypots(make_ordered_draw(np.arange(190)), known, 0.05, seed)
        assert len(drawn) == 200
        hidden = drawn[drawn["honeypot"].notna()]
        assert hidden["honeypot"].value_counts().to_dict() == {"accept": 5, "reject": 5}
        assert (known.reindex(hidden["mask_id"]).to_numpy() == hidden["honeypot"]).all()
        assert (hidden["slot"] == 0).all()
        rest = drawn[drawn["honeypot"].isna()]
        assert rest["mask_id"].tolist() == list(range(190))
        places += hidden["place"].tolist()
    counts, _ = np.histogram(places, bins=4, range=(0.5, 200.5))
    assert np.allclose(counts, 150, atol=4.5 * np.sqrt(150))


def test_fewer_known_answers_than_wanted_and_masks_drawn_anyway() -> None:
    drawn = add_honeypots(make_ordered_draw(np.arange(100)), answers(0, 3), 0.2, 0)
    assert drawn["honeypot"].notna().sum() == 3
    mine = add_honeypots(make_ordered_draw(np.arange(100)), answers(5, 5, first=90), 0.2, 0)
    assert len(mine) == 100  # all ten are in the draw themselves
    with pytest.raises(CallError, match="maybe"):
        add_honeypots(drawn, pd.Series(["maybe"], index=[5]), 0.1, 0)
    with pytest.raises(CallError, match="honeypots"):
        add_honeypots(drawn, answers(1, 1), 0.6, 0)


def test_answers_are_known_where_people_agree() -> None:
    resolved = pd.DataFrame(
        {
            "good": [True, False, True, False],
            "reviewers": [2, 3, 1, 2],
            "disagree": [False, False, False, True],
        },
        index=pd.Index([5, 6, 7, 8], name="mask_id"),
    )
    assert agreed_answers(resolved).to_dict() == {5: "accept", 6: "reject"}
    assert agreed_answers(resolved, people=3).to_dict() == {6: "reject"}
    assert agreed_answers(resolved.iloc[:0]).empty


def test_answers_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "known.csv"
    file.write_text("action,mask_id,who\naccept,5,me\nreject,7,me\n")
    assert read_answers(file).to_dict() == {5: "accept", 7: "reject"}
    for text in (
        "mask,action\n5,accept\n",
        "mask_id,action\nx,accept\n",
        "",
        "mask_id,action\n,accept\n",
    ):
        file.write_text(text)
        with pytest.raises(CallError, match="no known answers"):
            read_answers(file)
    file.write_text("mask_id,action\n5,accept\n5,reject\n")
    with pytest.raises(CallError, match="mask 5 occurs twice"):
        read_answers(file)
    with pytest.raises(CallError, match="no known answers"):
        read_answers(tmp_path / "none.csv")
