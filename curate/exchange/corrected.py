"""From a corrected dataset to decisions: what was left, changed, taken out and added.

A mask is found again by its id. One that stands there unchanged was accepted (a file in which all
do says nothing, unless people say that they went through it); a changed one was fixed, and a change
of category alone is a fix too (of IoU 1, so whoever asks only for good masks may still count it as
good); one that is gone, or has no pixel left, was rejected; what has an id that the audit does not
have was missing. Only images that stand in the corrected dataset were gone through: an image that
is left out of it was not looked at, so nothing follows for its masks. Where people were given only
some masks, nothing follows for the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curate.decisions.lookup import BoolArray, IntArray, canonical, decoded, pair_iou, rows_of
from curate.errors import SourceError
from curate.exchange.image_matching import Images
from curate.exchange.readers import Found, Options
from curate.rle import Runs, area
from curate.store import Audit
from curate.table import MaskTable

_OWN = ("mask_id", "image_id", "category", "height", "width", "segmentation")
_FEW = 10
"""Masks that may all be gone without a doubt whether people were shown them."""


@dataclass(frozen=True)
class Part:
    """Some whole images of a corrected dataset.

    Attributes:
        table: Its masks and images; the index of masks is the file's ids.
        fresh: Which masks have no id in the file.
        places: Where masks stand in the file, by id, where that says more than the id.
        pieces: Images of which only pieces were shown or understood, so they are not gone through
            as a whole.
    """

    table: MaskTable
    fresh: BoolArray
    places: Mapping[int, str] = field(default_factory=dict)
    pieces: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Shown:
    """Which masks people were given.

    Attributes:
        ids: Their ids, sorted; None for all of the audit.
        sure: Whether that is known, rather than taken for granted.
        lost: Masks that a tool lost, so that nothing follows from their absence.
        draws: The draw that each was shown for, by ``mask_id``, where that is known.
    """

    ids: IntArray | None = None
    sure: bool = False
    lost: IntArray | None = None
    draws: pd.Series[Any] | None = None

    def among(self, ids: pd.Series[Any]) -> BoolArray:
        """Return which of some masks were shown."""
        numbers = ids.to_numpy(np.int64)
        given = np.isin(numbers, numbers if self.ids is None else self.ids)
        if self.lost is not None:
            given &= ~np.isin(numbers, self.lost)
        return np.asarray(given, np.bool_)

    def explained(self, decisions: pd.DataFrame) -> pd.DataFrame:
        """Return decisions with the draw that each mask was shown for, where it is known."""
        if self.draws is None:
            return decisions
        draws = self.draws.reindex(decisions["mask_id"]).astype("Int64")
        return decisions.assign(draw_id=draws.array)


@dataclass
class _Tally:
    """What has been found so far, part by part."""

    decisions: list[pd.DataFrame] = field(default_factory=list)
    missing: list[pd.DataFrame] = field(default_factory=list)
    looked: list[IntArray] = field(default_factory=list)
    unmatched: list[pd.DataFrame] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def decisions_of(
    audit: Audit, parts: Iterable[Part], name: str, shown: Shown, options: Options
) -> Found:
    """Hold a corrected dataset against the audit's masks.

    Args:
        audit: The audit of the dataset as it was.
        parts: The corrected dataset, each image in one part only.
        name: Its file's name, for messages.
        shown: What people were given.
        options: What the caller knows of it.

    Raises:
        SourceError: It is of other images, its ids are not the audit's, a mask cannot be read, it
            may be a part of the dataset only, or nothing in it was changed; says which.
    """
    tally = _Tally()
    images = Images(audit, name)
    for part in parts:
        _take(_Side(audit, part, name, shown, options.same_iou), images, tally)
    looked = np.concatenate(tally.looked) if tally.looked else np.empty(0, np.int64)
    _check_whole(audit, tally, images, name, shown)
    if not options.all_looked:
        _check_touched(tally, name)
    empty = pd.DataFrame({"mask_id": np.empty(0, np.int64), "action": pd.Series([], dtype="str")})
    total = int(audit.info.get("counts", {}).get("images", 0))
    counts = tally.counts
    decided = pd.concat(tally.decisions, ignore_index=True) if tally.decisions else empty
    return Found(
        decisions=shown.explained(decided),
        missing=pd.concat(tally.missing, ignore_index=True) if tally.missing else None,
        looked=pd.DataFrame({"image_id": looked}),
        notes={
            "images of the audit that are not in it, so nobody looked at them": max(
                total - len(images.taken), 0
            ),
            "images in it that the audit does not have": counts["strange images"],
            "masks fixed in their category only": counts["renamed"],
            "masks found again under another id": counts["found again"],
            "masks without a readable pixel before and after": counts["unusable"],
            "new masks without a pixel": counts["new and empty"],
        },
        untouched=counts["accept"],
    )


@dataclass(frozen=True)
class _Side:
    """A part, and what it is held against."""

    audit: Audit
    part: Part
    name: str
    shown: Shown
    same_iou: float

    def where(self, mask_id: Any) -> str:
        """Name an annotation for a message."""
        return f"{self.name}, {self.place(mask_id)}"

    def place(self, mask_id: Any) -> str:
        """Say where an annotation stands in the file."""
        return self.part.places.get(int(mask_id), f"annotation {mask_id}")


def _take(side: _Side, images: Images, tally: _Tally) -> None:
    """Compare one part with the audit and note what follows."""
    new, table = _usable(side), side.part.table
    matched = images.match(table.images)
    tally.counts["strange images"] += len(table.images) - len(matched)
    new = new[new["image_id"].isin(matched.index)]
    new = new.assign(image_id=matched.reindex(new["image_id"]).to_numpy(np.int64))
    old = rows_of(side.audit, "masks", "image_id", matched.to_numpy(np.int64), _OWN)
    given = side.shown.among(old["mask_id"])
    partly = [*old["image_id"].to_numpy(np.int64)[~given].tolist(), *side.part.pieces]
    whole = ~np.isin(matched.to_numpy(np.int64), np.array(partly, np.int64))
    tally.looked.append(matched.to_numpy(np.int64)[whole])
    old = old[given].set_index("mask_id")
    pairs = new.index[new.index.isin(old.index) & ~new["fresh"].to_numpy(np.bool_)]
    moved = old.loc[pairs, "image_id"].to_numpy() != new.loc[pairs, "image_id"].to_numpy()
    if moved.any():
        raise _other_image(side.where(pairs[moved][0]))
    changed = _compare(side, old.loc[pairs], new.loc[pairs], tally)
    gone = old[~old.index.isin(pairs)]
    added = new[~new.index.isin(pairs) | new["fresh"].to_numpy(np.bool_)]
    tally.counts["paired"] += len(pairs)
    tally.counts["masks"] += len(old)
    again = _found_again(side, (old.loc[changed], gone), (new.loc[changed], added), tally)
    _note_added(side, added[~added.index.isin(again.to_numpy())], tally)
    _note(tally, gone.index[~gone.index.isin(again.index)], "reject")
    _note(tally, again.index, "accept")


def _other_image(where: str) -> SourceError:
    do = "ids must be the audit's; if a tool has numbered them anew, import its own export"
    return SourceError("it lies on another image than in the audit", where, do)


def _usable(side: _Side) -> pd.DataFrame:
    """Return the part's masks; refuse ids and images that cannot be told apart."""
    masks = side.part.table.masks.assign(fresh=side.part.fresh)
    for status, what in (
        ("duplicate_id", "its id stands twice"),
        ("unknown_image", "its image is not in the file"),
    ):
        bad = masks.index[(masks["status"] == status).to_numpy(np.bool_)]
        if len(bad):
            detail = masks["status_detail"].loc[bad[0]]
            raise SourceError(f"{what} ({detail})", side.where(bad[0]))
    return masks


