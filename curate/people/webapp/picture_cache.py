"""Cache of rendered views of pictures, with prefetching."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from curate.common.arrays import ByteArray
from curate.images import Box, ImageFolder, ValueRange
from curate.people.webapp.picture_tiles import Tile, choose_together, span
from curate.render.crops import KEPT_PIXELS, brighten, sample_brightening, shrink

VIEWS = {"card": 1024, "near": 2048, "whole": 2048, "map": 264}
"""Longest side of each view, in pixels."""

ENCODED_BYTES = 32_000_000
"""What rendered views may take."""

DECODED_BYTES = 40_000_000
"""What decoded pictures may take, the one in use apart."""

MAX_PIXELS = 80_000_000
"""Larger pictures are not decoded whole for a segmenter: one takes three bytes a pixel."""

MAX_DECODE_BYTES = 150_000_000
"""Most memory that decoding a picture takes to show a piece of it."""

_SMALL_PIXELS = 8_000_000  # larger pictures are decoded one at a time
_MAX_TABLES = 64

Levels = tuple[float, float] | None
_PictureKey = tuple[str, tuple[int, int], Levels]

RENDER_THREADS = 2
JPEG_QUALITY = 85


@dataclass(frozen=True)
class ViewRequest:
    """A view of a picture to render.

    Attributes:
        file_name: As in the dataset.
        size: Height and width of the masks' canvas.
        box: The window; the whole image if None.
        longest: Longest side of the result, in pixels.
        levels: Values of a picture of over 8 bit that become black and white; None for those that
            are chosen by its own values. Other pictures are the same with any.
        tile: Which tile of the picture it is; None for other views.
    """

    file_name: str
    size: tuple[int, int]
    box: Box | None
    longest: int
    levels: Levels = None
    tile: Tile | None = None


class ViewCache:
    """Renders views of a folder of pictures.

    Nothing outside the folder is ever opened. Of a large picture no more is decoded than is shown,
    and what does not fit into memory is refused by its header.

    Args:
        folder: Where the file names of the dataset are looked up; None where there are no pictures.
    """

    def __init__(self, folder: ImageFolder | None) -> None:
        self._folder = folder
        self._made: OrderedDict[ViewRequest, bytes | str] = OrderedDict()
        self._making: dict[ViewRequest, Future[bytes | str]] = {}
        self._decoded: OrderedDict[_PictureKey, ByteArray] = OrderedDict()
        self._decoding: dict[_PictureKey, threading.Lock] = {}
        self._ranges: OrderedDict[tuple[str, tuple[int, int]], ValueRange | None] = OrderedDict()
        self._tables: OrderedDict[tuple[str, tuple[int, int]], ByteArray | None] = OrderedDict()
        self._lock = threading.Lock()
        self._large = threading.Lock()
        self._tiling = threading.Lock()
        self._pool = ThreadPoolExecutor(RENDER_THREADS, "pictures")
        # Somebody looks at a tile's place now: it does not wait for the cards of later masks.
        self._tile_pool = ThreadPoolExecutor(1, "tiles")

    def __bool__(self) -> bool:
        return self._folder is not None

    def close(self) -> None:
        """Stop rendering."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._tile_pool.shutdown(wait=False, cancel_futures=True)

    def ask(self, view: ViewRequest) -> Future[bytes | str]:
        """Return a view as JPEG, once it is rendered; where it cannot be, why, as a clause."""
        with self._lock:
            if view in self._made:
                self._made.move_to_end(view)
                ready: Future[bytes | str] = Future()
                ready.set_result(self._made[view])
                return ready
            if view not in self._making:
                pool = self._pool if view.tile is None else self._tile_pool
                self._making[view] = pool.submit(self._render, view)
            return self._making[view]

    def value_range(self, file_name: str, size: tuple[int, int]) -> ValueRange | None:
        """Return the values of a picture of over 8 bit, None for others."""
        key = file_name, size
        with self._lock:
            if key in self._ranges:
                return self._ranges[key]
        small = size[0] * size[1] <= _SMALL_PIXELS
        with nullcontext() if small else self._large:
            found = None if self._folder is None else self._folder.value_range(*key)
        with self._lock:
            self._ranges[key] = found
            while len(self._ranges) > _MAX_TABLES:
                self._ranges.popitem(last=False)
        return found

    def pixels(
        self, file_name: str, size: tuple[int, int], levels: Levels = None
    ) -> ByteArray | str:
        """Return a decoded picture in RGB, upright; where it cannot be had, why, as a clause.

        One of more than :data:`MAX_PIXELS` cannot.
        """
        if self._folder is None:
            return "no pictures were given"
        if size[0] * size[1] > MAX_PIXELS:
            return (
                f"it has over {MAX_PIXELS:,} pixels: masks on it cannot be redrawn by a segmenter"
            )
        key = (file_name, size, levels)
        with self._lock:
            if key in self._decoded:
                self._decoded.move_to_end(key)
                return self._decoded[key]
            busy = self._decoding.setdefault(key, threading.Lock())
        with busy:  # whoever comes second finds it decoded
            with self._lock:
                if key in self._decoded:
                    return self._decoded[key]
            pixels = self._decode(file_name, size, levels)
            with self._lock:
                self._decoding.pop(key, None)
                if not isinstance(pixels, str):
                    self._decoded[key] = pixels
                    _evict(self._decoded, DECODED_BYTES, lambda p: p.nbytes)
        return pixels

    def _decode(self, file_name: str, size: tuple[int, int], levels: Levels) -> ByteArray | str:
        assert self._folder is not None
        small = size[0] * size[1] <= _SMALL_PIXELS
        with nullcontext() if small else self._large:  # one at a time, or memory would not do
            found = self._folder.load_or_why(file_name, size, levels=levels)
            # What a person chose is not made brighter.
            return found if isinstance(found, str) or levels is not None else brighten(found)

    def _piece(self, view: ViewRequest, box: Box) -> ByteArray | str:
        """Return a window of a picture as displayed, decoding no more than needed."""
        levels = view.levels
        if levels is not None and self.value_range(view.file_name, view.size) is None:
            levels = None
        if view.size[0] * view.size[1] <= KEPT_PIXELS:
            pixels = self.pixels(view.file_name, view.size, levels)
            if isinstance(pixels, str):
                return pixels
            return pixels[box.y : box.y + box.h, box.x : box.x + box.w]
        if self._folder is None:
            return "no pictures were given"
        key = view.file_name, view.size
        with self._large:
            if levels is None and key not in self._tables:
                self._tables[key] = sample_brightening(self._folder, *key)
                while len(self._tables) > _MAX_TABLES:
                    self._tables.popitem(last=False)
            table = None if levels is not None else self._tables[key]
            piece = self._folder.load_or_why(*key, box=box, longest=view.longest, levels=levels)
        return piece if isinstance(piece, str) or table is None else table[piece]

    def _render(self, view: ViewRequest) -> bytes | str:
        packed: bytes | str
        try:
            large = view.size[0] * view.size[1] > KEPT_PIXELS
            packed = (
                self._render_tiles(view, view.tile)
                if large and view.tile is not None
                else self._encode(view)
            )
        except Exception:  # whatever a picture makes of its decoder: there is none
            packed = "it cannot be read"
        with self._lock:
            self._making.pop(view, None)
            self._keep(view, packed)
        return packed

    def _keep(self, view: ViewRequest, packed: bytes | str) -> None:
        self._made[view] = packed
        _evict(self._made, ENCODED_BYTES, lambda p: 100 + len(p))

    def _render_tiles(self, view: ViewRequest, tile: Tile) -> bytes | str:
        """Render a tile, and those beside it that are asked for: one decoding serves them all."""
        with self._tiling:
            with self._lock:
                if view in self._made:  # with the one before it
                    return self._made[view]
                same = {
                    v.tile: v
                    for v in self._making
                    if v.tile is not None
                    and (v.file_name, v.size, v.levels) == (view.file_name, view.size, view.levels)
                    and v not in self._made
                }
            views = [same[one] for one in choose_together(tile, same) if one in same] or [view]
            around = span([v.box for v in views if v.box is not None])
            scale = 1 << tile.level
            longest = -(-around.longest // scale)
            piece = self._piece(replace(view, box=around, longest=longest), around)
            if isinstance(piece, str):
                return piece
            shape = -(-around.w // scale), -(-around.h // scale)
            image = Image.fromarray(np.ascontiguousarray(piece))
            if image.size != shape:
                image = image.resize(shape, Image.Resampling.BOX, reducing_gap=2)
            for one in views:
                packed = _pack_jpeg(image.crop(_place(one, around, scale)))
                with self._lock:
                    self._keep(one, packed)
            with self._lock:
                return self._made[view]

    def _encode(self, view: ViewRequest) -> bytes | str:
        """Return a view as a JPEG; where the picture cannot be read, why, as a clause."""
        box = view.box or Box(0, 0, view.size[1], view.size[0])
        piece = self._piece(view, box)
        if isinstance(piece, str):
            return piece
        if not piece.size:
            return "nothing of it is in the window"
        return _pack_jpeg(shrink(Image.fromarray(np.ascontiguousarray(piece)), view.longest))


def _pack_jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    # WebP would be a tenth smaller and take ten times as long; see reports/review.
    image.save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()


def _place(view: ViewRequest, around: Box, scale: int) -> tuple[int, int, int, int]:
    """Return where a tile lies in a reduced piece: left, top, right and bottom."""
    box = view.box or around
    left, top = (box.x - around.x) // scale, (box.y - around.y) // scale
    return left, top, left - (-box.w // scale), top - (-box.h // scale)


def _evict(kept: OrderedDict[Any, Any], most: int, size: Callable[[Any], int]) -> None:
    """Drop the least recently used but the last until the rest fits."""
    taken = sum(map(size, kept.values()))
    while taken > most and len(kept) > 1:
        taken -= size(kept.popitem(last=False)[1])
