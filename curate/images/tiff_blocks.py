"""Blocks (strips or tiles) of a TIFF, each decoded as a small TIFF of its own.

Every block of a TIFF is packed by itself, so a few of them with the tags of the whole make a sound
file, whatever packs them.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image as Images
from PIL.TiffImagePlugin import TiffImageFile

from curate.common.arrays import IntArray
from curate.images.limits import OverLimit
from curate.images.lzw_rows import is_old_lzw, unpack_lzw
from curate.images.tiff_tags import (
    TYPE_BYTES,
    read_body,
    read_directory,
    read_table,
    tag_values,
    write_header,
)

if TYPE_CHECKING:
    from PIL import Image, ImageFile

MOST_BLOCKS = 1_000_000
"""A TIFF of more strips or tiles is not read: Pillow keeps hundreds of bytes for each."""

_WIDTH, _HEIGHT, _BITS, _PACKING = 256, 257, 258, 259
_STRIPS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _PREDICTOR = 273, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_MEANING = (
    258,
    259,
    262,
    266,
    277,
    284,
    292,
    293,
    317,
    320,
    332,
    338,
    339,
    347,
    529,
    530,
    531,
    532,
)
"""Tags that say how blocks become pixels; the others are about the whole."""

_MOST_TAG_BYTES = 1 << 20  # of each of these
_FILL_ORDER = 266
_DEFLATE, _LZW = (8, 32946), 5
_OLD_JPEG = 6


class TooManyBlocks(OverLimit):
    """A TIFF is cut into more pieces than any tool does."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"it is cut into {count:,} pieces, over the limit of {MOST_BLOCKS:,}",
            "save it in tiles",
        )


