"""Figures of Supervisely: bitmaps and polygons with holes, to masks and back.

A bitmap is a PNG, packed by zlib and written in base64, that lies with its upper left pixel at
``origin``; in a PNG with transparency what is not transparent is in the mask, else what is not 0.
A polygon is ``exterior`` without what its ``interior`` rings enclose. Polygons have the pixels that
COCO gives them, as in every format; Supervisely itself also draws the pixels on their outline.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from curate import rle
from curate.common.arrays import BoolArray
from curate.common.json_values import is_finite_number
from curate.formats.json.json_columns import text
from curate.formats.png.embedded_png import decode_text, inflate, place_mask, read_embedded
from curate.formats.png.packing import pack_png
from curate.formats.png.png_reading import PictureProblem
from curate.formats.polygons import rings_of
from curate.formats.segmentation import (
    MAX_COORDINATE,
    Segmentation,
    flatten_points,
    json_type,
    read_segmentation,
    size_problem,
    valid_size,
)
from curate.images.png_rows import SIGNATURE

BITMAP, POLYGON = "bitmap", "polygon"

Size = tuple[int, int]
Ring = list[float]


def figure_kind(figure: object) -> str:
    """Return the type of a figure: ``bitmap``, ``polygon`` or another; "" for what is no object.

    Old projects do not state it: a figure is then what it has.
    """
    if type(figure) is not dict:
        return ""
    for name in ("geometryType", "shape"):
        if figure.get(name):
            return text(figure[name])
    if type(figure.get("bitmap")) is dict:
        return BITMAP
    points = figure.get("points")
    exterior = points.get("exterior") if type(points) is dict else None
    return POLYGON if type(exterior) is list and len(exterior) > 2 else "without a type"


def read_figure(figure: Any, size: Size) -> Segmentation:
    """Return the pixels of a bitmap or a polygon, or a status that says why there are none."""
    kind = figure_kind(figure)
    if not kind:
        problem = f"the object is {json_type(figure)}, not an object with a figure"
        return Segmentation(None, "wrong_type", problem)
    if not valid_size(*size):
        return Segmentation(None, "invalid_size", size_problem(*size))
    return _read_bitmap(figure, size) if kind == BITMAP else _read_polygon(figure, size)


def _read_bitmap(figure: Mapping[str, Any], size: Size) -> Segmentation:
    bitmap = figure.get("bitmap")
    if type(bitmap) is not dict:
        return Segmentation(None, "no_segmentation", "the figure has no bitmap")
    origin = bitmap.get("origin")
    if (
        type(origin) is not list
        or len(origin) != 2
        or not all(is_finite_number(value) and abs(value) <= MAX_COORDINATE for value in origin)
    ):
        return Segmentation(None, "wrong_type", "the bitmap's origin is not [x, y]")
    try:
        data = decode_text(bitmap.get("data"))
        data = data if data.startswith(SIGNATURE) else inflate(data, size)
        pixels = read_embedded(data, size, opacity=True)
    except PictureProblem as problem:
        return Segmentation(None, problem.status, problem.detail)
    x, y = (int(np.round(value)) for value in origin)
    return place_mask(pixels, x, y, size)


def _read_polygon(figure: Mapping[str, Any], size: Size) -> Segmentation:
    points = figure.get("points")
    if type(points) is not dict:
        return Segmentation(None, "no_segmentation", "the figure has no points")
    outer = read_segmentation([flatten_points(points.get("exterior"))], *size)
    interior = points.get("interior")
    if outer.counts is None or not interior:
        return outer
    if type(interior) is not list:
        problem = f"the polygon's interior is {json_type(interior)}, not a list of rings"
        return Segmentation(None, "wrong_type", problem)
    rings = [flatten_points(ring) for ring in interior]
    holes = [ring for ring in rings if type(ring) is not list or len(ring) >= 6]
    repairs = outer.repairs + (("stray_ring",) if len(holes) < len(rings) else ())
    if not holes:
        return outer._replace(repairs=repairs)
    inner = read_segmentation(holes, *size)
    if inner.counts is None:
        return inner
    counts = subtract_mask(outer.counts, inner.counts, size)
    repairs += inner.repairs
    return Segmentation(counts, repairs=tuple(dict.fromkeys(repairs)), crossings=outer.crossings)


def subtract_mask(counts: bytes, other: bytes, size: Size) -> bytes:
    """Return the pixels of a mask that are not in another one.

    Args:
        counts: COCO compressed counts of the mask.
        other: Those of the other one.
        size: Height and width of their image.
    """
    runs, _ = rle.decode_counts([counts, other], [size[0]] * 2, [size[1]] * 2)
    n, m = (int(k) for k in np.diff(runs.offsets))
    edges = np.concatenate([runs.starts, runs.ends])
    own, others = np.zeros((2, n + m), np.int64)
    own[:n], others[n:] = 1, 1
    order = np.argsort(edges, kind="stable")
    edges = edges[order]
    alone = (np.cumsum(np.concatenate([own, -own])[order]) > 0) & (
        np.cumsum(np.concatenate([others, -others])[order]) == 0
    )
    starts, ends = edges[:-1][alone[:-1]], edges[1:][alone[:-1]]
    keep = starts < ends
    left = rle.Runs(
        np.array([0, int(keep.sum())], np.int64),
        np.ascontiguousarray(starts[keep], np.int32),
        np.ascontiguousarray(ends[keep], np.int32),
        *(np.array([side], np.int32) for side in size),
    )
    return cast(bytes, rle.encode_counts(left)[0].as_py())


# --- writing -------------------------------------------------------------------------------------


def pack_bitmap(pixels: BoolArray) -> str:
    """Return a mask as a bitmap's ``data``: a PNG whose first colour is transparent."""
    packed = pack_png(pixels.astype(np.uint8), bytes([0, 0, 0, 255, 255, 255]), transparent=0)
    return base64.b64encode(zlib.compress(packed)).decode("ascii")


def rings_with_holes(counts: bytes, size: Size) -> tuple[Ring, list[Ring]] | None:
    """Return the exterior ring and the interior rings that are exactly a mask.

    Args:
        counts: COCO compressed counts.
        size: Height and width of the image.

    Returns:
        Rings as alternating x and y; None where the mask is no one part with holes.
    """
    runs, _ = rle.decode_counts([counts], [size[0]], [size[1]])
    holes = rle.holes(runs)
    if not len(holes.starts):
        rings = rings_of(counts, *size, single=True)
        return None if rings is None else (rings[0], [])
    whole = cast(bytes, rle.encode_counts(rle.merge(rle.concat([runs, holes])))[0].as_py())
    outer = rings_of(whole, *size, single=True)
    inner = rings_of(cast(bytes, rle.encode_counts(holes)[0].as_py()), *size)
    if outer is None or inner is None:
        return None
    figure = {"points": {"exterior": points_of(outer[0]), "interior": [*map(points_of, inner)]}}
    return (outer[0], inner) if _read_polygon(figure, size).counts == counts else None


def points_of(ring: Sequence[float]) -> list[list[int]]:
    """Return alternating x and y as points; rings of whole masks have whole numbers."""
    return [[int(x), int(y)] for x, y in zip(ring[::2], ring[1::2], strict=True)]
