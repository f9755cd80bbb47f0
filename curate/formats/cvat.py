"""CVAT for images 1.1: an XML file with ``<mask>`` and ``<polygon>`` shapes in ``<image>``s.

The source is such a file, or the folder of an unpacked export with ``annotations.xml`` in it.
Other shapes (boxes, points, skeletons, tags) are no masks: they are neither read nor touched.
Attributes of a shape called ``mask_id``, ``score``, ``predicted_iou``, ``stability_score`` and
``iscrowd`` are read where they hold numbers. A document type, and so every entity, is refused.

Pruning cuts a dropped shape out together with the blanks before it, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from curate.errors import CallError, CurateError, SourceError
from curate.formats.base import PART_BYTES, Format, Part, dropping, reading
from curate.formats.cvat_masks import read_box_rle, whole
from curate.formats.cvat_xml import Index, Shape, index_file, looks_like_cvat, read_images, spans
from curate.formats.rows import Rows, number, parts_of
from curate.formats.segmentation import Segmentation, read_polygons, valid_size
from curate.formats.trees import Edit, copy_with_edits, entries, splice
from curate.table import MaskTable

_KEY = re.compile(r"(.*)#/image/([0-9]+)/(mask|polygon)/([0-9]+)", re.DOTALL)
_LOOK = 50  # how many XML files of a folder are looked at to tell the format


def matches(path: Path) -> bool:
    """Return whether a file, or an XML file in a folder, begins like CVAT for images."""
    try:
        if path.is_dir():
            return any(looks_like_cvat(path / name) for name in _xml_names(path)[:_LOOK])
        return path.is_file() and looks_like_cvat(path)
    except (CurateError, OSError, ValueError):
        return False


def plan(source: Path, work: Path) -> Iterator[Part]:
    """Find where the images stand, and group them into parts."""
    names = [source.name] if source.is_file() else _xml_names(source)
    if source.is_dir():
        names = [name for name in names if looks_like_cvat(source / name)]
    if not names:
        raise SourceError("there is no CVAT XML in it", str(source), "give the file itself")
    found: list[tuple[Any, int]] = []
    for name in names:
        path = _path(source, name)
        with reading(path):
            index = index_file(path)
        found.extend(((name, *block), block[1] - block[0]) for block in _blocks(index))
    yield from parts_of(found or [((names[0], 0, 0, 0, "", (), ()), 0)], PART_BYTES)


def load(source: Path, part: Part) -> MaskTable:
    """Read the masks of some images."""
    rows = Rows()
    for name, start, end, first, encoding, labels, repeated in part.payload:
        if start == end:
            continue
        path = _path(source, name)
        with reading(path), open(path, "rb") as file:
            file.seek(start)
            data = file.read(end - start)
        for ordinal, one in enumerate(read_images(data, encoding, path), first):
            attributes, shapes = one.attributes, one.shapes
            image, size = _add_image(rows, attributes, ordinal in repeated)
            for shape in shapes:
                key = f"{name}#/image/{ordinal}/{shape.kind}/{shape.ordinal}"
                mask = _with_label(read_shape(shape, size), shape, labels)
                ids, optional = _stored(shape)
                rows.mask(key, image, mask, ids, optional)
    return rows.table()


def prune(source: Path, out: Path, drop: AbstractSet[str]) -> None:
    """Copy without the bytes of the dropped shapes."""
    shapes: dict[str, set[tuple[int, str, int]]] = {}
    for key in drop:
        found = _KEY.fullmatch(key)
        if not found:
            raise CallError(f"{key} names no mask of it", str(source))
        place = (int(found[2]), found[3], int(found[4]))
        shapes.setdefault(found[1], set()).add(place)
    edits: dict[str, Edit | None] = {n: partial(_without, places) for n, places in shapes.items()}
    copy_with_edits(source, out, edits)


def _without(places: AbstractSet[tuple[int, str, int]], source: Path, target: BinaryIO) -> None:
    splice(source, target, ((start, end, b"") for start, end in spans(source, places)))


def _xml_names(folder: Path) -> list[str]:
    return [e.name for e in entries(folder) if e.name.lower().endswith(".xml") and e.is_file()]


def _path(source: Path, name: str) -> Path:
    return source if source.is_file() else source / name


def _blocks(index: Index) -> Iterator[tuple[int, int, int, str, tuple[str, ...], tuple[int, ...]]]:
    """Group neighbouring images, so that a plan of millions of images stays small."""
    count = len(index.starts)
    at = 0
    while at < count:
        stop = at + 1
        while stop < count and index.ends[stop] - index.starts[at] < PART_BYTES // 16:
            stop += 1
        repeated = tuple(i for i in index.repeated if at <= i < stop)
        start, end = index.starts[at], index.ends[stop - 1]
        yield start, end, at, index.encoding, index.labels, repeated
        at = stop


def _add_image(
    rows: Rows, attributes: dict[str, str], repeated: bool
) -> tuple[int, tuple[int, int]]:
    """Add an image and return its position and its (height, width)."""
    height, width = (whole(attributes.get(side, "")) or 0 for side in ("height", "width"))
    status, detail = "ok", ""
    if not valid_size(height, width):
        status = "invalid_size"
        told = (attributes.get("width", "")[:20], attributes.get("height", "")[:20])
        detail = f"its width and height are {told[0]!r} and {told[1]!r}"
    elif repeated:
        status, detail = "duplicate_id", "another image has the same name"
    name = attributes.get("name", "")
    image_id = whole(attributes.get("id", ""))
    return rows.image(name, (height, width), status, detail, image_id), (height, width)


def read_shape(shape: Shape, size: tuple[int, int]) -> Segmentation:
    """Return the mask of a shape.

    Args:
        shape: A mask or a polygon.
        size: Height and width of its image in pixels.
    """
    if shape.kind == "mask":
        return read_box_rle(shape.attributes, *size)
    ring: list[float] = []
    text = shape.attributes.get("points", "")
    if not text.strip():
        return Segmentation(None, "no_segmentation", "the polygon has no points")
    for pair in text.split(";"):
        for piece in pair.split(","):
            try:
                ring.append(float(piece))
            except ValueError:
                detail = f"a coordinate is {piece.strip()[:40]!r}, not a number"
                return Segmentation(None, "wrong_type", detail)
    return read_polygons([ring], *size)


def _with_label(mask: Segmentation, shape: Shape, labels: tuple[str, ...]) -> Segmentation:
    if mask.status != "ok":
        return mask
    label = shape.attributes.get("label", "")
    if not label:
        return Segmentation(mask.counts, "bad_category", "the shape has no label")
    if labels and label not in labels:
        detail = f"the label {label[:80]!r} is not among those that the file declares"
        return Segmentation(mask.counts, "bad_category", detail)
    return mask


def _stored(shape: Shape) -> tuple[int | None, dict[str, Any]]:
    """Return a shape's mask id and the columns that its attributes fill.

    They are free text that people may use for anything, so what is no number is passed over.
    """
    optional: dict[str, Any] = {"category": shape.attributes.get("label") or None}
    for name in ("score", "predicted_iou", "stability_score"):
        if name in shape.values:
            optional[name] = number(shape.values[name].strip(), name)[0]
    crowd = shape.values.get("iscrowd", "").strip().lower()
    if crowd in ("0", "1", "true", "false"):
        optional["iscrowd"] = int(crowd in ("1", "true"))
    return whole(shape.values.get("mask_id", "")), optional


FORMAT = Format("cvat", "CVAT for images 1.1", matches, plan, load, dropping(prune))
