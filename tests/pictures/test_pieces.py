"""Large pictures are read piece by piece, and give the pixels that they give when read whole."""

from __future__ import annotations

import itertools
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.images import Box, ImageFolder, decode, image_pieces, png_rows
from curate.images.decode_cost import bytes_to_decode
from curate.images.lzw_rows import unpack_lzw

HEIGHT, WIDTH = 53, 71
BOX = Box(9, 11, 30, 25)


def drawn(mode: str) -> Image.Image:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (9, 12, 4), np.uint8)
    array = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    deep = array[..., 0].astype(np.uint32) * 200 + array[..., 1]
    if mode == "I;16":
        return Image.fromarray(deep.astype(np.uint16))
    if mode == "I;16B":
        made = Image.new("I;16B", (WIDTH, HEIGHT))
        made.frombytes(deep.astype(">u2").tobytes())
        return made
    if mode == "I":
        return Image.fromarray(deep.astype(np.int32))
    if mode == "F":
        return Image.fromarray(deep.astype(np.float32) / 7)
    return Image.fromarray(array).convert(mode)


def read_both(
    monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, **how: Any
) -> tuple[Any, Any]:
    """Return what is read whole, and what is read a few rows at a time."""
    size = how.pop("size", (HEIGHT, WIDTH))
    images = ImageFolder(folder)
    whole = images.load(name, size, **how)
    with monkeypatch.context() as small:
        small.setattr(image_pieces, "SMALL_PIXELS", 0)
        small.setattr(image_pieces, "PIECE_PIXELS", 300)
        if name.endswith((".png", ".tif", ".bmp", ".ppm", ".tga")):
            small.setattr(image_pieces, "_fit_decoder", None)  # nothing is decoded whole
        return whole, images.load(name, size, **how)


def same_in_pieces(monkeypatch: pytest.MonkeyPatch, path: Path, **how: Any) -> None:
    for gray, box in ((False, None), (True, BOX)):
        whole, pieced = read_both(monkeypatch, path.parent, path.name, gray=gray, box=box, **how)
        assert whole is not None
        np.testing.assert_array_equal(whole, pieced)


TIFFS = [
    *itertools.product(
        ("L", "RGB", "I;16", "I;16B", "P", "1", "LA", "RGBA", "CMYK", "I", "F"),
        ("raw", "tiff_lzw", "tiff_adobe_deflate"),
        (5, HEIGHT),
    ),
    *itertools.product(("L", "RGB"), ("packbits", "jpeg", "zstd", "lzma"), (16, HEIGHT)),
    ("1", "group4", 8),
]


@pytest.mark.parametrize(("mode", "packing", "rows"), TIFFS)
def test_strips_of_a_tiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, packing: str, rows: int
) -> None:
    drawn(mode).save(tmp_path / "a.tif", compression=packing, tiffinfo={278: rows})
    same_in_pieces(monkeypatch, tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "P", "1", "RGBA", "CMYK", "I", "F"])
@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("packing", ["tiff_adobe_deflate", "tiff_lzw"])
def test_one_huge_strip_of_a_tiff_is_unpacked_row_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, predictor: int, packing: str
) -> None:
    if predictor == 2 and mode in ("1", "I", "F"):
        return
    drawn(mode).save(
        tmp_path / "a.tif",
        compression=packing,
        tiffinfo={278: HEIGHT, 317: predictor},
    )
    whole = ImageFolder(tmp_path).load("a.tif", box=BOX)
    monkeypatch.setattr(image_pieces, "SMALL_PIXELS", 0)
    monkeypatch.setattr(image_pieces, "PIECE_PIXELS", 300)
    monkeypatch.setattr(image_pieces.tiff_blocks, "decode_blocks", None)
    little = ImageFolder(tmp_path, max_bytes=12_000)
    np.testing.assert_array_equal(little.load("a.tif", box=BOX), whole)
    assert little.inspect("a.tif", (HEIGHT, WIDTH)).status == "ok"


def lzw_strip(path: Path, values: np.ndarray) -> tuple[int, int]:
    """Save a TIFF of one strip of LZW, and return where it stands."""
    Image.fromarray(values).save(path, compression="tiff_lzw", tiffinfo={278: len(values)})
    with Image.open(path) as image:
        tags = dict(image.tag_v2)  # type: ignore[attr-defined]
    return tags[273][0], tags[279][0]


