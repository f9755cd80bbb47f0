"""COCO instances, LVIS and COCO results lists."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from curate.formats import json_prune
from curate.formats.base import Format, Part, dropping, new_file, reading
from curate.formats.coco_index import (
    LISTED_TWICE,
    READ_BYTES,
    REPEATED,
    UNLISTED,
    CocoIndex,
    build,
    parts,
)
from curate.formats.json_shape import shape_of
from curate.formats.json_stream import parse_each
from curate.formats.quick_json import QuickReader
from curate.formats.records import UNKNOWN_SIZE, Annotations, ImageRows
from curate.formats.segmentation import json_type, size_problem, valid_size
from curate.formats.values import IntArray, text, whole_number
from curate.table import MaskTable

_BACKGROUND = {"background", "__background__", "_background_"}


def plan(source: Path, work: Path) -> Iterator[Part]:
    """Index the file and yield parts of whole images; see :class:`Format`."""
    with collector_paused():
        index = build(source, work)
    yield from parts(index)


def load(source: Path, part: Part) -> MaskTable:
    """Read one part's images and annotations from the file."""
    folder, first, count, low, high = part.payload
    index = CocoIndex.open(Path(folder))
    with reading(source), source.open("rb") as file, collector_paused():
        images = _images(file.fileno(), source.name, index, low, high)
        categories, placeholders = category_names(index.categories)
        made = Annotations(images, categories, placeholders, need_ids=not index.is_list)
        rows = index.annotations(first, count)
        prefix = _key_prefix(source, index.is_list)
        quick = QuickReader()
        for piece in _pieces(file.fileno(), source.name, rows):
            positions = piece.rows[:, 3] - low
            keys = number_keys(prefix, piece.rows[:, 2])
            if not _take_quickly(quick, made, piece.data, positions, keys):
                values = piece.parse()
                _note_images(made, values, positions)
                made.add(values, positions, keys)
        spare = None if index.spare_id is None else index.spare_id + rows[:, 2]
        return made.table(spare, index.repeated())


def prune(source: Path, out: Path, drop: AbstractSet[str]) -> None:
    """Write the file without some annotations; every other byte stays."""
    is_list = shape_of(source).root == "list"
    prefix = _key_prefix(source, is_list)
    numbers = json_prune.ordinals(drop, prefix)
    with reading(source), source.open("rb") as file:
        cuts = json_prune.cuts(file, source.name, "" if is_list else "annotations", numbers)
    with new_file(out) as target, reading(source), source.open("rb") as file:
        json_prune.copy_without(file, target, cuts)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python's collector from walking over parsed JSON again and again: it has no cycles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def category_names(listed: list[Any] | None) -> tuple[dict[int, str] | None, dict[int, str]]:
    """Return names by id, and which declared categories no object can have.

    Category 0 is an ordinary category where the file declares it as one. Where it is called
    background, or is the parent of the others (as one exporter writes it), no object can have it.
    """
    if listed is None:
        return None, {}
    known = [one for one in listed if type(one) is dict]
    names: dict[int, str] = {}
    placeholders: dict[int, str] = {}
    parents = {one["supercategory"] for one in known if type(one.get("supercategory")) is str}
    for one in known:
        number, name = whole_number(one.get("id")), text(one.get("name"))
        if number is None:
            continue
        names[number] = name
        is_parent = one.get("supercategory") == "none" and one.get("name") in parents
        if number == 0 and (name.lower() in _BACKGROUND or is_parent):
            placeholders[0] = f"({name}) stands for no object"
    return names, placeholders


def number_keys(prefix: str | pa.Array, ordinals: IntArray) -> pa.Array:
    """Return source keys: a prefix (one for all, or one a mask) and each mask's number."""
    if isinstance(prefix, str):
        prefix = pa.scalar(prefix, pa.large_string())
    numbers = pc.cast(pa.array(ordinals), pa.large_string())
    return pc.binary_join_element_wise(prefix, numbers, pa.scalar("", pa.large_string()))


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


def _images(handle: int, name: str, index: CocoIndex, low: int, high: int) -> ImageRows:
    """Read the images of a part; those that no image object describes have no size yet."""
    rows = index.images(low, high)
    n = len(rows)
    sizes = np.full((n, 2), UNKNOWN_SIZE, np.int64)
    images = ImageRows(rows[:, 0], [""] * n, sizes[:, 0], sizes[:, 1])
    images.listed = (rows[:, 3] != UNLISTED) | index.is_list
    described = np.flatnonzero(rows[:, 3] != UNLISTED)
    extents = np.stack([rows[described, 1], rows[described, 2], described, described], axis=1)
    for piece in _pieces(handle, name, extents):
        for i, value in zip(piece.rows[:, 2].tolist(), piece.parse(), strict=True):
            images.names[i], sizes[i, 0], sizes[i, 1], problem = image_fields(value)
            if problem:
                images.findings.note(i, "invalid_size", problem)
            if rows[i, 3] in (LISTED_TWICE, REPEATED):
                other = "masks of that id are read with this image"
                other = other if rows[i, 3] == LISTED_TWICE else "masks go to the first of them"
                given = text(value.get("id") if type(value) is dict else None)
                images.findings.note(i, "duplicate_id", f"the id {given} stands twice; {other}")
    return images


