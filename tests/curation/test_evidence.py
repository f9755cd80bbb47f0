from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from curate.errors import CallError
from curate.people.guarantees.reviewed_sample import RecordedDraw, gather_sample
from curate.people.queues.sampling import count_strata, draw_estimate, draw_images

N = 1000


def population(n: int = N) -> pd.DataFrame:
    random = np.random.default_rng(1)
    index = pd.Index(np.arange(n) + 100, name="mask_id")
    values = {"image_id": np.arange(n) // 5, "quality_score": random.random(n)}
    return pd.DataFrame(values, index=index)


def labels_of(ids: Any, bad: Any = (), fixed: Any = (), iou: float = np.nan) -> pd.DataFrame:
    ids = np.asarray(ids)
    action = np.where(np.isin(ids, bad), "reject", "accept")
    action = np.where(np.isin(ids, fixed), "fix", action)
    values = {"good": action == "accept", "action": action, "queue_kind": "estimate"}
    values["iou"] = np.where(action == "fix", iou, np.nan)
    return pd.DataFrame(values, index=pd.Index(ids, name="mask_id"))


def draw_of(rows: pd.DataFrame, before: int = 0, **other: Any) -> RecordedDraw:
    settings = {"unit": "mask", "population": N, "before": before, "strata": count_strata(rows)}
    return RecordedDraw(other.pop("number", 1), "estimate", settings | other, rows)


def drawn(
    n: int = 200, seed: int = 0, masks: pd.DataFrame | None = None, **other: Any
) -> RecordedDraw:
    masks = population() if masks is None else masks
    return draw_of(draw_estimate(masks, n, seed=seed), **other)


def whole(n: int = 100, seed: int = 0) -> RecordedDraw:
    masks = population()
    images = np.unique(masks["image_id"])
    chosen = np.random.default_rng(seed).choice(images, n // 5, replace=False)
    rows = draw_images(masks, chosen, len(images), seed)
    settings = {"unit": "image", "population": N, "before": 0}
    settings["images"] = {"population": len(images), "drawn": len(chosen), "ids": chosen.tolist()}
    return RecordedDraw(2, "estimate", settings, rows)


def test_a_finished_draw() -> None:
    draw = drawn()
    ids = draw.rows["mask_id"].to_numpy()
    sample = gather_sample(
        [draw], labels_of(ids, bad=ids[:7], fixed=ids[7:9], iou=0.8), population(), N
    )
    assert len(sample) == 200
    assert sample.bad.sum() == 9
    assert sample.exact
    assert sample.fraction == pytest.approx(0.2)
    assert (1 / sample.probability).sum() == pytest.approx(N)
    assert sample.strata.tolist() == [200] * 5
    np.testing.assert_array_equal(np.bincount(sample.stratum), [40] * 5)
    at = dict(zip(sample.mask_id.tolist(), sample.iou.tolist(), strict=True))
    assert [at[k] for k in ids[[0, 7, 20]]] == [0.0, 0.8, 1.0]
    assert sample.notes == ()
    errors = RecordedDraw(7, "errors", {}, draw.rows.assign(inclusion_probability=np.nan))
    beside = gather_sample([errors, draw], labels_of(ids), population(), N)
    assert sorted(beside.mask_id) == sorted(ids)


def test_only_the_beginning_of_an_unfinished_draw_counts() -> None:
    draw = drawn()
    ids = draw.rows.sort_values("place")["mask_id"].to_numpy()
    # 100 in order but for one that was skipped, and some out of turn.
    done = np.r_[ids[:60], ids[61:100], ids[150:160]]
    sample = gather_sample([draw], labels_of(done), population(), N)
    assert sorted(sample.mask_id) == sorted(ids[:100])
    assert sample.mask_id[~sample.decided].tolist() == [ids[60]]
    assert sample.reviewed == len(sample) - 1
    assert sample.bad.sum() == 1
    assert sample.fraction == pytest.approx(0.1)
    assert "1 masks without a decision" in sample.notes[0]
    assert "first 100 of 200" in sample.notes[1]


def test_what_is_picked_out_of_a_draw_is_refused() -> None:
    draw = drawn()
    ids = draw.rows.sort_values("place")["mask_id"].to_numpy()
    with pytest.raises(CallError, match=r"no decisions yet.*in their order"):
        gather_sample([draw], labels_of(ids[100:]), population(), N)


def test_checks_of_people_are_no_part_of_the_sample() -> None:
    draw = drawn(100)
    rows = draw.rows
    again = rows.iloc[:5].assign(slot=1, place=rows["place"].iloc[:5] + 10.5)
    left = population().index.difference(rows["mask_id"])[:5]
    known = rows.iloc[:5].assign(
        mask_id=left, inclusion_probability=np.nan, honeypot="reject", place=np.arange(5) + 0.5
    )
    shown = pd.concat(
        [rows.astype({"honeypot": object}), again, known.astype({"honeypot": object})]
    )
    plain = gather_sample([draw], labels_of(rows["mask_id"]), population(), N)
    mixed = gather_sample(
        [RecordedDraw(1, "estimate", draw.settings, shown)],
        labels_of(np.r_[rows["mask_id"], left], bad=left),
        population(),
        N,
    )
    assert sorted(mixed.mask_id) == sorted(plain.mask_id)
    assert not mixed.bad.any()


def test_two_draws_combine_to_the_chance_of_being_in_any() -> None:
    masks = population()
    one = drawn(100)
    rest = masks[~masks.index.isin(one.rows["mask_id"])]
    # The score has changed in between, and with it the strata.
    other = rest.assign(quality_score=np.random.default_rng(5).random(len(rest)))
    two = drawn(270, seed=3, masks=other, before=100, number=2)
    ids = np.r_[one.rows["mask_id"], two.rows["mask_id"]]
    sample = gather_sample([one, two], labels_of(ids), masks, N)
    assert len(sample) == len(np.unique(ids)) == 370
    assert not sample.exact
    # 0.1 + 0.9 * 0.3
    assert sample.fraction == pytest.approx(0.37)
    np.testing.assert_allclose(sample.probability, 0.37)


def test_an_unfinished_first_draw_keeps_its_masks_from_the_second() -> None:
    masks = population()
    one = drawn(200)
    rest = masks[~masks.index.isin(one.rows["mask_id"])]
    two = drawn(80, seed=3, masks=rest, before=200, number=2)
    begun = one.rows.sort_values("place")["mask_id"].to_numpy()[:50]
    sample = gather_sample([one, two], labels_of(np.r_[begun, two.rows["mask_id"]]), masks, N)
    # 0.2 * 50 / 200 + 0.8 * 0.1, which is 130 masks of 1,000.
    assert sample.fraction == pytest.approx(0.13)
    assert len(sample) == 130


def test_draws_that_may_meet_combine_as_independent() -> None:
    one, two = drawn(100), drawn(100, seed=9, number=2)
    ids = np.union1d(one.rows["mask_id"], two.rows["mask_id"])
    sample = gather_sample([one, two], labels_of(ids), population(), N)
    assert sample.fraction == pytest.approx(0.19)
    assert len(sample) == len(ids) < 200


def test_unequal_probabilities_stand_alone() -> None:
    masks = population()
    quality = masks["quality_score"].to_numpy()
    high = quality >= np.median(quality)
    random = np.random.default_rng(4)
    parts = [
        random.choice(masks.index[side], n, replace=False) for side, n in ((high, 50), (~high, 150))
    ]
    rows = pd.DataFrame({"mask_id": np.concatenate(parts), "stratum": np.repeat([1, 0], [50, 150])})
    rows["inclusion_probability"] = np.where(
        rows["stratum"] == 1, 50 / high.sum(), 150 / (~high).sum()
    )
    rows["place"] = random.permutation(200) + 1
    draw = draw_of(rows)
    sample = gather_sample([draw], labels_of(rows["mask_id"]), masks, N)
    assert not sample.exact
    assert sample.fraction == pytest.approx(0.1)
    assert sample.weight.max() == pytest.approx(1)
    assert sample.weight.min() == pytest.approx(1 / 3)
    with pytest.raises(CallError, match="unequal probabilities"):
        gather_sample([draw, drawn(10, number=2)], labels_of(rows["mask_id"]), masks, N)


def test_whole_images() -> None:
    draw = whole()
    ids = draw.rows.sort_values("place")["mask_id"].to_numpy()
    sample = gather_sample([draw], labels_of(ids), population(), N)
    assert sample.unit == "image"
    assert len(np.unique(sample.image_id)) == 20
    assert sample.fraction == pytest.approx(20 / 200)
    # An image that was not finished does not count.
    part = gather_sample([draw], labels_of(ids[:52]), population(), N)
    assert len(part) == 50
    assert part.fraction == pytest.approx(10 / 200)
    both = gather_sample(
        [drawn(), draw], labels_of(np.r_[ids, drawn().rows["mask_id"]]), population(), N
    )
    assert both.unit == "mask"
    assert "whole images" in both.notes[0]


def broken(**change: Any) -> RecordedDraw:
    draw = drawn()
    rows = draw.rows.copy()
    settings = dict(draw.settings)
    kind = change.pop("kind", "estimate")
    for name, value in change.items():
        if name in settings:
            settings[name] = value
        else:
            rows[name] = value
    return RecordedDraw(1, kind, settings, rows)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (broken(kind="errors"), "kind 'errors'.*not random"),
        (broken(unit=""), "does not say what was drawn"),
        (broken(inclusion_probability=np.nan), "200 of 200 masks have no inclusion probability"),
        (broken(inclusion_probability=1.5), "no inclusion probability"),
        (broken(inclusion_probability=0.1), "imply 2,000 masks instead of 1,000"),
        (broken(population=900), "drawn from 900 masks, and there are 1,000"),
        (broken(before=50), "earlier draws had 0"),
        (
            RecordedDraw(1, "estimate", drawn().settings, drawn().rows.iloc[:150]),
            "150 masks, and 200 were",
        ),
        (
            RecordedDraw(1, "estimate", drawn().settings, drawn().rows.assign(mask_id=100)),
            "mask 100 was drawn twice",
        ),
        (
            RecordedDraw(
                1, "estimate", drawn().settings, drawn().rows.assign(mask_id=np.arange(200))
            ),
            "not in the audit any more",
        ),
        (
            draw_of(drawn().rows.assign(inclusion_probability=np.linspace(0.1, 0.3, 200))),
            "different inclusion probabilities",
        ),
    ],
)
def test_a_sample_that_is_not_random_is_refused(draw: RecordedDraw, message: str) -> None:
    with pytest.raises(CallError, match=message):
        gather_sample([draw], labels_of(draw.rows["mask_id"]), population(), N)


