"""Subset of masks that was exported, by named draws, by the best fitting draw, or by a file.

Every mask that goes out says for which draw and person it does, so the exported masks are the
masks of all draws that came back. Where a tool has lost that, it is found out, or asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.common import files
from curate.common.arrays import BoolArray, IntArray
from curate.errors import CallError, SourceError
from curate.formats.reading import dataset_path, detect
from curate.people.reviews.review_file import Reviews, has_reviews

_MIN_SHARE = 0.5
"""Least share of a queue's masks that a draw must hold to be the one it was made of."""


@dataclass(frozen=True)
class ExportedMasks:
    """The masks that were exported, in which people could have changed anything.

    Attributes:
        ids: Their ids, sorted; None for all of the audit.
        sure: Whether that is known, rather than taken for granted.
        lost: Masks that a tool lost, so that nothing follows from their absence.
        draws: The draw that each was shown for, by ``mask_id``, where that is known.
        ids_kept: Whether the tool keeps the ids of masks, so that no other ones stand for them.
    """

    ids: IntArray | None = None
    sure: bool = False
    lost: IntArray | None = None
    draws: pd.Series[Any] | None = None
    ids_kept: bool = False

    def among(self, ids: pd.Series[Any]) -> BoolArray:
        """Return which of some masks were exported, shape (n,)."""
        numbers = ids.to_numpy(np.int64)
        given = np.isin(numbers, numbers if self.ids is None else self.ids)
        if self.lost is not None:
            given &= ~np.isin(numbers, self.lost)
        return np.asarray(given, np.bool_)

    @property
    def scope(self) -> str:
        """A name for the exported subset; "" for the whole dataset."""
        if self.draws is not None:
            return name_draws(self.draws.dropna().unique().tolist())
        if self.ids is None:
            return ""
        return f"masks {blake2b(self.ids.tobytes(), digest_size=4).hexdigest()}"

    def add_draws(self, decisions: pd.DataFrame) -> pd.DataFrame:
        """Return decisions with the draw that each mask was shown for, where it is known.

        Who corrects a whole dataset was shown its masks for no draw, though some stand in one.
        """
        if self.draws is None:
            whole = self.ids is None and len(decisions)
            return decisions.assign(queue_kind="none") if whole else decisions
        draws = self.draws.reindex(decisions["mask_id"]).astype("Int64")
        return decisions.assign(draw_id=draws.array)


def name_draws(draws: Iterable[int]) -> str:
    """Return a name for some draws."""
    return ", ".join(f"draw {number}" for number in sorted(set(draws)))


def find_named_draws(reviews: Reviews, named: pd.DataFrame) -> ExportedMasks | None:
    """Return the exported masks by the draws that a file names: the union of these.

    A draw counts where at least half of the masks that name it stand in it: numbers of draws are
    those of one audit, and a copy of it may have other draws under the same ones.

    Args:
        reviews: The audit's decisions and draws.
        named: ``mask_id``, ``draw_id`` and ``slot`` of masks that say why they were shown.

    Returns:
        The exported masks; None where no draw is named that is recorded here.
    """
    recorded = _draw_numbers(reviews)
    found: list[pd.DataFrame] = []
    for (draw_id, slot), masks in named.groupby(["draw_id", "slot"])["mask_id"]:
        if draw_id not in recorded:
            continue
        rows = reviews.read_draw(int(draw_id))
        here = rows.loc[rows["slot"] == slot, ["mask_id"]].astype("int64").drop_duplicates()
        if 2 * masks.isin(here["mask_id"]).sum() >= len(masks):
            found.append(here.assign(draw_id=int(draw_id)))
    if not found:
        return None
    given = pd.concat(found, ignore_index=True)
    of_named = named[["mask_id", "draw_id"]].merge(given)  # a mask in two draws is of its own one
    every = pd.concat([given.assign(own=False), of_named.assign(own=True)])
    best = every.sort_values(["own", "draw_id"]).drop_duplicates("mask_id", keep="last")
    draws = best.set_index("mask_id").sort_index()["draw_id"]
    return ExportedMasks(draws.index.to_numpy(np.int64), True, draws=draws)


