"""Zips of many files: taken out one by one, and no more of all than a zip of its size may hold."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.archives import zip_listing
from curate.archives.zip_listing import damage_of
from curate.errors import SourceError
from curate.formats.reading import detect
from curate.people.exchange import archives
from curate.people.exchange.archives import open_files
from curate.people.exchange.registry import REGISTRY


def packed(path: Path, count: int, size: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(count):
            archive.writestr(f"{k}.xml", bytes([65 + k]) * size)
    return path


def test_files_are_there_one_at_a_time(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", 3, 1000)
    seen = []
    with open_files(path, lambda name: name != "1.xml") as files:
        for name, file in files:
            seen.append((name, file.read_bytes()[:1], len(list(file.parent.iterdir()))))
    assert seen == [("0.xml", b"A", 1), ("2.xml", b"C", 1)]
    assert not file.parent.exists()


def test_many_small_bombs_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "UNCHECKED_BYTES", 100_000)
    monkeypatch.setattr(archives, "MAX_RATIO", 10)
    path = packed(tmp_path / "bombs.zip", 5, 40_000)  # each of them is small enough
    seen: list[str] = []
    message = "bombs.zip, '2.xml': the files of the zip unpack to far more than it is"
    with pytest.raises(SourceError, match=message), open_files(path, lambda name: True) as files:
        seen.extend(name for name, _ in files)
    assert seen == ["0.xml", "1.xml"]
    with open_files(path, lambda name: name in ("3.xml", "4.xml")) as files:
        assert [name for name, _ in files] == ["3.xml", "4.xml"]


def test_files_that_share_what_they_are_packed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that names the same bytes again and again: small, and never done unpacking."""
    monkeypatch.setattr(archives, "UNCHECKED_BYTES", 100_000)
    path = tmp_path / "again.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.xml", b"A" * 60_000)
        archive.filelist *= 40
        archive._didModify = True  # type: ignore[attr-defined]  # so that the directory is written
    message = "the files of the zip unpack to far more than it is"
    with pytest.raises(SourceError, match=message), open_files(path, lambda name: True) as files:
        list(files)


def test_a_zip_that_lists_too_many_files_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python would make an object of each, ten times as large as its entry."""
    path = packed(tmp_path / "many.zip", 20, 10)
    monkeypatch.setattr(zip_listing, "MOST_LIST_BYTES", 900)
    told = "many.zip: its list of files takes 1,030 bytes, over the limit of 900"
    with pytest.raises(SourceError, match=told), open_files(path, lambda name: True) as files:
        list(files)
    assert archives.list_names(path) == []
    assert archives.read_head(path, "0.xml") == b""
    monkeypatch.setattr(zip_listing, "MOST_LIST_BYTES", 2_000)
    assert len(archives.list_names(path)) == 20


def test_the_list_of_a_large_zip_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 5)  # Python then writes zip64
    path = packed(tmp_path / "many.zip", 20, 10)
    assert b"PK\6\6" in path.read_bytes()
    monkeypatch.setattr(zip_listing, "MOST_LIST_BYTES", 900)
    with pytest.raises(zip_listing.TooManyFiles):
        zip_listing.open_zip(path)


@pytest.mark.parametrize("format", [None, "cvat", "coco"])
@pytest.mark.parametrize("left", [0.99, 0.5, 0.1])
def test_a_zip_that_is_cut_short_is_told_so(
    tmp_path: Path, left: float, format: str | None
) -> None:
    path = packed(tmp_path / "a.zip", 3, 1000)
    data = path.read_bytes()
    path.write_bytes(data[: int(left * len(data))])
    with pytest.raises(SourceError, match=r"a.zip: the zip is damaged or cut short; get the file"):
        REGISTRY.reader(path, format)
    with pytest.raises(SourceError, match=r"a.zip: the zip is damaged or cut short; get the file"):
        detect(path)
    path.write_bytes(data)
    assert damage_of(path) == ""


def test_other_files_that_are_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"mask_id": [1], "image": ["x" * 100]}), path)
    data = path.read_bytes()
    assert damage_of(path) == ""
    for cut, said in ((0, "the file is empty"), (9, "cut short"), (len(data) - 1, "cut short")):
        path.write_bytes(data[:cut])
        with pytest.raises(SourceError, match=said):
            REGISTRY.reader(path)
        with pytest.raises(SourceError, match=said):
            detect(path)
    for text in ("PK is no zip", "PAR is no Parquet", "P"):
        (tmp_path / "note.txt").write_text(text)
        assert damage_of(tmp_path / "note.txt") == ""
