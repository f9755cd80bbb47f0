"""FiftyOne's dataset folder: ``metadata.json``, ``samples.json`` and the pictures in ``data/``.

Facts, from FiftyOne's exporter and labels: a sample has ``filepath`` (relative to the folder where
its picture was exported), ``metadata`` with the size or null, and label fields. A ``Detections``
field lists detections with ``bounding_box`` as [x, y, w, h] from 0 to 1, and ``mask``, a packed
array that fills the box, or ``mask_path``, a picture of it.

One field is read: ``ground_truth`` where that has masks, else the first that has. Other fields and
other labels (polylines, boxes, semantic masks) are neither read nor touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from curate.common.garbage_collection import pause_collector
from curate.common.json_values import JsonObject
from curate.dataset.notes import Note
from curate.dataset.table import MaskTable
from curate.errors import CurateError, SourceError
from curate.formats.fiftyone.fiftyone_samples import (
    METADATA,
    SAMPLES,
    find_sample_pictures,
    path_inside,
    sample_size,
    stated_size,
    subset_of_sample,
    survey_samples,
)
from curate.formats.fiftyone.fiftyone_writing import write
from curate.formats.fiftyone.mask_arrays import pixel_boxes, place_pixels, read_mask
from curate.formats.format import PART_BYTES, Format, Part, ReadOptions, convert_read_errors
from curate.formats.json.image_records import find_records, read_records
from curate.formats.json.json_columns import whole_number
from curate.formats.json.sniffing import shape_of
from curate.formats.json.streaming import parse_document
from curate.formats.own_pictures import OwnPictures, under_one_of
from curate.formats.picture_sizes import note_size
from curate.formats.png.png_reading import PictureProblem, read_header, read_pixels
from curate.formats.segmentation import Segmentation, json_type, valid_size
from curate.formats.table_builder import TableBuilder, number, parts_of, plain
from curate.formats.untouched.fiftyone_check import check_fiftyone

_NO_OPTIONS = ReadOptions()
_TRIED = 20
_LARGEST_METADATA = 1 << 26


def matches(path: Path) -> bool:
    """Return whether a folder has FiftyOne's ``samples.json`` and ``metadata.json``."""
    try:
        if not path.is_dir() or not (path / METADATA).is_file():
            return False
        shape = shape_of(path / SAMPLES)
        return shape.root == "object" and shape.is_list.get("samples", False)
    except (CurateError, OSError, ValueError):
        return False


def plan(source: Path, work: Path, options: ReadOptions = _NO_OPTIONS) -> Iterator[Part]:
    """Group samples into parts; one look at all of them says which field is read."""
    _refuse_other_media(source)
    found = survey_samples(source)
    pictures = find_sample_pictures(found, options)
    items = []
    for i, block in enumerate(found.blocks):
        end = found.blocks[i + 1].first if i + 1 < len(found.blocks) else found.total
        own = tuple(
            (k, pictures[found.unsized[k]])
            for k in range(block.first, end)
            if found.unsized.get(k) in pictures
        )
        others = tuple(found.others.items()) if i == 0 else ()
        items.append(((*block, found.field, own, others), block.size))
    yield from parts_of(items or [((0, 0, 0, found.field, (), ()), 0)], PART_BYTES)


def _refuse_other_media(source: Path) -> None:
    path = source / METADATA
    with convert_read_errors(path):
        if path.stat().st_size > _LARGEST_METADATA:
            return
        value = parse_document(path.read_bytes(), METADATA)
    media = value.get("media_type") if type(value) is dict else None
    if type(media) is str and media not in ("image", "group", "mixed"):
        do = "export a dataset of images, such as dataset.to_frames()"
        raise SourceError(f"it is a FiftyOne dataset of {media[:40]}", str(source), do)


def pictures(source: Path) -> OwnPictures | None:
    """Return the folder where its pictures were exported with it."""
    names: list[str] = []
    for _, samples in find_records(source / SAMPLES, "samples"):
        names += [one["filepath"] for one in samples if type(one) is dict and "filepath" in one]
        if len(names) >= _TRIED:
            break
    inside = [name for name in names[:_TRIED] if type(name) is str]
    return OwnPictures(source.resolve()) if under_one_of([source], inside) else None


