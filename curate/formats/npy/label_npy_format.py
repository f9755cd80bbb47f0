"""NumPy arrays of masks: whole numbers (H, W) are ids, booleans (N, H, W) are a mask a layer.

In an ``.npz`` each such array is an image. Bytes of 0 and 1 (or 255) in three dimensions count as
booleans, and (N, 1, H, W) as (N, H, W). Nothing is unpickled: an array of Python objects, such as
cellpose's ``_seg.npy``, is refused. The source is one file, or a folder of them with the pictures
beside them or in ``images/``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from curate import rle
from curate.dataset.table import MaskTable
from curate.errors import CurateError, SourceError
from curate.formats.copying import Edit, copy_with_edits
from curate.formats.edits import Edits, Stored
from curate.formats.format import Format, Part, ReadOptions
from curate.formats.ids.id_codes import IdCode
from curate.formats.ids.id_edits import by_file, refuse_clashes
from curate.formats.ids.id_judging import NoIds, UnreadIds
from curate.formats.ids.id_layouts import find_id_files, plain_layout
from curate.formats.ids.id_places import IdPlace
from curate.formats.new_pixels import PixelTally, refuse_categories, refuse_polygons
from curate.formats.npy.array_masks import (
    MaskArray,
    check_size,
    counts_of,
    find_masks,
    layers_of,
    read_ids,
)
from curate.formats.npy.array_writing import ARRAY_IDS, LAYER, split_layers, write_file
from curate.formats.own_pictures import OwnPictures, under_one_of
from curate.formats.png.png_reading import PictureProblem
from curate.formats.segmentation import Segmentation
from curate.formats.table_builder import TableBuilder, parts_of, plain
from curate.formats.untouched.npy_check import check_label_npy

SUFFIXES = (".npy", ".npz")

_PART_BYTES = 16_000_000
_FILE_COST = 8_192
_LOOK = 60  # how many files are looked at to tell the format
_LOOK_PIXELS = 30_000_000  # and of what size at most
_LEAST_SHARE = 0.5  # of its pictures that must be there
_HIGHEST = 3  # how far above the source its pictures' folder is looked for
_CODE = IdCode(void=frozenset())


def matches(path: Path) -> bool:
    """Return whether a path holds arrays of masks, or cellpose's pickles, which say what helps."""
    try:
        if path.is_file():
            return path.name.lower().endswith(SUFFIXES) and _judge(path) is not False
        if not path.is_dir():
            return False
        judged = [_judge(path / one.name) for one in islice(_files(path), _LOOK)]
        return True in judged and judged.count(True) >= judged.count(False)
    except SourceError as error:
        return error.where == str(path)  # several folders of ids: reading it says which
    except (CurateError, OSError, ValueError):
        return False


def _judge(path: Path) -> bool | None:
    """Return whether a file has masks; None where it has nothing but background."""
    try:
        found = find_masks(path)
        return True if any(_holds_masks(one) for one in found[:_LOOK]) else None
    except UnreadIds:
        return path.name.lower().endswith("_seg.npy")
    except PictureProblem:
        return False


def _holds_masks(array: MaskArray) -> bool:
    check_size(array)
    if array.size[0] * array.size[1] > _LOOK_PIXELS:
        raise NoIds("it is large")
    values = array.stored.values()
    if array.layered:
        return any(layer.any() for layer in layers_of(values))
    return len(read_ids(values, known=False).ids) > 0


def plan(source: Path, work: Path, options: ReadOptions | None = None) -> Iterator[Part]:
    """Group files into parts.

    Raises:
        SourceError: There is no file of arrays, or only Python objects in them.
    """
    home = None if options is None else options.home
    places = list(_files(source, home))
    if not places:
        raise SourceError("there is no .npy or .npz in it", str(source), "give their folder")
    if reason := _all_unread(source, places):
        raise SourceError(reason, str(source))
    yield from parts_of(((one, one.size + _FILE_COST) for one in places), _PART_BYTES)


def _all_unread(source: Path, places: list[IdPlace]) -> str:
    """Return why no file is read; "" where some is."""
    reason = ""
    for one in places[:_LOOK]:
        try:
            find_masks(_path(source, one))
        except UnreadIds as problem:
            reason = problem.detail
        except PictureProblem:
            continue
        else:
            return ""
    return reason


def _files(source: Path, home: Path | None = None) -> Iterator[IdPlace]:
    if source.is_file():
        return iter((IdPlace(source.name, source.stat().st_size, source.name),))
    return find_id_files(source, plain_layout(source), home, SUFFIXES)


def _path(source: Path, place: IdPlace) -> Path:
    return source if source.is_file() else source / place.name


