"""Folder of one PNG a mask, with image, class and number in the file name.

The folder is the source, or its subfolder ``masks`` or ``labels``; what a name states is read by
:func:`read_names`. Pictures are looked for in the folder, and
in ``images`` beside it; they, or else most of the masks, say what size an image has. The class in a
name is the category of the mask.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from curate.dataset.table import MaskTable
from curate.errors import CallError, CurateError, SourceError
from curate.formats.copying import Edit, copy_with_edits, list_entries
from curate.formats.edits import Edits, Stored
from curate.formats.format import Format, Part, ReadOptions
from curate.formats.ids.id_layouts import SUFFIX
from curate.formats.new_pixels import (
    PixelTally,
    image_size,
    new_runs,
    refuse_categories,
    refuse_polygons,
)
from curate.formats.own_pictures import OwnPictures, under_one_of
from curate.formats.png.mask_files import read_masks
from curate.formats.png.mask_pngs import mask_png, redraw
from curate.formats.png.png_reading import (
    PICTURES,
    PictureProblem,
    read_header,
    read_picture,
    read_pixels,
)
from curate.formats.table_builder import TableBuilder, parts_of, plain
from curate.formats.untouched.png_check import check_png_flat

_LABEL_STUDIO = re.compile(r"(task-(\d+)-annotation-(\d+)-by-[^-]*-(?:[^-]+-)?)([^-].*)-(\d+)")
_CLASS_AND_NUMBER = re.compile(r"(.+)_([^\W\d_][^_]*)_(0|[1-9]\d{0,3})")
_REST = re.compile(r"_(?:(.*?)_)?(\d+)|_(.+)", re.DOTALL)


@dataclass(frozen=True)
class Named:
    """Image, class and number in the name of a PNG.

    Attributes:
        image: What its image is called.
        prefix: What stands before the class.
        category: The class; None where the name has none.
        number: Which of its class it is; None where the name has no number.
    """

    image: str
    prefix: str
    category: str | None
    number: int | None


def read_names(
    names: Sequence[str], pictures: AbstractSet[str], *, known: bool = False
) -> dict[str, Named]:
    """Parse names where all follow one pattern; nothing where they do not.

    Args:
        names: Names of PNGs.
        pictures: Names of the pictures that are known, without their suffix.
        known: Whether they are known to be names of this kind, of which some may be gone.

    Three ways are known: Label Studio's export; the name of a picture and more behind it; and
    ``<image>_<class>_<n>``, where ``n`` counts the masks of each image, or of each
    image and class.
    """
    for read in (_label_studio, _after_pictures, _class_and_number):
        found = read(names, pictures)
        if names and len(found) == len(names):
            counted = known or read is not _class_and_number or _is_counted(found)
            return found if counted else {}
    return {}


def _label_studio(names: Sequence[str], pictures: AbstractSet[str]) -> dict[str, Named]:
    found = {name: _LABEL_STUDIO.fullmatch(name[:-4]) for name in names}
    return {
        name: Named(
            f"task-{one[2]}-annotation-{one[3]}",  # two people's are not masks of one image
            one[1],
            None if one[4] == "no_label" else one[4],
            int(one[5][:9]),
        )
        for name, one in found.items()
        if one
    }


def _after_pictures(names: Sequence[str], pictures: AbstractSet[str]) -> dict[str, Named]:
    made: dict[str, Named] = {}
    for name in names:
        stem = name[:-4]
        ends = [at for at, letter in enumerate(stem) if letter == "_" and stem[:at] in pictures]
        rest = _REST.fullmatch(stem[max(ends) :]) if ends and stem not in pictures else None
        if rest:
            image = stem[: max(ends)]
            number = None if rest[2] is None else int(rest[2][:9])
            made[name] = Named(image, f"{image}_", rest[1] or rest[3], number)
    rests = {one.category for one in made.values() if one.number is None}
    one_each = len({one.image for one in made.values()}) == len(made)
    if one_each and all(rest and SUFFIX.fullmatch(f"x_{rest}") for rest in rests):
        return {}  # ``a_masks.png`` has all masks of ``a``
    return made


def _class_and_number(names: Sequence[str], pictures: AbstractSet[str]) -> dict[str, Named]:
    made: dict[str, Named] = {}
    for name in names:
        found = _CLASS_AND_NUMBER.fullmatch(name[:-4])
        if found:
            made[name] = Named(found[1], f"{found[1]}_", found[2], int(found[3]))
    return made


def _is_counted(names: Mapping[str, Named]) -> bool:
    """Whether numbers count the masks of each image, or of each image and class."""
    if _count_images(names):
        return True
    numbers: dict[tuple[str, str | None], set[int]] = {}
    for one in names.values():
        numbers.setdefault((one.image, one.category), set()).add(one.number or 0)
    counted = all(min(some) < 2 and max(some) - min(some) < len(some) for some in numbers.values())
    # A single group is more likely frames of a recording than masks of an image.
    return counted and 1 < len(numbers) < len(names)


def _count_images(names: Mapping[str, Named]) -> bool:
    """Whether numbers count the masks of each image through all of its classes."""
    numbers: dict[str, list[int]] = {}
    for one in names.values():
        numbers.setdefault(one.image, []).append(-1 if one.number is None else one.number)
    runs = (sorted(some) for some in numbers.values())
    counted = all(s[0] in (0, 1) and s == list(range(s[0], s[0] + len(s))) for s in runs)
    classes = {(one.image, one.category) for one in names.values()}
    return counted and 1 < len(numbers) < len(classes)


def next_name(known: Mapping[str, Named], image: str, category: str | None, where: str) -> str:
    """Return the name for a new mask.

    Args:
        known: The names that are there.
        image: What its image is called.
        category: Its class; None where nothing is known.
        where: Source key of the image, for messages.

    Raises:
        CallError: It takes a class, or one that can stand in a name.
    """
    classes = {one.category for one in known.values()}
    if category is None and len(classes) == 1:
        category = next(iter(classes))
    if category is None and None not in classes:
        what = "the added mask has no category, and names of masks carry one here"
        raise CallError(what, where, "say which one it gets with --category NAME")
    prefix = next((one.prefix for one in known.values() if one.image == image), f"{image}_")
    through = _count_images(known)
    of_image = [one for one in known.values() if one.image == image]
    mine = [one.number for one in of_image if through or one.category == category]
    first = min((one.number for one in known.values() if one.number is not None), default=0)
    number = max((n for n in mine if n is not None), default=min(first, 1) - 1) + 1
    joined = "-" if prefix.startswith("task-") else "_"
    spelled = "" if category is None else f"{category}{joined}"
    name = f"{prefix}{spelled}{number}.png"
    if "/" in name or "\0" in name or len(name.encode()) > 250 or name in known:
        raise CallError(f"no file can be called {name[:80]!r}", where, "choose another category")
    return name


_SUBFOLDERS = ("", "masks", "labels")
_LOOK = 12  # how many PNGs are looked at to tell the format
_LOOK_PIXELS = 30_000_000  # and of what size at most
_PART = 2000  # masks; decoding them takes some seconds


@dataclass(frozen=True)
class Flat:
    """Contents of a folder of masks.

    Attributes:
        below: The folder, under the source; "" for the source itself.
        named: What the names of its PNGs say.
        pictures: Where pictures are by the name of the image: as under the source, and the file.
    """

    below: str
    named: dict[str, Named]
    pictures: dict[str, tuple[str, Path]]

    def key(self, name: str) -> str:
        """Return the path of a name under the source."""
        return f"{self.below}/{name}" if self.below else name


def find_flat(
    source: Path, options: ReadOptions | None = None, *, known: bool = False
) -> Flat | None:
    """Return the folder of masks of a source; None where there is none."""
    home = (options and options.home) or source
    empty = True
    for below in _SUBFOLDERS if source.is_dir() else ():
        if not (source / below).is_dir():
            continue
        found = [e.name for e in list_entries(source / below) if e.is_file() or e.is_symlink()]
        pictures = _pictures(source, home, below, found)
        given = None if options is None else options.images
        if given is not None and given.is_dir():
            more = [entry.name for entry in list_entries(given)]
            pictures = _by_stem(more, "", given) | pictures
        pngs = [name for name in found if name.lower().endswith(".png")]
        heads = _find_named_after(pngs)
        masks = [name for name in pngs if name[:-4] not in heads]
        empty = empty and not pngs
        if named := read_names(masks, pictures.keys(), known=known):
            return Flat(below, named, pictures)
    return Flat("", {}, {}) if known and empty else None


def _find_named_after(pngs: list[str]) -> set[str]:
    """Return the names that other PNGs extend: a picture may lie among its own masks."""
    stems = (name[:-4] for name in pngs)
    return {stem[:at] for stem in stems for at, letter in enumerate(stem) if letter == "_"}


def _pictures(
    source: Path, home: Path, below: str, found: list[str]
) -> dict[str, tuple[str, Path]]:
    heads = _find_named_after([name for name in found if name.lower().endswith(".png")])
    own = [n for n in found if not n.lower().endswith(".png") or n[:-4] in heads]
    made = _by_stem(own, f"{below}/" if below else "", source / below)
    whole = (home / below).resolve()
    for folder in (whole / "images", whole.parent / "images"):
        if folder.is_dir():
            inside = folder.is_relative_to(home.resolve())
            shown = folder.relative_to(home.resolve() if inside else folder.parent).as_posix()
            made = _by_stem([e.name for e in list_entries(folder)], f"{shown}/", folder) | made
    return made


def _by_stem(names: list[str], prefix: str, folder: Path) -> dict[str, tuple[str, Path]]:
    chosen = [name for name in names if name.lower().endswith(PICTURES)]
    return {os.path.splitext(n)[0]: (prefix + n, folder / n) for n in reversed(chosen)}


def matches(path: Path) -> bool:
    """Return whether the names of a folder's PNGs say so, and the first hold one mask each."""
    try:
        flat = find_flat(path)
        if flat is None:
            return False
        seen = [_is_one_mask(path / flat.below / name) for name in list(flat.named)[:_LOOK]]
        return any(one is True for one in seen) and all(one is not False for one in seen)
    except (CurateError, OSError, ValueError):
        return False


