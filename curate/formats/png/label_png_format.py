"""PNGs in which a pixel's value is the id of its instance: each value but 0 is one mask.

Gray of 1 to 16 bits and palette indexes are ids as they are; of 8-bit colour the id is
R + 256 G + 65536 B, as in COCO's panoptic PNGs, and alpha is not looked at. The source is one such
PNG, or a folder of them; see :mod:`curate.formats.png.id_layouts`. Each PNG is judged, and one that
is a picture is left alone. Where ids carry a class it becomes the category, and what is no object
(void, regions of a class) is no mask. Pixels of masks that are dropped on writing become 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from curate import rle
from curate.dataset.table import MaskTable
from curate.errors import CurateError, SourceError
from curate.formats.coco.panoptic_format import panoptic_files
from curate.formats.copying import Edit, copy_with_edits
from curate.formats.edits import Edits, Stored
from curate.formats.format import Format, Part, ReadOptions
from curate.formats.new_pixels import PixelTally, refuse_categories, refuse_polygons
from curate.formats.own_pictures import OwnPictures, under_one_of
from curate.formats.png.id_codes import IdCode, id_code
from curate.formats.png.id_layouts import (
    VOC_VOID,
    IdLayout,
    IdPng,
    file_layout,
    find_id_pngs,
    find_layout,
)
from curate.formats.png.id_masks import IdImage, NoIds, ids_of, is_id_kind, read_ids
from curate.formats.png.label_png_writing import by_png, refuse_clashes
from curate.formats.png.png_reading import PictureProblem, PngHeader, read_header, read_pixels
from curate.formats.segmentation import Segmentation
from curate.formats.table_builder import TableBuilder, parts_of, plain
from curate.formats.untouched.png_check import check_label_png
from curate.rle import Runs

_LOOK = 60  # how many PNGs are looked at to tell the format
_LOOK_PIXELS = 30_000_000  # and of what size at most
_PART_BYTES = 1_000_000  # of PNG; ids pack some hundred times
_LEAST_SHARE = 0.5  # of its pictures that must be there: their folder has a name of its own
_HIGHEST = 3  # how far above the source its pictures' folder is looked for
_CLASS_PIXELS = 1 << 22  # of a mask's box whose classes are counted at a time
_FILE_COST = 8_192  # what opening a file costs, in bytes of PNG


def matches(path: Path) -> bool:
    """Return whether a path holds PNGs of ids: few values, in patches."""
    try:
        if path.is_file():
            return _looks_like_ids(path) is not False
        if not path.is_dir() or (path / "metadata.csv").exists():
            return False
        layout = find_layout(path)
        found = _pngs(path, layout)
        if layout.title:
            return next(found, None) is not None
        return _most_are_ids(path / png.name for png in found)
    except SourceError as error:
        return error.where == str(path)  # several folders of ids: reading it says which
    except (CurateError, OSError, ValueError):
        return False


def plan(source: Path, work: Path, options: ReadOptions | None = None) -> Iterator[Part]:
    """Group PNGs into parts."""
    layout = _layout(source, options)
    known = layout.title, layout.code, dict(layout.of_classes)
    home = None if options is None else options.home
    named = ((png, png.size + _FILE_COST) for png in _pngs(source, layout, home))
    empty = True
    for part in parts_of(named, _PART_BYTES):
        empty = False
        yield Part(part.index, (known, part.payload))
    if empty:
        raise SourceError("there is no PNG in it", str(source), "give the folder of the PNGs")


def pictures(source: Path) -> OwnPictures | None:
    """Return where pictures are that ``file_name`` names: the source, or a folder above it."""
    if source.is_file():
        return None
    some = islice(_pngs(source, find_layout(source)), _LOOK)
    names = [png.image for png in some if png.image != png.name]
    whole = source.resolve()
    if found := under_one_of([whole], names, _LEAST_SHARE):
        return OwnPictures(found.folder)
    return under_one_of(whole.parents[:_HIGHEST], names, _LEAST_SHARE)


def load(source: Path, part: Part) -> MaskTable:
    """Read the masks of some PNGs; one that cannot be read is an image without masks."""
    rows = TableBuilder()
    (title, code, of_classes), pngs = part.payload
    if part.index == 0 and (listing := panoptic_files(source)):
        what = "a COCO panoptic JSON says what these ids are, and is neither read nor changed"
        rows.notes.add("panoptic", what, listing[0].name, of="files")
    for png in pngs:
        path = source if source.is_file() else source / png.name
        header: PngHeader | None = None
        try:
            header = read_header(path)
            found = read_ids(path, header, known=bool(title))
        except PictureProblem as problem:
            if isinstance(problem, NoIds) and path != source:
                what = "PNGs that hold pictures and no ids are not read"
                rows.notes.add("no_ids", what, png.name, "files")
                continue
            status = "invalid_size" if problem.status == "invalid_size" else "unreadable"
            size = header.size if header else (0, 0)
            rows.image(png.image, size, status, problem.detail, named_by_place=path == source)
            continue
        placed = path == source
        image = rows.image(png.image, header.size, source_key=png.name, named_by_place=placed)
        if title:
            rows.notes.add("layout", _describe_layout(title, code), png.name, "images")
        classes = _classes(source / png.classes, header, of_classes) if png.classes else None
        _add_masks(rows, image, png.name, found, code, (classes, of_classes))
    return rows.table()


def _describe_layout(title: str, code: IdCode) -> str:
    """Describe the meaning that a layout was given, for a note."""
    carries = "" if code.name == "none" else f": the class is id // {code.step}"
    if title == "Pascal VOC":
        carries = ": ids are those of SegmentationObject, classes those of SegmentationClass"
        carries += ", which prune and write leave as it is"
    if title == "Cityscapes":
        carries += "; prune and write leave labelIds as they are"
    return f"read as {title}{carries}"


def _add_masks(
    rows: TableBuilder,
    image: int,
    name: str,
    found: IdImage,
    code: IdCode,
    classes: tuple[Any, dict[int, str]],
) -> None:
    """Add the masks of one PNG; ``classes`` are the class of each pixel, or None, and names."""
    void, stuff = code.void_in(found.palette), False
    for at, (value, counts) in enumerate(
        zip(found.ids.tolist(), rle.encode_counts(found.runs).to_pylist(), strict=True)
    ):
        key = f"{name}#{value}"
        if value in void:
            rows.notes.add("void", f"pixels of the void id {value} are in no mask", key, "images")
        elif not code.is_instance(value):
            stuff = True
        else:
            optional: dict[str, object] = {}
            number = code.class_of(value)
            if number is not None:
                optional = {"category_id": number, "category": code.class_name(number)}
            elif classes[0] is not None:
                optional = _by_overlap(classes[0], found.runs[at : at + 1], classes[1], void)
            rows.mask(key, image, Segmentation(cast(bytes, counts)), value, optional)
    if stuff:
        what = "regions of a class that are no single object are no masks"
        rows.notes.add("stuff", what, name, "images")


def _by_overlap(classes: Any, mask: Runs, names: dict[int, str], void: Any) -> dict[str, object]:
    """Return the class that most pixels of a mask have, as columns."""
    x, y, w, h = np.asarray(rle.bbox(mask))[0].tolist()
    rows, tally = max(1, _CLASS_PIXELS // w), Counter[int]()
    for top in range(y, y + h, rows):
        n = min(rows, y + h - top)
        inside = rle.to_dense(rle.crop(mask, [(x, top, w, n)]), 0)
        some, numbers = np.unique(classes[top : top + n, x : x + w][inside], return_counts=True)
        tally.update(dict(zip(some.tolist(), numbers.tolist(), strict=True)))
    values, counts = np.array(sorted(tally)), np.array([tally[k] for k in sorted(tally)])
    known = ~np.isin(values, [0, *void, *VOC_VOID])
    if not known.any():
        return {}
    number = int(values[known][counts[known].argmax()])
    return {"category_id": number, "category": names.get(number) or str(number)}


def _classes(path: Path, header: PngHeader, names: dict[int, str]) -> Any:
    """Return the class of each pixel; None where it cannot be known."""
    try:
        own = read_header(path)
        if own.size != header.size or not is_id_kind(own):
            return None
        pixels, palette = read_pixels(path, own)
    except PictureProblem:
        return None
    classes = ids_of(own)(pixels)
    if palette is not None and max(names, default=0) > 255:  # named by colour
        classes = (palette.astype(np.int64) @ np.array([1, 256, 65536]))[classes]
    return classes


def write(
    source: Path, out: Path | None, edits: Edits, options: ReadOptions | None = None
) -> Stored:
    """Copy with other ids for the pixels of masks that go, change or come.

    PNGs of which no mask does stay byte for byte.
    """
    layout = _layout(source, options)
    edits.refuse_attributes(str(source))
    refuse_polygons(edits, str(source))
    coded = layout.code.name != "none"
    refuse_categories(replace(edits, add=()) if coded else edits, str(source))
    names = (png.name for png in _pngs(source, layout, None if options is None else options.home))
    paths = {plain(n): source if source.is_file() else source / n for n in names}
    files, tally = by_png(source, edits, paths, layout.code), PixelTally()
    if edits.overlap is None:
        refuse_clashes(source, files.values())
    changes: dict[str, Edit | None] = {
        name: partial(mine.write, overlap=edits.overlap, tally=tally)
        for name, mine in files.items()
    }
    copy_with_edits(source, out, changes)
    return tally.count_stored()


def _layout(source: Path, options: ReadOptions | None) -> IdLayout:
    """Return a source's layout, as far as it is not told otherwise."""
    home = None if options is None else options.home
    layout = file_layout(source) if source.is_file() else find_layout(source, home)
    if options is None:
        return layout
    code, void = layout.code, options.void
    if options.class_code is not None:
        code = id_code(options.class_code)
    return replace(layout, code=code if void is None else replace(code, void=frozenset(void)))


def _pngs(source: Path, layout: IdLayout, home: Path | None = None) -> Iterator[IdPng]:
    if source.is_file():
        return iter((IdPng(source.name, source.stat().st_size, source.name),))
    return find_id_pngs(source, layout, home)


def _most_are_ids(paths: Iterator[Path]) -> bool:
    """Return whether PNGs are ids, looking on until some with content have been seen."""
    ids = others = 0
    for path in islice(paths, 50 * _LOOK):
        judged = _looks_like_ids(path)
        ids, others = ids + (judged is True), others + (judged is False)
        if ids + others == _LOOK:
            break
    return ids > 0 and ids >= others


def _looks_like_ids(path: Path) -> bool | None:
    """Return whether a PNG looks like ids; None where it has nothing but background."""
    try:
        header = read_header(path)
        if header.height * header.width > _LOOK_PIXELS or not is_id_kind(header):
            return False
        return True if len(read_ids(path, header).ids) else None
    except PictureProblem:
        return False


FORMAT = Format(
    "label-png",
    "PNGs of instance ids",
    matches,
    plan,
    load,
    write,
    follows=("plan", "write"),
    takes=("void", "class_code"),
    check_unedited=check_label_png,
    pictures=pictures,
)
