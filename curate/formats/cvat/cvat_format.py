"""CVAT for images 1.1: an XML file with ``<mask>`` and ``<polygon>`` shapes in ``<image>``s.

The source is such a file, or the folder of an unpacked export with ``annotations.xml`` in it.
Other shapes (boxes, points, skeletons, tags) are no masks: they are neither read nor touched. An
image's ``subset`` and a shape's ``group_id`` become columns. Shapes of one group stay masks each:
CVAT itself keeps them apart, and only its COCO export makes one annotation of them.
Attributes of a shape called ``mask_id``, ``score``, ``predicted_iou``, ``stability_score`` and
``iscrowd`` are read where they hold numbers. A document type, and so every entity, is refused.

On writing, a dropped shape is cut out together with the blanks before it; of a changed one only the
attributes of its tag that say its pixels or its label get other values; a new one is written as the
last child of its image. All other bytes stay.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from curate.dataset.notes import Note
from curate.dataset.table import MaskTable
from curate.errors import CallError, CurateError, SourceError
from curate.formats.copying import Edit, copy_with_edits, list_entries, splice
from curate.formats.cvat.cvat_writing import FileEdits, FileWriter
from curate.formats.cvat.element_places import find_places
from curate.formats.cvat.mask_shapes import parse_int, read_box_rle
from curate.formats.cvat.xml_stream import (
    CvatShape,
    Image,
    Index,
    index_file,
    looks_like_cvat,
    read_images,
)
from curate.formats.edits import Edits, Stored
from curate.formats.format import PART_BYTES, Format, Part, ReadOptions, convert_read_errors
from curate.formats.new_pixels import PixelTally
from curate.formats.own_pictures import OwnPictures, beside_file
from curate.formats.picture_sizes import find_pictures, note_size, picture_size
from curate.formats.segmentation import Segmentation, read_polygons, valid_size
from curate.formats.table_builder import TableBuilder, number, parts_of, plain
from curate.formats.untouched.cvat_check import check_cvat

_KEY = re.compile(r"(.*)#/image/([0-9]{1,18})/(mask|polygon)/([0-9]{1,18})", re.DOTALL)
_IMAGE_KEY = re.compile(r"(.*)#/image/([0-9]{1,18})", re.DOTALL)
_NO_OPTIONS = ReadOptions()
_LOOK = 50  # how many XML files of a folder are looked at to tell the format


def matches(path: Path) -> bool:
    """Return whether a file, or an XML file in a folder, begins like CVAT for images."""
    try:
        if path.is_dir():
            return any(looks_like_cvat(path / name) for name in xml_names(path)[:_LOOK])
        return path.is_file() and looks_like_cvat(path)
    except (CurateError, OSError, ValueError):
        return False


def plan(source: Path, work: Path, options: ReadOptions = _NO_OPTIONS) -> Iterator[Part]:
    """Find where the images stand, and group them into parts."""
    names = [source.name] if source.is_file() else xml_names(source)
    if source.is_dir():
        names = [name for name in names if looks_like_cvat(source / name)]
    if not names:
        raise SourceError("there is no CVAT XML in it", str(source), "give the file itself")
    indexes = _indexes(source, names)
    pictures = _pictures(indexes.values(), options)
    found: list[tuple[Any, int]] = []
    for name, index in indexes.items():
        found.extend(((name, *block), block[1] - block[0]) for block in _blocks(index, pictures))
    yield from parts_of(found or [((names[0], 0, 0, 0, "", (), (), ()), 0)], PART_BYTES)


def _indexes(source: Path, names: Iterable[str]) -> dict[str, Index]:
    found: dict[str, Index] = {}
    for name in names:
        path = path_of(source, name)
        with convert_read_errors(path):
            found[name] = index_file(path)
    return found


def _pictures(indexes: Collection[Index], options: ReadOptions) -> dict[str, str]:
    """Return the pictures of images without a size, by the images' names."""
    if options.images is None:
        return {}
    unsized = list(dict.fromkeys(name for one in indexes for name in one.unsized.values()))
    return find_pictures(options.images, (n for one in indexes for n in one.names), unsized)


def pictures(source: Path) -> OwnPictures | None:
    """Return the pictures in the folder ``images`` or beside the file, as CVAT exports them."""
    return beside_file(source if source.is_file() else source / "any.xml", _names(source))


def _names(source: Path) -> Iterator[tuple[str, None]]:
    """Yield the names of all images; the files are read only where pictures are near."""
    names = [source.name] if source.is_file() else xml_names(source)
    names = [name for name in names if looks_like_cvat(path_of(source, name))]
    for index in _indexes(source, names).values():
        yield from ((name, None) for name in index.names)


