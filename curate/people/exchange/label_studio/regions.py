"""Regions of a Label Studio annotation as masks on their picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from curate.common.json_values import JsonObject, is_finite_number
from curate.errors import SourceError
from curate.formats.label_studio.brush_rle import decode_brush
from curate.formats.label_studio.tasks import BITMASK, LABELS
from curate.formats.png.embedded_png import decode_text, read_embedded
from curate.formats.png.png_reading import PictureProblem
from curate.formats.segmentation import json_type, read_polygons
from curate.rle import Runs, decode_counts, from_dense, to_dense

_NOT_SHAPES = frozenset(
    ("choices", "textarea", "rating", "number", "taxonomy", "datetime", "pairwise", "relation")
)
"""Kinds of results that say something, and draw nothing."""


@dataclass(frozen=True)
class Region:
    """One region, merged from its results.

    Attributes:
        mask: A batch of one mask, on the picture; None where a shape is no mask.
        label: The label; None where it has none.
        kind: What Label Studio calls it.
    """

    mask: Runs | None
    label: str | None
    kind: str


def parse_regions(results: Any, size: tuple[int, int], where: str) -> dict[str, Region]:
    """Parse the regions of an annotation, by their ids, in file order.

    Args:
        results: What the export calls ``result``.
        size: Height and width of the picture.
        where: Names the annotation, for messages.

    Raises:
        SourceError: A result is not what Label Studio writes, or of a picture of another size.
    """
    if type(results) is not list:
        raise SourceError(f"its result is {json_type(results)}, not a list", where)
    found: dict[str, Region] = {}
    for result in results:
        if type(result) is not dict or type(result.get("type")) is not str:
            raise SourceError("a result is no object with a type", where)
        if result["type"] in _NOT_SHAPES:
            continue
        name = result.get("id")
        if type(name) is not str or not name:
            raise SourceError(f"a result of type {result['type'][:40]!r} has no id", where)
        here = f"{where}, region {name[:60]}"
        region = _parse_region(result, size, here)
        found[name] = _merge(found[name], region, here) if name in found else region
    return found


def _parse_region(result: JsonObject, size: tuple[int, int], where: str) -> Region:
    value, kind = result.get("value"), str(result["type"])
    if type(value) is not dict:
        raise SourceError(f"its value is {json_type(value)}, not an object", where)
    is_brush, is_bitmask = "rle" in value, BITMASK in value
    if not is_brush and not is_bitmask and not kind.startswith("polygon"):
        return Region(None, _parse_label(value, where), kind)
    height, width = size
    stated = result.get("original_height"), result.get("original_width")
    if stated != size:
        what = f"it is of a picture of {stated[1]} x {stated[0]} pixels, not {width} x {height}"
        raise SourceError(what, where)
    if result.get("image_rotation"):
        do = "turn it back in Label Studio, and export it again"
        raise SourceError(
            f"its picture was turned by {result['image_rotation']} degrees", where, do
        )
    parse = _parse_brush if is_brush else _parse_bitmask if is_bitmask else _parse_polygon
    mask = parse(value, size, where)
    return Region(mask, _parse_label(value, where), kind)


def _parse_label(value: JsonObject, where: str) -> str | None:
    labels = next((value[name] for name in LABELS if value.get(name)), None)
    if labels is None:
        return None
    if type(labels) is not list or any(type(label) is not str for label in labels):
        raise SourceError("its label is no list of names", where)
    if len(labels) > 1:
        raise SourceError(f"it has {len(labels)} labels", where, "leave it one")
    return str(labels[0])


def _parse_brush(value: JsonObject, size: tuple[int, int], where: str) -> Runs:
    given = value["rle"]
    if value.get("format", "rle") != "rle" or type(given) is not list:
        raise SourceError("its brush mask is not in the format rle", where)
    if not given:
        return from_dense(np.zeros(size, np.bool_))
    if set(map(type, given)) != {int} or min(given) < 0 or max(given) > 255:
        raise SourceError("its brush mask is no list of bytes", where)
    try:
        return decode_brush(np.array(given, np.uint8), *size)
    except ValueError as error:
        raise SourceError(f"its brush mask cannot be read: {error}", where) from error


def _parse_bitmask(value: JsonObject, size: tuple[int, int], where: str) -> Runs:
    try:
        pixels = read_embedded(decode_text(value[BITMASK]), size, opacity=True)
    except PictureProblem as problem:
        raise SourceError(f"its bitmask cannot be read: {problem.detail}", where) from problem
    if pixels.shape != size:
        what = f"its bitmask is {pixels.shape[1]} x {pixels.shape[0]} pixels"
        raise SourceError(f"{what}, its picture {size[1]} x {size[0]}", where)
    return from_dense(pixels)


def _parse_polygon(value: JsonObject, size: tuple[int, int], where: str) -> Runs:
    height, width = size
    points = value.get("points")
    if type(points) is not list or not all(map(_is_point, points)):
        raise SourceError("its polygon is no list of points in percent", where)
    ring = [side for x, y in points for side in (x / 100 * width, y / 100 * height)]
    drawn = read_polygons([ring], height, width)
    if drawn.counts is None:
        raise SourceError(f"its polygon cannot be read: {drawn.detail}", where)
    return decode_counts([drawn.counts], [height], [width])[0]


def _is_point(value: Any) -> bool:
    if type(value) is not list or len(value) != 2:
        return False
    return all(map(is_finite_number, value))


def _merge(first: Region, second: Region, where: str) -> Region:
    """Return the union of two results of one region."""
    labels = {region.label for region in (first, second)} - {None}
    if len(labels) > 1:
        raise SourceError(f"it has {len(labels)} labels", where, "leave it one")
    masks = [region.mask for region in (first, second) if region.mask is not None]
    mask = masks[0] if len(masks) == 1 else None
    if len(masks) > 1:
        mask = from_dense(to_dense(masks[0], 0) | to_dense(masks[1], 0))
    return Region(mask, first.label or second.label, first.kind)