@pytest.mark.parametrize("levels", [1, 2, 7, 256])
def test_lzw_is_unpacked_in_any_portions(tmp_path: Path, levels: int) -> None:
    rng = np.random.default_rng(levels)
    values = rng.integers(0, levels, (300, 211), np.uint8)
    values[100:130] = 5  # long strings of one value
    at, size = lzw_strip(tmp_path / "a.tif", values)
    strip, found = unpack_lzw(tmp_path / "a.tif", at, size), b""
    next(strip)
    while len(found) < values.size:
        wanted = min(int(rng.integers(1, 9_000)), values.size - len(found))
        piece = strip.send(wanted)
        assert len(piece) == wanted
        found += piece
    assert found == values.tobytes()
    with pytest.raises(OSError, match="truncated"):
        strip.send(1)


def test_lzw_that_is_broken_or_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    at, size = lzw_strip(path, np.random.default_rng(0).integers(0, 256, (90, 80), np.uint8))
    data = bytearray(path.read_bytes())
    with pytest.raises(OSError, match="truncated"):
        next(unpack_lzw(path, at, size + len(data)))
    strip = unpack_lzw(path, at, size // 2)
    next(strip)
    with pytest.raises(OSError, match="truncated"):
        strip.send(90 * 80)
    data[at + 2 : at + 12] = b"\xff" * 10
    path.write_bytes(data)
    strip = unpack_lzw(path, at, size)
    next(strip)
    with pytest.raises(ValueError, match="not in the table"):
        strip.send(90 * 80)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_rows_of_a_png(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    drawn(mode).save(tmp_path / "a.png")
    same_in_pieces(monkeypatch, tmp_path / "a.png")
    assert b"".join(one.rows.tobytes() for one in png_rows.strips(tmp_path / "a.png", 500))


def png(depth: int, color: int, *, interlaced: bool) -> bytes:
    """Return a PNG of any kind with all filters, from noise."""
    rng = np.random.default_rng(depth + color)
    rows = []
    for one in png_rows.passes(HEIGHT, WIDTH, depth, color, interlaced=interlaced):
        body = rng.integers(0, 256, (one.height, one.stride + 1), np.uint8)
        body[:, 0] = np.arange(one.height) % 5
        rows.append(body.tobytes())
    head = WIDTH.to_bytes(4, "big") + HEIGHT.to_bytes(4, "big")
    packed = zlib.compress(b"".join(rows))
    chunks = [(b"IHDR", head + bytes([depth, color, 0, 0, interlaced]))]
    chunks += [(b"PLTE", bytes(range(256)) * 3)] if color == 3 else []
    chunks += [(b"IDAT", packed[:40]), (b"IDAT", b""), (b"IDAT", packed[40:]), (b"IEND", b"")]
    made = png_rows.SIGNATURE
    for kind, body in chunks:
        made += len(body).to_bytes(4, "big") + kind + body
        made += zlib.crc32(kind + body).to_bytes(4, "big")
    return made


KINDS = [(d, 0) for d in (1, 2, 4, 8, 16)] + [(d, 3) for d in (1, 2, 4, 8)]
KINDS += [(d, c) for c in (2, 4, 6) for d in (8, 16)]


@pytest.mark.parametrize(("depth", "color"), KINDS)
@pytest.mark.parametrize("interlaced", [False, True])
def test_every_kind_and_filter_of_png(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: int, color: int, interlaced: bool
) -> None:
    (tmp_path / "a.png").write_bytes(png(depth, color, interlaced=interlaced))
    same_in_pieces(monkeypatch, tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["bmp", "ppm", "tga", "gif", "webp", "jpg", "jp2"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_other_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, mode: str
) -> None:
    drawn(mode).save(tmp_path / f"a.{suffix}")
    same_in_pieces(monkeypatch, tmp_path / f"a.{suffix}")


def test_tiles_of_a_tiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for packing in ("raw", "tiff_lzw"):
        path = tmp_path / f"{packing}.tif"
        path.write_bytes(tiled(drawn("RGB"), packing))
        same_in_pieces(monkeypatch, path)


def tiled(image: Image.Image, packing: str) -> bytes:
    """Return a TIFF of tiles of 16 x 32 px; Pillow writes none."""
    import io
    import struct

    pixels = np.asarray(image)
    across, down = -(-WIDTH // 32), -(-HEIGHT // 16)
    padded = np.zeros((down * 16, across * 32, 3), np.uint8)
    padded[:HEIGHT, :WIDTH] = pixels
    packed = []
    for y, x in itertools.product(range(down), range(across)):
        tile = padded[y * 16 : y * 16 + 16, x * 32 : x * 32 + 32]
        if packing == "raw":
            packed.append(tile.tobytes())
            continue
        out = io.BytesIO()
        Image.fromarray(tile).save(out, "TIFF", compression=packing, tiffinfo={278: 16})
        with Image.open(out) as one:
            (at,), (size,) = one.tag_v2[273], one.tag_v2[279]
        packed.append(out.getvalue()[at : at + size])
    number = {"raw": 1, "tiff_lzw": 5}[packing]
    n = len(packed)
    at = 8 + 2 + 12 * 11 + 4
    bits, at = at, at + 6
    offsets, at = at, at + 4 * n
    counts, at = at, at + 4 * n
    starts = [at + sum(map(len, packed[:k])) for k in range(n)]
    entries = [(256, 4, 1, WIDTH), (257, 4, 1, HEIGHT), (258, 3, 3, bits), (259, 3, 1, number)]
    entries += [(262, 3, 1, 2), (277, 3, 1, 3), (284, 3, 1, 1), (322, 3, 1, 32), (323, 3, 1, 16)]
    entries += [(324, 4, n, offsets), (325, 4, n, counts)]
    made = b"II" + struct.pack("<HIH", 42, 8, len(entries))
    for tag, kind, count, value in entries:
        made += struct.pack("<HHII", tag, kind, count, value)
    made += bytes(4) + struct.pack("<3H", 8, 8, 8)
    made += struct.pack(f"<{n}I", *starts) + struct.pack(f"<{n}I", *map(len, packed))
    return made + b"".join(packed)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_turned_pictures_and_their_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int, suffix: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    drawn("RGB").save(path, exif=exif)
    images = ImageFolder(tmp_path)
    turned = (WIDTH, HEIGHT) if orientation >= 5 else (HEIGHT, WIDTH)
    for size in {turned, (HEIGHT, WIDTH)}:
        same_in_pieces(monkeypatch, path, size=size)
        whole, part = images.load(path.name, size), images.load(path.name, size, box=BOX)
        want = whole[BOX.y : BOX.y + BOX.h, BOX.x : BOX.x + BOX.w]
        np.testing.assert_array_equal(part, want)
        with monkeypatch.context() as small:
            small.setattr(image_pieces, "SMALL_PIXELS", 0)
            small.setattr(image_pieces, "PIECE_PIXELS", 300)
            bands = list(images.bands(path.name, size, pixels=700, margin=4))
        assert len(bands) > 1
        for band in bands:
            np.testing.assert_array_equal(
                band.pixels, whole[band.top : min(len(whole), band.high + 4)]
            )
            assert band.top == max(0, band.low - 4)
        assert [band.low for band in bands[1:]] == [band.high for band in bands[:-1]]
        assert bands[-1].high == len(whole)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_too_large_to_decode_is_refused_with_the_reason(
    tmp_path: Path, mode: str, progressive: bool
) -> None:
    """A progressive one keeps two bytes a sample until its end, at whatever scale it is drawn."""
    drawn(mode).resize((400, 300)).save(tmp_path / "a.jpg", progressive=progressive)
    kind = "progressive JPEG" if progressive else "JPEG"
    gray, factor = 400 * 300, 4 if mode == "CMYK" else 1
    coefficients = {"L": 2, "RGB": 3, "CMYK": 8}[mode] * gray if progressive else 0
    enough = coefficients * 21 // 20 + factor * gray
    size = (300, 400)
    assert ImageFolder(tmp_path, max_bytes=enough).inspect("a.jpg", size).status == "ok"
    images = ImageFolder(tmp_path, max_bytes=(coefficients + factor * gray) * 9 // 10)
    seen = images.inspect("a.jpg", size)
    assert seen.status == "too_large"
    assert seen.detail.startswith(f"to decode this {kind} of 400 x 300 px whole takes ")
    assert "over the limit of " in seen.detail
    assert images.load("a.jpg", size, box=BOX) is None
    assert ImageFolder(tmp_path).load("a.jpg", size) is not None


@pytest.mark.parametrize(("suffix", "how"), [("webp", {}), ("gif", {}), ("jp2", {})])
def test_what_can_only_be_decoded_whole_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, how: Any
) -> None:
    drawn("RGB").save(tmp_path / f"a.{suffix}", **how)
    monkeypatch.setattr(image_pieces, "_crop_bands", None)  # nothing is decoded
    images = ImageFolder(tmp_path, max_bytes=2_000)
    seen = images.inspect(f"a.{suffix}", (HEIGHT, WIDTH))
    assert seen.status == "too_large"
    assert re.fullmatch(
        rf"to decode this \w+ of {WIDTH} x {HEIGHT} px whole takes \d+ kB, over the limit of "
        r"2 kB: set CURATE_PICTURE_MB=\d+ or save it as PNG, which is read in pieces",
        seen.detail,
    )
    assert list(images.bands(f"a.{suffix}", (HEIGHT, WIDTH), pixels=500, margin=2)) == []


def test_a_jpeg_of_separate_scans_keeps_all_of_it_as_a_progressive_one(tmp_path: Path) -> None:
    drawn("RGB").save(tmp_path / "a.jpg", subsampling=0)
    data = (tmp_path / "a.jpg").read_bytes()
    at = data.index(b"\xff\xda")
    one_component = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    (tmp_path / "b.jpg").write_bytes(data[:at] + one_component + data[at + 14 :])
    (tmp_path / "c.jpg").write_bytes(data[:2] + b"\x00junk" + data[2:])
    blocks = -(-HEIGHT // 8) * -(-WIDTH // 8)
    with Image.open(tmp_path / "a.jpg") as image:
        assert bytes_to_decode(tmp_path / "a.jpg", image) == 4 * HEIGHT * WIDTH
        assert bytes_to_decode(tmp_path / "b.jpg", image) == 4 * HEIGHT * WIDTH + 3 * 128 * blocks
        # what is not understood is taken for the worst
        assert bytes_to_decode(tmp_path / "c.jpg", image) > 100 * HEIGHT * WIDTH


def test_a_large_jpeg_is_shown_at_a_smaller_scale(tmp_path: Path) -> None:
    image = drawn("RGB").resize((800, 600))
    image.save(tmp_path / "a.jpg", quality=95)
    images = ImageFolder(tmp_path, max_bytes=1_000_000)
    shown = images.load("a.jpg", (600, 800), box=Box(200, 120, 300, 200), longest=300)
    assert shown.shape == (200, 300, 3)
    want = np.asarray(image, float)[120:320, 200:500]
    assert np.abs(shown - want).mean() < 6
    # every pixel of it is to be had in gray alone
    seen = images.load("a.jpg", (600, 800), box=Box(200, 120, 300, 200))
    assert np.abs(np.diff(seen.astype(int), axis=2)).max() == 0


def test_a_whole_large_picture_is_reduced_as_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix in ("png", "tif", "bmp"):
        drawn("RGB").save(tmp_path / f"a.{suffix}")
    shape = -(-HEIGHT // 2), -(-WIDTH // 2)
    want = np.asarray(drawn("RGB").resize(shape[::-1], Image.Resampling.BOX), float)
    monkeypatch.setattr(image_pieces, "SMALL_PIXELS", 0)
    monkeypatch.setattr(image_pieces, "PIECE_PIXELS", 300)
    monkeypatch.setattr(decode, "_REDUCED_BYTES", 0)
    for suffix in ("png", "tif", "bmp"):
        small = ImageFolder(tmp_path).load(f"a.{suffix}", (HEIGHT, WIDTH), longest=30)
        assert small.shape == (*shape, 3)
        assert np.abs(small - want).mean() < 1


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_the_thumbnail_of_a_large_picture_is_that_of_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    drawn("RGB").save(tmp_path / f"a.{suffix}")
    whole = ImageFolder(tmp_path).inspect(f"a.{suffix}", (HEIGHT, WIDTH))
    for module in (image_pieces, decode):
        monkeypatch.setattr(module, "SMALL_PIXELS", 0)
    monkeypatch.setattr(image_pieces, "PIECE_PIXELS", 300)
    pieced = ImageFolder(tmp_path).inspect(f"a.{suffix}", (HEIGHT, WIDTH))
    assert (pieced.status, pieced.digest) == ("ok", whole.digest)
    assert np.abs(pieced.thumbnail.astype(int) - whole.thumbnail).max() <= 1


def test_a_tiff_in_a_million_pieces_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn("L").save(tmp_path / "a.tif", tiffinfo={278: 1})
    monkeypatch.setattr(image_pieces.tiff_blocks, "MOST_BLOCKS", 50)
    seen = ImageFolder(tmp_path).inspect("a.tif", (HEIGHT, WIDTH))
    assert (seen.status, seen.detail) == (
        "too_large",
        "it is cut into 53 pieces, over the limit of 50: save it in tiles",
    )


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
@pytest.mark.parametrize("packing", ["raw", "tiff_adobe_deflate"])
def test_large_pictures_cut_off_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, packing: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    how = {"compression": packing} if suffix == "tif" else {}
    Image.fromarray(noise).save(path, **how)
    monkeypatch.setattr(image_pieces, "SMALL_PIXELS", 0)
    monkeypatch.setattr(image_pieces, "PIECE_PIXELS", 300)
    path.write_bytes(path.read_bytes()[:7000])
    seen = ImageFolder(tmp_path).inspect(path.name, (HEIGHT, WIDTH))
    assert seen.status in ("truncated", "unreadable")
    assert ImageFolder(tmp_path).load(path.name) is None
