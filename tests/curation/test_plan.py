from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.policy.file_findings import Hits, rules_of_file, text_of
from curate.policy.plan import decide, rank
from curate.policy.policy import Policy, load_policy
from curate.quality import label_free as quality
from curate.quality.explanations import Blame, explain_low_quality
from curate.rle import encode_counts, from_dense

Masks = Callable[..., pd.DataFrame]
BARE = load_policy({"name": "bare"})


def rule(when: str, action: str, reason: str = "odd", **more: Any) -> dict[str, Any]:
    return {"when": when, "action": action, "reason": reason, **more}


def policy(*rules: dict[str, Any], **tables: Any) -> Policy:
    return load_policy({"rule": list(rules), **tables})


def test_the_gravest_action_counts_and_all_reasons_stand(masks: Masks) -> None:
    plan = decide(
        masks(3),
        policy(
            rule("area_px < 10", "accept", "tiny"),
            rule("area_px < 20", "review", "{area_px} px only"),
            rule("area_px < 10", "reject", "far too small"),
        ),
    )
    assert plan["action"].tolist() == ["reject", "review", "accept"]
    assert plan["reasons"].tolist() == ["far too small; 9 px only; tiny", "16 px only", ""]
    assert plan.index.tolist() == [10, 11, 12]


def test_twins_are_named_and_rejected_only_while_one_stays(masks: Masks) -> None:
    twin = pd.array([None, 10, 11, None, 15, 14], dtype="Int64")
    frame = masks(6, duplicate_of=twin, duplicate_iou=[np.nan, 0.97, 0.96, np.nan, 1.0, 1.0])
    plan = decide(frame, load_policy("default"))
    assert plan["action"].tolist() == ["accept", "reject", "review", "accept", "review", "review"]
    assert plan["reasons"][11] == "same object as mask 10 (IoU 0.97)"
    assert plan["reasons"][12].endswith("but that mask is rejected or missing")


def test_a_twin_rejected_for_another_reason_does_not_take_this_one_along(masks: Masks) -> None:
    frame = masks(3, duplicate_of=pd.array([None, 10, None], dtype="Int64"), duplicate_iou=0.99)
    plan = decide(
        frame,
        policy(
            rule(
                "duplicate_iou > 0.9 and not missing(duplicate_of)", "reject", twin="duplicate_of"
            ),
            rule("mask_id == 10", "reject", "no good"),
        ),
    )
    assert plan["action"].tolist() == ["reject", "review", "accept"]


def test_two_categories_on_the_same_pixels_go_to_people(masks: Masks) -> None:
    twin = pd.array([None, 10, 10, None, 13, None], dtype="Int64")
    category = ["dog", "cat", "dog", None, None, "cat"]
    frame = masks(6, duplicate_of=twin, duplicate_iou=0.99, category=category)
    assert decide(frame, load_policy("default"))["action"].tolist() == [
        *("accept", "review", "reject", "accept", "reject", "accept")
    ]


def test_broken_masks_are_rejected_and_misplaced_ones_reviewed(masks: Masks) -> None:
    status = ["empty", "undecodable", "size_mismatch", "unknown_image", "bad_category", "ok"]
    frame = masks(6, status=status, status_detail="a; b", quality_score=[np.nan] * 4 + [0.9, 0.9])
    plan = decide(frame, load_policy("default"))
    assert plan["action"].tolist() == ["reject"] * 2 + ["review"] * 3 + ["accept"]
    assert plan["reasons"].iloc[0] == "no usable mask: a, b"


def test_crowds_are_not_judged_as_objects(masks: Masks) -> None:
    frame = masks(3, iscrowd=pd.array([1, 1, 0], dtype="Int8"), prompt_score=0.1, area_px=[0, 9, 9])
    frame["status"] = ["empty", "ok", "ok"]
    plan = decide(frame, load_policy("default"), quality_cut=0.99)
    assert plan["action"].tolist() == ["reject", "accept", "review"]
    assert plan["reasons"].iloc[1] == "a crowd region, not judged as one object"
    assert plan["priority"].iloc[1] == 0


