"""Archives compared file by file, in order, in all that no edit of the dataset within names."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from curate.formats.edits import Edits
from curate.formats.untouched.tree_check import check_bytes

_BLOCK = 1 << 20
_ERRORS = (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, ValueError)


def check_packed(
    source: Path,
    written: Path,
    edits: Edits,
    unpacked: Callable[[Path], Path],
    check_inside: Callable[[Path, Path, Edits], str],
) -> str:
    """Compare two archives: their lists of files, the packed bytes of files that are equal, and
    the datasets within.

    Args:
        source: The archive before.
        written: The archive after.
        edits: What changed in the dataset.
        unpacked: Returns the dataset within, as it is read.
        check_inside: Compares two of these.
    """
    if edits.is_empty:
        return check_bytes(source, written)
    try:
        if zipfile.is_zipfile(source):
            problem = _check_zip(source, written, unpacked(written))
        elif _is_gzip(source):
            problem = _check_gzip(source, written, unpacked(written))
        else:
            problem = _check_tar(source, written)
    except _ERRORS as error:
        return f"the archive cannot be read again ({error})"
    return problem or check_inside(unpacked(source), unpacked(written), edits)


def _check_zip(source: Path, written: Path, inside: Path) -> str:
    with (
        zipfile.ZipFile(source) as old,
        zipfile.ZipFile(written) as new,
        source.open("rb") as old_file,
        written.open("rb") as new_file,
    ):
        if broken := new.testzip():
            return f"{broken} is damaged"
        if old.comment != new.comment:
            return "the comment of the zip is not as it was"
        before = {info.filename: info for info in old.infolist()}
        after = {info.filename: info for info in new.infolist()}
        stays = [name for name in before if name in after]
        if stays != list(islice(after, len(stays))):
            return "its files are not in the order in which they were"
        for name in stays:
            was, now = before[name], after[name]
            if _facts(was) != _facts(now):
                return f"{name} is not listed as it was"
            equal = (was.CRC, was.file_size) == (now.CRC, now.file_size)
            if equal and _packed(old_file, was) != _packed(new_file, now):
                return f"{name} is not packed as it was"
        return _check_unpacked(new, inside)


def _facts(info: zipfile.ZipInfo) -> tuple[object, ...]:
    kinds = info.compress_type, info.create_system, info.internal_attr, info.external_attr
    return (info.date_time, info.comment, *kinds)


def _packed(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Return a checksum of a file as it is packed."""
    file.seek(info.header_offset + 26)
    sizes = file.read(4)
    start = info.header_offset + 30 + int.from_bytes(sizes[:2], "little")
    file.seek(start + int.from_bytes(sizes[2:], "little"))
    checksum, left = 0, info.compress_size
    while left > 0 and (data := file.read(min(left, _BLOCK))):
        checksum, left = zlib.crc32(data, checksum), left - len(data)
    return checksum


def _check_unpacked(archive: zipfile.ZipFile, inside: Path) -> str:
    """Check that what is compared below is what the zip holds."""
    listed = {(info.file_size, info.CRC) for info in archive.infolist()}
    found = [inside] if inside.is_file() else [one for one in inside.rglob("*") if one.is_file()]
    for one in found:
        checksum = 0
        with one.open("rb") as file:
            while data := file.read(_BLOCK):
                checksum = zlib.crc32(data, checksum)
        if (one.stat().st_size, checksum) not in listed:
            return f"{one.name} was unpacked otherwise than it is packed"
    return ""


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _check_gzip(source: Path, written: Path, inside: Path) -> str:
    with source.open("rb") as old, written.open("rb") as new:
        if old.read(10) != new.read(10):
            return "the header of the gzip file is not as it was"
    with gzip.open(written) as packed, inside.open("rb") as file:
        while data := packed.read(_BLOCK):
            if data != file.read(len(data)):
                return "it was unpacked otherwise than it is packed"
        return "it was unpacked otherwise than it is packed" if file.read(1) else ""


def _check_tar(source: Path, written: Path) -> str:
    with tarfile.open(source, "r:") as old, tarfile.open(written, "r:") as new:
        before = {member.name: member for member in old}
        after = {member.name: member for member in new}
        stays = [name for name in before if name in after]
        if stays != list(islice(after, len(stays))):
            return "its files are not in the order in which they were"
        for name in stays:
            was, now = ({**one[name].get_info(), "size": 0, "chksum": 0} for one in (before, after))
            if was != now:
                return f"{name} is not listed as it was"
    return ""
