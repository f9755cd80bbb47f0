"""Conversion between CVAT's masks (row-major runs in a box) and COCO's (column-major runs).

Large boxes are not drawn: their runs are split into rectangles and rectangles into columns, so that
memory depends on the mask and not on the sizes that the file declares. Nothing is drawn to write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from curate import rle
from curate.common.arrays import IntArray
from curate.formats.cvat.box_kernels import parse_lengths, turn_box
from curate.formats.segmentation import (
    Segmentation,
    encode_runs,
    pack_runs,
    size_problem,
    valid_size,
)

MAX_COLUMNS = 10_000_000
"""Most runs that one mask may take by column; only a picture that is no mask takes more."""

DRAWN_PIXELS = 1 << 22
"""Boxes up to this size are drawn, which takes a few MB and is quicker than working with runs."""

_WHOLE = re.compile(r"(-?[0-9]{1,18})(?:\.0*)?", re.ASCII)
_DIGITS = frozenset("0123456789-, \t\r\n")


def read_box_rle(shape: Mapping[str, str], height: int, width: int) -> Segmentation:
    """Read a mask of CVAT.

    Args:
        shape: The attributes ``rle`` (run lengths by row inside the box, the first of background,
            joined by commas), ``left``, ``top``, ``width`` and ``height`` (the box in pixels).
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        The mask, or with a status that says why there is none.
    """
    if "rle" not in shape:
        return Segmentation(None, "no_segmentation", "the mask has no rle")
    box = []
    for name in ("left", "top", "width", "height"):
        side = parse_int(shape.get(name, ""))
        if side is None:
            detail = f"the mask's {name} is {shape.get(name, '')[:40]!r}, not a whole number"
            return Segmentation(None, "wrong_type", detail)
        box.append(side)
    if not valid_size(height, width):
        return Segmentation(None, "invalid_size", size_problem(height, width))
    x, y, w, h = box
    if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
        detail = f"the mask's box ({x}, {y}, {w} x {h}) is not inside the image, {width} x {height}"
        return Segmentation(None, "size_mismatch", detail)
    counts = _counts(shape["rle"])
    if isinstance(counts, Segmentation):
        return counts
    total = sum(counts.tolist())
    if total != w * h:
        detail = f"the run lengths cover {total} pixels, the mask's box has {w * h}"
        return Segmentation(None, "undecodable", detail)
    return turn_to_columns(counts, (x, y, w, h), height, width)


def turn_to_columns(
    counts: IntArray, box: tuple[int, int, int, int], height: int, width: int
) -> Segmentation:
    """Turn run lengths by row inside a box into a mask.

    Args:
        counts: Run lengths in pixels, the first of background; their sum is the box's pixels.
        box: XYWH, inside the image.
        height: Image height in pixels.
        width: Image width in pixels.
    """
    if box[2] * box[3] <= DRAWN_PIXELS:
        return _draw_box_runs(counts, box, height, width)
    return _by_column(counts, box, height, width)


def write_box_rle(mask: rle.Runs) -> dict[str, str]:
    """Write a mask as CVAT has it; what :func:`read_box_rle` reads.

    Args:
        mask: One mask with a pixel at least.

    Returns:
        The attributes ``rle``, ``left``, ``top``, ``width`` and ``height``; the box is tight.
    """
    x, y, w, h = (int(side) for side in rle.bbox(mask)[0])
    begins, stops = turn_to_rows(mask, (x, y, w, h))
    edges = np.column_stack([begins, stops]).ravel()
    counts = np.diff(edges, prepend=0).tolist()
    if edges[-1] < w * h:
        counts.append(w * h - int(edges[-1]))
    sides = {"left": x, "top": y, "width": w, "height": h}
    return {"rle": ", ".join(map(str, counts))} | {name: str(n) for name, n in sides.items()}


def turn_to_rows(mask: rle.Runs, box: tuple[int, int, int, int]) -> tuple[IntArray, IntArray]:
    """Return a mask's runs by row inside a box.

    Args:
        mask: One mask.
        box: XYWH, that holds all of it.

    Returns:
        First position of each run, inclusive, and last, exclusive; sorted, none touch.
    """
    high = int(mask.heights[0])
    x, y, w, _ = box
    starts, ends = mask.starts.astype(np.int64), mask.ends.astype(np.int64)
    # A run by row begins where the column before has no pixel: that column, moved here, is taken
    # off this one. It ends where the column before has one and this one has none.
    first = _subtract_runs((starts, ends), (starts + high, ends + high))
    stop = _subtract_runs((starts + high, ends + high), (starts, ends))
    column, row = np.divmod(first, high)
    begins = np.sort((row - y) * w + column - x)
    column, row = np.divmod(stop, high)
    stops = np.sort((row - y) * w + column - x)
    if len(begins) > 1:  # a run to the end of a row goes on in the next one
        apart = begins[1:] != stops[:-1]
        begins, stops = begins[np.append(True, apart)], stops[np.append(apart, True)]
    return begins, stops


def _subtract_runs(runs: tuple[IntArray, IntArray], other: tuple[IntArray, IntArray]) -> IntArray:
    """Return the positions that are in some runs, and not in others."""
    edges = np.concatenate([*runs, *other])
    n, m = len(runs[0]), len(other[0])
    mine = np.repeat([1, -1, 0, 0], [n, n, m, m])
    theirs = np.repeat([0, 0, 1, -1], [n, n, m, m])
    order = np.argsort(edges, kind="stable")
    edges = edges[order]
    alone = (np.cumsum(mine[order]) > 0) & (np.cumsum(theirs[order]) == 0)
    begin, lengths = edges[:-1][alone[:-1]], np.diff(edges)[alone[:-1]]
    before = np.cumsum(lengths) - lengths
    return np.asarray(np.repeat(begin - before, lengths) + np.arange(lengths.sum()), np.int64)


def parse_int(text: str) -> int | None:
    """Return text as a whole number of at most 18 digits, or None where it is none.

    Scripts that count with floats write ``12.0``, which is one too.
    """
    found = _WHOLE.fullmatch(text.strip())
    return int(found[1]) if found else None


def _counts(text: str) -> IntArray | Segmentation:
    if not text.strip(", \t\r\n"):
        return Segmentation(None, "no_segmentation", "the mask's rle is empty")
    if text.isascii():
        quick = np.empty(text.count(",") + 1, np.int64)
        found = parse_lengths(np.frombuffer(text.encode("ascii"), np.uint8), quick)
        if found > 0:
            return quick[:found]
    pieces = text.rstrip(", \t\r\n").split(",")
    try:
        if not _DIGITS.issuperset(text):  # int() takes more than the format has
            raise ValueError
        counts = np.array([int(piece) for piece in pieces], np.int64)
    except (ValueError, OverflowError):
        odd = next((piece for piece in pieces if parse_int(piece) is None), "too large").strip()[
            :40
        ]
        detail = f"a run length is {odd!r}, not a whole number"
        return Segmentation(None, "wrong_type", detail)
    if counts.min() < 0:
        return Segmentation(None, "undecodable", f"a run length is negative ({counts.min()})")
    return counts


def _draw_box_runs(
    counts: IntArray, box: tuple[int, int, int, int], height: int, width: int
) -> Segmentation:
    """Draw the box, and find the runs of its columns."""
    x, y, w, h = box
    room = w * ((h + 1) // 2)
    starts, ends = np.empty(room, np.int32), np.empty(room, np.int32)
    used = turn_box(counts, x, y, w, h, height, starts, ends)
    return Segmentation(pack_runs(starts[:used], ends[:used], height, width))


def _by_column(
    counts: IntArray, box: tuple[int, int, int, int], height: int, width: int
) -> Segmentation:
    x, y, w, _ = box
    edges = np.cumsum(counts)
    starts, ends = edges[:-1:2], edges[1::2]
    keep = ends > starts
    left, right, top, bottom = _rectangles(starts[keep], ends[keep], w)
    left, right, top, bottom = left + x, right + x, top + y, bottom + y
    # Rectangles as high as the image are one run whatever their width.
    full = (top == 0) & (bottom == height)
    columns = int((right - left)[~full].sum())
    if columns > MAX_COLUMNS:
        detail = f"the mask takes {columns} runs by column, which is more than any object does"
        return Segmentation(None, "undecodable", detail)
    widths = np.where(full, 1, right - left)
    number = np.arange(widths.sum()) - np.repeat(np.cumsum(widths) - widths, widths)
    column = np.repeat(left, widths) + number
    begin = column * height + np.repeat(top, widths)
    end = np.where(
        np.repeat(full, widths),
        np.repeat(right, widths) * height,
        column * height + np.repeat(bottom, widths),
    )
    order = np.argsort(begin, kind="stable")
    return Segmentation(encode_runs(begin[order], end[order], height, width))


def _rectangles(
    starts: IntArray, ends: IntArray, width: int
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Split runs by row into rectangles: the end of a row, whole rows, the beginning of a row.

    Returns:
        Left, right, top and bottom of each, right and bottom exclusive; none overlap.
    """
    first_row, first_x = np.divmod(starts, width)
    last_row, last_x = np.divmod(ends, width)  # last_x pixels of last_row are in the run
    single = first_row == last_row
    head = single | (first_x > 0)
    tail = ~single & (last_x > 0)
    body_top = first_row + (first_x > 0)
    body = ~single & (last_row > body_top)
    zeros, full = np.zeros_like(starts), np.full_like(starts, width)
    return (
        np.concatenate([first_x[head], zeros[body], zeros[tail]]),
        np.concatenate([np.where(single, last_x, width)[head], full[body], last_x[tail]]),
        np.concatenate([first_row[head], body_top[body], last_row[tail]]),
        np.concatenate([first_row[head] + 1, last_row[body], last_row[tail] + 1]),
    )