def find_matching_draw(reviews: Reviews, ids: IntArray, name: str) -> ExportedMasks:
    """Return the exported masks of a queue: those of the smallest draw that holds it.

    Args:
        reviews: The audit's decisions and draws.
        ids: Masks that stand in what came back, sorted.
        name: Its file's name, for messages.

    Raises:
        SourceError: No draw fits, or several do, and not one within the other.
    """
    do = "name the exported subset: --exported FILE, or the number of the draw"
    holding = _rank_draws(reviews, ids)
    if not holding or holding[0][0] < _MIN_SHARE:
        what = "it is a queue, so what is missing from it may never have been shown"
        raise SourceError(what, name, do)
    share, draw_id, masks = holding[0]
    rest = np.setdiff1d(ids, masks)
    for as_much, other, more in holding[1:]:
        apart = as_much == share and not np.isin(masks, more).all()
        if apart or np.isin(rest, more).any():
            what = f"it may be of draw {draw_id}, of draw {other}, or of both"
            raise SourceError(what, name, do)
    return ExportedMasks(masks, draws=_draw_column(masks, draw_id))


def read_exported(
    reviews: Reviews, exported: Path | int, ids_of: Callable[[Path], IntArray]
) -> ExportedMasks:
    """Return the masks of a file or a draw; all of them for the audit's source.

    Args:
        reviews: The audit's decisions and draws.
        exported: A file, or the number of a draw.
        ids_of: Reads the masks of a file.

    Raises:
        CallError: There is no such draw.
    """
    if isinstance(exported, int):
        masks = _masks_of_draw(reviews, exported)[0]
        return ExportedMasks(masks, True, draws=_draw_column(masks, exported))
    if _is_source(reviews, exported):
        return ExportedMasks(None, True)
    return ExportedMasks(ids_of(exported), True)


def read_dataset_ids(path: Path) -> IntArray:
    """Return the ids of all masks of a dataset, sorted."""
    path = dataset_path(path)
    found = detect(path)
    with files.scratch() as work:
        ids = [
            found.load(path, part).masks.index.to_numpy(np.int64) for part in found.plan(path, work)
        ]
    return np.unique(np.concatenate([np.empty(0, np.int64), *ids]))


def _is_source(reviews: Reviews, path: Path) -> bool:
    """Return whether a path is what the audit was made of."""
    source = reviews.audit.info.source.get("path")
    return source is not None and Path(source).resolve() == path.resolve()


def _masks_of_draw(reviews: Reviews, draw_id: int) -> list[IntArray]:
    """Return the masks of a draw: all of them, and those for a second person, if there are any."""
    if not has_reviews(reviews.audit):
        raise CallError(f"there is no draw {draw_id}", "--exported")
    rows = reviews.read_draw(draw_id)
    masks = rows["mask_id"].to_numpy(np.int64)
    second = np.unique(masks[rows["slot"].to_numpy(np.int64) == 1])
    return [np.unique(masks), *([second] if len(second) else [])]


def _draw_numbers(reviews: Reviews) -> list[int]:
    """Return the numbers of the draws that are recorded, oldest first."""
    return reviews.draws()["draw_id"].tolist() if has_reviews(reviews.audit) else []


def _draw_column(masks: IntArray, draw_id: int) -> pd.Series[Any]:
    return pd.Series(draw_id, index=pd.Index(masks, dtype="int64"), dtype="int64")


def _rank_draws(reviews: Reviews, ids: IntArray) -> list[tuple[float, int, IntArray]]:
    """Return for each draw the share of some masks that it holds, its number and its masks.

    Those that hold most come first, of these the smallest, and of equals the last. Of a draw with a
    second person's masks these are one by themselves too.
    """
    found: list[tuple[float, int, IntArray]] = []
    for draw_id in _draw_numbers(reviews) if len(ids) else []:
        for masks in _masks_of_draw(reviews, draw_id):
            share = float(np.isin(ids, masks).mean())
            if share > 0:
                found.append((share, draw_id, masks))
    return sorted(found, key=lambda one: (-one[0], len(one[2]), -one[1]))
