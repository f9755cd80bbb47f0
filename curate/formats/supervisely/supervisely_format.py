"""Supervisely: a project with ``meta.json``, a dataset of it, or one image's JSON.

Facts, from its documents and its SDK: a dataset holds ``ann/a.jpg.json`` for ``img/a.jpg`` (and
perhaps datasets of its own); a document states ``size`` and lists ``objects``, each with an ``id``,
``classTitle``, ``geometryType``, ``tags`` and its figure. Figures are read by
:mod:`curate.formats.supervisely.figures`; rectangles, points, lines and the like are no masks.
Tags are neither read nor touched. ``meta.json`` declares the classes and what their figures are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from curate.dataset.notes import Note
from curate.dataset.table import MaskTable
from curate.errors import CurateError, SourceError
from curate.formats.format import PART_BYTES, Format, Part
from curate.formats.json.json_columns import whole_number
from curate.formats.json.record_lists import JsonDocument, document_path, list_mark
from curate.formats.json.sniffing import shape_of
from curate.formats.own_pictures import OwnPictures, under_one_of
from curate.formats.supervisely.figures import BITMAP, POLYGON, figure_kind, read_figure
from curate.formats.supervisely.project import (
    LIST,
    DatasetPictures,
    find_annotations,
    read_annotation,
    size_of,
    title_of,
)
from curate.formats.supervisely.supervisely_writing import write
from curate.formats.table_builder import TableBuilder, parts_of, plain
from curate.formats.untouched.supervisely_check import check_supervisely

_LOOK = 50  # documents that are looked at to tell the format
_TRIED = 20  # documents of which the pictures are looked for


def matches(path: Path) -> bool:
    """Return whether a JSON file, or one in a folder called ``ann``, is a document of an image."""
    try:
        if path.is_file():
            return shape_of(path).looks_supervisely
        named = find_annotations(path) if path.is_dir() else iter(())
        documents = (document_path(path, name) for name, _ in islice(named, _LOOK))
        return any(shape_of(document).looks_supervisely for document in documents)
    except (CurateError, OSError, ValueError):
        return False


def plan(source: Path, work: Path) -> Iterator[Part]:
    """Group documents into parts."""
    found = parts_of(find_annotations(source), PART_BYTES)
    first = next(found, None)
    if first is None:
        what = "there is no JSON file in a folder called ann"
        raise SourceError(what, str(source), "give the folder of the project, or of a dataset")
    yield first
    yield from found


def load(source: Path, part: Part) -> MaskTable:
    """Read some documents; a broken one is a finding, unless it is the whole source."""
    rows, names = TableBuilder(), DatasetPictures(source)
    for name in part.payload:
        picture = names.find(name)
        try:
            _add_document(rows, plain(name), picture, read_annotation(source, name))
        except SourceError as error:
            if source.is_file():
                raise
            status = "truncated" if "cut off" in error.what else "unreadable"
            rows.image(picture, (0, 0), status, str(error))
    return rows.table()


def _add_document(rows: TableBuilder, key: str, picture: str, found: JsonDocument) -> None:
    size, problem = size_of(found)
    status = "invalid_size" if problem else "ok"
    image = rows.image(picture, size, status, problem, source_key=key)
    for number, figure in enumerate(found.records or ()):
        kind = figure_kind(figure)
        if kind not in (BITMAP, POLYGON, ""):
            what = f"figures of the type {kind[:40]} are no masks: they are not read, and stay"
            rows.notes.merge([Note("no_mask", what, 1, "objects", (key,))])
            continue
        _add_figure(rows, f"{key}{list_mark(LIST)}{number}", image, figure, size)


def _add_figure(
    rows: TableBuilder, place: str, image: int, figure: Any, size: tuple[int, int]
) -> None:
    mask = read_figure(figure, size)
    if type(figure) is not dict:
        rows.mask(place, image, mask)
        return
    title = title_of(figure)
    if mask.status == "ok" and title is None:
        mask = mask._replace(status="bad_category", detail="the object has no classTitle")
    rows.mask(place, image, mask, whole_number(figure.get("id")), {"category": title})


def pictures(source: Path) -> OwnPictures | None:
    """Return the source where the documents' pictures are in it."""
    if source.is_file():
        return None
    names = DatasetPictures(source)
    found = [names.find(name) for name, _ in islice(find_annotations(source), _TRIED)]
    return under_one_of([source], [str(PurePosixPath(name)) for name in found])


FORMAT = Format(
    "supervisely",
    "Supervisely",
    matches,
    plan,
    load,
    write,
    check_unedited=check_supervisely,
    pictures=pictures,
)
