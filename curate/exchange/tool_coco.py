"""COCO as tools write it: ids numbered anew, ``iscrowd`` 1 where a mask is no polygon.

The ``mask_id`` stands among ``attributes`` (CVAT) or as a key of the annotation itself (FiftyOne).
What ``iscrowd`` says there is about a spelling, so it is asked of our own COCO files alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from curate.curation.audits import DATASET_VERSION
from curate.errors import SourceError
from curate.exchange.shapes import UNREAD, ImportedImage, ImportedMask, Wanted, draw_of
from curate.formats.base import reading
from curate.formats.coco import collector_paused
from curate.formats.json_shape import shape_of
from curate.formats.json_stream import scan
from curate.formats.segmentation import json_type, read_segmentation

_OURS = re.compile(rb'"mask_id"|mask_\d+_at_\d+_\d+_\d+x\d+')
_SAID = ("mask_id", "draw_id", "slot", DATASET_VERSION)
_QUEUE = "review queue of "
_LONGEST = 80
_CHUNK = 1 << 22


def info_of_queue(source: object, version: str | None) -> dict[str, Any]:
    """Return the ``info`` of a queue.

    Args:
        source: What it is a queue of.
        version: The short version id of its dataset; None for none.
    """
    named = {} if version is None else {"version": version}
    return {"description": f"{_QUEUE}{source}", **named}


def is_queue(path: Path) -> bool:
    """Return whether the ``info`` of a COCO file says that it is a queue."""
    return _is_info_of_queue(shape_of(path).one("info"))


def version_of_queue(path: Path) -> object:
    """Return which version of the dataset the ``info`` of a queue names; None for nothing.

    In other files, ``version`` is what their makers count.
    """
    info = shape_of(path).one("info")
    return info.get("version") if _is_info_of_queue(info) else None


def _is_info_of_queue(info: dict[str, Any]) -> bool:
    return str(info.get("description", "")).startswith(_QUEUE)


def was_sent_out(path: Path) -> bool:
    """Return whether a JSON file speaks of a ``mask_id``, or of a crop."""
    with reading(path), path.open("rb") as file:
        tail = b""
        while data := file.read(_CHUNK):
            if _OURS.search(tail + data):
                return True
            tail = data[-_LONGEST:]
    return False


def coco_pictures(
    path: Path, name: str, wanted: Wanted, *, crowds: bool = False
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
    for key, number, value in _objects(path, name, frozenset({"images", "categories"})):
        known = _key(value.get("id"))
        if key == "categories":
            labels[known] = value.get("name")
            continue
        if known in pictures:
            raise SourceError("its id stands twice", f"{name}, image {number}")
        pictures[known] = _picture(value, f"{name}, image {number}")
    flags = dict(zip(pictures, wanted(list(pictures.values())), strict=True))
    for _, number, one in _objects(path, name, frozenset({"annotations"})):
        where = f"annotation {number}"
        image = _key(one.get("image_id"))
        if image not in pictures:
            raise SourceError("its image is not in the file", f"{name}, {where}")
        label = _label(labels, one, f"{name}, {where}")
        shape = _shape(one, pictures[image], label, where, flags[image])
        crowd = one.get("iscrowd") if crowds else None
        crowd = crowd if crowd in (0, 1) else None
        pictures[image].shapes.append(replace(shape, iscrowd=crowd))
    yield from pictures.values()


def _objects(
    path: Path, name: str, keys: frozenset[str]
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield the objects of some lists: the list's key, the number in it from 1, and the object."""
    counts = dict.fromkeys(keys, 0)
    with reading(path), path.open("rb") as file, collector_paused():
        for batch in scan(file, name, keys):
            for value in batch.parse(name):
                if type(value) is not dict:
                    what = f"one of its {batch.key} is {json_type(value)}, not an object"
                    raise SourceError(what, name)
                counts[batch.key] += 1
                yield batch.key, counts[batch.key], value


def _label(labels: dict[object, object], one: dict[str, Any], where: str) -> object:
    """Return the name of an annotation's category; refuse one that is not declared."""
    number = one.get("category_id")
    if number is not None and labels and _key(number) not in labels:
        what = f"its category_id {str(number)[:40]} is not among the file's categories"
        do = "declare it there, or give the mask one that is"
        raise SourceError(what, where, do)
    return labels.get(_key(number))


def _key(value: object) -> object:
    return value if isinstance(value, int | str) else None


def _picture(image: dict[str, Any], where: str) -> ImportedImage:
    size = (image.get("height"), image.get("width"))
    if not all(type(side) is int and 0 < side < 2**31 for side in size):
        raise SourceError("its height and width are no whole numbers over 0", where)
    name, number = image.get("file_name"), image.get("id")
    if not isinstance(name, str):
        raise SourceError(f"its file_name is {json_type(name)}, not a text", where)
    known = number if type(number) is int and abs(number) < 2**62 else None
    return ImportedImage(name, size, number=known)  # type: ignore[arg-type]


def _shape(
    one: dict[str, Any], picture: ImportedImage, label: object, where: str, read: bool
) -> ImportedMask:
    attributes = one.get("attributes")
    said = {key: one.get(key) for key in _SAID}
    if type(attributes) is dict:
        said |= {key: attributes[key] for key in _SAID if attributes.get(key) is not None}
    segmentation = one.get("segmentation")
    return ImportedMask(
        said["mask_id"],
        read_segmentation(segmentation, *picture.size) if read else UNREAD,
        label if isinstance(label, str) else None,
        where,
        isinstance(segmentation, list) and bool(segmentation),
        draw_of(said["draw_id"], said["slot"]),
        said[DATASET_VERSION],
    )
