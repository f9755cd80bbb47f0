"""Datumaro's JSON: ``annotations/<subset>.json`` and pictures in ``images/<subset>``.

Facts, from Datumaro's exporter and reader: an item has ``id``, ``annotations`` and ``image`` with
``path`` (under the pictures of its subset) and ``size`` as [height, width]; an annotation of type
``mask`` has COCO's compressed run lengths in ``rle``, one of type ``polygon`` a ring in ``points``;
``label_id`` counts in ``categories.label.labels``; a ``group`` other than 0 joins the annotations
of one object.

Masks and polygons of one group and one label are one mask here. Boxes, points, captions and labels
are neither read nor touched, but those of a mask's group go with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from curate import rle
from curate.common.garbage_collection import pause_collector
from curate.common.json_values import JsonObject
from curate.dataset.notes import Note
from curate.dataset.table import MaskTable
from curate.errors import CurateError, SourceError
from curate.formats.datumaro.datumaro_items import (
    ANNOTATIONS,
    IMAGES,
    ITEMS,
    NO_SUBSET,
    DatumaroFile,
    GroupedShapes,
    check_item,
    dataset_files,
    find_picture,
    group_shapes,
    looks_like_datumaro,
    name_of,
    read_labels,
    stated_size,
)
from curate.formats.datumaro.datumaro_writing import write
from curate.formats.format import PART_BYTES, Format, Part, ReadOptions
from curate.formats.json.image_records import find_records, read_records
from curate.formats.json.json_columns import whole_number
from curate.formats.own_pictures import OwnPictures, under_one_of
from curate.formats.picture_sizes import find_pictures, note_size, picture_size
from curate.formats.segmentation import (
    Segmentation,
    json_type,
    read_polygons,
    read_segmentation,
    rle_size,
    valid_size,
)
from curate.formats.table_builder import TableBuilder, common_size, number, parts_of, plain
from curate.formats.untouched.datumaro_check import check_datumaro

_NO_OPTIONS = ReadOptions()
_TRIED = 100
_LOOK = 50


def matches(path: Path) -> bool:
    """Return whether a file, or a file in ``annotations``, begins like Datumaro's."""
    try:
        if path.is_dir():
            folder = path / ANNOTATIONS
            names = sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []
            files = [name for name in names if name.lower().endswith(".json")][:_LOOK]
            return any(looks_like_datumaro(folder / name) for name in files)
        return looks_like_datumaro(path)
    except (CurateError, OSError, ValueError):
        return False


def plan(source: Path, work: Path, options: ReadOptions = _NO_OPTIONS) -> Iterator[Part]:
    """Group items into parts."""
    files = dataset_files(source, options.home)
    if not files:
        raise SourceError("there is no JSON of Datumaro in it", str(source), "give its folder")
    items: list[tuple[Any, int]] = []
    unsized: list[tuple[int, int, str]] = []  # place in items, number, name
    names: list[str] = []
    for one in files:
        labels = read_labels(one.path)
        count = 0
        for blocks, found in find_records(one.path, ITEMS):
            starts = [block.first for block in blocks]
            for item in found:
                check_item(item, f"{one.name}, item {count}")
                names.append(name_of(item))
                if not valid_size(*stated_size(item)):
                    at = sum(first <= count for first in starts) - 1
                    unsized.append((len(items) + at, count, names[-1]))
                count += 1
            items += [([one.name, *block, labels, {}], block.size) for block in blocks]
    paths: dict[str, str] = {}
    if options.images is not None and unsized:
        wanted = list(dict.fromkeys(name for _, _, name in unsized))
        paths = find_pictures(options.images, names, wanted)
    for at, ordinal, name in unsized:
        if name in paths and options.images is not None:
            items[at][0][-1][ordinal] = str(options.images / paths[name])
    sized = ((tuple(payload), cost) for payload, cost in items)
    yield from parts_of(sized if items else [((files[0].name, 0, 0, 0, None, {}), 0)], PART_BYTES)


def load(source: Path, part: Part, options: ReadOptions = _NO_OPTIONS) -> MaskTable:
    """Read the masks of some items."""
    rows = TableBuilder()
    with pause_collector():
        files = {one.name: one for one in dataset_files(source, options.home)}
        for name, first, start, end, labels, pictures in part.payload:
            if end > start:
                for ordinal, item in enumerate(read_records(files[name].path, start, end), first):
                    key = f"{name}#/{ITEMS}/{ordinal}"
                    _add_item(rows, files[name], item, key, labels, pictures.get(ordinal))
        return rows.table()