def pictures(source: Path) -> OwnPictures | None:
    """Return where pictures are that ``file_name`` names: the source, or a folder above it."""
    if source.is_file():
        return None
    names = [one.image for one in islice(_files(source), _LOOK) if one.image != one.name]
    whole = source.resolve()
    if found := under_one_of([whole], names, _LEAST_SHARE):
        return OwnPictures(found.folder)
    return under_one_of(whole.parents[:_HIGHEST], names, _LEAST_SHARE)


def load(source: Path, part: Part) -> MaskTable:
    """Read the masks of some files; one that cannot be read is an image without masks."""
    rows = TableBuilder()
    for place in part.payload:
        path = _path(source, place)
        placed = path == source
        try:
            found = find_masks(path)
        except PictureProblem as problem:
            _add_problem(rows, place, place.image, problem, placed)
            continue
        for one in found:
            name = _name(place, one)
            image = place.image if len(found) == 1 else name
            try:
                check_size(one)
                _add_masks(rows, one, name, image, placed)
            except PictureProblem as problem:
                _add_problem(rows, place, image, problem, placed)
    return rows.table()


def _name(place: IdPlace, array: MaskArray) -> str:
    """Return the name of an array in source keys."""
    return f"{place.name}/{array.stored.member}" if array.stored.member else place.name


def _add_problem(
    rows: TableBuilder, place: IdPlace, image: str, problem: PictureProblem, placed: bool
) -> None:
    if isinstance(problem, NoIds) and not placed:
        what = "arrays that hold no masks are not read"
        rows.notes.add("no_ids", what, place.name, "files")
        return
    status = "invalid_size" if problem.status == "invalid_size" else "unreadable"
    rows.image(image, (0, 0), status, problem.detail, named_by_place=placed)


def _add_masks(rows: TableBuilder, array: MaskArray, name: str, image: str, placed: bool) -> None:
    values = array.stored.values()
    if array.layered:
        layers = layers_of(values)
        at = rows.image(image, array.size, source_key=name, named_by_place=placed)
        for number, layer in enumerate(layers):
            rows.mask(f"{name}[{number}]", at, Segmentation(counts_of(layer)))
        return
    found = read_ids(values, known=False)
    at = rows.image(image, array.size, source_key=name, named_by_place=placed)
    counts = rle.encode_counts(found.runs).to_pylist()
    for value, one in zip(found.ids.tolist(), counts, strict=True):
        if value < 0:
            rows.notes.add("void", "pixels of values below 0 are in no mask", name, "images")
        else:
            rows.mask(f"{name}#{value}", at, Segmentation(one), value)


def write(
    source: Path, out: Path | None, edits: Edits, options: ReadOptions | None = None
) -> Stored:
    """Copy with other values for masks that go, change or come.

    Files of which no mask does stay byte for byte, and so does an array's header where its shape
    stays; the other arrays of an ``.npz`` keep their contents.
    """
    edits.refuse_attributes(str(source))
    refuse_polygons(edits, str(source))
    refuse_categories(edits, str(source))
    arrays: dict[str, MaskArray] = {}
    owners: dict[str, tuple[str, Path]] = {}  # file's name and path by the array's
    for place in _files(source, None if options is None else options.home):
        for one in _arrays(_path(source, place)):
            name = plain(_name(place, one))
            arrays[name] = one
            owners[name] = plain(place.name), _path(source, place)
    layers = {one.name: one for one in split_layers(edits, arrays, str(source))}
    mine = [k for k, one in enumerate(edits.add) if one.image_key not in layers]
    of_ids = replace(
        edits,
        drop=frozenset(key for key in edits.drop if not LAYER.fullmatch(key)),
        change={key: one for key, one in edits.change.items() if not LAYER.fullmatch(key)},
        add=[edits.add[k] for k in mine],
    )
    paths = {
        name: owners[name][1] / one.stored.member if one.stored.member else owners[name][1]
        for name, one in arrays.items()
        if not one.layered
    }
    ids, tally = by_file(source, of_ids, paths, _CODE, ARRAY_IDS), PixelTally()
    if edits.overlap is None:
        refuse_clashes(source, ids.values())
    changes: dict[str, Edit | None] = {}
    for file in {owners[name][0] for name in (*ids, *layers)}:
        own = [name for name in (*ids, *layers) if owners[name][0] == file]
        changes[file] = partial(
            write_file,
            ids={arrays[name].stored.member: ids[name] for name in own if name in ids},
            layers={arrays[name].stored.member: layers[name] for name in own if name in layers},
            overlap=edits.overlap,
            tally=tally,
        )
    copy_with_edits(source, out, changes)
    tally.held = {mine[k] if isinstance(k, int) else k: v for k, v in tally.held.items()}
    return tally.count_stored()


def _arrays(path: Path) -> list[MaskArray]:
    try:
        return find_masks(path)
    except PictureProblem:
        return []


FORMAT = Format(
    "label-npy",
    "NumPy arrays of masks",
    matches,
    plan,
    load,
    write,
    follows=("plan", "write"),
    check_unedited=check_label_npy,
    pictures=pictures,
)