def _is_one_mask(path: Path) -> bool | None:
    """Return whether a PNG holds one mask; None where it holds nothing, or cannot be read."""
    try:
        header = read_header(path)
        if header.height * header.width > _LOOK_PIXELS:
            return None
        pixels, _ = read_pixels(path, header)
    except PictureProblem:
        return None
    if pixels.ndim == 3:
        pixels = pixels[..., : 3 if pixels.shape[2] > 2 else 1].max(axis=2)
    values = np.unique(pixels)
    return None if len(values) < 2 else len(values) == 2


def plan(source: Path, work: Path, options: ReadOptions | None = None) -> Iterator[Part]:
    """Group images into parts."""
    flat = _flat(source, options)
    groups: dict[str, list[str]] = {}
    for name, one in flat.named.items():
        groups.setdefault(one.image, []).append(name)
    for stem in flat.pictures:
        if any(one.prefix == f"{one.image}_" for one in flat.named.values()):
            groups.setdefault(stem, [])
    items = (
        ((*_picture(flat, image), _masks(flat, names)), 1 + len(names))
        for image, names in sorted(groups.items())
    )
    yield from parts_of(items, _PART)


def pictures(source: Path) -> OwnPictures | None:
    """Return where pictures are that ``file_name`` names: the source, or the folder above."""
    flat = find_flat(source, known=True)
    if flat is None or not flat.pictures:
        return None
    whole = (source / flat.below).resolve()
    if any(path.is_relative_to(source) for _, path in flat.pictures.values()):
        return OwnPictures(source.resolve())
    return under_one_of([whole.parent], [name for name, _ in flat.pictures.values()])


