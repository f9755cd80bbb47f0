"""TIFF of many bands, of deep colours and of odd numbers, written here after TIFF 6.0."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.images import ImageFolder
from curate.images.canvas import range_of, stretch_levels

HEIGHT, WIDTH = 45, 70
FORMATS = {"u": 1, "i": 2, "f": 3}


def differences(block: Any, predictor: int) -> bytes:
    """Return a block's bytes, predicted as TIFF 6.0 (2) and Adobe's note 3 (3) have it."""
    if predictor == 2:
        changed = block.copy()
        changed[:, 1:] = block[:, 1:] - block[:, :-1]
        return bytes(changed.tobytes())
    if predictor == 3:
        rows, columns, samples = block.shape
        size = block.dtype.itemsize
        big = block.astype(block.dtype.newbyteorder(">")).reshape(rows, columns * samples)
        planes = big.view(np.uint8).reshape(rows, -1, size).transpose(0, 2, 1).reshape(rows, -1)
        changed = planes.copy()
        changed[:, samples:] = planes[:, samples:] - planes[:, :-samples]
        return bytes(changed.tobytes())
    return bytes(block.tobytes())


def tiff(
    values: Any,
    *,
    order: str = "<",
    photometric: int = 1,
    packing: int = 1,
    predictor: int = 1,
    apart: bool = False,
    tile: int = 0,
    rows: int = 16,
    orientation: int = 1,
) -> bytes:
    """Return a TIFF of an array (height, width, bands)."""
    values = values.astype(values.dtype.newbyteorder(order))
    height, width, bands = values.shape
    blocks = []
    for plane in np.split(values, bands, axis=2) if apart else [values]:
        for y in range(0, height, tile or rows):
            for x in range(0, width, tile or width):
                block = plane[y : y + (tile or rows), x : x + (tile or width)]
                if tile:
                    more = ((0, tile - block.shape[0]), (0, tile - block.shape[1]), (0, 0))
                    block = np.pad(block, more)
                data = differences(np.ascontiguousarray(block), predictor)
                blocks.append(zlib.compress(data) if packing == 8 else data)
    kind, depth = values.dtype.kind, 8 * values.dtype.itemsize
    tags: dict[int, tuple[str, list[int]]] = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [depth] * bands),
        259: ("H", [packing]),
        262: ("H", [photometric]),
        274: ("H", [orientation]),
        277: ("H", [bands]),
        284: ("H", [2 if apart else 1]),
        317: ("H", [predictor]),
        339: ("H", [FORMATS[kind]] * bands),
    }
    color = 3 if photometric == 2 else 1
    if bands > color:
        tags[338] = ("H", [0] * (bands - color))
    tags |= {322: ("I", [tile]), 323: ("I", [tile])} if tile else {278: ("I", [rows])}
    places, counts = (324, 325) if tile else (273, 279)
    tags[counts] = ("I", [len(one) for one in blocks])
    tags[places] = ("I", [0] * len(blocks))
    at, where = 8 + 2 + 12 * len(tags) + 4, {}
    for tag in sorted(tags):
        size = struct.calcsize(tags[tag][0]) * len(tags[tag][1])
        if size > 4:
            where[tag], at = at, at + size + size % 2
    starts = (at + np.cumsum([0, *map(len, blocks)])[:-1]).tolist()
    tags[places] = ("I", starts)
    entries = bodies = b""
    for tag, (word, numbers) in sorted(tags.items()):
        body = struct.pack(f"{order}{len(numbers)}{word}", *numbers)
        own = struct.pack(f"{order}I", where[tag]) if tag in where else body.ljust(4, b"\0")
        bodies += body + b"\0" * (len(body) % 2) if tag in where else b""
        entries += struct.pack(f"{order}HHI", tag, {"H": 3, "I": 4}[word], len(numbers)) + own
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return head + entries + bytes(4) + bodies + b"".join(blocks)


def drawn(bands: int, kind: str) -> Any:
    rng = np.random.default_rng(bands)
    coarse = rng.random((HEIGHT // 5 + 1, WIDTH // 5 + 1, bands))
    smooth = coarse.repeat(5, axis=0).repeat(5, axis=1)[:HEIGHT, :WIDTH]
    most = {"u1": 255, "u2": 4000, "i2": 3000, "u4": 9e8}.get(kind, 1.5)
    return np.ascontiguousarray((smooth * most).astype(kind))


def expected(values: Any, shown: int) -> Any:
    values = values[:, :, :shown]
    if values.dtype != np.uint8:
        levels = range_of(values)
        assert levels is not None
        values = stretch_levels(values, *levels)
    return values if shown == 3 else values.repeat(3, axis=2)


KINDS = ["u1", "u2", "i2", "u4", "f2", "f4", "f8"]


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_bands_that_are_shown(tmp_path: Path, bands: int, kind: str) -> None:
    values = drawn(bands, kind)
    (tmp_path / "a.tif").write_bytes(tiff(values))
    (tmp_path / "b.tif").write_bytes(tiff(values, order=">", packing=8, apart=bands > 1, tile=32))
    folder = ImageFolder(tmp_path)
    want = expected(values, 3 if bands >= 3 else 1)
    for name in ("a.tif", "b.tif"):
        assert np.abs(folder.load(name).astype(int) - want).max() <= 1
        seen = folder.inspect(name, (HEIGHT, WIDTH))
        assert seen.status == "ok"
        if bands in (1, 3):
            assert seen.detail == ""
        elif bands == 2:
            assert seen.detail == "of its 2 bands the first is shown"
        else:
            said = f"of its {bands} bands the first three are shown, as red, green and blue"
            assert seen.detail == said
        window = folder.load(name, (HEIGHT, WIDTH))[10:30, 20:60]
        assert (
            np.array_equal(window, want[10:30, 20:60])
            or np.abs(window.astype(int) - want[10:30, 20:60]).max() <= 1
        )


@pytest.mark.parametrize("predictor", [2, 3])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tile", [0, 32])
@pytest.mark.parametrize("apart", [False, True])
def test_predictors(tmp_path: Path, predictor: int, order: str, tile: int, apart: bool) -> None:
    values = drawn(6, "u2" if predictor == 2 else "f4")
    how = {"order": order, "packing": 8, "predictor": predictor, "tile": tile, "apart": apart}
    (tmp_path / "a.tif").write_bytes(tiff(values, **how))
    found = ImageFolder(tmp_path).load("a.tif")
    assert np.array_equal(found, expected(values, 3))


def test_predicted_blocks_are_those_of_libtiff(tmp_path: Path) -> None:
    """Pillow's libtiff reads gray floats and colours of 16 bit: what it sees is seen here."""
    values = drawn(1, "f4")
    (tmp_path / "a.tif").write_bytes(tiff(values, packing=8, predictor=3))
    with Image.open(tmp_path / "a.tif") as image:
        assert np.array_equal(np.asarray(image), values[:, :, 0])
    values = drawn(3, "u2")
    (tmp_path / "b.tif").write_bytes(tiff(values, photometric=2, packing=8, predictor=2))
    with Image.open(tmp_path / "b.tif") as image:
        assert np.array_equal(np.asarray(image), (values // 256).astype(np.uint8))
    assert np.array_equal(ImageFolder(tmp_path).load("b.tif"), expected(values, 3))


def test_turned_and_inverted(tmp_path: Path) -> None:
    values = drawn(5, "u2")
    (tmp_path / "a.tif").write_bytes(tiff(values, orientation=6))
    folder = ImageFolder(tmp_path)
    assert folder.inspect("a.tif", (WIDTH, HEIGHT)).status == "exif_rotated"
    want = expected(values, 3)
    assert np.array_equal(folder.load("a.tif", (WIDTH, HEIGHT)), want[::-1].swapaxes(0, 1))
    (tmp_path / "b.tif").write_bytes(tiff(drawn(1, "f8"), photometric=0))
    (tmp_path / "c.tif").write_bytes(tiff(drawn(1, "f8"), photometric=1))
    both = folder.load("b.tif").astype(int) + folder.load("c.tif")
    assert np.abs(both - 255).max() <= 1


def test_one_strip_that_stands_unpacked_is_read_in_pieces(tmp_path: Path) -> None:
    values = np.tile(drawn(6, "u2"), (60, 12, 1))
    for name, apart in (("a.tif", False), ("b.tif", True)):
        (tmp_path / name).write_bytes(tiff(values, rows=len(values), apart=apart))
        folder = ImageFolder(tmp_path, max_bytes=16_000_000)
        found = folder.load(name)
        assert np.abs(found.astype(int) - expected(values, 3)).max() <= 1
    (tmp_path / "c.tif").write_bytes(tiff(values, rows=len(values), packing=8))
    seen = ImageFolder(tmp_path, max_bytes=16_000_000).inspect("c.tif", values.shape[:2])
    assert seen.status == "too_large"
    assert "to unpack a piece of this TIFF (840 x 2700 px, 6 bands) takes 82 MB" in seen.detail
    assert "save it in strips of some rows, or in tiles" in seen.detail


@pytest.mark.parametrize("packing", [1, 8])
def test_broken_blocks_are_told(tmp_path: Path, packing: int) -> None:
    data = tiff(drawn(5, "u2"), packing=packing)
    (tmp_path / "a.tif").write_bytes(data[: len(data) * 2 // 3])
    broken = bytearray(data)
    broken[-400:] = b"\xff" * 400
    (tmp_path / "b.tif").write_bytes(broken)
    folder = ImageFolder(tmp_path)
    assert folder.inspect("a.tif", (HEIGHT, WIDTH)).status in ("truncated", "unreadable")
    if packing == 8:
        assert folder.inspect("b.tif", (HEIGHT, WIDTH)).status in ("truncated", "unreadable")
    assert folder.load("a.tif") is None


def png(values: Any) -> bytes:
    """Return a PNG of 16 bit, shape (height, width, 3)."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    made = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + made


def test_colours_of_sixteen_bit_use_their_range(tmp_path: Path) -> None:
    """A camera of 12 bit: the upper 8 of 16 bit would be sixteen levels, nearly black."""
    values = drawn(3, "u2")
    (tmp_path / "a.png").write_bytes(png(values))
    found = ImageFolder(tmp_path).load("a.png")
    assert np.array_equal(found, expected(values, 3))
