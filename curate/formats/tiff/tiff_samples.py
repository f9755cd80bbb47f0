"""Reader of the values of TIFFs of one band, as they stand in the file; it trusts no number in it.

What packs the blocks is Pillow's business (see :mod:`curate.images.tiff_blocks`). That zero may
mean white, and which colours a palette has, is not looked at, as ids are no colours.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from curate.common import files
from curate.common.arrays import AnyArray
from curate.formats.ids.id_judging import NoIds
from curate.formats.png.png_reading import BROKEN, MAX_DECODED_PIXELS, PictureProblem
from curate.formats.segmentation import size_problem, valid_size
from curate.images import MAX_BYTES
from curate.images.quiet_decoders import quiet_pillow
from curate.images.tiff_blocks import Blocks, decode_block, decode_blocks, read_blocks
from curate.images.tiff_tags import TagEntry, read_directory

_STRIP_PIXELS = 1 << 20
_DEPTHS = (1, 8, 16, 32)
_SUBFILE, _BITS, _PACKING, _MEANING, _FILL, _DESCRIPTION = 254, 258, 259, 262, 266, 270
_SAMPLES, _COLORS, _EXTRA, _SAMPLE_FORMAT = 277, 320, 338, 339
_NATIVE = "<" if sys.byteorder == "little" else ">"
_MOST_PAGES = 1_000  # that are counted
_IMAGEJ = re.compile(rb"^images=(\d{1,9})\s*$", re.MULTILINE)


class TiffHeader(NamedTuple):
    """Header of a TIFF of one band.

    Attributes:
        blocks: How it is cut.
        depth: Bits a pixel: 1, 8, 16 or 32.
        signed: Whether values can be below 0.
        inverted: Whether it is of 1 bit and 0 is what is drawn.
        pages: Number of pictures in the file.
    """

    blocks: Blocks
    depth: int
    signed: bool
    inverted: bool
    pages: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.blocks.height, self.blocks.width

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """Type of its values, in this machine's order of bytes."""
        return np.dtype(f"{'i' if self.signed else 'u'}{max(8, self.depth) // 8}")

    @property
    def largest(self) -> int:
        """The largest id that it can hold."""
        return min(int(2**self.depth - 1), int(np.iinfo(self.dtype).max), 2**31 - 1)

    @property
    def is_plain(self) -> bool:
        """Whether rows stand unpacked one after the other."""
        return self.blocks.number(_PACKING, 1) == 1 and not self.blocks.tiled


def read_header(path: Path) -> TiffHeader:
    """Read what a TIFF says about itself, without decoding it.

    Raises:
        NoIds: It is of a kind that cannot hold ids.
        PictureProblem: It is missing (``no_segmentation``), cannot be read or is no TIFF
            (``undecodable``), or has a size that no mask can have (``invalid_size``).
    """
    try:
        with files.open_to_read(path) as file:
            if file.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                raise PictureProblem("undecodable", "it is not a TIFF")
            pages = _count_pages(file)
            length = file.seek(0, 2)
        blocks = read_blocks(path)
    except FileNotFoundError:
        raise PictureProblem("no_segmentation", "the TIFF is missing") from None
    except (OSError, ValueError, struct.error) as error:
        raise PictureProblem("undecodable", f"the TIFF cannot be read ({error})") from error
    if blocks is None:
        raise PictureProblem("undecodable", "the TIFF's header is broken, or of an unknown kind")
    if not valid_size(blocks.height, blocks.width):
        raise PictureProblem("invalid_size", size_problem(blocks.height, blocks.width))
    if int((blocks.offsets + blocks.counts).max()) > length or int(blocks.offsets.min()) < 0:
        raise PictureProblem("undecodable", "the TIFF is cut off")
    return _one_band(blocks, pages)


def _one_band(blocks: Blocks, pages: int) -> TiffHeader:
    bands, depth = blocks.number(_SAMPLES, 1), blocks.number(_BITS, 1)
    if bands != 1 or blocks.bits != depth:
        raise NoIds(f"it has {bands} bands")
    kind = blocks.number(_SAMPLE_FORMAT, 1)
    if kind not in (1, 2, 4):
        raise NoIds("its values are no whole numbers")
    if depth not in _DEPTHS:
        raise NoIds(f"it has {depth} bits a pixel, not 8, 16 or 32")
    if blocks.number(_FILL, 1) != 1:
        raise PictureProblem("undecodable", "the bits of the TIFF's bytes stand in reverse order")
    inverted = depth == 1 and blocks.number(_MEANING, 1) == 0
    return TiffHeader(blocks, depth, kind == 2 and depth > 1, inverted, pages)


def _count_pages(file: BinaryIO) -> int:
    """Return how many pictures a TIFF has, without those that are others made small."""
    count, at, seen = 0, 0, set[int]()
    while count < _MOST_PAGES:
        found = read_directory(file, at)
        tags = {entry.tag: entry for entry in found.entries}
        kind = tags.get(_SUBFILE)
        small = kind is not None and struct.unpack(f"{found.order}I", kind.own[:4])[0] & 5
        count += not small
        if not seen and _DESCRIPTION in tags:
            count = max(count, _imagej_pages(file, tags[_DESCRIPTION]))
        at = found.following
        if at in seen or at <= 0:
            return count
        seen.add(at)
    return count


def _imagej_pages(file: BinaryIO, text: TagEntry) -> int:
    """Return the number that ImageJ states; it writes large stacks with a single directory."""
    file.seek(text.values_at)
    said = file.read(min(text.length, 4096))
    found = _IMAGEJ.search(said) if said.startswith(b"ImageJ=") else None
    return int(found[1]) if found else 0


