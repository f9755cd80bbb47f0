"""Documents of labelme: their image's name and size, and its picture."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from curate.common.files import open_to_read
from curate.errors import SourceError
from curate.formats.format import ReadOptions, convert_read_errors
from curate.formats.json.json_columns import whole_number
from curate.formats.json.record_lists import JsonDocument, document_path, read_document
from curate.formats.picture_sizes import picture_size
from curate.formats.segmentation import size_problem, valid_size
from curate.formats.table_builder import plain

LIST = "shapes"
"""The key of the list of shapes."""

_FIELDS = frozenset(
    {"imagePath", "imageHeight", "imageWidth", "version", "flags", "checked", "text"}
)
_OWN_FIELDS = frozenset({"imagePath", "imageHeight", "imageWidth"})
_OF_ANYLABELING = frozenset({"checked", "text"})
"""Fields of documents that X-AnyLabeling, or AnyLabeling before it, has written."""

_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class LabelmeDocument:
    """One image's document.

    Attributes:
        shapes: Its shapes as they were parsed; None where it has no list of them.
        picture: Path of its picture under the folder of the dataset; "" where it is not there.
        name: The image's name: the picture's path, else as far as the document names it.
        size: Height and width; zeros where nothing says them.
        problem: What is wrong with the size.
        is_measured: Whether the size is that of the picture.
        has_masks: Whether the tool that wrote it knows shapes of the type ``mask``.
    """

    shapes: list[Any] | None
    picture: str
    name: str
    size: tuple[int, int]
    problem: str
    is_measured: bool
    has_masks: bool


def dataset_folder(source: Path) -> Path:
    """Return the folder under which file names are paths."""
    return source.parent if source.is_file() else source


def read_labelme(source: Path, name: str, options: ReadOptions) -> LabelmeDocument | None:
    """Read a document.

    Args:
        source: The dataset.
        name: Path of the document under it.
        options: ``images`` is looked through for a picture where a document states no size.

    Returns:
        The document; None where the file is JSON of something else.

    Raises:
        SourceError: It is broken, or cannot be read.
    """
    path = document_path(source, name)
    with convert_read_errors(path), open_to_read(path) as file:
        found = read_document(file, plain(name), LIST, _FIELDS)
    if not _is_labelme(found):
        return None
    root = dataset_folder(source)
    places = _place_picture("" if source.is_file() else name, found.fields.get("imagePath"))
    picture = next((place for place in places if os.path.isfile(root / place)), "")
    named = places[0] if places else PurePosixPath(name).stem
    size, problem = _declared_size(found.fields)
    is_measured = False
    if size is None:
        size = _measured_size(root, picture, named, options)
        is_measured = size != (0, 0)
        problem = "" if is_measured else problem
    return LabelmeDocument(
        found.records,
        picture,
        picture or named,
        size,
        problem,
        is_measured,
        not _OF_ANYLABELING & set(found.fields),
    )


def _is_labelme(found: JsonDocument) -> bool:
    names = set(found.fields)
    return bool(_OWN_FIELDS & names) or (found.records is not None and bool(names))


def _declared_size(fields: dict[str, object]) -> tuple[tuple[int, int] | None, str]:
    """Return height and width, None where the document states none, and what is wrong."""
    sides = [fields.get(name) for name in ("imageHeight", "imageWidth")]
    numbers = [whole_number(side) for side in sides]
    if any(side is None or number in (0, -1) for side, number in zip(sides, numbers, strict=True)):
        return None, "it does not state the size of its image, and the picture is not beside it"
    height, width = (0 if number is None else number for number in numbers)
    if valid_size(height, width):
        return (height, width), ""
    if None in numbers:
        return (0, 0), "its imageHeight and imageWidth are not two whole numbers"
    return (0, 0), size_problem(height, width)


def _measured_size(root: Path, picture: str, named: str, options: ReadOptions) -> tuple[int, int]:
    """Return the size of the picture, upright as labelme shows it; zeros where there is none."""
    tried = [root / picture] if picture else []
    if options.images is not None:
        tried += [options.images / named, options.images / PurePosixPath(named).name]
    return next((size for one in tried if valid_size(*(size := picture_size(one)))), (0, 0))


def _place_picture(document: str, path: object) -> tuple[str, ...]:
    """Return where a document's picture may be, as paths under the dataset's folder.

    labelme writes ``imagePath`` as the system spells it, from the document's folder. Datasets are
    moved, so a picture beside the document counts too; nothing outside of the dataset does.
    """
    if type(path) is not str or "\0" in path:
        return ()
    spelled = path.replace("\\", "/")
    spelled = _DRIVE.sub("", spelled, count=1) if _DRIVE.match(spelled) else spelled
    home = PurePosixPath(document).parent
    inside = [part for part in spelled.split("/") if part not in ("", ".", "..")]
    if not inside:
        return ()
    tried = [] if spelled.startswith("/") else [os.path.normpath(home / spelled)]
    tried.append(str(home / inside[-1]))
    return tuple(one for one in tried if not one.startswith("../"))


def check_shapes(document: LabelmeDocument, name: str) -> list[Any]:
    """Return a document's shapes.

    Raises:
        SourceError: It has no list of them.
    """
    if document.shapes is None:
        raise SourceError(f"it has no list of {LIST}", name)
    return document.shapes
