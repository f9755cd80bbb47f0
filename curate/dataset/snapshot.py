"""Dataset snapshot for `diff`: canonical masks, version id, and which ids are the source's own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curate.common.arrays import BoolArray, IntArray
from curate.dataset.table import MASK_COLUMNS, MaskTable, concat
from curate.dataset.version_id import VersionHash, add_unlisted, image_digests
from curate.rle import area, encode_counts

_NUMBERED = (
    "sa1b",
    "cvat",
    "cvat-video",
    "fiftyone",
    "supervisely",
    "huggingface",
    "label-studio",
)
"""Formats whose readers number the masks of a part where some have no id of their own."""

_OF_SEVERAL_FILES = "coco-splits"  # in which an id may occur twice, and then all are numbered anew
_IDS = frozenset({"coco", "lvis", _OF_SEVERAL_FILES, *_NUMBERED})
_KEYS = {
    "amg": r"(?:^|/)(?P<own>[0-9]+)\.png$",
    "sav": r"#/(?P<own>masklet/.*)$",
    "png-folder": r"(?:^|/)(?P<own>[^/]+)$",
    "png-flat": r"(?:^|/)(?P<own>[^/]+)$",
    "label-png": r"#(?P<own>[0-9]+)$",
    "label-tiff": r"#(?P<own>[0-9]+)$",
    "label-npy": r"#(?P<own>[0-9]+)$",
}
"""What in a source key names a mask within its image and stays when others are removed."""


_USED = ("source_key", "image_id", "category", "file_name", "height", "width", "segmentation")
_KEY = os.urandom(32)  # so that nobody can make two masks that differ and have one digest


@dataclass(frozen=True)
class Snapshot:
    """All masks of a dataset at one time.

    Attributes:
        path: Where it was read, for people.
        format: The name of its format.
        version: Its version id, 32 hex digits.
        masks: Index ``mask_id``; ``source_key``, ``image_id``, ``category``, ``file_name``,
            ``height``, ``width``, ``segmentation`` (canonical counts, null without pixels),
            ``category_id`` where the source has it, ``identity``: what names the mask within its
            image and survives edits of other masks (string, null where nothing does), and
            ``digest``: of the pixels, equal for equal ones in this process (int64).
        images: Index ``image_id``, those that only masks name too; ``file_name``, ``height`` and
            ``width``.
    """

    path: str
    format: str
    version: str
    masks: pd.DataFrame
    images: pd.DataFrame

    @property
    def identities(self) -> str:
        """Kind of names that masks have; only names of an equal kind can be compared."""
        return "id" if self.format in _IDS else self.format


def take_snapshot(path: str, format: str, parts: Iterable[MaskTable]) -> Snapshot:
    """Gather the parts of a dataset in memory.

    Args:
        path: Where it was read, for people.
        format: The name of its format.
        parts: Its parts; an image and all its masks are in one.
    """
    version, kept, digests, masks_before = VersionHash(), [], [], 0
    for table in parts:
        version.update(image_digests(table.masks, table.images, table.runs))
        kept.append(_reduce_table(table, _has_own_id(table.masks, format, masks_before)))
        digests.append(_digest(kept[-1].masks["segmentation"]))
        masks_before += len(table)
    whole = concat(kept)
    masks = whole.masks
    own = masks["own_id"].to_numpy(bool) if kept else np.zeros(0, bool)
    if _numbered_anew(masks, format, kept):
        own = np.zeros(len(masks), np.bool_)
    optional = [name for name in ("category_id",) if name in masks.columns]
    masks = masks[[*_USED, *optional]].assign(
        identity=_identities(masks, format, own),
        digest=np.concatenate(digests) if digests else np.zeros(0, np.int64),
    )
    images = add_unlisted(masks, whole.images)
    return Snapshot(path, format, version.hexdigest(), masks, images)


def _reduce_table(table: MaskTable, own_id: BoolArray) -> MaskTable:
    """Return a table with canonical counts and without what nobody asks for here."""
    optional = [name for name in ("category_id",) if name in table.masks.columns]
    counts = pc.if_else(
        pa.array(np.asarray(area(table.runs)) > 0),
        encode_counts(table.runs),
        pa.scalar(None, pa.large_binary()),
    )
    masks = table.masks[[*MASK_COLUMNS, *optional]].assign(
        segmentation=pd.arrays.ArrowExtensionArray(counts), own_id=pd.array(own_id, dtype="boolean")
    )
    return MaskTable(masks, table.images)


def _digest(counts: pd.Series[Any]) -> IntArray:
    """Return a keyed hash of each mask's counts, 64 bit."""
    joined = b"".join(
        hashlib.blake2b(one or b"", digest_size=8, key=_KEY).digest()
        for one in pa.array(counts).to_pylist()
    )
    return np.frombuffer(joined, np.int64)


def _has_own_id(masks: pd.DataFrame, format: str, masks_before: int) -> BoolArray:
    """Return for each mask of a part whether its id is the source's own, not given by the reader.

    Where readers number all masks of a part anew, nothing says so. But then the ids are 0, 1, ...
    (or go on where the last part ended), and ids of the source that happen to be the same are taken
    for such. In one image of SA-1B ids are numbered anew only where one is not its own.
    """
    if format not in _IDS:
        return np.zeros(len(masks), np.bool_)
    own = ids_of_source(masks)
    ids = masks.index.to_numpy(np.int64)
    starts = {0, masks_before} if format in _NUMBERED else set()
    if len(ids) and int(ids[0]) in starts and (np.diff(ids) == 1).all():
        alone = format == "sa1b" and masks["image_id"].nunique() == 1 and ids[0] == 0
        if not (alone and own.all()):
            own[:] = False
    return own


def ids_of_source(masks: pd.DataFrame) -> BoolArray:
    """Return which masks have the id that their source gives them, as far as its reader says."""
    if "own_id" not in masks.columns:
        return np.ones(len(masks), np.bool_)
    # Parts of an audit in which all ids are the source's do not have the column.
    return masks["own_id"].fillna(True).to_numpy(np.bool_)


def _numbered_anew(masks: pd.DataFrame, format: str, parts: list[MaskTable]) -> bool:
    """Return whether one id stood in two parts, so that all masks were numbered from 0."""
    ids = masks.index.to_numpy(np.int64)
    if parts and not np.array_equal(np.concatenate([t.masks.index for t in parts]), ids):
        return True  # just now; in an audit it has happened before
    counted = np.array_equal(ids, np.arange(len(ids)))
    return counted and len(parts) > 1 and format in (*_NUMBERED, _OF_SEVERAL_FILES)


def _identities(masks: pd.DataFrame, format: str, own_id: BoolArray) -> pd.Series[str]:
    if format in _KEYS:
        found: pd.Series[str] = masks["source_key"].str.extract(_KEYS[format])["own"]
        return found
    ids = pd.Series(masks.index.to_numpy(), masks.index).astype(masks["source_key"].dtype)
    return ids.where(own_id)
