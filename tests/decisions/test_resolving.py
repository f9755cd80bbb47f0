"""Labels out of what several people said, and how far they agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from curate.errors import CallError
from curate.people.reviews import Reviews
from curate.people.reviews.annotator_agreement import cohen_kappa, krippendorff_alpha
from curate.people.reviews.resolved_labels import _resolve_votes

Said = Callable[..., pd.DataFrame]
ACTIONS = ("accept", "fix", "reject")


def test_people_who_disagree_are_resolved_by_the_rule(reviews: Reviews, said: Said) -> None:
    rows = said(
        *(
            (1, action, who)
            for action, who in zip(("accept", "reject", "accept"), "abc", strict=True)
        ),
        *((2, action, who) for action, who in zip(("accept", "reject"), "ab", strict=True)),
        *(
            (3, action, who)
            for action, who in zip(("reject", "fix", "fix", "accept"), "abcd", strict=True)
        ),
        (4, "accept", "a"),
    )
    reviews.add(rows, origin="f")
    expected: dict[str, dict[str, list[Any]]] = {
        "majority": {
            "action": ["accept", "reject", "fix", "accept"],
            "good": [True, False, False, True],
        },
        "latest": {
            "action": ["accept", "reject", "accept", "accept"],
            "good": [True, False, True, True],
        },
        "strictest": {
            "action": ["reject", "reject", "reject", "accept"],
            "good": [False, False, False, True],
        },
    }
    for rule, columns in expected.items():
        labels = reviews.resolve_labels(rule)
        assert labels.index.tolist() == [1, 2, 3, 4]
        for name, values in columns.items():
            assert labels[name].tolist() == values, rule
        assert labels["reviewers"].tolist() == [3, 2, 4, 1]
        assert labels["disagree"].tolist() == [True, True, True, False]
        assert labels["settled"].tolist() == [True, rule != "majority", True, True]
    with pytest.raises(CallError, match="'mean' is not one of majority, latest, strictest"):
        reviews.resolve_labels("mean")
    with pytest.raises(CallError, match="--good-iou is 2"):
        reviews.resolve_labels(good_iou=2)


def test_light_fixes_count_as_good_where_that_is_asked_for(reviews: Reviews, said: Said) -> None:
    rows = said((1, "fix", "a"), (2, "fix", "a"), (3, "fix", "a"), (4, "reject", "a"))
    reviews.add(rows.assign(iou=[0.95, 0.7, np.nan, np.nan]), origin="f")
    assert reviews.resolve_labels()["good"].tolist() == [False] * 4
    labels = reviews.resolve_labels(good_iou=0.9)
    assert labels["good"].tolist() == [True, False, False, False]
    assert labels["action"].tolist() == ["fix", "fix", "fix", "reject"]
    np.testing.assert_array_equal(labels["iou"], [0.95, 0.7, np.nan, np.nan])


def test_a_later_decision_of_a_person_replaces_the_earlier(reviews: Reviews, said: Said) -> None:
    rows = said((1, "reject", "a"), (1, "accept", "a"), (2, "accept", "a"), (2, "reject", "a"))
    reviews.add(rows[::-1], origin="f")  # by time, not by the order in which they came
    labels = reviews.resolve_labels()
    assert labels["good"].tolist() == [True, False]
    assert labels["reviewers"].tolist() == [1, 1]
    assert labels["iou"].tolist()[0] == 1


def test_known_answers_are_no_labels_and_random_draws_stay(reviews: Reviews, said: Said) -> None:
    draw = reviews.record_draw(
        "estimate",
        pd.DataFrame(
            {
                "mask_id": [1, 2, 3, 9],
                "inclusion_probability": [0.5, 0.25, 0.25, np.nan],
                "stratum": [4, 2, 2, -1],
                "honeypot": [None, None, None, "accept"],
            }
        ),
        {},
    )
    shown = said((1, "accept", "a"), (2, "reject", "a"), (9, "reject", "a")).drop(columns="time")
    reviews.add(shown.assign(draw_id=draw), origin="f")
    later = reviews.record_draw("errors", pd.DataFrame({"mask_id": [1, 3]}), {})
    again = said((1, "reject", "a"), (3, "accept", "a")).drop(columns="time")
    reviews.add(again.assign(draw_id=later), origin="g")
    labels = reviews.resolve_labels()
    assert labels.index.tolist() == [1, 2, 3]
    assert labels["good"].tolist() == [False, False, True]  # by what was said last
    assert labels["queue_kind"].tolist() == ["estimate", "estimate", "errors"]
    assert labels["draw_id"].tolist() == [draw, draw, later]
    assert labels["stratum"].tolist() == [4, 2, pd.NA]
    np.testing.assert_array_equal(labels["inclusion_probability"], [0.5, 0.25, np.nan])
    of_draw = reviews.resolve_labels(draw_id=draw)
    assert of_draw.index.tolist() == [1, 2]
    assert of_draw["good"].tolist() == [False, False]
    assert not len(reviews.resolve_labels(draw_id=99))
    people = reviews.agreement().reviewers
    assert people.loc["a", ["decisions", "honeypots", "honeypots_right"]].tolist() == [3, 1, 0]


def test_nothing_decided(reviews: Reviews) -> None:
    assert not len(reviews.resolve_labels())
    agreement = reviews.agreement()
    assert agreement.masks == 0
    assert np.isnan(agreement.alpha)
    assert "no mask has been judged by two people" in agreement.text()


def direct_label(votes: list[tuple[str, float, int]], rule: str, good_iou: float | None) -> Any:
    """Resolve one mask's votes (action, IoU, time) step by step."""

    def bad(vote: tuple[str, float, int]) -> bool:
        light = vote[0] == "fix" and good_iou is not None and vote[1] >= good_iou
        return vote[0] == "reject" or (vote[0] == "fix" and not light)

    if rule == "latest":
        chosen = max(votes, key=lambda vote: vote[2])
    else:
        worse = [vote for vote in votes if bad(vote)]
        better = [vote for vote in votes if not bad(vote)]
        if rule == "strictest":
            side = worse or better
            action = max((vote[0] for vote in side), key=ACTIONS.index)
        else:
            side = better if len(better) > len(worse) else worse
            count = Counter(vote[0] for vote in side)
            action = max(count, key=lambda word: (count[word], ACTIONS.index(word)))
        chosen = max((vote for vote in side if vote[0] == action), key=lambda vote: vote[2])
    return (not bad(chosen), chosen[0], chosen[1])


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(ACTIONS),
            st.sampled_from([0.5, 0.8, 0.95]),
        ),
        max_size=14,
    ),
    st.sampled_from(["majority", "latest", "strictest"]),
    st.sampled_from([None, 0.7, 0.9]),
)
def test_labels_are_those_of_a_direct_count(
    votes: list[tuple[int, str, float]], rule: str, good_iou: float | None
) -> None:
    votes = sorted(votes, key=lambda vote: vote[0])
    times = np.random.default_rng(len(votes)).permutation(len(votes))
    frame = pd.DataFrame(votes, columns=["mask_id", "action", "iou"])
    frame = frame.assign(place=frame["action"].map(ACTIONS.index), order=times, decision_id=0)
    labels = _resolve_votes(frame, rule, good_iou)
    for mask, group in frame.groupby("mask_id"):
        own = [
            (a, i, t) for a, i, t in zip(group["action"], group["iou"], group["order"], strict=True)
        ]
        good, action, iou = direct_label(own, rule, good_iou)
        row = labels.loc[mask]
        assert (row["good"], row["action"]) == (good, action)
        assert row["iou"] == iou or (action == "reject" and np.isnan(row["iou"]))
        assert row["reviewers"] == len(own)
    assert len(labels) == frame["mask_id"].nunique()


