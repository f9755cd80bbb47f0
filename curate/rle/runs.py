"""Run-length masks in flat arrays, and how their kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numba
import numpy as np

from curate.common.arrays import AnyArray, Int32Array, IntArray
from curate.rle.compile_once import compile_once

F = TypeVar("F", bound=Callable[..., Any])

MAX_PIXELS = 2**31 - 1
"""Largest image in pixels: positions are kept as 32-bit integers."""


def kernel(function: F) -> F:
    """Compile ``function`` with numba, cached on disk and releasing the interpreter lock."""
    return cast(F, compile_once(numba.njit(cache=True, nogil=True)(function)))


def inner_kernel(function: F) -> F:
    """Compile ``function`` like :func:`kernel`, and into every kernel that calls it.

    For small functions called often: handing over an array costs more than a few of its values.
    """
    return cast(F, compile_once(numba.njit(cache=True, nogil=True, forceinline=True)(function)))


def reassociating_kernel(function: F) -> F:
    """Compile ``function`` like :func:`kernel`, its sums of floats in any order, so in parallel."""
    made = numba.njit(cache=True, nogil=True, fastmath={"reassoc"})(function)
    return cast(F, compile_once(made))


@kernel
def doubled(rows: IntArray) -> IntArray:
    """Return an array of shape (2n, k) that begins with the ``n`` rows; the others are not set.

    By a loop: an assignment to a slice takes numba five seconds to compile, for the error of
    shapes that do not fit.
    """
    larger = np.empty((2 * len(rows), rows.shape[1]), np.int64)
    for i in range(len(rows)):
        for k in range(rows.shape[1]):
            larger[i, k] = rows[i, k]
    return larger


@dataclass(frozen=True)
class Runs:
    """The foreground runs of ``n`` masks, column-major.

    Attributes:
        offsets: Shape (n + 1,); runs of mask ``i`` are ``offsets[i]:offsets[i + 1]``.
        starts: First position of each run, inclusive.
        ends: Last position of each run, exclusive.
        heights: Shape (n,); image height in pixels.
        widths: Shape (n,); image width in pixels.
    """

    offsets: IntArray
    starts: Int32Array
    ends: Int32Array
    heights: Int32Array
    widths: Int32Array

    def __len__(self) -> int:
        return len(self.heights)

    def __getitem__(self, selector: slice | AnyArray) -> Runs:
        """Return the masks at ``selector``: a slice, an index array or a boolean mask."""
        rows = np.arange(len(self))[selector]
        lengths = np.diff(self.offsets)[rows]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        take = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Runs(
            offsets, self.starts[take], self.ends[take], self.heights[rows], self.widths[rows]
        )


def concat(batches: Sequence[Runs]) -> Runs:
    """Put the masks of several batches behind each other.

    Args:
        batches: Masks; none at all give none.

    Returns:
        All masks, in the order of the batches.

    Example:
        >>> from curate.rle import from_dense
        >>> len(concat([from_dense(np.eye(2)), from_dense(np.eye(3))]))
        2
    """
    if not batches:
        empty = np.zeros(0, np.int32)
        return Runs(np.zeros(1, np.int64), empty, empty, empty, empty)
    lengths = np.concatenate([np.diff(b.offsets) for b in batches])
    return Runs(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([b.starts for b in batches]),
        np.concatenate([b.ends for b in batches]),
        np.concatenate([b.heights for b in batches]),
        np.concatenate([b.widths for b in batches]),
    )


@inner_kernel
def first_ending_after(ends: Int32Array, low: int, high: int, position: int) -> int:
    """Return the first run in [low, high) whose end is over ``position``; ``high`` if none is.

    Binary search; the ends of a mask's runs ascend.
    """
    while low < high:
        middle = (low + high) >> 1
        if ends[middle] > position:
            high = middle
        else:
            low = middle + 1
    return low
