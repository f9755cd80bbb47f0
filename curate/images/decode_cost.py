"""Memory that Pillow takes to decode a picture whole, told by its header."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from curate.images import tiff_blocks
from curate.images.limits import TooMuchMemory

if TYPE_CHECKING:
    from PIL import ImageFile

_ONE_BYTE = ("1", "L", "P")
_MANY_SCANS = (0xC2, 0xC6, 0xCA, 0xCE)  # frames of progressive JPEG
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_WEBP = 16.1  # bytes a pixel, measured: four pictures of RGBA
_JPEG_2000 = 5.5  # bytes a sample, measured
_JPEG_2000_BLOCK = 420  # bytes a code block, measured
_HEAD = 1 << 16


class TooMuch(TooMuchMemory):
    """Decoding a picture takes more memory than it may: its kind can only be decoded whole.

    Args:
        image: It, opened.
        size: Its width and height in pixels; those of ``image`` may be reduced by a draft.
        needed: In bytes.
        most: The limit, in bytes.
    """

    def __init__(
        self, image: ImageFile.ImageFile, size: tuple[int, int], needed: int, most: int
    ) -> None:
        kind = "progressive JPEG" if image.info.get("progressive") else str(image.format)
        what = f"to decode this {kind} of {size[0]} x {size[1]} px whole"
        if image.format == "TIFF":
            super().__init__(what, needed, most, "save it in strips of some rows, or in tiles")
        else:
            super().__init__(what, needed, most, "save it as PNG, which is read in pieces")


def bytes_to_decode(path: Path, image: ImageFile.ImageFile, mode: str = "", scale: int = 1) -> int:
    """Return about how many bytes Pillow takes to decode a picture whole.

    Args:
        path: The file.
        image: It, opened and not decoded; what its ``draft`` set up counts.
        mode: In which mode it is decoded; the picture's own if empty.
        scale: By how much it is reduced in height and width, for a JPEG.
    """
    mode = mode or image.mode
    pixels = -(-image.width // scale) * -(-image.height // scale)
    sample = 1 if mode in _ONE_BYTE else 2 if mode.startswith("I;16") else 4
    own = sample * pixels
    if image.format == "WEBP":
        return int(_WEBP * pixels)
    if image.format == "JPEG2000":
        return own + _jpeg_2000(path, len(image.getbands()), pixels)
    if image.format in ("JPEG", "MPO"):
        return own + _kept_coefficients(path, image)
    if image.format == "TIFF":
        turned = 1 if image.getexif().get(0x0112, 1) in (None, 1) else 2
        blocks = tiff_blocks.read_blocks(path)
        return turned * own + (2 * own if blocks is None else blocks.block_bytes)
    in_python = any(one[0] not in ("raw", "zip", "gif", "tga_rle") for one in image.tile)
    return 3 * own if in_python else own


def _kept_coefficients(path: Path, image: ImageFile.ImageFile) -> int:
    """Return the bytes that a JPEG keeps until its last scan; 0 if one scan has everything."""
    try:
        with path.open("rb") as file:
            found = _of_frame(file)
    except OSError:
        found = None
    if found is not None:
        return found
    # What is not understood here may be understood there: the worst is assumed.
    return 64 * 8 * image.width * image.height


def _of_frame(file: BinaryIO) -> int | None:
    file.seek(2)
    coefficients, components, many = 0, 0, False
    while True:
        head = file.read(2)
        if head == b"\xff\xff":  # a filler
            file.seek(-1, 1)
            continue
        size = int.from_bytes(file.read(2), "big") - 2
        if len(head) < 2 or head[0] != 0xFF or size < 0:
            return None
        body = file.read(size)
        if head[1] in _FRAMES and len(body) >= 6:
            many = many or head[1] in _MANY_SCANS
            components = body[5]
            coefficients = _coefficients(body)
        elif head[1] == 0xDA:
            return coefficients if many or (body[:1] or b"\0")[0] < components else 0


def _coefficients(frame: bytes) -> int:
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    factors = [(one >> 4 or 1, one & 15 or 1) for one in frame[7 : 6 + 3 * frame[5] : 3]]
    across, down = (max((one[k] for one in factors), default=1) for k in range(2))
    blocks = 0
    for x, y in factors:
        blocks += -(-width * x // (8 * across)) * -(-height * y // (8 * down))
    return 128 * blocks


def _jpeg_2000(path: Path, samples: int, pixels: int) -> int:
    """Return the bytes of a tile: its samples, and the decoder's state of each code block."""
    with path.open("rb") as file:
        data = file.read(_HEAD)
    at = data.find(b"\xff\x4f\xff\x51")
    size, block = pixels, 64 * 64
    if at < 0:
        return int(pixels * (_JPEG_2000 * samples + _JPEG_2000_BLOCK / 16))
    tile = data[at + 4 + 2 + 2 + 16 : at + 4 + 2 + 2 + 24]
    if len(tile) == 8:
        side = int.from_bytes(tile[:4], "big"), int.from_bytes(tile[4:], "big")
        size = min(pixels, side[0] * side[1])
    at += 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in (0x90, 0x93, 0xD9):
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        where = {0x52: at + 10, 0x53: at + 7 + (samples > 256)}.get(data[at + 1])
        if where is not None and where + 2 <= len(data):
            block = min(block, 1 << (data[where] & 15) + 2 + (data[where + 1] & 15) + 2)
        at += 2 + max(2, length)
    return int(size * samples * (_JPEG_2000 + _JPEG_2000_BLOCK / block))
