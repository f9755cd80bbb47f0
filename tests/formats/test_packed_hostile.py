"""Archives that are damaged, lie, or want out of their folder: one sentence, nothing left."""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.archives import limits, unpacked
from curate.common.cache_folder import cache_folder
from curate.errors import CurateError
from curate.formats.reading import detect, read

COCO = (
    b'{"images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 5}], "annotations": [{"id":'
    b' 7, "image_id": 1, "category_id": 1, "segmentation": {"size": [4, 5], "counts": [3, 4, 13]}}'
    b'], "categories": [{"id": 1, "name": "x"}]}'
)


def zip_of(*entries: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # names that stand twice
        for name, data in entries:
            archive.writestr(name, data)
    return made.getvalue()


def tar_of(*entries: tuple[str, bytes, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, kind, data in entries:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(data), "/etc/passwd"
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def info_of(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def encrypted() -> bytes:
    data = bytearray(zip_of(("a.json", COCO)))
    at = data.index(b"PK\1\2")
    data[6] |= 1
    data[at + 8] |= 1
    return bytes(data)


def with_size(size: int) -> bytes:
    """Return a zip that says of its file that it has another size."""
    data = bytearray(zip_of(("a.json", COCO)))
    at = data.index(b"PK\1\2")
    struct.pack_into("<I", data, at + 24, size)
    struct.pack_into("<I", data, 22, size)
    return bytes(data)


def overlapping() -> bytes:
    """Return a zip of which two files are packed in the same bytes."""
    data = bytearray(zip_of(("a.json", COCO), ("b.json", COCO)))
    second = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)
    struct.pack_into("<I", data, second + 42, 0)
    return bytes(data)


LINK, PIPE = stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o666

HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "up": (lambda: zip_of(("../a.json", COCO)), "leads out of the archive"),
    "up-deeper": (lambda: zip_of(("x/../../a.json", COCO)), "leads out of the archive"),
    "up-backslash": (lambda: zip_of(("x\\..\\..\\a.json", COCO)), "leads out of the archive"),
    "absolute": (lambda: zip_of(("/tmp/a.json", COCO)), "absolute path"),
    "drive": (lambda: zip_of(("C:/a.json", COCO)), "absolute path"),
    "twice": (lambda: zip_of(("a.json", COCO), ("./a.json", b"{}")), "stands twice"),
    "file-and-folder": (lambda: zip_of(("a", COCO), ("a/b.json", COCO)), "as a file too"),
    "folder-and-file": (lambda: zip_of(("a/b.json", COCO), ("a", COCO)), "stands twice"),
    "control": (lambda: zip_of(("a\x1b[2J.json", COCO)), "control characters"),
    "long": (lambda: zip_of(("a" * 300 + ".json", COCO)), "over 255 bytes long"),
    "link": (lambda: zip_of((info_of("a.json", LINK), b"/etc/passwd")), "a link or a device"),
    "pipe": (lambda: zip_of((info_of("a.json", PIPE), b"")), "a link or a device"),
    "encrypted": (encrypted, "is encrypted; get the archive without a password"),
    "smaller": (lambda: with_size(10), "damaged or cut short"),
    "larger": (lambda: with_size(len(COCO) + 9), "damaged or cut short"),
    "far larger": (lambda: with_size(2**31), "200 times what it takes"),
    "overlapping": (overlapping, "lie over each other"),
    "cut": (lambda: zip_of(("a.json", COCO))[:-30], "damaged or cut short"),
    "empty": (zip_of, "nothing in it is in a format that curate knows"),
    "nothing": (lambda: zip_of(("readme.txt", b"hello")), "it is in none of the formats"),
    "tar-up": (lambda: tar_of(("../a.json", b"0", COCO)), "leads out of the archive"),
    "tar-absolute": (lambda: tar_of(("/a.json", b"0", COCO)), "absolute path"),
    "tar-link": (lambda: tar_of(("a.json", b"2", b"")), "a link or a device"),
    "tar-hard-link": (lambda: tar_of(("a.json", b"1", b"")), "a link or a device"),
    "tar-device": (lambda: tar_of(("a.json", b"3", b"")), "a link or a device"),
    "gzip-cut": (lambda: gzip.compress(COCO)[:-9], "damaged or cut short"),
    "gzip-sum": (lambda: gzip.compress(COCO)[:-8] + b"x" * 8, "gzip file is damaged"),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    return cache_folder() / "unpacked"


def refusal(path: Path) -> str:
    with pytest.raises(CurateError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert f"{cache_folder()}/unpacked" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("case", HOSTILE)
def test_it_is_refused_and_nothing_is_left(case: str, tmp_path: Path, cache: Path) -> None:
    make, words = HOSTILE[case]
    path = tmp_path / "here" / f"data.{case.split('-')[0]}"
    path.parent.mkdir()
    path.write_bytes(make())
    assert words in refusal(path)
    assert os.listdir(path.parent) == [path.name]
    unfinished = [one for one in cache.glob("*") if one.name.endswith(".partial")]
    assert unfinished == []
    assert not (tmp_path / "a.json").exists()


def test_a_bomb_is_stopped_while_it_unpacks(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNCHECKED_BYTES", 1 << 20)
    for name, data in (
        ("bomb.gz", gzip.compress(b"\0" * (9 << 20))),
        ("bomb.zip", zip_of(("a.json", b"\0" * (9 << 20)))),
    ):
        (tmp_path / name).write_bytes(data)
        assert "if you trust it, unpack it yourself" in refusal(tmp_path / name)
    assert list(cache.glob("*/content")) == []


def test_a_full_disk_is_told_before_and_while_it_fills(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [10 << 30]

    def disk_usage(_folder: Path) -> object:
        return shutil._ntuple_diskusage(20 << 30, 0, free[0])  # type: ignore[attr-defined]

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    monkeypatch.setattr(limits, "_LOOK_BYTES", 1000)
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(COCO * 40))
    free[0] = limits.RESERVE_BYTES - 1
    assert "0.3 GB are free" in refusal(path)
    monkeypatch.setattr(limits, "RESERVE_BYTES", 0)
    free[0] = 5
    assert "name a folder on another disk in CURATE_CACHE" in refusal(path)
    assert list(cache.glob("*/content")) == []


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "file"))
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(COCO))
    with pytest.raises(CurateError, match="name another folder in CURATE_CACHE"):
        read(path)


def test_archives_in_archives_have_an_end(tmp_path: Path) -> None:
    data = COCO
    for depth in range(7):
        data = zip_of((f"{depth}.zip" if depth else "a.json", data))
        (tmp_path / f"deep{depth}.zip").write_bytes(data)
    assert len(read(tmp_path / "deep2.zip")) == 1
    assert "one in the other" in refusal(tmp_path / "deep6.zip")


def test_a_name_of_macos_is_utf8_and_one_of_windows_has_folders(tmp_path: Path) -> None:
    data = bytearray(zip_of(("x/é.json", COCO), ("x/b.txt", b"")))
    for at in (6, data.index(b"PK\1\2") + 8):
        data[at + 1] &= ~8 & 255  # it does not say that it is UTF-8
    path = tmp_path / "mac.zip"
    path.write_bytes(data)
    assert read(path).masks["source_key"].tolist() == ["é.json#/annotations/0"]
    path = tmp_path / "windows.zip"
    path.write_bytes(zip_of(("sub\\a.json", COCO), ("sub\\b.txt", b"")))
    assert detect(path).path_read(path).relative_to(cache_folder()).parts[-2:] == ("sub", "a.json")


def test_entries_that_nobody_reads_are_removed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{k}.json.gz" for k in range(3)]
    for path in paths:
        path.write_bytes(gzip.compress(COCO))
    read(paths[0])
    read(paths[1])
    monkeypatch.setattr(unpacked, "MOST_BYTES", 0)
    held = unpacked.entry_lock._held
    entry = unpacked.open_archive(paths[0]).path.parents[1]
    os.close(held.pop(entry.with_name(f"{entry.name}.lock")))  # as when a process has ended
    read(paths[2])
    assert len(list(cache.glob("*/content"))) == 2, "what is read stays"


def test_processes_that_open_an_archive_at_once_unpack_it_once(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of(("a.json", COCO), ("b.bin", os.urandom(3 << 20))))
    code = f"import curate; print(len(curate.read({str(path)!r})))"
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [one.communicate()[0].strip() for one in started] == ["1"] * 3
    assert len(list(cache.glob("*/content"))) == 1
    assert list(cache.glob(".*")) == []


def test_what_fails_while_it_is_written_leaves_nothing(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of(("a.json", COCO), ("b.bin", os.urandom(3 << 20))))

    def fail(operation: str, place: Path) -> None:
        if operation == "write" and place.name == "b.bin":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("curate.common.files._hook", fail)
    with pytest.raises(CurateError, match="no space left") as caught:
        read(path)
    assert caught.value.where == str(cache)
    assert [one.name for one in cache.iterdir() if not one.name.endswith(".lock")] == []
