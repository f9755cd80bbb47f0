"""labelme and X-AnyLabeling: JSON documents, one an image, in a folder or alone.

Facts, from the tools' own sources: ``shapes`` lists objects with ``label``, ``points`` in pixels,
``shape_type``, ``group_id`` and ``flags``; ``imageHeight`` and ``imageWidth`` are those of the
picture as it is shown (EXIF applied); ``imagePath`` leads to it from the document's folder.
``imageData`` is a copy of the picture in base64, or null; it is skipped and never decoded. Which
shapes are masks, and which are one, says :mod:`curate.formats.labelme.shapes`. X-AnyLabeling adds
``checked`` to documents and ``score``, ``difficult`` and ``attributes`` to shapes, and knows no
shapes of the type ``mask``.

Polygons have the pixels that COCO gives them, as in every format; labelme's own exporter to VOC
draws their outline too. Other JSON in the folder is passed over, and noted.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from curate.dataset.notes import Note
from curate.dataset.table import MaskTable
from curate.errors import CurateError, SourceError
from curate.formats.format import PART_BYTES, Format, Part, ReadOptions
from curate.formats.json.record_lists import find_documents, list_mark
from curate.formats.json.sniffing import shape_of
from curate.formats.labelme.documents import (
    LIST,
    LabelmeDocument,
    check_shapes,
    dataset_folder,
    read_labelme,
)
from curate.formats.labelme.labelme_writing import write
from curate.formats.labelme.shapes import (
    IGNORED,
    ShapeGroup,
    group_shapes,
    other_kinds,
    read_group,
)
from curate.formats.own_pictures import OwnPictures, under_one_of
from curate.formats.picture_sizes import note_size
from curate.formats.segmentation import Segmentation
from curate.formats.table_builder import TableBuilder, number, parts_of, plain
from curate.formats.untouched.labelme_check import check_labelme

_NO_OPTIONS = ReadOptions()
_LOOK = 50  # JSON files of a folder that are looked at to tell the format
_TRIED = 20  # documents that are read to see whether their pictures are there
_MOST_COST = PART_BYTES // 16
"""What a document counts at most for a part: larger ones are large by their ``imageData``."""


def matches(path: Path) -> bool:
    """Return whether a JSON file, or one in a folder, begins like a document of labelme."""
    try:
        if path.is_file():
            return shape_of(path).looks_labelme
        named = find_documents(path) if path.is_dir() else iter(())
        return any(shape_of(path / name).looks_labelme for name, _ in islice(named, _LOOK))
    except (CurateError, OSError, ValueError):
        return False


def plan(source: Path, work: Path) -> Iterator[Part]:
    """Group documents into parts."""
    named = ((name, min(size, _MOST_COST)) for name, size in find_documents(source))
    found = parts_of(named, PART_BYTES)
    first = next(found, None)
    if first is None:
        what = "there is no JSON file in it"
        raise SourceError(what, str(source), "give the folder of the documents")
    yield first
    yield from found


def load(source: Path, part: Part, options: ReadOptions = _NO_OPTIONS) -> MaskTable:
    """Read some documents; a broken one is a finding, unless it is the whole source."""
    rows = TableBuilder()
    for name in part.payload:
        key = plain(name)
        try:
            document = read_labelme(source, name, options)
            if document is not None:
                _add_document(rows, key, document, check_shapes(document, key))
            elif source.is_file():
                raise SourceError("it is no document of labelme", key)
            else:
                what = "JSON files that are no documents of labelme are not read"
                rows.notes.add("other_json", what, key, "files")
        except SourceError as error:
            if source.is_file():
                raise
            status = "truncated" if "cut off" in error.what else "unreadable"
            rows.image(Path(name).stem, (0, 0), status, str(error))
    return rows.table()


def _add_document(
    rows: TableBuilder, key: str, document: LabelmeDocument, shapes: list[object]
) -> None:
    status = "invalid_size" if document.problem else "ok"
    image = rows.image(document.name, document.size, status, document.problem, source_key=key)
    if document.is_measured:
        note_size(rows.notes, document.name)
    for kind in other_kinds(shapes):
        what = f"shapes of the type {kind[:40]} are no masks: they are not read, and stay"
        rows.notes.merge([Note("no_mask", what, 1, "shapes", (key,))])
    for group in group_shapes(shapes):
        place = f"{key}{list_mark(LIST)}{group.numbers[0]}"
        if len(group.numbers) > 1:
            what = "shapes with one label and one group_id are read as one mask"
            rows.notes.add("groups", what, place)
        mask = read_group(shapes, group, document.size)
        rows.mask(place, image, _check_label(mask, group), optional=_columns(shapes, group))


def _check_label(mask: Segmentation, group: ShapeGroup) -> Segmentation:
    if mask.status == "ok" and group.label is None:
        return mask._replace(status="bad_category", detail="the shape has no label")
    return mask


def _columns(shapes: list[object], group: ShapeGroup) -> dict[str, object]:
    """Return the columns that a mask's shapes fill beside its pixels; their group is used up."""
    optional: dict[str, object] = {"category": group.label}
    first = shapes[group.numbers[0]]
    if type(first) is not dict:
        return optional
    if first.get("score") is not None:
        optional["score"] = number(first["score"], "score")[0]
    if group.label == IGNORED:
        optional["iscrowd"] = 1
    return optional


def pictures(source: Path) -> OwnPictures | None:
    """Return the dataset's folder where the documents' pictures are in it."""
    names = []
    for name, _ in islice(find_documents(source), _TRIED):
        try:
            document = read_labelme(source, name, _NO_OPTIONS)
        except SourceError:
            continue
        if document is not None:
            names.append(document.picture or document.name)
    return under_one_of([dataset_folder(source)], names)


FORMAT = Format(
    "labelme",
    "labelme",
    matches,
    plan,
    load,
    write,
    follows=("load", "write"),
    check_unedited=check_labelme,
    pictures=pictures,
)
