"""PNGs of masks and ids, packed."""

from __future__ import annotations

import io
import zlib
from typing import Any

from PIL import Image

from curate.common.arrays import AnyArray


def pack_png(
    pixels: AnyArray, palette: bytes | None = None, transparent: int | None = None
) -> bytes:
    """Return pixels as a PNG.

    Masks are runs of equal values, so zlib looks for nothing else: half the time, and no larger.

    Args:
        pixels: Shape (height, width), 8 or 16 bits; or (height, width, channels).
        palette: Up to 256 colours, for pixels that are their numbers; three bytes each.
        transparent: The colour of the palette that is transparent; None for none.
    """
    made: Any = Image.fromarray(pixels)
    if palette is not None:
        made.putpalette(palette)
    packed = io.BytesIO()
    made.save(packed, "PNG", compress_type=zlib.Z_RLE, transparency=transparent)
    return packed.getvalue()
