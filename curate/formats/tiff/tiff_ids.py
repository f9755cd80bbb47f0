"""TIFFs in which a pixel's value is the id of its instance: read, and open for edits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from curate.common.arrays import AnyArray, ByteArray
from curate.errors import SourceError
from curate.formats.ids.division import Box
from curate.formats.ids.id_edits import IdStorage
from curate.formats.ids.id_judging import NoIds, UnreadIds, check_middle, check_regions
from curate.formats.ids.strip_runs import IdImage, TooManyIds, TooManyRuns, label_runs
from curate.formats.png.png_reading import PictureProblem
from curate.formats.tiff.tiff_rewriting import write_ids
from curate.formats.tiff.tiff_samples import TiffHeader, read_header, read_strips

_MOST_BYTES = 1_500_000_000  # of pixels that are in memory at once, to write them anew


def read_ids(path: Path, known: bool) -> IdImage:
    """Read the masks of one TIFF.

    Args:
        path: The file.
        known: Whether something else says that it holds ids, and it need not be judged.

    Raises:
        NoIds: It holds a picture.
        UnreadIds: It holds several pages.
        PictureProblem: It is broken.
    """
    header = read_header(path)
    if not known:
        check_middle(_ids(path, header), lambda ids: ids, header.size)
    try:
        ids, runs = label_runs(_ids(path, header), header.size)
    except (TooManyIds, TooManyRuns) as problem:
        raise NoIds(str(problem)) from problem
    if not known:
        check_regions(ids, runs, header.size)
    if header.pages > 1 and len(ids):
        what = f"it has {header.pages:,} pages, a volume or a film"
        raise UnreadIds(f"{what}: save each page as a TIFF of its own")
    return IdImage(ids, runs, None)


def _ids(path: Path, header: TiffHeader) -> Iterator[tuple[int, AnyArray]]:
    return ((top, to_ids(values)) for top, values in read_strips(path, header))


def to_ids(values: AnyArray) -> AnyArray:
    """Return values as ids: all below 0 are -1.

    Raises:
        NoIds: One is beyond 31 bits.
    """
    if values.dtype.kind == "u":
        if values.dtype.itemsize > 2 and values.size and int(values.max()) > 2**31 - 1:
            raise NoIds(f"it has the value {int(values.max()):,}, and ids end at {2**31 - 1:,}")
        return values
    if values.dtype.itemsize > 4 and values.size and int(values.max()) > 2**31 - 1:
        raise NoIds(f"it has the value {int(values.max()):,}, and ids end at {2**31 - 1:,}")
    return np.maximum(values, -1)


class TiffIds:
    """A TIFF whose masks are in memory, and whose pixels are once they are needed.

    Attributes:
        size: Height and width in pixels.
        ids: All ids but 0.
        runs: Their pixels, one mask an id.
        palette: None: what ids are called does not hang on colours.
        largest: The largest id that it can hold.
    """

    palette: ByteArray | None = None

    def __init__(self, path: Path) -> None:
        try:
            self._header = read_header(path)
            found = read_ids(path, True)
        except PictureProblem as problem:
            raise SourceError(problem.detail, str(path), "mend it or leave it out") from problem
        self.size, self.largest = self._header.size, self._header.largest
        self.ids: list[int] = found.ids.tolist()
        self.runs = found.runs
        self._path = path

    @cached_property
    def _pixels(self) -> AnyArray:
        height, width = self.size
        if height * width * self._header.dtype.itemsize > _MOST_BYTES:
            raise SourceError("the TIFF is too large to be written anew", str(self._path))
        pixels = np.empty(self.size, self._header.dtype)
        for top, values in read_strips(self._path, self._header):
            pixels[top : top + len(values)] = values
        return pixels

    def read(self, box: Box) -> AnyArray:
        """Return the ids in a box."""
        x, y, w, h = box
        return to_ids(self._pixels[y : y + h, x : x + w])


TIFF_IDS = IdStorage("TIFF", TiffIds, write_ids)
