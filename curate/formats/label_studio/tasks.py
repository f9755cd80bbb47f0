"""Tasks of a Label Studio export: the picture, the annotation that counts, its regions as masks.

Facts, from Label Studio's documents and exports: a task has ``data`` (whose values its labelling
interface shows), ``annotations`` and ``predictions``; either of these lists results, and results
with one ``id`` are one region. Before version 1.0 annotations were called ``completions``. A brush
keeps bit-packed run lengths of the picture's alpha, a bitmask a PNG of the picture in a ``data:``
URL whose opaque pixels are the mask, a polygon one ring in percent of the picture;
``original_width`` and ``original_height`` stand beside every result, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from curate import rle
from curate.common.json_values import JsonObject, is_finite_number
from curate.dataset.image_names import PICTURE_SUFFIXES, normalise, without_upload_prefix
from curate.formats.json.json_columns import whole_number
from curate.formats.label_studio.brush_rle import decode_brush
from curate.formats.png.embedded_png import decode_text, place_whole, read_embedded, size_of_png
from curate.formats.png.png_reading import PictureProblem
from curate.formats.segmentation import (
    Segmentation,
    json_type,
    read_polygons,
    size_problem,
    valid_size,
)
from curate.formats.table_builder import common_size

ANNOTATIONS, COMPLETIONS, PREDICTIONS = "annotations", "completions", "predictions"

KINDS = (ANNOTATIONS, COMPLETIONS, PREDICTIONS)
"""The lists of a task that hold results; the first that some task has is read of all."""

BITMASK = "imageDataURL"
"""Name in the value of a region that holds a bitmask."""

TASKS = "tasks.json"
"""File of the tasks in a folder that curate writes for Label Studio."""

LABELS = ("brushlabels", "polygonlabels", "bitmasklabels", "labels")
"""Names under which the value of a region has its labels."""

_UPLOAD = re.compile(r"(?:.*/)?data/upload/(?:\d+/)?([^/]+)", re.DOTALL)
_OWN_ID = re.compile(r"mask_(-?[0-9]{1,18})")
_NOT_SHAPES = frozenset(
    ("choices", "textarea", "rating", "number", "taxonomy", "datetime", "pairwise", "relation")
)


@dataclass
class MaskRegion:
    """The results of one id that draw a mask.

    Attributes:
        numbers: Their positions in the list of results.
        results: The results.
        companions: Positions of what else bears the id, or relates it to another region.
        label: Its label; None where it has none.
        labels: How many labels it has.
        mask_id: The number in an id such as ``mask_7``, as curate writes it; None for others.
    """

    numbers: list[int] = field(default_factory=list)
    results: list[JsonObject] = field(default_factory=list)
    companions: list[int] = field(default_factory=list)
    label: str | None = None
    labels: int = 0
    mask_id: int | None = None


class ReadAnnotation(NamedTuple):
    """The annotation of a task that is read.

    Attributes:
        number: Its position in the list; None where there is none.
        result: Its results.
        others: How many others there are that people did not skip.
        skipped: How many were skipped.
    """

    number: int | None
    result: list[Any]
    others: int = 0
    skipped: int = 0


def is_task(value: object) -> bool:
    """Return whether a JSON value is a task: its data, and a list of what was made of it."""
    if type(value) is not dict or type(value.get("data")) is not dict:
        return False
    return any(type(value.get(name)) is list for name in KINDS)


def is_minimal_task(value: object) -> bool:
    """Return whether a JSON value is a task of JSON-MIN: regions stand beside the data."""
    if type(value) is not dict or "id" not in value:
        return False
    regions = (one for listed in value.values() if type(listed) is list for one in listed)
    return any(type(one) is dict and "original_width" in one for one in regions)


def kind_read(some: Mapping[str, bool]) -> str:
    """Return the list that is read, from which lists some task has."""
    return next((kind for kind in KINDS if some[kind]), ANNOTATIONS)


def choose_annotation(task: JsonObject, kind: str) -> ReadAnnotation:
    """Return the annotation of a task that is read.

    The one that is marked as ground truth, else the one that was changed last; of several such ones
    the last in the file. What was cancelled (skipped) is never read. Of predictions it is the one
    that was made last.

    Args:
        task: The task.
        kind: One of :data:`KINDS`.
    """
    listed = task.get(kind)
    made = [
        (i, one)
        for i, one in enumerate(listed if type(listed) is list else [])
        if type(one) is dict and type(one.get("result")) is list
    ]
    done = [(i, one) for i, one in made if not one.get("was_cancelled")]
    if not done:
        return ReadAnnotation(None, [], 0, len(made))
    number, chosen = max(done, key=lambda pair: (_rank(pair[1]), pair[0]))
    return ReadAnnotation(number, chosen["result"], len(done) - 1, len(made) - len(done))


def _rank(annotation: JsonObject) -> tuple[bool, str]:
    """Return the sort key of an annotation; times are ISO 8601 in UTC, so text orders them."""
    time = annotation.get("updated_at") or annotation.get("created_at")
    return annotation.get("ground_truth") is True, time if type(time) is str else ""


def list_regions(result: list[Any]) -> tuple[list[MaskRegion], dict[str, int]]:
    """Return the regions among results that draw masks, in file order, and what draws none.

    Returns:
        The regions, and how many other shapes there are by their type.
    """
    by_id: dict[object, MaskRegion] = {}
    others: dict[str, int] = {}
    for number, one in enumerate(result):
        if type(one) is not dict:
            others["no object"] = others.get("no object", 0) + 1
            continue
        name = one.get("id")
        key: object = name if type(name) is str and name else number
        kind, value = str(one.get("type")), one.get("value")
        region = by_id.setdefault(key, MaskRegion(mask_id=own_id(name)))
        if draws_mask(one):
            region.numbers.append(number)
            region.results.append(one)
        elif kind not in _NOT_SHAPES:
            others[kind] = others.get(kind, 0) + 1
            region.companions.append(number)
        else:
            region.companions.append(number)
        labels = _labels_of(value)
        if labels and not region.labels:
            region.label, region.labels = labels[0], len(labels)
    for number, one in enumerate(result):
        if type(one) is dict and one.get("type") == "relation":
            for end in (one.get("from_id"), one.get("to_id")):
                if type(end) is str and end in by_id:
                    by_id[end].companions.append(number)
    return [region for region in by_id.values() if region.results], others


def draws_mask(result: JsonObject) -> bool:
    """Return whether a result is a brush mask, a bitmask or a polygon."""
    value = result.get("value")
    kind = str(result.get("type"))
    if type(value) is not dict:
        return kind.removesuffix("labels") in ("brush", "bitmask", "polygon")
    return "rle" in value or BITMASK in value or kind.startswith("polygon")


def form_of(result: JsonObject) -> str:
    """Return the form of a result that draws a mask: brush, bitmask or polygon."""
    value = result.get("value")
    if type(value) is not dict:
        return "polygon"
    return "brush" if "rle" in value else "bitmask" if BITMASK in value else "polygon"


def own_id(name: object) -> int | None:
    """Return the number in an id of a region such as ``mask_7``; None for others."""
    found = _OWN_ID.fullmatch(name) if type(name) is str else None
    return None if found is None else int(found[1])


def _labels_of(value: object) -> list[str]:
    if type(value) is not dict:
        return []
    found = next((value[name] for name in LABELS if value.get(name)), None)
    if type(found) is not list:
        return []
    return [one for one in found if type(one) is str]


# --- pictures ------------------------------------------------------------------------------------


def picture_of_task(task: JsonObject) -> str:
    """Return the name of a task's picture as its data has it; "" where it shows none.

    It stands under ``image``, as in nearly all labelling interfaces, or else under the first name
    whose value looks like a picture's.
    """
    data = task.get("data")
    if type(data) is not dict:
        return ""
    texts = {name: _first_text(value) for name, value in data.items()}
    if texts.get("image"):
        return texts["image"]
    return next((one for one in texts.values() if _looks_like_picture(one)), "")


def _first_text(value: object) -> str:
    if type(value) is list and value:
        value = value[0]
    return value if type(value) is str else ""


def _looks_like_picture(text: str) -> bool:
    path = normalise(text)
    at = path.rfind(".")
    return at > 0 and path[at:].lower() in PICTURE_SUFFIXES


def file_name_of(value: str, *, as_stored: bool = False) -> str:
    """Return a picture's file name: what an address, a storage or an upload calls it.

    An upload is stored under eight digits before its own name, which are left out unless
    ``as_stored``.

    >>> file_name_of("/data/upload/3/1a2b3c4d-cat.jpg")
    'cat.jpg'
    >>> file_name_of("/data/upload/3/1a2b3c4d-cat.jpg", as_stored=True)
    '1a2b3c4d-cat.jpg'
    >>> file_name_of("/data/local-files/?d=ls/images/1.png")
    'ls/images/1.png'
    """
    path = normalise(value)
    upload = _UPLOAD.fullmatch(path)
    if not upload:
        return path
    return upload[1] if as_stored else without_upload_prefix(upload[1])


def ordinals_as_stored(values: Sequence[str]) -> frozenset[int]:
    """Return which uploads keep the name under which they are stored: of one name, but not one."""
    stored: dict[str, set[str]] = {}
    for value in values:
        stored.setdefault(file_name_of(value), set()).add(file_name_of(value, as_stored=True))
    return frozenset(k for k, value in enumerate(values) if len(stored[file_name_of(value)]) > 1)


def export_file(source: Path) -> Path:
    """Return the file of a source: itself, or that of the tasks in a folder."""
    return source / TASKS if source.is_dir() else source


def size_of_task(task: JsonObject, kind: str) -> tuple[int, int]:
    """Return the height and width of a task's picture; (0, 0) where nothing states them.

    The annotation that is read states them, else that of another list, else the task's data under
    ``height`` and ``width``, else the PNGs of its bitmasks have them.
    """
    for name in (kind, *(one for one in KINDS if one != kind)):
        size = stated_size(choose_annotation(task, name).result)
        if size != (0, 0):
            return size
    data = task.get("data")
    facts = data if type(data) is dict else {}
    height, width = (whole_number(facts.get(side)) or 0 for side in ("height", "width"))
    if valid_size(height, width):
        return height, width
    drawn = map(_size_of_bitmask, choose_annotation(task, kind).result)
    return common_size(drawn) or (0, 0)


def subset_of_task(task: JsonObject) -> str | None:
    """Return the split that a task's data says, under ``subset``; None where it says none."""
    data = task.get("data")
    subset = data.get("subset") if type(data) is dict else None
    return subset if type(subset) is str and subset else None


