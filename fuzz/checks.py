"""What was read, held against what plain parsers see in the same files.

Everything here raises :class:`WrongSuccess`, and only where it is certain: where a plain parser
cannot say what is right, nothing is said.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from curate.dataset.table import MaskTable
from curate.rle import to_dense
from fuzz import reference
from fuzz.reference import Pixels

Files = Mapping[str, bytes]
Check = Callable[[Files, Sequence[MaskTable]], None]

_KNOWS_BETTER = frozenset({"unknown_image", "duplicate_id", "bad_category"})
"""Statuses that say nothing about the pixels."""

_NO_PIXELS = ("undecodable", "bad_polygon", "no_segmentation", "size_mismatch", "empty")


class WrongSuccess(Exception):
    """What was read is not what stands in the file."""


class _Twice(ValueError):
    """A key stands twice in an object: every parser is right in its own way."""


def check_tables(files: Files, tables: Sequence[MaskTable]) -> None:
    """Check what holds of every table, whatever it was read from: measures, ids, sizes."""
    del files
    for table in tables:
        masks, images = table.masks, table.images
        ids = set(images.index.tolist())
        rows = zip(
            masks["segmentation"].tolist(),
            masks["height"].tolist(),
            masks["width"].tolist(),
            masks["area_px"].tolist(),
            map(tuple, masks[["bbox_x", "bbox_y", "bbox_w", "bbox_h"]].to_numpy().tolist()),
            masks["status"].tolist(),
            masks["image_id"].tolist(),
            masks["source_key"].tolist(),
            strict=True,
        )
        for counts, height, width, area, box, status, image, key in rows:
            if not isinstance(key, str) or not key:
                raise WrongSuccess("a mask has no source_key")
            if image not in ids and status == "ok":
                raise WrongSuccess(f"{key}: it is of no image that was read")
            if status == "ok" and (not isinstance(counts, bytes) or area < 1):
                raise WrongSuccess(f"{key}: it is ok without a pixel")
            if isinstance(counts, bytes) and height * width <= reference.MOST_PIXELS:
                numbers = reference.numbers_of(counts.decode("latin-1"))
                mask = None if numbers is None else reference.of_runs(numbers, height, width)
                if mask is None:
                    raise WrongSuccess(f"{key}: its kept counts do not decode")
                if (int(mask.sum()), reference.box_of(mask)) != (area, box):
                    raise WrongSuccess(f"{key}: area or box is not that of its counts")


def parse_json(data: bytes) -> Any:
    """Return JSON as the standard library reads it; None where it is none, or a key is twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise _Twice
        return found

    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique)
    except (ValueError, RecursionError):
        return None


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


def rows_by_key(tables: Sequence[MaskTable]) -> dict[str, dict[str, Any]]:
    """Return every mask by its source key, with its place for :func:`_pixels`."""
    found: dict[str, dict[str, Any]] = {}
    for table in tables:
        for at, (number, values) in enumerate(table.masks.to_dict("index").items()):
            row = {str(name): value for name, value in values.items()}
            key = str(row["source_key"])
            if key in found:
                raise WrongSuccess(f"{key} stands twice")
            found[key] = row | {"mask_id": number, "table": table, "at": at}
    return found


def compare_mask(row: dict[str, Any], expected: Pixels | None, is_broken: bool) -> None:
    """Compare a mask with what the reference draws."""
    key, status = row["source_key"], row["status"]
    if status in _KNOWS_BETTER:
        return
    if is_broken and status == "ok":
        raise WrongSuccess(f"{key}: it is ok, but its runs do not fill the image")
    if expected is None:
        return
    if not expected.any():
        if status == "ok":
            raise WrongSuccess(f"{key}: it is ok, but has no pixel")
        return
    if status != "ok":
        if status in _NO_PIXELS:
            raise WrongSuccess(f"{key}: it is {status} ({row['status_detail']}), but can be drawn")
        return
    here = to_dense(row["table"].runs, row["at"])
    if here.shape != expected.shape or (here != expected).any():
        differing = "shape" if here.shape != expected.shape else int((here != expected).sum())
        raise WrongSuccess(f"{key}: other pixels than the reference ({differing})")


