"""Layout of Supervisely's projects: documents, pictures, and the classes of ``meta.json``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from curate.common.files import open_to_read
from curate.common.json_values import JsonObject
from curate.errors import SourceError
from curate.formats.format import convert_read_errors
from curate.formats.json.json_columns import text, whole_number
from curate.formats.json.record_lists import (
    JsonDocument,
    document_path,
    find_documents,
    read_document,
)
from curate.formats.own_pictures import is_picture
from curate.formats.segmentation import json_type, size_problem, valid_size
from curate.formats.table_builder import plain

LIST = "objects"
"""The key of the list of objects."""

ANNOTATIONS, PICTURES, META = "ann", "img", "meta.json"
"""Folders of annotations and of pictures in a dataset, and the project's file of classes."""

_FIELDS = frozenset({"size", "tags", "description"})


def find_annotations(source: Path) -> Iterator[tuple[str, int]]:
    """Yield the documents of a source, path and size: JSON files in folders called ``ann``."""
    bare = source.name == ANNOTATIONS

    def is_one(name: str) -> bool:
        parts = name.split("/")
        return parts[-2] == ANNOTATIONS if len(parts) > 1 else bare

    return find_documents(source, is_one)


def read_annotation(source: Path, name: str) -> JsonDocument:
    """Read a document of :func:`find_annotations`.

    Raises:
        SourceError: It is broken, or is no annotation of an image.
    """
    path = document_path(source, name)
    with convert_read_errors(path), open_to_read(path) as file:
        found = read_document(file, plain(name), LIST, _FIELDS)
    if found.records is None:
        raise SourceError(f"it has no list of {LIST}", plain(name))
    return found


def size_of(found: JsonDocument) -> tuple[tuple[int, int], str]:
    """Return the height and width that a document states, and what is wrong with them."""
    size = found.fields.get("size")
    if type(size) is not dict:
        return (0, 0), f"its size is {json_type(size)}, not an object"
    sides = [whole_number(size.get(name)) for name in ("height", "width")]
    if None in sides:
        return (0, 0), "its size has no whole height and width"
    height, width = (side or 0 for side in sides)
    if not valid_size(height, width):
        return (0, 0), size_problem(height, width)
    return (height, width), ""


class DatasetPictures:
    """Pictures of documents: ``img/a.jpg`` for ``ann/a.jpg.json``, in old projects ``a.json``.

    Args:
        source: The project, a dataset of it, or one document.
    """

    def __init__(self, source: Path) -> None:
        self._source = source
        self._stems: dict[str, dict[str, str]] = {}

    def find(self, document: str) -> str:
        """Return the path of a document's picture under the source, as far as it can be told."""
        path = PurePosixPath(document)
        stem = path.name[: -len(".json")] if path.name.lower().endswith(".json") else path.name
        if self._source.is_file():
            return stem
        folder = str(path.parent.parent / PICTURES) if path.parent.name else PICTURES
        named = f"{folder}/{stem}"
        if os.path.isfile(self._source / named):
            return named
        return self._by_stem(folder).get(stem, named)

    def _by_stem(self, folder: str) -> dict[str, str]:
        """Return the pictures of a folder by name without suffix, but for those of one name."""
        if folder not in self._stems:
            names: list[str] = []
            if (self._source / folder).is_dir():
                names = [name for name in os.listdir(self._source / folder) if is_picture(name)]
            stems = [os.path.splitext(name)[0] for name in names]
            paths = zip(stems, names, strict=True)
            found = {s: f"{folder}/{name}" for s, name in paths if stems.count(s) == 1}
            self._stems[folder] = found
        return self._stems[folder]


@dataclass(frozen=True)
class ProjectClass:
    """A class that ``meta.json`` declares.

    Attributes:
        shape: What its figures are: ``bitmap``, ``polygon``, ``any`` or another type.
        number: Its id; None where it states none.
    """

    shape: str
    number: int | None = None


@dataclass(frozen=True)
class ProjectMeta:
    """The classes of a project.

    Attributes:
        name: Path of its file under the source.
        classes: Its classes by title.
    """

    name: str
    classes: dict[str, ProjectClass] = field(default_factory=dict)


class ProjectMetas:
    """The ``meta.json`` of the projects in a source.

    Args:
        source: The project, a folder of projects, a dataset, or one document.
    """

    def __init__(self, source: Path) -> None:
        self._source = source
        self._read: dict[str, ProjectMeta] = {}

    def find(self, document: str) -> ProjectMeta | None:
        """Return the classes of a document's project: those of the nearest folder above it.

        Returns:
            None where the source holds no such file.

        Raises:
            SourceError: It is broken.
        """
        for name in self._names:
            if plain(document).startswith(plain(name)[: -len(META)]):
                if name not in self._read:
                    self._read[name] = _read_meta(self._source, name)
                return self._read[name]
        return None

    @cached_property
    def _names(self) -> list[str]:
        """Paths of the files, the deepest first."""
        if self._source.is_file():
            return []
        found = [name for name, _ in find_documents(self._source) if _is_meta(name)]
        return sorted(found, key=lambda name: (-name.count("/"), name))


def _is_meta(name: str) -> bool:
    parts = name.split("/")
    return parts[-1] == META and ANNOTATIONS not in parts[:-1]


def _read_meta(source: Path, name: str) -> ProjectMeta:
    with convert_read_errors(source / name), open_to_read(source / name) as file:
        found = read_document(file, plain(name), "classes", frozenset())
    classes: dict[str, ProjectClass] = {}
    for one in found.records or ():
        if type(one) is dict and one.get("title") is not None:
            shape = text(one.get("shape")) or "any"
            classes.setdefault(text(one["title"]), ProjectClass(shape, whole_number(one.get("id"))))
    return ProjectMeta(name, classes)


def title_of(figure: JsonObject) -> str | None:
    """Return the class of an object; None where it has none."""
    title = figure.get("classTitle")
    return None if title in (None, "") else text(title)


def color_of(title: str) -> str:
    """Return a colour for a class: the same for the same title."""
    return "#" + blake2b(title.encode("utf-8", "surrogatepass"), digest_size=3).hexdigest().upper()
