"""Zips written anew with some files changed, dropped and added.

What does not change is copied as it was packed, with its headers; a changed file keeps its place,
name, time, rights and way of packing.
"""

from __future__ import annotations

import shutil
import struct
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from curate.archives.unpacking import MOST_LIST_BYTES, ZipEntry, list_zip
from curate.archives.zip_listing import open_zip
from curate.common import files

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_MOST_16, _MOST_32 = 0xFFFF, 0xFFFFFFFF
_SIZES_FOLLOW, _UTF8 = 0x8, 0x800
_NEEDS_64 = 45
_CHUNK = 1 << 20


class _Data(NamedTuple):
    """The content of a file as it is packed: where it lies in another zip."""

    info: zipfile.ZipInfo
    zip: Path
    start: int


@dataclass
class _Listed:
    """An entry of the new list of files: its old bytes, and what is new of it."""

    fields: list[int]
    name: bytes
    extra: bytes
    comment: bytes
    sizes: tuple[int, int, int]  # checksum, packed, unpacked
    offset: int


def rewrite_zip(
    source: Path,
    target: BinaryIO,
    changed: Mapping[str, Path | None],
    new: Mapping[str, Path],
    scratch: Path,
) -> None:
    """Write a zip with other contents of some files.

    Args:
        source: The zip.
        target: Where to write.
        changed: By path in the unpacked zip the file with its new content, None where it goes.
        new: By path the files that come, in the order in which they are put at the end.
        scratch: A folder for what is packed.
    """
    with open_zip(source, MOST_LIST_BYTES) as archive, source.open("rb") as file:
        entries = list_zip(archive, str(source))
        listed = _read_list(file, archive.start_dir, entries)
        at = _copy_files(file, target, archive.start_dir, entries, listed, changed, scratch)
        kept = [one for one in listed if one is not None]
        usual = Counter(one.info.compress_type for one in entries if one.path).most_common(1)
        newest = max((one.info.date_time for one in entries), default=(1980, 1, 1, 0, 0, 0))
        for name, path in new.items():
            method = usual[0][0] if usual else zipfile.ZIP_DEFLATED
            packed = _pack(path, method, scratch)
            made = _new_entry(name, packed, newest, at)
            at += _write_file(target, _local_of(made), made.name, b"", packed, made)
            kept.append(made)
        _write_list(target, kept, at, archive.comment)


def _read_list(file: BinaryIO, start: int, entries: list[ZipEntry]) -> list[_Listed | None]:
    file.seek(start)
    found: list[_Listed | None] = []
    for info, _ in entries:
        fields = list(_CENTRAL.unpack(file.read(_CENTRAL.size))[1:])
        name, extra, comment = (file.read(fields[k]) for k in (9, 10, 11))
        sizes = info.CRC, info.compress_size, info.file_size
        found.append(_Listed(fields, name, extra, comment, sizes, info.header_offset))
    return found


def _copy_files(
    file: BinaryIO,
    target: BinaryIO,
    end: int,
    entries: list[ZipEntry],
    listed: list[_Listed | None],
    changed: Mapping[str, Path | None],
    scratch: Path,
) -> int:
    """Write all files that were there; return where the next one begins."""
    order = sorted(range(len(entries)), key=lambda k: entries[k].info.header_offset)
    starts = [*(entries[k].info.header_offset for k in order), end]
    at = _copy(file, target, 0, starts[0])  # bytes before the first file
    for k, start, stop in zip(order, starts, starts[1:], strict=False):
        info, path = entries[k]
        one = listed[k]
        assert one is not None, "each is met once"
        if not path or path not in changed:
            one.offset = at
            at += _copy(file, target, start, stop)
            continue
        content = changed[path]
        if content is None:
            listed[k] = None
            continue
        file.seek(start)
        local = list(_LOCAL.unpack(file.read(_LOCAL.size))[1:])
        name, extra = file.read(local[8]), _without_64(file.read(local[9]))
        packed = _pack(content, info.compress_type, scratch)
        one.sizes, one.offset = _sizes(packed.info), at
        one.fields[2] = (one.fields[2] & ~_SIZES_FOLLOW) | (packed.info.flag_bits & 2)
        one.fields[7] = one.fields[8] = 0  # so that no 64 bits are taken for given
        local[1] = one.fields[2]
        at += _write_file(target, local, name, extra, packed, one)
    return at