def check_coco(files: Files, tables: Sequence[MaskTable]) -> None:
    """Check COCO, LVIS: a row an annotation, ids, sizes, categories, boxes, pixels."""
    (name, data), *_ = files.items()
    whole = parse_json(data)
    if not isinstance(whole, dict) or not isinstance(whole.get("annotations"), list):
        return
    annotations = whole["annotations"]
    rows = rows_by_key(tables)
    if len(rows) != len(annotations):
        raise WrongSuccess(f"{len(rows)} masks of {len(annotations)} annotations")
    images = _by_id(whole.get("images"))
    categories = _by_id(whole.get("categories"))
    ids = [one.get("id") if isinstance(one, dict) else None for one in annotations]
    own = all(map(_is_id, ids)) and len(set(ids)) == len(ids)
    for k, one in enumerate(annotations):
        row = rows.get(f"{name}#/annotations/{k}")
        if row is None:
            raise WrongSuccess(f"annotation {k} is not there")
        if not isinstance(one, dict) or images is None:
            continue
        if own and row["mask_id"] != one["id"]:
            raise WrongSuccess(f"annotation {k}: mask_id {row['mask_id']}, its id is {one['id']}")
        number: Any = one.get("image_id")
        image = images.get(number) if _is_id(number) else None
        if image is None:
            continue
        _check_image(row, image, k)
        category = one.get("category_id")
        if categories is not None and _is_id(category) and category in categories:
            label = categories[category].get("name")
            if isinstance(label, str) and label.isprintable() and row["status"] == "ok":
                _same(row["category"], label, f"annotation {k}: category")
        height: Any = image.get("height")
        width: Any = image.get("width")
        if reference.is_size(height, width):
            compare_mask(row, *reference.of_coco(one.get("segmentation"), height, width))
        _check_declared(row, one, k)


def _check_image(row: dict[str, Any], image: dict[str, Any], k: int) -> None:
    if row["image_id"] != image["id"] and row["status"] != "unknown_image":
        raise WrongSuccess(f"annotation {k}: image {row['image_id']}, not {image['id']}")
    for side in ("height", "width"):
        if type(image.get(side)) is int and 0 < image[side] < 2**31 and row["status"] == "ok":
            _same(row[side], image[side], f"annotation {k}: {side}")


def _check_declared(row: dict[str, Any], one: dict[str, Any], k: int) -> None:
    area: Any = one.get("area")
    box: Any = one.get("bbox")
    score: Any = one.get("score")
    plain = (int, float)
    if "declared_area" in row and type(area) in plain and abs(area) < 2**53:
        _same(row["declared_area"], area, f"annotation {k}: declared area")
    if "score" in row and type(score) in plain and abs(score) < 2**53:
        _same(row["score"], score, f"annotation {k}: score")
    is_box = isinstance(box, list) and len(box) == 4
    if "declared_x" in row and is_box and all(type(one) in plain for one in box):
        found = [row[f"declared_{side}"] for side in "xywh"]
        if not np.isnan(found).any() and max(map(abs, box)) < 2**53:
            _same(found, box, f"annotation {k}: declared box")


def _same(found: Any, expected: Any, what: str) -> None:
    if found != expected and not (expected != expected and found != found):
        raise WrongSuccess(f"{what} is {found!r}, not {expected!r}"[:200])


def _by_id(listed: Any) -> dict[int, dict[str, Any]] | None:
    """Return objects by their ids; None where there is no such list, or an id is odd or twice."""
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        return None
    ids = [one.get("id") for one in listed]
    if not all(map(_is_id, ids)) or len(set(ids)) < len(ids):
        return None
    return dict(zip(ids, listed, strict=True))


def check_results(files: Files, tables: Sequence[MaskTable]) -> None:
    """Check a results list: a row a record, and pixels in the size that its RLE states."""
    (name, data), *_ = files.items()
    whole = parse_json(data)
    if isinstance(whole, list):
        _check_records(name, whole, "", rows_by_key(tables), True)


def check_records(files: Files, tables: Sequence[MaskTable]) -> None:
    """Check records of SAM: amg's lists, and SA-1B's files with their image."""
    rows = rows_by_key(tables)
    for name, data in files.items():
        whole = parse_json(data) if name.endswith(".json") else None
        if isinstance(whole, list):
            _check_records(name, whole, "", rows, False)
        elif isinstance(whole, dict) and isinstance(whole.get("annotations"), list):
            image = whole.get("image")
            if isinstance(image, dict) and _is_id(image.get("image_id")):
                _check_records(name, whole["annotations"], "/annotations", rows, False, image)


