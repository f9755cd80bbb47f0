from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO

import curate
from curate.errors import AuditError, CallError
from curate.people.exchange import write_queue
from curate.people.queues.draw_queue import BLIND_COLUMNS, draw_queue
from curate.people.queues.population import PastReviews
from curate.people.queues.sampling import COLUMNS
from curate.people.reviews.recorded_draws import RecordedDraw

Masks = Callable[..., pd.DataFrame]
N = 90
"""Masks, three an image."""


@pytest.fixture
def audit(make_audit: Any, masks: Masks) -> Any:
    """Masks 10 to 99: the last thirty are to review, one is a crowd region and one is empty."""
    random = np.random.default_rng(0)
    priority = np.linspace(0.01, 0.99, N)
    frame = masks(
        N,
        action=["accept"] * 60 + ["review"] * 30,
        reasons=[""] * 60 + [f"odd {k}" for k in range(30)],
        priority=priority,
        rank=np.arange(N, 0, -1),
        quality_score=1 - priority,
        fragment_score=random.random(N),
        predicted_iou=random.random(N),
        iscrowd=pd.array([0, 1] + [0] * (N - 2), dtype="Int8"),
        crowd_region=[0.0, 1.0] + [0.0] * (N - 2),
    )
    frame.loc[12, "status"] = "empty"
    return make_audit(frame)


def known(first: int, count: int) -> pd.Series[Any]:
    """Return answers by turns for some masks to review."""
    ids = pd.Index(np.arange(first, first + count), name="mask_id")
    return pd.Series(np.where(np.arange(count) % 2, "accept", "reject"), ids)


def recorded(drawn: Any) -> RecordedDraw:
    """Return a draw as it comes back from where it was recorded: through JSON and SQL types."""
    return RecordedDraw(1, drawn.kind, json.loads(json.dumps(drawn.settings)), drawn.record)


def test_errors_are_todays_queue_with_a_place_and_a_kind(audit: Any) -> None:
    drawn = draw_queue(audit, budget=7)
    plain = curate.queue(audit, budget=7)
    pd.testing.assert_frame_equal(
        drawn.rows.drop(columns=["place", "slot", "queue_kind"]), plain, check_dtype=False
    )
    assert drawn.rows["place"].tolist() == list(range(1, 8))
    assert drawn.rows["queue_kind"].unique().tolist() == ["errors"]
    assert tuple(drawn.record.columns) == COLUMNS
    assert drawn.record["inclusion_probability"].isna().all()
    assert len(draw_queue(audit).rows) == 30
    assert len(draw_queue(audit, actions=("accept", "review")).rows) == 90
    assert draw_queue(audit, actions=("reject",)).rows.empty
    assert drawn.numbered_rows(5)["draw_id"].tolist() == [5] * 7


def test_errors_and_learn_leave_out_what_was_decided_or_sampled(audit: Any) -> None:
    sample = draw_queue(audit, kind="estimate", budget=30, seed=1)
    already = PastReviews(np.array([99, 98]), (recorded(sample),))
    gone = {99, 98, *sample.record["mask_id"]}
    for kind in ("errors", "learn"):
        drawn = draw_queue(audit, kind=kind, budget=20, already=already, actions=("review",))
        assert len(drawn.rows) >= 15
        assert not gone & set(drawn.record["mask_id"])
    errors = draw_queue(audit, budget=9, already=already).record["mask_id"].tolist()
    assert errors == [k for k in range(99, 9, -1) if k not in gone][:9]
    everything = PastReviews(np.arange(10, 100))
    assert draw_queue(audit, already=everything).rows.empty
    with pytest.raises(AuditError, match="no mask is left"):
        draw_queue(audit, kind="learn", budget=3, already=everything)


def test_an_estimate_is_about_all_masks_that_could_be_accepted(audit: Any) -> None:
    drawn = draw_queue(audit, kind="estimate", budget=500)
    assert sorted(drawn.record["mask_id"]) == [k for k in range(10, 100) if k not in (11, 12)]
    assert (drawn.record["inclusion_probability"] == 1).all()
    some = draw_queue(audit, kind="estimate", budget=30, already=PastReviews(np.arange(10, 100)))
    assert len(some.record) == 30  # what people saw for other reasons stays in
    assert some.settings["population"] == 88
    assert some.settings["unit"] == "mask"
    assert sum(s["masks"] for s in some.settings["strata"]) == 88
    assert sum(s["drawn"] for s in some.settings["strata"]) == 30