def _pack(path: Path, method: int, scratch: Path) -> _Data:
    """Pack a file's content into a zip of its own."""
    place = scratch / "packed.zip"
    info = zipfile.ZipInfo("content")
    info.compress_type = method
    with (
        files.open_file(place) as file,
        zipfile.ZipFile(file, "w") as archive,
        archive.open(info, "w", force_zip64=True) as packed,
        path.open("rb") as content,
    ):
        shutil.copyfileobj(content, packed, _CHUNK)
    with place.open("rb") as made:
        made.seek(info.header_offset)
        local = _LOCAL.unpack(made.read(_LOCAL.size))
    return _Data(info, place, info.header_offset + _LOCAL.size + local[9] + local[10])


def _sizes(info: zipfile.ZipInfo) -> tuple[int, int, int]:
    return info.CRC, info.compress_size, info.file_size


def _write_file(
    target: BinaryIO, local: list[int], name: bytes, extra: bytes, packed: _Data, one: _Listed
) -> int:
    """Write a file's header and content; return how many bytes that took."""
    crc, small, large = one.sizes
    if max(small, large) >= _MOST_32:
        extra = struct.pack("<2H2Q", 1, 16, large, small) + extra
        small = large = _MOST_32
        local[0] = max(local[0], _NEEDS_64)
        one.fields[1] = max(one.fields[1], _NEEDS_64)
    local[5:10] = crc, small, large, len(name), len(extra)
    head = _LOCAL.pack(b"PK\3\4", *local) + name + extra
    target.write(head)
    with packed.zip.open("rb") as file:
        return len(head) + _copy(file, target, packed.start, packed.start + one.sizes[1])


def _new_entry(name: str, packed: _Data, newest: tuple[int, ...], at: int) -> _Listed:
    """Return the entry of a new file."""
    year, month, day, hour, minute, second = newest
    date = (year - 1980) << 9 | month << 5 | day
    time = hour << 11 | minute << 5 | second // 2
    flags = packed.info.flag_bits & 2 | (0 if name.isascii() else _UTF8)
    made_by = 3 << 8 | 20  # Unix, so that the rights below hold
    rights = 0o100644 << 16
    fields = [made_by, 20, flags, packed.info.compress_type, time, date, 0, 0, 0, 0, 0, 0, 0, 0]
    encoded = name.encode("utf-8", "surrogateescape")
    return _Listed([*fields, rights, 0], encoded, b"", b"", _sizes(packed.info), at)


def _local_of(one: _Listed) -> list[int]:
    """Return the fields of a file's own header."""
    return [*one.fields[1:6], 0, 0, 0, 0, 0]


def _write_list(target: BinaryIO, listed: list[_Listed], start: int, comment: bytes) -> None:
    size = 0
    for one in listed:
        size += target.write(_entry_bytes(one))
    count = len(listed)
    if count >= _MOST_16 or max(start, size) >= _MOST_32:
        at = start + size
        target.write(
            _END64.pack(b"PK\6\6", 44, _NEEDS_64, _NEEDS_64, 0, 0, count, count, size, start)
        )
        target.write(_LOCATOR.pack(b"PK\6\7", 0, at, 1))
    count, size, start = min(count, _MOST_16), min(size, _MOST_32), min(start, _MOST_32)
    target.write(_END.pack(b"PK\5\6", 0, 0, count, count, size, start, len(comment)) + comment)


def _entry_bytes(one: _Listed) -> bytes:
    """Return an entry of the list; what took 64 bits before, or needs them, takes 64 bits."""
    crc, small, large = one.sizes
    fields, wide, extra = list(one.fields), b"", one.extra
    for at, value in ((8, large), (7, small), (15, one.offset)):
        is_wide = value >= _MOST_32 or fields[at] == _MOST_32
        wide += struct.pack("<Q", value) if is_wide else b""
        fields[at] = _MOST_32 if is_wide else value
    if wide:
        fields[1] = max(fields[1], _NEEDS_64)
    extra = (struct.pack("<2H", 1, len(wide)) + wide if wide else b"") + _without_64(extra)
    fields[6], fields[9:12] = crc, (len(one.name), len(extra), len(one.comment))
    return _CENTRAL.pack(b"PK\1\2", *fields) + one.name + extra + one.comment


def _without_64(extra: bytes) -> bytes:
    """Return extra fields without the one of 64-bit sizes."""
    kept, at = b"", 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind != 1:
            kept += extra[at : at + 4 + size]
        at += 4 + size
    return kept + extra[at:]


def _copy(source: BinaryIO, target: BinaryIO, start: int, stop: int) -> int:
    """Copy the bytes from ``start`` to ``stop`` of a file; return how many."""
    source.seek(start)
    left = stop - start
    while left > 0:
        data = source.read(min(left, _CHUNK))
        if not data:
            break
        target.write(data)
        left -= len(data)
    return stop - start
