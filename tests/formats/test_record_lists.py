"""Lists of records in JSON documents: found, read, and spliced."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.json.byte_edits import splice_bytes
from curate.formats.json.record_lists import (
    DocumentList,
    check_documents,
    find_documents,
    group_edits,
    list_mark,
    read_document,
    write_documents,
)

TEXTS = st.text('aé"\\[]{}, :\n', max_size=6)
VALUES = st.one_of(
    st.none(),
    st.integers(-9, 9),
    TEXTS,
    st.lists(st.integers(), max_size=2),
    st.dictionaries(TEXTS, TEXTS, max_size=2),
)
STYLES = st.sampled_from([{"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])


def spliced(data: bytes, pieces: list[Any]) -> bytes:
    return splice_bytes(data, sorted(pieces, key=lambda piece: piece[:2]))


@given(st.data(), st.lists(VALUES, max_size=5), STYLES, st.booleans())
def test_elements_go_change_and_come(
    data: Any, values: list[Any], style: dict[str, Any], bare: bool
) -> None:
    whole: Any = values if bare else {"é": "], [", "shapes": values, "z": [1.0]}
    text = json.dumps(whole, **style).encode()
    listed = DocumentList.of_key(io.BytesIO(text), "a.json", "" if bare else "shapes")
    assert listed
    assert [json.loads(listed.text(i)) for i in range(listed.count)] == values
    numbers = range(len(values))
    dropped = data.draw(st.sets(st.sampled_from(numbers))) if values else set()
    kept = [i for i in numbers if i not in dropped]
    changed = data.draw(st.sets(st.sampled_from(kept))) if kept else set()
    added = data.draw(st.integers(0, 2))
    pieces = [*listed.drop(dropped)]
    wanted: list[Any] = []
    for i in kept:
        wanted.append({"new": i} if i in changed else values[i])
        if i in changed:
            pieces.append(listed.replace(i, b'{"new": %d}' % i))
            pieces += listed.insert(i, [b'"more"', b"7"])
            wanted += ["more", 7]
    pieces += listed.append([b'"added"'] * added, dropped)
    wanted += ["added"] * added
    found = json.loads(spliced(text, pieces))
    assert (found if bare else found["shapes"]) == wanted
    if not bare:
        assert {**found, "shapes": values} == whole


@given(st.lists(VALUES, min_size=1, max_size=3), STYLES, st.data())
def test_a_list_inside_of_an_element(values: list[Any], style: dict[str, Any], data: Any) -> None:
    whole = [
        {"é": "ü", "annotations": [{"x": 1}, {"y": "é", "result": values}]},
        {"annotations": 3},
    ]
    text = "\ufeff".encode() + json.dumps(whole, **style).encode()
    outer = DocumentList.of_key(io.BytesIO(text), "a.json", "")
    assert outer
    path = ("annotations", 1, "result")
    listed = DocumentList.inside(outer.text(0), outer.spans[0][0], "a.json", path)
    assert listed
    assert listed.opened == text.index(b"[", text.index(b'"result"'))
    assert [json.loads(text[start:end]) for start, end in listed.spans] == values
    assert [json.loads(listed.text(i)) for i in range(len(values))] == values
    number = data.draw(st.integers(0, len(values) - 1))
    found = json.loads(spliced(text, listed.drop({number})).decode("utf-8-sig"))
    assert found[0]["annotations"][1]["result"] == [*values[:number], *values[number + 1 :]]
    for nowhere in (("annotations", 2), ("annotations", 0, "result"), ("x",), ("é", 0), (0,)):
        assert DocumentList.inside(outer.text(0), 0, "a.json", nowhere) is None
    assert DocumentList.inside(outer.text(1), 0, "a.json", ("annotations",)) is None


def test_a_list_that_ends_a_path_in_a_number() -> None:
    listed = DocumentList.inside(b'{"a": [[1, 2], [3]]}', 100, "a.json", ("a", 0))
    assert listed
    assert listed.spans == [(108, 109), (111, 112)]
    assert listed.text(1) == b"2"


def test_documents_of_a_folder_and_of_a_file(tmp_path: Path) -> None:
    for name in ("b/a.json", "a.JSON", "b/a.jpg", "c/x.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"{}")
    assert list(find_documents(tmp_path)) == [("a.JSON", 2), ("b/a.json", 2), ("c/x.json", 2)]
    only = list(find_documents(tmp_path, lambda name: name.startswith("c/")))
    assert only == [("c/x.json", 2)]
    assert list(find_documents(tmp_path / "a.JSON")) == [("a.JSON", 2)]


def test_what_is_not_asked_for_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    shapes = json.dumps([{"label": "a"}, {"label": "b"}]).encode()
    with path.open("wb") as file:
        file.write(b'{"imageData": "')
        for _ in range(100):
            file.write(b"A" * (1 << 20))
        file.write(b'", "imagePath": "a.jpg", "flags": [1, 2], "shapes": ' + shapes + b"}")
    tracemalloc.start()
    with path.open("rb") as file:
        found = read_document(file, "a.json", "shapes", {"imagePath", "flags", "missing"})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.fields == {"imagePath": "a.jpg", "flags": [1, 2]}
    assert found.records == [{"label": "a"}, {"label": "b"}]
    assert most < 30e6


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[1]", "it is a list, not an object"),
        ("", "the file is empty"),
        ('{"shapes": {"a": 1}}', "its shapes are an object, not a list"),
        ('{"shapes": [{"a": 1}', "cut off"),
        ('{"shapes": [{"a": nope}]}', "broken"),
    ],
)
def test_a_broken_document_is_an_error(text: str, what: str) -> None:
    with pytest.raises(SourceError, match=what):
        read_document(io.BytesIO(text.encode()), "b/a.json", "shapes", set())


def test_a_document_without_the_list() -> None:
    file = io.BytesIO(b'{"a": 1}')
    assert read_document(file, "a.json", "shapes", {"a"}) == ({"a": 1}, None)
    assert DocumentList.of_key(file, "a.json", "shapes") is None


def test_edits_are_grouped_by_document() -> None:
    mark = list_mark("shapes")
    new = Addition("c.json", b"", 1, 1)
    changes = {"a.json#/shapes/12": Change(category="x"), "b#/shapes/1.json#/shapes/0": Change()}
    found = group_edits(Edits(frozenset({"a.json#/shapes/3"}), changes, [new]), mark)
    assert list(found) == ["a.json", "b#/shapes/1.json", "c.json"]
    assert found["a.json"].drop == {3}
    assert found["a.json"].change == {12: ("a.json#/shapes/12", changes["a.json#/shapes/12"])}
    assert found["c.json"].add == {0: new}
    check_documents(found, ["c.json", "b#/shapes/1.json", "a.json"], "there")
    check_documents({}, ["x"], "there")
    with pytest.raises(CallError, match=r"it has no file a\.json"):
        check_documents(found, ["c.json"], "there")


@pytest.mark.parametrize(
    "key", ["a", "a.json#/shapes/", "a.json#/shapes/x", "a.json#/shapes/01", "a.json#/objects/1"]
)
def test_a_key_of_no_record_is_refused(key: str) -> None:
    with pytest.raises(CallError):
        group_edits(Edits(frozenset({key})), list_mark("shapes"))


def test_a_mask_does_not_go_and_change() -> None:
    key = "a.json#/shapes/1"
    with pytest.raises(CallError, match="at once"):
        group_edits(Edits(frozenset({key}), {key: Change()}), list_mark("shapes"))


def test_a_source_is_copied_with_its_documents_spliced(tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "b").mkdir(parents=True)
    (source / "b/a.json").write_bytes(b'{"shapes" : [ 1,2 , 3 ],\r\n"z":0 }')
    (source / "a.json").write_bytes(b'{"shapes": [1]}')
    names: list[str] = []

    def render(file: Any, name: str, asked: int) -> Any:
        names.append(name)
        listed = DocumentList.of_key(file, name, "shapes")
        assert listed
        listed.check([2])
        with pytest.raises(CallError, match="it has 3 masks, and none with the number 3"):
            listed.check([3])
        return listed.drop({asked})

    write_documents(source, None, {"b/a.json": 1}, render)
    assert not (tmp_path / "out").exists()
    write_documents(source, tmp_path / "out", {"b/a.json": 1}, render)
    assert names == ["b/a.json"] * 2
    assert (tmp_path / "out/b/a.json").read_bytes() == b'{"shapes" : [ 1 , 3 ],\r\n"z":0 }'
    assert (tmp_path / "out/a.json").read_bytes() == (source / "a.json").read_bytes()