def _flat(source: Path, options: ReadOptions | None) -> Flat:
    flat = find_flat(source, options, known=True)
    if flat is None:
        what = "its PNGs are not called <image>_<class>_<number>.png"
        raise SourceError(what, str(source), "give the folder of the masks")
    return flat


def _picture(flat: Flat, image: str) -> tuple[str, str, str]:
    """Return an image's source key, what it is called, and its picture's path or ""."""
    name, path = flat.pictures.get(image, (image, None))
    return flat.key(image), name, "" if path is None else str(path)


def _masks(flat: Flat, names: list[str]) -> tuple[tuple[str, str | None], ...]:
    return tuple((flat.key(name), flat.named[name].category) for name in sorted(names))


def load(source: Path, part: Part) -> MaskTable:
    """Read the masks of some images."""
    rows = TableBuilder()
    for key, name, picture, masks in part.payload:
        size, status, detail = None, "ok", ""
        if picture:
            try:
                size = read_picture(Path(picture)).upright
            except PictureProblem as problem:
                status, detail = problem.status, problem.detail
        size, read = read_masks([source / mask for mask, _ in masks], size)
        if size == (0, 0) and not detail:
            detail = "nothing tells its size"
        image = rows.image(name, size, status, detail, source_key=key)
        for (mask, category), one in zip(masks, read, strict=True):
            rows.mask(mask, image, one, optional={} if category is None else {"category": category})
    return rows.table()


