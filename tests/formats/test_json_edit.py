"""Taking elements out of a list: everything else stays, byte for byte."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CallError
from curate.formats.json.byte_edits import Elements, ordinals, splice_bytes
from curate.formats.json.streaming import scan

element = st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3)
element |= st.dictionaries(st.text(max_size=3), st.integers(), max_size=3)


def without(raw: bytes, key: str, drop: set[int]) -> bytes:
    elements = Elements(dropped=drop)
    for batch in scan(io.BytesIO(raw), "f.json", frozenset({key})):
        if not batch.is_list:
            break
        elements.take(batch)
    elements.check(drop, "f.json")
    return splice_bytes(raw, elements.cuts())


@given(st.lists(element, max_size=8), st.data(), st.sampled_from([None, 1]))
def test_the_rest_stays(elements: list[Any], data: st.DataObject, indent: int | None):
    drop = data.draw(st.sets(st.integers(0, len(elements) - 1))) if elements else set()
    before, after = {"x": [1, {"annotations": 2}]}, {"y": "é ]"}
    raw = json.dumps({**before, "annotations": elements, **after}, indent=indent).encode()
    kept = [one for i, one in enumerate(elements) if i not in drop]
    pruned = without(raw, "annotations", drop)
    assert json.loads(pruned) == {**before, "annotations": kept, **after}
    if not drop:
        assert pruned == raw
    bare = json.dumps(elements, indent=indent).encode()
    assert json.loads(without(bare, "", drop)) == kept


def test_numbers_fields_and_spacing_are_untouched():
    raw = b'{ "annotations" : [ {"a": 1.50} ,\n {"b":1e2}, {"c" : -0.0 } ] , "z":[ ]}\n'
    assert without(raw, "annotations", {0}) == (
        b'{ "annotations" : [ {"b":1e2}, {"c" : -0.0 } ] , "z":[ ]}\n'
    )
    assert without(raw, "annotations", {1}) == (
        b'{ "annotations" : [ {"a": 1.50}, {"c" : -0.0 } ] , "z":[ ]}\n'
    )
    assert without(raw, "annotations", {2}) == (
        b'{ "annotations" : [ {"a": 1.50} ,\n {"b":1e2} ] , "z":[ ]}\n'
    )
    assert without(raw, "annotations", {0, 1, 2}) == b'{ "annotations" : [  ] , "z":[ ]}\n'


def test_a_number_that_is_not_there_is_an_error():
    with pytest.raises(CallError, match="none with the number 5"):
        without(b'{"annotations":[1,2]}', "annotations", {0, 5})
    with pytest.raises(CallError, match="names no mask"):
        ordinals({"other.json#/annotations/1"}, "f.json#/annotations/")
    with pytest.raises(CallError, match="names no mask"):
        ordinals({"f.json#/annotations/-1"}, "f.json#/annotations/")
