"""Pixel edits of TIFFs of ids; every other byte of the file stays.

Only blocks in which a pixel changes are packed anew, as they were packed. One that fits where it
was stands there again; one that does not stands behind all that the file had, and the directory
says so.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from curate.common import files
from curate.common.arrays import AnyArray, IntArray
from curate.errors import CallError, SourceError
from curate.formats.copying import splice
from curate.formats.ids.division import Paint
from curate.formats.png.png_reading import MAX_DECODED_PIXELS, PictureProblem
from curate.formats.tiff.tiff_samples import (
    TiffHeader,
    check_block,
    plain_pieces,
    read_block,
    read_header,
    row_bytes,
    unpack_rows,
)
from curate.images.quiet_decoders import quiet_pillow
from curate.images.tiff_tags import TagEntry, read_directory

_PACKING, _PREDICTOR = 259, 317
_OFFSETS, _LENGTHS = (273, 324), (279, 325)
_DEFLATE = (8, 32946)
_BY_PILLOW = {5: "tiff_lzw", 32773: "packbits", 50000: "zstd", 34925: "lzma"}
_KINDS = {3: "H", 4: "I", 13: "I", 16: "Q"}

Piece = tuple[int, int, bytes]
"""A range of bytes of the file and what stands there instead."""


@dataclass
class _Written:
    """What changes in the file.

    Attributes:
        pieces: Ranges with other bytes.
        behind: What follows the end of the file.
        moved: Offset and length of blocks that are not what they were, by number.
        found: Ids that there were of those that go.
    """

    pieces: list[Piece] = field(default_factory=list)
    behind: bytearray = field(default_factory=bytearray)
    moved: dict[int, tuple[int, int]] = field(default_factory=dict)
    found: set[int] = field(default_factory=set)


def write_ids(
    source: Path, target: BinaryIO, blank: AbstractSet[int], paint: Paint | None = None
) -> None:
    """Write a TIFF of ids with some ids gone and some pixels set.

    Args:
        source: The TIFF.
        target: Where to.
        blank: Ids whose pixels become 0.
        paint: What is set after that; None for nothing. The ids must fit the TIFF's depth.

    Raises:
        CallError: No pixel has an id to blank, or it is packed in a way that loses ids.
        SourceError: The TIFF is broken, or too large to decode.
    """
    try:
        header = read_header(source)
        if header.pages > 1:
            raise PictureProblem("undecodable", "the TIFF has several pages")
        if header.size[0] * header.size[1] > MAX_DECODED_PIXELS:
            raise PictureProblem("undecodable", "the TIFF is too large to decode")
        _check_apart(header)
        edit = _Edit(header, blank, paint)
        with files.open_to_read(source) as file:
            edit.run(source, file)
            pieces = edit.written.pieces + list(_patches(file, header, edit.written.moved, source))
    except PictureProblem as problem:
        raise SourceError(problem.detail, str(source), "mend it or leave it out") from problem
    missing = blank - edit.written.found
    if missing:
        raise CallError(f"it has no mask with the id {min(missing)}", str(source))
    splice(source, target, sorted(pieces))
    target.write(edit.written.behind)


def _check_apart(header: TiffHeader) -> None:
    """Check that no two blocks share bytes, so that one can change alone."""
    order = np.argsort(header.blocks.offsets, kind="stable")
    starts: IntArray = header.blocks.offsets[order]
    ends = starts + header.blocks.counts[order]
    if (ends[:-1] > starts[1:]).any():
        raise PictureProblem("undecodable", "pieces of the TIFF share bytes")


class _Edit:
    """The edits of one TIFF, block by block."""

    def __init__(self, header: TiffHeader, blank: AbstractSet[int], paint: Paint | None) -> None:
        self.written = _Written()
        self._header, self._paint = header, paint
        self._blank = np.array(sorted(blank), np.int64)

    def run(self, source: Path, file: BinaryIO) -> None:
        """Go through all blocks."""
        if self._header.is_plain:
            self._run_plain(file)
            return
        check_block(self._header)
        packing = self._header.blocks.number(_PACKING, 1)
        if packing not in (1, *_DEFLATE, *_BY_PILLOW):
            what = f"the TIFF is packed in a way ({packing}) in which ids are not written"
            raise CallError(what, str(source), "save it with deflate or unpacked first")
        if self._header.blocks.number(_PREDICTOR, 1) not in (1, 2):
            raise PictureProblem("undecodable", "the TIFF's predictor is not for whole numbers")
        for number in range(len(self._header.blocks.offsets)):
            self._block(file, number)

    def _run_plain(self, file: BinaryIO) -> None:
        stride = row_bytes(self._header)
        for top, offset, rows in plain_pieces(self._header):
            file.seek(offset)
            data = file.read(rows * stride)
            if len(data) < rows * stride:
                raise PictureProblem("undecodable", "the TIFF is cut off")
            values = unpack_rows(data, self._header, rows)
            if self._change(values, 0, top):
                made = _to_bytes(values, self._header)
                self.written.pieces.append((offset, offset + len(data), made))

    def _block(self, file: BinaryIO, number: int) -> None:
        blocks = self._header.blocks
        across = -(-blocks.width // blocks.block_width)
        x, y = number % across * blocks.block_width, number // across * blocks.block_height
        values = read_block(file, self._header, number).copy()
        inside = values[: blocks.height - y, : blocks.width - x]
        if not self._change(inside, x, y):
            return
        made = _pack(values, self._header)
        start, length = int(blocks.offsets[number]), int(blocks.counts[number])
        if len(made) <= length:
            self.written.pieces.append((start, start + len(made), made))
        else:
            end = file.seek(0, 2)
            self.written.behind += bytes((end + len(self.written.behind)) % 2)
            start = end + len(self.written.behind)
            self.written.behind += made
        if len(made) != length:
            self.written.moved[number] = start, len(made)

    def _change(self, values: AnyArray, x: int, y: int) -> bool:
        """Change the values of a window at (x, y) in place; return whether one is not as before."""
        before = values.copy()
        there = np.isin(values, self._blank)
        self.written.found.update(np.unique(values[there]).tolist())
        values[there] = 0
        if self._paint is not None:
            _paint(values, x, y, self._paint)
        return bool((values != before).any())


def _paint(values: AnyArray, x: int, y: int, paint: Paint) -> None:
    height, width = paint.ids.shape
    left, top = max(x, paint.x), max(y, paint.y)
    right = min(x + values.shape[1], paint.x + width)
    bottom = min(y + values.shape[0], paint.y + height)
    if left < right and top < bottom:
        new = paint.ids[top - paint.y : bottom - paint.y, left - paint.x : right - paint.x]
        part = values[top - y : bottom - y, left - x : right - x]
        part[new > 0] = new[new > 0]


def _to_bytes(values: AnyArray, header: TiffHeader) -> bytes:
    """Return rows as they stand in the file before they are packed."""
    if header.depth == 1:
        return np.packbits(values ^ np.uint8(header.inverted), axis=1).tobytes()
    unsigned = values.view(np.dtype(f"u{values.dtype.itemsize}"))
    if header.blocks.number(_PREDICTOR, 1) == 2 and not header.is_plain:
        unsigned = np.diff(unsigned, axis=1, prepend=unsigned[:, :1] * 0)
    return unsigned.astype(f"{header.blocks.order}u{unsigned.dtype.itemsize}").tobytes()


def _pack(values: AnyArray, header: TiffHeader) -> bytes:
    """Pack a block as it was packed."""
    data, how = _to_bytes(values, header), header.blocks.number(_PACKING, 1)
    if how == 1:
        return data
    if how in _DEFLATE:
        return zlib.compress(data, 6)
    # These pack bytes, whatever they mean: so they are packed as a gray picture of bytes.
    packed, rows = io.BytesIO(), len(values)
    picture = Image.frombytes("L", (len(data) // rows, rows), data)
    with quiet_pillow():
        picture.save(packed, "TIFF", compression=_BY_PILLOW[how], strip_size=len(data))
        with TiffImageFile(io.BytesIO(packed.getvalue())) as image:
            offsets, lengths = image.tag_v2[273], image.tag_v2[279]
    if len(offsets) != 1:
        raise PictureProblem("undecodable", "a piece of the TIFF is too large to be packed")
    return packed.getvalue()[offsets[0] : offsets[0] + lengths[0]]


def _patches(
    file: BinaryIO, header: TiffHeader, moved: dict[int, tuple[int, int]], source: Path
) -> Iterator[Piece]:
    """Yield what the directory says of blocks that are not where or as long as they were."""
    if not moved:
        return
    for entry in read_directory(file).entries:
        which = 0 if entry.tag in _OFFSETS else 1 if entry.tag in _LENGTHS else None
        if which is None:
            continue
        for number, place in sorted(moved.items()):
            yield _patch(entry, number, place[which], header.blocks.order, source)


def _patch(entry: TagEntry, number: int, value: int, order: str, source: Path) -> Piece:
    kind = _KINDS[entry.kind]
    size = struct.calcsize(f"{order}{kind}")
    if value >= 1 << 8 * size:
        what = "the TIFF has no room for the places of its pieces"
        raise CallError(what, str(source), "save it anew as a BigTIFF, or unpacked")
    at = entry.values_at + number * size
    return at, at + size, struct.pack(f"{order}{kind}", value)
