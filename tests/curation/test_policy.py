from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CallError
from curate.policy.policy import Policy, load_policy

RULE = {"when": "area_px < 5", "action": "review", "reason": "small: {area_px} px"}


@pytest.mark.parametrize("name", ["default", "sa1b"])
def test_presets_load_and_survive_a_round_trip(name: str) -> None:
    policy = load_policy(name)
    assert policy.name == name
    assert policy.rules
    assert Policy.from_dict(policy.as_dict()) == policy
    assert Policy.from_dict(tomllib.loads(policy.to_toml())) == policy
    assert load_policy(policy) is policy
    assert Policy.preset(name) == policy


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        """
        name = "mine"
        [accept]
        quality_at_least = 0.5
        [cost]
        category = { "a \\"b\\"" = 3 }
        [[rule]]
        when = "area_px < 5"
        action = "reject"
        reason = "small"
        """
    )
    policy = load_policy(path)
    assert policy.quality_at_least == 0.5
    assert policy.category_cost == {'a "b"': 3.0}
    assert policy.rules[0].p_bad == 0.95
    assert Policy.from_dict(tomllib.loads(policy.to_toml())) == policy


def test_a_policy_can_extend_a_preset() -> None:
    base = load_policy("sa1b")
    policy = load_policy({"name": "x", "extends": "sa1b", "nms": {"box_iou": 0.5}, "rule": [RULE]})
    assert policy.nms is not None
    assert base.nms is not None
    assert (policy.nms.box_iou, policy.nms.prefer) == (0.5, base.nms.prefer)
    assert len(policy.rules) == len(base.rules) + 1
    with pytest.raises(CallError, match="default, sa1b"):
        load_policy({"extends": "nonsense"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"rules": []}, "no setting 'rules'.*rule"),
        ({"accept": {"quality": 1}}, r"\[accept\].*no setting 'quality'.*quality_at_least"),
        ({"accept": 3}, "accept must be a table"),
        ({"accept": {"quality_at_least": "high"}}, "must be a number"),
        ({"accept": {"quality_at_least": True}}, "must be a number"),
        ({"accept": {"quality_at_least": 1.5}}, "from 0 to 1"),
        ({"review": {"lowest_share": float("nan")}}, "must be a number"),
        ({"cost": {"default": -1}}, "from 0"),
        ({"cost": {"category": {"x": "y"}}}, "x must be a number"),
        ({"nms": {"prefer": "size"}}, "choose from crop, quality"),
        ({"clean": {"small_px": 0.5}}, "whole number"),
        ({"rule": {}}, r"\[\[rule\]\]"),
        ({"rule": ["x"]}, r"\[\[rule\]\]"),
        ({"rule": [RULE, {**RULE, "when": "aera_px < 5"}]}, "rule 2.*aera_px.*area_px"),
        ({"rule": [{**RULE, "when": 3}]}, "rule 1.*'when'"),
        ({"rule": [{**RULE, "action": "delete"}]}, "rule 1.*choose from accept, review, reject"),
        ({"rule": [{**RULE, "reason": "{x}"}]}, "rule 1.*no column x"),
        ({"rule": [{**RULE, "reason": "{area_px"}]}, "rule 1.*brace"),
        ({"rule": [{**RULE, "twin": "nobody"}]}, "rule 1.*nobody"),
        ({"rule": [{**RULE, "p_bad": 2}]}, "rule 1.*p_bad"),
        ({"rule": [{**RULE, "crowd": 1}]}, "rule 1.*crowd"),
        ({"rule": [{**RULE, "wen": "x"}]}, "rule 1.*'wen'.*when"),
        ({"name": 3}, "name must be a text"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(content: dict[str, object], said: str) -> None:
    with pytest.raises(CallError, match=said) as caught:
        Policy.from_dict(content, "p.toml")
    assert str(caught.value).startswith("p.toml")


def test_files_that_are_no_policy(tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"no such policy.*default, sa1b"):
        load_policy(tmp_path / "none.toml")
    for content, said in ((b"a = 1\nb == 2", "not TOML.*line 2"), (b"\xff", "not UTF-8")):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(CallError, match=said):
            load_policy(tmp_path / "bad.toml")
    with pytest.raises(CallError, match="cannot be read"):
        load_policy(tmp_path)


def test_rules_on_columns_that_are_not_there_are_told() -> None:
    policy = load_policy({"rule": [RULE, {**RULE, "when": "prompt_score < 1 or missing(score)"}]})
    found = policy.silent({"area_px"})
    assert [(s["rule"], s["lacks"]) for s in found] == [(2, ["prompt_score"])]
    assert policy.silent({"area_px", "prompt_score"}) == []


def test_the_columns_to_read_are_known() -> None:
    columns = load_policy("sa1b").columns
    assert {"predicted_iou", "crop_w", "bbox_x", "area_px", "height", "status_detail"} <= set(
        columns
    )
    assert not {"nms_by", "mask_id", "coverage"} & set(columns)
    assert "segmentation" not in load_policy("default").columns
    assert not load_policy("sa1b").reads_masks
    assert load_policy({"extends": "sa1b", "clean": {"small_px": 50}}).reads_masks


def test_marks_are_lines_for_charts() -> None:
    marks = load_policy({"accept": {"quality_at_least": 0.4}, "rule": [RULE]}).marks()
    assert {"column": "area_px", "below": 5.0, "action": "review"} in marks
    assert {"column": "quality_score", "below": 0.4, "action": "review"} in marks


toml = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=8), x, max_size=3),
    max_leaves=6,
)
KEYS = ["name", "extends", "accept", "review", "cost", "nms", "clean", "rule", "marks", "x"]


