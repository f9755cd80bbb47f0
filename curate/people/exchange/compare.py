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

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from curate.dataset.table import plain
from curate.errors import SourceError
from curate.people.exchange.audit_images import Images
from curate.people.exchange.compared_parts import (
    ComparedPart,
    ComparisonTally,
    CorrectedImages,
    ShownMasks,
    other_image,
    runs_of,
)
from curate.people.exchange.readers import ImportedDecisions, ImportOptions
from curate.people.exchange.tool_labels import named_rows, relabelled
from curate.rle import area
from curate.store.audit import Audit
from curate.store.rows_by_id import canonical, pair_iou, rows_of

_FEW = 10
"""Masks that may all be gone without a doubt whether people were shown them."""


def check_touched(tally: ComparisonTally, name: str) -> None:
    """See that somebody did something: else it may be the file that went out.

    Raises:
        SourceError: Nothing was changed, taken out or added.
    """
    counts = tally.counts
    if counts["fix"] or counts["reject"] or tally.missing or not counts["masks"]:
        return
    what = "nothing in it was changed, so it may be the file that went out"
    raise SourceError(what, name, "say --all-looked if people went through all of it")


def check_whole(
    audit: Audit, tally: ComparisonTally, images: Images, name: str, shown: ShownMasks
) -> None:
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
            raise other_image(f"{name}, annotation {elsewhere.iloc[0]}")
    gone = counts["reject"]
    if not shown.sure and gone > _FEW and 2 * gone > counts["masks"]:
        what = f"{gone:,} of the {counts['masks']:,} masks of its images are not in it"
        do = "say what people were given: --given FILE (the source, if it was all of it)"
        raise SourceError(what, name, do)


def found_again(
    before: tuple[pd.DataFrame, pd.DataFrame],
    after: tuple[pd.DataFrame, pd.DataFrame],
    tally: ComparisonTally,
) -> pd.Series[Any]:
    """Look for masks that are gone or changed under another id, equal to the pixel.

    Args:
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
    runs, _ = runs_of(frame)
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


_OWN = (
    "mask_id",
    "image_id",
    "category",
    "category_id",
    "iscrowd",
    "height",
    "width",
    "segmentation",
)


def decisions_of(
    audit: Audit,
    parts: Iterable[CorrectedImages],
    name: str,
    shown: ShownMasks,
    options: ImportOptions,
) -> ImportedDecisions:
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
    tally = ComparisonTally()
    images = Images(audit, name)
    for part in parts:
        _take(ComparedPart(audit, part, name, shown, options.same_iou), images, tally)
    looked = np.concatenate(tally.looked) if tally.looked else np.empty(0, np.int64)
    check_whole(audit, tally, images, name, shown)
    if not options.all_looked:
        check_touched(tally, name)
    empty = pd.DataFrame({"mask_id": np.empty(0, np.int64), "action": pd.Series([], dtype="str")})
    total = int(audit.info.get("counts", {}).get("images", 0))
    counts = tally.counts
    decided = pd.concat(tally.decisions, ignore_index=True) if tally.decisions else empty
    return ImportedDecisions(
        decisions=shown.explained(decided),
        missing=pd.concat(tally.missing, ignore_index=True) if tally.missing else None,
        looked=pd.DataFrame({"image_id": looked}),
        notes={
            "images of the audit that are not in it, so nobody looked at them": max(
                total - len(images.taken), 0
            ),
            "images in it that the audit does not have": counts["strange images"],
            "masks fixed in their category only": counts["renamed"],
            "changes of iscrowd, which no decision can hold: ignored": counts["crowds"],
            "masks found again under another id": counts["found again"],
            "masks without a readable pixel before and after": counts["unusable"],
            "new masks without a pixel": counts["new and empty"],
        },
        untouched=counts["accept"],
        seen=pd.DataFrame({"image_id": sorted(images.taken)}, dtype="int64"),
        scope=shown.scope,
    )


def _take(side: ComparedPart, images: Images, tally: ComparisonTally) -> None:
    """Compare one part with the audit and note what follows."""
    new, table = _usable(side), side.part.table
    matched = images.match(table.images)
    tally.counts["strange images"] += len(table.images) - len(matched)
    new = new[new["image_id"].isin(matched.index)]
    new = new.assign(image_id=matched.reindex(new["image_id"]).to_numpy(np.int64))
    old = named_rows(rows_of(side.audit, "masks", "image_id", matched.to_numpy(np.int64), _OWN))
    given = side.shown.among(old["mask_id"])
    partly = [*old["image_id"].to_numpy(np.int64)[~given].tolist(), *side.part.pieces]
    whole = ~np.isin(matched.to_numpy(np.int64), np.array(partly, np.int64))
    tally.looked.append(matched.to_numpy(np.int64)[whole])
    old = old[given].set_index("mask_id")
    pairs = new.index[new.index.isin(old.index) & ~new["fresh"].to_numpy(np.bool_)]
    moved = old.loc[pairs, "image_id"].to_numpy() != new.loc[pairs, "image_id"].to_numpy()
    if moved.any():
        raise other_image(side.where(pairs[moved][0]))
    changed = _compare(side, old.loc[pairs], new.loc[pairs], tally)
    gone = old[~old.index.isin(pairs)]
    added = new[~new.index.isin(pairs) | new["fresh"].to_numpy(np.bool_)]
    tally.counts["paired"] += len(pairs)
    tally.counts["masks"] += len(old)
    again = found_again((old.loc[changed], gone), (new.loc[changed], added), tally)
    _note_added(side, added[~added.index.isin(again.to_numpy())], tally)
    _note(tally, gone.index[~gone.index.isin(again.index)], "reject")
    _note(tally, again.index, "accept")


def _usable(side: ComparedPart) -> pd.DataFrame:
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


def _compare(
    side: ComparedPart, old: pd.DataFrame, new: pd.DataFrame, tally: ComparisonTally
) -> pd.Index[Any]:
    """Decide on masks that stand in both; return the ids of those that changed their pixels."""
    before, readable_before = runs_of(old)
    after, readable = runs_of(new)
    ids = old.index
    tally.counts["crowds"] += _crowds_changed(old, new)
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
    other = relabelled(plain(old["category"]), plain(new["category"]))
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


def _crowds_changed(old: pd.DataFrame, new: pd.DataFrame) -> int:
    """Count masks that are marked as crowds on one side only; 0 where a file does not tell."""
    if "iscrowd" not in new:
        return 0
    before = old["iscrowd"] if "iscrowd" in old else pd.Series(0, index=old.index)
    after = new["iscrowd"].reindex(old.index)
    return int((after.notna() & (before.fillna(0) != after.fillna(0))).sum())


def _unreadable(side: ComparedPart, new: pd.DataFrame, mask_id: Any) -> SourceError:
    row = new.loc[mask_id]
    return SourceError(
        f"its mask cannot be read ({row['status_detail'] or row['status']})", side.where(mask_id)
    )


def _note(tally: ComparisonTally, ids: pd.Index[Any], action: str, **columns: Any) -> None:
    """Note the same action on some masks."""
    if not len(ids):
        return
    tally.counts[action] += len(ids)
    tally.decisions.append(
        pd.DataFrame({"mask_id": ids.to_numpy(np.int64), "action": action, **columns})
    )


def _note_added(side: ComparedPart, added: pd.DataFrame, tally: ComparisonTally) -> None:
    runs, readable = runs_of(added)
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