def load(source: Path, part: Part, options: ReadOptions = _NO_OPTIONS) -> MaskTable:
    """Read the masks of some images."""
    rows = TableBuilder()
    for name, start, end, first, encoding, labels, repeated, pictures in part.payload:
        if start == end:
            continue
        path = path_of(source, name)
        with convert_read_errors(path), open(path, "rb") as file:
            file.seek(start)
            data = file.read(end - start)
        paths = dict(pictures)
        for ordinal, one in enumerate(read_images(data, encoding, path), first):
            attributes, shapes = one.attributes, one.shapes
            key = f"{name}#/image/{ordinal}"
            picture = options.images / paths[ordinal] if ordinal in paths else None
            image, size = _add_image(rows, attributes, ordinal in repeated, key, picture)
            _note(rows, one, key)
            for shape in shapes:
                mask = with_label(read_shape(shape, size), shape, labels)
                ids, optional = read_attributes(shape)
                rows.mask(f"{key}/{shape.kind}/{shape.ordinal}", image, mask, ids, optional)
    return rows.table()


def write(
    source: Path, out: Path | None, edits: Edits, options: ReadOptions = _NO_OPTIONS
) -> Stored:
    """Copy with other bytes for the shapes that go, change or come."""
    names = {plain(n): n for n in ([source.name] if source.is_file() else xml_names(source))}
    files = _by_file(source, edits, names)
    paths = {name: path_of(source, names[name]) for name in files}
    found = {name: mine.find(paths[name]) for name, mine in files.items()}
    tally, ids = PixelTally(), count(0)
    if edits.add:
        others = [path_of(source, own) for name, own in names.items() if name not in files]
        largest = [places.largest_id for places in found.values()]
        largest += [find_places(p, set(), set()).largest_id for p in others if looks_like_cvat(p)]
        ids = count(max((n for n in largest if n is not None), default=-1) + 1)
    sizes: dict[str, tuple[int, int]] = {}
    if options.images is not None and not edits.only_drops:
        every = [own for own in names.values() if looks_like_cvat(path_of(source, own))]
        told = _pictures(_indexes(source, every).values(), options)
        sizes = {name: picture_size(options.images / path) for name, path in told.items()}
    changes: dict[str, Edit | None] = {}
    for name, mine in files.items():
        writer = FileWriter(paths[name], mine, found[name], edits.masks, tally, ids, sizes)
        changes[name] = partial(splice, pieces=writer.pieces())
    copy_with_edits(source, out, changes)
    return tally.count_stored()


def _by_file(source: Path, edits: Edits, names: Collection[str]) -> dict[str, FileEdits]:
    files: dict[str, FileEdits] = {}

    def of(pattern: re.Pattern[str], key: str, kind: str) -> tuple[FileEdits, re.Match[str]]:
        found = pattern.fullmatch(key)
        if not found or found[1] not in names:
            raise CallError(f"{key} names no {kind} of it", str(source))
        return files.setdefault(found[1], FileEdits()), found

    for key in edits.drop:
        mine, found = of(_KEY, key, "mask")
        mine.drop.add((int(found[2]), found[3], int(found[4])))
    for key, change in edits.change.items():
        mine, found = of(_KEY, key, "mask")
        mine.change[int(found[2]), found[3], int(found[4])] = key, change
    for addition in edits.add:
        mine, found = of(_IMAGE_KEY, addition.image_key, "image")
        mine.add.append((int(found[2]), addition))
    return files


def xml_names(folder: Path) -> list[str]:
    """Return the names of the XML files in a folder."""
    return [e.name for e in list_entries(folder) if e.name.lower().endswith(".xml") and e.is_file()]


def path_of(source: Path, name: str) -> Path:
    """Return a file of a source by its name: the source itself, or one in it."""
    return source if source.is_file() else source / name


def _blocks(index: Index, pictures: Mapping[str, str]) -> Iterator[tuple[Any, ...]]:
    """Group neighbouring images, so that a plan of millions of images stays small."""
    known = {i: pictures[name] for i, name in index.unsized.items() if name in pictures}
    count = len(index.starts)
    at = 0
    while at < count:
        stop = at + 1
        while stop < count and index.ends[stop] - index.starts[at] < PART_BYTES // 16:
            stop += 1
        repeated = tuple(i for i in index.repeated if at <= i < stop)
        start, end = index.starts[at], index.ends[stop - 1]
        own = tuple((i, known[i]) for i in range(at, stop) if i in known) if known else ()
        yield start, end, at, index.encoding, index.labels, repeated, own
        at = stop


