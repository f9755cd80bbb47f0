"""Tar archives as streams: members with their offsets, and copies with a member changed.

Only headers are read to list an archive, and no size in a header is believed before it is compared
with the file, so a broken or hostile archive costs nothing. The standard library's module would
read an extended header of any declared size into memory, and cannot copy headers byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from curate.common.archive_kinds import TAR_BLOCK, header_checksum, read_octal
from curate.errors import SourceError

_MAX_EXTENDED = 1 << 20
_REGULAR = (b"0", b"\0", b"7")
_NUMBERS = ((100, 108), (108, 116), (116, 124), (124, 136), (136, 148), (329, 337), (337, 345))
"""Where a header has numbers: mode, owner, group, size, time, device."""


@dataclass(frozen=True)
class TarMember:
    """A file in an archive.

    Attributes:
        name: Its path in the archive; bytes that are not UTF-8 are written as ``\\xNN``.
        start: Where its first header block stands, extended headers included.
        header: Where its own header block stands.
        data: Where its content begins.
        size: Its size in bytes.
        regular: Whether it is an ordinary file.
        is_folder: Whether it is a folder.
        sized_apart: Whether an extended header states its size.
    """

    name: str
    start: int
    header: int
    data: int
    size: int
    regular: bool
    sized_apart: bool
    is_folder: bool = False

    @property
    def end(self) -> int:
        """Offset of the next member: contents are filled up to whole blocks."""
        return self.data + -(-self.size // TAR_BLOCK) * TAR_BLOCK


def members(file: BinaryIO, where: str) -> Iterator[TarMember]:
    """Yield an archive's files in order.

    Raises:
        SourceError: A header is broken, or the archive ends inside a file or behind an extended
            header; says at which byte.
    """
    total = file.seek(0, 2)
    position = start = 0
    long_name: bytes | None = None
    stated: dict[bytes, bytes] = {}
    while position < total:
        file.seek(position)
        block = file.read(TAR_BLOCK)
        if not block.strip(b"\0"):
            break
        if len(block) < TAR_BLOCK:
            raise _cut_off(where, total)
        if header_checksum(block) != read_octal(block[148:156]) or not _has_numbers(block):
            what = "the tar archive is broken (no header here)"
            raise SourceError(what, f"{where}, byte {position}", "get the file again")
        size, kind, data = _size(block), block[156:157], position + TAR_BLOCK
        sized_apart = b"size" in stated and kind not in b"xgLK"
        if sized_apart:
            size = _decimal(stated[b"size"], where, position)
        if data + size > total:
            raise _cut_off(where, total)
        if kind in (b"x", b"g", b"L", b"K"):
            content = _read_extended(file, size, where, position)
            if kind == b"x":
                stated |= _records(content)
            elif kind == b"L":
                long_name = content.rstrip(b"\0")
            position = data + -(-size // TAR_BLOCK) * TAR_BLOCK
            continue
        name = long_name or stated.get(b"path") or _own_name(block)
        regular = kind in _REGULAR and not name.endswith(b"/")
        shown = name.decode("utf-8", "backslashreplace").removeprefix("./")
        folder = kind == b"5" or (kind in _REGULAR and name.endswith(b"/"))
        member = TarMember(shown, start, position, data, size, regular, sized_apart, folder)
        yield member
        position = start = member.end
        long_name, stated = None, {}
    if position > total:
        raise _cut_off(where, total)
    if position > start:
        what = "the tar archive ends behind an extended header, without the file that it is for"
        raise SourceError(what, f"{where}, byte {start}", "get the file again")


def copy_changed(
    source: BinaryIO, target: BinaryIO, where: str, change: Callable[[TarMember], bytes | None]
) -> None:
    """Copy an archive with the contents of some files replaced; everything else stays as it is.

    Args:
        source: The archive, open for reading and seeking.
        target: Where to write.
        where: The archive's name, for messages.
        change: Gives a member's new content, None to leave it.

    Raises:
        SourceError: The archive is broken, or a changed file's size stands in an extended header.
    """
    copied = 0
    for member in members(source, where):
        content = change(member) if member.regular else None
        if content is None:
            continue
        if member.sized_apart:
            what = f"the size of {member.name} is in an extended header"
            raise SourceError(what, where, "write the archive again in the plain format")
        copy_range(source, target, copied, member.header)
        source.seek(member.header)
        target.write(with_size(source.read(TAR_BLOCK), len(content)))
        target.write(content)
        target.write(b"\0" * (-len(content) % TAR_BLOCK))
        copied = member.end
    copy_range(source, target, copied, source.seek(0, 2))


def copy_range(source: BinaryIO, target: BinaryIO, start: int, end: int) -> None:
    """Copy the bytes from ``start`` to ``end`` of a file."""
    source.seek(start)
    while start < end:
        data = source.read(min(end - start, 1 << 20))
        if not data:
            return
        target.write(data)
        start += len(data)


def _size(block: bytes) -> int:
    """Return a header's size: octal digits, or 88 bits of a binary number where it is large."""
    text = block[124:136]
    if text[0] & 0x80:
        return int.from_bytes(text[1:], "big")
    return max(read_octal(text), 0)


def with_size(block: bytes, size: int) -> bytes:
    """Return a header block with another size and the checksum that follows from it."""
    text = b"%011o" % size
    terminator = block[135:136] if block[135:136] in (b"\0", b" ") else b"\0"
    if block[124] & 0x80:
        field = b"\x80" + size.to_bytes(11, "big")
    elif len(text) == 11:
        field = text + terminator
    else:  # over 8 GB
        field = b"\x80" + size.to_bytes(11, "big")
    changed = block[:124] + field + block[136:]
    digits = b"%06o\0 " % header_checksum(changed)
    return changed[:148] + digits + changed[156:]


def _has_numbers(block: bytes) -> bool:
    """Whether all fields of numbers hold some: Python's ``tarfile`` takes no other header."""
    fields = (block[start:stop] for start, stop in _NUMBERS)
    return all(field[0] in (0x80, 0xFF) or read_octal(field) >= 0 for field in fields)


def _own_name(block: bytes) -> bytes:
    name = block[:100].split(b"\0")[0]
    prefix = block[345:500].split(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _read_extended(file: BinaryIO, size: int, where: str, position: int) -> bytes:
    if size > _MAX_EXTENDED:
        what = f"the tar archive has an extended header of {size} bytes"
        raise SourceError(what, f"{where}, byte {position}")
    return file.read(size)


def _records(content: bytes) -> dict[bytes, bytes]:
    """Return the fields of an extended header: lines of "length key=value"."""
    found: dict[bytes, bytes] = {}
    while content:
        digits, _, _ = content.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        if not len(digits) + 1 < length <= len(content):
            break
        key, _, value = content[len(digits) + 1 : length - 1].partition(b"=")
        found[key] = value
        content = content[length:]
    return found


def _decimal(text: bytes, where: str, position: int) -> int:
    if not text.isdigit() or len(text) > 18:
        what = "the tar archive is broken (a size is no number)"
        raise SourceError(what, f"{where}, byte {position}")
    return int(text)


def _cut_off(where: str, total: int) -> SourceError:
    return SourceError("the tar archive is cut off", f"{where}, byte {total}", "get the file again")
