"""Label Studio's JSON export: tasks with brush masks, bitmasks and polygons.

Of each task one annotation is read: the one that is marked as ground truth, else the one that was
changed last; skipped ones never. Predictions are read only where no task of the file has an
annotation. A source is the file, or a folder with one called ``tasks.json``, as curate writes it.
Results of other kinds (rectangles, key points, choices) are no masks: they are neither
read nor touched, but what belongs to a region goes with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from curate.common.files import open_to_read
from curate.common.garbage_collection import pause_collector
from curate.common.json_values import JsonObject
from curate.dataset.notes import Note, Notes
from curate.dataset.table import MaskTable
from curate.errors import SourceError
from curate.formats.format import PART_BYTES, Format, Part, ReadOptions
from curate.formats.json.image_records import RecordBlock, find_records, read_records
from curate.formats.json.json_columns import whole_number
from curate.formats.json.sniffing import shape_of
from curate.formats.label_studio.label_studio_writing import write
from curate.formats.label_studio.tasks import (
    ANNOTATIONS,
    KINDS,
    PREDICTIONS,
    ReadAnnotation,
    choose_annotation,
    export_file,
    file_name_of,
    is_minimal_task,
    is_task,
    kind_read,
    list_regions,
    ordinals_as_stored,
    picture_of_task,
    read_region,
    size_of_task,
    subset_of_task,
)
from curate.formats.own_pictures import OwnPictures, beside_file
from curate.formats.picture_sizes import find_pictures, note_size, picture_size
from curate.formats.segmentation import json_type, valid_size
from curate.formats.table_builder import TableBuilder, number, parts_of, plain
from curate.formats.untouched.label_studio_check import check_label_studio

_NO_OPTIONS = ReadOptions()
_END_BYTES = 1 << 16


class _Survey(NamedTuple):
    """A file's tasks as a whole.

    Attributes:
        blocks: Where they stand.
        kind: Which list of a task is read.
        names: File names of all pictures, in order.
        sizes: Height and width of each, as results state it.
        unsized: File names of those whose size no result states, by number of the task.
        as_stored: Numbers of the uploads that keep the name under which they are stored.
    """

    blocks: list[RecordBlock]
    kind: str
    names: list[str]
    sizes: list[tuple[int, int]]
    unsized: dict[int, str]
    as_stored: frozenset[int]

    def names_and_sizes(self) -> Iterator[tuple[str, tuple[int, int] | None]]:
        """Yield the file name and the size of each picture; None where it is not known."""
        for name, size in zip(self.names, self.sizes, strict=True):
            yield name, None if size == (0, 0) else size


def matches(path: Path) -> bool:
    """Return whether a file, or that of a folder, begins with a task of Label Studio."""
    path = export_file(path)
    shape = shape_of(path)
    if shape.root != "list":
        return False
    if shape.first.get("") is not None:
        return is_task(shape.first[""]) or is_minimal_task(shape.first[""])
    if "" not in shape.first:
        return False
    return _looks_cut(path, shape.end)


def _looks_cut(path: Path, end: bytes) -> bool:
    """Return whether a list begins with a task that is longer than what is looked at."""
    try:
        with open_to_read(path) as file:
            ends = file.read(_END_BYTES) + end[-_END_BYTES:]
    except OSError:
        return False
    made = (f'"{kind}"'.encode() for kind in KINDS)
    return b'"data"' in ends and b'"result"' in ends and any(name in ends for name in made)


def plan(source: Path, work: Path, options: ReadOptions = _NO_OPTIONS) -> Iterator[Part]:
    """Group tasks into parts; one look at all of them says what is read."""
    found = _survey(source)
    pictures = _pictures(source, found, options)
    items = []
    for i, block in enumerate(found.blocks):
        end = found.blocks[i + 1].first if i + 1 < len(found.blocks) else len(found.names)
        own = tuple(
            (k, str(pictures[found.unsized[k]]))
            for k in range(block.first, end)
            if k in found.unsized and found.unsized[k] in pictures
        )
        stored = tuple(sorted(k for k in range(block.first, end) if k in found.as_stored))
        items.append(((*block, found.kind, own, stored), block.size))
    yield from parts_of(items or [((0, 0, 0, found.kind, (), ()), 0)], PART_BYTES)


def _survey(source: Path) -> _Survey:
    path = export_file(source)
    blocks: list[RecordBlock] = []
    values: list[str] = []
    sizes: list[tuple[int, int]] = []
    has = dict.fromkeys(KINDS, False)
    for some, tasks in find_records(path, ""):
        blocks += some
        for task in tasks:
            _check_task(task, f"{path.name}, element {len(values) + 1}")
            values.append(picture_of_task(task))
            sizes.append(size_of_task(task, ANNOTATIONS))
            for name in has:
                has[name] = has[name] or bool(task.get(name))
    as_stored = ordinals_as_stored(values)
    names = [file_name_of(value, as_stored=k in as_stored) for k, value in enumerate(values)]
    if names and not any(names):
        raise SourceError("its tasks show no pictures", path.name, "give a project of images")
    unsized = {k: names[k] for k, size in enumerate(sizes) if size == (0, 0) and names[k]}
    return _Survey(blocks, kind_read(has), names, sizes, unsized, as_stored)


def _check_task(task: Any, where: str) -> None:
    if type(task) is not dict:
        raise SourceError(f"it is {json_type(task)}, not a task", where)
    if type(task.get("data")) is not dict:
        what = "it is no task with its data, as in Label Studio's JSON-MIN"
        raise SourceError(what, where, "export the project as JSON, which has all of it")


def _pictures(source: Path, found: _Survey, options: ReadOptions) -> dict[str, Path]:
    """Return the pictures of tasks whose size no result states, by file name."""
    if not found.unsized:
        return {}
    folder = options.images
    if folder is None:
        home = export_file(options.home or source)
        beside = beside_file(home, found.names_and_sizes())
        folder = None if beside is None else beside.folder
    if folder is None:
        return {}
    unsized = list(dict.fromkeys(found.unsized.values()))
    return {n: folder / p for n, p in find_pictures(folder, found.names, unsized).items()}


def pictures(source: Path) -> OwnPictures | None:
    """Return the folder of the pictures where they lie beside the file."""
    found = beside_file(export_file(source), _names_and_sizes(source))
    inside = found is not None and found.folder == source.resolve()
    return OwnPictures(source.resolve()) if inside else found


def _names_and_sizes(source: Path) -> Iterator[tuple[str, tuple[int, int] | None]]:
    """Yield what is asked for only where pictures are near."""
    yield from _survey(source).names_and_sizes()


def load(source: Path, part: Part, options: ReadOptions = _NO_OPTIONS) -> MaskTable:
    """Read the masks of some tasks."""
    rows = TableBuilder()
    with pause_collector():
        path = export_file(source)
        for first, start, end, kind, own, stored in part.payload:
            paths = dict(own)
            for ordinal, task in enumerate(read_records(path, start, end), first):
                key = f"{path.name}#/{ordinal}"
                name = file_name_of(picture_of_task(task), as_stored=ordinal in stored)
                _add_task(rows, task, kind, key, name, paths.get(ordinal))
        return rows.table()


def _add_task(
    rows: TableBuilder, task: JsonObject, kind: str, key: str, name: str, path: Any
) -> None:
    chosen = choose_annotation(task, kind)
    size = size_of_task(task, kind)
    status, detail = "ok", ""
    if size == (0, 0) and path is not None:
        size = picture_size(Path(path))
        note_size(rows.notes, plain(name))
    if not valid_size(*size):
        status, detail = "invalid_size", "no result states its size, and no picture was found"
    image_id = whole_number(task.get("id"))
    subset = subset_of_task(task)
    image = rows.image(name, size, status, detail, image_id, source_key=key, subset=subset)
    regions, others = list_regions(chosen.result)
    _note_task(rows.notes, task, kind, chosen, key)
    for kind_of, count in others.items():
        what = f"{kind_of[:40]} is no mask: it is not read, and stays"
        rows.notes.merge([Note("no_mask", what, count, "shapes", (plain(key),))])
    for region in regions:
        place = f"{key}/{kind}/{chosen.number}/result/{region.numbers[0]}"
        optional: dict[str, object] = {"category": region.label}
        score = region.results[0].get("score")
        if score is not None:
            optional["score"] = number(score, "score")[0]
        rows.mask(place, image, read_region(region, size), region.mask_id, optional)
        if region.labels > 1:
            what = "regions with several labels are read with the first"
            rows.notes.add("several_labels", what, plain(place))


def _note_task(notes: Notes, task: JsonObject, kind: str, chosen: ReadAnnotation, key: str) -> None:
    """Note what of a task is not read."""
    place = plain(key)
    if chosen.others and kind != PREDICTIONS:
        what = "tasks with several annotations are read with one: ground truth, else the latest"
        notes.add("several_annotations", what, place, "images")
    if chosen.skipped:
        notes.add("skipped", "annotations that people skipped are not read", place, "images")
    if kind == PREDICTIONS and chosen.number is not None:
        what = "there are no annotations in the file, so its predictions are read, the latest first"
        notes.add("predictions_read", what, place, "images")
    elif kind != PREDICTIONS and task.get(PREDICTIONS):
        what = "predictions beside annotations are not read, and stay"
        notes.add("predictions_left", what, place, "images")


FORMAT = Format(
    "label-studio",
    "Label Studio's JSON export",
    matches,
    plan,
    load,
    write,
    follows=("plan", "load", "write"),
    check_unedited=check_label_studio,
    pictures=pictures,
)
