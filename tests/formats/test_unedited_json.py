from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_cases import draws

from curate.formats.edits import Change
from curate.formats.untouched import json_list_check
from curate.formats.untouched.json_list_check import (
    ListEdits,
    check_lists,
    elements,
    members,
    tokens,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)
NAMES = st.text(max_size=4)


def meaning(data: bytes) -> Any:
    """Put a document together again from its pieces."""
    whole: dict[str, Any] = {}
    for token in tokens(io.BytesIO(data)):
        if token.kind == "list":
            whole[token.key] = []
        elif token.kind == "element":
            whole[token.key].append(json.loads(token.text))
        elif token.kind == "value":
            whole[token.key] = json.loads(token.text.partition(b":")[2])
    return whole


@draws(30)
@given(
    content=st.dictionaries(NAMES.map(lambda name: name.replace(":", ".")), VALUES, max_size=4),
    indent=st.sampled_from([None, 1]),
    is_ascii=st.booleans(),
    block=st.integers(1, 40),
)
def test_pieces_are_what_a_parser_finds(
    content: dict[str, Any], indent: int | None, is_ascii: bool, block: int
) -> None:
    data = json.dumps(content, indent=indent, ensure_ascii=is_ascii).encode("utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_list_check, "_BLOCK", block)
        assert meaning(data) == content


def test_deep_values_and_long_strings_are_single_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_list_check, "_BLOCK", 7)
    deep = b"[" * 5_000 + b'"] \\" [ \\\\"' + b"]" * 5_000
    found = list(tokens(io.BytesIO(b'{"a": [' + deep + b', 1], "b": "x]"}')))
    assert [one.text for one in found if one.kind == "element"] == [deep, b"1"]
    assert found[-1].text == b'"b":"x]"'


def test_members_and_elements_of_a_piece() -> None:
    assert members(b'{"\\u0061" : [1, {"b": "}"}] , "c":null}') == [
        ("a", b'[1, {"b": "}"}]'),
        ("c", b"null"),
    ]
    assert members(b"[1]") == []
    assert elements(b'[ {"a": [1]}, "]" ]') == [b'{"a": [1]}', b'"]"']
    assert elements(b"null") is None


@pytest.mark.parametrize("data", [b"1", b"{", b'{"a"}', b'[1, "', b'{"a": [1, {]}'])
def test_what_is_no_json_is_said(data: bytes) -> None:
    assert "cannot be read again" in check_lists(io.BytesIO(data), io.BytesIO(data), {})


RECORD = '{"id": 1, "bbox": [1, 2], "own": {"a": 1}, "segmentation": []}'


@pytest.mark.parametrize(
    ("change", "now", "is_meant"),
    [
        (Change(counts=b"x"), RECORD.replace("[1, 2]", "[3]"), True),
        (Change(counts=b"x"), RECORD.replace('"a": 1', '"a": 2'), False),
        (Change(counts=b"x"), RECORD.replace('"id": 1, ', ""), False),
        (Change(counts=b"x"), RECORD[:-1] + ', "more": 1}', False),
        (Change(category="x"), RECORD.replace("[1, 2]", "[3]"), False),
        (Change(category="x"), RECORD[:-1] + ', "category_id": 4}', True),
        (Change(attributes={"b": "2"}), RECORD[:-1] + ', "attributes": {"b": "2"}}', True),
        (Change(attributes={"b": "2"}), RECORD[:-1] + ', "category_id": 4}', False),
    ],
)
def test_a_changed_record_differs_in_what_follows_from_the_change(
    change: Change, now: str, is_meant: bool
) -> None:
    old, new = (io.BytesIO(f"[{text}]".encode()) for text in (RECORD, now))
    assert (check_lists(old, new, {"": ListEdits(change={0: change})}) == "") is is_meant
