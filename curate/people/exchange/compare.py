"""Comparison of a corrected dataset with the audit's masks: accept, fix, reject, missing.

Masks are matched by id. A mask that is unchanged was accepted (a file without any change proves
nothing, unless ``assume_reviewed``); a changed one was fixed, and a change of category alone is a
fix too (of IoU 1, so that ``good_iou`` may still count it as good); one that is gone, or has no
pixel left, was rejected; an id that the audit does not have is a missing mask. Only images that
stand in the corrected dataset were reviewed: nothing follows for masks of an image that was left
out. Where only some masks were exported, nothing follows for the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from curate.dataset.table import plain
from curate.errors import SourceError
from curate.people.exchange.audit_images import ImageMatches
from curate.people.exchange.compared_parts import (
    ComparedPart,
    ComparisonTally,
    CorrectedImages,
    ExportedMasks,
    decode_rows,
    wrong_image_error,
)
from curate.people.exchange.readers import ImportedDecisions, ImportOptions
from curate.people.exchange.tool_labels import fill_category_names, is_relabelled
from curate.rle import area
from curate.store.audit import Audit
from curate.store.rows_by_id import encode_canonical, pair_iou, rows_of

_MAX_ALL_GONE = 10
"""Masks that may all be gone without a doubt whether people were shown them."""


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


def check_changed(tally: ComparisonTally, name: str) -> None:
    """Check that anything was changed: else it may be the exported file itself.

    Raises:
        SourceError: Nothing was changed, taken out or added.
    """
    counts = tally.counts
    if counts["fix"] or counts["reject"] or tally.missing or not counts["masks"]:
        return
    what = "nothing in it was changed, so it may be the exported file itself"
    raise SourceError(what, name, "add --assume-reviewed if every image was reviewed")


def check_complete(
    audit: Audit, tally: ComparisonTally, images: ImageMatches, name: str, shown: ExportedMasks
) -> None:
    """Check that the dataset is the audit's, complete, and with the audit's ids.

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
            raise wrong_image_error(f"{name}, annotation {elsewhere.iloc[0]}")
    gone = counts["reject"]
    if not shown.sure and gone > _MAX_ALL_GONE and 2 * gone > counts["masks"]:
        what = f"{gone:,} of the {counts['masks']:,} masks of its images are not in it"
        do = "name the exported subset: --exported FILE (the source, if it was all of it)"
        raise SourceError(what, name, do)


def match_equal_pixels(
    before: tuple[pd.DataFrame, pd.DataFrame],
    after: tuple[pd.DataFrame, pd.DataFrame],
    tally: ComparisonTally,
) -> pd.Series[Any]:
    """Match masks that are gone or changed with masks of another id that are equal to the pixel.

    Args:
        before: Masks of the audit whose pixels changed, and masks that are gone.
        after: Masks of the file whose pixels changed, and masks that are new.
        tally: Counts how many stand under an id that another mask had.

    Returns:
        New ids by old ones, of masks that are gone and stand there as new ones.
    """
    old = pd.concat([_canonical(frame, "old", k) for k, frame in enumerate(before)])
    new = pd.concat([_canonical(frame, "new", k) for k, frame in enumerate(after)])
    same = old.merge(new, on=["image_id", "counts", "twin"])
    found = (same["kind_old"] == 1) & (same["kind_new"] == 1)
    tally.counts["under another's id"] += int((~found).sum())
    tally.counts["found again"] += int(found.sum())
    return same[found].set_index("old")["new"]


def _canonical(frame: pd.DataFrame, name: str, kind: int) -> pd.DataFrame:
    """Return ids, images and masks in one spelling for equal pixels; duplicates are numbered."""
    runs, _ = decode_rows(frame)
    full = np.asarray(area(runs) > 0, np.bool_)
    spelled = pd.DataFrame(
        {
            name: frame.index.to_numpy(np.int64)[full],
            "image_id": frame["image_id"].to_numpy(np.int64)[full],
            "counts": pd.Series(encode_canonical(runs[full]), dtype=object),
            f"kind_{name}": kind,
        }
    )
    return spelled.assign(twin=spelled.groupby(["image_id", "counts"]).cumcount())


