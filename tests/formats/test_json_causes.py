"""Files that are nearly JSON: the cause is said, not only where a parser stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.errors import SourceError
from curate.formats.reading import read

HEAD = b'{"images": [{"id": 1, "file_name": "a", "height": 5, "width": 5}], "annotations": ['
MASK = b'{"id": 1, "image_id": 1, "segmentation": [[1, 1, 4, 1, 4, 4]]'
TAIL = b"]}"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (HEAD + MASK + b"}," + TAIL, "there is a comma before ]"),
        (HEAD + MASK + b",}" + TAIL, "there is a comma before }"),
        (HEAD + MASK + b"}],}", "there is a comma before }"),
        (HEAD + MASK + b', "iscrowd": False}' + TAIL, "as Python prints it .False"),
        (HEAD + MASK + b', "score": None}' + TAIL, "as Python prints it .None"),
        (HEAD + MASK + b', "score": nan}' + TAIL, "as Python prints it .nan"),
        (HEAD + MASK + b", 'score': 1}" + TAIL, "as Python prints it .'"),
        ((HEAD + MASK + b"}" + TAIL).replace(b'"', b"'"), "as Python prints it .'"),
        (HEAD + MASK + b', "score": np.float64(0.5)}' + TAIL, "np.float64.*NumPy"),
        (HEAD + MASK + b', "score": array([0.5])}' + TAIL, "array.*NumPy"),
        (HEAD + MASK + b', "score": tensor(0.5)}' + TAIL, "tensor.*NumPy"),
        (HEAD + b"// a comment\n" + MASK + b"}" + TAIL, "a comment"),
        (HEAD + MASK + b"} # a comment\n" + TAIL, "a comment"),
        ((HEAD + MASK + b"}" + TAIL) * 2, "a second JSON value"),
        (b'{"image_id": 1, "bbox": [1, 1, 2, 2]}\n{"image_id": 2}\n', "a second JSON value"),
        (HEAD + MASK + b', "note": "caf\xe9"}' + TAIL, "Latin-1: \xe9"),
        (HEAD + MASK + b', "note": "stra\xdfe"}' + TAIL, "Latin-1: \xdf"),
        (HEAD + MASK + b', "note": "\x81"}' + TAIL, "not UTF-8"),
        ((HEAD + MASK + b"}" + TAIL).decode().encode("utf-16"), "UTF-16"),
        ((HEAD + MASK + b"}" + TAIL).decode().encode("utf-16-le"), "UTF-16"),
        (HEAD + MASK + b"}", "cut off"),
    ],
)
def test_the_cause_is_said(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=words):
        read(path)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
def test_numbers_that_python_writes_are_read(tmp_path: Path, number: bytes) -> None:
    path = tmp_path / "a.json"
    data = HEAD + MASK + b', "score": ' + number + b', "bbox": [1, 1, NaN, 3]}' + TAIL
    for mark in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(mark + data)
        table = read(path)
        assert table.masks["status"].tolist() == ["ok"]
        assert table.masks["score"].isna().all()
        assert [note.kind for note in table.notes] == ["not_finite"]
        assert table.notes[0].count == 1
