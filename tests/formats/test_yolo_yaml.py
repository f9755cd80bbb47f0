"""New classes in YOLO's YAML: all other bytes stay."""

from __future__ import annotations

import pytest

from curate.formats.yolo.class_names import with_yaml_names, yaml_names

NAME = "it's # a: new"
SPELLED = "'it''s # a: new'"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("nc: 2 # two\nnames: ['a', b]\nx: 1", "nc: 3 # two\nnames: ['a', b, @]\nx: 1"),
        ("names: [\n  a,\n  b,\n]\n", "names: [\n  a,\n  b, @,\n]\n"),
        ("names: {0: a, 1: 'b]'}\n", "names: {0: a, 1: 'b]', 2: @}\n"),
        ("names:\n- a\n- b\nnc: 80\n", "names:\n- a\n- b\n- @\nnc: 80\n"),
        ("names:\r\n  - a\r\n  - b\r\n", "names:\r\n  - a\r\n  - b\r\n  - @\r\n"),
        (
            "names:\n  0: a\n\n  1: b # B\n# x\nnc: 2",
            "names:\n  0: a\n\n  1: b # B\n  2: @\n# x\nnc: 3",
        ),
        ("nc: 2\nnames:\n  0: a\n  1: b", "nc: 3\nnames:\n  0: a\n  1: b\n  2: @"),
        ("\ufeffnames: [a, b]", "\ufeffnames: [a, b, @]"),
    ],
)
def test_only_names_and_their_count_grow(before: str, after: str) -> None:
    made = with_yaml_names(before.encode(), {2: NAME})
    assert made is not None
    assert made.decode() == after.replace("@", SPELLED)
    old = yaml_names(before.lstrip("\ufeff"))
    assert yaml_names(made.decode("utf-8-sig")) == old | {2: NAME}


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("names: [a, b # last\n]", {2: "x"}),
        ("names: [a, [b]]", {2: "x"}),
        ("names: [a, b]\nnc: two", {2: "x"}),
        ("names: [a, b]", {3: "x"}),
        ("names: [a, b]", {2: "x\ny"}),
        ("names: [a, b", {2: "x"}),
    ],
)
def test_what_is_not_safe_is_not_done(text: str, new: dict[int, str]) -> None:
    assert with_yaml_names(text.encode(), new) is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: &all [a]\nother: *all", {0: "a"}),
        ("a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, *b]", {}),
        ("a: &a [x]\nnames: *a", {}),
        ("names: !!python/object/apply:os.system [a]", {0: "a"}),
        ("names: [no, 1.0, ~, 2020-01-01]", {0: "no", 1: "1.0", 2: "~", 3: "2020-01-01"}),
        ("names: [a]\n---\nnames: [b]", {0: "a"}),
        ("names: [a]\nlater: [", {0: "a"}),
        ("names: {a: 0}", {}),
        ("? [x]\n: names\nnames: [a]", {}),
        ("- names: [a]", {}),
        ("[" * 100_000, {}),
        ("names: " + "{0: " * 100_000, {}),
    ],
)
def test_nothing_in_yaml_runs_grows_or_is_followed(text: str, names: dict[int, str]) -> None:
    assert yaml_names(text) == names
