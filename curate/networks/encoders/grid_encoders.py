"""Image encoders that give a grid of features for a picture, whatever its size; kept on disk.

A segmenter sees the whole picture at once, at a high resolution. Other encoders take windows of a
few hundred pixels, in which a small object of a large picture is a fraction of one patch; so the
picture is cut into windows as small as the dataset's objects ask for, up to :data:`MOST_WINDOWS`,
and their grids are joined.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Protocol

import numpy as np
from PIL import Image

from curate.common.arrays import AnyArray, ByteArray, Float32Array
from curate.errors import CallError, SourceError
from curate.networks.encoders.encoder import embedding_of
from curate.networks.encoders.feature_grids import FeatureGrid
from curate.networks.encoders.mask_windows import resize_window
from curate.networks.encoders.pooling import WindowNetwork, arrange
from curate.networks.runtime.devices import Network, check_rgb, refuse_output
from curate.networks.runtime.picture_keys import hash_pixels
from curate.networks.segmenters.embedding_cache import EmbeddingCache
from curate.networks.segmenters.segmenter import Embedding, Frame, Segmenter, deepest_grid

CELLS_OF_OBJECT = 4.0
"""Cells of the grid that the side of a typical object gets, where windows are enough."""

MOST_WINDOWS = 16
"""Windows that a picture is cut into, at most."""

MOST_ENLARGED = 4.0
"""Most that a picture is enlarged for an encoder; more of it shows nothing new."""

MOST_CHANNELS = 8192
"""Numbers of a cell that are taken."""

_LARGEST = 60_000.0
"""Largest feature that is kept: grids are kept in 16 bits."""

HELD_BYTES = 50_000_000
"""Bytes of grids that are held in memory where pictures come one after the other."""


class GridEncoder(Network, Protocol):
    """A model that turns a picture into a grid of features."""

    @property
    def channels(self) -> int:
        """Numbers of each cell."""

    @property
    def limit_bytes(self) -> int:
        """Bytes that all grids may take on disk."""

    def at_scale(self, object_side: float) -> GridEncoder:
        """Return it for pictures with objects of a size: their side as a square, in pixels."""

    def encode_picture(self, picture: ByteArray) -> FeatureGrid:
        """Encode one picture, or find its grid on disk.

        Args:
            picture: Shape (height, width, 3), uint8, RGB.

        Raises:
            SourceError: The network fails, or its answer is not finite.
        """

    def kept_bytes(self, size: tuple[int, int]) -> int:
        """Return the bytes on disk of the grid of a picture of some height and width."""


@dataclass(frozen=True)
class WindowPlan:
    """How a picture is cut into windows.

    Attributes:
        step: Pixels of the picture to a side of a cell.
        rows: Cells downwards.
        columns: Cells to the right.
        tops: First row of each row of windows.
        lefts: First column of each column of windows.
    """

    step: float
    rows: int
    columns: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    @classmethod
    def of(
        cls, size: tuple[int, int], cells: tuple[int, int], smallest: float, object_side: float
    ) -> WindowPlan:
        """Plan the windows of a picture.

        Args:
            size: Its height and width.
            cells: Rows and columns of one window.
            smallest: Least pixels of the picture a cell.
            object_side: Side of the typical object in pixels.

        >>> WindowPlan.of((480, 640), (16, 16), 3.5, 60.0).lefts
        (0, 14, 27)
        """
        whole = max(side / count for side, count in zip(size, cells, strict=True))
        step = min(max(object_side / CELLS_OF_OBJECT, smallest), whole)
        while np.prod(_windows(size, cells, step)) > MOST_WINDOWS:
            step = min(step * 1.02, whole)
        down, across = _windows(size, cells, step)
        # The same windows filled: a finer grid for the same work.
        fine = max(size[0] / (down * cells[0]), size[1] / (across * cells[1]))
        step = max(min(step, fine), min(step, smallest))
        rows, columns = (max(1, int(np.ceil(side / step - 1e-6))) for side in size)
        return cls(step, rows, columns, _starts(rows, cells[0]), _starts(columns, cells[1]))


def _windows(size: tuple[int, int], cells: tuple[int, int], step: float) -> tuple[int, int]:
    """Return how many windows are needed downwards, and to the right."""
    down, across = (
        max(1, int(np.ceil(side / (step * count) - 1e-6)))
        for side, count in zip(size, cells, strict=True)
    )
    return down, across


def _starts(count: int, cells: int) -> tuple[int, ...]:
    """Return the first cells of windows that cover some cells, at equal distances."""
    windows = -(-count // cells)
    if windows == 1:
        return (0,)
    return tuple(round(k * (count - cells) / (windows - 1)) for k in range(windows))


@dataclass(frozen=True)
class TileEncoder:
    """An encoder of small pictures, run on windows of a picture.

    Attributes:
        network: The model.
        cache: Where grids are kept.
        cells: Rows and columns of its grid for one window.
        channels: Numbers of each cell.
        object_side: Side of the typical object in pixels of pictures; 0 for the finest grid.
    """

    network: WindowNetwork
    cache: EmbeddingCache
    cells: tuple[int, int]
    channels: int
    object_side: float = 0.0

    @classmethod
    def of(cls, network: WindowNetwork, cache: EmbeddingCache) -> TileEncoder:
        """Ask a network for the grid of a black window, to know its form.

        Raises:
            SourceError: It gives no grid.
        """
        black = np.zeros((1, *network.size, 3), np.uint8)
        answer = _arrange(network, black)
        if answer.ndim != 4 or min(answer.shape[2:]) < 2:
            what = f"its answer for a picture is of shape {answer.shape[1:]}, no grid of features"
            do = "give an encoder with patches or a feature map, as ViT, DINOv2 or ConvNeXT"
            raise SourceError(what, network.name, do)
        if answer.shape[1] > MOST_CHANNELS:
            what = f"it has {answer.shape[1]:,} features a place, over {MOST_CHANNELS:,}"
            raise SourceError(what, network.name, "give a smaller encoder")
        rows, columns = answer.shape[2:]
        return cls(network, cache, (rows, columns), answer.shape[1])

    @property
    def name(self) -> str:
        """Name given by the user."""
        return self.network.name

    @property
    def fingerprint(self) -> str:
        """Hash of the model's weights and settings."""
        return self.network.fingerprint

    @property
    def device(self) -> str:
        """torch's name of the device."""
        return self.network.device

    @property
    def precision(self) -> str:
        """Type that it computes in."""
        return self.network.precision

    @property
    def limit_bytes(self) -> int:
        """Bytes that all grids may take on disk."""
        return self.cache.limit_bytes

    def at_scale(self, object_side: float) -> TileEncoder:
        """Return it for objects of a size; see :meth:`GridEncoder.at_scale`."""
        return replace(self, object_side=object_side)

    def encode_picture(self, picture: ByteArray) -> FeatureGrid:
        """Encode one picture; see :meth:`GridEncoder.encode_picture`."""
        check_rgb(picture, self.name)
        (found,) = self.cache.embed(_Tiles(self), [picture])
        values: AnyArray = found.parts[0]
        size = (picture.shape[0], picture.shape[1])
        step = self.plan(size).step
        return FeatureGrid(values, (step, step), size)

    def kept_bytes(self, size: tuple[int, int]) -> int:
        """Return the bytes of a picture's grid on disk; see :meth:`GridEncoder.kept_bytes`."""
        plan = self.plan(size)
        return 1000 + 2 * self.channels * plan.rows * plan.columns

    def plan(self, size: tuple[int, int]) -> WindowPlan:
        """Return how a picture of some height and width is cut into windows."""
        of_cell = max(
            side / count for side, count in zip(self.network.size, self.cells, strict=True)
        )
        return WindowPlan.of(size, self.cells, of_cell / MOST_ENLARGED, self.object_side)

    def see(self, picture: ByteArray) -> AnyArray:
        """Run the network on a picture's windows.

        Returns:
            The mean of the grids that overlap, shape (channels, rows, columns), float16.
        """
        plan = self.plan((picture.shape[0], picture.shape[1]))
        drawn, (high, wide) = Image.fromarray(picture), self.cells
        corners = [(top, left) for top in plan.tops for left in plan.lefts]

        def run(some: Sequence[tuple[int, int]]) -> Float32Array:
            sides = (wide * plan.step, high * plan.step)
            windows = [
                resize_window(drawn, (left * plan.step, top * plan.step), sides, self.network.size)
                for top, left in some
            ]
            found = _arrange(self.network, np.stack(windows))
            if found.shape[1:] != (self.channels, high, wide):
                refuse_output(self.name, f"its answer is of shape {found.shape}")
            return found

        grids = np.concatenate(self.network.batches.run(run, corners))
        if not np.isfinite(grids).all():
            refuse_output(self.name, "its answer for a picture is not finite (NaN or infinite)")
        # A picture that is lower than a window has cells beyond it, which are cut off.
        rows, columns = plan.tops[-1] + high, plan.lefts[-1] + wide
        total = np.zeros((self.channels, rows, columns), np.float32)
        times = np.zeros((rows, columns), np.float32)
        for (top, left), grid in zip(corners, grids, strict=True):
            total[:, top : top + high, left : left + wide] += grid
            times[top : top + high, left : left + wide] += 1
        mean = (total / times)[:, : plan.rows, : plan.columns]
        return np.asarray(np.clip(mean, -_LARGEST, _LARGEST), np.float16)