def test_low_quality_goes_to_review_and_unknown_quality_is_not_silently_accepted(
    masks: Masks,
) -> None:
    frame = masks(3, quality_score=[0.3, 0.8, np.nan])
    plan = decide(frame, policy(accept={"quality_at_least": 0.5}))
    assert plan["action"].tolist() == ["review", "accept", "review"]
    assert plan["reasons"].tolist()[0] == "low quality: 0.30"
    assert "could not be computed" in plan["reasons"].tolist()[2]
    cut = decide(frame, policy(review={"lowest_share": 0.02}), quality_cut=0.5)
    assert cut["reasons"].tolist()[0] == "only in the lowest 2% by quality (0.30)"
    spared = decide(
        frame, policy(rule("quality_score < 0.5", "accept"), accept={"quality_at_least": 0.5})
    )
    assert spared["action"].tolist()[0] == "accept"


def test_what_breaks_a_rule_what_is_odd_and_what_is_only_lowest_are_told_apart(
    masks: Masks,
) -> None:
    frame = masks(4, quality_score=[0.9, 0.2, 0.4, 0.9])
    lines = {"accept": {"quality_at_least": 0.3}, "review": {"lowest_share": 0.02}}
    said = Blame(["it has holes (9 px)"], ["freedom from holes 0.98"])
    rules = policy(rule("mask_id == 10", "review"), **lines)
    plan = decide(frame, rules, quality_cut=0.5, blame=lambda rows: said)
    assert plan["flagged_by"].tolist() == ["rule", "quality", "lowest_share", ""]
    assert plan["reasons"].tolist() == [
        "odd",
        "it has holes (9 px, quality 0.20)",
        "weakest signal: freedom from holes 0.98",
        "",
    ]
    certified = decide(frame, policy(**lines), certified=0.5)
    assert certified["flagged_by"].tolist() == ["", "certificate", "certificate", ""]


def test_a_rule_that_speaks_of_the_file_speaks_of_no_mask_with_pixels(masks: Masks) -> None:
    area = [0, *range(1, 20)]
    frame = masks(20, area_px=area, score=[0.1] * 18 + [0.9] * 2)
    rules = policy(
        rule("score < 0.5", "review", "odd area {area_px} (score {score:.1f})"),
        rule("score < 0.5", "review", "always said", always=True),
        rule("area_px < 18", "reject", "small"),
        rule("score > 0.5", "review", "of two"),
    )
    plan = decide(frame, rules)
    hits = plan.attrs["hits"]
    assert (hits.masks, hits.rules) == (19, {1: 17, 2: 17, 4: 2})
    assert hits.examples[1][0] == (11, "odd area 1 (score 0.1)")
    assert rules_of_file(rules, hits) == {1}
    assert text_of(rules.rules[0], [text for _, text in hits.examples[1]]) == "odd area …"
    muted = decide(frame, rules, muted=rules_of_file(rules, hits))
    assert muted.attrs["hits"].rules == hits.rules
    assert muted["reasons"].iloc[1] == "small; always said"
    assert muted["reasons"].iloc[0] == "small; odd area 0 (score 0.1); always said"
    few = Hits()
    few.add(hits)
    few.masks = few.rules[1] = 9
    assert rules_of_file(rules, few) == frozenset()


def test_without_any_quality_rules_still_speak(masks: Masks) -> None:
    frame = masks(3).drop(columns="quality_score")
    plan = decide(frame, policy(rule("area_px < 10", "review"), accept={"quality_at_least": 0.5}))
    assert plan["action"].tolist() == ["review", "accept", "accept"]
    assert plan["priority"].iloc[0] > plan["priority"].iloc[1]


def test_priority_is_the_chance_of_an_error_times_its_cost(masks: Masks) -> None:
    frame = masks(3, quality_score=[0.9, 0.9, 0.6], category=["cat", "dog", "cat"])
    plan = decide(frame, policy(accept={"quality_at_least": 0.5}, cost={"category": {"dog": 3}}))
    assert plan["priority"].tolist() == pytest.approx([0.1, 0.3, 0.4])


