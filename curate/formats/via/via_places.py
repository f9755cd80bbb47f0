"""Images of a VIA file: where each stands, its regions, the attribute that is the category."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from curate.common.files import open_to_read
from curate.common.json_values import JsonObject
from curate.errors import SourceError
from curate.formats.copying import list_entries
from curate.formats.format import convert_read_errors
from curate.formats.json.sniffing import shape_of
from curate.formats.json.streaming import Batch, parse_one, scan

PROJECT = "_via_img_metadata"
"""The key of the images in a project; a plain export is the object of images itself."""

_CLASSES = ("class", "label", "category", "type", "name", "object", "species")
"""Names of attributes that are a category where a region has several, the likeliest first."""

_VIA_KEYS = "_via_"


_MOST_FILES = 50


def looks_like_via(path: Path) -> bool:
    """Return whether a file is VIA's project or its export of annotations."""
    shape = shape_of(path)
    if shape.root != "object":
        return False
    if PROJECT in shape.first or {"_via_settings", "_via_attributes"} & set(shape.first):
        return True
    for value in shape.first.values():
        if type(value) is not dict or type(value.get("filename")) is not str:
            return False
        return type(value.get("regions")) in (list, dict)
    return False


def via_files(source: Path) -> list[Path]:
    """Return VIA's files in a source: itself, or those right in a folder."""
    if not source.is_dir():
        return [source] if looks_like_via(source) else []
    named = [e.name for e in list_entries(source) if e.name.lower().endswith(".json")]
    return [source / n for n in named[:_MOST_FILES] if looks_like_via(source / n)]


def via_file(source: Path) -> Path:
    """Return VIA's file of a source; a folder has one, beside its pictures.

    Raises:
        SourceError: A folder has none, or several.
    """
    if not source.is_dir():
        return source
    found = via_files(source)
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:3])
        what = f"it holds {len(found)} files of VIA, which may be of the same images"
        do = f"give one of them: {names}" if found else "give the file itself"
        raise SourceError(what if found else "there is no file of VIA in it", str(source), do)
    return found[0]


class ImagePlace(NamedTuple):
    """Bytes of an image's object in a file."""

    start: int
    end: int


class ViaFile(NamedTuple):
    """A file as a whole.

    Attributes:
        places: Where its images stand.
        names: Their file names.
        attribute: The attribute that is the category of most regions; "" where none is.
    """

    places: list[ImagePlace]
    names: list[str]
    attribute: str


def find_images(path: Path) -> Iterator[tuple[ImagePlace, JsonObject]]:
    """Yield the images of a file: where each stands, and its object.

    Raises:
        SourceError: The file cannot be read, is no sound JSON, or one of them is no image.
    """
    with convert_read_errors(path), open_to_read(path) as file:
        is_project = False
        for batch in scan(file, path.name):
            if batch.key == PROJECT:
                yield from _of_project(batch, path.name)
                is_project = True
            elif not is_project and not batch.key.startswith(_VIA_KEYS):
                yield from _checked(batch, 0, path.name)


def _of_project(batch: Batch, where: str) -> Iterator[tuple[ImagePlace, JsonObject]]:
    start = int(batch.starts[0]) if len(batch) else 0
    data = batch.data[start : int(batch.ends[0])] if len(batch) else b""
    if batch.is_list or not data.startswith(b"{"):
        raise SourceError(f"{PROJECT} is no object of images", where)
    for inner in scan(io.BytesIO(data), where):
        yield from _checked(inner, batch.base + start, where)


def _checked(batch: Batch, base: int, where: str) -> Iterator[tuple[ImagePlace, JsonObject]]:
    at = base + batch.base
    if not batch.is_list:
        start, end = int(batch.starts[0]), int(batch.ends[0])
        value = parse_one(batch.data[start:end], at + start, where)
        if type(value) is dict and type(value.get("filename")) is str:
            yield ImagePlace(at + start, at + end), value
            return
    what = f"{batch.key[:60]!r} is no image with a filename"
    raise SourceError(what, f"{where}, byte {at}", "check that it is VIA's JSON")


def survey_file(path: Path) -> ViaFile:
    """Look at all images of a file."""
    places: list[ImagePlace] = []
    names: list[str] = []
    attributes: Counter[str] = Counter()
    for place, image in find_images(path):
        places.append(place)
        names.append(str(image["filename"]))
        attributes.update(filter(None, map(category_attribute, list_regions(image))))
    return ViaFile(places, names, attributes.most_common(1)[0][0] if attributes else "")


def attributes_of(region: object) -> JsonObject:
    """Return the attributes that people gave a region."""
    given = region.get("region_attributes") if type(region) is dict else None
    return given if type(given) is dict else {}


def category_attribute(region: object) -> str:
    """Return the attribute of a region that is its category: what is called so, or the only one.

    Each region is judged alone, so that its category stays whatever becomes of others.

    Returns:
        "" where it has none, or several of which none is called like a category.
    """
    names = [*attributes_of(region)]
    lowered = {name.lower(): name for name in reversed(names)}
    found = next((lowered[name] for name in _CLASSES if name in lowered), "")
    return found or (names[0] if len(names) == 1 else "")


def list_regions(image: JsonObject) -> list[Any]:
    """Return an image's regions; in VIA 1 they are an object with numbers for names."""
    regions = image.get("regions")
    if type(regions) is dict:
        return list(regions.values())
    return regions if type(regions) is list else []


def category_of(region: object) -> str | None:
    """Return the category of a region: a text, or the one choice that is ticked."""
    value = attributes_of(region).get(category_attribute(region))
    if type(value) is dict:
        ticked = [name for name, one in value.items() if one]
        return ticked[0] if len(ticked) == 1 else None
    if type(value) is int:
        value = str(value)
    return value.strip() or None if type(value) is str else None
