"""Folders of one PNG or TIFF a mask, laid out as the 2018 Data Science Bowl and its relatives.

Known layouts, of a source or of a folder in it: ``<image>/masks/*.png`` with the picture in
``<image>/images/``; and ``masks/<image>/*.png``, with the pictures in ``images/<image>.*`` where
there are any; both may have a folder a split between. The size of an image is that of its picture;
without one, the size that most of its masks have. ``file_name`` is the picture's path under the
source, or the image's name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

from curate import rle
from curate.dataset.table import MaskTable
from curate.errors import CallError, CurateError, SourceError
from curate.formats.copying import Edit, copy_with_edits, list_entries
from curate.formats.edits import Addition, Edits, Stored
from curate.formats.format import Format, Part
from curate.formats.new_pixels import (
    PixelTally,
    image_size,
    new_pixels,
    new_runs,
    refuse_categories,
    refuse_polygons,
)
from curate.formats.own_pictures import OwnPictures
from curate.formats.png.mask_files import read_masks
from curate.formats.png.mask_pngs import mask_png, next_names, redraw
from curate.formats.png.png_reading import PICTURES, PictureProblem, PngInfo, read_picture
from curate.formats.segmentation import Segmentation
from curate.formats.table_builder import TableBuilder, parts_of, plain
from curate.formats.tiff import tiff_masks
from curate.formats.tiff.tiff_masks import TIFFS, holds_one_mask, is_tiff, mask_tiff
from curate.formats.untouched.png_check import check_png_folder

MASKS, IMAGES = "masks", "images"

_SPLIT = re.compile(r"(?:train|val|valid|validation|test)(?:ing)?[-_]?[0-9]*", re.IGNORECASE)
_PART = 2000  # masks; decoding them takes some seconds
_LOOK_INTO = 12  # how many TIFFs are opened to tell the format
_LOOK = 100  # how many entries of a folder are looked at to tell the format

Image = tuple[str, str, str]
"""An image's name, the folder of its masks, and its picture or ""; paths under the source."""


def matches(path: Path) -> bool:
    """Return whether a folder holds images in one of the layouts, with at least one mask."""
    try:
        if not path.is_dir():
            return False
        found = ((folder, _mask_names(path, folder)) for _, folder, _ in _images(path, _LOOK))
        some = next(((folder, names) for folder, names in found if names), None)
        return some is not None and _are_masks(path / some[0], some[1][:_LOOK_INTO])
    except (CurateError, OSError, ValueError):
        return False


def _are_masks(folder: Path, names: list[str]) -> bool:
    """Return whether no TIFF of some has several ids, as label images of the same layout have."""
    tiffs = [name for name in names if is_tiff(name)]
    return all(holds_one_mask(folder / name) is not False for name in tiffs)


def plan(source: Path, work: Path) -> Iterator[Part]:
    """Group images into parts."""
    found = parts_of(
        ((image, 1 + len(_mask_names(source, image[1]))) for image in _images(source)), _PART
    )
    first = next(found, None)
    if first is None:
        what = "there is no <image>/masks/ and no masks/<image>/ in it"
        raise SourceError(what, str(source), "give the folder that holds the images' folders")
    yield first
    yield from found


def pictures(source: Path) -> OwnPictures | None:
    """Return the source where some image has its picture in it; ``file_name`` is its path then."""
    has_one = any(picture for _, _, picture in _images(source, _LOOK))
    return OwnPictures(source.resolve()) if has_one else None


def load(source: Path, part: Part) -> MaskTable:
    """Read the masks of some images."""
    rows = TableBuilder()
    for image in part.payload:
        name, folder, picture = image
        names, size, masks, status, detail = _read(source, image)
        if size == (0, 0) and not detail:
            detail = "nothing tells its size"
        number = rows.image(picture or name, size, status, detail, source_key=folder)
        for n, mask in zip(names, masks, strict=True):
            rows.mask(f"{folder}/{n}", number, mask)
    return rows.table()