def pictures(source: Path) -> OwnPictures | None:
    """Return the folder of the pictures of a dataset with one subset."""
    files = dataset_files(source)
    if len(files) != 1 or files[0].root is None:
        return None
    names: list[str] = []
    for _, found in find_records(files[0].path, ITEMS):
        names += [name_of(item) for item in found if type(item) is dict]
        if len(names) >= _TRIED:
            break
    roots = [files[0].root / IMAGES / files[0].subset, files[0].root / IMAGES]
    return under_one_of(roots, names[:_TRIED])


def _add_item(
    rows: TableBuilder,
    file: DatumaroFile,
    item: JsonObject,
    key: str,
    labels: list[str] | None,
    picture: str | None,
) -> None:
    name, size = name_of(item), stated_size(item)
    given = item.get("annotations")
    objects, others = group_shapes(given if type(given) is list else [])
    status, detail = "ok", ""
    if not valid_size(*size):
        path = Path(picture) if picture else find_picture(file, name)
        size = picture_size(path) if path is not None else (0, 0)
        if valid_size(*size):
            note_size(rows.notes, plain(name))
        else:
            shapes = (shape.get("rle") for one in objects for shape in one.shapes)
            size = common_size(filter(_is_usable, map(rle_size, shapes))) or (0, 0)
    if not valid_size(*size):
        status, detail = "invalid_size", "it states no size, and its picture was not found"
    subset = None if file.subset == NO_SUBSET else file.subset
    image = rows.image(name, size, status, detail, source_key=key, subset=subset)
    for one in objects:
        place = f"{key}/annotations/{one.numbers[0]}"
        mask = _with_label(_read_object(one, size), one.label, labels)
        rows.mask(place, image, mask, None, _columns(one, labels))
    for kind, count in others.items():
        what = f"{kind} is no mask: it is not read, and stays"
        rows.notes.merge([Note("no_mask", what, count, "shapes", (plain(key),))])


def _is_usable(size: tuple[int, int] | None) -> bool:
    return size is not None and valid_size(*size)


def _columns(one: GroupedShapes, labels: list[str] | None) -> dict[str, object]:
    label = whole_number(one.label)
    made: dict[str, object] = {}
    if label is not None:
        made["category_id"] = label
        known = labels is not None and 0 <= label < len(labels)
        made["category"] = labels[label] if labels is not None and known else None
    if one.group:
        made["group_id"] = one.group
    attributes = one.shapes[0].get("attributes")
    if type(attributes) is dict:
        if type(attributes.get("is_crowd")) in (bool, int):
            made["iscrowd"] = int(bool(attributes["is_crowd"]))
        if attributes.get("score") is not None:
            made["score"] = number(attributes["score"], "score")[0]
        track = whole_number(attributes.get("track_id"))
        if track is not None and abs(track) < 2**62:
            made["track_id"] = track
    return made


def _with_label(mask: Segmentation, label: object, labels: list[str] | None) -> Segmentation:
    number_of = whole_number(label)
    if mask.status != "ok" or label is None:
        return mask
    if number_of is None or (labels is not None and not 0 <= number_of < len(labels)):
        detail = f"its label_id {str(label)[:40]} is none of the file's labels"
        return Segmentation(mask.counts, "bad_category", detail)
    return mask


def _read_object(one: GroupedShapes, size: tuple[int, int]) -> Segmentation:
    """Return the mask of an object: of several shapes the union."""
    masks = [_read_shape(shape, size) for shape in one.shapes]
    bad = next((mask for mask in masks if mask.counts is None), None)
    if bad is not None or len(masks) == 1:
        return bad or masks[0]
    counts = [cast(bytes, mask.counts) for mask in masks]
    runs, codes = rle.decode_counts(counts, [size[0]] * len(counts), [size[1]] * len(counts))
    if codes.any():
        return masks[int(codes.argmax())]
    crossings = [mask.crossings for mask in masks if mask.crossings is not None]
    merged = cast(bytes, rle.encode_counts(rle.merge(runs))[0].as_py())
    return Segmentation(merged, crossings=sum(crossings) if crossings else None)


def _read_shape(shape: JsonObject, size: tuple[int, int]) -> Segmentation:
    if shape.get("type") == "mask":
        return read_segmentation(shape.get("rle"), *size)
    points = shape.get("points")
    if type(points) is not list:
        return Segmentation(None, "wrong_type", f"its points are {json_type(points)}, not a list")
    if not points:
        return Segmentation(None, "no_segmentation", "the polygon has no points")
    return read_polygons([points], *size)


FORMAT = Format(
    "datumaro",
    "Datumaro's JSON",
    matches,
    plan,
    load,
    write,
    follows=("plan", "load", "write"),
    check_unedited=check_datumaro,
    pictures=pictures,
)
