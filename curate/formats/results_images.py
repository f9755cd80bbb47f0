"""Images of a results list, which names them by id only: from its annotation file, or by pictures.

Ids are matched as ids of that annotation file and nothing else. Without one, a picture is that of
an id where it alone bears the number, or where the id is text and the picture alone has that name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.errors import SourceError
from curate.formats.base import ReadOptions, reading, writing
from curate.formats.coco_images import image_fields
from curate.formats.json_shape import shape_of
from curate.formats.json_stream import scan
from curate.formats.png import PictureProblem, read_picture
from curate.formats.records import UNKNOWN_SIZE, ImageRows
from curate.formats.values import IntArray, id_key, text
from curate.image_names import number
from curate.pictures.folder import SUFFIXES

_TABLE, _FACTS = "known-images.arrow", "known-images.json"


@dataclass(frozen=True)
class KnownImages:
    """Images by the key of their id.

    Attributes:
        keys: Shape (n,), sorted; see :func:`curate.formats.values.id_key`.
        names: File names.
        sizes: Shape (n, 2), height and width in pixels, UNKNOWN_SIZE where not known.
        categories: The annotation file's list of categories; None where there is none.
        origin: Name of the annotation file, "" where names are those of pictures.
        pictures: Folder of the pictures; "" where they are not what names are from.
    """

    keys: IntArray
    names: pa.ChunkedArray
    sizes: IntArray
    categories: list[Any] | None
    origin: str
    pictures: str

    @classmethod
    def build(cls, options: ReadOptions, folder: Path) -> None:
        """List the images once, into an existing folder.

        Args:
            options: The annotation file or the folder of the pictures.
            folder: Where to.

        Raises:
            SourceError: The annotation file cannot be read, or lists no images.
        """
        found: dict[int, tuple[str, int, int] | None] = {}
        categories: list[Any] | None = None
        origin = pictures = ""
        if options.annotations is not None:
            origin = options.annotations.name
            categories = _read_annotations(options.annotations, found)
        elif options.images is not None:
            pictures = str(options.images)
            _list_pictures(options.images, found)
        rows = sorted((key, *one) for key, one in found.items() if one is not None)
        columns = [[row[k] for row in rows] for k in range(4)]
        types = {"key": pa.int64(), "name": pa.large_string()}
        types |= {"height": pa.int64(), "width": pa.int64()}
        table = pa.table(
            {
                name: pa.array(values, kind)
                for (name, kind), values in zip(types.items(), columns, strict=True)
            }
        )
        with writing(folder), pa.ipc.new_file(str(folder / _TABLE), table.schema) as file:
            file.write_table(table)
        facts = {"categories": categories, "origin": origin, "pictures": pictures}
        with writing(folder):
            (folder / _FACTS).write_text(json.dumps(facts))

    @classmethod
    def open(cls, folder: Path) -> KnownImages:
        """Read what :meth:`build` left in a folder."""
        with reading(folder / _TABLE), pa.memory_map(str(folder / _TABLE)) as file:
            table = pa.ipc.open_file(file).read_all()
            facts = json.loads((folder / _FACTS).read_bytes())
        sizes = np.stack([table[side].to_numpy() for side in ("height", "width")], axis=1)
        return cls(table["key"].to_numpy(), table["name"], sizes, **facts)

    def fill(self, images: ImageRows) -> None:
        """Give images their names and sizes, and note those that are not known.

        Args:
            images: Images of a results list, by the keys of their ids.
        """
        at = np.searchsorted(self.keys, images.ids)
        at = np.minimum(at, max(len(self.keys) - 1, 0))
        found = self.keys[at] == images.ids if len(self.keys) else np.zeros(len(at), np.bool_)
        rows = np.flatnonzero(found)
        names = self.names.take(pa.array(at[rows])).to_pylist()
        for row, name in zip(rows.tolist(), names, strict=True):
            images.names[row] = name
        if self.origin:
            images.heights[rows], images.widths[rows] = self.sizes[at[rows]].T
            images.listed = found
            what = f"image ids that {self.origin} does not list"
        else:
            images.fallback = np.full((len(found), 2), UNKNOWN_SIZE, np.int64)
            for row in rows.tolist():
                images.fallback[row] = _picture_size(Path(self.pictures) / images.names[row])
            what = "image ids that are the name or the number of no picture, or of several"
        for row in np.flatnonzero(~found).tolist():
            images.notes.add("unknown_images", what, f"id {images.ids[row]}", of="images")


def _read_annotations(path: Path, found: dict[int, tuple[str, int, int] | None]) -> Any:
    """Read the images of an annotation file; return its categories."""
    if not shape_of(path).is_list.get("images"):
        what = "it has no list of images, so it cannot name those of a results list"
        raise SourceError(what, str(path), "give the file of annotations that the results are for")
    categories: list[Any] | None = None
    with reading(path), path.open("rb") as file:
        for batch in scan(file, path.name, {"images", "categories"}):
            values = batch.parse(path.name)
            if batch.key == "categories":
                categories = (categories or []) + (values if batch.is_list else [])
                continue
            for one in values:
                name, height, width, problem = image_fields(one)
                size = (height, width) if not problem and height > 0 else (UNKNOWN_SIZE,) * 2
                if type(one) is dict:
                    found.setdefault(id_key(one.get("id")), (name, *size))
    return categories


def _list_pictures(folder: Path, found: dict[int, tuple[str, int, int] | None]) -> None:
    """Find the pictures by each key that only one of them has."""
    root = folder.resolve()
    with reading(folder):
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file() and _stays(path, root):
                name = path.relative_to(folder).as_posix()
                for key in set(_keys(path, name)):
                    found[key] = None if key in found else (text(name), UNKNOWN_SIZE, UNKNOWN_SIZE)


def _stays(path: Path, root: Path) -> bool:
    """Return whether a file is in the folder itself, and no link that leads out of it."""
    return not path.is_symlink() or path.resolve().is_relative_to(root)


def _keys(path: Path, name: str) -> Iterator[int]:
    """Yield the keys of ids that a picture may be meant by."""
    for one in (name, path.name, path.stem):
        yield id_key(text(one))
    own = number(name)
    if own is not None:
        yield own


def _picture_size(path: Path) -> tuple[int, int]:
    try:
        picture = read_picture(path)
    except PictureProblem:
        return UNKNOWN_SIZE, UNKNOWN_SIZE
    height, width = picture.size
    return (width, height) if picture.rotated else (height, width)
