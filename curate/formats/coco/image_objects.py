"""Image objects of COCO: file name and size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.formats.coco.annotation_columns import UNKNOWN_SIZE, ImageRows
from curate.formats.json.json_columns import text, whole_number
from curate.formats.json.streaming import scan
from curate.formats.own_pictures import OwnPictures, beside_file
from curate.formats.repairs import FIELD_NOTES
from curate.formats.segmentation import json_type, size_problem, valid_size

_LISTS = frozenset({"images", "annotations", "categories"})


def image_fields(value: Any) -> tuple[str, int, int, str]:
    """Return file name, height and width of an image object, and what is wrong with it.

    What is wrong is "" where nothing is. A size that is not stated is :data:`UNKNOWN_SIZE`; one
    that cannot be used is 0.
    """
    if type(value) is not dict:
        return "", 0, 0, f"the image is {json_type(value)}, not an object"
    name = value.get("file_name")
    if type(name) is not str:
        url = value.get("coco_url")  # LVIS names its pictures only so
        name = "/".join(url.split("/")[-2:]) if type(url) is str else name
    sizes, problem = [], ""
    for side in ("height", "width"):
        given = value.get(side)
        number = UNKNOWN_SIZE if given is None else whole_number(given)
        if number is None:
            problem = f"its {side} is {json_type(given)}"
            problem += " that is not whole" if type(given) in (int, float) else ""
        sizes.append(0 if number is None else number)
    height, width = sizes
    if problem or UNKNOWN_SIZE in (value.get("height"), value.get("width")):
        return text(name), 0, 0, problem or size_problem(*sizes)
    if UNKNOWN_SIZE in sizes:
        return text(name), UNKNOWN_SIZE, UNKNOWN_SIZE, ""
    if not valid_size(height, width):
        in_range = max(abs(height), abs(width)) < 2**31
        kept = (height, width) if in_range and min(sizes) >= 0 else (0, 0)
        return text(name), *kept, size_problem(height, width)
    return text(name), height, width, ""


def states_no_size(value: Any) -> bool:
    """Return whether an image object leaves its size open: a side is missing, null or 0."""
    if type(value) is not dict:
        return False
    sides = [value.get(side) for side in ("height", "width")]
    sides = [0 if side is None else whole_number(side) for side in sides]
    return 0 in sides and None not in sides


def pictures(source: Path) -> OwnPictures | None:
    """Return the pictures beside a file in COCO's form; see :func:`beside_file`."""
    return beside_file(source, _names_and_sizes(source)) if source.is_file() else None


def _names_and_sizes(source: Path) -> Iterator[tuple[str, tuple[int, int] | None]]:
    """Yield the file name of every image, and its height and width where they are known."""
    seen = False
    with source.open("rb") as file:
        for batch in scan(file, source.name, _LISTS):
            if batch.key == "images" and batch.is_list:
                seen = True
                for value in batch.parse(source.name):
                    name, height, width, _ = image_fields(value)
                    yield name, ((height, width) if min(height, width) > 0 else None)
            elif seen:
                return


def note_sizes(images: ImageRows, value: Any) -> None:
    """Note sizes that are not written as whole numbers though they are.

    Args:
        images: The images that the note is for.
        value: An image object.
    """
    sizes = [value.get(side) for side in ("height", "width")] if type(value) is dict else []
    for of, kind in ((str, "text_numbers"), (float, "float_sizes")):
        if any(type(side) is of and whole_number(side) is not None for side in sizes):
            name = text(value.get("file_name"))
            images.notes.add(kind, FIELD_NOTES[kind], name, of="images")