def _note_images(made: Annotations, values: list[Any], rows: IntArray) -> None:
    """Note annotations whose image is not listed, or whose image id is of the wrong type."""
    listed = made.images.listed
    known = np.ones(len(rows), np.bool_) if listed is None else listed[rows]
    given = [value.get("image_id") if type(value) is dict else 0 for value in values]
    if known.all() and set(map(type, given)) == {int}:
        return
    for i, value in enumerate(given):
        if type(values[i]) is not dict or (known[i] and whole_number(value) is not None):
            continue
        # An image listed by the same odd id is known: the mask can be used as it is.
        status = "wrong_type" if known[i] and value is not None else "unknown_image"
        made.findings.note(made.count + i, status, _unknown_image(value))


def _unknown_image(given: object) -> str:
    """Say what is wrong with an image id that stands for no image."""
    if given is None:
        return "there is no image_id"
    if whole_number(given) is None:
        number = type(given) in (int, float)
        what = f"{text(given)[:40]}, no number of an image" if number else json_type(given)
        return f"the image_id is {what}"
    return f"the image {text(given)[:80]} is not among the images"


@dataclass(frozen=True)
class _Piece:
    """Some values of the file, as one JSON list.

    Attributes:
        data: The list's bytes.
        rows: (offset, length, ordinal, ...) of each value.
        name: The file's, for messages.
        slices: Each value's bytes; None where they stand in ``data`` as in the file.
    """

    data: bytes
    rows: IntArray
    name: str
    slices: list[bytes] | None

    def parse(self) -> list[Any]:
        """Return the values, parsed in the patient way."""
        try:
            values = orjson.loads(self.data)
            if len(values) == len(self.rows):
                return list(values)
        except orjson.JSONDecodeError:
            pass
        offsets, lengths = self.rows[:, 0].tolist(), self.rows[:, 1].tolist()
        slices = self.slices
        if slices is None:
            base = offsets[0] - 1  # the list's bracket
            pairs = zip(offsets, lengths, strict=True)
            slices = [self.data[at - base : at - base + n] for at, n in pairs]
        return parse_each(slices, offsets, self.name)


def _pieces(handle: int, name: str, rows: IntArray) -> Iterator[_Piece]:
    """Read values at (offset, length, ordinal, ...), some at a time."""
    total = np.cumsum(rows[:, 1])
    first = 0
    while first < len(rows):
        before = int(total[first - 1]) if first else 0
        last = max(int(np.searchsorted(total, before + READ_BYTES)), first + 1)
        yield _piece(handle, name, rows[first:last])
        first = last


def _piece(handle: int, name: str, rows: IntArray) -> _Piece:
    if (np.diff(rows[:, 2]) == 1).all():  # neighbours in the file: only commas stand between them
        begin, end = int(rows[0, 0]), int(rows[-1, 0] + rows[-1, 1])
        return _Piece(b"[" + os.pread(handle, end - begin, begin) + b"]", rows, name, None)
    slices = [os.pread(handle, n, at) for at, n in rows[:, :2].tolist()]
    return _Piece(b"[" + b",".join(slices) + b"]", rows, name, slices)


def _take_quickly(
    quick: QuickReader, made: Annotations, data: bytes, rows: IntArray, keys: pa.Array
) -> bool:
    """Take in annotations of which nothing needs a closer look; say whether that was so."""
    taken = quick.take_list(data)
    if taken is None:
        return False
    listed, named = made.images.listed, quick.ids(taken, "image_id")[1]
    known = listed is None or bool(listed[rows].all())
    if taken.count == len(rows) and known and named.all() and made.fits(*quick.sizes(taken), rows):
        made.add_columns(quick.columns(), rows, keys)
        return True
    quick.drop(taken)
    return False


def _key_prefix(source: Path, is_list: bool) -> str:
    return f"{source.name}#/" if is_list else f"{source.name}#/annotations/"


def _is_coco(path: Path) -> bool:
    shape = shape_of(path)
    return shape.looks_coco and not shape.looks_lvis


def _is_lvis(path: Path) -> bool:
    shape = shape_of(path)
    return shape.looks_coco and shape.looks_lvis


def _is_results(path: Path) -> bool:
    return shape_of(path).looks_results


FORMAT = Format("coco", "COCO instances", _is_coco, plan, load, dropping(prune))
LVIS = Format("lvis", "LVIS", _is_lvis, plan, load, dropping(prune))
RESULTS = Format("coco-results", "COCO results list", _is_results, plan, load, dropping(prune))
