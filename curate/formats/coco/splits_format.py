"""A folder of COCO or LVIS files, mostly one a split, as one dataset; each is written as it was.

Every file is read and written by the format of single files. Names of pictures are their paths
under the folder where they lie in it, and the split of a file is that of its images. Ids may occur
in several files: an audit numbers such masks and images anew, and the files keep their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from curate.dataset.table import (
    IMAGE_COLUMNS,
    MASK_COLUMNS,
    OPTIONAL_IMAGE_COLUMNS,
    MaskTable,
    with_types,
)
from curate.errors import CallError
from curate.formats.coco.coco_format import FORMAT as COCO_FILE
from curate.formats.coco.coco_format import LVIS as LVIS_FILE
from curate.formats.coco.coco_format import rings_of
from curate.formats.coco.coco_writing import COCO, LVIS, write_to
from curate.formats.coco.images_and_categories import (
    category_names,
    find_top_category,
    names_and_sizes,
)
from curate.formats.coco.split_files import SplitFile, split_files
from curate.formats.copying import Edit, copy_with_edits
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.format import Format, Part, ReadOptions, convert_read_errors
from curate.formats.json.streaming import scan
from curate.formats.own_pictures import OwnPictures, holds_picture, under_one_of
from curate.formats.table_builder import plain
from curate.formats.untouched.coco_splits_check import check_coco_splits

_NO_OPTIONS = ReadOptions()
_LEAST_SHARE = 0.5  # of its pictures that must be there


def matches(path: Path) -> bool:
    """Return whether a folder has files of splits, or the one of a dataset without splits."""
    try:
        return bool(split_files(path))
    except (OSError, ValueError):
        return False


def plan(source: Path, work: Path, options: ReadOptions = _NO_OPTIONS) -> Iterator[Part]:
    """Index the files and yield parts of whole images of one of them each."""
    number = 0
    for place, one in enumerate(split_files(source)):
        for part in _form(one, options).plan(source / one.name, work / str(place)):
            yield Part(number, (tuple(one), part.index, part.payload))
            number += 1


def load(source: Path, part: Part, options: ReadOptions = _NO_OPTIONS) -> MaskTable:
    """Read one part's images and annotations."""
    one, inner = _split_part(part)
    table = _form(one, options).load(source / one.name, inner)
    masks = _placed(table.masks, one, MASK_COLUMNS)
    notes = tuple(
        replace(note, examples=tuple(f"{plain(one.name)}: {place}" for place in note.examples))
        for note in table.notes
    )
    made = MaskTable(masks, _placed_images(table.images, one), notes)
    made.__dict__["runs"] = table.runs  # of the same masks
    return made


def images(source: Path, part: Part, options: ReadOptions = _NO_OPTIONS) -> pd.DataFrame:
    """Return the images of a part, without its annotations; see :class:`Format`."""
    one, inner = _split_part(part)
    form = _form(one, options)
    assert form.images is not None, "COCO's and LVIS's readers have it"
    return _placed_images(form.images(source / one.name, inner), one)


def rings(source: Path, part: Part) -> Iterator[tuple[str, list[list[float]]]]:
    """Yield the polygons of a part by source key; see :class:`Format`."""
    one, inner = _split_part(part)
    folder = plain(one.name).rpartition("/")[0]
    for key, found in rings_of(source / one.name, inner):
        yield f"{folder}/{key}" if folder else key, found


def _form(one: SplitFile, options: ReadOptions) -> Format:
    form = LVIS_FILE if one.is_lvis else COCO_FILE
    folder = options.images
    if folder is not None and one.below and (folder / one.below).is_dir():
        folder = folder / one.below
    return form.with_options(ReadOptions(images=folder))


def _split_part(part: Part) -> tuple[SplitFile, Part]:
    one, index, payload = part.payload
    return SplitFile(*one), Part(index, payload)


def _placed_images(frame: pd.DataFrame, one: SplitFile) -> pd.DataFrame:
    frame = _placed(frame, one, IMAGE_COLUMNS | OPTIONAL_IMAGE_COLUMNS)
    if one.split:
        frame = frame.assign(subset=one.split)
    return with_types(frame, OPTIONAL_IMAGE_COLUMNS)


def _placed(frame: pd.DataFrame, one: SplitFile, types: Mapping[str, Any]) -> pd.DataFrame:
    """Return masks or images whose keys and names are those under the source."""
    folder = plain(one.name).rpartition("/")[0]
    made: dict[str, pd.Series[str]] = {}
    if folder and "source_key" in frame:
        keys = frame["source_key"]
        made["source_key"] = keys.where((keys == "").fillna(False), f"{folder}/" + keys)
    if one.below:
        names = frame["file_name"]
        made["file_name"] = names.where((names == "").fillna(False), plain(one.below) + names)
    return with_types(frame.assign(**made), types) if made else frame


