"""VIA's file with regions gone, redrawn, relabelled and added; every other byte stays.

A region is one ring. A mask with holes or of several parts becomes a ring that runs along seams of
no width, which has exactly its pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.format import ReadOptions
from curate.formats.json.byte_edits import JsonObject, Piece, Style, read_span
from curate.formats.json.record_edits import NUMBER, RecordEdits, group_by_record
from curate.formats.json.record_lists import DocumentList, write_documents
from curate.formats.new_pixels import (
    PixelTally,
    image_size,
    new_pixels,
    new_runs,
    ragged_error,
)
from curate.formats.own_pictures import beside_file
from curate.formats.picture_sizes import find_pictures, picture_size
from curate.formats.segmentation import valid_size
from curate.formats.table_builder import plain
from curate.formats.via.via_places import category_attribute, survey_file, via_file

_KEY = re.compile(rf"(.*)#/{NUMBER}/regions/{NUMBER}", re.DOTALL)
_IMAGE_KEY = re.compile(rf"(.*)#/{NUMBER}", re.DOTALL)
_NO_OPTIONS = ReadOptions()
_CATEGORY = "class"
"""The attribute for categories where no region has one."""


def find_via_pictures(source: Path, names: Sequence[str], options: ReadOptions) -> dict[str, str]:
    """Return where the pictures of images are, by their names, as far as they are found.

    Those in a given folder, else those beside the file.
    """
    folder, home = options.images, options.home or source
    if folder is None and home.is_dir():
        folder = home
    if folder is None:
        beside = beside_file(home, ((name, None) for name in names))
        folder = None if beside is None else beside.folder
    if folder is not None:
        paths = find_pictures(folder, names, list(dict.fromkeys(names)))
        return {name: str(folder / path) for name, path in paths.items()}
    found = {}
    for name in dict.fromkeys(names):
        path = PurePosixPath(name)
        inside = "\0" not in name and not path.is_absolute() and ".." not in path.parts
        if inside and len(name) < 1_000 and (home.parent / path).is_file():
            found[name] = str(home.parent / path)
    return found


def write(
    source: Path, out: Path | None, edits: Edits, options: ReadOptions = _NO_OPTIONS
) -> Stored:
    """Write the file with some masks gone, changed and added; see :class:`Format`."""
    edits.refuse_attributes(str(source))
    if edits.masks == "rle" and next(new_pixels(edits), None) is not None:
        raise CallError("VIA holds polygons only", str(source), "use --masks same")
    path = via_file(source)
    asked = group_by_record(source, edits, _KEY, _IMAGE_KEY, {plain(path.name)})
    writer = _RegionWriter(source, path, options)
    write_documents(source, out, asked, writer.pieces)
    return writer.tally.count_stored()


class _RegionWriter:
    """Edits images of one file.

    Attributes:
        tally: How many masks were stored.
    """

    def __init__(self, source: Path, path: Path, options: ReadOptions) -> None:
        self._source, self._path = source, path
        self._options, self.tally = options, PixelTally()
        self._attribute = _CATEGORY

    def pieces(self, file: BinaryIO, name: str, asked: Mapping[int, RecordEdits]) -> list[Piece]:
        """Return which bytes of the file are replaced."""
        known = survey_file(self._path)
        if max(asked) >= len(known.places):
            raise CallError(f"it has {len(known.places)} images, and none {max(asked)}", name)
        self._attribute = known.attribute or _CATEGORY
        drawn = {n: one for n, one in asked.items() if one.change or one.add}
        pictures = find_via_pictures(self._source, known.names, self._options) if drawn else {}
        found: list[Piece] = []
        for number, mine in asked.items():
            place, called = known.places[number], known.names[number]
            size = picture_size(Path(pictures[called])) if called in pictures else (0, 0)
            data = read_span(file, place.start, place.end)
            found += self._edit(mine, data, place.start, size, called)
        return found

    def _edit(
        self, mine: RecordEdits, data: bytes, at: int, size: tuple[int, int], name: str
    ) -> Iterator[Piece]:
        listed = DocumentList.inside(data, at, self._path.name, ("regions",))
        if listed is None:
            image = JsonObject(data, at, self._path.name)
            image.set("regions", self._edit_object(mine, image, size, name))
            yield at, at + len(data), image.text().encode("utf-8")
            return
        listed.check((*mine.drop, *mine.change))
        yield from listed.drop(mine.drop.keys())
        for number, (key, wanted) in mine.change.items():
            yield listed.replace(number, self._change(listed.record(number), key, wanted, size))
        made_texts = [self._new(one, size).encode("utf-8") for one in mine.add]
        yield from listed.append(made_texts, mine.drop.keys())

    def _edit_object(
        self, mine: RecordEdits, image: JsonObject, size: tuple[int, int], name: str
    ) -> str:
        """Return the text of regions that are an object with numbers for names, as in VIA 1."""
        if type(image.get("regions")) is not dict:
            if mine.drop or mine.change:
                raise CallError("it has no region that could be changed", name)
            return f"[{', '.join(self._new(one, size) for one in mine.add)}]"
        regions = JsonObject(image.literal("regions").encode("utf-8"))
        if regions.repeated is not None:
            what = (
                f"two of its regions are called {regions.repeated!r}, so only one of them is read"
            )
            raise SourceError(what, name, "number its regions anew")
        names = [*regions.members]
        if missing := [n for n in (*mine.drop, *mine.change) if n >= len(names)]:
            raise CallError(f"it has {len(names)} regions, and none {missing[0]}", name)
        texts = {one: regions.literal(one) for k, one in enumerate(names) if k not in mine.drop}
        for number, (key, wanted) in mine.change.items():
            region = JsonObject(regions.literal(names[number]).encode("utf-8"))
            texts[names[number]] = self._change(region, key, wanted, size).decode("utf-8")
        after = max((int(one) for one in names if re.fullmatch(NUMBER, one)), default=-1) + 1
        for number, one in enumerate(mine.add, after):
            texts[str(number)] = self._new(one, size)
        return regions.style.object(texts)

    def _change(self, region: JsonObject, key: str, wanted: Change, size: tuple[int, int]) -> bytes:
        """Return a region's new text."""
        if wanted.counts is not None:
            given = region.get("shape_attributes")
            if type(given) is not dict:
                raise CallError("the region has no shape, so it cannot be changed", key)
            shape = JsonObject(region.literal("shape_attributes").encode("utf-8"))
            for name, value in self._points(wanted.counts, size, key).items():
                shape.set(name, shape.style.value(value))
            region.set("shape_attributes", shape.text())
        if wanted.category is not None:
            region.set("region_attributes", self._relabel(region, wanted.category, key))
        return region.text().encode("utf-8")

    def _relabel(self, region: JsonObject, category: str, key: str) -> str:
        """Return the text of attributes with another category."""
        given = region.get("region_attributes")
        if type(given) is not dict:
            return region.style.object({self._attribute: Style().value(category)})
        name = category_attribute({"region_attributes": given}) or (not given and self._attribute)
        if not name:
            what = "its region has several attributes, and none is called like a category"
            raise CallError(what, key, "call the attribute of the category class")
        attributes = JsonObject(region.literal("region_attributes").encode("utf-8"))
        is_choice = type(given.get(name)) is dict
        value: object = {category: True} if is_choice else category
        attributes.set(name, attributes.style.value(value))
        return attributes.text()

    def _points(self, counts: bytes, size: tuple[int, int], key: str) -> dict[str, list[float]]:
        if not valid_size(*size):
            do = "put the picture beside the file, or give its folder with --images"
            raise CallError("the image's size is not known: no picture is found", key, do)
        new_runs(counts, size, key)
        rings = self.tally.choose_rings(counts, size, wanted=True, must=True)
        if rings is None:
            raise ragged_error(key, "reject the mask, or write another format with --to")
        ring = [int(side) if side == int(side) else side for side in rings[0]]
        return {"all_points_x": ring[::2], "all_points_y": ring[1::2]}

    def _new(self, one: Addition, known: tuple[int, int]) -> str:
        size = image_size(known, one.height, one.width, one.image_key)
        if not valid_size(*known):
            size = known  # refused: nobody could read it again
        shape = {"name": "polygon", **self._points(one.counts, size, one.image_key)}
        labels = {self._attribute: one.category} if one.category is not None else {}
        return Style("", ",", ":").value({"shape_attributes": shape, "region_attributes": labels})
