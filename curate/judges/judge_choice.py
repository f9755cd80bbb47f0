"""Choice of the masks that a judge is asked about, and the keys by which answers are known."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from curate.common import files
from curate.common.arrays import IntArray
from curate.images import ImageFolder
from curate.judges.protocol import VERSION
from curate.pipeline.deciding import scatter_ids
from curate.store.audit import StoredAudit
from curate.store.audit_sql import column_types, population_sql
from curate.store.known_pictures import known_pictures
from curate.store.rows_by_id import rows_of

CHUNK = 512
"""Masks whose run lengths are in memory at a time."""

_PIECE = 1 << 20  # bytes of a picture that are read at a time

_COLUMNS = ("image_id", "file_name", "category", "height", "width", "segmentation")
_BOX = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")


@dataclass(frozen=True)
class MaskChoice:
    """Masks to ask about.

    Attributes:
        ids: Their ids, in the order in which they are asked about.
        candidates: How many masks could be asked about.
        without_picture: How many more could be, but for their picture, which is not there.
    """

    ids: IntArray
    candidates: int
    without_picture: int


def choose_masks(
    audit: StoredAudit, folder: Path, budget: int, order: str, reviewed: pd.Index[int]
) -> MaskChoice:
    """Choose masks to ask about: the first of an order, so that a larger budget adds to a smaller.

    Args:
        audit: The audit.
        folder: The folder of its pictures.
        budget: How many, at most.
        order: One of :data:`curate.common.ranges.JUDGE_ORDERS`.
        reviewed: Masks that people decided on.
    """
    types = column_types(audit)
    place = "rank" if "rank" in types else "mask_id"
    rows = audit.query(
        f"select mask_id, file_name, {place} as place from masks where {population_sql(types)}"
    )
    known = {name for name, path in known_pictures(audit, folder).items() if path}
    pictured = rows["file_name"].isin(known).to_numpy()
    ids, places = rows["mask_id"].to_numpy(np.int64), rows["place"].to_numpy(np.int64)
    wanted = np.isin(ids, reviewed) if order == "reviewed" else np.ones(len(ids), np.bool_)
    by = places if order == "rank" else scatter_ids(ids)
    rows_kept = np.flatnonzero(pictured & wanted)
    first = rows_kept[np.argsort(by[rows_kept], kind="stable")][:budget]
    return MaskChoice(ids[first], len(rows_kept), int((wanted & ~pictured).sum()))


def read_chosen(audit: StoredAudit, ids: IntArray) -> Iterator[pd.DataFrame]:
    """Yield masks in the order of their ids' list, some at a time, with run lengths and boxes."""
    for at in range(0, len(ids), CHUNK):
        some = ids[at : at + CHUNK]
        yield (
            rows_of(audit, "masks", "mask_id", some, (*_COLUMNS, *_BOX))
            .set_index("mask_id")
            .loc[some]
        )


class KeyMaker:
    """Hashes of all that a judge sees of a mask.

    Args:
        folder: The folder of the pictures.
    """

    def __init__(self, folder: ImageFolder) -> None:
        self._folder = folder
        self._digests: dict[str, str] = {}

    def key(self, row: Mapping[str, object]) -> str:
        """Return the key of a mask, "" where its picture cannot be read.

        Args:
            row: Its file name, category, size and run lengths.
        """
        picture = self._digest(str(row["file_name"]))
        if not picture:
            return ""
        category = row["category"]
        stated = category if isinstance(category, str) else ""
        said = f"{VERSION}\0{picture}\0{row['height']}x{row['width']}\0{stated}\0"
        counts = row["segmentation"]
        assert isinstance(counts, bytes)
        return hashlib.blake2b(said.encode() + counts, digest_size=16).hexdigest()

    def _digest(self, name: str) -> str:
        """Return the hash of a picture's bytes; "" where they cannot be read."""
        if name not in self._digests:
            path, found = self._folder.find(name), ""
            if path is not None:
                try:
                    with files.open_to_read(path) as file:
                        digest = hashlib.blake2b(digest_size=16)
                        while piece := file.read(_PIECE):
                            digest.update(piece)
                    found = digest.hexdigest()
                except OSError:
                    found = ""
            self._digests[name] = found
        return self._digests[name]
