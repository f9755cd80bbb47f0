"""Mechanical fixes of masks: small islands dropped, small holes filled, parts split, masks merged.

Each takes masks as run lengths, and says which of them become others. Nothing is drawn: pixels are
only taken away where a small part stands, and only added where the mask encloses them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow.compute as pc

from curate.common.arrays import BoolArray, IntArray
from curate.errors import CallError
from curate.rle import Runs, concat, encode_counts, holes, measure, merge, parts


@dataclass(frozen=True)
class MechanicalFix:
    """What is to be done with masks; at least one of these.

    Attributes:
        drop_islands: Parts of fewer pixels are removed; the largest part of a mask always stays.
        fill_holes: Holes of fewer pixels are filled.
        split: Each part becomes a mask of its own; the largest keeps the id.
        merge: Masks of one image and category become one; the largest keeps the id.
        restate: The stored box and area are made those of the pixels, and a polygon ends at the
            border of the image; the pixels stay.
    """

    drop_islands: int | None = None
    fill_holes: int | None = None
    split: bool = False
    merge: bool = False
    restate: bool = False

    def check(self) -> None:
        """Check that something is to be done, and that its parts go together.

        Raises:
            CallError: Nothing is, or masks are to be split and merged at once.
        """
        names = [one.name.replace("_", "-") for one in fields(self)]
        if not any(getattr(self, one.name) not in (None, False) for one in fields(self)):
            raise CallError("nothing is to be fixed", do=f"give one of --{', --'.join(names)}")
        if self.split and self.merge:
            raise CallError("masks cannot be split and merged at once", "--split, --merge")

    def describe(self) -> str:
        """Return it in words."""
        said = [
            *([f"drop islands under {self.drop_islands} px"] if self.drop_islands else []),
            *([f"fill holes under {self.fill_holes} px"] if self.fill_holes else []),
            *(["split parts"] if self.split else []),
            *(["merge"] if self.merge else []),
            *(["restate box and area"] if self.restate else []),
        ]
        return ", ".join(said)


@dataclass(frozen=True)
class FixedMasks:
    """Masks after a fix.

    Attributes:
        masks: n masks, those that stay under their ids.
        changed: Shape (n,): which of them have other pixels now.
        removed: Shape (n,): which of them became part of another one.
        added: m masks that are new.
        parents: Shape (m,): the mask that each new one was a part of.
    """

    masks: Runs
    changed: BoolArray
    removed: BoolArray
    added: Runs
    parents: IntArray


def fix_masks(masks: Runs, groups: IntArray, how: MechanicalFix) -> FixedMasks:
    """Fix masks.

    Args:
        masks: n masks.
        groups: Shape (n,): masks of one group are merged, if any are.
        how: What is to be done.

    Returns:
        The masks; one without a pixel stays as it is.
    """
    before, removed = masks, np.zeros(len(masks), np.bool_)
    added, parents = masks[:0], np.zeros(0, np.int64)
    if how.drop_islands:
        masks = drop_islands(masks, how.drop_islands)
    if how.fill_holes:
        masks = fill_holes(masks, how.fill_holes)
    if how.split:
        masks, added, parents = _split(masks)
    if how.merge:
        masks, removed = _merge(masks, groups)
    same = pc.equal(encode_counts(before), encode_counts(masks))
    changed = ~np.asarray(same.to_numpy(zero_copy_only=False), np.bool_)
    return FixedMasks(masks, changed & ~removed, removed, added, parents)


def drop_islands(masks: Runs, under_px: int) -> Runs:
    """Remove the 8-connected parts of fewer than ``under_px`` pixels; the largest always stays."""
    found = parts(masks)
    kept = (measure(found.masks)[0] >= under_px) | _largest(found.masks, found.rows)
    gone = np.unique(found.rows[~kept])
    own = found.masks[kept]
    return _replace(masks, {int(row): own[found.rows[kept] == row] for row in gone})


def fill_holes(masks: Runs, under_px: int) -> Runs:
    """Fill the 4-connected holes of fewer than ``under_px`` pixels."""
    found = parts(holes(masks), connectivity=4)
    small = measure(found.masks)[0] < under_px
    rows = np.unique(found.rows[small])
    return _replace(
        masks,
        {
            int(row): concat([masks[row : row + 1], found.masks[small & (found.rows == row)]])
            for row in rows
        },
    )


def _split(masks: Runs) -> tuple[Runs, Runs, IntArray]:
    found = parts(masks)
    first = _largest(found.masks, found.rows)
    several = np.bincount(found.rows, minlength=len(masks)) > 1
    rows = found.rows
    kept = _replace(
        masks, {int(rows[k]): found.masks[k : k + 1] for k in np.flatnonzero(first & several[rows])}
    )
    return kept, found.masks[~first], rows[~first]


def _merge(masks: Runs, groups: IntArray) -> tuple[Runs, BoolArray]:
    first = _largest(masks, groups)
    own = {int(row): np.flatnonzero(groups == groups[row]) for row in np.flatnonzero(first)}
    return _replace(masks, {row: masks[some] for row, some in own.items() if len(some) > 1}), ~first


def _largest(masks: Runs, groups: IntArray) -> BoolArray:
    """Return which mask is the largest of its group; of equal ones the first."""
    order = np.lexsort((np.arange(len(groups)), -measure(masks)[0], groups))
    firsts = np.append(True, groups[order][1:] != groups[order][:-1])[: len(groups)]
    found = np.zeros(len(groups), np.bool_)
    found[order[firsts]] = True
    return found


def _replace(masks: Runs, pieces: dict[int, Runs]) -> Runs:
    """Return masks, some of which are the union of others now."""
    places = np.arange(len(masks))
    places[list(pieces)] = len(masks) + np.arange(len(pieces))
    return concat([masks, *map(merge, pieces.values())])[places]
