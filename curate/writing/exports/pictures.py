"""Pictures of images, copied or linked into an output."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from curate.common import files
from curate.errors import CallError
from curate.formats.format import convert_read_errors
from curate.writing.exports.export import Writer
from curate.writing.final_dataset import FinalImage

_NO_LINK = (errno.EXDEV, errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)


def with_pictures(images: Iterable[FinalImage], writer: Writer, out: Path) -> Iterator[FinalImage]:
    """Yield images, the picture of each put into the output before, if that is asked for.

    Raises:
        CallError: Pictures cannot be linked, since they are on another disk.
        SourceError: A picture cannot be read.
    """
    options = writer.options
    for image in images:
        place = writer.picture_place(image) if options.puts_pictures else None
        if place is not None and image.picture is not None:
            _put(image.picture.resolve(), out / place, options.pictures == "copy")
        yield image


def _put(picture: Path, target: Path, copied: bool) -> None:
    if os.path.lexists(target):
        return  # two images of one name, of which both have this picture
    files.mkdir(target.parent, parents=True, exist_ok=True)
    if copied:
        with convert_read_errors(picture):
            files.copy_bytes(picture, target)
        return
    try:
        files.link(picture, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        what = "it cannot be linked to where the dataset is written"
        do = "write to the same disk, or use --images copy"
        raise CallError(what, str(picture), do) from error
