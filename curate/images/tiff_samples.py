"""TIFF of samples that Pillow has no mode for: many bands, colours of over 8 bit, odd numbers.

Blocks are unpacked by Pillow's libtiff as gray bytes; what the bytes mean is worked out here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from curate.common.arrays import AnyArray, IntArray
from curate.images.deep_pixels import DeepPixels
from curate.images.limits import TooMuchMemory
from curate.images.tiff_blocks import MOST_BLOCKS, TooManyBlocks, decode_tiff
from curate.images.tiff_tags import read_body, read_directory, read_table, tag_values, write_header

_KINDS = {1: "u", 2: "i", 3: "f"}  # by sample format: unsigned, signed, floating
_PACKINGS = (1, 5, 8, 32773, 32946, 34925, 50000)  # those whose bytes do not depend on samples
_INVERTED, _BLACK, _RGB = 0, 1, 2
_ORIENTATION, _FILL_ORDER, _EXTRA = 274, 266, 338
_MOST_BANDS = 4096


@dataclass(frozen=True)
class TiffSamples:
    """Layout of the samples of a TIFF's first picture.

    Attributes:
        path: The file.
        height: In pixels.
        width: In pixels.
        bands: Samples a pixel.
        kind: Type of a sample, in the file's order of bytes.
        has_alpha: Whether one of them says what is transparent.
        orientation: EXIF orientation, 1 to 8.
        photometric: What a sample means: 0 gray, inverted, 1 gray, 2 RGB; others are shown as 1.
        packing: How blocks are packed.
        predictor: 1 none, 2 differences, 3 differences of the bytes of floating-point numbers.
        fill_order: 2 where the bits of bytes are reversed.
        apart: Whether each band has blocks of its own.
        tiled: Whether blocks are tiles, which are of one size at the picture's ends too.
        block: Height and width of a block, in pixels.
        offsets: Where each block begins in the file.
        counts: Bytes of each block, packed.
    """

    path: Path
    height: int
    width: int
    bands: int
    kind: np.dtype[Any]
    has_alpha: bool
    orientation: int
    photometric: int
    packing: int
    predictor: int
    fill_order: int
    apart: bool
    tiled: bool
    block: tuple[int, int]
    offsets: IntArray
    counts: IntArray

    format = "TIFF"

    @property
    def mode(self) -> str:
        """As of :class:`DeepPixels`."""
        return "F"

    @property
    def is_rgb(self) -> bool:
        """Whether its first three bands are red, green and blue."""
        return self.photometric == _RGB

    @property
    def colours(self) -> int:
        """How many bands it has besides one that says what is transparent."""
        return self.bands - self.has_alpha

    @property
    def shown(self) -> tuple[int, ...]:
        """Which bands are shown, from 0: the first three as colours, or the first as gray."""
        return (0, 1, 2) if self.bands >= 3 else (0,)

    def describe(self) -> str:
        """Return which bands are shown, as a clause; empty where all of them are."""
        if self.colours in (1, 3):
            return ""
        if self.bands == 2:
            return "of its 2 bands the first is shown"
        return f"of its {self.bands} bands the first three are shown, as red, green and blue"

    @property
    def _block_bytes(self) -> int:
        samples = 1 if self.apart else self.bands
        return self.block[0] * self.block[1] * samples * self.kind.itemsize

    def check_memory(self, max_bytes: int) -> None:
        """Check that its largest block can be unpacked.

        Raises:
            TooMuchMemory: It takes more than a third of ``max_bytes``.
        """
        if 3 * self._block_bytes > max_bytes:
            bands = "1 band" if self.bands == 1 else f"{self.bands} bands"
            size = f"{self.block[1]} x {self.block[0]} px, {bands}"
            do = "save it in strips of some rows, or in tiles"
            what = f"to unpack a piece of this TIFF ({size})"
            raise TooMuchMemory(what, 3 * self._block_bytes, max_bytes, do)

    def pieces(
        self, pixels_at_once: int, first: int, stop: int
    ) -> Iterator[tuple[int, int, DeepPixels | Image.Image]]:
        """Yield (x, y, piece) of the bands shown, rows of blocks from the top.

        Args:
            pixels_at_once: About how many pixels are decoded together; one block at least.
            first: Row with which to begin.
            stop: Row before which to end.

        Raises:
            Exception: Whatever Pillow and its decoders raise on broken blocks.
        """
        height, width = self.block
        across = -(-self.width // width)
        with self.path.open("rb") as file:
            for top in range(first // height * height, min(stop, self.height), height):
                for left in range(0, self.width, width):
                    place = top // height * across + left // width
                    values = self._read_block(file, place, min(height, self.height - top))
                    values = values[:, : self.width - left]
                    yield left, top, _as_piece(values, inverted=self.photometric == _INVERTED)

    def _read_block(self, file: BinaryIO, place: int, rows: int) -> AnyArray:
        """Return the bands shown of a block, shape (rows, width of a block, bands shown)."""
        if not self.apart:
            whole = self._unpack(file, place, self.bands, rows)
            return whole[:, :, list(self.shown)]
        size = self.height, self.width
        down, across = (-(-a // b) for a, b in zip(size, self.block, strict=True))
        planes = [
            self._unpack(file, band * down * across + place, 1, rows)[:, :, 0]
            for band in self.shown
        ]
        return np.stack(planes, axis=2)

    def _unpack(self, file: BinaryIO, place: int, samples: int, rows: int) -> AnyArray:
        stored = self.block[0] if self.tiled else rows
        stride = self.block[1] * samples * self.kind.itemsize
        file.seek(int(self.offsets[place]))
        data = file.read(int(self.counts[place]))
        if len(data) < self.counts[place]:
            raise OSError("image file is truncated")
        if self.packing != 1:
            data = decode_tiff(self._as_bytes(data, stored, stride)).tobytes()
        if len(data) < stored * stride:
            raise OSError("image file is truncated")
        values = np.frombuffer(data, np.uint8, stored * stride).reshape(stored, stride)
        return self._undo_predictor(values, samples)[:rows]

    def _as_bytes(self, packed: bytes, rows: int, stride: int) -> bytes:
        """Return a TIFF of one strip of gray bytes."""
        tags = {256: stride, 257: rows, 258: 8, 259: self.packing, 262: _BLACK}
        tags |= {266: self.fill_order, 277: 1, 278: rows, 279: len(packed)}
        tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4
        made = {tag: (4, 1, struct.pack("<I", value)) for tag, value in tags.items()}
        return write_header("<", made) + packed

    def _undo_predictor(self, rows: AnyArray, samples: int) -> AnyArray:
        shape = (len(rows), self.block[1], samples)
        if self.predictor == 3:
            summed = np.cumsum(rows.reshape(len(rows), -1, samples), axis=1, dtype=np.uint8)
            size = self.kind.itemsize
            planes = summed.reshape(len(rows), size, self.block[1] * samples)
            packed = np.ascontiguousarray(planes.transpose(0, 2, 1))
            return packed.view(self.kind.newbyteorder(">")).reshape(shape)
        values = np.ascontiguousarray(rows).view(self.kind).reshape(shape)
        if self.predictor == 2:
            own = values.astype(self.kind.newbyteorder("="))
            return np.cumsum(own, axis=1, dtype=own.dtype)
        return values


def _as_piece(values: AnyArray, *, inverted: bool) -> DeepPixels | Image.Image:
    values = values[:, :, 0] if values.shape[2] == 1 else values
    if values.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(255 - values if inverted else values))
    if not inverted:
        return DeepPixels(values)
    return DeepPixels(-values.astype(np.float64))  # only the order counts: it is stretched


def read_samples(path: Path) -> TiffSamples | None:
    """Read how the samples of a TIFF's first picture lie.

    Returns:
        None where this is no sound TIFF, or one of samples that are not read here.

    Raises:
        TooManyBlocks: It is cut into more pieces than are read.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except TooManyBlocks:
        raise
    except (OSError, ValueError, struct.error, TypeError):
        return None


