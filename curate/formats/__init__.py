"""The formats that curate reads: which there are, which one a path holds, and reading it whole."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from curate.common import files
from curate.errors import CallError, SourceError, check_utf8

if TYPE_CHECKING:
    from curate.dataset.table import MaskTable
    from curate.formats.format import Format, ReadOptions

__all__ = [
    "BUILT_IN",
    "all_formats",
    "check_source",
    "dataset_path",
    "detect",
    "format_names",
    "others_beside",
    "read",
    "read_parts",
]

ENTRY_POINTS = "curate.formats"
"""The entry-point group under which other packages add formats."""

_SOURCE_FILES = (".json", ".xml", ".tar")
_OF_PNGS = ("png-folder", "png-flat", "label-png")
_READ_FROM_FILES = ("cvat", "sa1b")  # folders of these are read for their files alone
_MOST_LISTED = 2_000  # entries of a folder that are listed for other sources beside it
_MOST_BESIDE = 40  # and looked at

BUILT_IN: tuple[tuple[str, str, str], ...] = (
    ("coco-panoptic", "coco.panoptic_format", "FORMAT"),
    ("coco", "coco.coco_format", "FORMAT"),
    ("lvis", "coco.coco_format", "LVIS"),
    ("coco-results", "coco.coco_format", "RESULTS"),
    ("sa1b", "sa1b.sa1b_format", "FORMAT"),
    ("amg", "amg.amg_format", "FORMAT"),
    ("sav", "sav.sav_format", "FORMAT"),
    ("cvat", "cvat.cvat_format", "FORMAT"),
    ("yolo", "yolo.yolo_format", "FORMAT"),
    ("png-folder", "png.png_folder_format", "FORMAT"),
    ("png-flat", "png.png_flat_format", "FORMAT"),
    ("label-png", "png.label_png_format", "FORMAT"),
)
"""Name, module and attribute of every built-in format, in the order in which they are tried."""


def format_names() -> tuple[str, ...]:
    """Return the names that ``--format`` takes, without loading what is built in."""
    return (*(name for name, _, _ in BUILT_IN), *_load_plugin_formats())


def all_formats() -> tuple[Format, ...]:
    """Return every format, built-in ones first."""
    return tuple(_format_by_name(name) for name in format_names())


def detect(
    path: Path | str, format: str | None = None, options: ReadOptions | None = None
) -> Format:
    """Return the format of what a path holds.

    Args:
        path: A file or a folder.
        format: The name of a format to take without looking; None to look.
        options: What its reader is told beside the path.

    Raises:
        CallError: There is no format of that name.
        SourceError: The path does not exist, cannot be read, or holds none of the formats.
    """
    found = _find_format(Path(path), format)
    return found if options is None else found.with_options(options)


def dataset_path(path: Path, format: str | None = None) -> Path:
    """Return the path that is read for a path: mostly the path itself.

    Args:
        path: The YAML file of a YOLO dataset stands for its folder, and a folder with one COCO
            panoptic JSON and its PNGs for that JSON.
        format: The name of the format that is forced; None for none.

    Raises:
        SourceError: There are no labels where the YAML says, nor beside it.
    """
    if path.is_dir() and format in (None, "coco-panoptic"):
        return _panoptic_file(path) or path
    if path.suffix.lower() not in (".yaml", ".yml") or not path.is_file():
        return path
    from curate.formats.yolo.yolo_folders import find_dataset_folder

    return find_dataset_folder(path)


def find_others_beside(folder: Path, chosen: Format) -> dict[str, str]:
    """Find other sources in a folder, which are not read with it.

    Args:
        folder: A source.
        chosen: The format that it is read in.

    Returns:
        The title of its format by name, of the first few.
    """
    if not folder.is_dir():
        return {}
    from curate.formats.png.id_layouts import names_pictures

    whole = chosen.name not in _READ_FROM_FILES  # else folders in it are not read
    found = {}
    for entry in sorted(islice(folder.iterdir(), _MOST_LISTED))[:_MOST_BESIDE]:
        stands = entry.suffix.lower() in _SOURCE_FILES and entry.is_file()
        if stands or (not whole and entry.is_dir() and not names_pictures(entry.name)):
            formats = map(_format_by_name, format_names())
            other = next((one for one in formats if one.matches(entry)), chosen)
            if other.name != chosen.name:
                found[entry.name] = other.title
    return found


def check_source(path: Path, format: str | None = None) -> None:
    """Check that a path exists and a format's name is known; nothing is read or loaded.

    Raises:
        CallError: There is no format of that name.
        SourceError: The path does not exist, or its name is no text.
    """
    if format is not None and format not in format_names():
        known = ", ".join(format_names())
        raise CallError(f"there is no format {format}", "--format", f"use one of {known}")
    if not path.exists():
        raise SourceError("there is no such file or folder", str(path), "check the path")
    if not (path.is_file() or path.is_dir()):
        raise SourceError("it is no file and no folder", str(path), "save it as a file first")
    check_utf8(path.resolve())


def _find_format(path: Path, format: str | None) -> Format:
    check_source(path, format)
    if format is not None:
        return _format_by_name(format)
    if found := _matching(path):
        if found.name in _OF_PNGS:
            _refuse_panoptic(path)
        return found
    _raise_reason(path)
    inside = _sources_in(path)
    if inside:
        what = "the folder as a whole is in no format that curate knows, but files in it are"
        raise SourceError(what, str(path), f"give one of them: {', '.join(inside)}")
    known = ", ".join(format_names())
    what = "it is in none of the formats that curate knows"
    raise SourceError(what, str(path), f"check it, or force one with --format ({known})")


def read(
    path: Path | str, format: str | None = None, options: ReadOptions | None = None
) -> MaskTable:
    """Read a whole source.

    Args:
        path: A file or a folder, in any format of :func:`format_names`.
        format: The name of its format; None to find it from the content.
        options: What its reader is told beside the path.

    Returns:
        All masks and images. For a source larger than memory audit it instead.

    Raises:
        CallError: There is no format of that name.
        SourceError: The source as a whole cannot be read.
    """
    from curate.dataset.table import concat

    source = dataset_path(Path(path), format)
    found = detect(source, format, options)
    with files.scratch() as work:
        return concat([found.load(source, part) for part in found.plan(source, work)])


def _matching(path: Path) -> Format | None:
    formats = map(_format_by_name, format_names())  # loaded one by one, as far as needed
    return next((one for one in formats if one.matches(path)), None)


def _panoptic_file(folder: Path) -> Path | None:
    """Return the panoptic JSON that a folder stands for; None where it holds something else."""
    from curate.formats.coco.panoptic_format import only_panoptic_file

    found = only_panoptic_file(folder)
    other = None if found is None else _matching(folder)
    return None if other is not None and other.name not in _OF_PNGS else found


def _refuse_panoptic(path: Path) -> None:
    """Raise where a panoptic JSON says what PNGs mean: without it they have no classes."""
    from curate.formats.coco.panoptic_format import panoptic_files

    if found := panoptic_files(path):
        what = "its PNGs are the ids of COCO panoptic JSON, which says what each of them is"
        raise SourceError(what, str(path), f"give the JSON: {', '.join(map(str, found[:3]))}")


@cache
def _load_plugin_formats() -> dict[str, Format]:
    """Return the formats that other packages add."""
    from importlib.metadata import entry_points

    built_in = {name for name, _, _ in BUILT_IN}
    found = (entry.load() for entry in entry_points(group=ENTRY_POINTS))
    return {one.name: one for one in found if one.name not in built_in}


@cache
def _format_by_name(name: str) -> Format:
    for own, module, attribute in BUILT_IN:
        if own == name:
            found: Format = getattr(import_module(f"curate.formats.{module}"), attribute)
            return found
    return _load_plugin_formats()[name]


def _sources_in(folder: Path, most: int = 3) -> list[str]:
    """Return files right in a folder that are sources by themselves, for an error to name."""
    if not folder.is_dir():
        return []
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in _SOURCE_FILES)
    formats = [_format_by_name(name) for name in format_names()]
    named = (f for f in files[:500] if f.is_file() and any(one.matches(f) for one in formats))
    return [str(f) for f in islice(named, most)]


def _raise_reason(path: Path) -> None:
    """Raise the reason why no format reads a source, if it can be told."""
    from curate.formats.format import convert_read_errors
    from curate.formats.json.sniffing import shape_of
    from curate.formats.json.streaming import scan
    from curate.formats.yolo.yolo_format import other_task
    from curate.formats.zip_listing import damage_of

    if not path.is_file():
        if what := other_task(path):
            raise SourceError(what, str(path), "give labels for segmentation")
        return
    with convert_read_errors(path), path.open("rb") as file:
        head = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
        if not head:
            raise SourceError("the file is empty", str(path))
        if damage := damage_of(path):
            raise SourceError(damage, str(path), "get the file again")
        if head[:1] in (b"{", b"[") or path.suffix.lower() == ".json":
            stranger = shape_of(path).stranger
            if stranger:
                do = "give the file of instances, which has segmentations"
                raise SourceError(f"it is {stranger}", str(path), do)
            file.seek(0)
            for _ in scan(file, path.name, frozenset()):
                pass


def read_parts(path: Path, format: str | None = None) -> Iterator[MaskTable]:
    """Read a dataset part by part.

    Args:
        path: A file or a folder in any format.
        format: The name of its format; None to find it from the content.

    Raises:
        CallError: There is no format of that name.
        SourceError: The source as a whole cannot be read.
    """
    path = dataset_path(path, format)
    found = detect(path, format)
    with files.scratch() as work:
        for part in found.plan(path, work):
            yield found.load(path, part)
