"""Names of the files that are written for images: safe as paths, each once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

import numpy as np

from curate.dataset.image_names import normalise
from curate.dataset.version_id import PICTURE_ENDINGS
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage

_LONGEST = 200
"""Most bytes of one part of a path: file systems take 255, and endings come behind."""


def without_ending(name: str) -> str:
    """Return a name without the ending of a picture."""
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in PICTURE_ENDINGS else name


def ending_of(image: FinalImage) -> str:
    """Return the ending of an image's picture, or of its name; "" where it has none."""
    if image.picture is not None:
        return image.picture.suffix
    return image.file_name[len(without_ending(image.file_name)) :]


class ImageNames:
    """Names of files for the images of a dataset.

    A name is the image's own as far as it can be a path under the output. Where two images would
    have one name but for its ending, theirs get the folders before them, and the images' ids.

    Args:
        dataset: The dataset.
        flat: Whether names may have no folders.
        reserved: Names that no folder or file may have, without endings.
        is_allowed: Whether a file may have a name, without ending; else it gets "_" behind it.
    """

    def __init__(
        self,
        dataset: FinalDataset,
        *,
        flat: bool = False,
        reserved: frozenset[str] = frozenset(),
        is_allowed: Callable[[str], bool] = bool,
    ) -> None:
        self._flat, self._reserved, self._is_allowed = flat, reserved, is_allowed
        hashes = [_hash(self._short(image)) for image in dataset.images(with_masks=False)]
        values, counts = np.unique(np.array(hashes, np.uint64), return_counts=True)
        self._all, self._twice = values, values[counts > 1]

    def find_losses(self, image: FinalImage) -> Iterator[Loss]:
        """Find whether an image gets another name; its ``file_name`` is the new one then."""
        name = self._unique(image) + ending_of(image)
        if name != image.file_name:
            yield Loss("image name", None, name, {"file_name": name})

    def _short(self, image: FinalImage) -> str:
        path = self._safe(image)
        return path.rpartition("/")[2] if self._flat else path

    def _unique(self, image: FinalImage) -> str:
        short = self._short(image)
        if not _is_in(short, self._twice):
            return short
        long = f"{self._safe(image).replace('/', '_') if self._flat else short}_{image.image_id}"
        while _is_in(long, self._all):
            long += "_"
        return long

    def _safe(self, image: FinalImage) -> str:
        """Return an image's name as a path without ending, that leads nowhere else."""
        name = without_ending(image.file_name)
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "://" in name:
            path = PurePosixPath(without_ending(normalise(image.file_name)))
        parts = [self._part(part) for part in path.parts if part not in ("", ".", "..", "/")]
        made = "/".join(parts) or f"image_{image.image_id}"
        return made if self._is_allowed(made.rpartition("/")[2]) else f"{made}_"

    def _part(self, part: str) -> str:
        clean = "".join(c if c.isprintable() else "_" for c in part)
        while len(clean.encode("utf-8", "replace")) > _LONGEST:
            clean = clean[:-1]
        return f"{clean}_" if clean.lower() in self._reserved else clean


def _hash(name: str) -> int:
    made = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(made.digest(), "little")


def _is_in(name: str, values: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> bool:
    at = int(np.searchsorted(values, np.uint64(_hash(name))))
    return at < len(values) and int(values[at]) == _hash(name)