def _read(
    source: Path, image: Image
) -> tuple[list[str], tuple[int, int], list[Segmentation], str, str]:
    """Read one image: its PNGs' names, its size, its masks, its status and what is wrong."""
    _, folder, picture = image
    names = _mask_names(source, folder)
    paths = [source / folder / n for n in names]
    known, status, detail = _picture(source / picture) if picture else (None, "ok", "")
    size, masks = read_masks(paths, known and known.size)
    if known and known.rotated:
        status, detail = known.finding
        shown = read_masks(paths, known.upright)
        if _mismatches(shown[1]) < _mismatches(masks):  # drawn on the picture as it is shown
            size, masks = shown
    return names, size, masks, status, detail


def write(source: Path, out: Path | None, edits: Edits) -> Stored:
    """Copy the folder without the PNGs of dropped masks, with others redrawn and new ones."""
    edits.refuse_attributes(str(source))
    refuse_categories(edits, str(source))
    refuse_polygons(edits, str(source))
    for key in edits.drop:
        if MASKS not in key.split("/")[:-1]:
            raise CallError(f"{key} names no mask of it", str(source))
    changes: dict[str, Edit | None] = dict.fromkeys(edits.drop)
    new: dict[str, bytes] = {}
    folders = {plain(image[1]): image for image in _images(source)} if _has_new(edits) else {}
    tally = PixelTally()
    for name, (drawn, added) in _by_folder(source, edits, folders).items():
        names, size, *_ = _read(source, folders[name])
        known = {f"{name}/{plain(n)}" for n in names}
        for key, counts in drawn.items():
            if key not in known:
                raise CallError(f"{key} names no mask of it", str(source))
            mask = new_runs(counts, size, key)
            is_png = not is_tiff(key)
            changes[key] = partial(redraw, mask=mask, where=key) if is_png else _redraw_tiff(mask)
        new |= _new_pngs(source, folders[name][1], names, size, added)
        tally.runs += len(drawn) + len(added)
    copy_with_edits(source, out, changes, new)
    return tally.count_stored()


def _redraw_tiff(mask: rle.Runs) -> Edit:
    return partial(tiff_masks.redraw, mask=mask)


def _has_new(edits: Edits) -> bool:
    return next(new_pixels(edits), None) is not None


def _by_folder(
    source: Path, edits: Edits, folders: Collection[str]
) -> dict[str, tuple[dict[str, bytes], list[Addition]]]:
    """Return by folder of masks the new pixels by source key, and the new masks."""
    found: dict[str, tuple[dict[str, bytes], list[Addition]]] = {}
    for key, change in edits.change.items():
        folder = key.rpartition("/")[0]
        if change.counts is None:
            continue
        if folder not in folders:
            raise CallError(f"{key} names no mask of it", str(source))
        found.setdefault(folder, ({}, []))[0][key] = change.counts
    for addition in edits.add:
        if addition.image_key not in folders:
            raise CallError(f"{addition.image_key} names no image of it", str(source))
        found.setdefault(addition.image_key, ({}, []))[1].append(addition)
    return found


def _new_pngs(
    source: Path, folder: str, names: list[str], size: tuple[int, int], added: list[Addition]
) -> dict[str, bytes]:
    """Return the contents of new files by path under the source: TIFFs where all others are."""
    path = source / folder
    taken = [entry.name for entry in list_entries(path)] if path.is_dir() else []
    made: dict[str, bytes] = {}
    as_tiff = bool(names) and all(map(is_tiff, names))
    ending = os.path.splitext(names[0])[1] if as_tiff else ".png"
    for name, one in zip(next_names(names, taken, len(added), ending), added, strict=True):
        height, width = image_size(size, one.height, one.width, one.image_key)
        mask = new_runs(one.counts, (height, width), one.image_key)
        draw = mask_tiff if as_tiff else mask_png
        made[f"{folder}/{name}"] = draw(mask, one.image_key)
    return made