# --- agreement -------------------------------------------------------------------------------


def direct_alpha(ratings: list[list[int | None]]) -> float:
    """Return nominal alpha from all ordered pairs within units; ``ratings`` has a row a person."""
    units = [
        [value for value in column if value is not None] for column in zip(*ratings, strict=True)
    ]
    units = [unit for unit in units if len(unit) > 1]
    pairable = [value for unit in units for value in unit]
    n = len(pairable)
    observed = sum(
        sum(a != b for i, a in enumerate(unit) for j, b in enumerate(unit) if i != j)
        / (len(unit) - 1)
        for unit in units
    )
    expected = sum(
        a != b for i, a in enumerate(pairable) for j, b in enumerate(pairable) if i != j
    ) / (n - 1)
    return 1 - observed / expected


def flat(ratings: list[list[int | None]]) -> tuple[np.ndarray, np.ndarray]:
    pairs = [
        (unit, value)
        for person in ratings
        for unit, value in enumerate(person)
        if value is not None
    ]
    return np.array([u for u, _ in pairs]), np.array([v for _, v in pairs])


def read(*rows: str) -> list[list[int | None]]:
    return [[None if c == "." else "0123456789abcde".index(c) for c in row] for row in rows]


@pytest.mark.parametrize(
    ("ratings", "published"),
    [
        # Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, sections A, B and C.
        (read("0100000010", "1110010000"), 0.095),
        (read("aabbdcccedda", "babbbccceddd"), 0.692),
        (
            read("123321412...", "1233224125.3", ".3332342251.", "12332441251."),
            0.743,
        ),
    ],
)
def test_alpha_of_published_examples(ratings: list[list[int | None]], published: float) -> None:
    alpha = krippendorff_alpha(*flat(ratings))
    assert alpha == pytest.approx(published, abs=5e-4)
    assert alpha == pytest.approx(direct_alpha(ratings), abs=1e-12)