def pictures(source: Path) -> OwnPictures | None:
    """Return the source where its pictures lie in it."""
    found = split_files(source)
    if not found or not holds_picture(source):
        return None
    names = [
        one.below + name for one in found for name, _ in names_and_sizes(source / one.name) if name
    ]
    whole = source.resolve()
    return OwnPictures(whole) if under_one_of([whole], names, _LEAST_SHARE) else None


# --- writing -------------------------------------------------------------------------------------


@dataclass
class _FileEdits:
    """Edits of one file, with keys as the file alone has them."""

    drop: set[str] = field(default_factory=set)
    change: dict[str, Change] = field(default_factory=dict)
    add: list[Addition] = field(default_factory=list)


def write(
    source: Path, out: Path | None, edits: Edits, options: ReadOptions = _NO_OPTIONS
) -> Stored:
    """Copy the folder, with the annotations of its files gone, changed and added."""
    found = {plain(one.name): one for one in split_files(source)}
    asked = _by_file(source, edits, found)
    numbers = _number_categories(source, edits.categories, [*found.values()])
    stored: dict[str, Stored] = {}
    changes: dict[str, Edit | None] = {}
    for name, mine in asked.items():
        one = found[name]
        inner = replace(edits, drop=frozenset(mine.drop), change=mine.change, add=mine.add)
        if one.is_lvis and inner.ignored:
            raise CallError("LVIS has no ignore regions", name, "leave --ignore out")
        dialect = LVIS if one.is_lvis else replace(COCO, numbers=numbers)
        folder = _form(one, options).options.images
        how = partial(write_to, edits=inner, dialect=dialect, pictures=folder)
        changes[name] = partial(_write_file, how, stored, name)
    copy_with_edits(source, out, changes)
    every = stored.values()
    totals = {
        name: sum(getattr(one, name) for one in every)
        for name in ("polygons", "seams", "runs", "turned")
    }
    return Stored(**totals)


def _write_file(
    how: Any, stored: dict[str, Stored], name: str, source: Path, target: BinaryIO
) -> None:
    stored[name] = how(source, target)


def _by_file(source: Path, edits: Edits, found: Mapping[str, SplitFile]) -> dict[str, _FileEdits]:
    """Group edits by file.

    Raises:
        CallError: A key names nothing.
    """
    asked: dict[str, _FileEdits] = {}

    def of(key: str, what: str) -> tuple[_FileEdits, str]:
        name = key.rpartition("#/")[0]
        if name not in found:
            raise CallError(f"{key} names no {what} of it", str(source))
        return asked.setdefault(name, _FileEdits()), key[name.rfind("/") + 1 :]

    for key in edits.drop:
        mine, own = of(key, "mask")
        mine.drop.add(own)
    for key, change in edits.change.items():
        mine, own = of(key, "mask")
        mine.change[own] = change
    for one in edits.add:
        mine, own = of(one.image_key, "image")
        mine.add.append(replace(one, image_key=own))
    return asked


def _number_categories(
    source: Path, names: frozenset[str], files: list[SplitFile]
) -> dict[str, int]:
    """Return numbers for categories where a file lacks them, the same for all files.

    That of another file, if no file has it for anything else.
    """
    named: dict[int, set[str]] = {}
    for one in files if names else ():
        found = category_names(_listed_categories(source / one.name))[0] or {}
        for number, name in found.items():
            named.setdefault(number, set()).add(name)
    made = {next(iter(found)): n for n, found in named.items() if len(found) == 1}
    new = sorted(names - made.keys())
    top = max((0, *named, *(_top_category(source / one.name) for one in files if new)))
    for name in new:
        top += 1
        made[name] = top
    return {name: number for name, number in made.items() if name in names}


def _top_category(path: Path) -> int:
    with convert_read_errors(path), path.open("rb") as file:
        return find_top_category(file)


def _listed_categories(path: Path) -> list[Any]:
    found: list[Any] = []
    with convert_read_errors(path), path.open("rb") as file:
        for batch in scan(file, path.name, frozenset({"categories"})):
            if batch.key == "categories" and batch.is_list:
                found += batch.parse(path.name)
    return found


FORMAT = Format(
    "coco-splits",
    "a folder of COCO files",
    matches,
    plan,
    load,
    write,
    follows=("plan", "load", "write", "images"),
    check_unedited=check_coco_splits,
    own_ids=True,
    images=images,
    rings=rings,
    pictures=pictures,
    ignores="crowd",
)
