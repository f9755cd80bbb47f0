"""List of the images of a source, made before scoring so that joins see all of them.

What one part has once, another may have again: a name is unique only among all images.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from curate.common.arrays import IntArray
from curate.dataset.image_join import Listing
from curate.dataset.table import MaskTable
from curate.formats.format import Format, Part, ReadOptions
from curate.formats.reading import detect

_FILE = re.compile(r"(.+?\.(?:png|tiff?|bmp|gif))(?:[:#!]|$)", re.IGNORECASE)

Run = Callable[[Callable[..., pd.DataFrame], Iterable[tuple[Part]]], Iterable[pd.DataFrame]]
"""Runs a function over many tasks, in any order, as :meth:`curate.common.pool.Pool.run` does."""


@dataclass(frozen=True)
class SourceImages:
    """All images of a source.

    Attributes:
        listing: What it says of them, part after part.
        offsets: Shape (n parts + 1,), the first row of each part.
        files: Paths, resolved, of the files of pixels that its masks are read from.
    """

    listing: Listing
    offsets: IntArray
    files: frozenset[str] = frozenset()

    def part_of(self, values: IntArray, index: int) -> IntArray:
        """Return those of some values, one an image, that are a part's."""
        return values[self.offsets[index] : self.offsets[index + 1]]


def list_images(
    source: Path, format: str | None, options: ReadOptions, parts: Sequence[Part], run: Run
) -> SourceImages:
    """List the images of all parts.

    Args:
        source: The source.
        format: The name of its format; None to find it from the content.
        options: What its reader is told.
        parts: Its parts.
        run: Where the work is done.
    """
    chosen = detect(source, format, options)
    listed = partial(images_of, source, chosen.name, options)
    frames: dict[int, pd.DataFrame] = {}
    for frame in run(listed, ((part,) for part in parts)):
        frames[int(frame.attrs["part"])] = frame
    ordered = [frames[part.index] for part in parts]
    counts = [0, *(len(frame) for frame in ordered)]
    every = pd.concat(ordered) if ordered else pd.DataFrame(columns=["file_name"])
    files = frozenset().union(*(frame.attrs["files"] for frame in ordered))
    return SourceImages(listing_of(every, chosen), np.cumsum(counts).astype(np.int64), files)


def images_of(source: Path, format: str, options: ReadOptions, part: Part) -> pd.DataFrame:
    """Return the images of a part as its table has them, without reading its masks if possible.

    Returns:
        Index ``image_id``; ``file_name``, ``height``, ``width``; ``attrs``: ``part``, the part's
        position, and ``files``, as in :class:`SourceImages`.
    """
    chosen = detect(source, format, options)
    files: set[str] = set()
    if chosen.images is not None:
        images = chosen.images(source, part)
    else:
        table = chosen.load(source, part)
        images = table.images
        files = own_files(chosen.path_read(source), table)
    frame = images[["file_name", "height", "width"]].copy()
    frame.attrs = {"part": part.index, "files": files}
    return frame


def own_files(source: Path, table: MaskTable) -> set[str]:
    """Return paths, resolved, of the files of pixels that masks are read from: PNGs of masks, ids.

    They are no pictures of the images, though they are often named so.
    """
    root = source.resolve()
    if root.is_file():
        return {str(root)}
    keys = table.masks["source_key"].tolist()
    if "source_key" in table.images.columns:
        keys += table.images["source_key"].tolist()
    found = {match[1] for key in keys if isinstance(key, str) and (match := _FILE.match(key))}
    return {str(root / name) for name in found}


def listing_of(images: pd.DataFrame, format: Format) -> Listing:
    """Return a source's list of images.

    Args:
        images: Index ``image_id``; ``file_name``, ``height``, ``width``.
        format: The source's format, which says whether the ids are its own.
    """
    ids = images.index.to_numpy(np.int64) if format.own_ids else None
    names = images["file_name"].to_numpy(object).tolist()
    return Listing(names, ids, images[["height", "width"]].to_numpy(np.int64))
