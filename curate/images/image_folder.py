"""Picture folder, queried by the file names of a dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from curate.archives.unpacked import real_path
from curate.common.arrays import ByteArray
from curate.dataset.table import IMAGE_STATUSES, STRING
from curate.errors import SourceError
from curate.images.canvas import Box, ValueRange
from curate.images.decode import (
    Band,
    ImageHeader,
    Pixels,
    Wanted,
    open_picture,
    problem,
    thumbnail_of,
)
from curate.images.file_lookup import Finder
from curate.images.limits import MAX_BYTES, byte_limit, pixel_limit

_COMMON = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp")
_RARE = (".bmp", ".gif", ".ppm", ".pgm", ".pnm", ".jp2", ".tga")
SUFFIXES = frozenset(_COMMON + _RARE)
"""Suffixes of files that a picture's name without a suffix may mean."""

SWAPPED = "declared width and height are swapped"
OTHER_SIZE = "the picture has another size than declared"
"""What is said of sizes that differ, before the numbers."""

WHOLE_BYTES = 1_300_000_000
"""Most memory that a whole picture in RGB takes, decoded for a network that has to see all of it;
windows, and what is reduced, keep to :data:`curate.images.MAX_BYTES`."""


@dataclass(frozen=True)
class Inspection:
    """Findings of :meth:`ImageFolder.inspect`.

    Attributes:
        status: A word of :data:`curate.dataset.table.IMAGE_STATUSES`.
        detail: The facts, as a clause; where the status is ``ok``, which of many bands are shown,
            or empty.
        header: Size and orientation, where it could be decoded.
        thumbnail: Shape (32, 32), gray, upright; the whole picture squeezed into it.
        digest: Hash of the file's bytes, 32 hexadecimal digits; empty where it was not decoded.
    """

    status: str
    detail: str
    header: ImageHeader | None = None
    thumbnail: ByteArray | None = None
    digest: str = ""