@contextmanager
def decoding() -> Iterator[None]:
    """Turn what decoders raise on broken files into a :class:`PictureProblem`."""
    try:
        with quiet_pillow():
            yield
    except BROKEN as error:
        reason = str(error).strip() or type(error).__name__
        what = f"the TIFF is broken or cut off ({reason})"
        raise PictureProblem("undecodable", what) from error


def read_strips(path: Path, header: TiffHeader) -> Iterator[tuple[int, AnyArray]]:
    """Decode a TIFF some rows at a time.

    Yields:
        First row and values of each strip, shape (rows, width).

    Raises:
        PictureProblem: It is broken, cut off or too large.
    """
    blocks = header.blocks
    if blocks.height * blocks.width > MAX_DECODED_PIXELS:
        size = f"{blocks.width} x {blocks.height}"
        raise PictureProblem("undecodable", f"a TIFF of {size} pixels is too large to decode")
    with decoding():
        if header.is_plain:
            yield from _plain_rows(path, header)
            return
        check_block(header)
        rows = max(1, _STRIP_PIXELS // blocks.width)
        for top, values in _decoded_rows(path, header):
            for y in range(0, len(values), rows):
                yield top + y, values[y : y + rows]


def check_block(header: TiffHeader) -> None:
    """Check that a row of blocks can be unpacked.

    Raises:
        PictureProblem: It takes too much memory.
    """
    blocks = header.blocks
    across = blocks.width if blocks.tiled else blocks.block_width
    needed = blocks.block_height * max(across, blocks.block_width) * header.dtype.itemsize
    if needed > MAX_BYTES:
        what = f"the TIFF is packed in pieces of {needed / 1e6:,.0f} MB"
        limit = f"over the limit of {MAX_BYTES / 1e6:,.0f} MB"
        raise PictureProblem("undecodable", f"{what}, {limit}: save it in strips")


def _plain_rows(path: Path, header: TiffHeader) -> Iterator[tuple[int, AnyArray]]:
    with files.open_to_read(path) as file:
        for top, offset, rows in plain_pieces(header):
            stride = row_bytes(header)
            file.seek(offset)
            data = file.read(rows * stride)
            if len(data) < rows * stride:
                raise OSError("image file is truncated")
            yield top, unpack_rows(data, header, rows)


def row_bytes(header: TiffHeader) -> int:
    """Return how many bytes a row takes, unpacked."""
    return -(-header.blocks.block_width * header.depth // 8)


def plain_pieces(header: TiffHeader) -> Iterator[tuple[int, int, int]]:
    """Yield first row, offset in the file and number of rows of pieces of unpacked strips."""
    blocks, stride = header.blocks, row_bytes(header)
    at_once = max(1, _STRIP_PIXELS // blocks.width)
    for number, offset in enumerate(blocks.offsets.tolist()):
        top = number * blocks.block_height
        height = min(blocks.block_height, blocks.height - top)
        for y in range(0, height, at_once):
            yield top + y, offset + y * stride, min(at_once, height - y)


def unpack_rows(data: bytes, header: TiffHeader, rows: int) -> AnyArray:
    """Return the values of unpacked rows."""
    if header.depth == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8).reshape(rows, -1), axis=1)
        return bits[:, : header.blocks.block_width] ^ np.uint8(header.inverted)
    stored = f"{header.blocks.order}{header.dtype.str[1:]}"
    return np.frombuffer(data, stored).reshape(rows, -1).astype(header.dtype)


def _decoded_rows(path: Path, header: TiffHeader) -> Iterator[tuple[int, AnyArray]]:
    """Yield whole rows of blocks."""
    blocks = as_gray(header)
    row: AnyArray | None = None
    top = 0
    for x, y, piece in decode_blocks(path, blocks, _STRIP_PIXELS, 0, blocks.height):
        values = as_values(piece, header)
        if row is None or y != top:
            if row is not None:
                yield top, row
            row, top = np.empty((len(values), blocks.width), header.dtype), y
        row[:, x : x + values.shape[1]] = values
    if row is not None:
        yield top, row


def as_gray(header: TiffHeader) -> Blocks:
    """Return how a TIFF is cut, with tags by which Pillow gives its values as they are."""
    order, tags = header.blocks.order, dict(header.blocks.tags)
    for tag in (_COLORS, _EXTRA):
        tags.pop(tag, None)
    for tag, value in ((_MEANING, 1), (_SAMPLE_FORMAT, 2 if header.depth == 32 else 1)):
        tags[tag] = (3, 1, struct.pack(f"{order}H", value))
    return replace(header.blocks, tags=tags)


def as_values(piece: object, header: TiffHeader) -> AnyArray:
    """Return the values in a piece that Pillow has decoded, shape (height, width)."""
    pixels = np.asarray(piece)
    if header.depth == 1:
        return pixels.astype(np.uint8) ^ np.uint8(header.inverted)
    if pixels.ndim != 2 or pixels.dtype.itemsize != header.dtype.itemsize:
        raise ValueError("its pixels are of another kind than it says")
    native = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("="), copy=False))
    packed = header.blocks.number(_PACKING, 1) != 1
    if packed and header.depth == 32 and header.blocks.order != _NATIVE:
        native = native.byteswap()  # libtiff turned them already, and Pillow did once more
    return native.view(header.dtype)


def read_block(file: BinaryIO, header: TiffHeader, number: int) -> AnyArray:
    """Return the values of one block; see :func:`decode_block`.

    Raises:
        PictureProblem: It is broken.
    """
    with decoding():
        return as_values(decode_block(file, as_gray(header), number), header)