def _runs(frame: pd.DataFrame) -> tuple[Runs, BoolArray]:
    """Return masks as runs, and which of them can be read."""
    heights, widths = (frame[side].to_numpy(np.int64) for side in ("height", "width"))
    runs, problems = decoded(frame["segmentation"], heights, widths)
    return runs, np.array([not problem for problem in problems], np.bool_)


def _compare(side: _Side, old: pd.DataFrame, new: pd.DataFrame, tally: _Tally) -> pd.Index[Any]:
    """Decide on masks that stand in both; return the ids of those that changed their pixels."""
    before, readable_before = _runs(old)
    after, readable = _runs(new)
    ids = old.index
    broken = readable_before & ~readable
    if broken.any():
        raise _unreadable(side, new, ids[broken][0])
    size_before, size = area(before), area(after)
    iou = pair_iou(before, after)
    iou[~readable_before] = np.nan
    nothing = (size == 0) & (size_before == 0)
    tally.counts["unusable"] += int(nothing.sum())
    erased = (size == 0) & ~nothing
    same = iou >= side.same_iou
    other = _differ(old["category"], new["category"])
    renamed = same & other
    tally.counts["renamed"] += int(renamed.sum())
    changed = ~same & ~erased & ~nothing
    masks = np.full(len(ids), None, object)
    masks[changed] = canonical(after[changed])
    _note(tally, ids[erased], "reject")
    _note(tally, ids[same & ~renamed], "accept", iou=iou[same & ~renamed])
    fixed = changed | renamed
    rows = [side.place(number) for number in ids[fixed].tolist()]
    said = new["category"].astype(object).where(other, None).to_numpy(object)
    columns = {"iou": iou[fixed], "segmentation": masks[fixed], "category": said[fixed]}
    _note(tally, ids[fixed], "fix", **columns, row=rows)
    kept: pd.Index[Any] = ids[changed]
    return kept


def _unreadable(side: _Side, new: pd.DataFrame, mask_id: Any) -> SourceError:
    row = new.loc[mask_id]
    return SourceError(
        f"its mask cannot be read ({row['status_detail'] or row['status']})", side.where(mask_id)
    )


