"""Tars and gzip files written anew with other contents."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from curate.archives import tar_stream
from curate.archives.tar_stream import copy_range, with_size
from curate.archives.unpacking import list_tar
from curate.common.archive_kinds import TAR_BLOCK
from curate.errors import SourceError

_CHUNK = 1 << 20
_FASTEST, _BEST = 4, 2  # of gzip's header
_HAS_CHECKSUM, _HAS_EXTRA, _HAS_NAME, _HAS_COMMENT = 2, 4, 8, 16


def rewrite_tar(
    source: Path, target: BinaryIO, changed: Mapping[str, Path | None], new: Mapping[str, Path]
) -> None:
    """Write a tar with other contents of some files; all headers stay but for their sizes.

    Args:
        source: The tar.
        target: Where to write.
        changed: By path in the tar the file with its new content, None where it goes.
        new: By path the files that come, in the order in which they are put at the end.

    Raises:
        SourceError: The size of a changed file stands in an extended header.
    """
    with source.open("rb") as file:
        copied, newest = 0, 0
        for member, path in list_tar(file, str(source)):
            newest = max(newest, _time_of(file, member))
            if path not in changed or not path:
                continue
            content = changed[path]
            copy_range(file, target, copied, member.header if content else member.start)
            if content is not None:
                _write_changed(file, target, member, content, str(source))
            copied = member.end
        end = max((member.end for member in tar_stream.members(file, str(source))), default=0)
        copy_range(file, target, copied, end)
        for path, content in new.items():
            info = tarfile.TarInfo(path)
            info.size, info.mtime = content.stat().st_size, newest
            target.write(info.tobuf(tarfile.PAX_FORMAT))
            _write_content(target, content)
        copy_range(file, target, end, file.seek(0, 2))


def _time_of(file: BinaryIO, member: tar_stream.TarMember) -> int:
    file.seek(member.header + 136)
    digits = file.read(12).strip(b" \0")
    return int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else 0


def _write_changed(
    file: BinaryIO, target: BinaryIO, member: tar_stream.TarMember, content: Path, where: str
) -> None:
    if member.sized_apart:
        what = f"the size of {member.name} is in an extended header"
        raise SourceError(what, where, "write the archive again in the plain format")
    file.seek(member.header)
    target.write(with_size(file.read(TAR_BLOCK), content.stat().st_size))
    _write_content(target, content)


def _write_content(target: BinaryIO, content: Path) -> None:
    with content.open("rb") as file:
        size = file.seek(0, 2)
        copy_range(file, target, 0, size)
    target.write(b"\0" * (-size % TAR_BLOCK))


def rewrite_gzip(source: Path, target: BinaryIO, content: Path) -> None:
    """Write a gzip file with another content under the header that it has."""
    with source.open("rb") as file:
        head = _header(file)
    target.write(head)
    level = {_FASTEST: 1, _BEST: 9}.get(head[8], 6)
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    checksum = size = 0
    with content.open("rb") as file:
        while data := file.read(_CHUNK):
            checksum, size = zlib.crc32(data, checksum), size + len(data)
            target.write(packer.compress(data))
    target.write(packer.flush())
    target.write(checksum.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"))


def _header(file: BinaryIO) -> bytes:
    """Return the header of a gzip file, which was unpacked before."""
    head = file.read(10)
    flags = head[3]
    if flags & _HAS_EXTRA:
        size = file.read(2)
        head += size + file.read(int.from_bytes(size, "little"))
    for flag in (_HAS_NAME, _HAS_COMMENT):
        while flags & flag:
            letter = file.read(1)
            head += letter
            if letter in (b"\0", b""):
                break
    return head + (file.read(2) if flags & _HAS_CHECKSUM else b"")