@given(st.dictionaries(st.sampled_from(KEYS), toml, max_size=4))
def test_any_content_is_a_policy_or_a_clear_error(content: dict[str, object]) -> None:
    try:
        Policy.from_dict(content)
    except CallError:
        return


BEYOND = {
    "[accept]\nquality_at_least = " + "9" * 400: "beyond 64 bits",
    "[accept]\nquality_at_least = 1e400": "must be a number",
    "[cost]\ndefault = " + "9" * 5000: "it is not TOML",
    "[cost]\ndefault = 0x" + "f" * 4000: "beyond 64 bits",
    "[cost.category]\na = " + "9" * 40: "beyond 64 bits",
    "[clean]\nsmall_px = " + "9" * 400: "beyond 64 bits",
    "deep = " + "[" * 3000: "nested too deeply",
    '[[rule]]\nwhen = "area_px > 1e999"\naction = "reject"\nreason = "x"': "beyond all floats",
    f'[[rule]]\nwhen = "area_px > {"9" * 400}"\naction = "reject"\nreason = "x"': "beyond all",
}


@pytest.mark.parametrize("text", BEYOND, ids=range(len(BEYOND)))
def test_numbers_beyond_floats_and_depth_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(CallError, match=BEYOND[text]):
        load_policy(tmp_path / "policy.toml")


@pytest.mark.parametrize("value", [10**400, -(2**80)])
def test_numbers_beyond_floats_in_a_mapping_are_refused(value: int) -> None:
    with pytest.raises(CallError, match="beyond 64 bits"):
        load_policy({"accept": {"quality_at_least": value}})


def test_a_rule_is_counted_as_it_stands_in_its_file(tmp_path: Path) -> None:
    """The preset's rules come first in the policy, and nobody sees them in the file."""
    wrong = {**RULE, "when": "aera_px < 5"}
    for content, place in (
        ({"extends": "default", "rule": [wrong]}, "mine.toml, rule 1: there is no column aera_px"),
        ({"extends": "sa1b", "rule": [RULE, wrong]}, "mine.toml, rule 2: there is no column"),
        ({"rule": [RULE, RULE, wrong]}, "mine.toml, rule 3: there is no column"),
    ):
        with pytest.raises(CallError) as caught:
            Policy.from_dict(content, "mine.toml")
        assert str(caught.value).startswith(place)
    policy = load_policy({"extends": "default", "rule": [RULE]})
    assert [rule.number for rule in policy.rules] == list(range(1, len(policy.rules) + 1))
    assert policy.rules[0].when.where == "preset default, rule 1"
    assert policy.rules[-1].when.where == "policy, rule 1"
