"""COCO's ``segmentation`` field, in all its spellings, to compressed run lengths.

Formats that store polygons or rows of run lengths of their own use the same functions, so that a
polygon means the same pixels whatever file it came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from pycocotools import mask as coco_mask

from curate import rle
from curate.common.arrays import FloatArray, Int32Array, IntArray
from curate.formats.json.json_columns import whole_number
from curate.formats.repairs import mend
from curate.rle.runs import inner_kernel, kernel

MOST_POINTS = 20_000
"""Points of a ring that is looked at; the largest outlines of datasets have a few thousand."""

MAX_COORDINATE = 1e8
"""Largest polygon coordinate that is drawn; five times it must fit into 32 bits."""

_FAULTS = (
    "",
    "has a coordinate that is not a finite number",
    "has a coordinate beyond any image",
)


def count_crossings(rings: Sequence[Sequence[float]]) -> int:
    """Count the pairs of edges of one ring that pass through each other, over all rings.

    Edges that only touch, or lie on each other as in a seam, do not cross.

    Args:
        rings: Alternating x and y in pixels, at least three points each, all finite.
    """
    return sum(_survey_ring(np.array(ring, np.float64), True)[2] for ring in rings)


@inner_kernel
def _side(ax: float, ay: float, bx: float, by: float, x: float, y: float) -> float:
    """Return on which side of a line a point lies: over 0, under 0, or 0 on it."""
    return (bx - ax) * (y - ay) - (by - ay) * (x - ax)


@kernel
def _survey_ring(ring: FloatArray, count: bool) -> tuple[int, float, int]:
    """Return a ring's fault (a code of :data:`_FAULTS`), its length and its crossings.

    Args:
        ring: Alternating x and y in pixels, shape (2 n,).
        count: Whether crossings are counted.
    """
    n, length = len(ring) // 2, 0.0
    x, y = ring[0::2], ring[1::2]
    for i in range(len(ring)):
        if not np.isfinite(ring[i]):
            return 1, 0.0, 0
        if abs(ring[i]) > MAX_COORDINATE:
            return 2, 0.0, 0
    for i in range(n):
        k = i + 1 if i + 1 < n else 0
        length += max(abs(x[i] - x[k]), abs(y[i] - y[k]))
    if not count or n < 4 or n > MOST_POINTS:
        return 0, length, 0
    left = np.empty(n)
    for i in range(n):
        left[i] = min(x[i], x[i + 1 if i + 1 < n else 0])
    return 0, length, _crossings(x, y, np.argsort(left))


@inner_kernel
def _crossings(x: FloatArray, y: FloatArray, order: IntArray) -> int:
    """Count crossing pairs of edges; ``order`` sorts edges by their left end."""
    n, found = len(order), 0
    for i in range(n):
        a = order[i]
        b = a + 1 if a + 1 < n else 0
        right, low, high = max(x[a], x[b]), min(y[a], y[b]), max(y[a], y[b])
        for j in range(i + 1, n):
            c = order[j]
            d = c + 1 if c + 1 < n else 0
            if min(x[c], x[d]) > right:
                break
            if low > max(y[c], y[d]) or min(y[c], y[d]) > high:
                continue
            own = _side(x[a], y[a], x[b], y[b], x[c], y[c]) * _side(
                x[a], y[a], x[b], y[b], x[d], y[d]
            )
            other = _side(x[c], y[c], x[d], y[d], x[a], y[a]) * _side(
                x[c], y[c], x[d], y[d], x[b], y[b]
            )
            if own < 0 and other < 0:
                found += 1
    return found


MAX_OUTLINE_PX = 5e6
"""Longest outline of one mask that is drawn; drawing takes memory in proportion to it."""

_NUMBERS = frozenset({int, float})

_MENDED = frozenset({"wrong_type", "bad_polygon", "undecodable"})
"""Statuses of values that may only be spelled in another way."""

_NOTHING: tuple[Any, ...] = (None, "", [], {})


class Segmentation(NamedTuple):
    """A mask as it was read.

    Attributes:
        counts: COCO compressed counts, or None where nothing can be made of the value.
        status: A status word of the masks table; ``ok`` does not yet mean that counts decode.
        detail: What is wrong, as a clause with the facts; empty where the status is ``ok``.
        crossings: How often a polygon's rings cross themselves; None for what is no polygon.
        rings: The rings that it was drawn from, alternating x and y in pixels; None for what is
            not the union of rings.
        repairs: What had to be mended first, as kinds of :data:`curate.formats.repairs.REPAIRS`.
    """

    counts: bytes | None
    status: str = "ok"
    detail: str = ""
    repairs: tuple[str, ...] = ()
    crossings: int | None = None
    rings: list[list[float]] | None = None


def read_segmentation(value: object, height: int, width: int) -> Segmentation:
    """Read a COCO segmentation for an image of a known size.

    Args:
        value: A list of polygon rings ``[[x, y, x, y, ...], ...]``; or ``{"size", "counts"}`` with
            counts as a compressed string or bytes, or as a list of run lengths; or None. What other
            programs write in their place is mended first (:mod:`curate.formats.repairs`).
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        The mask. Compressed counts are passed on as they are: decoding finds what is wrong in them.
    """
    if value is None or value == [] or value == {} or value == "":
        return Segmentation(None, "no_segmentation", "there is no segmentation")
    if isinstance(value, list) and all(one in _NOTHING for one in value):
        return Segmentation(None, "no_segmentation", "there is no point in the segmentation")
    read = _read(value, height, width)
    if read.status not in _MENDED:
        return read
    mended, repairs = mend(value)
    if not repairs:
        return read
    if isinstance(mended, dict) and mended["size"] is None:
        mended["size"] = [height, width]
    again = _read(mended, height, width)
    return read if again.counts is None else again._replace(repairs=repairs)


def _read(value: object, height: int, width: int) -> Segmentation:
    """Read a segmentation as COCO defines it."""
    if isinstance(value, dict):
        return _read_rle(value, height, width)
    if isinstance(value, list):
        return read_polygons(value, height, width)
    return Segmentation(None, "wrong_type", f"segmentation is {json_type(value)}")


def read_polygons(rings: list[Any], height: int, width: int) -> Segmentation:
    """Draw polygon rings as one mask, exactly as pycocotools does.

    Args:
        rings: Lists of alternating x and y in pixels; the mask is the union of what they enclose.
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        The mask; ``bad_polygon`` where a ring has under three points, half a point, or no finite
        coordinate, or is too long to draw; ``wrong_type`` where it is not made of numbers.
    """
    taken = _take_rings(rings, height, width, count=True)
    if isinstance(taken, Segmentation):
        return taken
    counts = _draw(taken.points, height, width)
    return Segmentation(counts, crossings=taken.crossings, rings=rings)


def draw_polygons(rings: list[Any], height: int, width: int) -> bytes | None:
    """Return the pixels of :func:`read_polygons` as COCO counts, None where it has none: faster."""
    taken = _take_rings(rings, height, width, count=False)
    return None if isinstance(taken, Segmentation) else _draw(taken.points, height, width)


class _Rings(NamedTuple):
    """Rings that can be drawn.

    Attributes:
        points: Alternating x and y of each.
        crossings: How often they cross themselves; 0 where that was not counted.
    """

    points: list[FloatArray]
    crossings: int


def _take_rings(rings: list[Any], height: int, width: int, *, count: bool) -> Segmentation | _Rings:
    """Return rings as arrays; of those that cannot be drawn what reading them returns.

    Args:
        rings: Lists of alternating x and y in pixels.
        height: Image height in pixels.
        width: Image width in pixels.
        count: Whether crossings are counted, which takes the square of a ring's points at worst.
    """
    if not all(type(ring) is list for ring in rings):
        odd = next(ring for ring in rings if type(ring) is not list)
        return Segmentation(None, "wrong_type", f"a polygon ring is {json_type(odd)}, not a list")
    if not valid_size(height, width):
        return Segmentation(None, "invalid_size", size_problem(height, width))
    length, crossings, points = 0.0, 0, []
    for number, ring in enumerate(rings):
        status, problem = _ring_problem(ring)
        if not problem:
            try:
                points.append(np.array(ring, np.float64))
                fault, outline, own = _survey_ring(points[-1], count)
            except OverflowError:  # a whole number of more than 308 digits
                fault, outline, own = 2, 0.0, 0
            status, problem = "bad_polygon", _FAULTS[fault]
            length, crossings = length + outline, crossings + own
        if problem:
            return Segmentation(None, status, f"polygon ring {number} {problem}")
    if length > MAX_OUTLINE_PX:
        return Segmentation(None, "bad_polygon", f"the polygon's outline is {length:.3g} px long")
    return _Rings(points, crossings)


def flatten_points(points: object) -> Any:
    """Return points ``[[x, y], ...]`` as x and y in turn; what is spelled otherwise as it is.

    >>> flatten_points([[1, 2], [3.5, 4]])
    [1, 2, 3.5, 4]
    """
    if type(points) is not list:
        return [] if points is None else points
    if all(type(point) is list and len(point) == 2 for point in points):
        return [value for point in points for value in point]
    return points


def read_run_lengths(counts: list[Any], height: int, width: int) -> Segmentation:
    """Read uncompressed column-major run lengths that begin with background.

    Args:
        counts: Run lengths in pixels; their sum must be the image's number of pixels.
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        The mask, or ``undecodable`` or ``wrong_type`` with the reason.
    """
    if not valid_size(height, width):
        return Segmentation(None, "invalid_size", size_problem(height, width))
    if not set(map(type, counts)) <= {int}:
        odd = next(count for count in counts if type(count) is not int)
        return Segmentation(None, "wrong_type", f"a run length is {_odd(odd)}")
    if counts and min(counts) < 0:
        return Segmentation(None, "undecodable", f"a run length is negative ({min(counts)})")
    total = sum(counts)
    if total != height * width:
        detail = f"the run lengths cover {total} pixels, the image has {height * width}"
        return Segmentation(None, "undecodable", detail)
    edges = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(np.array(counts, np.int64), out=edges[1:])
    starts, ends = edges[1:-1:2], edges[2::2]
    return Segmentation(encode_runs(starts, ends, height, width))


def rle_size(value: object) -> tuple[int, int] | None:
    """Return (height, width) as a run-length segmentation states it, or None where it does not."""
    if type(value) is str or (type(value) is list and len(value) == 1 and type(value[0]) is dict):
        value, _ = mend(value)
    if not isinstance(value, dict):
        return None
    size = value.get("size")
    if not isinstance(size, list | tuple) or len(size) != 2:
        return None
    height, width = (whole_number(side) for side in size)
    return None if height is None or width is None else (height, width)


def valid_size(height: int, width: int) -> bool:
    """Return whether an image of this size can hold masks."""
    return height >= 1 and width >= 1 and height * width <= rle.MAX_PIXELS


def size_problem(height: int, width: int) -> str:
    """Return in words why an image size cannot be used."""
    if height < 1 or width < 1:
        return f"the image size is {width} x {height}"
    return f"the image size {width} x {height} passes {rle.MAX_PIXELS} pixels"


def _odd(value: object) -> str:
    if type(value) in (int, float):
        return f"{value!r}, not a whole number of pixels"
    return json_type(value)


def json_type(value: object) -> str:
    """Return JSON's name for a value's type, with its article: ``a string``, ``null``."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    names |= {list: "a list", dict: "an object", bytes: "bytes"}
    return names.get(type(value), f"a {type(value).__name__}")