def _differ(first: pd.Series[Any], second: pd.Series[Any]) -> BoolArray:
    """Return where two texts differ; one that is missing differs from none."""
    pairs = (pa.array(one.array, pa.large_string(), from_pandas=True) for one in (first, second))
    different = pc.fill_null(pc.not_equal(*pairs), False)
    return np.asarray(different.to_numpy(zero_copy_only=False), np.bool_)


def _note(tally: _Tally, ids: pd.Index[Any], action: str, **columns: Any) -> None:
    """Note the same action on some masks."""
    if not len(ids):
        return
    tally.counts[action] += len(ids)
    tally.decisions.append(
        pd.DataFrame({"mask_id": ids.to_numpy(np.int64), "action": action, **columns})
    )


def _note_added(side: _Side, added: pd.DataFrame, tally: _Tally) -> None:
    runs, readable = _runs(added)
    size = area(runs)
    broken = ~readable & (added["status"] != "no_segmentation").to_numpy(np.bool_)
    if broken.any():
        raise _unreadable(side, added, added.index[broken][0])
    full = size > 0
    tally.counts["new and empty"] += int((~full).sum())
    if not full.any():
        return
    kept = added[full]
    tally.unmatched.append(kept.loc[~kept["fresh"].to_numpy(np.bool_), ["image_id"]])
    frame = kept[["image_id", "category"]].reset_index(drop=True)
    frame["segmentation"] = pd.Series(canonical(runs[full]), dtype=object)
    frame["row"] = [side.place(number) for number in kept.index.tolist()]
    tally.missing.append(frame)


def _found_again(
    side: _Side,
    before: tuple[pd.DataFrame, pd.DataFrame],
    after: tuple[pd.DataFrame, pd.DataFrame],
    tally: _Tally,
) -> pd.Series[Any]:
    """Look for masks that are gone or changed under another id, equal to the pixel.

    Args:
        side: The part.
        before: Masks of the audit whose pixels changed, and masks that are gone.
        after: Masks of the file whose pixels changed, and masks that are new.
        tally: Counts how many stand under an id that another mask had.

    Returns:
        New ids by old ones, of masks that are gone and stand there as new ones.
    """
    old = pd.concat([_spelled(frame, "old", k) for k, frame in enumerate(before)])
    new = pd.concat([_spelled(frame, "new", k) for k, frame in enumerate(after)])
    same = old.merge(new, on=["image_id", "counts", "twin"])
    plain = (same["kind_old"] == 1) & (same["kind_new"] == 1)
    tally.counts["under another's id"] += int((~plain).sum())
    tally.counts["found again"] += int(plain.sum())
    return same[plain].set_index("old")["new"]


def _spelled(frame: pd.DataFrame, name: str, kind: int) -> pd.DataFrame:
    """Return ids, images and masks that equal each other where the pixels do; twins are counted."""
    runs, _ = _runs(frame)
    full = np.asarray(area(runs) > 0, np.bool_)
    spelled = pd.DataFrame(
        {
            name: frame.index.to_numpy(np.int64)[full],
            "image_id": frame["image_id"].to_numpy(np.int64)[full],
            "counts": pd.Series(canonical(runs[full]), dtype=object),
            f"kind_{name}": kind,
        }
    )
    return spelled.assign(twin=spelled.groupby(["image_id", "counts"]).cumcount())


def _check_touched(tally: _Tally, name: str) -> None:
    """See that somebody did something: else it may be the file that went out.

    Raises:
        SourceError: Nothing was changed, taken out or added.
    """
    counts = tally.counts
    if counts["fix"] or counts["reject"] or tally.missing or not counts["masks"]:
        return
    what = "nothing in it was changed, so it may be the file that went out"
    raise SourceError(what, name, "say --all-looked if people went through all of it")


def _check_whole(audit: Audit, tally: _Tally, images: Images, name: str, shown: Shown) -> None:
    """See that the dataset is one of the audit's, with the audit's ids, and all of it.

    Raises:
        SourceError: It is not, or that is in doubt.
    """
    counts = tally.counts
    if not images.taken:
        raise SourceError("none of its images is in the audit", name, f"audit: {audit.path.name}")
    doubtful = counts["fix"] - counts["renamed"] + counts["reject"]
    numbered = not counts["paired"] and (counts["found again"] or tally.missing)
    if numbered or 2 * counts["under another's id"] > doubtful:
        do = "if a tool has numbered them anew, import its own export, or find them by --match iou"
        raise SourceError("its annotations have other ids than the audit's masks", name, do)
    if tally.unmatched:
        strangers = pd.concat(tally.unmatched)
        ids = strangers.index.to_numpy(np.int64)
        elsewhere = rows_of(audit, "masks", "mask_id", ids)["mask_id"]
        elsewhere = elsewhere[shown.among(elsewhere)]
        if len(elsewhere):
            raise _other_image(f"{name}, annotation {elsewhere.iloc[0]}")
    gone = counts["reject"]
    if not shown.sure and gone > _FEW and 2 * gone > counts["masks"]:
        what = f"{gone:,} of the {counts['masks']:,} masks of its images are not in it"
        do = "say what people were given: --given FILE (the source, if it was all of it)"
        raise SourceError(what, name, do)
