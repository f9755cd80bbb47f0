"""Version id of a dataset: a hash of its content, the same in every format.

Two datasets have the same id where they have the same images (name and size) with the same masks
(pixels and category), whatever the order, the ids, the spelling of the run lengths, the scores and
all other fields:

- An image's name is its base name without the ending of a picture, since formats spell paths
  differently. An image without a name goes by its id; so does one that is named by nothing but the
  file or folder that is the dataset, since a copy elsewhere holds the same.
- A mask is its run lengths in the one spelling that equal pixels have. Masks that are empty or
  cannot be read count as masks without pixels.
- A category is its name, or its number where the dataset does not name it, or nothing.

The digests of images are added up modulo 2**512, each expanded to 64 bytes first, so that neither
the order matters nor how much is in memory at a time; equal images count as often as they are
there. Everything is BLAKE2b of :mod:`hashlib`.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import AnyArray
from curate.dataset.table import MaskTable
from curate.rle import Runs

PICTURE_ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jp2", ".mpo", ".tif", ".tiff"),
    *(".bmp", ".webp", ".gif", ".avif", ".heic", ".ppm", ".pgm", ".dng"),
)
"""What is cut off the end of an image's name, in lower case."""

_DIGEST_BYTES = 16
_SUM_BITS = 512
_IMAGE = b"curate image "
_DATASET = b"curate dataset 1 "  # another number whenever equal datasets get another id


class VersionHash:
    """Adds up the digests of images, part by part, in any order and bounded memory."""

    def __init__(self) -> None:
        self._sum = self._count = 0

    def update(self, digests: Iterable[str]) -> None:
        """Take in digests as :func:`image_digests` gives them, each image once."""
        for digest in digests:
            expanded = hashlib.blake2b(_IMAGE + bytes.fromhex(digest)).digest()
            self._sum += int.from_bytes(expanded, "little")
            self._count += 1
        self._sum %= 1 << _SUM_BITS

    def state(self) -> str:
        """Return the state as text, for :meth:`merge` of another one."""
        return f"{self._count:x} {self._sum:x}"

    def merge(self, state: str) -> None:
        """Take in what another one has taken in, by its :meth:`state`."""
        count, total = (int(number, 16) for number in state.split())
        self._count += count
        self._sum = (self._sum + total) % (1 << _SUM_BITS)

    def hexdigest(self) -> str:
        """Return the id of what was taken in so far, 32 hex digits."""
        stated = self._sum.to_bytes(_SUM_BITS // 8, "little") + self._count.to_bytes(16, "little")
        return hashlib.blake2b(_DATASET + stated).hexdigest()[: 2 * _DIGEST_BYTES]


def version_of(parts: Iterable[MaskTable]) -> str:
    """Return the id of a dataset from its parts; an image and all its masks are in one part."""
    made = VersionHash()
    for table in parts:
        made.update(image_digests(table.masks, table.images, table.runs))
    return made.hexdigest()


def image_digests(masks: pd.DataFrame, images: pd.DataFrame, runs: Runs) -> pd.Series[str]:
    """Return a digest of each image: of its name, its size and its masks.

    Args:
        masks: n masks with ``image_id``, ``category``, ``height``, ``width``, and ``category_id``
            where there is one.
        images: Index ``image_id``, with ``file_name``, ``height``, ``width``.
        runs: The n masks' runs.

    Returns:
        32 hex digits an image, index ``image_id``: the images in their order, then those that only
        masks name.
    """
    images = add_unlisted(masks, images)
    index = pd.Index(images.index)
    at = index.get_indexer(masks["image_id"])
    digests = _mask_digests(masks, runs)
    order = np.lexsort((digests[:, 1], digests[:, 0], at))
    ordered = digests[order].tobytes()
    bounds = np.searchsorted(at[order], np.arange(len(index) + 1)) * _DIGEST_BYTES
    rows = zip(
        bounds[:-1].tolist(),
        bounds[1:].tolist(),
        images["height"].tolist(),
        images["width"].tolist(),
        map(_encode_image, images["file_name"].tolist(), index.tolist()),
        strict=True,
    )
    made = [
        hashlib.blake2b(b"%d %d %d " % (h, w, j - i) + ordered[i:j] + name).hexdigest()
        for i, j, h, w, name in rows
    ]
    cut = [digest[: 2 * _DIGEST_BYTES] for digest in made]
    return pd.Series(cut, index=index.rename("image_id"), dtype="str")


def add_unlisted(masks: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Return the images with those behind them that only masks name: a row each, without a name.

    Args:
        masks: ``image_id``, ``height`` and ``width``.
        images: Index ``image_id``.

    Returns:
        ``file_name`` ("" where there is none, or only the dataset's place gives one), ``height``
        and ``width``.
    """
    listed = images[["file_name", "height", "width"]]
    if "named_by_place" in images:
        placed = images["named_by_place"].fillna(False).astype(bool)
        listed = listed.assign(file_name=listed["file_name"].where(~placed, ""))
    unlisted = masks.loc[~masks["image_id"].isin(images.index), ["image_id", "height", "width"]]
    if not len(unlisted):
        return listed
    extra = unlisted.drop_duplicates("image_id").set_index("image_id").assign(file_name="")
    return pd.concat([listed, extra.astype({"file_name": listed["file_name"].dtype})])


def plain_name(file_name: str) -> str:
    """Return an image's base name without a picture's ending, in one Unicode form (NFC)."""
    name = file_name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    stem, dot, ending = name.rpartition(".")
    if stem and (dot + ending).lower() in PICTURE_ENDINGS:
        name = stem
    return normalize_text(name)


def normalize_text(text: str) -> str:
    """Return text in one Unicode form (NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _encode_image(file_name: Any, number: int) -> bytes:
    """Return the bytes for an image in a version hash: its normalised name, else its id."""
    name = plain_name(file_name) if isinstance(file_name, str) else ""
    return f"name {name}".encode() if name else b"id %d" % number


def _mask_digests(masks: pd.DataFrame, runs: Runs) -> AnyArray:
    """Return each mask's digest as two big-endian numbers, shape (n, 2)."""
    # Sorted runs that do not touch: equal pixels have equal positions.
    text = np.stack([runs.starts, runs.ends], axis=1).astype("<i4").tobytes()
    bounds = (8 * runs.offsets).tolist()
    made = [
        hashlib.blake2b(category + text[i:j]).digest()
        for category, i, j in zip(_categories(masks), bounds[:-1], bounds[1:], strict=True)
    ]
    return np.frombuffer(b"".join(made), ">u8").reshape(-1, 8)[:, :2]


def _categories(masks: pd.DataFrame) -> list[bytes]:
    """Return a digest of each mask's category."""
    codes, names = pd.factorize(masks["category"].to_numpy(object))
    spelled = [f"name {normalize_text(name)}" for name in names]
    if "category_id" in masks.columns and (codes < 0).any():
        numbers = masks["category_id"].astype("Int64")
        own, known = pd.factorize(numbers.where(pd.Series(codes < 0, index=masks.index)))
        codes = np.where(own >= 0, own + len(spelled), codes)
        spelled += [f"id {number}" for number in known.tolist()]
    spelled.append("none")
    digests = [hashlib.blake2b(text.encode()).digest()[:_DIGEST_BYTES] for text in spelled]
    return [digests[code] for code in codes.tolist()]