def write(
    source: Path, out: Path | None, edits: Edits, options: ReadOptions | None = None
) -> Stored:
    """Copy the folder without the PNGs of dropped masks, with others redrawn and new ones."""
    edits.refuse_attributes(str(source))
    refuse_categories(replace(edits, add=()), str(source))
    refuse_polygons(edits, str(source))
    flat, tally = _flat(source, options), PixelTally()
    keys = {plain(flat.key(name)) for name in flat.named}
    odd = next((key for key in (*edits.drop, *edits.change) if key not in keys), None)
    if odd is not None:
        raise CallError(f"{odd} names no mask of it", str(source))
    changes: dict[str, Edit | None] = dict.fromkeys(edits.drop)
    sizes = _Sizes(source, flat)
    for key, change in edits.change.items():
        if change.counts is not None:
            image = next(o.image for n, o in flat.named.items() if plain(flat.key(n)) == key)
            mask = new_runs(change.counts, sizes.of(image), key)
            changes[key] = partial(redraw, mask=mask, where=key)
            tally.runs += 1
    new: dict[str, bytes] = {}
    images = {plain(flat.key(one.image)): one.image for one in flat.named.values()}
    images |= {plain(flat.key(stem)): stem for stem in flat.pictures}
    named = dict(flat.named)
    for one in edits.add:
        if one.image_key not in images:
            raise CallError(f"{one.image_key} names no image of it", str(source))
        image = images[one.image_key]
        size = image_size(sizes.of(image), one.height, one.width, one.image_key)
        name = next_name(named, image, one.category, one.image_key)
        found = read_names([*flat.named, name], flat.pictures.keys(), known=True).get(name)
        if found is None or (found.image, found.category) != (image, one.category):
            what = f"{name[:80]!r} would not be read as a mask of {image} of this category"
            raise CallError(what, one.image_key, "choose another category")
        named[name] = found
        new[flat.key(name)] = mask_png(new_runs(one.counts, size, one.image_key), one.image_key)
        tally.runs += 1
    copy_with_edits(source, out, changes, new)
    return tally.count_stored()


class _Sizes:
    """The sizes of images, each found once."""

    def __init__(self, source: Path, flat: Flat) -> None:
        self._source, self._flat = source, flat
        self._known: dict[str, tuple[int, int]] = {}

    def of(self, image: str) -> tuple[int, int]:
        """Return the height and width of an image; (0, 0) where nothing tells them."""
        if image not in self._known:
            flat = self._flat
            names = [name for name, one in flat.named.items() if one.image == image]
            item = (*_picture(flat, image), _masks(flat, names))
            made = load(self._source, Part(0, (item,))).images.iloc[0]
            self._known[image] = int(made["height"]), int(made["width"])
        return self._known[image]


FORMAT = Format(
    "png-flat",
    "a folder of one PNG a mask, named after image and class",
    matches,
    plan,
    load,
    write,
    follows=("plan", "write"),
    check_unedited=check_png_flat,
    pictures=pictures,
)