@given(
    st.lists(
        st.tuples(st.floats(0, 1) | st.just(np.nan), st.integers(0, 3)), min_size=1, max_size=9
    ),
    st.sampled_from([None, 0.0, 0.3, 0.5, 0.9]),
    st.sampled_from([0.01, 0.5, 1.0]),
)
def test_no_unblemished_mask_comes_before_a_doubtful_one(
    rows: list[tuple[float, int]], line: float | None, p_bad: float
) -> None:
    quality, kind = zip(*rows, strict=True)
    frame = pd.DataFrame({"image_id": 1, "quality_score": quality, "score": kind}).astype(float)
    frame.index.name = "mask_id"
    tables = {} if line is None else {"accept": {"quality_at_least": line}}
    plan = decide(
        frame,
        policy(rule("score == 1", "review", p_bad=p_bad), rule("score == 2", "reject"), **tables),
    )
    accepted = plan["action"] == "accept"
    if accepted.any() and not accepted.all():
        assert plan["priority"][accepted].max() < plan["priority"][~accepted].min()
    assert plan["priority"].between(0, 1).all()


def test_rank_is_by_priority_then_id() -> None:
    index = pd.Index([7, 3, 5], name="mask_id")
    assert rank(pd.DataFrame({"priority": [0.5, 0.5, 0.9]}, index=index)).tolist() == [3, 2, 1]


def test_the_order_of_rows_does_not_matter(masks: Masks) -> None:
    rng = np.random.default_rng(0)
    boxes = rng.integers(0, 8, (12, 2))
    frame = masks(12, bbox_x=boxes[:, 0], bbox_y=boxes[:, 1], bbox_w=20, bbox_h=20)
    frame["predicted_iou"] = frame["stability_score"] = 0.97
    frame["duplicate_of"] = pd.array([None, *range(10, 21)], dtype="Int64")
    frame["duplicate_iou"] = 0.96
    shuffled = frame.iloc[rng.permutation(12)]
    for name in ("default", "sa1b"):
        plan = decide(frame, load_policy(name))
        pd.testing.assert_frame_equal(decide(shuffled, load_policy(name)).sort_index(), plan)


def test_no_masks_are_no_problem(masks: Masks) -> None:
    for name in ("default", "sa1b"):
        plan = decide(masks(3).iloc[:0], load_policy(name), quality_cut=0.1)
        names = ["action", "reasons", "priority", "rule_action", "flagged_by", "decided_by"]
        assert plan.columns.tolist() == names
        assert len(plan) == 0


def sam(masks: Masks, n: int, **columns: Any) -> pd.DataFrame:
    values = {"predicted_iou": 0.95, "stability_score": 0.97, "largest_fragment_px": 500.0}
    return masks(n, **{**values, **columns})


def test_sa1b_thresholds(masks: Masks) -> None:
    frame = sam(
        masks,
        6,
        predicted_iou=[0.88, 0.87, 0.9, 0.9, np.nan, 1.1],
        stability_score=[0.95, 0.99, 0.949, 0.96, 0.96, np.nan],
        area_px=[100, 100, 100, 1900, 100, 100],
        largest_fragment_px=[100.0, 500, 500, 500, 99, 500],
    )
    plan = decide(frame, load_policy("sa1b"))
    assert plan["action"].tolist() == ["accept", "reject", "reject", "reject", "reject", "review"]
    assert plan["reasons"].tolist()[1:4] == [
        "predicted IoU 0.870, under 0.88",
        "stability 0.949, under 0.95",
        "covers 95.0% of the image",
    ]
    assert "largest island has 99 px" in plan["reasons"].iloc[4]
    assert "stability is not available" in plan["reasons"].iloc[5]


def test_sa1b_accepts_nothing_without_sams_scores(masks: Masks) -> None:
    plan = decide(masks(3, largest_fragment_px=500.0), load_policy("sa1b"))
    assert plan["action"].tolist() == ["review"] * 3


