"""COCO files of other tools: renumbered ids, ``iscrowd`` 1 where a mask is no polygon.

The ``mask_id`` stands among ``attributes`` (CVAT) or as a key of the annotation itself (FiftyOne).
What ``iscrowd`` says there is about a spelling, so it is asked of our own COCO files alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from curate.common import files
from curate.common.garbage_collection import pause_collector
from curate.common.json_values import JsonObject
from curate.errors import SourceError
from curate.formats.format import convert_read_errors, new_folder
from curate.formats.json.sniffing import shape_of
from curate.formats.json.streaming import scan
from curate.formats.segmentation import json_type, read_segmentation
from curate.people.exchange.image_names import save_pictures
from curate.people.exchange.imported_images import (
    UNREAD,
    ImageFilter,
    ImportedImage,
    ImportedMask,
    parse_draw,
)
from curate.people.exchange.queue_images import ExportedView, check_pictures, find_pictures
from curate.people.exchange.queue_writing import DUMP, QueueRow, write_items
from curate.people.exchange.registry import ExportOptions
from curate.people.exchange.tool_labels import Labels
from curate.rle import CocoRle, area, bbox, encode_counts
from curate.store.audit import StoredAudit
from curate.store.audit_sql import DATASET_VERSION, dataset_version


@dataclass(frozen=True)
class FolderLayout:
    """Layout of a folder with a COCO file and pictures.

    Attributes:
        tool: Who reads it, for messages.
        labels: Name of the COCO file.
        pictures: Name of the folder of pictures.
        attributes: A row of the queue to further keys of its annotation.
    """

    tool: str
    labels: str
    pictures: str
    attributes: Callable[[QueueRow], dict[str, object]]


def write_coco_folder(
    audit: StoredAudit, rows: pd.DataFrame, out: Path, how: ExportOptions, layout: FolderLayout
) -> int:
    """Write a queue as a folder of pictures with a COCO file.

    Args:
        audit: The audit it is of.
        rows: The queue.
        out: The folder.
        how: Crops, or whole images if that is left open.
        layout: Names, and what an annotation looks like.

    Returns:
        How many masks stand in it: those whose picture cannot be shown do not.

    Raises:
        CallError: There are no pictures.
    """
    folder = check_pictures(find_pictures(audit, how), layout.tool)
    labels = Labels(audit)
    number = {name: k for k, name in enumerate(labels.list_names(), 1)}
    head = {
        "info": make_queue_info(audit.path.name, dataset_version(audit)),
        "categories": [{"id": k, "name": name, "supercategory": ""} for name, k in number.items()],
    }
    images: list[bytes] = []

    def annotations(pictures: Path) -> Iterator[dict[str, object]]:
        for view, name, saved in save_pictures(
            audit, rows, folder, pictures, crops=bool(how.crops)
        ):
            if not saved:
                continue
            image = {"id": len(images) + 1, "file_name": name}
            images.append(orjson.dumps(image | {"width": view.box.w, "height": view.box.h}))
            for record, mask in _rows_as_seen(view, len(images)):
                made = make_annotation(record, mask, number[labels.of(record)])
                yield made | layout.attributes(record)

    with new_folder(out) as made:
        files.mkdir(made / layout.pictures)
        with files.open_file(made / layout.labels) as file:
            file.write(orjson.dumps(head, option=DUMP)[:-1] + b',"annotations":[')
            written = write_items(file, annotations(made / layout.pictures))
            file.write(b'\n],"images":[\n' + b",\n".join(images) + b"\n]}\n")
    return written


def _rows_as_seen(view: ExportedView, image: int) -> Iterator[tuple[QueueRow, CocoRle]]:
    """Yield the rows of a view, measured in its window, with their masks there."""
    counts, boxes = encode_counts(view.runs).to_pylist(), bbox(view.runs).tolist()
    areas = area(view.runs).tolist()
    for k, record in enumerate(view.rows):
        mask = CocoRle(size=[view.box.h, view.box.w], counts=counts[k].decode("ascii"))
        box = {f"bbox_{side}": boxes[k][at] for at, side in enumerate("xywh")}
        yield {**record, "image_id": image, "area_px": areas[k], **box}, mask


def make_annotation(record: QueueRow, mask: CocoRle, category: int) -> dict[str, object]:
    """Return a mask as COCO has it.

    Args:
        record: Its row of a queue.
        mask: Its run lengths.
        category: The number of its category.
    """
    return {
        "id": record["mask_id"],
        "image_id": record["image_id"],
        "category_id": category,
        "segmentation": mask,
        "area": record["area_px"],
        "bbox": [record[f"bbox_{side}"] for side in "xywh"],
        "iscrowd": int(record.get("iscrowd") or 0),
    }


_OURS = re.compile(rb'"mask_id"|mask_\d+_at_\d+_\d+_\d+x\d+')
_ATTRIBUTES = ("mask_id", "draw_id", "slot", DATASET_VERSION)
_QUEUE = "review queue of "
_MAX_NAME = 80
_CHUNK = 1 << 22


def make_queue_info(source: object, version: str | None) -> dict[str, object]:
    """Return the ``info`` of a queue.

    Args:
        source: What it is a queue of.
        version: The short version id of its dataset; None for none.
    """
    named = {} if version is None else {"version": version}
    return {"description": f"{_QUEUE}{source}", **named}


def is_queue(path: Path) -> bool:
    """Return whether the ``info`` of a COCO file marks it as a review queue."""
    return _is_queue_info(shape_of(path).one("info"))


def read_queue_version(path: Path) -> object:
    """Return the dataset version that the ``info`` of a queue names; None for none.

    In other files, ``version`` is what their makers count.
    """
    info = shape_of(path).one("info")
    return info.get("version") if _is_queue_info(info) else None


def _is_queue_info(info: JsonObject) -> bool:
    return str(info.get("description", "")).startswith(_QUEUE)


def has_mask_ids(path: Path) -> bool:
    """Return whether a JSON file holds a ``mask_id``, or the name of a crop."""
    with convert_read_errors(path), path.open("rb") as file:
        tail = b""
        while data := file.read(_CHUNK):
            if _OURS.search(tail + data):
                return True
            tail = data[-_MAX_NAME:]
    return False


def read_coco_images(
    path: Path, name: str, wanted: ImageFilter, *, crowds: bool = False
) -> Iterator[ImportedImage]:
    """Yield the images of a COCO file with their annotations.

    The file is read twice: what images are called, and how large they are, is looked at before any
    annotation is; these are made into masks some at a time.

    Args:
        path: The file.
        name: What it is called, for messages.
        wanted: Whose masks are read.
        crowds: Whether ``iscrowd`` means what it does in COCO.

    Raises:
        SourceError: The JSON is broken, an annotation belongs to no image, or its category is not
            declared.
    """
    labels: dict[object, object] = {}
    pictures: dict[object, ImportedImage] = {}
    for key, number, value in _read_objects(path, name, frozenset({"images", "categories"})):
        known = _key(value.get("id"))
        if key == "categories":
            labels[known] = value.get("name")
            continue
        if known in pictures:
            raise SourceError("its id occurs twice", f"{name}, image {number}")
        pictures[known] = _to_image(value, f"{name}, image {number}")
    flags = dict(zip(pictures, wanted(list(pictures.values())), strict=True))
    for _, number, one in _read_objects(path, name, frozenset({"annotations"})):
        where = f"annotation {number}"
        image = _key(one.get("image_id"))
        if image not in pictures:
            raise SourceError("its image is not in the file", f"{name}, {where}")
        label = _category_name(labels, one, f"{name}, {where}")
        shape = _to_mask(one, pictures[image], label, where, flags[image])
        crowd = one.get("iscrowd") if crowds else None
        crowd = crowd if crowd in (0, 1) else None
        pictures[image].shapes.append(replace(shape, iscrowd=crowd))
    yield from pictures.values()


def _read_objects(
    path: Path, name: str, keys: frozenset[str]
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield the objects of some lists: the list's key, the number in it from 1, and the object."""
    counts = dict.fromkeys(keys, 0)
    with convert_read_errors(path), path.open("rb") as file, pause_collector():
        for batch in scan(file, name, keys):
            for value in batch.parse(name):
                if type(value) is not dict:
                    what = f"one of its {batch.key} is {json_type(value)}, not an object"
                    raise SourceError(what, name)
                counts[batch.key] += 1
                yield batch.key, counts[batch.key], value