def _images(source: Path, limit: int | None = None) -> Iterator[Image]:
    """Find the images of a source, looking at ``limit`` entries of a folder."""
    if not source.is_dir():
        return
    if (source / MASKS).is_dir() and _is_image(source, ""):
        yield _image(source, "", source.resolve().name)
        return
    for entry in list_entries(source)[:limit]:
        if not entry.is_dir(follow_symlinks=False):
            continue
        if entry.name == MASKS:
            yield from _by_name(source, limit)
        elif _is_image(source, entry.name):
            yield _image(source, entry.name, entry.name)


def _is_image(source: Path, name: str) -> bool:
    """Return whether a folder is that of one image: its masks, and one picture at most."""
    folder = source / name
    if (folder / MASKS).is_dir():
        if not _mask_names(source, f"{name}/{MASKS}" if name else MASKS):
            return bool(name) and not any(e.is_dir() for e in list_entries(folder / MASKS))
        # Label images lie in masks/ too, but then there are as many pictures beside them.
        pictures = len(_pictures(folder / IMAGES))
        return pictures == 1 or (pictures == 0 and bool(name))
    return bool(name) and name != IMAGES and len(_pictures(folder / IMAGES)) == 1


def _image(source: Path, below: str, name: str) -> Image:
    prefix = f"{below}/" if below else ""
    pictures = _pictures(source / below / IMAGES)
    picture = f"{prefix}{IMAGES}/{pictures[0]}" if pictures else ""
    return name, prefix + MASKS, picture


def _by_name(source: Path, limit: int | None, split: str = "") -> Iterator[Image]:
    """Find the images of a source that holds ``masks/<image>/``, or ``masks/<split>/<image>/``."""
    masks, images = MASKS + split, IMAGES + split
    pictures = {Path(n).stem: n for n in reversed(_pictures(source / images))}
    exact = set(_pictures(source / images))
    found: dict[str, str] = {}
    splits: list[str] = []
    for entry in list_entries(source / masks)[:limit]:
        if not entry.is_dir(follow_symlinks=False):
            continue
        if not split and _is_split(source, entry.name):
            splits.append(entry.name)
            continue
        picture = entry.name if entry.name in exact else pictures.pop(entry.name, "")
        exact.discard(picture)
        found[entry.name] = f"{images}/{picture}" if picture else ""
    if limit is None and (found or not splits):
        found |= {Path(name).stem: f"{images}/{name}" for name in {*pictures.values()} & exact}
    for name in sorted(found):  # an image does not change its place when it gets its first mask
        yield f"{split}/{name}".lstrip("/"), f"{masks}/{name}", found[name]
    for name in splits:
        yield from _by_name(source, limit, f"/{name}")


def _is_split(source: Path, name: str) -> bool:
    """Whether ``masks/<name>`` has the masks of many images: those of ``images/<name>/``."""
    return (source / IMAGES / name).is_dir() or _SPLIT.fullmatch(name) is not None


def _pictures(folder: Path) -> list[str]:
    """Return the names of the pictures in a folder; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return [
        e.name for e in list_entries(folder) if e.name.lower().endswith(PICTURES) and e.is_file()
    ]


def _mask_names(source: Path, folder: str) -> list[str]:
    """Return the names of the files in a folder of masks; none where there is no such folder."""
    if not (source / folder).is_dir():
        return []
    # A dangling link is a mask that is missing, so names are not asked whether they can be opened.
    return [
        e.name
        for e in list_entries(source / folder)
        if e.name.lower().endswith((".png", *TIFFS)) and not e.is_dir()
    ]


def _mismatches(masks: list[Segmentation]) -> int:
    return sum(mask.status == "size_mismatch" for mask in masks)


def _picture(path: Path) -> tuple[PngInfo | None, str, str]:
    """Return a picture's header, or None, with a status and a detail for the images table."""
    try:
        return read_picture(path), "ok", ""
    except PictureProblem as problem:
        return None, problem.status, problem.detail


FORMAT = Format(
    "png-folder",
    "folders of one PNG or TIFF a mask",
    matches,
    plan,
    load,
    write,
    check_unedited=check_png_folder,
    pictures=pictures,
)
