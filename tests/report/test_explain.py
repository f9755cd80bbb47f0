"""Explanations of signals, columns, status words and reasons."""

from __future__ import annotations

import pytest

import curate
from curate.errors import CallError
from curate.policy.policy import load_policy
from curate.reporting import reference
from curate.reporting.explain import LOW_IS_WORSE, Explanation
from curate.scorers import all_scorers
from curate.scorers.reason_template import JOINT


def only(asked: str, kind: str = "") -> Explanation:
    found = [one for one in curate.explain(asked).found if kind in ("", one.kind)]
    assert len(found) == 1, [(one.kind, one.name) for one in found]
    return found[0]


def test_a_signal_is_explained_with_all_its_headings():
    found = only("hole_score")
    assert (found.kind, found.title) == ("signal", "Freedom from holes")
    for text in (found.measures, found.why, found.false_alarms, found.options, found.look):
        assert len(text.split()) > 3
    assert "order by hole_score limit 20" in found.look
    assert only("Hole Score") == only("hole-score") == found, "however it is written"


def test_a_reason_is_found_by_its_text_with_numbers_and_by_a_part_of_it():
    whole = only("it has holes (120 px in all)")
    assert whole.name == "hole_score"
    twin = only("same object as mask 17 (IoU 0.98)")
    assert twin.name == "duplicate_iou"
    assert twin.reads == ("same object as mask `duplicate_of` (IoU `duplicate_iou`)",)
    assert only("no usable mask: no pixel is set").name == "status"
    both = curate.explain(f"same object as mask 17 (IoU 0.98){JOINT}it has holes (120 px in all)")
    assert [one.name for one in both.found] == ["duplicate_iou", "hole_score"]
    assert {one.name for one in curate.explain("same object").found} == {"duplicate_iou"}


def test_every_reason_of_the_default_policy_is_found_by_what_it_says():
    for rule in load_policy("default").rules:
        said = "".join(p if isinstance(p, str) else "0.12" for p in rule.reason.pieces)
        found = curate.explain(said).found
        assert reference.readable(rule.reason.text) in [text for one in found for text in one.reads]


def test_a_column_says_what_it_is_and_names_the_rules_that_ask_about_it():
    found = curate.explain("duplicate_iou").found
    assert [one.kind for one in found] == ["column", "reason"]
    assert "order by duplicate_iou desc" in found[0].look, "a high overlap is what is looked for"
    for name in (*LOW_IS_WORSE, "exhaustive_score"):
        assert any(f"order by {name} limit" in one.look for one in curate.explain(name).found), name
    assert "order by missing_detections desc" in only("missing_detections").look
    measured = [c for one in all_scorers() for c in reference.list_columns(one)]
    likenesses = {c.name for c in measured if c.kind == "measure" and c.name.endswith("_iou")}
    assert likenesses - LOW_IS_WORSE == {"duplicate_iou", "overlap_iou", "others_iou"}
    assert only("area_px").measures == "Area, measured, in px."
    assert "count(*)" in only("category").look, "texts are counted, not sorted"


def test_a_status_word_is_explained():
    found = only("size_mismatch")
    assert found.kind == "status"
    assert "The sizes differ" in found.measures
    assert "where status = 'size_mismatch'" in found.look


def test_reasons_that_no_rule_states():
    assert "lowest_share" in only("weakest signal: prompt 0.86", "reason").measures
    assert [o.name for o in curate.explain("weakest signal: edge evidence 0.41").found] == [
        "edge_score",
        "weakest signal",
    ]
    assert only("not certified: quality 0.31").name == "not certified"


def test_a_near_miss_is_suggested():
    with pytest.raises(CallError, match=r"hol_scor: no signal.*did you mean hole_score"):
        curate.explain("hol_scor")
    with pytest.raises(CallError, match="docs/reference"):
        curate.explain("\x1bzzzzqqqq")


def test_lines_fit_a_terminal_and_name_no_link_targets_of_the_site():
    for name in (*reference.signal_names(), *reference.rules_by_subject(), "status"):
        text = curate.explain(name).text(80)
        assert max(map(len, text.splitlines())) <= 82, name
        assert "](" not in text