def _category_name(labels: dict[object, object], one: JsonObject, where: str) -> object:
    """Return the name of an annotation's category; refuse one that is not declared."""
    number = one.get("category_id")
    if number is not None and labels and _key(number) not in labels:
        what = f"its category_id {str(number)[:40]} is not among the file's categories"
        do = "declare it there, or give the mask one that is"
        raise SourceError(what, where, do)
    return labels.get(_key(number))


def _key(value: object) -> object:
    return value if isinstance(value, int | str) else None


def _to_image(image: JsonObject, where: str) -> ImportedImage:
    size = (image.get("height"), image.get("width"))
    if not all(type(side) is int and 0 < side < 2**31 for side in size):
        raise SourceError("its height and width are no whole numbers over 0", where)
    name, number = image.get("file_name"), image.get("id")
    if not isinstance(name, str):
        raise SourceError(f"its file_name is {json_type(name)}, not a text", where)
    known = number if type(number) is int and abs(number) < 2**62 else None
    return ImportedImage(name, size, number=known)  # type: ignore[arg-type]


def _to_mask(
    one: JsonObject, picture: ImportedImage, label: object, where: str, read: bool
) -> ImportedMask:
    attributes = one.get("attributes")
    said = {key: one.get(key) for key in _ATTRIBUTES}
    if type(attributes) is dict:
        said |= {key: attributes[key] for key in _ATTRIBUTES if attributes.get(key) is not None}
    segmentation = one.get("segmentation")
    return ImportedMask(
        said["mask_id"],
        read_segmentation(segmentation, *picture.size) if read else UNREAD,
        label if isinstance(label, str) else None,
        where,
        isinstance(segmentation, list) and bool(segmentation),
        parse_draw(said["draw_id"], said["slot"]),
        said[DATASET_VERSION],
    )
