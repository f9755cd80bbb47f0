"""TIFFs written by the rules of TIFF 6.0 and BigTIFF, as tifffile, ImageJ and OpenCV write them."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

KINDS = {"H": 3, "I": 4, "Q": 16, "s": 2}


def tiff(
    values: np.ndarray,
    *,
    order: str = "<",
    packing: int = 1,
    predictor: int = 1,
    rows: int | None = None,
    tile: tuple[int, int] | None = None,
    big: bool = False,
    description: str = "",
    white: bool = False,
    pages: int = 1,
) -> bytes:
    """Return a TIFF of one band.

    Args:
        values: Shape (height, width), whole numbers or booleans.
        order: Of bytes.
        packing: 1 (none) or 8 (deflate).
        predictor: 2 for differences along rows.
        rows: Of a strip; None for one strip.
        tile: Height and width of tiles; None for strips.
        big: Whether it is a BigTIFF.
        description: Text of the first page, as ImageJ and tifffile write.
        white: Whether 0 is white.
        pages: How often the picture is there.
    """
    out = bytearray({"<": b"II", ">": b"MM"}[order])
    out += struct.pack(f"{order}HHHQ", 43, 8, 0, 0) if big else struct.pack(f"{order}HI", 42, 0)
    link = 8 if big else 4
    for _ in range(pages):
        link = _page(
            out, link, values, order, packing, predictor, rows, tile, big, description, white
        )
    return bytes(out)


def _page(
    out: bytearray,
    link: int,
    values: np.ndarray,
    order: str,
    packing: int,
    predictor: int,
    rows: int | None,
    tile: tuple[int, int] | None,
    big: bool,
    description: str,
    white: bool,
) -> int:
    height, width = values.shape
    places, lengths = [], []
    for block in _blocks(values, rows or height, tile):
        data = _packed(block, order, packing, predictor)
        out += b"\0" * (len(out) % 2)
        places.append(len(out))
        lengths.append(len(data))
        out += data
    bits = 1 if values.dtype == bool else 8 * values.dtype.itemsize
    word = "Q" if big else "I"
    tags: list[tuple[int, str, Any]] = [
        (256, "I", [width]),
        (257, "I", [height]),
        (258, "H", [bits]),
        (259, "H", [packing]),
        (262, "H", [0 if white else 1]),
        (277, "H", [1]),
        (339, "H", [2 if values.dtype.kind == "i" else 1]),
    ]
    if description:
        tags.append((270, "s", description.encode() + b"\0"))
    if predictor != 1:
        tags.append((317, "H", [predictor]))
    if tile:
        tags += [(322, "H", [tile[1]]), (323, "H", [tile[0]])]
        tags += [(324, word, places), (325, word, lengths)]
    else:
        tags += [(273, word, places), (278, "I", [rows or height]), (279, word, lengths)]
    return _directory(out, link, sorted(tags), order, big)


def _blocks(values: np.ndarray, rows: int, tile: tuple[int, int] | None) -> list[np.ndarray]:
    height, width = values.shape
    if tile is None:
        return [values[y : y + rows] for y in range(0, height, rows)]
    down, across = -(-height // tile[0]), -(-width // tile[1])
    whole = np.zeros((down * tile[0], across * tile[1]), values.dtype)
    whole[:height, :width] = values
    whole[height:] = 9 if values.dtype != bool else 0  # what is beyond the picture is nobody's
    return [
        whole[y * tile[0] : (y + 1) * tile[0], x * tile[1] : (x + 1) * tile[1]]
        for y in range(down)
        for x in range(across)
    ]


def _packed(block: np.ndarray, order: str, packing: int, predictor: int) -> bytes:
    if block.dtype == bool:
        data = np.packbits(block, axis=1).tobytes()
    else:
        unsigned = block.astype(f"u{block.dtype.itemsize}")
        if predictor == 2:
            first = unsigned.copy()
            unsigned[:, 1:] -= first[:, :-1]
        data = unsigned.astype(f"{order}u{block.dtype.itemsize}").tobytes()
    return zlib.compress(data, 9) if packing == 8 else data


def _directory(
    out: bytearray, link: int, tags: list[tuple[int, str, Any]], order: str, big: bool
) -> int:
    word, count, inline = ("Q", "Q", 8) if big else ("I", "H", 4)
    bodies = []
    for tag, kind, values in tags:
        data = values if kind == "s" else struct.pack(f"{order}{len(values)}{kind}", *values)
        n = len(data) if kind == "s" else len(values)
        if len(data) > inline:
            out += b"\0" * (len(out) % 2)
            at = len(out)
            out += data
            data = struct.pack(f"{order}{word}", at)
        bodies.append(
            struct.pack(f"{order}HH{word}", tag, KINDS[kind], n) + data.ljust(inline, b"\0")
        )
    out += b"\0" * (len(out) % 2)
    struct.pack_into(f"{order}{word}", out, link, len(out))
    out += struct.pack(f"{order}{count}", len(bodies)) + b"".join(bodies)
    out += struct.pack(f"{order}{word}", 0)
    return len(out) - struct.calcsize(f"{order}{word}")