def _check_records(
    name: str,
    records: list[Any],
    inside: str,
    rows: dict[str, dict[str, Any]],
    all_read: bool,
    image: dict[str, Any] | None = None,
) -> None:
    found = [rows.get(f"{name}#{inside}/{k}") for k in range(len(records))]
    if all_read and sum(one is not None for one in found) != len(rows):
        raise WrongSuccess(f"{len(rows)} masks of {len(records)} records")
    if not any(found):
        return  # the file as a whole was refused, or is of another kind
    for k, (one, row) in enumerate(zip(records, found, strict=True)):
        if row is None:
            raise WrongSuccess(f"{name}: record {k} is not there")
        if not isinstance(one, dict) or not isinstance(one.get("segmentation"), dict):
            continue
        size = one["segmentation"].get("size")
        if image is not None:
            size = [image.get("height"), image.get("width")]
        elif [row["height"], row["width"]] != size:
            continue  # images of results, and of records, get their size from most of their masks
        if isinstance(size, list) and len(size) == 2 and reference.is_size(*size):
            compare_mask(row, *reference.of_coco(one["segmentation"], *size))


def check_sav(files: Files, tables: Sequence[MaskTable]) -> None:
    """Check masklets of SA-V: the mask of an object in a frame stands where its key says."""
    rows = rows_by_key(tables)
    for name, data in files.items():
        whole = parse_json(data) if name.endswith(".json") else None
        if not isinstance(whole, dict) or not isinstance(whole.get("masklet"), list):
            continue
        for f, frame in enumerate(whole["masklet"]):
            for k, one in enumerate(frame if isinstance(frame, list) else []):
                row = rows.get(f"{name}#/masklet/{f}/{k}")
                if row is not None and isinstance(one, dict):
                    size = row["height"], row["width"]
                    if reference.is_size(*size):
                        compare_mask(row, *reference.of_coco(one, *size))


def check_yolo(files: Files, tables: Sequence[MaskTable]) -> None:
    """Check YOLO labels with a reader of twenty lines."""
    for key, row in rows_by_key(tables).items():
        name, _, number = key.rpartition(":")
        if name not in files or not reference.is_size(row["height"], row["width"]):
            continue
        fields = files[name].splitlines()[int(number) - 1].split()
        try:
            values = [float(field) for field in fields[1:] if b"_" not in field]
        except ValueError:
            continue
        if len(values) < 6 or len(values) % 2 or len(values) != len(fields) - 1:
            continue
        if not all(0 <= value <= 1 for value in values) or not fields[0].isdigit():
            continue
        sides = row["width"], row["height"]
        ring = [value * sides[k % 2] for k, value in enumerate(values)]
        compare_mask(row, reference.of_polygons([ring], row["height"], row["width"]), False)


def check_cvat(files: Files, tables: Sequence[MaskTable]) -> None:
    """Check CVAT's masks and polygons with the standard library's XML."""
    _check_shapes(files, tables, "image")


def check_cvat_video(files: Files, tables: Sequence[MaskTable]) -> None:
    """Check masks and polygons of CVAT's tracks with the standard library's XML."""
    _check_shapes(files, tables, "track")


def _check_shapes(files: Files, tables: Sequence[MaskTable], tag: str) -> None:
    (name, data), *_ = files.items()
    try:
        images = [one for one in ET.fromstring(data) if one.tag == tag]
    except (ET.ParseError, ValueError, LookupError):
        return
    for key, row in rows_by_key(tables).items():
        parts = key.removeprefix(f"{name}#/{tag}/").split("/")
        if len(parts) != 3 or not parts[0].isdigit() or int(parts[0]) >= len(images):
            continue
        shapes = [one for one in images[int(parts[0])] if one.tag == parts[1]]
        if int(parts[2]) >= len(shapes):
            raise WrongSuccess(f"{key}: there is no such shape")
        height, width = row["height"], row["width"]
        if reference.is_size(height, width):
            compare_mask(row, _drawn(shapes[int(parts[2])], height, width), False)


def _drawn(one: ET.Element, height: int, width: int) -> Pixels | None:
    try:
        if one.tag == "polygon":
            pairs = [pair.split(",") for pair in one.get("points", "").split(";")]
            if any(len(pair) != 2 for pair in pairs):
                return None
            ring = [float(value) for pair in pairs for value in pair if "_" not in value]
            return reference.of_polygons([ring], height, width)
        x, y, w, h = (int(one.get(side, "")) for side in ("left", "top", "width", "height"))
        counts = [int(count) for count in one.get("rle", "").split(",")]
    except ValueError:
        return None
    if x < 0 or y < 0 or x + w > width or y + h > height or w < 1 or h < 1:
        return None
    flat = reference.of_runs(counts, w, h)  # by row: as a column-major mask lying on its side
    if flat is None:
        return None
    mask = np.zeros((height, width), bool)
    mask[y : y + h, x : x + w] = flat.T
    return mask