class ImageFolder:
    """A folder of pictures, asked by the file names of a dataset.

    Nothing outside the folder is ever opened: a name is taken relative to the folder, and links
    that lead out of it are refused. Nothing is raised for a picture that is missing or broken.
    Picklable; each process lists the folder for itself, and only where a name is no direct path.

    Args:
        path: The folder, or an archive of pictures.
        max_pixels: Larger pictures are not decoded; None for what :mod:`curate.images.limits` says.
        known: Paths under the folder by file name, as :meth:`find_all` found them.
        max_bytes: Most memory that decoding one takes, :data:`WHOLE_BYTES` apart; what the user
            set in the environment goes before it.

    Raises:
        SourceError: ``path`` is no folder.
        CallError: A limit in the environment is no size.
    """

    def __init__(
        self,
        path: str | Path,
        max_pixels: int | None = None,
        known: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.path = real_path(Path(path))
        self.max_pixels = pixel_limit() if max_pixels is None else max_pixels
        self.max_bytes = byte_limit(max_bytes)
        if not self.path.is_dir():
            raise SourceError("there is no such folder of images", str(path), "check the path")
        self._finder = Finder(self.path, known)

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_by_")}

    def knowing(self, known: Mapping[str, str]) -> ImageFolder:
        """Return the folder with some names known; what was listed is not listed again."""
        made = copy(self)
        made._finder = self._finder.knowing(known)
        return made

    def exactly(
        self, file_names: Iterable[object], exclude: AbstractSet[str] = frozenset()
    ) -> ImageFolder:
        """Return the folder where each name is a path in it; see :meth:`Finder.exactly`."""
        made = copy(self)
        made._finder = self._finder.exactly(file_names, exclude)
        return made

    def find(self, file_name: object) -> Path | None:
        """Return the file that a dataset's file name means, or None.

        The name as a path in the folder, else as :mod:`curate.dataset.image_join` finds it: among
        all names of the dataset where these were found before (:meth:`find_all`), else alone.
        """
        return self._finder.find(file_name)[0]

    def find_all(
        self, file_names: Iterable[object], exclude: AbstractSet[str] = frozenset()
    ) -> dict[str, str]:
        """Find the files of all images of a dataset; see :meth:`Finder.find_all`."""
        return self._finder.find_all(file_names, exclude)

    def files(self) -> list[str]:
        """Return all files in the folder and below that may be pictures, as paths under it."""
        return self._finder.files

    def inspect(self, file_name: object, size: tuple[int, int]) -> Inspection:
        """Look at one picture: its header, then every byte of it, drawn small.

        Args:
            file_name: Its name in the dataset.
            size: Declared height and width in pixels; not compared where one of them is under 1.
        """
        path, reason = self._finder.find(file_name)
        if path is None:
            return Inspection("missing", reason)
        try:
            with open_picture(path, self.max_pixels) as (image, header):
                thumbnail = thumbnail_of(path, image, header, self.max_bytes)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
        except Exception as error:  # decoders raise whatever they like on a broken file
            return Inspection(*problem(path, error))
        return Inspection(*_size_status(header, size), header, thumbnail, digest.hexdigest())

    def check(self, images: pd.DataFrame) -> pd.DataFrame:
        """Look at the picture of every image: is it there, whole, and of the declared size?

        Args:
            images: Columns ``file_name``, ``height``, ``width`` and, where known, ``status`` and
                ``status_detail``.

        Returns:
            Same index; ``status``, ``status_detail`` (see
            :data:`curate.dataset.table.IMAGE_STATUSES`). What ``images`` says already stays where
            it is graver than what is found here.
        """
        seen = [self.inspect(name, size) for name, size in names_and_sizes(images)]
        columns = {"status": [s.status for s in seen], "status_detail": [s.detail for s in seen]}
        return worse_status(images, pd.DataFrame(columns, index=images.index).astype(STRING))

    def load(
        self,
        file_name: object,
        size: tuple[int, int] | None = None,
        *,
        gray: bool = False,
        box: Box | None = None,
        longest: int | None = None,
    ) -> ByteArray | None:
        """Decode one picture, or a window of it, in the frame in which its masks were drawn.

        Args:
            file_name: Its name in the dataset.
            size: Height and width that its masks have. A picture with an EXIF orientation is
                turned as a viewer turns it, unless only its stored size is ``size``. None takes it
                as displayed.
            gray: One channel, else RGB.
            box: The window, in the frame of ``size``; None for the whole picture.
            longest: Longest side of what is made of it. A much larger window comes reduced, and one
                of a JPEG that does not fit into memory comes blurred; None to have every pixel.

        Returns:
            Shape (height, width) or (height, width, 3), see
            :class:`curate.images.decode.Pixels`. None where there is no picture of this size,
            or where it cannot be decoded.
        """
        found = self.load_or_why(file_name, size, gray=gray, box=box, longest=longest)
        return None if isinstance(found, str) else found

    def load_or_why(
        self,
        file_name: object,
        size: tuple[int, int] | None = None,
        *,
        gray: bool = False,
        box: Box | None = None,
        longest: int | None = None,
        levels: tuple[float, float] | None = None,
    ) -> ByteArray | str:
        """Decode one picture as :meth:`load` does; where it cannot be, return why, as a clause.

        Args:
            file_name: See :meth:`load`, as for all but the last.
            size: Height and width that its masks have.
            gray: One channel, else RGB.
            box: The window.
            longest: Longest side of what is made of it.
            levels: Values of a picture of over 8 bit that become black and white; None for those
                that it is stretched between anyway. Others stay as they are.
        """
        whole = box is None and longest is None
        most = max(self.max_bytes, WHOLE_BYTES) if whole else self.max_bytes
        wanted = Wanted(gray, box=box, longest=longest, levels=levels)
        with self._open_image(file_name, size, wanted, most) as found:
            if isinstance(found, str):
                return found
            try:
                return found.read()
            except Exception as error:  # decoders raise whatever they like on a broken file
                return self._why(file_name, error)

    def value_range(self, file_name: object, size: tuple[int, int]) -> ValueRange | None:
        """Return the values of a picture of over 8 bit.

        Args:
            file_name: Its name in the dataset.
            size: Height and width that its masks have; see :meth:`load`.

        Returns:
            None for pictures of 8 bit, flat ones, and where there is none.
        """
        wanted = Wanted(box=Box(0, 0, 1, 1), levels=(0, 1))  # nothing is stretched here
        with self._open_image(file_name, size, wanted, self.max_bytes) as found:
            if isinstance(found, str) or not found.deep:
                return None
            try:
                return found.value_range()
            except Exception:  # decoders raise whatever they like on a broken file
                return None

    def bands(
        self, file_name: object, size: tuple[int, int], *, pixels: int, margin: int
    ) -> Iterator[Band | None]:
        """Yield a picture in RGB some rows at a time, every pixel of it.

        Args:
            file_name: Its name in the dataset.
            size: Height and width that its masks have; see :meth:`load`.
            pixels: About how many a band has.
            margin: Rows that a band has besides its own above and below, where there are any.

        Yields:
            Bands; nothing where there is no picture of this size. None where the file turns out to
            be broken: nothing comes after it, and what came before is not to be used.
        """
        wanted = Wanted(box=Box(0, 0, 1, 1))
        with self._open_image(file_name, size, wanted, self.max_bytes) as found:
            if isinstance(found, str):
                return
            try:
                yield from found.bands(pixels, margin)
            except Exception:  # decoders raise whatever they like on a broken file
                yield None

    @contextmanager
    def _open_image(
        self, file_name: object, size: tuple[int, int] | None, wanted: Wanted, max_bytes: int
    ) -> Iterator[Pixels | str]:
        """Open a picture; yield a clause that says why not where it cannot be had."""
        (path, reason), stack = self._finder.find(file_name), ExitStack()
        found: Pixels | str = reason
        try:
            if path is not None:
                image, header = stack.enter_context(open_picture(path, self.max_pixels))
                if size is None or size in (header.stored, header.displayed):
                    displayed = size is None or size == header.displayed
                    wanted = replace(wanted, displayed=displayed)
                    found = Pixels(path, image, header, wanted, max_bytes)
                else:
                    found = _size_status(header, size)[1] or OTHER_SIZE
        except Exception as error:  # decoders raise whatever they like on a broken file
            found = self._why(file_name, error)
        with stack:
            yield found

    def _why(self, file_name: object, error: Exception) -> str:
        path, reason = self._finder.find(file_name)
        return reason if path is None else problem(path, error)[1]


def names_and_sizes(images: pd.DataFrame) -> list[tuple[object, tuple[int, int]]]:
    """Return (file name, (height, width)) of each row; a missing name stays what it is."""
    heights, widths = images["height"].to_numpy(), images["width"].to_numpy()
    sizes = [(int(h), int(w)) for h, w in zip(heights, widths, strict=True)]
    return list(zip(images["file_name"].to_numpy(object), sizes, strict=True))


def worse_status(known: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return ``status`` and ``status_detail`` of whichever of two frames says the graver.

    Args:
        known: May lack the columns; wins where both say the same.
        found: Same index.
    """
    if "status" not in known.columns:
        return found
    order = {word: place for place, word in enumerate(IMAGE_STATUSES)}
    keep = known["status"].map(order).to_numpy() <= found["status"].map(order).to_numpy()
    both = {
        column: [a if k else b for k, a, b in zip(keep, known[column], found[column], strict=True)]
        for column in ("status", "status_detail")
    }
    return pd.DataFrame(both, index=known.index).astype(STRING)


def _size_status(header: ImageHeader, size: tuple[int, int]) -> tuple[str, str]:
    """Compare the declared size with the stored and the displayed one."""
    stored = f"{header.width} x {header.height} px"
    declared = f"{size[1]} x {size[0]} px"
    given = min(size) >= 1
    if given and size not in (header.stored, header.displayed):
        what = SWAPPED if size == header.stored[::-1] else OTHER_SIZE
        return "size_mismatch", f"{what} (picture {stored}, declared {declared})"
    if header.orientation == 1:
        return "ok", header.bands
    detail = f"its EXIF orientation is {header.orientation}"
    if header.stored == header.displayed:
        return "exif_rotated", f"{detail}: masks may belong to it as stored or as displayed"
    if given:
        frame = "stored" if size == header.stored else "displayed"
        detail += f": stored as {stored}, displayed turned; declared is the size as {frame}"
    return "exif_rotated", detail