def _arrange(network: WindowNetwork, pixels: ByteArray) -> Float32Array:
    """Return the answer for some windows; its last two axes are a grid, where it has one."""
    n = len(pixels)
    found = arrange(network.see(pixels), n, network.size, network.patch, network.name)
    side = int(np.sqrt(found.shape[1]))
    if found.ndim == 3 and side**2 == found.shape[1]:
        # Networks that join patches on the way (Swin) have a coarser grid than their first one.
        found = found.transpose(0, 2, 1).reshape(n, -1, side, side)
    return np.asarray(found, np.float32)


@dataclass(frozen=True)
class _Tiles:
    """A tile encoder as the cache asks it: the grid of a picture is its embedding."""

    encoder: TileEncoder

    @property
    def fingerprint(self) -> str:
        about = f"{self.encoder.fingerprint} grid-1 {self.encoder.object_side}"
        return hashlib.sha256(about.encode()).hexdigest()

    @property
    def precision(self) -> str:
        return self.encoder.precision

    def embed(self, images: Sequence[ByteArray]) -> list[Embedding]:
        return [embedding_of(image, self.encoder.see(image)) for image in images]

    def pack(self, embedding: Embedding) -> dict[str, AnyArray]:
        return {"grid": embedding.parts[0]}

    def unpack(self, arrays: dict[str, AnyArray], frame: Frame) -> Embedding:
        grid = arrays.get("grid")
        plan = self.encoder.plan((frame.height, frame.width))
        if grid is None or grid.shape != (self.encoder.channels, plan.rows, plan.columns):
            raise CallError("no grid of this encoder", "the cache of embeddings", "drop it")
        return Embedding(frame, (grid,))


