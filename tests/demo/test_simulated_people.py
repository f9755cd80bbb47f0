"""Simulated people: what they decide, how long it takes, their mistakes, and their interruption."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_clock import HandClock
from hypothesis import given
from hypothesis import strategies as st

import curate
from curate import rle
from curate.demo_dataset import AnnotationTimes, ErrorRates, SimulatedPeople, draw_shapes
from curate.demo_dataset.outline_changes import changed_length, imprecise, outline_length
from curate.demo_dataset.shape_scenes import SIDE
from curate.demo_dataset.simulated_people import _Place, iou_matrix, match_objects
from curate.errors import CallError
from curate.people.reviews import Reviews
from curate.testing.scene import disc, table_of

PERFECT = ErrorRates(accept_bad=0, reject_good=0, miss=0, outline=0)
SCENES = 5


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_shapes(tmp_path_factory.mktemp("scenes") / "drawn", images=SCENES, seed=4)


@pytest.fixture(scope="module")
def proposals(truth: Path) -> Path:
    """By object: as it is, moved by a lot, missing; and one mask of nothing an image."""
    document = json.loads(truth.read_text())
    kept = []
    for k, one in enumerate(document["annotations"]):
        if k % 3 == 1:
            mask = np.roll(rle.decode(one["segmentation"])[0], 2, axis=1)
            kept.append(one | {"segmentation": stored(mask)})
        elif k % 3 == 0:
            kept.append(one)
    nothing = np.zeros((SIDE, SIDE), bool)
    nothing[:4, :4] = True
    kept += [
        {"id": 9000 + image["id"], "image_id": image["id"], "category_id": 1, "iscrowd": 0}
        | {"segmentation": stored(nothing)}
        for image in document["images"]
    ]
    source = truth.parent / "proposals.json"
    source.write_text(json.dumps(document | {"annotations": kept}))
    return source


def stored(mask: Any) -> dict[str, Any]:
    counts = rle.encode_counts(rle.from_dense(mask))[0].as_py().decode()
    return {"size": list(mask.shape), "counts": counts}


@pytest.fixture
def audit(proposals: Path, tmp_path: Path) -> curate.Audit:
    return curate.audit(proposals, tmp_path / "audit", images="none")


def people(truth: Path, **settings: Any) -> SimulatedPeople:
    return SimulatedPeople(curate.read(truth), **{"errors": PERFECT, **settings})


def test_people_without_mistakes_leave_the_truth(truth, audit, tmp_path):
    done = people(truth).work(audit)
    curate.write(audit, tmp_path / "out.json")
    before, after = curate.read(truth).masks, curate.read(tmp_path / "out.json").masks
    pixels = [
        Counter(zip(one["file_name"], one["segmentation"], one["category"], strict=True))
        for one in (before, after)
    ]
    assert pixels[0] == pixels[1]
    objects = len(before)
    assert done.count("search") == done.count("reject") == SCENES
    assert done.count("accept") == len(range(0, objects, 3))
    assert done.count("fix") + done.count("add") == objects - done.count("accept")
    assert done.count("fix") > 0


def test_seconds_are_those_of_the_time_model_and_stand_with_the_decisions(truth, audit):
    times = AnnotationTimes(judge_s=1, search_s=10, locate_s=2, click_s=0.5, draw_s_per_px=0.1)
    clock = HandClock()
    done = people(truth, times=times, scale=1).work(audit, clock=clock.clock)
    actions = done.actions.set_index("action")
    assert set(actions.loc[["accept", "reject"], "seconds"]) == {1}
    assert set(actions.loc["search", "seconds"]) == {10}
    added = actions.loc[["add"]]
    assert added["seconds"].to_numpy() == pytest.approx(2 + 0.1 * added["outline_px"].to_numpy())
    fixed = actions.loc[["fix"]]
    pairs = fixed[["changed_px", "outline_px"]].itertuples(index=False)
    assert fixed["seconds"].tolist() == pytest.approx([times.fix(*pair) for pair in pairs])
    again = people(truth, scale=1).work(audit, clock=clock.clock)
    assert not len(again.actions)
    other = done.timed(times.scaled("search_s", 2))
    assert other.seconds == pytest.approx(done.seconds + SCENES * 10)
    reviews = Reviews(curate.open_audit(audit))
    decisions = reviews.decisions().set_index("mask_id")
    of_masks = done.actions[done.actions["mask_id"] >= 0].set_index("mask_id")
    assert decisions["seconds"].to_dict() == pytest.approx(of_masks["seconds"].to_dict())
    assert sorted(reviews.missing()["seconds"]) == pytest.approx(sorted(added["seconds"]))
    assert reviews.reviewed_images()["seconds"].tolist() == [10] * SCENES
    for image, own in done.actions.groupby("image_id"):
        moments = sorted(
            time
            for frame in (reviews.missing(), reviews.reviewed_images())
            for time in frame.loc[frame["image_id"] == image, "time"]
        )
        drawn = own.loc[own["action"] == "add", "seconds"]
        assert (moments[-1] - moments[0]).total_seconds() == pytest.approx(
            drawn[1:].sum() + 10 if len(drawn) else 0, abs=1e-3
        )
        assert int(moments[-1].value // 1000) == clock.wall_us


def test_masks_that_nobody_asks_about_stand(truth, audit):
    masks = audit.masks(["image_id"])
    asked = masks.index[masks.index > 9000]
    done = people(truth).work(audit, asked=asked)
    assert done.count("reject") == len(asked)
    assert done.count("accept") == done.count("fix") == 0
    objects = len(curate.read(truth).masks)
    assert done.count("add") == objects - (len(masks) - len(asked))


def test_judging_alone_marks_no_image(truth, audit):
    asked = audit.masks(["image_id"]).index[:4]
    done = people(truth).work(audit, asked=asked, search=False)
    reviews = Reviews(curate.open_audit(audit))
    assert sorted(reviews.decisions()["mask_id"]) == sorted(asked)
    assert not len(reviews.reviewed_images())
    assert not len(reviews.missing())
    assert len(done.actions) == len(asked)


def test_work_in_pieces_is_the_same_work(truth, proposals, tmp_path):
    errors = ErrorRates(accept_bad=0.3, reject_good=0.3, miss=0.3)
    left = []
    for name, pieces in (("at once", [range(1, 6)]), ("in pieces", [[3], [1, 3], range(1, 6)])):
        audit = curate.audit(proposals, tmp_path / name, images="none")
        for images in pieces:
            people(truth, errors=errors, seed=5).work(audit, images=images)
        reviews = Reviews(curate.open_audit(audit))
        decisions, missing = reviews.decisions(), reviews.missing()
        assert sorted(reviews.reviewed_images()["image_id"]) == [1, 2, 3, 4, 5]
        left.append(
            (
                {tuple(row) for row in decisions[["mask_id", "action", "seconds"]].to_numpy()},
                {tuple(row) for row in missing[["image_id", "segmentation"]].to_numpy()},
                len(decisions) + len(missing),
            )
        )
    assert left[0] == left[1]


def test_mistakes_come_at_their_rates():
    rates = ErrorRates(accept_bad=0.2, reject_good=0.1)
    judge = SimulatedPeople(table_of([disc(20, 20, 5)]), errors=rates)._judge
    chances = (np.arange(1000) + 0.5) / 1000
    actions = {iou: Counter(judge(iou, c) for c in chances) for iou in (0.95, 0.6, 0.1, np.nan)}
    assert actions[0.95] == {"accept": 900, "reject": 100}
    assert actions[0.6] == {"accept": 200, "fix": 800}
    assert actions[0.1] == actions[np.nan] == {"accept": 200, "reject": 800}


def test_mistakes_differ_by_seed_and_mask(truth):
    place = _Place(1, "a.png", 8, 8, 1.0)
    two = [people(truth, seed=seed) for seed in (0, 1)]
    drawn = [one._chance(place, f"mask {k}") for one in two for k in range(500)]
    assert len(set(drawn)) == 1000
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.05)
    assert min(drawn) >= 0
    assert max(drawn) < 1


def test_a_published_time_can_be_halved_and_doubled():
    times = AnnotationTimes()
    assert times.scaled("judge_s", 0.5).judge_s == times.judge_s / 2
    assert times.scaled("draw_s_per_px", 2).draw(100) == times.locate_s + 200 * times.draw_s_per_px
    with pytest.raises(CallError, match="there is no time 'wait'"):
        times.scaled("wait", 2)
    with pytest.raises(CallError, match="judge_s is -1"):
        AnnotationTimes(judge_s=-1)
    with pytest.raises(CallError, match="miss is 2"):
        ErrorRates(miss=2)


def test_the_drawing_rate_is_what_coco_took():
    assert AnnotationTimes().draw(375) == pytest.approx(79.2, rel=0.01)


def test_a_fix_never_takes_longer_than_drawing_anew():
    times = AnnotationTimes()
    assert times.fix(0, 500) == times.judge_s + times.click_s
    assert times.fix(500, 500) <= times.judge_s + times.draw(500)
    assert times.fix(900, 500) == times.judge_s + times.draw(500)


def test_outlines_are_as_long_as_they_are():
    assert outline_length(disc(80, 60, 40)) == pytest.approx(2 * np.pi * 40, rel=0.02)
    assert changed_length(disc(80, 60, 40), disc(80, 60, 40), 0.5) == 0
    assert changed_length(disc(80, 60, 40), disc(80, 60, 34), 2) == pytest.approx(
        2 * np.pi * 40, rel=0.02
    )
    half = disc(80, 60, 40)
    half[:, 80:] = False
    changed = changed_length(half, disc(80, 60, 40), 2)
    assert changed == pytest.approx(np.pi * 40, rel=0.1)
    island = disc(80, 60, 20) | disc(130, 60, 10)
    assert changed_length(island, disc(80, 60, 20), 2) == pytest.approx(2 * np.pi * 10, rel=0.1)


@pytest.mark.parametrize(("error", "iou"), [(0.02, 0.97), (0.04, 0.94), (0.08, 0.88)])
def test_imprecise_outlines_have_the_iou_that_is_said(error: float, iou: float):
    mask = disc(80, 60, 50)
    drawn = [imprecise(mask, error, np.random.default_rng(seed)) for seed in range(15)]
    found = [(mask & one).sum() / (mask | one).sum() for one in drawn]
    assert np.mean(found) == pytest.approx(iou, abs=0.015)
    assert imprecise(mask, 0, np.random.default_rng(0)) is mask


@given(st.integers(0, 2**32), st.integers(1, 9), st.floats(0, 1))
def test_an_imprecise_mask_is_never_empty(seed: int, size: int, error: float):
    mask = np.zeros((9, 9), bool)
    mask[:size, 3:4] = True
    drawn = imprecise(mask, error, np.random.default_rng(seed))
    assert drawn.shape == mask.shape
    assert drawn.any()


def test_a_mask_and_its_object_belong_together_once():
    truth = rle.as_runs([disc(40, 60, 20), disc(110, 60, 20)])
    masks = rle.as_runs([disc(44, 60, 20), disc(41, 60, 20), disc(140, 100, 5), disc(111, 60, 20)])
    of, iou = match_objects(masks, truth)
    assert of.tolist() == [-1, 0, -1, 1]
    assert np.isnan(iou).tolist() == [True, False, True, False]
    assert iou_matrix(masks, truth).shape == (4, 2)
    assert match_objects(masks, truth[:0])[0].tolist() == [-1] * 4


def test_scenes_are_the_same_for_a_seed(truth, tmp_path):
    again = draw_shapes(tmp_path / "again", images=SCENES, seed=4)
    assert again.read_bytes() == truth.read_bytes()
    for picture in (truth.parent / "images").iterdir():
        assert (again.parent / "images" / picture.name).read_bytes() == picture.read_bytes()
    table = curate.read(truth)
    assert (table.masks["status"] == "ok").all()
    assert len(table.overlaps) == 0
    other = draw_shapes(tmp_path / "other", images=1, seed=5)
    assert set(curate.read(other).masks["segmentation"]).isdisjoint(table.masks["segmentation"])
    with pytest.raises(CallError, match="0 scenes are asked for"):
        draw_shapes(tmp_path / "none", images=0)


def test_masks_of_another_category_are_relabelled_and_broken_ones_go(
    truth: Path, tmp_path: Path
) -> None:
    document = json.loads(truth.read_text())
    first, second, third, *others = document["annotations"]
    first |= {"category_id": 2}
    second |= {"category_id": 99}  # no category of the file
    third |= {"segmentation": {"size": [SIDE, SIDE], "counts": "?"}}
    document["categories"].append({"id": 2, "name": "stone"})
    source = tmp_path / "spoilt.json"
    source.write_text(json.dumps(document | {"annotations": [first, second, third, *others]}))
    audit = curate.audit(source, tmp_path / "audit", images="none")
    done = people(truth).work(audit)
    by_mask = done.actions.set_index("mask_id")["action"]
    assert by_mask[first["id"]] == by_mask[second["id"]] == "relabel"
    assert by_mask[third["id"]] == "reject"
    assert done.count("add") == 1
    times = AnnotationTimes()
    relabelled = done.actions[done.actions["action"] == "relabel"]
    assert set(relabelled["seconds"]) == {times.judge_s + times.click_s}
    assert done.timed(times).seconds == pytest.approx(done.seconds)
    curate.write(audit, tmp_path / "out.json")
    assert set(curate.read(tmp_path / "out.json").masks["category"]) == {"body"}
    assert not len(people(truth).work(audit).actions)