def test_later_samples_leave_out_earlier_ones(audit: Any) -> None:
    one = draw_queue(audit, kind="estimate", budget=40, overlap=0.25, seed=1)
    assert one.settings["masks"] == 32
    two = draw_queue(
        audit, kind="estimate", budget=500, already=PastReviews(draws=(recorded(one),)), seed=2
    )
    ids = set(one.record["mask_id"])
    assert len(ids) == 32
    assert len(two.record) == 88 - 32
    assert not ids & set(two.record["mask_id"])
    assert two.settings["before"] == 32
    before = PastReviews(draws=(recorded(one), recorded(two)))
    with pytest.raises(AuditError, match="no mask is left"):
        draw_queue(audit, kind="estimate", budget=5, already=before)


def test_whole_images_are_drawn_with_those_that_hold_no_mask(audit: Any) -> None:
    images = pd.read_parquet(audit.path / "images" / "part-000000.parquet")
    empty = images.head(10).assign(image_id=np.arange(1000, 1010))
    lost = images.head(3).assign(image_id=np.arange(2000, 2003), status="missing")
    pd.concat([empty, lost]).to_parquet(audit.path / "images" / "part-000001.parquet", index=False)
    options: dict[str, Any] = {"kind": "estimate", "whole_images": True}
    one = draw_queue(audit, **options, budget=44, seed=3)
    numbers = one.settings["images"]
    assert numbers["population"] == 40
    assert numbers["drawn"] == len(numbers["ids"]) == 20  # half of 88 masks, so half of the images
    held = one.rows["image_id"].unique()
    assert set(held) <= set(numbers["ids"])
    assert any(image >= 1000 for image in numbers["ids"])
    assert not set(numbers["ids"]) & {2000, 2001, 2002}
    assert (one.record["inclusion_probability"] == 0.5).all()
    two = draw_queue(audit, **options, budget=500, already=PastReviews(draws=(recorded(one),)))
    assert not set(two.settings["images"]["ids"]) & set(numbers["ids"])
    assert two.settings["images"]["population"] == 20


def test_a_random_sample_shows_nothing_that_judges_a_mask(audit: Any, tmp_path: Path) -> None:
    drawn = draw_queue(audit, kind="estimate", budget=40, honeypots=0.1, known=known(70, 20))
    assert set(drawn.rows.columns) <= {*BLIND_COLUMNS, "place", "slot", "queue_kind"}
    for name in ("q.csv", "q.json"):
        write_queue(audit, drawn.numbered_rows(1), tmp_path / name)
        text = (tmp_path / name).read_text()
        assert not any(w in text for w in ("honeypot", "score", "odd", "accept", "review", "prob"))


