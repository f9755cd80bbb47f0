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
