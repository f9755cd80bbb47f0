"""Zips written anew: what changes is new, all else is as it was, in every form that zips have."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from curate.archives import zip_rewriting
from curate.archives.unpacking import unpack
from curate.common.archive_kinds import ZIP

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


class Stream(io.RawIOBase):
    """A target that cannot be sought in: sizes then stand behind the files."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        added = bytes(data)  # type: ignore[call-overload]
        self.data += added
        return len(added)


def make(form: str, files: dict[str, bytes]) -> bytes:
    target = Stream() if form == "streamed" else io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.comment = b"about it"
        for number, (name, data) in enumerate(files.items()):
            info = zipfile.ZipInfo(name, (1999, 12, 31, 23, 59, 58))
            info.compress_type = METHODS[number % 4]
            info.external_attr = 0o100600 << 16
            info.extra = struct.pack("<2H3s", 0xCAFE, 3, b"own")
            with archive.open(info, "w", force_zip64=form == "wide") as packed:
                packed.write(data)
    made = bytes(target.data) if isinstance(target, Stream) else target.getvalue()
    return (b"#!/bin/sh\n" + made) if form == "prefixed" else made


def raw(path: Path, info: zipfile.ZipInfo) -> bytes:
    """Return a file's header and packed content, but for what follows it."""
    data = path.read_bytes()[info.header_offset :]
    name, extra = struct.unpack_from("<2H", data, 26)
    return data[: 30 + name + extra + info.compress_size]


@pytest.mark.parametrize("form", ["plain", "streamed", "wide", "prefixed"])
def test_what_no_change_names_is_as_it_was(form: str, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    files = {f"a/{k} é.bin": random.bytes(50) * (k % 7) for k in range(12)}
    source, out = tmp_path / "in.zip", tmp_path / "out.zip"
    source.write_bytes(make(form, files))
    names = list(files)
    paths = {name: tmp_path / f"{k}" for k, name in enumerate(("x", *names, "é/new.bin"))}
    for name, path in paths.items():
        path.write_bytes(name.encode() * 9)
    changed = {names[k]: paths[names[k]] for k in (0, 1, 2, 3, 9)}
    gone = {names[5], names[11]}
    with out.open("wb") as target:
        zip_rewriting.rewrite_zip(
            source,
            target,
            {**changed, **dict.fromkeys(gone)},
            {"é/new.bin": paths["é/new.bin"]},
            tmp_path,
        )
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out) as new:
        assert new.testzip() is None
        assert new.comment == b"about it"
        assert new.namelist() == [name for name in names if name not in gone] + ["é/new.bin"]
        for name in new.namelist()[:-1]:
            was, now = old.getinfo(name), new.getinfo(name)
            for fact in ("date_time", "compress_type", "external_attr", "create_system"):
                assert getattr(was, fact) == getattr(now, fact), fact
            assert b"own" in now.extra
            if name in changed:
                assert new.read(name) == name.encode() * 9
            else:
                assert new.read(name) == files[name]
                assert raw(source, was) == raw(out, now)
        assert new.read("é/new.bin") == "é/new.bin".encode() * 9
    (tmp_path / "unpacked").mkdir()
    unpack(out, ZIP, tmp_path / "unpacked")


def test_large_sizes_and_offsets_take_64_bits() -> None:
    one = zip_rewriting._Listed([0] * 16, b"a", b"", b"", (7, 5 << 30, 6 << 30), 9 << 30)
    entry = zip_rewriting._entry_bytes(one)
    assert entry[46:47] == b"a"
    kind, size, *values = struct.unpack("<2H3Q", entry[47:])
    assert (kind, size, values) == (1, 24, [6 << 30, 5 << 30, 9 << 30])
    assert entry[20:28] == b"\xff" * 8