def stated_size(result: list[Any]) -> tuple[int, int]:
    """Return the height and width that most results state; (0, 0) where none does."""
    return common_size(map(_size_of, result)) or (0, 0)


def _size_of(result: object) -> tuple[int, int] | None:
    if type(result) is not dict:
        return None
    height, width = (whole_number(result.get(f"original_{side}")) for side in ("height", "width"))
    if height is None or width is None or not valid_size(height, width):
        return None
    return height, width


def _size_of_bitmask(result: object) -> tuple[int, int] | None:
    """Return the height and width of a result's PNG, which is as large as the picture."""
    value = result.get("value") if type(result) is dict else None
    text = value.get(BITMASK) if type(value) is dict else None
    if type(text) is not str:
        return None
    start = text.find(",") + 1 if text.startswith("data:") else 0
    try:
        size = size_of_png(decode_text(text[start : start + 32]))  # 24 bytes in base64
    except PictureProblem:
        return None
    return size if size is not None and valid_size(*size) else None


# --- masks ---------------------------------------------------------------------------------------


def read_region(region: MaskRegion, size: tuple[int, int]) -> Segmentation:
    """Return the mask of a region; of several results the union.

    Args:
        region: The region.
        size: Height and width of its picture in pixels.
    """
    masks = [_read_result(one, size) for one in region.results]
    bad = next((mask for mask in masks if mask.counts is None), None)
    if bad is not None or len(masks) == 1:
        return bad or masks[0]
    counts = dict.fromkeys(cast(bytes, mask.counts) for mask in masks)
    if len(counts) == 1:
        return masks[0]
    n = len(counts)
    runs, codes = rle.decode_counts(list(counts), [size[0]] * n, [size[1]] * n)
    if codes.any():
        return masks[0]
    return Segmentation(cast(bytes, rle.encode_counts(rle.merge(runs))[0].as_py()))