def _read_rle(value: dict[Any, Any], height: int, width: int) -> Segmentation:
    size = rle_size(value)
    if size is None or not set(map(type, value["size"])) <= {int}:
        return Segmentation(None, "wrong_type", "the RLE's size is not a list of two whole numbers")
    if not valid_size(height, width):
        return Segmentation(None, "invalid_size", size_problem(height, width))
    if not valid_size(*size):
        return Segmentation(None, "invalid_size", "in the RLE, " + size_problem(*size))
    if size != (height, width):
        detail = f"the RLE is {size[1]} x {size[0]}, the image {width} x {height}"
        return Segmentation(None, "size_mismatch", detail)
    counts = value.get("counts")
    if isinstance(counts, bytes):
        return Segmentation(counts)
    if isinstance(counts, str):
        if counts.isascii() and counts[:2] not in ("b'", 'b"'):
            return Segmentation(counts.encode("ascii"))
        detail = "the counts string holds a character that no run length has"
        return Segmentation(None, "undecodable", detail)
    if isinstance(counts, list):
        return read_run_lengths(counts, height, width)
    return Segmentation(None, "wrong_type", f"the RLE's counts are {json_type(counts)}")


def _ring_problem(ring: list[Any]) -> tuple[str, str]:
    """Return a status and what is wrong with a ring's length or types; "" for nothing."""
    if not _NUMBERS.issuperset(map(type, ring)):
        odd = next(number for number in ring if type(number) not in _NUMBERS)
        return "wrong_type", f"holds {json_type(odd)}"
    if len(ring) % 2:
        return "bad_polygon", f"has half a point ({len(ring)} numbers)"
    if len(ring) < 6:
        return "bad_polygon", f"has {len(ring) // 2} points, not 3"
    return "ok", ""