def _read(path: Path, file: BinaryIO) -> TiffSamples | None:
    order, entries, _ = read_directory(file)
    tags: dict[int, tuple[int, ...]] = {}
    tables: dict[int, IntArray] = {}
    for tag, kind, count, own, at, _ in entries:
        if tag in (273, 279, 324, 325):
            if count > MOST_BLOCKS:
                raise TooManyBlocks(count)
            tables[tag] = read_table(file, order, kind, count, own, at)
        elif count <= _MOST_BANDS:
            tags[tag] = tag_values((kind, count, read_body(file, kind, count, own, at)), order)

    def first(tag: int, otherwise: int) -> int:
        return (tags.get(tag) or (otherwise,))[0]

    bands = first(277, 1)
    depths, kinds = set(tags.get(258) or (1,)), set(tags.get(339) or (1,))
    word = _KINDS.get(next(iter(kinds)), "")
    depth = next(iter(depths))
    sound = len(depths) == len(kinds) == 1 and word and depth in (8, 16, 32, 64)
    sound = sound and first(259, 1) in _PACKINGS and 1 <= bands <= _MOST_BANDS
    sound = sound and first(262, _BLACK) in (_INVERTED, _BLACK, _RGB)
    if not sound or (word == "f" and depth == 8):
        return None
    tiled = 324 in tables
    height, width = first(257, 0), first(256, 0)
    block = (first(323, 0), first(322, 0)) if tiled else (min(first(278, height), height), width)
    offsets, counts = (tables.get(tag) for tag in ((324, 325) if tiled else (273, 279)))
    if min(height, width, *block) < 1 or offsets is None or counts is None:
        return None
    apart = first(284, 1) == 2 and bands > 1
    blocks = -(-height // block[0]) * -(-width // block[1]) * (bands if apart else 1)
    if not len(offsets) == len(counts) == blocks:
        return None
    orientation = first(_ORIENTATION, 1)
    made = TiffSamples(
        path,
        height,
        width,
        bands,
        np.dtype(f"{order}{word}{depth // 8}"),
        bands in (2, 4) and bool({1, 2} & set(tags.get(_EXTRA) or (2,))),
        orientation if 1 <= orientation <= 8 else 1,
        first(262, _BLACK),
        first(259, 1),
        first(317, 1),
        first(_FILL_ORDER, 1),
        apart,
        tiled,
        block,
        offsets,
        counts,
    )
    return _cut_finer(made)


def _cut_finer(made: TiffSamples) -> TiffSamples:
    """Cut strips that stand unpacked into single rows' worth: many tools write one for all."""
    samples = 1 if made.apart else made.bands
    stride = made.width * samples * made.kind.itemsize
    rows = max(1, (1 << 22) // stride)
    if made.tiled or made.packing != 1 or made.block[0] <= rows:
        return made
    offsets, counts = [], []
    strips = -(-made.height // made.block[0])
    if strips > 1 and made.block[0] % rows:
        rows = 1  # so that every strip is cut at the same places
    if -(-made.height // rows) * (made.bands if made.apart else 1) > MOST_BLOCKS:
        return made
    for k, start in enumerate(made.offsets.tolist()):
        left = min(made.block[0], made.height - k % strips * made.block[0])
        for y in range(0, left, rows):
            offsets.append(start + y * stride)
            counts.append(min(rows, left - y) * stride)
    return replace(
        made,
        block=(rows, made.width),
        offsets=np.array(offsets, np.int64),
        counts=np.array(counts, np.int64),
    )