def _add_image(
    rows: TableBuilder, attributes: dict[str, str], repeated: bool, key: str, path: Path | None
) -> tuple[int, tuple[int, int]]:
    """Add an image, whose size may be that of a picture; return its position and its size."""
    height, width = (parse_int(attributes.get(side, "")) or 0 for side in ("height", "width"))
    status, detail = "ok", ""
    upright = picture_size(path) if path else (0, 0)
    if upright != (0, 0):
        height, width = upright
        note_size(rows.notes, plain(attributes.get("name", "")))
    if not valid_size(height, width):
        status = "invalid_size"
        told = (attributes.get("width", "")[:20], attributes.get("height", "")[:20])
        detail = f"its width and height are {told[0]!r} and {told[1]!r}"
    elif repeated:
        status, detail = "duplicate_id", "another image has the same name"
    name = attributes.get("name", "")
    image_id = parse_int(attributes.get("id", ""))
    image = rows.image(
        name,
        (height, width),
        status,
        detail,
        image_id,
        source_key=key,
        subset=attributes.get("subset"),
    )
    return image, (height, width)


def _note(rows: TableBuilder, image: Image, key: str) -> None:
    """Note what of an image is a habit of the whole file, or no mask."""
    for shape in image.shapes:
        where = f"{key}/{shape.kind}/{shape.ordinal}"
        text = shape.attributes.get("points", "")
        if text.strip() and len(_pairs(text)) <= text.count(";"):
            rows.notes.add("empty_points", "empty points beside the others are passed over", where)
    for tag, number_of in image.others.items():
        what = f"<{tag[:40]}> is no mask: it is not read, and stays"
        rows.notes.merge([Note("no_mask", what, number_of, "shapes", (key,))])
    groups = Counter(g for g in map(_group, image.shapes) if g)
    if any(shapes > 1 for shapes in groups.values()):
        what = "several shapes have one group_id: each is a mask here, COCO's export joins them"
        rows.notes.add("groups", what, key, "images")


def read_shape(shape: CvatShape, size: tuple[int, int]) -> Segmentation:
    """Return the mask of a shape.

    Args:
        shape: A mask or a polygon.
        size: Height and width of its image in pixels.
    """
    if shape.kind == "mask":
        return read_box_rle(shape.attributes, *size)
    text = shape.attributes.get("points", "")
    ring: list[float] = []
    for pair in _pairs(text):
        for piece in pair.split(","):
            try:
                ring.append(float(piece))
            except ValueError:
                detail = f"a coordinate is {piece.strip()[:40]!r}, not a number"
                return Segmentation(None, "wrong_type", detail)
    if not ring:
        return Segmentation(None, "no_segmentation", "the polygon has no points")
    return read_polygons([ring], *size)


def _pairs(text: str) -> list[str]:
    """Return the points of a polygon; libraries write empty ones between and behind them."""
    return [pair for pair in text.split(";") if pair.strip(", \t\r\n")]


def with_label(mask: Segmentation, shape: CvatShape, labels: tuple[str, ...]) -> Segmentation:
    """Return a mask with what is wrong with its label as its status."""
    if mask.status != "ok":
        return mask
    label = shape.attributes.get("label", "")
    if not label:
        return Segmentation(mask.counts, "bad_category", "the shape has no label")
    if labels and label not in labels:
        detail = f"the label {label[:80]!r} is not among those that the file declares"
        return Segmentation(mask.counts, "bad_category", detail)
    return mask


def read_attributes(shape: CvatShape) -> tuple[int | None, dict[str, object]]:
    """Return a shape's mask id and the columns that its attributes fill.

    They are free text that people may use for anything, so what is no number is passed over.
    """
    optional: dict[str, object] = {"category": shape.attributes.get("label") or None}
    for name in ("score", "predicted_iou", "stability_score"):
        if name in shape.values:
            optional[name] = number(shape.values[name].strip(), name)[0]
    crowd = shape.values.get("iscrowd", "").strip().lower()
    if crowd in ("0", "1", "true", "false"):
        optional["iscrowd"] = int(crowd in ("1", "true"))
    group = _group(shape)
    if group:
        optional["group_id"] = group
    return parse_int(shape.values.get("mask_id", "")), optional


def _group(shape: CvatShape) -> int:
    """Return the number of the group that a shape belongs to; 0 where it is in none."""
    return parse_int(shape.attributes.get("group_id", "")) or 0


FORMAT = Format(
    "cvat",
    "CVAT for images 1.1",
    matches,
    plan,
    load,
    write,
    follows=("plan", "load", "write"),
    check_unedited=check_cvat,
    pictures=pictures,
)
