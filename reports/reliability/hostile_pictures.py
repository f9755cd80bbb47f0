"""Picture and mask files that take gigabytes if what they say is believed; quickly made.

    python reports/reliability/hostile_pictures.py FOLDER

Each has 13,000 x 13,000 pixels, or claims far more; most pack to a few kilobytes. What stands
unpacked is a file with a hole.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 13_000
Image.MAX_IMAGE_PIXELS = None


def packed_rows(rows: Iterator[bytes], level: int = 1) -> bytes:
    deflate = zlib.compressobj(level)
    return b"".join(map(deflate.compress, rows)) + deflate.flush()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_file(
    depth: int, color: int, packed: bytes, *, side: int = SIDE, more: bytes = b""
) -> bytes:
    head = struct.pack(">IIBBBBB", side, side, depth, color, 0, 0, len(more) == 1)
    palette = chunk(b"PLTE", bytes(range(256)) * 3) if color == 3 else b""
    body = more if len(more) > 1 else b""
    made = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + palette + body
    return made + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def png(depth: int, color: int) -> bytes:
    """Return a PNG of boards of 1,000 px, so that there are edges."""
    stride = -(-SIDE * depth * CHANNELS[color] // 8)
    board = np.arange(stride) * 13 // stride % 2
    rows = [b"\0" + (np.uint8(200) * (board ^ k).astype(np.uint8)).tobytes() for k in (0, 1)]
    return png_file(depth, color, packed_rows(rows[y // 1000 % 2] for y in range(SIDE)))


def interlaced_png(color: int) -> bytes:
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
    rows = (
        bytes(1 + CHANNELS[color] * -(-(SIDE - x) // dx))
        for x, y, dx, dy in (*passes, (0, 1, 1, 2))
        for _ in range(-(-(SIDE - y) // dy))
    )
    return png_file(8, color, packed_rows(rows), more=b"i")


def tiff(
    bits: tuple[int, ...],
    photometric: int,
    *,
    packing: int = 1,
    rows: int = 64,
    kind: int = 1,
    tile: int = 0,
    side: int = SIDE,
) -> tuple[bytes, int]:
    """Return a TIFF of zeros: its first bytes, and how large the file is (the rest is a hole)."""
    across = -(-side // tile) if tile else 1
    height = tile or min(rows, side)
    n = across * -(-side // height)
    stride = -(-(tile or side) * sum(bits) // 8)
    sizes = [stride * (height if tile else min(height, side - k * height)) for k in range(n)]
    blobs = {s: packed_rows(bytes(stride) for _ in range(s // stride)) for s in set(sizes)}
    tags = {256: (4, [side]), 257: (4, [side]), 258: (3, list(bits)), 259: (3, [packing])}
    tags |= {262: (3, [photometric]), 277: (3, [len(bits)]), 284: (3, [1])}
    tags |= {339: (3, [kind] * len(bits))}
    if len(bits) == 4 and photometric == 2:
        tags[338] = (3, [2])
    if photometric == 3:
        tags[320] = (3, list(range(0, 65536, 256)) * 3)
    tags |= {322: (4, [tile]), 323: (4, [tile])} if tile else {278: (4, [height])}
    counts = [len(blobs[s]) for s in sizes] if packing == 8 else sizes
    tags |= {324 if tile else 273: (4, [0] * n), 325 if tile else 279: (4, counts)}
    at = 8 + 2 + 12 * len(tags) + 4
    where = {}
    for tag, (word, values) in sorted(tags.items()):
        size = len(values) * (4 if word == 4 else 2)
        if size > 4:
            where[tag], at = at, at + size + size % 2
    starts = [at + sum(counts[:0]) for _ in range(0)]
    place = at
    for count in counts:
        starts.append(place)
        place += count
    tags[324 if tile else 273] = (4, starts)
    entries, bodies = b"", b""
    for tag, (word, values) in sorted(tags.items()):
        body = struct.pack(f"<{len(values)}{'I' if word == 4 else 'H'}", *values)
        own = struct.pack("<I", where[tag]) if tag in where else body.ljust(4, b"\0")
        bodies += body + b"\0" * (len(body) % 2) if tag in where else b""
        entries += struct.pack("<HHI", tag, word, len(values)) + own
    made = b"II" + struct.pack("<HIH", 42, 8, len(tags)) + entries + bytes(4) + bodies
    return made + b"".join(blobs[s] for s in sizes if packing == 8), place


def bmp(bits: int) -> tuple[bytes, int]:
    stride = -(-SIDE * bits // 32) * 4
    palette = b"".join(bytes([k, k, k, 0]) for k in range(256)) if bits == 8 else b""
    start = 54 + len(palette)
    head = b"BM" + struct.pack("<IHHI", start + stride * SIDE, 0, 0, start)
    head += struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, bits, 0, stride * SIDE, 0, 0, 0, 0)
    return head + palette, start + stride * SIDE


def webp(side: int) -> bytes:
    """Return a WebP in which a pixel takes no bit."""
    bits = [int(b) for b in f"{side - 1:014b}"[::-1] + f"{side - 1:014b}"[::-1] + "0000"]
    bits += [0, 0, 0] + [1, 0, 0, 0] * 5
    bits += [0] * (-len(bits) % 8)
    body = b"\x2f" + np.packbits(np.array(bits, np.uint8), bitorder="little").tobytes() + bytes(9)
    body += b"\0" * (len(body) % 2)
    data = b"WEBPVP8L" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(data)) + data


def gif(width: int, height: int) -> bytes:
    """Return a GIF whose header claims a size; its pixels end early."""
    made = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    made += b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0)
    return (
        made
        + b"\x02\x16"
        + bytes([0x8C, 0x2D, 0x99, 0x87, 0x2A, 0x1C, 0xDC, 0x33, 0xA0, 0x02]) * 2
        + b"\0\0\x3b"
    )


def written(path: Path, made: bytes | tuple[bytes, int]) -> None:
    data, size = made if isinstance(made, tuple) else (made, len(made))
    with path.open("wb") as file:
        file.write(data)
        file.truncate(max(size, len(data)))


def by_pillow(mode: str, kind: str, **how: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        Image.new(mode, (SIDE, SIDE), 60 if mode in ("L", "P") else None).save(path, kind, **how)

    return make


def make_pictures(folder: Path) -> None:
    """Write all hostile pictures into a folder."""
    bombed = chunk(b"zTXt", b"Comment\0\0" + packed_rows(bytes(1 << 20) for _ in range(1000)))
    profiled = chunk(b"iCCP", b"p\0\0" + packed_rows(bytes(1 << 20) for _ in range(1000)))
    flat = {
        **{f"png-gray{d}": lambda d=d: png(d, 0) for d in (1, 2, 4, 8, 16)},
        **{f"png-palette{d}": lambda d=d: png(d, 3) for d in (1, 8)},
        **{f"png-la{d}": lambda d=d: png(d, 4) for d in (8, 16)},
        **{f"png-rgb{d}": lambda d=d: png(d, 2) for d in (8, 16)},
        **{f"png-rgba{d}": lambda d=d: png(d, 6) for d in (8, 16)},
        "png-interlaced-gray": lambda: interlaced_png(0),
        "png-interlaced-rgb": lambda: interlaced_png(2),
        "png-claims-50000": lambda: png_file(8, 2, zlib.compress(bytes(10**7)), side=50_000),
        "png-text-bomb": lambda: png_file(8, 0, zlib.compress(bytes(10**6)), side=900, more=bombed),
        "png-profile-bomb": lambda: png_file(
            8, 0, zlib.compress(bytes(10**6)), side=900, more=profiled
        ),
        "tif-1-raw": lambda: tiff((1,), 1),
        "tif-L-raw": lambda: tiff((8,), 1),
        "tif-L-one-strip-raw": lambda: tiff((8,), 1, rows=SIDE),
        "tif-I16-raw": lambda: tiff((16,), 1),
        "tif-I-raw": lambda: tiff((32,), 1, kind=2),
        "tif-F-raw": lambda: tiff((32,), 1, kind=3),
        "tif-P-raw": lambda: tiff((8,), 3),
        "tif-RGB-raw": lambda: tiff((8, 8, 8), 2),
        "tif-RGBA-raw": lambda: tiff((8, 8, 8, 8), 2),
        "tif-CMYK-raw": lambda: tiff((8, 8, 8, 8), 5),
        "tif-RGB-tiles-raw": lambda: tiff((8, 8, 8), 2, tile=256),
        "tif-L-deflate": lambda: tiff((8,), 1, packing=8),
        "tif-F-deflate": lambda: tiff((32,), 1, packing=8, kind=3),
        "tif-RGB-tiles-deflate": lambda: tiff((8, 8, 8), 2, packing=8, tile=256),
        "tif-L-tiny-tiles-deflate": lambda: tiff((8,), 1, packing=8, tile=32),
        "tif-RGB-one-strip-deflate": lambda: tiff((8, 8, 8), 2, packing=8, rows=SIDE),
        "tif-F-one-strip-deflate": lambda: tiff((32,), 1, packing=8, kind=3, rows=SIDE),
        "tif-claims-60000": lambda: tiff((8,), 1, side=60_000),
        "bmp-8": lambda: bmp(8),
        "bmp-24": lambda: bmp(24),
        "bmp-32": lambda: bmp(32),
        "webp-13000": lambda: webp(SIDE),
        "webp-claims-16383": lambda: webp(16_383),
        "gif-claims-13000": lambda: gif(SIDE, SIDE),
        "gif-claims-65535": lambda: gif(65_535, 65_535),
    }
    for name, make in flat.items():
        written(folder / f"{name}.{name.split('-')[0]}", make())
    pillow = {
        "gif-13000.gif": by_pillow("P", "GIF"),
        "jpg-L.jpg": by_pillow("L", "JPEG"),
        "jpg-RGB.jpg": by_pillow("RGB", "JPEG"),
        "jpg-CMYK.jpg": by_pillow("CMYK", "JPEG"),
        "jpg-progressive-L.jpg": by_pillow("L", "JPEG", progressive=True),
        "jpg-progressive-RGB.jpg": by_pillow("RGB", "JPEG", progressive=True),
        "tif-L-one-strip-lzw.tif": by_pillow(
            "L", "TIFF", compression="tiff_lzw", tiffinfo={278: SIDE}
        ),
        "tif-RGB-jpeg.tif": by_pillow("RGB", "TIFF", compression="jpeg"),
        "tif-1-group4.tif": by_pillow("1", "TIFF", compression="group4", tiffinfo={278: SIDE}),
        "jp2-L.jp2": by_pillow("L", "JPEG2000"),
    }
    for name, save in pillow.items():
        save(folder / name)


def make_masks(folder: Path) -> None:
    """Write hostile mask files, each a dataset of its own."""

    def ids(stride: int, cell: int, size: int) -> Iterator[bytes]:
        """Cells of ids from 1 to 100; each id has ``size`` bytes."""
        row = np.arange(stride // size) // cell
        for y in range(SIDE):
            numbers = (row * 7 + y // cell * 3) % 100 + 1
            values = np.zeros((len(row), size), np.uint8)
            values[:, 0 if size == 3 else -1] = numbers
            yield b"\0" + values.tobytes()

    for name, depth, color, size in (
        ("label-8", 8, 0, 1),
        ("label-16", 16, 0, 2),
        ("label-palette", 8, 3, 1),
        ("label-rgb", 8, 2, 3),
    ):
        (folder / name).mkdir()
        packed = packed_rows(ids(SIDE * size, 1000, size))
        (folder / name / "a.png").write_bytes(png_file(depth, color, packed))
    stripes = packed_rows(b"\0" + bytes([y % 2 * 255]) * SIDE for y in range(SIDE))
    board = packed_rows(
        b"\0" + np.packbits(np.arange(SIDE) // 400 % 2 ^ y // 400 % 2).tobytes()
        for y in range(SIDE)
    )
    small = packed_rows(b"\0" + bytes([9]) * 400 for _ in range(400))
    (folder / "label-noise").mkdir()
    (folder / "label-noise" / "a.png").write_bytes(png_file(8, 0, stripes))
    (folder / "label-noise" / "b.png").write_bytes(png_file(8, 0, small, side=400))
    masks = folder / "masks" / "one" / "masks"
    masks.mkdir(parents=True)
    (masks / "0.png").write_bytes(png_file(1, 0, board))
    (masks / "1.png").write_bytes(png_file(8, 0, stripes))
    (masks / "2.png").write_bytes(png(8, 6))
    (folder / "masks" / "two" / "masks").mkdir(parents=True)
    (folder / "masks" / "two" / "masks" / "0.png").write_bytes(png_file(8, 0, small, side=400))


if __name__ == "__main__":
    out = Path(sys.argv[1])
    for part, make in (("pictures", make_pictures), ("masks", make_masks)):
        (out / part).mkdir(parents=True)
        make(out / part)
