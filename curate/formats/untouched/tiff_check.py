"""TIFFs of ids, compared in all that no edit names: each byte outside of pixels, and the pixels."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from curate.common.arrays import IntArray
from curate.formats.edits import Edits
from curate.formats.untouched.png_check import IdsTouched, check_id_files
from curate.images.quiet_decoders import quiet_pillow

_OFFSETS, _LENGTHS = (273, 324), (279, 325)
_SIZES = {3: 2, 4: 4, 13: 4, 16: 8}
_LETTERS = {2: "H", 4: "I", 8: "Q"}


def check_label_tiff(source: Path, written: Path, edits: Edits) -> str:
    """Compare two sets of TIFFs of ids in all that no edit names."""
    return check_id_files(source, written, edits, _check_ids)


def _check_ids(touched: IdsTouched, source: Path, written: Path) -> str:
    old, new = (np.fromfile(path, np.uint8) for path in (source, written))
    if len(new) < len(old):
        return "it is shorter than it was"
    fixed = np.ones(len(old), np.bool_)
    for start, end in _free_ranges(source.read_bytes()):
        fixed[start:end] = False
    if (old != new[: len(old)])[fixed].any():
        return "something that is no pixel is not as it was"
    if source.read_bytes()[:2] == b"MM":
        return ""  # Pillow confuses their bytes, and reads no BigTIFF; masks are compared elsewhere
    try:
        was = _pixels(source)
    except SyntaxError:
        return ""  # a kind of pixels that Pillow does not know
    now = _pixels(written)
    if was.shape != now.shape:
        return "its size is not as it was"
    return touched.check(was, now)


def _free_ranges(data: bytes) -> list[tuple[int, int]]:
    """Return where a TIFF's pixels stand, and where it says where they stand."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    head, count, word, entry = (8, "Q", "Q", 20) if big else (4, "H", "I", 12)
    (at,) = struct.unpack_from(order + word, data, head)
    (n,) = struct.unpack_from(order + count, data, at)
    at += struct.calcsize(order + count)
    free: list[tuple[int, int]] = []
    places: list[tuple[int, ...]] = []
    for k in range(n):
        tag, kind, length = struct.unpack_from(f"{order}HH{word}", data, at + k * entry)
        if tag not in (*_OFFSETS, *_LENGTHS):
            continue
        place, size = at + (k + 1) * entry - (8 if big else 4), _SIZES[kind]
        if size * length > (8 if big else 4):
            (place,) = struct.unpack_from(order + word, data, place)
        free.append((place, place + size * length))
        places.append(struct.unpack_from(f"{order}{length}{_LETTERS[size]}", data, place))
    starts, lengths = places
    return free + [(s, s + m) for s, m in zip(starts, lengths, strict=True)]


def _pixels(path: Path) -> IntArray:
    with quiet_pillow(), TiffImageFile(path) as image:  # it has been read before
        pixels = np.asarray(image).astype(np.int64)
        # Pillow turns white to black, and takes 32 bits for signed ones.
        pixels = 255 - pixels if image.mode == "L" and image.tag_v2.get(262) == 0 else pixels
        return pixels % 2**32 if image.tag_v2.get(339, (1,))[0] == 1 else pixels