def test_checks_of_people_are_recorded_but_not_shown(audit: Any, tmp_path: Path) -> None:
    already = PastReviews(np.arange(90, 100))
    drawn = draw_queue(
        audit, budget=22, honeypots=0.2, known=known(90, 10), already=already, seed=4
    )
    hidden = drawn.record[drawn.record["honeypot"].notna()]
    assert len(hidden) == drawn.settings["honeypots"]["masks"] == 4
    assert len(drawn.rows) == len(drawn.record) <= 22
    assert set(hidden["mask_id"]) <= set(range(90, 100))
    assert drawn.rows["mask_id"].tolist() == drawn.record["mask_id"].tolist()
    write_queue(audit, drawn.numbered_rows(3), tmp_path / "q.csv")
    with (tmp_path / "q.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    same = {"draw_id", "slot", "queue_kind", "status"}
    for name in same:
        assert len({row[name] for row in rows}) == 1, name
    assert not {"rank", "priority", "quality_score", "action", "honeypot"} & set(rows[0])
    assert all(row["reasons"].startswith("odd") for row in rows)
    assert "honeypot" not in (tmp_path / "q.csv").read_text()


def test_answers_of_masks_that_could_not_have_been_drawn_are_not_used(audit: Any) -> None:
    answers = pd.concat([known(11, 2), known(60, 4), known(5000, 2)])
    drawn = draw_queue(audit, budget=30, honeypots=0.3, known=answers)
    assert (
        drawn.record["honeypot"].isna().all()
    )  # a crowd, an empty mask, accepted and unknown ones
    assert drawn.settings["honeypots"] == {"share": 0.3, "masks": 0}
    learn = draw_queue(audit, kind="learn", budget=10, honeypots=0.3, known=answers)
    assert set(learn.record.loc[learn.record["honeypot"].notna(), "mask_id"]) <= {60, 61, 62, 63}


def test_a_queue_for_two_people(audit: Any, tmp_path: Path) -> None:
    drawn = draw_queue(audit, budget=22, overlap=0.1)
    assert drawn.settings["overlap"] == {"share": 0.1, "masks": 2}
    assert len(drawn.rows) == 22
    twice = drawn.rows.loc[drawn.rows["slot"] == 1, "mask_id"].tolist()
    assert write_queue(audit, drawn.numbered_rows(1), tmp_path / "two.csv", slot=1) == 2
    assert pd.read_csv(tmp_path / "two.csv")["mask_id"].tolist() == twice
    assert write_queue(audit, drawn.numbered_rows(1), tmp_path / "all.json", "coco") == 20
    coco = COCO(str(tmp_path / "all.json"))
    assert sorted(coco.getAnnIds()) == sorted(set(drawn.rows["mask_id"]))
    attributes = coco.dataset["annotations"][0]["attributes"]
    assert attributes["draw_id"] == 1
    assert attributes["queue_kind"] == "errors"
    assert attributes["slot"] == 0


def test_learn_takes_masks_near_the_line(audit: Any) -> None:
    drawn = draw_queue(audit, kind="learn", budget=5)
    # The plan's doubtful third begins at a quality of a third or so.
    line = drawn.settings["line"]
    assert 0.3 < line < 0.37
    away = (drawn.rows["quality_score"] - line).abs()
    assert away.max() < 0.16
    assert drawn.rows["image_id"].value_counts().max() <= 5
    judged = type(audit)(audit.path, replace(audit.info, quality_model={"file": "x"}))
    assert draw_queue(judged, kind="learn", budget=5).settings["line"] == 0.5


def test_equal_seeds_give_equal_draws(audit: Any) -> None:
    options: dict[str, Any] = {
        "budget": 20,
        "overlap": 0.2,
        "honeypots": 0.1,
        "known": known(60, 9),
    }
    for kind in ("learn", "estimate"):
        one, two = (draw_queue(audit, kind=kind, seed=5, **options) for _ in range(2))
        pd.testing.assert_frame_equal(one.record, two.record)
        pd.testing.assert_frame_equal(one.rows, two.rows)
        other = draw_queue(audit, kind=kind, seed=6, **options)
        assert one.record["mask_id"].tolist() != other.record["mask_id"].tolist()


def test_calls_that_make_no_sense_are_refused(audit: Any, make_audit: Any, masks: Masks) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"kind": "error"}, "did you mean errors"),
        ({"kind": "estimate"}, "no budget"),
        ({"kind": "learn"}, "no budget"),
        ({"kind": "estimate", "budget": 5, "actions": ("review",)}, "whatever their action"),
        ({"whole_images": True}, "whole images are for estimates"),
        (
            {"kind": "estimate", "budget": 9, "whole_images": True, "honeypots": 0.1},
            "stands out among whole images",
        ),
        ({"honeypots": 0.1}, "no mask has a known answer"),
        ({"honeypots": 0.1, "known": known(10, 0)}, "no mask has a known answer"),
        ({"honeypots": 0.9, "known": known(10, 9)}, "--honeypots is 0.9"),
        ({"overlap": 2.0}, "--overlap is 2.0"),
        ({"overlap": float("nan"), "budget": 3}, "--overlap must be a number, not nan"),
        ({"budget": 0}, "--budget is 0"),
    ]
    for options, why in wrong:
        with pytest.raises(CallError, match=why):
            draw_queue(audit, **options)
    with pytest.raises(AuditError, match="no mask has an action"):
        draw_queue(make_audit(masks(3), "bare"), kind="estimate", budget=3)


def test_what_was_done_before_comes_from_the_record(audit: Any) -> None:
    sample = draw_queue(audit, kind="estimate", budget=10)
    images = draw_queue(audit, kind="estimate", budget=10, whole_images=True)
    errors = draw_queue(audit, budget=4)

    class Record:
        def draws(self) -> pd.DataFrame:
            settings = [recorded(d).settings for d in (sample, errors, images)]
            kinds = ["estimate", "errors", "estimate"]
            return pd.DataFrame({"draw_id": [3, 5, 8], "kind": kinds, "settings": settings})

        def read_draw(self, draw_id: int) -> pd.DataFrame:
            return {3: sample, 5: errors, 8: images}[draw_id].record

        def resolve_labels(self) -> pd.DataFrame:
            return pd.DataFrame({"good": [True]}, index=pd.Index([40], name="mask_id"))

    already = PastReviews.of(Record())
    assert already.decided.tolist() == [40]
    assert already.sampled_masks("mask").tolist() == sorted(sample.record["mask_id"])
    assert set(already.sampled_masks()) == {*sample.record["mask_id"], *images.record["mask_id"]}
    assert already.images().tolist() == sorted(images.settings["images"]["ids"])
