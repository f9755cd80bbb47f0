"""Masks and files that the tests of several formats make and compare."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from curate import rle
from curate.dataset.table import MaskTable
from curate.formats.format import Format
from curate.formats.reading import read

HEIGHT, WIDTH = 37, 53


def shapes() -> dict[str, np.ndarray]:
    """Masks that readers have got wrong elsewhere, on an image that is not square."""
    rng = np.random.default_rng(7)
    made = {name: np.zeros((HEIGHT, WIDTH), bool) for name in ("ring", "parts", "dot", "corner")}
    made["ring"][5:25, 8:40] = True
    made["ring"][10:20, 12:30] = False
    made["parts"][0:4, 0:50] = True
    made["parts"][30:36, 2:9] = True
    made["dot"][17, 44] = True
    made["corner"][-3:, -5:] = True
    made["noise"] = rng.random((HEIGHT, WIDTH)) < 0.4
    made["full"] = np.ones((HEIGHT, WIDTH), bool)
    made["column"] = np.zeros((HEIGHT, WIDTH), bool)
    made["column"][:, 9] = True
    made["row"] = np.zeros((HEIGHT, WIDTH), bool)
    made["row"][21] = True
    return made


def load_all(format: Format, source: Path) -> MaskTable:
    """Read a source and check that the format is found from its content."""
    assert format.matches(source)
    return read(source, format.name)


def dense(table: MaskTable, row: int) -> np.ndarray:
    return rle.to_dense(table.runs, row)


def row_of(table: MaskTable, key: str) -> int:
    keys = table.masks["source_key"].tolist()
    assert key in keys, keys
    return keys.index(key)


def mask_at(table: MaskTable, key: str) -> np.ndarray:
    return dense(table, row_of(table, key))


def status_at(table: MaskTable, key: str) -> tuple[str, str]:
    row = table.masks.iloc[row_of(table, key)]
    return row["status"], row["status_detail"]


def counts_of(mask: np.ndarray) -> bytes:
    """Encode pixels as COCO compressed counts, with pycocotools."""
    counts: bytes = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    return counts


def coco_pixels(counts: dict[str, Any]) -> np.ndarray:
    """Draw an RLE with pycocotools, whose array wrapper is older than numpy 2."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.asarray(coco_mask.decode(counts) > 0)


def tree(folder: Path) -> dict[str, bytes]:
    """The content of every file of a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def save_png(path: Path, pixels: Any, mode: str | None = None, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.asarray(pixels)
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    image = Image.fromarray(array)
    if mode is not None:
        image = image.convert(mode)
    image.save(path, "PNG", **options)


def bomb(path: Path, width: int, height: int) -> None:
    """Write a PNG of a hundred bytes that claims to be huge."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(b"\0" * 100)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