def _read_result(result: JsonObject, size: tuple[int, int]) -> Segmentation:
    value = result.get("value")
    if type(value) is not dict:
        return Segmentation(None, "wrong_type", f"its value is {json_type(value)}, not an object")
    if result.get("item_index"):
        detail = "it is on another picture of its task than the first"
        return Segmentation(None, "unknown_image", detail)
    if not valid_size(*size):
        return Segmentation(None, "invalid_size", size_problem(*size))
    stated = _size_of(result)
    if stated is not None and stated != size:
        detail = f"it is drawn on {stated[1]} x {stated[0]}, its image is {size[1]} x {size[0]}"
        return Segmentation(None, "size_mismatch", detail)
    if result.get("image_rotation"):
        detail = f"its picture was turned by {str(result['image_rotation'])[:20]} degrees"
        return Segmentation(None, "undecodable", detail)
    if "rle" in value:
        return _read_brush(value, size)
    return _read_bitmask(value, size) if BITMASK in value else _read_ring(value, size)


def _read_bitmask(value: JsonObject, size: tuple[int, int]) -> Segmentation:
    try:
        pixels = read_embedded(decode_text(value[BITMASK]), size, opacity=True)
    except PictureProblem as problem:
        return Segmentation(None, problem.status, problem.detail)
    return place_whole(pixels, size, "its bitmask", "its image")