def compare_with_audit(
    audit: Audit,
    parts: Iterable[CorrectedImages],
    name: str,
    shown: ExportedMasks,
    options: ImportOptions,
) -> ImportedDecisions:
    """Compare a corrected dataset with the audit's masks.

    Args:
        audit: The audit of the dataset as it was.
        parts: The corrected dataset, each image in one part only.
        name: Its file's name, for messages.
        shown: The exported masks.
        options: What the caller knows of it.

    Raises:
        SourceError: It is of other images, its ids are not the audit's, a mask cannot be read, it
            may be a part of the dataset only, or nothing in it was changed; says which.
    """
    tally = ComparisonTally()
    images = ImageMatches(audit, name)
    for part in parts:
        _compare_part(ComparedPart(audit, part, name, shown, options.same_iou), images, tally)
    reviewed_images = (
        np.concatenate(tally.reviewed_images) if tally.reviewed_images else np.empty(0, np.int64)
    )
    check_complete(audit, tally, images, name, shown)
    if not options.assume_reviewed:
        check_changed(tally, name)
    empty = pd.DataFrame({"mask_id": np.empty(0, np.int64), "action": pd.Series([], dtype="str")})
    total = int(audit.info.get("counts", {}).get("images", 0))
    counts = tally.counts
    decided = pd.concat(tally.decisions, ignore_index=True) if tally.decisions else empty
    return ImportedDecisions(
        decisions=shown.add_draws(decided),
        missing=pd.concat(tally.missing, ignore_index=True) if tally.missing else None,
        reviewed_images=pd.DataFrame({"image_id": reviewed_images}),
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


def _compare_part(side: ComparedPart, images: ImageMatches, tally: ComparisonTally) -> None:
    """Compare one part with the audit and record the decisions."""
    new, table = _check_ids(side), side.part.table
    matched = images.match(table.images)
    tally.counts["strange images"] += len(table.images) - len(matched)
    new = new[new["image_id"].isin(matched.index)]
    new = new.assign(image_id=matched.reindex(new["image_id"]).to_numpy(np.int64))
    old = fill_category_names(
        rows_of(side.audit, "masks", "image_id", matched.to_numpy(np.int64), _OWN)
    )
    given = side.shown.among(old["mask_id"])
    partly = [*old["image_id"].to_numpy(np.int64)[~given].tolist(), *side.part.pieces]
    whole = ~np.isin(matched.to_numpy(np.int64), np.array(partly, np.int64))
    tally.reviewed_images.append(matched.to_numpy(np.int64)[whole])
    old = old[given].set_index("mask_id")
    pairs = new.index[new.index.isin(old.index) & ~new["fresh"].to_numpy(np.bool_)]
    moved = old.loc[pairs, "image_id"].to_numpy() != new.loc[pairs, "image_id"].to_numpy()
    if moved.any():
        raise wrong_image_error(side.where(pairs[moved][0]))
    changed = _decide_common(side, old.loc[pairs], new.loc[pairs], tally)
    gone = old[~old.index.isin(pairs)]
    added = new[~new.index.isin(pairs) | new["fresh"].to_numpy(np.bool_)]
    tally.counts["paired"] += len(pairs)
    tally.counts["masks"] += len(old)
    again = match_equal_pixels((old.loc[changed], gone), (new.loc[changed], added), tally)
    _add_missing(side, added[~added.index.isin(again.to_numpy())], tally)
    _add_decisions(tally, gone.index[~gone.index.isin(again.index)], "reject")
    _add_decisions(tally, again.index, "accept")


def _check_ids(side: ComparedPart) -> pd.DataFrame:
    """Return the part's masks; refuse duplicate ids and images."""
    masks = side.part.table.masks.assign(fresh=side.part.fresh)
    for status, what in (
        ("duplicate_id", "its id occurs twice"),
        ("unknown_image", "its image is not in the file"),
    ):
        bad = masks.index[(masks["status"] == status).to_numpy(np.bool_)]
        if len(bad):
            detail = masks["status_detail"].loc[bad[0]]
            raise SourceError(f"{what} ({detail})", side.where(bad[0]))
    return masks


def _decide_common(
    side: ComparedPart, old: pd.DataFrame, new: pd.DataFrame, tally: ComparisonTally
) -> pd.Index[Any]:
    """Decide on masks that both sides have; return the ids of those whose pixels changed."""
    before, readable_before = decode_rows(old)
    after, readable = decode_rows(new)
    ids = old.index
    tally.counts["crowds"] += _count_crowd_changes(old, new)
    broken = readable_before & ~readable
    if broken.any():
        raise _unreadable_error(side, new, ids[broken][0])
    size_before, size = area(before), area(after)
    iou = pair_iou(before, after)
    iou[~readable_before] = np.nan
    nothing = (size == 0) & (size_before == 0)
    tally.counts["unusable"] += int(nothing.sum())
    erased = (size == 0) & ~nothing
    same = iou >= side.same_iou
    other = is_relabelled(plain(old["category"]), plain(new["category"]))
    renamed = same & other
    tally.counts["renamed"] += int(renamed.sum())
    changed = ~same & ~erased & ~nothing
    masks = np.full(len(ids), None, object)
    masks[changed] = encode_canonical(after[changed])
    _add_decisions(tally, ids[erased], "reject")
    _add_decisions(tally, ids[same & ~renamed], "accept", iou=iou[same & ~renamed])
    fixed = changed | renamed
    rows = [side.place(number) for number in ids[fixed].tolist()]
    labels = new["category"].astype(object).where(other, None).to_numpy(object)
    columns = {"iou": iou[fixed], "segmentation": masks[fixed], "category": labels[fixed]}
    _add_decisions(tally, ids[fixed], "fix", **columns, row=rows)
    kept: pd.Index[Any] = ids[changed]
    return kept


def _count_crowd_changes(old: pd.DataFrame, new: pd.DataFrame) -> int:
    """Count masks that are crowds on one side only; 0 where a file has no such flag."""
    if "iscrowd" not in new:
        return 0
    before = old["iscrowd"] if "iscrowd" in old else pd.Series(0, index=old.index)
    after = new["iscrowd"].reindex(old.index)
    return int((after.notna() & (before.fillna(0) != after.fillna(0))).sum())


def _unreadable_error(side: ComparedPart, new: pd.DataFrame, mask_id: Any) -> SourceError:
    row = new.loc[mask_id]
    return SourceError(
        f"its mask cannot be read ({row['status_detail'] or row['status']})", side.where(mask_id)
    )


def _add_decisions(tally: ComparisonTally, ids: pd.Index[Any], action: str, **columns: Any) -> None:
    """Record the same action for some masks."""
    if not len(ids):
        return
    tally.counts[action] += len(ids)
    tally.decisions.append(
        pd.DataFrame({"mask_id": ids.to_numpy(np.int64), "action": action, **columns})
    )


def _add_missing(side: ComparedPart, added: pd.DataFrame, tally: ComparisonTally) -> None:
    runs, readable = decode_rows(added)
    size = area(runs)
    broken = ~readable & (added["status"] != "no_segmentation").to_numpy(np.bool_)
    if broken.any():
        raise _unreadable_error(side, added, added.index[broken][0])
    full = size > 0
    tally.counts["new and empty"] += int((~full).sum())
    if not full.any():
        return
    kept = added[full]
    tally.unmatched.append(kept.loc[~kept["fresh"].to_numpy(np.bool_), ["image_id"]])
    frame = kept[["image_id", "category"]].reset_index(drop=True)
    frame["segmentation"] = pd.Series(encode_canonical(runs[full]), dtype=object)
    frame["row"] = [side.place(number) for number in kept.index.tolist()]
    tally.missing.append(frame)
