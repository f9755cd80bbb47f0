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
class AnsweredMasks:
    """Masks of an audit that a judge has answered about, whatever they were chosen by.

    Attributes:
        current: Their ids; what the judge saw of them is as it was.
        outdated: Ids of more, whose picture, category or run lengths have changed since.
    """

    current: IntArray
    outdated: IntArray

    @property
    def count(self) -> int:
        """How many masks have an answer."""
        return len(self.current) + len(self.outdated)


_NONE = np.empty(0, np.int64)
NOTHING_ANSWERED = AnsweredMasks(_NONE, _NONE)


@dataclass(frozen=True)
class MaskChoice:
    """Masks to ask about.

    Attributes:
        ids: Their ids, in the order in which they are asked about.
        candidates: How many masks could be asked about, those with an answer among them.
        without_picture: How many more could be, but for their picture, which is not there.
        answered: How many masks of the audit have a current answer, and are not among ``ids``.
        budget: How many masks are to have an answer, at most.
    """

    ids: IntArray
    candidates: int
    without_picture: int
    answered: int = 0
    budget: int = 0


def list_candidates(audit: StoredAudit, folder: Path) -> pd.DataFrame:
    """Return the masks that a judge could be asked about.

    Returns:
        A row a mask: ``mask_id``, ``place`` (its rank, or its id where nothing is ranked) and
        ``pictured`` (whether its picture is there).
    """
    types = column_types(audit)
    place = "rank" if "rank" in types else "mask_id"
    rows = audit.query(
        f"select mask_id, file_name, {place} as place from masks where {population_sql(types)}"
    )
    known = {name for name, path in known_pictures(audit, folder).items() if path}
    rows["pictured"] = rows["file_name"].isin(known)
    return rows.drop(columns="file_name")


def choose_masks(
    audit: StoredAudit,
    folder: Path,
    budget: int,
    order: str,
    reviewed: pd.Index[int],
    answered: AnsweredMasks = NOTHING_ANSWERED,
) -> MaskChoice:
    """Choose masks to ask about: the first of an order that have no answer.

    There are never more masks with an answer than the budget allows, whatever the orders of
    earlier calls were.

    Args:
        audit: The audit.
        folder: The folder of its pictures.
        budget: How many masks are to have an answer, at most, those that have one among them.
        order: One of :data:`curate.common.ranges.JUDGE_ORDERS`.
        reviewed: Masks that people decided on.
        answered: Masks that have an answer; outdated ones are asked about again.
    """
    rows = list_candidates(audit, folder)
    pictured = rows["pictured"].to_numpy(np.bool_)
    ids, places = rows["mask_id"].to_numpy(np.int64), rows["place"].to_numpy(np.int64)
    wanted = np.isin(ids, reviewed) if order == "reviewed" else np.ones(len(ids), np.bool_)
    by = places if order == "rank" else scatter_ids(ids)
    open_rows = np.flatnonzero(pictured & wanted & ~np.isin(ids, answered.current))
    sorted_ids = ids[open_rows[np.argsort(by[open_rows], kind="stable")]]
    again = np.isin(sorted_ids, answered.outdated)  # no more masks have an answer thereafter
    allowed = sorted_ids[again | (np.cumsum(~again) <= budget - answered.count)]
    return MaskChoice(
        allowed[: max(0, budget - len(answered.current))],
        int((pictured & wanted).sum()),
        int((wanted & ~pictured).sum()),
        len(answered.current),
        budget,
    )


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
