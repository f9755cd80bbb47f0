"""PNGs of instance ids, open for edits."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from curate.common.arrays import AnyArray
from curate.errors import SourceError
from curate.formats.ids.division import Box
from curate.formats.ids.id_edits import IdStorage
from curate.formats.png.id_masks import ids_of, read_ids
from curate.formats.png.id_rewriting import largest_id, write_ids
from curate.formats.png.png_reading import PictureProblem, read_header, read_pixels


class PngIds:
    """A PNG whose masks are in memory, and whose pixels are once they are needed.

    Attributes:
        size: Height and width in pixels.
        ids: All ids but 0.
        runs: Their pixels, one mask an id.
        palette: Its colours, shape (n, 3), or None.
        largest: The largest id that it can hold.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._header = read_header(path)
            found = read_ids(path, self._header, known=True)
        except PictureProblem as problem:
            raise SourceError(problem.detail, str(path), "mend it or leave it out") from problem
        self.size = self._header.size
        self.ids: list[int] = found.ids.tolist()
        self.runs, self.palette = found.runs, found.palette
        self.largest = largest_id(path, self._header)
        self._path = path

    @cached_property
    def _pixels(self) -> AnyArray:
        return read_pixels(self._path, self._header)[0]

    def read(self, box: Box) -> AnyArray:
        """Return the ids in a box."""
        x, y, w, h = box
        return ids_of(self._header)(self._pixels[y : y + h, x : x + w])


PNG_IDS = IdStorage("PNG", PngIds, write_ids)
