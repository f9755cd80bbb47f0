"""Masks of an image, one PNG or TIFF a mask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from curate.formats.png.png_reading import PictureProblem, read_header, read_mask
from curate.formats.segmentation import Segmentation
from curate.formats.table_builder import common_size
from curate.formats.tiff import tiff_masks
from curate.formats.tiff.tiff_masks import is_tiff


def read_masks(
    paths: Sequence[Path | None], size: tuple[int, int] | None
) -> tuple[tuple[int, int], list[Segmentation]]:
    """Read the masks of one image, one file a mask.

    Args:
        paths: The files; None for a mask that has none.
        size: Height and width of the image; None to take the most frequent size of the masks.

    Returns:
        The size of the image, (0, 0) where nothing tells it, and the masks. One of another size
        than the image has the status ``size_mismatch`` and no pixels.
    """
    sizes = [_size(path) for path in paths]
    if size is None:
        size = _common(sizes)
    masks = []
    for path, own in zip(paths, sizes, strict=True):
        if isinstance(own, PictureProblem) or path is None:
            status, detail = ("", "") if isinstance(own, tuple) else (own.status, own.detail)
            masks.append(Segmentation(None, status, detail))
        elif own != size:
            kind = "TIFF" if is_tiff(path.name) else "PNG"
            detail = f"the {kind} is {own[1]} x {own[0]}, the image {size[1]} x {size[0]}"
            masks.append(Segmentation(None, "size_mismatch", detail))
        elif is_tiff(path.name):
            masks.append(tiff_masks.read_mask(path))
        else:
            masks.append(read_mask(path, read_header(path)))
    return size, masks


def mask_size(paths: Iterable[Path]) -> tuple[int, int]:
    """Return the most frequent height and width of masks; (0, 0) where none can be read."""
    return _common([_size(path) for path in paths])


def _size(path: Path | None) -> tuple[int, int] | PictureProblem:
    try:
        if path is None:
            raise PictureProblem("no_segmentation", "the PNG is missing")
        return tiff_masks.mask_size(path) if is_tiff(path.name) else read_header(path).size
    except PictureProblem as problem:
        return problem


def _common(sizes: Iterable[tuple[int, int] | PictureProblem]) -> tuple[int, int]:
    return common_size(one for one in sizes if isinstance(one, tuple)) or (0, 0)
