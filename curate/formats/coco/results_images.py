"""Images of a results list, which has ids only: from its annotation file, or from pictures.

Both are joined with the list's ids as :mod:`curate.dataset.image_join` does it: ids are those of
the annotation file; with pictures they are numbers in names. Names that the list has itself go
first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.common import files
from curate.common.arrays import IntArray
from curate.dataset.image_join import Listing, join
from curate.errors import SourceError
from curate.formats.coco.annotation_columns import UNKNOWN_SIZE, ImageRows
from curate.formats.coco.file_index import CocoIndex
from curate.formats.coco.images_and_categories import image_fields
from curate.formats.format import ReadOptions, convert_read_errors
from curate.formats.json.json_columns import id_key
from curate.formats.json.sniffing import shape_of
from curate.formats.json.streaming import scan
from curate.formats.picture_sizes import find_pictures, picture_size
from curate.images.file_lookup import Finder
from curate.images.image_folder import SUFFIXES

_TABLE, _FACTS = "known-images.arrow", "known-images.json"


@dataclass(frozen=True)
class KnownImages:
    """Images by the key of their id.

    Attributes:
        keys: Shape (n,), sorted; see :func:`curate.formats.json.json_columns.id_key`.
        names: File names.
        paths: Paths of their pictures under the folder of these, "" where not needed or not known.
        sizes: Shape (n, 2), height and width in pixels, UNKNOWN_SIZE where not known.
        categories: The annotation file's list of categories; None where there is none.
        origin: Name of the annotation file, "" where names are those of pictures.
        pictures: Folder of the pictures; "" where none is given.
    """

    keys: IntArray
    names: pa.ChunkedArray
    paths: pa.ChunkedArray
    sizes: IntArray
    categories: list[Any] | None
    origin: str
    pictures: str

    @classmethod
    def build(cls, options: ReadOptions, index: CocoIndex, folder: Path) -> None:
        """Find the images of a list once, and write them into an existing folder.

        Raises:
            SourceError: The annotation file cannot be read, or lists no images.
        """
        categories: list[Any] | None = None
        origin, pictures = "", options.images
        if options.annotations is not None:
            origin = options.annotations.name
            known, categories = _read_annotations(options.annotations)
            rows = _of_annotations(known, index)
            paths = _paths(known, pictures)
        else:
            assert pictures is not None, "one of the two is given"
            known = Listing(_list_pictures(pictures))
            rows = _of_pictures(known, index)
            paths = dict(zip(known.texts, known.texts, strict=True))
        ids = index.ids()
        order = np.flatnonzero(rows >= 0)
        order = order[np.argsort(ids[order], kind="stable")]
        names = [known.texts[row] for row in rows[order]]
        sizes = np.full((len(known), 2), UNKNOWN_SIZE) if known.sizes is None else known.sizes
        columns = {
            "key": pa.array(ids[order], pa.int64()),
            "name": pa.array(names, pa.large_string()),
            "path": pa.array([paths.get(name, "") for name in names], pa.large_string()),
            "height": pa.array(sizes[rows[order], 0], pa.int64()),
            "width": pa.array(sizes[rows[order], 1], pa.int64()),
        }
        table = pa.table(columns)
        with (
            files.convert_write_errors(folder),
            files.open_file(folder / _TABLE) as file,
            pa.ipc.new_file(file, table.schema) as writer,
        ):
            writer.write_table(table)
        facts = {"categories": categories, "origin": origin, "pictures": str(pictures or "")}
        with files.convert_write_errors(folder):
            files.write_text(folder / _FACTS, json.dumps(facts))

    @classmethod
    def open(cls, folder: Path) -> KnownImages:
        """Read what :meth:`build` left in a folder."""
        with convert_read_errors(folder / _TABLE), pa.memory_map(str(folder / _TABLE)) as file:
            table = pa.ipc.open_file(file).read_all()
            facts = json.loads((folder / _FACTS).read_bytes())
        sizes = np.stack([table[side].to_numpy() for side in ("height", "width")], axis=1)
        return cls(table["key"].to_numpy(), table["name"], table["path"], sizes, **facts)

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
        images.heights[rows], images.widths[rows] = self.sizes[at[rows]].T
        if self.pictures:
            images.fallback = np.full((len(found), 2), UNKNOWN_SIZE, np.int64)
            paths = self.paths.take(pa.array(at[rows])).to_pylist()
            for row, path in zip(rows.tolist(), paths, strict=True):
                size = picture_size(Path(self.pictures) / path) if path else (0, 0)
                images.fallback[row] = size if size[0] else UNKNOWN_SIZE
        what = "image ids that are the name or the number of no picture, or of several"
        if self.origin:
            images.listed = found
            what = f"image ids that {self.origin} does not list"
        for row in np.flatnonzero(~found).tolist():
            images.notes.add("unknown_images", what, f"id {images.ids[row]}", of="images")


def _of_annotations(known: Listing, index: CocoIndex) -> IntArray:
    """Return the row of the image of each id of a list, -1 for none.

    Ids are ids of the annotation file, unless the masks bear file names that show that they are
    not. What is text may be the name of an image as well: some tools write the stem.
    """
    keys, (names, texts) = index.ids(), index.names()
    own = Listing([names.get(key, "") for key in keys.tolist()], keys)
    rows = join(known, own, same_ids=not names).rows.copy()
    left = (rows < 0) & np.array([key in texts and key not in names for key in keys.tolist()])
    if left.any():
        named = [names.get(key) or texts.get(key, "") for key in keys.tolist()]
        again = join(Listing(known.names), Listing(named)).rows
        again[np.isin(again, rows[rows >= 0])] = -1
        rows[left] = again[left]
    return rows


def _of_pictures(known: Listing, index: CocoIndex) -> IntArray:
    """Return the row of the picture of each id of a list, -1 for none."""
    keys, (names, texts) = index.ids(), index.names()
    named = [names.get(key) or texts.get(key, "") for key in keys.tolist()]
    return join(known, Listing(named, keys)).rows


def _paths(known: Listing, pictures: Path | None) -> dict[str, str]:
    """Return paths of the pictures of images that state no size, by file name."""
    if pictures is None or known.sizes is None:
        return {}
    bare = [name for name, size in zip(known.texts, known.sizes, strict=True) if size.min() < 1]
    return find_pictures(pictures, known.texts, bare)


def _read_annotations(path: Path) -> tuple[Listing, list[Any] | None]:
    """Read the images and the categories of an annotation file."""
    if not shape_of(path).is_list.get("images"):
        what = "it has no list of images, so it cannot name those of a results list"
        raise SourceError(what, str(path), "give the file of annotations that the results are for")
    categories: list[Any] | None = None
    found: dict[int, tuple[str, int, int]] = {}
    with convert_read_errors(path), path.open("rb") as file:
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
    sizes = np.array([one[1:] for one in found.values()], np.int64).reshape(-1, 2)
    ids = np.array([*found], np.int64)
    return Listing([one[0] for one in found.values()], ids, sizes), categories


def _list_pictures(folder: Path) -> list[str]:
    """Return the pictures in a folder; a link that leads out of it is none."""
    root = folder.resolve()
    with convert_read_errors(folder):
        files = Finder(folder, suffixes=SUFFIXES).files
        return [name for name in files if _stays(folder / name, root)]


def _stays(path: Path, root: Path) -> bool:
    return not path.is_symlink() or path.resolve().is_relative_to(root)