def test_sa1b_nms_runs_among_what_the_filters_left_and_prefers_the_closer_crop(
    masks: Masks,
) -> None:
    frame = sam(
        masks,
        3,
        bbox_x=0,
        bbox_w=20,
        bbox_h=20,
        predicted_iou=[0.99, 0.9, 0.9],
        stability_score=[0.97, 0.97, 0.5],
        crop_x=0.0,
        crop_y=0.0,
        crop_w=[50.0, 25.0, 10.0],
        crop_h=[40.0, 20.0, 10.0],
    )
    plan = decide(frame, load_policy("sa1b"))
    assert plan["action"].tolist() == ["reject", "accept", "reject"]
    assert plan["reasons"].iloc[0].startswith("its box overlaps that of mask 11 (box IoU 1.00)")
    assert plan["reasons"].iloc[2] == "stability 0.500, under 0.95"


def test_small_islands_and_holes_are_a_note_to_clean_found_from_the_mask(masks: Masks) -> None:
    pixels = np.zeros((40, 50), bool)
    pixels[2:20, 2:20] = True
    pixels[5:7, 5:7] = False
    pixels[30:33, 30:33] = True
    counts = encode_counts(from_dense(pixels))[0].as_py()
    frame = masks(1, segmentation=[counts], area_px=int(pixels.sum()))
    frame["predicted_iou"] = frame["stability_score"] = 0.99
    plan = decide(frame, load_policy("sa1b"))
    assert plan["action"].tolist() == ["accept"]
    assert plan["reasons"].tolist() == [
        "to clean: 9 px in islands under 100 px; to clean: 4 px in holes under 100 px"
    ]
    stricter = load_policy({"extends": "sa1b", "clean": {"small_px": 5}})
    frame["small_island_px"] = 9.0  # measured with another limit: not believed
    assert decide(frame, stricter)["reasons"].tolist() == ["to clean: 4 px in holes under 100 px"]


def test_blame_names_the_loudest_signal(masks: Masks) -> None:
    frame = masks(50, hole_score=[0.2] + [1.0] * 49, fragment_score=[1.0, 0.1] + [1.0] * 48)
    frame = frame.assign(hole_area_px=30, fragment_count=3)
    found = explain_low_quality(frame, quality.fit(frame))
    assert found.stated[:3] == [
        "it has holes (30 px in all)",
        "it falls into pieces (3, 90.0% outside the largest)",
        "",
    ]
    assert found.weakest[:3] == ["freedom from holes 0.20", "wholeness 0.10", ""]
    usual = frame.assign(hole_score=[0.999] + [1.0] * 49, fragment_score=[0.7, 0.75] + [0.7] * 48)
    mild = explain_low_quality(
        usual, quality.fit(usual)
    )  # what pulls the first down most reads as 1.00
    assert mild.stated[0].startswith("it has holes")
    assert mild.weakest[:2] == ["", ""]
    bare = explain_low_quality(frame.drop(columns="hole_area_px"), quality.fit(frame))
    assert bare.stated[0] == "it has holes (unknown px in all)"
    assert explain_low_quality(frame[["area_px"]], {}).stated == [""] * 50
    mild = explain_low_quality(frame, quality.fit(frame), {"hole_score": 0.1})
    assert mild.stated[0] == bare.stated[0].replace("unknown", "30")


def test_no_certificate_hides_what_was_measured(masks: Masks) -> None:
    """A mask of low quality says why, and that it is not certified."""
    frame = masks(3, quality_score=[0.1, 0.3, 0.9])
    plan = decide(
        frame,
        policy(accept={"quality_at_least": 0.2}),
        certified=0.5,
        blame=lambda rows: Blame([f"it has holes ({i} px)" for i in rows.index], [""] * len(rows)),
    )
    first = frame.index[0]
    assert plan["reasons"].tolist() == [
        f"it has holes ({first} px); not certified: quality 0.10",
        "not certified: quality 0.30",
        "",
    ]
    assert plan["flagged_by"].tolist() == ["certificate", "certificate", ""]