def _draw(rings: list[FloatArray], height: int, width: int) -> bytes:
    # A first ring of exactly four numbers would be taken for a box; rings that short are refused.
    drawn = coco_mask.frPyObjects(rings, height, width)
    while len(drawn) > 1:  # some at a time: all at once takes the square of their number
        drawn = [coco_mask.merge(drawn[i : i + 16]) for i in range(0, len(drawn), 16)]
    return cast(bytes, drawn[0]["counts"])


def encode_runs(starts: Any, ends: Any, height: int, width: int) -> bytes:
    """Return sorted column-major runs, which may be empty or touch each other, as COCO counts.

    Args:
        starts: First position of each run, inclusive.
        ends: Last position of each run, exclusive; one may be missing at the end.
        height: Image height in pixels.
        width: Image width in pixels.
    """
    keep = starts < ends[: len(starts)]
    starts, ends = starts[keep], ends[keep]
    if len(starts) > 1:
        apart = starts[1:] != ends[:-1]
        starts = starts[np.concatenate([[True], apart])]
        ends = ends[np.concatenate([apart, [True]])]
    first, last = (np.ascontiguousarray(side, np.int32) for side in (starts, ends))
    return pack_runs(first, last, height, width)


def pack_runs(starts: Int32Array, ends: Int32Array, height: int, width: int) -> bytes:
    """Return sorted column-major runs, none of which is empty or touches another, as COCO counts.

    Args:
        starts: First position of each run, inclusive.
        ends: Last position of each run, exclusive.
        height: Image height in pixels.
        width: Image width in pixels.
    """
    runs = rle.Runs(
        np.array([0, len(starts)], np.int64),
        starts,
        ends,
        np.array([height], np.int32),
        np.array([width], np.int32),
    )
    return cast(bytes, rle.encode_counts(runs)[0].as_py())
