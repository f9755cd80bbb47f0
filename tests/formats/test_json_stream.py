"""The streaming scanner: the same values as a parser, whatever the chunks, and where it breaks."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import SourceError
from curate.formats.json import streaming
from curate.formats.json.streaming import EMPTY_KEY, parse_document, scan

leaf = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=6)
leaf |= st.floats(allow_nan=False, allow_infinity=False)
value = st.recursive(
    leaf, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=4), v, max_size=3)
)
document = st.dictionaries(st.text(max_size=4), value, max_size=4) | st.lists(value, max_size=5)


def collected(raw: bytes, chunk: int = 1 << 16, wanted: frozenset[str] | None = None) -> Any:
    found: dict[str, Any] = {}
    for batch in scan(io.BytesIO(raw), "f.json", wanted, chunk):
        values = batch.parse("f.json")
        if batch.is_list:
            found.setdefault(batch.key, []).extend(values)
        else:
            found[batch.key] = values[0]
    return found


@given(document, st.integers(1, 9), st.sampled_from([None, 2]), st.booleans())
def test_values_are_those_of_a_parser(doc: Any, chunk: int, indent: int | None, ascii_only: bool):
    raw = json.dumps(doc, indent=indent, ensure_ascii=ascii_only).encode()
    assert collected(raw, chunk) == by_key(doc)


def by_key(doc: Any) -> dict[str, Any]:
    """Return the values of a document under the keys of batches."""
    if not isinstance(doc, dict):
        return {"": doc}
    return {key or EMPTY_KEY: value for key, value in doc.items()}


@given(document.filter(lambda d: isinstance(d, dict)), st.integers(1, 9))
def test_unwanted_keys_are_skipped(doc: dict[str, Any], chunk: int):
    named = by_key(doc)
    wanted = frozenset(list(named)[:1])
    expected = {key: named[key] for key in wanted}
    assert collected(json.dumps(doc).encode(), chunk, wanted) == expected


@given(document, st.integers(0, 400))
def test_a_file_cut_off_anywhere_says_the_byte(doc: Any, cut: int):
    raw = json.dumps(doc).encode()
    part = raw[: min(cut, len(raw) - 1)]
    with pytest.raises(SourceError) as caught:
        collected(part, 7)
    if part:
        assert f"byte {len(part)}" in str(caught.value)
        assert "cut off" in str(caught.value)
    else:
        assert "empty" in str(caught.value)


@given(document, st.data())
def test_a_changed_byte_gives_an_error_or_what_a_parser_gives(doc: Any, data: st.DataObject):
    raw = bytearray(json.dumps(doc).encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    try:
        found = collected(bytes(raw), 5)
    except SourceError:
        return
    expected = json.loads(bytes(raw).decode())
    assert isinstance(expected, dict | list)
    expected = by_key(expected)
    assert json.dumps(found) == json.dumps(with_escaped_halves(expected))


def with_escaped_halves(value: Any) -> Any:
    """Return the value with halves of surrogate pairs as the texts of their escapes."""
    if isinstance(value, list):
        return [with_escaped_halves(one) for one in value]
    if isinstance(value, dict):
        return {with_escaped_halves(k): with_escaped_halves(one) for k, one in value.items()}
    is_text = isinstance(value, str)
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if is_text else value


@given(st.binary(max_size=60))
def test_random_bytes_give_an_error_or_values(raw: bytes):
    try:
        collected(raw, 3)
    except SourceError:
        return
    json.loads(raw.decode("utf-8-sig"))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"17", "neither"),
        (b'{"a" 1}', "byte 5"),
        (b'{"a":}', "byte 5"),
        (b'{"a":[{} {}]}', "expected a comma or ] here"),
        (b'{"a":[1,]}', "byte 8"),
        (b'{"a":[1]]', "byte 8"),
        (b'{"a":1,}', "byte 7"),
        (b'{"a":1} x', "follows the end"),
        (b'{"a":[{"b":1]}]}', "byte 12"),
        (b'{"a":[tru]}', "byte 6"),
        (b'{"a":["\xff"]}', "not UTF-8"),
        ('{"a":[1]}'.encode("utf-16"), "UTF-16"),
        ('{"a":[1]}'.encode("utf-16-le"), "UTF-16"),
        (b'{"a":[1],"a":[2]}', "occurs twice"),
        (b'{"a":[' + b"[" * 5000 + b"]" * 5000 + b"]}", "nested too deeply"),
        (b'{"a":[' + b"9" * 5000 + b"]}", "a number is too long"),
    ],
)
def test_what_is_broken_is_named(raw: bytes, words: str):
    with pytest.raises(SourceError, match=words.replace("]", r"\]")):
        collected(raw)


def test_a_byte_order_mark_and_nan_are_taken():
    found = collected(b'\xef\xbb\xbf{"a":[NaN, 1, -Infinity]}', 2)["a"]
    assert found[0] != found[0]
    assert found[1:] == [1, float("-inf")]


def test_an_element_larger_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(streaming, "MAX_ELEMENT_BYTES", 1 << 20)
    raw = b'{"a":["' + b"x" * (3 << 20) + b'"]}'
    with pytest.raises(SourceError, match="one element is larger than 1 MB"):
        collected(raw)
    assert collected(raw, wanted=frozenset({"b"})) == {}


def test_a_large_element_is_read_in_reasonable_time():
    text = "x" * (3 << 20)
    assert collected(json.dumps({"a": [text, 1]}).encode(), 64) == {"a": [text, 1]}


def test_a_document_in_memory_says_where_it_breaks():
    assert parse_document(b'\xef\xbb\xbf{"a": NaN}', "f.json").keys() == {"a"}
    for raw, words in ((b"", "empty"), (b'{"a": [1,', "byte 9"), (b'{"a": x}', "byte 6")):
        with pytest.raises(SourceError, match=words):
            parse_document(raw, "f.json")
