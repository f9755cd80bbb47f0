"""Items of Datumaro's JSON: files of a dataset, labels, annotations that are one object."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from curate.common.files import open_to_read
from curate.common.json_values import JsonObject
from curate.errors import SourceError
from curate.formats.copying import list_entries
from curate.formats.format import convert_read_errors
from curate.formats.json.json_columns import text, whole_number
from curate.formats.json.sniffing import shape_of
from curate.formats.json.streaming import scan

ANNOTATIONS, IMAGES = "annotations", "images"
"""Folders of a dataset: a JSON file for each subset, and the pictures by subset."""

ITEMS = "items"
"""The key of the list of items."""

NO_SUBSET = "default"
"""What Datumaro calls the file of items that are of no subset."""

SHAPES = ("mask", "polygon")
"""Types of annotations that are masks."""


class DatumaroFile(NamedTuple):
    """A file of a dataset.

    Attributes:
        name: Its path under the dataset with ``/``; its name where it is the source itself.
        path: Where it is.
        subset: The subset that it holds, which Datumaro takes from its name.
        root: The dataset's folder; None where the file stands alone.
    """

    name: str
    path: Path
    subset: str
    root: Path | None


def looks_like_datumaro(path: Path) -> bool:
    """Return whether a file begins like Datumaro's JSON."""
    shape = shape_of(path)
    if shape.root != "object" or "dm_format_version" in shape.first:
        return shape.root == "object" and shape.is_list.get(ITEMS, True)
    one, categories = shape.one(ITEMS), shape.first.get("categories")
    listed = type(one.get("annotations")) is list or shape.first.get(ITEMS, 0) is None
    return shape.is_list.get(ITEMS, False) and listed and type(categories) is dict


def dataset_files(source: Path, home: Path | None = None) -> list[DatumaroFile]:
    """Return the files of a source: a file, or a folder with ``annotations/*.json``.

    Args:
        source: The source.
        home: Where the dataset stands of which it is a copy; None for no copy.
    """
    if source.is_file():
        folder = (home or source).resolve().parent
        root = folder.parent if folder.name == ANNOTATIONS else folder
        return [DatumaroFile(source.name, source, source.stem, root)]
    folder = source / ANNOTATIONS
    found = []
    for entry in list_entries(folder) if folder.is_dir() else ():
        path = Path(entry.path)
        if entry.name.lower().endswith(".json") and entry.is_file() and looks_like_datumaro(path):
            found.append(
                DatumaroFile(f"{ANNOTATIONS}/{entry.name}", path, path.stem, home or source)
            )
    return found


def read_labels(path: Path) -> list[str] | None:
    """Return the names of a file's labels, by their ids; None where it declares none."""
    with convert_read_errors(path), open_to_read(path) as file:
        for batch in scan(file, path.name, frozenset(["categories"])):
            if not batch.is_list and len(batch):
                return labels_of(batch.parse(path.name)[0])
    return None


def labels_of(categories: Any) -> list[str] | None:
    """Return the names of the labels in a file's categories; None where it has no such list."""
    label = categories.get("label") if type(categories) is dict else None
    labels = label.get("labels") if type(label) is dict else None
    if type(labels) is not list:
        return None
    return [text(one.get("name")) if type(one) is dict else "" for one in labels]


def check_item(item: Any, where: str) -> None:
    """Check that a record is an item.

    Raises:
        SourceError: It is none.
    """
    if type(item) is not dict or "id" not in item:
        raise SourceError("it is no item with an id", where)


def name_of(item: JsonObject) -> str:
    """Return the path of an item's picture, or its id."""
    for kind in ("image", "media"):
        facts = item.get(kind)
        path = facts.get("path") if type(facts) is dict else None
        if type(path) is str and path:
            return path
    return text(item.get("id"))


def stated_size(item: JsonObject) -> tuple[int, int]:
    """Return the height and width of an item's picture; (0, 0) where it states none."""
    facts = item.get("image")
    size = facts.get("size") if type(facts) is dict else None
    if type(size) is not list or len(size) != 2:
        return 0, 0
    height, width = (whole_number(side) for side in size)
    return height or 0, width or 0


def find_picture(one: DatumaroFile, name: str) -> Path | None:
    """Return an item's picture in its dataset: of its subset, or from before there were any."""
    path = PurePosixPath(name)
    if one.root is None or "\0" in name or path.is_absolute() or ".." in path.parts:
        return None
    for folder in (one.root / IMAGES / one.subset, one.root / IMAGES):
        try:
            if (folder / path).is_file():
                return folder / path
        except OSError:
            return None
    return None


@dataclass
class GroupedShapes:
    """Annotations that are one object.

    Attributes:
        numbers: Positions of its masks and polygons.
        shapes: These.
        companions: Positions of what else is in its group: boxes, captions, labels.
        label: The id of its label; None where it has none.
        group: The number of its group; 0 where it is in none.
    """

    numbers: list[int] = field(default_factory=list)
    shapes: list[JsonObject] = field(default_factory=list)
    companions: list[int] = field(default_factory=list)
    label: object = None
    group: int = 0


def group_shapes(annotations: list[Any]) -> tuple[list[GroupedShapes], dict[str, int]]:
    """Return the objects among annotations, in file order, and what else there is.

    Masks and polygons of one group and one label are one object. What else is in a group belongs to
    its object, where there is only one.

    Returns:
        The objects, and how many annotations of other types are in none, by type.
    """
    found: dict[object, GroupedShapes] = {}
    rest: dict[int, list[int]] = {}
    others: dict[str, int] = {}
    for number, one in enumerate(annotations):
        kind = one.get("type") if type(one) is dict else None
        group = whole_number(one.get("group")) or 0 if type(one) is dict else 0
        if kind in SHAPES:
            label = one.get("label_id")
            key: object = (group, str(label)) if group else number
            mine = found.setdefault(key, GroupedShapes(label=label, group=group))
            mine.numbers.append(number)
            mine.shapes.append(one)
        elif group:
            rest.setdefault(group, []).append(number)
        else:
            others[str(kind)[:40]] = others.get(str(kind)[:40], 0) + 1
    objects = list(found.values())
    for group, numbers in rest.items():
        owners = [one for one in objects if one.group == group]
        if len(owners) == 1:
            owners[0].companions += numbers
        else:
            others["in a group"] = others.get("in a group", 0) + len(numbers)
    return objects, others