def test_kappa_of_a_published_example() -> None:
    """Fifty grant proposals that two readers accept or reject: 20, 5, 10, 15 (kappa 0.4)."""
    assert cohen_kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4, abs=1e-12)


def test_where_chance_alone_agrees_there_is_no_kappa_and_no_alpha() -> None:
    assert np.isnan(cohen_kappa(np.array([[5]])))
    assert np.isnan(krippendorff_alpha(np.arange(10) % 5, np.zeros(10, np.int64)))
    assert np.isnan(krippendorff_alpha(np.arange(3), np.arange(3)))
    assert np.isnan(cohen_kappa(np.array([[0]])))


@pytest.mark.filterwarnings("error")
def test_agreement_of_many_people_is_that_of_direct_definitions(
    reviews: Reviews, said: Said
) -> None:
    random = np.random.default_rng(5)
    names = ["ann", "bob", "", "dan"]
    truth = random.integers(0, 3, 12)
    ratings: list[list[int | None]] = [
        [int(t) if random.random() < 0.7 else int(random.integers(0, 3)) for t in truth]
        for _ in names
    ]
    for person in ratings:
        for unit in random.choice(12, 3, replace=False):
            person[unit] = None
    rows = [
        (unit + 1, ACTIONS[value], name)
        for name, person in zip(names, ratings, strict=True)
        for unit, value in enumerate(person)
        if value is not None
    ]
    frame = said(*rows, seconds=random.random(len(rows)) * 9)
    reviews.add(frame, origin="f")
    found = reviews.agreement()
    assert found.alpha == pytest.approx(direct_alpha(ratings), abs=1e-12)
    kappas = []
    by_name = dict(zip(names, ratings, strict=True))
    for one, two in combinations(sorted(names), 2):
        both = [
            (a, b)
            for a, b in zip(by_name[one], by_name[two], strict=True)
            if a is not None and b is not None
        ]
        row = found.pairs.set_index(["first", "second"]).loc[(one, two)]
        kappas.append(cohen_kappa_score(*zip(*both, strict=True)))
        assert row["kappa"] == pytest.approx(kappas[-1], abs=1e-12)
        assert row["masks"] == len(both)
        assert row["agreed"] == pytest.approx(np.mean([a == b for a, b in both]))
    assert found.kappa == pytest.approx(np.mean(kappas))
    units = [sum(v is not None for v in column) for column in zip(*ratings, strict=True)]
    assert found.masks == sum(count > 1 for count in units)
    for name in names:
        own = frame[frame["reviewer"] == name]
        row = found.reviewers.loc[name]
        assert row["decisions"] == len(own)
        for action in ACTIONS:
            assert row[f"{action}_rate"] == pytest.approx((own["action"] == action).mean())
        assert row["median_seconds"] == pytest.approx(own["seconds"].median())
    text = found.text()
    assert "(no name) and ann" in text
    assert f"Krippendorff's alpha {found.alpha:.3f}" in text
    plain = found.as_dict()
    assert plain["masks"] == found.masks
    assert len(plain["pairs"]) == 6


def test_known_answers_count_for_people_and_not_for_agreement(reviews: Reviews, said: Said) -> None:
    known = {1: "accept", 2: "reject", 3: "reject", 4: "accept"}
    drawn = pd.DataFrame({"mask_id": list(known), "honeypot": list(known.values())})
    draw = reviews.record_draw("learn", drawn, {})
    answers = {
        "ann": ("accept", "reject", "fix", "fix"),
        "bob": ("reject", "reject", "accept", "accept"),
    }
    rows = [
        (mask, word, who)
        for who, words in answers.items()
        for mask, word in zip(known, words, strict=True)
    ]
    reviews.add(said(*rows, draw_id=draw).drop(columns="time"), origin="f")
    reviews.add(said((1, "accept", "bob"), draw_id=draw), origin="before, and replaced")
    found = reviews.agreement()
    assert found.reviewers["honeypots"].to_dict() == {"ann": 4, "bob": 4}
    assert found.reviewers["honeypots_right"].to_dict() == {"ann": 3, "bob": 2}
    assert found.reviewers["decisions"].to_dict() == {"ann": 0, "bob": 0}
    assert found.masks == 0
    assert "3 of 4 right" in found.text()
    assert found.as_dict()["reviewers"][0]["accept_rate"] is None