def test_decisions_without_a_draw_are_refused_and_counted() -> None:
    labels = labels_of(np.arange(100, 130)).assign(queue_kind=["errors"] * 20 + ["learn"] * 10)
    with pytest.raises(CallError, match="20 of the queue 'errors', 10 of the queue 'learn'"):
        gather_sample([], labels, population(), N)
    with pytest.raises(CallError, match="nobody has decided"):
        gather_sample([], labels.iloc[:0], population(), N)
    with pytest.raises(CallError, match="no draw is of whole images"):
        gather_sample([drawn()], labels, population(), N, unit="image")


def imported_draw(labels: pd.DataFrame, size: int) -> RecordedDraw:
    """Decisions that came with inclusion probabilities, as one draw."""
    rows = labels[["inclusion_probability"]].rename_axis("mask_id").reset_index()
    rows["stratum"] = rows["inclusion_probability"].rank(method="dense").astype(np.int64) - 1
    rows["place"] = np.arange(1, len(rows) + 1)
    strata = [{"drawn": len(rows)}]
    settings = {"unit": "mask", "population": size, "before": 0, "strata": strata}
    return RecordedDraw(0, "estimate", settings, rows)


def test_a_sample_that_others_drew() -> None:
    ids = drawn().rows["mask_id"].to_numpy()
    labels = labels_of(ids, bad=ids[:5]).assign(inclusion_probability=0.2)
    sample = gather_sample([imported_draw(labels, N)], labels, population(), N)
    assert len(sample) == 200
    assert sample.exact
    assert sample.bad.sum() == 5
    part = labels.iloc[:150]
    with pytest.raises(CallError, match="imply 750 masks instead of 1,000"):
        gather_sample([imported_draw(part, N)], part, population(), N)
