"""VGG Image Annotator (VIA 1 and 2): polygons of many images in one JSON file.

Facts, from VIA's page and its exports: a project keeps the images under ``_via_img_metadata``, an
export of annotations is that object alone; an image has ``filename``, ``size`` (bytes of the file)
and ``regions``, each with ``shape_attributes`` (``all_points_x`` and ``all_points_y`` of a polygon)
and ``region_attributes``, which a project defines as it likes. No size in pixels is stored, so it
comes from the picture, and without it there are no masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from curate.common.files import open_to_read
from curate.common.garbage_collection import pause_collector
from curate.common.json_values import is_finite_number
from curate.dataset.notes import Note
from curate.dataset.table import MaskTable
from curate.errors import CurateError
from curate.formats.format import PART_BYTES, Format, Part, ReadOptions, convert_read_errors
from curate.formats.json.byte_edits import read_span
from curate.formats.json.streaming import parse_one
from curate.formats.own_pictures import OwnPictures, beside_file, under_one_of
from curate.formats.picture_sizes import note_size, picture_size
from curate.formats.segmentation import Segmentation, json_type, read_polygons, valid_size
from curate.formats.table_builder import TableBuilder, parts_of, plain
from curate.formats.untouched.via_check import check_via
from curate.formats.via.via_places import (
    attributes_of,
    category_attribute,
    category_of,
    find_images,
    list_regions,
    survey_file,
    via_file,
    via_files,
)
from curate.formats.via.via_writing import find_via_pictures, write

_NO_OPTIONS = ReadOptions()
_PICTURE_COST = 4_096  # what opening a picture costs, in bytes of JSON


def matches(path: Path) -> bool:
    """Return whether a file, or a file right in a folder, is VIA's."""
    try:
        return bool(via_files(path))
    except (CurateError, OSError, ValueError):
        return False


def plan(source: Path, work: Path, options: ReadOptions = _NO_OPTIONS) -> Iterator[Part]:
    """Group images into parts."""
    found = survey_file(via_file(source))
    pictures = find_via_pictures(source, found.names, options)
    items = [
        ((number, *place, pictures.get(name, "")), place.end - place.start + _PICTURE_COST)
        for number, (place, name) in enumerate(zip(found.places, found.names, strict=True))
    ]
    yield from parts_of(items or [((0, 0, 0, ""), 0)], PART_BYTES)


def pictures(source: Path) -> OwnPictures | None:
    """Return the folder of the pictures where they lie beside the file."""
    file = via_file(source)
    names = ((str(image["filename"]), None) for _, image in find_images(file))
    if source.is_dir():
        inside = [name for name, _ in names]
        return OwnPictures(source.resolve()) if under_one_of([source], inside, 0.5) else None
    return beside_file(file, names)


def load(source: Path, part: Part, options: ReadOptions = _NO_OPTIONS) -> MaskTable:
    """Read the masks of some images."""
    rows = TableBuilder()
    with pause_collector():
        path = via_file(source)
        with convert_read_errors(path), open_to_read(path) as file:
            for number, start, end, picture in part.payload:
                if end > start:
                    image = parse_one(read_span(file, start, end), start, path.name)
                    _add_image(rows, image, f"{path.name}#/{number}", picture)
        return rows.table()


def _add_image(rows: TableBuilder, image: Mapping[str, object], key: str, picture: str) -> None:
    name = str(image["filename"])
    size, status, detail = picture_size(Path(picture)) if picture else (0, 0), "ok", ""
    if not picture:
        status, detail = "missing", "no picture is found, and the file states no size"
    elif not valid_size(*size):
        status, detail = "unreadable", "its picture cannot be read, and the file states no size"
    else:
        note_size(rows.notes, plain(name))
    row = rows.image(name, size, status, detail, source_key=key)
    others: dict[str, int] = {}
    for number, region in enumerate(list_regions(image)):
        place = f"{key}/regions/{number}"
        shape = region.get("shape_attributes") if type(region) is dict else None
        kind = shape.get("name") if type(shape) is dict else None
        if type(shape) is dict and kind != "polygon":
            others[str(kind)[:40]] = others.get(str(kind)[:40], 0) + 1
            continue
        mask = _read_polygon(shape, size)
        optional = {"category": category_of(region)}
        if len(attributes_of(region)) > 1 and not category_attribute(region):
            what = "regions have several attributes, and none is called like a category"
            rows.notes.add("no_category", what, plain(place))
        rows.mask(place, row, mask, None, optional)
    for kind, count in others.items():
        what = f"{kind} is no mask: it is not read, and stays"
        rows.notes.merge([Note("no_mask", what, count, "shapes", (plain(key),))])


def _read_polygon(shape: Any, size: tuple[int, int]) -> Segmentation:
    if type(shape) is not dict:
        return Segmentation(None, "wrong_type", "the region has no shape_attributes")
    points: list[Any] = [shape.get(f"all_points_{axis}") for axis in "xy"]
    for values in points:
        if type(values) is not list or not all(map(is_finite_number, values)):
            what = f"its points are {json_type(values)}, not numbers"
            return Segmentation(None, "wrong_type", what)
    xs, ys = points
    if len(xs) != len(ys):
        detail = f"it has {len(xs)} x and {len(ys)} y of points"
        return Segmentation(None, "bad_polygon", detail)
    if not xs:
        return Segmentation(None, "no_segmentation", "the polygon has no points")
    if not valid_size(*size):
        return Segmentation(None, "unknown_image", "the image's size is not known: no picture")
    ring = [side for pair in zip(xs, ys, strict=True) for side in pair]
    return read_polygons([ring], *size)


FORMAT = Format(
    "via",
    "VGG Image Annotator",
    matches,
    plan,
    load,
    write,
    follows=("plan", "load", "write"),
    check_unedited=check_via,
    pictures=pictures,
)
