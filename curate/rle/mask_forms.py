"""Conversion of COCO's RLE dictionaries and NumPy masks into runs, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict, cast

import numpy as np

from curate.common.arrays import AnyArray, BoolArray
from curate.rle.codec import PROBLEMS, TOO_LONG, TOO_SHORT, decode_counts, encode_counts
from curate.rle.pixels import from_dense, to_dense
from curate.rle.runs import MAX_PIXELS, Runs, concat

Mask: TypeAlias = Mapping[str, object] | AnyArray
"""One mask: an RLE dictionary, or a 2-D array."""

Masks: TypeAlias = Runs | Mask | Sequence[Mask]
"""Whatever :func:`as_runs` takes."""


class CocoRle(TypedDict):
    """A mask as COCO's files hold it: ``size`` is [height, width], ``counts`` compressed text."""

    size: list[int]
    counts: str


def as_runs(masks: Masks) -> Runs:
    """Return masks of any form as runs; every function of ``curate.rle`` calls this first.

    Forms of masks are

    - :class:`Runs`, returned as they are,
    - an RLE dictionary of COCO's, ``size`` [height, width] and ``counts``: compressed (str or
      bytes), or a list of run lengths that begins with background,
    - an array of shape (height, width), or of shape (n, height, width) for n masks; any type,
      non-zero is foreground,
    - a sequence of such dictionaries and 2-D arrays; their sizes may differ.

    Args:
        masks: One of these.

    Returns:
        n masks. Nothing is expanded into pixels; a mask without a pixel has no runs.

    Raises:
        ValueError: An RLE is broken, or an array has another number of dimensions; the message has
            the position of the mask.
        TypeError: It is none of these forms.

    Example:
        >>> masks = as_runs([{"size": [2, 3], "counts": [1, 2, 3]}, np.ones((4, 4), bool)])
        >>> len(masks), masks.heights.tolist()
        (2, [2, 4])
    """
    if isinstance(masks, Runs):
        return masks
    if isinstance(masks, Mapping):
        return _read([masks])
    if isinstance(masks, np.ndarray):
        if masks.ndim == 2:
            return from_dense(masks)
        if masks.ndim != 3:
            raise ValueError(f"an array of {masks.ndim} dimensions is no mask: give 2 or 3")
        return concat([from_dense(mask) for mask in masks])
    if isinstance(masks, Sequence) and not isinstance(masks, str | bytes):
        return _read(masks)
    raise TypeError(f"masks are Runs, RLE dictionaries or arrays, not {type(masks).__name__}")


def _read(masks: Sequence[Mask]) -> Runs:
    """Read masks of mixed forms; the compressed ones, mostly all, in one call of the codec."""
    compressed: list[int] = []
    others: list[int] = []
    drawn: list[Runs] = []
    for k, mask in enumerate(masks):
        if isinstance(mask, Mapping) and isinstance(mask.get("counts"), str | bytes):
            compressed.append(k)
            continue
        others.append(k)
        if isinstance(mask, Mapping):
            drawn.append(_from_run_lengths(mask, k))
        elif isinstance(mask, np.ndarray) and mask.ndim == 2:
            drawn.append(from_dense(mask))
        else:
            kind = f"{mask.ndim}-D array" if isinstance(mask, np.ndarray) else type(mask).__name__
            raise TypeError(f"mask {k}: it is an RLE dictionary or a 2-D array, not a {kind}")
    batches = [_from_compressed([masks[k] for k in compressed], compressed), *drawn]
    place = np.argsort([*compressed, *others], kind="stable").astype(np.int64)
    return concat(batches)[place]


def _from_compressed(masks: Sequence[Any], places: Sequence[int]) -> Runs:
    sizes = [_size(mask, k) for mask, k in zip(masks, places, strict=True)]
    counts = [
        text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
        for text in (mask["counts"] for mask in masks)
    ]
    runs, codes = decode_counts(counts, [h for h, _ in sizes], [w for _, w in sizes])
    if codes.any():
        first = int(np.flatnonzero(codes)[0])
        raise ValueError(f"mask {places[first]}: {PROBLEMS[codes[first]]}")
    return runs


def _size(mask: Mapping[str, object], place: int) -> tuple[int, int]:
    size = mask.get("size")
    try:
        height, width = (int(side) for side in cast(Iterable[Any], size or ()))
    except (TypeError, ValueError):
        raise ValueError(f"mask {place}: its size is [height, width], not {size!r}") from None
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"mask {place}: an image of {height} x {width} pixels is not usable")
    return height, width


def _from_run_lengths(mask: Mapping[str, object], place: int) -> Runs:
    height, width = _size(mask, place)
    lengths = np.asarray(mask.get("counts", "none"))
    if lengths.ndim != 1 or not (lengths.dtype.kind in "iu" or lengths.size == 0):
        raise ValueError(f"mask {place}: counts are text, bytes or a list of whole numbers")
    if (lengths < 0).any():
        raise ValueError(f"mask {place}: a run length is negative")
    edges = np.cumsum(np.minimum(lengths, MAX_PIXELS).astype(np.int64))
    total = int(edges[-1]) if len(edges) else 0
    if total != height * width:
        problem = PROBLEMS[TOO_LONG if total > height * width else TOO_SHORT]
        raise ValueError(f"mask {place}: {problem}")
    ends = edges[1::2]
    starts = edges[::2][: len(ends)]
    some = ends > starts
    starts, ends = starts[some], ends[some]
    apart = starts[1:] > ends[:-1]  # runs with no background between them are one
    first, last = np.append(True, apart)[: len(starts)], np.append(apart, True)[-len(starts) :]
    starts, ends = starts[first], ends[last[: len(ends)]]
    return Runs(
        np.array([0, len(starts)], np.int64),
        starts.astype(np.int32),
        ends.astype(np.int32),
        np.array([height], np.int32),
        np.array([width], np.int32),
    )


def encode(masks: Masks) -> list[CocoRle]:
    """Write masks as COCO's compressed RLE, byte for byte as pycocotools does.

    Args:
        masks: n masks in any form of :func:`as_runs`.

    Returns:
        n dictionaries; their counts are text, so that they go into JSON as they are. A mask without
        a pixel has one run of background.

    Raises:
        ValueError: See :func:`as_runs`.

    Source: the format of pycocotools 2 (``common/maskApi.c``, ``rleToString``).

    Example:
        >>> encode(np.eye(3, dtype=bool))
        [{'size': [3, 3], 'counts': '013000'}]
    """
    runs = as_runs(masks)
    texts = encode_counts(runs).to_pylist()
    sizes = zip(runs.heights.tolist(), runs.widths.tolist(), strict=True)
    return [
        {"size": [height, width], "counts": bytes(text or b"").decode("ascii")}
        for (height, width), text in zip(sizes, texts, strict=True)
    ]


def decode(masks: Masks) -> list[BoolArray]:
    """Draw masks as pixels.

    Args:
        masks: n masks in any form of :func:`as_runs`.

    Returns:
        n boolean arrays of shape (height, width), each of the size of its image. All False for a
        mask without a pixel. To draw only a part of an image use :func:`to_dense`.

    Raises:
        ValueError: See :func:`as_runs`.

    Example:
        >>> decode({"size": [2, 2], "counts": "112"})[0].astype(int).tolist()
        [[0, 0], [1, 0]]
    """
    runs = as_runs(masks)
    return [to_dense(runs, k) for k in range(len(runs))]
