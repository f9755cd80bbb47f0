"""Folders of one PNG a mask, in the layout of the 2018 Data Science Bowl and its relatives.

Known layouts, of a source or of a folder in it: ``<image>/masks/*.png`` with the picture in
``<image>/images/``; and ``masks/<image>/*.png``, with the pictures in ``images/<image>.*`` where
there are any. The size of an image is that of its picture; without one, the size that most of its
masks have. ``file_name`` is the picture's path under the source, or the image's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

from curate.errors import CallError, CurateError, SourceError
from curate.formats.base import Format, Part, dropping
from curate.formats.png import Picture, PictureProblem, read_masks, read_picture
from curate.formats.rows import Rows, parts_of
from curate.formats.segmentation import Segmentation
from curate.formats.trees import copy_with_edits, entries
from curate.table import MaskTable

MASKS, IMAGES = "masks", "images"

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2", ".mpo")
"""How the names of pictures end."""

_PART = 2000  # masks; decoding them takes some seconds
_LOOK = 100  # how many entries of a folder are looked at to tell the format

Image = tuple[str, str, str]
"""An image's name, the folder of its masks, and its picture or ""; paths under the source."""


def matches(path: Path) -> bool:
    """Return whether a folder holds images in one of the layouts, with at least one mask."""
    try:
        if not path.is_dir():
            return False
        return any(_mask_names(path, folder) for _, folder, _ in _images(path, _LOOK))
    except (CurateError, OSError, ValueError):
        return False


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


def load(source: Path, part: Part) -> MaskTable:
    """Read the masks of some images."""
    rows = Rows()
    for name, folder, picture in part.payload:
        names = _mask_names(source, folder)
        known, status, detail = _picture(source / picture) if picture else (None, "ok", "")
        size, masks = read_masks([source / folder / n for n in names], known and known.size)
        if known and known.rotated:
            upright = known.size[::-1]
            status = "exif_rotated"
            detail = f"EXIF turns the picture to {upright[1]} x {upright[0]}"
            shown = read_masks([source / folder / n for n in names], upright)
            if _mismatches(shown[1]) < _mismatches(masks):  # drawn on the picture as it is shown
                size, masks = shown
        if size == (0, 0) and not detail:
            detail = "nothing tells its size"
        image = rows.image(picture or name, size, status, detail)
        for n, mask in zip(names, masks, strict=True):
            rows.mask(f"{folder}/{n}" if folder else n, image, mask)
    return rows.table()


def prune(source: Path, out: Path, drop: AbstractSet[str]) -> None:
    """Copy the folder without the PNGs of the dropped masks."""
    for key in drop:
        if MASKS not in key.split("/")[:-1]:
            raise CallError(f"{key} names no mask of it", str(source))
    copy_with_edits(source, out, dict.fromkeys(drop))


def _images(source: Path, limit: int | None = None) -> Iterator[Image]:
    """Find the images of a source, looking at ``limit`` entries of a folder."""
    if not source.is_dir():
        return
    if (source / MASKS).is_dir() and _is_image(source, ""):
        yield _image(source, "", source.resolve().name)
        return
    for entry in entries(source)[:limit]:
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
            return bool(name) and not any(e.is_dir() for e in entries(folder / MASKS))
        # Label images lie in masks/ too, but then there are as many pictures beside them.
        pictures = len(_pictures(folder / IMAGES))
        return pictures == 1 or (pictures == 0 and bool(name))
    return bool(name) and name != IMAGES and len(_pictures(folder / IMAGES)) == 1


def _image(source: Path, below: str, name: str) -> Image:
    prefix = f"{below}/" if below else ""
    pictures = _pictures(source / below / IMAGES)
    picture = f"{prefix}{IMAGES}/{pictures[0]}" if pictures else ""
    return name, prefix + MASKS, picture


def _by_name(source: Path, limit: int | None) -> Iterator[Image]:
    """Find the images of a source that holds ``masks/<image>/``."""
    pictures = {Path(n).stem: n for n in reversed(_pictures(source / IMAGES))}
    exact = set(_pictures(source / IMAGES))
    for entry in entries(source / MASKS)[:limit]:
        if entry.is_dir(follow_symlinks=False):
            picture = entry.name if entry.name in exact else pictures.pop(entry.name, "")
            exact.discard(picture)
            yield entry.name, f"{MASKS}/{entry.name}", f"{IMAGES}/{picture}" if picture else ""
    for name in sorted(set(pictures.values()) & exact) if limit is None else ():
        yield Path(name).stem, f"{MASKS}/{Path(name).stem}", f"{IMAGES}/{name}"


def _pictures(folder: Path) -> list[str]:
    """Return the names of the pictures in a folder; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return [e.name for e in entries(folder) if e.name.lower().endswith(PICTURES) and e.is_file()]


def _mask_names(source: Path, folder: str) -> list[str]:
    """Return the names of the PNGs in a folder of masks; none where there is no such folder."""
    if not (source / folder).is_dir():
        return []
    # A dangling link is a mask that is missing, so names are not asked whether they can be opened.
    return [
        e.name
        for e in entries(source / folder)
        if e.name.lower().endswith(".png") and not e.is_dir()
    ]


def _mismatches(masks: list[Segmentation]) -> int:
    return sum(mask.status == "size_mismatch" for mask in masks)


def _picture(path: Path) -> tuple[Picture | None, str, str]:
    """Return a picture's header, or None, with a status and a detail for the images table."""
    try:
        return read_picture(path), "ok", ""
    except PictureProblem as problem:
        return None, problem.status, problem.detail


FORMAT = Format("png-folder", "folders of one PNG a mask", matches, plan, load, dropping(prune))