@dataclass(frozen=True)
class Blocks:
    """Block layout of a TIFF's first picture.

    Attributes:
        order: ``<`` or ``>``: the order of bytes.
        tags: Type, count and bytes of each tag in ``_MEANING`` that it has.
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
        block_height: Rows of a block.
        block_width: Columns of a block.
        offsets: Where each block begins in the file.
        counts: Bytes of each block, packed.
        tiled: Whether they are tiles, whose size is the same at the picture's ends too.
    """

    order: str
    tags: dict[int, tuple[int, int, bytes]]
    height: int
    width: int
    block_height: int
    block_width: int
    offsets: IntArray
    counts: IntArray
    tiled: bool

    def number(self, tag: int, otherwise: int) -> int:
        """Return the first value of a tag."""
        values = tag_values(self.tags.get(tag), self.order)
        return values[0] if values else otherwise

    @property
    def bits(self) -> int:
        """Bits a pixel."""
        depths = tag_values(self.tags.get(_BITS), self.order) or (1,)
        return max(depths) * max(self.number(_SAMPLES, 1), len(depths))

    @property
    def block_bytes(self) -> int:
        """Bytes of the largest block, unpacked."""
        return self.block_height * (-(-self.block_width * self.bits // 8))

    @property
    def unpacks_by_rows(self) -> bool:
        """Whether blocks are whole rows packed so that they unpack row by row."""
        packing, predictor = self.number(_PACKING, 1), self.number(_PREDICTOR, 1)
        depth = self.bits // max(1, self.number(_SAMPLES, 1))
        simple = predictor == 1 or (predictor == 2 and depth in (8, 16))
        known = packing in _DEFLATE or (packing == _LZW and self.number(_FILL_ORDER, 1) == 1)
        return not self.tiled and known and simple and depth in (1, 8, 16, 32)


def has_old_lzw(path: Path, blocks: Blocks) -> bool:
    """Whether strips are LZW in the bit order of early tools, which is not unpacked by rows."""
    return blocks.number(_PACKING, 1) == _LZW and is_old_lzw(path, int(blocks.offsets[0]))


def read_blocks(path: Path) -> Blocks | None:
    """Read how a TIFF's first picture is cut, without Pillow, which trusts the counts in it.

    Returns:
        None where its blocks cannot be taken by themselves: colour planes that stand apart, JPEG
        of the old kind, counts that do not fit its size; and where it is no sound TIFF.

    Raises:
        TooManyBlocks: It has more than :data:`MOST_BLOCKS`.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except TooManyBlocks:
        raise
    except (OSError, ValueError, struct.error):
        return None


def _read(file: BinaryIO) -> Blocks | None:
    order, entries, _ = read_directory(file)
    wanted = {*_MEANING, _WIDTH, _HEIGHT, _ROWS_PER_STRIP, _TILE_WIDTH, _TILE_HEIGHT}
    tags, tables = {}, {}
    for tag, kind, count, body, at, _ in entries:
        size = TYPE_BYTES.get(kind, 1) * count
        if tag in (_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES):
            if count > MOST_BLOCKS:
                raise TooManyBlocks(count)
            tables[tag] = read_table(file, order, kind, count, body, at)
        elif tag in wanted and size <= _MOST_TAG_BYTES:
            tags[tag] = (kind, count, read_body(file, kind, count, body, at))
    return _cut(order, tags, tables)


def _cut(order: str, tags: dict[int, Any], tables: dict[int, Any]) -> Blocks | None:
    def number(tag: int, otherwise: int) -> int:
        values = tag_values(tags.get(tag), order)
        return values[0] if values else otherwise

    height, width = number(_HEIGHT, 0), number(_WIDTH, 0)
    tiled = _TILES in tables
    offsets = tables.get(_TILES if tiled else _STRIPS)
    counts = tables.get(_TILE_BYTES if tiled else _STRIP_BYTES)
    if min(height, width) < 1 or offsets is None or counts is None:
        return None
    block = (number(_TILE_HEIGHT, 0), number(_TILE_WIDTH, 0))
    if not tiled:
        block = (min(number(_ROWS_PER_STRIP, height), height), width)
    if min(block) < 1 or number(_PLANAR, 1) != 1 or number(_PACKING, 1) == _OLD_JPEG:
        return None
    if len(offsets) != len(counts) or len(offsets) != _count(height, width, *block):
        return None
    kept = {tag: tags[tag] for tag in _MEANING if tag in tags}
    return Blocks(order, kept, height, width, *block, offsets, counts, tiled)


def _count(height: int, width: int, block_height: int, block_width: int) -> int:
    return -(-height // block_height) * -(-width // block_width)


def decode_blocks(
    path: Path, blocks: Blocks, pixels_at_once: int, first: int, stop: int
) -> Iterator[tuple[int, int, Image.Image]]:
    """Yield (x, y, piece) of a picture, rows of blocks from the top.

    Args:
        path: The file.
        blocks: What :func:`read_blocks` gave for it.
        pixels_at_once: About how many pixels a piece has; one block at least.
        first: Row with which to begin.
        stop: Row before which to end.

    Raises:
        Exception: Whatever Pillow and its decoders raise on broken blocks.
    """
    across = -(-blocks.width // blocks.block_width)
    down = -(-blocks.height // blocks.block_height)
    fit = max(1, pixels_at_once // (blocks.block_height * blocks.block_width))
    columns = min(across, fit)
    rows = max(1, fit // across) if columns == across else 1
    with path.open("rb") as file:
        for top in range(first // blocks.block_height, down, rows):
            if top * blocks.block_height >= stop:
                return
            for left in range(0, across, columns):
                n, m = min(rows, down - top), min(columns, across - left)
                some = [(top + r) * across + left + c for r in range(n) for c in range(m)]
                x, y = left * blocks.block_width, top * blocks.block_height
                height = min(n * blocks.block_height, blocks.height - y)
                width = min(m * blocks.block_width, blocks.width - x)
                yield x, y, decode_tiff(_small(file, blocks, some, height, width))


def decode_block(file: BinaryIO, blocks: Blocks, number: int) -> Image.Image:
    """Return one block, a tile with the columns and rows beyond the picture's ends.

    Raises:
        Exception: Whatever Pillow and its decoders raise on a broken block.
    """
    height = blocks.block_height
    if not blocks.tiled:
        height = min(height, blocks.height - number * height)
    return decode_tiff(_small(file, blocks, [number], height, blocks.block_width))


def decode_tiff(data: bytes) -> Image.Image:
    """Decode a small TIFF.

    Raises:
        Exception: Whatever Pillow and its decoders raise on a broken one.
    """
    with TiffImageFile(io.BytesIO(data)) as piece:
        piece.load()
        return piece


def _small(file: BinaryIO, blocks: Blocks, some: list[int], height: int, width: int) -> bytes:
    """Return a TIFF of some blocks."""
    packed = []
    for k in some:
        file.seek(int(blocks.offsets[k]))
        data = file.read(int(blocks.counts[k]))
        if len(data) < blocks.counts[k]:
            raise OSError("image file is truncated")
        packed.append(data)
    order, tags = blocks.order, dict(blocks.tags)
    tags[_WIDTH] = (4, 1, struct.pack(f"{order}I", width))
    tags[_HEIGHT] = (4, 1, struct.pack(f"{order}I", height))
    if blocks.tiled:
        tags[_TILE_WIDTH] = (4, 1, struct.pack(f"{order}I", blocks.block_width))
        tags[_TILE_HEIGHT] = (4, 1, struct.pack(f"{order}I", blocks.block_height))
    else:
        tags[_ROWS_PER_STRIP] = (4, 1, struct.pack(f"{order}I", blocks.block_height))
    places, sizes = (_TILES, _TILE_BYTES) if blocks.tiled else (_STRIPS, _STRIP_BYTES)
    lengths = [len(one) for one in packed]
    tags[sizes] = (4, len(some), struct.pack(f"{order}{len(some)}I", *lengths))
    tags[places] = (4, len(some), bytes(4 * len(some)))
    at = 8 + 2 + 12 * len(tags) + 4
    at += sum(len(body) + len(body) % 2 for _, _, body in tags.values() if len(body) > 4)
    starts = at + np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    tags[places] = (4, len(some), struct.pack(f"{order}{len(some)}I", *starts.tolist()))
    return write_header(order, tags) + b"".join(packed)


def unpack_rows(
    path: Path,
    blocks: Blocks,
    image: ImageFile.ImageFile,
    bytes_at_once: int,
    first: int,
    stop: int,
) -> Iterator[tuple[int, int, Image.Image]]:
    """Yield pieces of strips too large to be unpacked at once: ``Blocks.unpacks_by_rows``.

    Args:
        path: The file.
        blocks: What :func:`read_blocks` gave for it.
        image: As Pillow opened it.
        bytes_at_once: About how many unpacked bytes a piece has.
        first: Row with which to begin.
        stop: Row before which to end.

    Raises:
        ValueError: They do not unpack to as many bytes as they should.
    """
    stride = -(-blocks.width * blocks.bits // 8)
    count = max(1, bytes_at_once // stride)
    rawmode = str((image.tile[0].args or ("",))[0])
    for k in range(len(blocks.offsets)):
        top = k * blocks.block_height
        left = min(blocks.block_height, blocks.height - top)
        if top >= stop or top + left <= first:
            continue
        unpack = unpack_lzw if blocks.number(_PACKING, 1) == _LZW else _inflate_strip
        data = unpack(path, int(blocks.offsets[k]), int(blocks.counts[k]))
        next(data)
        while left and top < stop:
            n = min(count, left)
            rows = data.send(n * stride)
            if top + n > first:
                made = _predict(rows, blocks, n)
                yield 0, top, _raw(image, rawmode, (blocks.width, n), made)
            top, left = top + n, left - n


def _raw(image: Image.Image, rawmode: str, size: tuple[int, int], data: bytes) -> Image.Image:
    piece = Images.frombytes(image.mode, size, data, "raw", rawmode)
    if image.palette is not None and image.mode in ("P", "PA"):
        piece.putpalette(image.palette)
    return piece


def _inflate_strip(path: Path, at: int, size: int) -> Any:
    """Give a generator that takes how many bytes are wanted, and yields them."""
    inflate, waiting = zlib.decompressobj(), b""
    with path.open("rb") as file:
        file.seek(at)
        wanted = yield b""
        while True:
            made = bytearray()
            while len(made) < wanted:
                if not waiting:
                    waiting = file.read(min(1 << 16, size))
                    size -= len(waiting)
                if not waiting or inflate.eof:
                    raise OSError("image file is truncated")
                made += inflate.decompress(waiting, wanted - len(made))
                waiting = inflate.unconsumed_tail
            wanted = yield bytes(made)


def _predict(data: bytes, blocks: Blocks, rows: int) -> bytes:
    """Return bytes as libtiff does: in this machine's order, differences summed up."""
    samples = max(1, blocks.number(_SAMPLES, 1))
    depth = blocks.bits // samples
    if depth < 16 and blocks.number(_PREDICTOR, 1) == 1:
        return data
    kind = np.dtype(f"{blocks.order}u{depth // 8}")
    values = np.frombuffer(data, kind).reshape(rows, -1).astype(kind.newbyteorder("="))
    if blocks.number(_PREDICTOR, 1) == 2:
        pixels = values.reshape(rows, blocks.width, samples)
        values = np.cumsum(pixels, axis=1, dtype=pixels.dtype).reshape(rows, -1)
    return values.tobytes()