def load(source: Path, part: Part, options: ReadOptions = _NO_OPTIONS) -> MaskTable:
    """Read the masks of some samples."""
    rows = TableBuilder()
    with pause_collector():
        for first, start, end, field, own, others in part.payload:
            for name, count in others:
                what = f"the field {name[:60]} has masks too: one field is read ({field[:60]})"
                rows.notes.merge([Note("other_fields", what, count, "images")])
            paths = dict(own)
            samples = read_records(source / SAMPLES, start, end)
            for ordinal, sample in enumerate(samples, first):
                _add_sample(rows, source, sample, field, ordinal, paths.get(ordinal))
        return rows.table()


def _add_sample(
    rows: TableBuilder, source: Path, sample: JsonObject, field: str, ordinal: int, path: str | None
) -> None:
    name = cast(str, sample["filepath"])
    key = f"{SAMPLES}#/samples/{ordinal}"
    size, status, detail = sample_size(source, sample, path), "ok", ""
    if size == (0, 0):
        status, detail = "invalid_size", "its metadata has no size, and its picture was not found"
    elif stated_size(sample) == (0, 0):
        note_size(rows.notes, plain(name))
    subset = subset_of_sample(sample)
    image = rows.image(name, size, status, detail, source_key=key, subset=subset)
    value = sample.get(field)
    listed = value.get("detections") if type(value) is dict else None
    for number_of, one in enumerate(listed if type(listed) is list else []):
        place = f"{key}/{field}/detections/{number_of}"
        if type(one) is not dict:
            mask = Segmentation(None, "wrong_type", f"the detection is {json_type(one)}")
            rows.mask(place, image, mask)
            continue
        mask, is_scaled = _read(source, one, size)
        if is_scaled:
            what = "masks of another size than their box are scaled to it, as FiftyOne does"
            rows.notes.add("scaled_masks", what, plain(place))
        rows.mask(place, image, mask, whole_number(one.get("mask_id")), _columns(one))
    for other, some in sample.items():
        kind = some.get("_cls") if type(some) is dict else None
        if kind in ("Polylines", "Polyline", "Segmentation"):
            what = f"{kind} (field {other[:60]}) are no instance masks: not read, and stay"
            rows.notes.add("no_mask", what, plain(key), "images")


def _columns(detection: JsonObject) -> dict[str, object]:
    label = detection.get("label")
    made: dict[str, object] = {"category": label if type(label) is str else None}
    if detection.get("confidence") is not None:
        made["score"] = number(detection["confidence"], "confidence")[0]
    for name in ("predicted_iou", "stability_score"):
        if detection.get(name) is not None:
            made[name] = number(detection[name], name)[0]
    if detection.get("iscrowd") in (0, 1):
        made["iscrowd"] = int(cast(Any, detection["iscrowd"]))
    return made


def _read(source: Path, one: JsonObject, size: tuple[int, int]) -> tuple[Segmentation, bool]:
    if one.get("mask") is not None:
        return read_mask(one["mask"], one.get("bounding_box"), size)
    path = one.get("mask_path")
    if type(path) is not str:
        return Segmentation(None, "no_segmentation", "the detection has a box and no mask"), False
    return _read_picture(source, path, one.get("bounding_box"), size)


def _read_picture(
    source: Path, name: str, box: object, size: tuple[int, int]
) -> tuple[Segmentation, bool]:
    """Read a mask that is a PNG of its own."""
    path = path_inside(source, name)
    placed = pixel_boxes(box, size)
    if path is None:
        what = f"its mask_path {name[:80]!r} is no file of the folder"
        return Segmentation(None, "no_segmentation", plain(what)), False
    if placed is None or not valid_size(*size):
        return Segmentation(None, "wrong_type", "its bounding_box is no box"), False
    try:
        pixels = np.asarray(read_pixels(path, read_header(path))[0]) != 0
        return place_pixels(pixels.any(axis=2) if pixels.ndim == 3 else pixels, placed, size)
    except (PictureProblem, ValueError) as problem:
        detail = getattr(problem, "detail", str(problem))
        return Segmentation(None, "undecodable", f"its mask {plain(name)}: {detail}"), False


FORMAT = Format(
    "fiftyone",
    "FiftyOne's dataset folder",
    matches,
    plan,
    load,
    write,
    follows=("plan", "load", "write"),
    check_unedited=check_fiftyone,
    pictures=pictures,
)
