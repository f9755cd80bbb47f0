"""COCO as tools write it: ids numbered anew, ``iscrowd`` 1 where a mask is no polygon.

The ``mask_id`` stands among ``attributes`` (CVAT) or as a key of the annotation itself (FiftyOne).
What ``iscrowd`` says is not asked: it is about a spelling there, and no decision depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.errors import SourceError
from curate.exchange.shapes import Picture, Shape, draw_of
from curate.formats.base import reading
from curate.formats.coco import collector_paused
from curate.formats.json_stream import scan
from curate.formats.segmentation import json_type, read_segmentation

_KEYS = frozenset({"images", "annotations", "categories"})
_OURS = re.compile(rb'"mask_id"|mask_\d+_at_\d+_\d+_\d+x\d+')
_SAID = ("mask_id", "draw_id", "slot")
_LONGEST = 80
_CHUNK = 1 << 22


def was_sent_out(path: Path) -> bool:
    """Return whether a JSON file speaks of a ``mask_id``, or of a crop."""
    with reading(path), path.open("rb") as file:
        tail = b""
        while data := file.read(_CHUNK):
            if _OURS.search(tail + data):
                return True
            tail = data[-_LONGEST:]
    return False


def coco_pictures(path: Path, name: str) -> Iterator[Picture]:
    """Yield the images of a COCO file with their annotations.

    Args:
        path: The file.
        name: What it is called, for messages.

    Raises:
        SourceError: The JSON is broken, or an annotation belongs to no image.
    """
    found: dict[str, list[dict[str, Any]]] = {key: [] for key in _KEYS}
    with reading(path), path.open("rb") as file, collector_paused():
        for batch in scan(file, name, _KEYS):
            for value in batch.parse(name):
                if type(value) is not dict:
                    what = f"one of its {batch.key} is {json_type(value)}, not an object"
                    raise SourceError(what, name)
                found[batch.key].append(value)
    labels = {_key(one.get("id")): one.get("name") for one in found["categories"]}
    pictures: dict[object, Picture] = {}
    for number, image in enumerate(found["images"], 1):
        key = _key(image.get("id"))
        if key in pictures:
            raise SourceError("its id stands twice", f"{name}, image {number}")
        pictures[key] = _picture(image, f"{name}, image {number}")
    for number, one in enumerate(found["annotations"], 1):
        where = f"annotation {number}"
        picture = pictures.get(_key(one.get("image_id")))
        if picture is None:
            raise SourceError("its image is not in the file", f"{name}, {where}")
        picture.shapes.append(_shape(one, picture, labels.get(_key(one.get("category_id"))), where))
    yield from pictures.values()


def _key(value: object) -> object:
    return value if isinstance(value, int | str) else None


def _picture(image: dict[str, Any], where: str) -> Picture:
    size = (image.get("height"), image.get("width"))
    if not all(type(side) is int and 0 < side < 2**31 for side in size):
        raise SourceError("its height and width are no whole numbers over 0", where)
    name, number = image.get("file_name"), image.get("id")
    if not isinstance(name, str):
        raise SourceError(f"its file_name is {json_type(name)}, not a text", where)
    known = number if type(number) is int and abs(number) < 2**62 else None
    return Picture(name, size, number=known)  # type: ignore[arg-type]


def _shape(one: dict[str, Any], picture: Picture, label: object, where: str) -> Shape:
    attributes = one.get("attributes")
    said = {key: one.get(key) for key in _SAID}
    if type(attributes) is dict:
        said |= {key: attributes[key] for key in _SAID if attributes.get(key) is not None}
    segmentation = one.get("segmentation")
    return Shape(
        said["mask_id"],
        read_segmentation(segmentation, *picture.size),
        label if isinstance(label, str) else None,
        where,
        isinstance(segmentation, list) and bool(segmentation),
        draw_of(said["draw_id"], said["slot"]),
    )