@dataclass(frozen=True)
class SegmenterEncoder:
    """The encoder of a segmenter, by its embeddings; they are those that audits keep.

    Attributes:
        segmenter: The model.
        cache: Where embeddings are kept.
        channels: Numbers of each cell.
        embedding_bytes: Bytes of one embedding.
    """

    segmenter: Segmenter
    cache: EmbeddingCache
    channels: int
    embedding_bytes: int

    @classmethod
    def of(cls, segmenter: Segmenter, cache: EmbeddingCache) -> SegmenterEncoder:
        """Embed a black picture, to know the form of embeddings.

        Raises:
            SourceError: They hold no grid.
        """
        (found,) = segmenter.embed([np.zeros((16, 16, 3), np.uint8)])
        parts = list(segmenter.pack(found).values())
        grid = deepest_grid(parts)
        if grid is None:
            do = "give another segmenter, or an encoder as ViT or DINOv2"
            raise SourceError("its embeddings hold no grid of features", segmenter.name, do)
        return cls(segmenter, cache, len(grid), 1000 + sum(part.nbytes for part in parts))

    @property
    def name(self) -> str:
        """Name given by the user."""
        return self.segmenter.name

    @property
    def fingerprint(self) -> str:
        """Hash of the model's weights and settings."""
        return self.segmenter.fingerprint

    @property
    def device(self) -> str:
        """torch's name of the device."""
        return self.segmenter.device

    @property
    def precision(self) -> str:
        """Type that it computes in."""
        return self.segmenter.precision

    @property
    def limit_bytes(self) -> int:
        """Bytes that all embeddings may take on disk."""
        return self.cache.limit_bytes

    def at_scale(self, object_side: float) -> SegmenterEncoder:
        """Return it as it is: a segmenter sees the whole picture."""
        del object_side
        return self

    def encode_picture(self, picture: ByteArray) -> FeatureGrid:
        """Encode one picture; see :meth:`GridEncoder.encode_picture`."""
        (found,) = self.cache.embed(self.segmenter, [picture])
        values = deepest_grid(self.segmenter.pack(found).values())
        if values is None or len(values) != self.channels or not np.isfinite(values).all():
            refuse_output(self.name, "its embedding of a picture is not finite, or of another form")
        frame, cells = found.frame, values.shape[1]
        down = frame.side / cells * frame.height / frame.resized_height
        across = frame.side / cells * frame.width / frame.resized_width
        return FeatureGrid(values, (down, across), (frame.height, frame.width))

    def kept_bytes(self, size: tuple[int, int]) -> int:
        """Return the bytes of an embedding on disk; see :meth:`GridEncoder.kept_bytes`."""
        del size
        return self.embedding_bytes


@dataclass(frozen=True)
class PictureGrids:
    """Grids of pictures, the last ones used held in memory; may be asked by several threads.

    Attributes:
        encoder: The model.
        held_bytes: Bytes that are held at most.
    """

    encoder: GridEncoder
    held_bytes: int = HELD_BYTES
    _held: OrderedDict[str, FeatureGrid] = field(default_factory=OrderedDict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def of(self, picture: ByteArray) -> FeatureGrid:
        """Return the grid of a picture, shape (height, width, 3), uint8, RGB.

        Raises:
            SourceError: See :meth:`GridEncoder.encode_picture`.
        """
        key = hash_pixels(picture)
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
                return found
        kept = self.encoder.encode_picture(picture)  # several threads read from disk at once
        # In 32 bits: a grid is sampled for many masks, and each time it would be converted.
        found = replace(kept, values=np.asarray(kept.values, np.float32))
        with self._lock:
            self._held[key] = found
            held = sum(one.values.nbytes for one in self._held.values())
            while held > self.held_bytes and len(self._held) > 1:
                held -= self._held.popitem(last=False)[1].values.nbytes
        return found
