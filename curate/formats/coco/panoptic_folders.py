"""Folders with a COCO panoptic JSON, or with the PNGs of ids that one lists."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from curate.formats.coco.panoptic_format import png_folder
from curate.formats.json.sniffing import shape_of

_MOST_LISTED = 2_000  # entries of a folder that are listed
_MOST_LOOKED_AT = 40  # and JSON files in it that are opened


def panoptic_files(path: Path) -> list[Path]:
    """Return the COCO panoptic files of a source whose PNGs of ids are there.

    Args:
        path: A folder, or a PNG.

    Returns:
        Those in the folder or in its ``annotations``, and those beside it that list its own PNGs.
    """
    folder = path if path.is_dir() else path.parent
    own = folder.resolve()
    found = [] if path.is_file() else _listing(folder)
    around = (folder, own.parent, own.parent / "annotations")
    found += [file for place in around for file in _in(place) if _lists(file, own)]
    return list({file.resolve(): file for file in found}.values())


def only_panoptic_file(folder: Path) -> Path | None:
    """Return the one COCO file of a folder, or of its ``annotations``; None where it is not one."""
    found = _listing(folder) if folder.is_dir() else []
    if len(found) != 1:
        return None
    others = (f for f in _json_files(found[0].parent) if f != found[0])
    return None if any(shape_of(f).looks_coco for f in others) else found[0]


def _listing(folder: Path) -> list[Path]:
    return [*_in(folder), *_in(folder / "annotations")]


def _in(folder: Path) -> Iterator[Path]:
    """Yield the panoptic files right in a folder that have their PNGs."""
    for file in _json_files(folder):
        shape = shape_of(file)
        if shape.looks_panoptic and png_folder(file, shape.one("annotations")) is not None:
            yield file


def _lists(file: Path, folder: Path) -> bool:
    found = png_folder(file, shape_of(file).one("annotations"))
    return found is not None and found.resolve() == folder


def _json_files(folder: Path) -> list[Path]:
    """Return the JSON files of a folder; those called panoptic first, as some folders have many."""
    try:
        listed = list(islice(folder.iterdir(), _MOST_LISTED))
    except OSError:
        return []
    files = [file for file in listed if file.suffix.lower() == ".json"]
    files.sort(key=lambda file: ("panoptic" not in file.name.lower(), file.name))
    return files[:_MOST_LOOKED_AT]