def _read_brush(value: JsonObject, size: tuple[int, int]) -> Segmentation:
    given = value["rle"]
    if type(given) is not list or value.get("format", "rle") != "rle":
        return Segmentation(None, "wrong_type", "its brush mask is not in the format rle")
    if not given:
        return Segmentation(None, "no_segmentation", "its brush mask has no byte")
    if set(map(type, given)) != {int} or min(given) < 0 or max(given) > 255:
        return Segmentation(None, "wrong_type", "its brush mask is no list of bytes")
    try:
        runs = decode_brush(np.array(given, np.uint8), *size)
    except ValueError as error:
        return Segmentation(None, "undecodable", f"its brush mask cannot be read: {error}")
    return Segmentation(cast(bytes, rle.encode_counts(runs)[0].as_py()))


def _read_ring(value: JsonObject, size: tuple[int, int]) -> Segmentation:
    points = value.get("points")
    if type(points) is not list or not all(map(_is_point, points)):
        return Segmentation(None, "wrong_type", "its points are no pairs of numbers")
    if not points:
        return Segmentation(None, "no_segmentation", "the polygon has no points")
    height, width = size
    ring = [side for x, y in points for side in (x / 100 * width, y / 100 * height)]
    return read_polygons([ring], height, width)


def _is_point(value: object) -> bool:
    return type(value) is list and len(value) == 2 and all(map(is_finite_number, value))


def percent_points(ring: list[float], size: tuple[int, int]) -> list[list[float]]:
    """Return a ring's points in percent of the picture."""
    height, width = size
    pairs = zip(ring[::2], ring[1::2], strict=True)
    return [[100 * x / width, 100 * y / height] for x, y in pairs]


def result_ids(result: list[Any]) -> Iterator[str]:
    """Yield the ids of results."""
    for one in result:
        if type(one) is dict and type(one.get("id")) is str:
            yield one["id"]
