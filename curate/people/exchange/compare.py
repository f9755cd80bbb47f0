"""Comparison of masks that come back with the audit's masks: accept, fix, reject, missing.

Masks are compared by id, each person's by themselves. A mask that is unchanged was accepted (a file
without any change proves nothing, unless ``assume_reviewed``); a changed one was fixed, and a
change of category alone is a fix too (of IoU 1, so that ``good_iou`` may still count it as good);
one that is gone, or has no pixel left, was rejected; one without a mask of the audit is missing.
Only images that came back were reviewed: nothing follows for masks of an image that was left out.
Where only some masks were exported, nothing follows for the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, IntArray
from curate.dataset.table import plain
from curate.errors import SourceError
from curate.people.exchange.exported_masks import ExportedMasks
from curate.people.exchange.registry import ImportedDecisions, ImportOptions
from curate.people.exchange.tool_labels import fill_category_names, is_relabelled
from curate.rle import Runs, area
from curate.store.audit import StoredAudit
from curate.store.rows_by_id import decode_masks, encode_canonical, pair_iou, rows_of

_MAX_ALL_GONE = 10
"""Masks that may all be gone without a doubt whether people were shown them."""

RENAMED_NOTE = "masks fixed in their category only"
FOUND_AGAIN_NOTE = "masks found again under another id"
EMPTY_NOTE = "new masks without a pixel"

_OWN = (
    *("mask_id", "image_id", "category", "category_id", "iscrowd"),
    *("height", "width", "segmentation"),
)
_DECISION = {"mask_id": "int64", "action": "str"}


@dataclass(frozen=True)
class ImportedPart:
    """Some images as people left them, on whole images of the audit.

    Attributes:
        masks: One row a mask, index from 0: ``review`` (a row of ``reviews``; 0 where there are
            none), ``mask_id`` (Int64, NA for a new one), ``image_id``, ``category``, ``place``
            (where it stands in the file), ``status`` and ``status_detail``, and perhaps ``iscrowd``
            (NA where not known).
        runs: The masks in the order of rows.
        readable: Which of them are, shape (masks,).
        images: One row an image of a review: ``review``, ``image_id``, and ``complete``: False
            where only a piece of it was shown or understood, so that it is not reviewed as a whole.
        exported: ``review`` and ``mask_id`` of the masks that people were shown; None where
            :class:`ExportedMasks` says it.
        reviews: What is known of each person's work beside masks: ``reviewer``, ``time``,
            ``seconds`` a mask, ``draw_id``, ``queue_kind`` and ``place``; None where nothing is.
    """

    masks: pd.DataFrame
    runs: Runs
    readable: BoolArray
    images: pd.DataFrame
    exported: pd.DataFrame | None = None
    reviews: pd.DataFrame | None = None


def compare_with_audit(
    audit: StoredAudit,
    parts: Iterable[ImportedPart],
    name: str,
    shown: ExportedMasks,
    options: ImportOptions,
) -> ImportedDecisions:
    """Compare what came back with the audit's masks.

    Args:
        audit: The audit of the dataset as it was.
        parts: What came back, all of one review in the same part.
        name: Its file's name, for messages.
        shown: The exported masks.
        options: What the caller knows of it.

    Raises:
        SourceError: It is of other images, its ids are not the audit's, a mask cannot be read, it
            may be a part of the dataset only, or nothing in it was changed; says which.
    """
    made = _AuditComparison(audit, name, shown, options.same_iou)
    for part in parts:
        made.add(part)
    made.check_complete()
    if not options.assume_reviewed:
        made.check_changed()
    return made.result()


class _AuditComparison:
    """Decisions and counts of the parts compared so far."""

    def __init__(
        self, audit: StoredAudit, name: str, shown: ExportedMasks, same_iou: float
    ) -> None:
        self._audit = audit
        self._name = name
        self._shown = shown
        self._same_iou = same_iou
        self._counts: Counter[str] = Counter()
        self._images: set[int] = set()
        self._decisions: list[pd.DataFrame] = []
        self._missing: list[pd.DataFrame] = []
        self._reviewed_images: list[pd.DataFrame] = []
        self._strangers: list[IntArray] = []  # ids of new masks that are not those of their images

    def add(self, part: ImportedPart) -> None:
        """Compare one part with the audit."""
        self._images.update(part.images["image_id"].tolist())
        old = self._read_exported(part)
        runs, readable = decode_masks(
            old["segmentation"], old["height"].to_numpy(np.int64), old["width"].to_numpy(np.int64)
        )
        before = _Decoded(old, runs, np.array([not problem for problem in readable], np.bool_))
        after = _Decoded(part.masks, part.runs, part.readable)
        pairs = _pair_by_id(old, part.masks)
        self._counts["paired"] += len(pairs.old)
        self._counts["masks"] += len(old)
        decided, changed = self._decide_pairs(before.at(pairs.old), after.at(pairs.new))
        kept = [decided]
        gone = np.setdiff1d(np.arange(len(old)), pairs.old)
        added = np.setdiff1d(np.arange(len(part.masks)), pairs.new)
        again = self._match_equal_pixels(
            (before.at(pairs.old[changed]), before.at(gone)),
            (after.at(pairs.new[changed]), after.at(added)),
        )
        self._add_missing(part, after.at(np.delete(added, again.new)))
        found, rejected = gone[again.old], np.delete(gone, again.old)
        self._counts["accept"] += len(found)
        self._counts["reject"] += len(rejected)
        for action, at in (("reject", rejected), ("accept", found)):
            kept.append(old.loc[at, ["review", "mask_id"]].assign(action=action))
        self._decisions.append(_join_reviews(pd.concat(kept, ignore_index=True), part))

    def _read_exported(self, part: ImportedPart) -> pd.DataFrame:
        """Return the audit's rows of the exported masks; keep which images were reviewed whole."""
        images = part.images
        if part.exported is None:
            ids = images["image_id"].to_numpy(np.int64)
            every = fill_category_names(rows_of(self._audit, "masks", "image_id", ids, _OWN))
            there = every["image_id"]
            old = every[self._shown.among(every["mask_id"])].assign(review=0)
        else:
            ids = part.exported["mask_id"].to_numpy(np.int64)
            known = fill_category_names(rows_of(self._audit, "masks", "mask_id", ids, _OWN))
            old = part.exported.merge(known, on="mask_id")
            ids = images.loc[images["complete"], "image_id"].to_numpy(np.int64)
            there = rows_of(self._audit, "masks", "image_id", ids)["image_id"]
        shown = old.groupby(["review", "image_id"]).size()
        counts = shown.reindex(pd.MultiIndex.from_frame(images[["review", "image_id"]]))
        every_mask = images["image_id"].map(there.value_counts()).fillna(0).to_numpy()
        whole = images["complete"].to_numpy(np.bool_) & (counts.fillna(0).to_numpy() == every_mask)
        reviewed = images.loc[whole, ["review", "image_id"]]
        self._reviewed_images.append(_join_reviews(reviewed, part, ("reviewer", "time")))
        return old.reset_index(drop=True)

    def _decide_pairs(self, old: _Decoded, new: _Decoded) -> tuple[pd.DataFrame, BoolArray]:
        """Decide on masks that both sides have; return rows, and whose pixels have changed."""
        rows = new.rows
        moved = old.rows["image_id"].to_numpy() != rows["image_id"].to_numpy()
        if moved.any():
            raise wrong_image_error(self._where(rows, moved))
        self._counts["crowds"] += _count_crowd_changes(old.rows, rows)
        self._refuse_unreadable(new, old.readable)
        size_before, size = area(old.runs), area(new.runs)
        iou = pair_iou(old.runs, new.runs)
        iou[~old.readable] = np.nan
        nothing = (size == 0) & (size_before == 0)
        erased = (size == 0) & ~nothing
        same = iou >= self._same_iou
        other = is_relabelled(plain(old.rows["category"]), plain(rows["category"]))
        changed = ~same & ~erased & ~nothing
        renamed = same & other
        fixed = changed | renamed
        action = np.where(erased, "reject", np.where(fixed, "fix", "accept"))
        masks = np.full(len(rows), None, object)
        masks[changed] = encode_canonical(new.runs[changed])
        self._counts["unusable"] += int(nothing.sum())
        self._counts["renamed"] += int(renamed.sum())
        self._counts.update(action[~nothing].tolist())
        columns = {
            "review": rows["review"].to_numpy(np.int64),
            "mask_id": old.rows["mask_id"].to_numpy(np.int64),
            "action": action,
            "iou": np.where(erased, np.nan, iou),
            "segmentation": masks,
            "category": rows["category"].astype(object).where(fixed & other, None).to_numpy(object),
            "row": rows["place"].to_numpy(object),
        }
        return pd.DataFrame(columns)[~nothing], changed

    def _match_equal_pixels(
        self,
        before: tuple[_Decoded, _Decoded],
        after: tuple[_Decoded, _Decoded],
    ) -> _SameMasks:
        """Match masks that are gone with new ones of their review that are equal to the pixel.

        Args:
            before: Masks of the audit whose pixels changed, and masks that are gone.
            after: The changed masks, and masks that are new.

        Returns:
            Positions among the masks that are gone, and among the new ones. Masks under an id that
            another mask had are counted.
        """
        old = pd.concat([_encode_masks(masks, k) for k, masks in enumerate(before)])
        new = pd.concat([_encode_masks(masks, k) for k, masks in enumerate(after)])
        same = old.merge(new, on=["review", "image_id", "counts", "twin"])
        found = (same["kind_x"] == 1) & (same["kind_y"] == 1)
        self._counts["under another's id"] += int((~found).sum())
        self._counts["found again"] += int(found.sum())
        return _SameMasks(*(same.loc[found, name].to_numpy(np.int64) for name in ("at_x", "at_y")))

    def _add_missing(self, part: ImportedPart, added: _Decoded) -> None:
        self._refuse_unreadable(
            added, (added.rows["status"] != "no_segmentation").to_numpy(np.bool_)
        )
        full = np.asarray(area(added.runs) > 0, np.bool_)
        self._counts["new and empty"] += int((~full).sum())
        rows = added.rows[full]
        self._strangers.append(rows["mask_id"].dropna().to_numpy(np.int64))
        if not len(rows):
            return
        frame = rows[["review", "image_id", "category"]].reset_index(drop=True)
        frame["segmentation"] = pd.Series(encode_canonical(added.runs[full]), dtype=object)
        frame["row"] = rows["place"].to_numpy(object)
        self._missing.append(_join_reviews(frame, part, ("reviewer", "time")))

    def _refuse_unreadable(self, new: _Decoded, wanted: BoolArray) -> None:
        """Raise for the first of the wanted masks that cannot be read."""
        broken = wanted & ~new.readable
        if broken.any():
            row = new.rows[broken].iloc[0]
            what = f"its mask cannot be read ({row['status_detail'] or row['status']})"
            raise SourceError(what, self._where(new.rows, broken))

    def _where(self, rows: pd.DataFrame, bad: BoolArray) -> str:
        return f"{self._name}, {rows.loc[bad, 'place'].iloc[0]}"

    def check_changed(self) -> None:
        """Check that anything was changed: else it may be the exported file itself.

        Raises:
            SourceError: Nothing was changed, taken out or added.
        """
        counts = self._counts
        if counts["fix"] or counts["reject"] or self._missing or not counts["masks"]:
            return
        what = "nothing in it was changed, so it may be the exported file itself"
        do = "add --assume-reviewed if every image was reviewed"
        raise SourceError(what, self._name, do)

    def check_complete(self) -> None:
        """Check that the dataset is the audit's, complete, and with the audit's ids.

        Raises:
            SourceError: It is not, or that is in doubt.
        """
        counts, name = self._counts, self._name
        if self._shown.ids_kept:
            return
        if not self._images:
            audit = self._audit.path.name
            raise SourceError("none of its images is in the audit", name, f"audit: {audit}")
        doubtful = counts["fix"] - counts["renamed"] + counts["reject"]
        numbered = not counts["paired"] and (counts["found again"] or self._missing)
        if numbered or 2 * counts["under another's id"] > doubtful:
            do = (
                "if a tool renumbered them, import the tool's own export,"
                " or find them by --match iou"
            )
            raise SourceError("its annotations have other ids than the audit's masks", name, do)
        ids = np.concatenate([np.empty(0, np.int64), *self._strangers])
        if len(ids):
            elsewhere = rows_of(self._audit, "masks", "mask_id", ids)["mask_id"]
            elsewhere = elsewhere[self._shown.among(elsewhere)]
            if len(elsewhere):
                raise wrong_image_error(f"{name}, annotation {elsewhere.iloc[0]}")
        gone = counts["reject"]
        if not self._shown.sure and gone > _MAX_ALL_GONE and 2 * gone > counts["masks"]:
            what = f"{gone:,} of the {counts['masks']:,} masks of its images are not in it"
            do = "name the exported subset: --exported FILE (the source, if it was all of it)"
            raise SourceError(what, name, do)

    def result(self) -> ImportedDecisions:
        """Return the decisions of all parts."""
        empty = pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in _DECISION.items()})
        none = pd.DataFrame({"image_id": np.empty(0, np.int64)})
        decided = pd.concat(self._decisions, ignore_index=True) if self._decisions else empty
        total = self._audit.info.counts["images"] if self._audit.info.counts else 0
        counts = self._counts
        return ImportedDecisions(
            decisions=self._shown.add_draws(decided),
            missing=pd.concat(self._missing, ignore_index=True) if self._missing else None,
            reviewed_images=pd.concat([none, *self._reviewed_images], ignore_index=True),
            notes={
                "images of the audit that are not in the file, so not reviewed": max(
                    total - len(self._images), 0
                ),
                RENAMED_NOTE: counts["renamed"],
                "changes of iscrowd, which no decision can hold: ignored": counts["crowds"],
                FOUND_AGAIN_NOTE: counts["found again"],
                "masks without a readable pixel before and after": counts["unusable"],
                EMPTY_NOTE: counts["new and empty"],
            },
            untouched=counts["accept"],
            seen=pd.DataFrame({"image_id": sorted(self._images)}, dtype="int64"),
            scope=self._shown.scope,
        )


class _Decoded(NamedTuple):
    """Rows with their masks, and which of these are readable."""

    rows: pd.DataFrame
    runs: Runs
    readable: BoolArray

    def at(self, rows: IntArray) -> _Decoded:
        """Return some of them, by position."""
        return _Decoded(self.rows.iloc[rows], self.runs[rows], self.readable[rows])


class _SameMasks(NamedTuple):
    """Positions of masks on both sides that are the same mask."""

    old: IntArray
    new: IntArray


def _pair_by_id(old: pd.DataFrame, new: pd.DataFrame) -> _SameMasks:
    """Return the positions of masks that both sides have, in the order of the new ones."""
    key = ["review", "mask_id"]
    ids = new[new["mask_id"].notna()]
    left = ids[key].astype("int64").assign(new=ids.index)
    both = left.merge(old[key].assign(old=np.arange(len(old))), on=key)
    return _SameMasks(both["old"].to_numpy(np.int64), both["new"].to_numpy(np.int64))


def _encode_masks(masks: _Decoded, kind: int) -> pd.DataFrame:
    """Return the masks that have pixels, encoded so that equal pixels give equal ``counts``.

    Columns: ``review``, ``image_id``, ``at`` (position among ``masks``), ``kind`` (as given),
    ``counts``, and ``twin``, which numbers masks of equal pixels in an image from 0.
    """
    full = np.flatnonzero(area(masks.runs) > 0)
    spelled = masks.rows[["review", "image_id"]].iloc[full].astype("int64")
    spelled = spelled.assign(at=full, kind=kind).reset_index(drop=True)
    spelled["counts"] = pd.Series(encode_canonical(masks.runs[full]), dtype=object)
    return spelled.assign(twin=spelled.groupby(["review", "image_id", "counts"]).cumcount())


def _join_reviews(
    frame: pd.DataFrame, part: ImportedPart, names: tuple[str, ...] | None = None
) -> pd.DataFrame:
    """Return rows with what is known of their review, in columns that are not there yet."""
    if part.reviews is None:
        return frame.drop(columns="review")
    known = part.reviews.drop(columns="place")
    known = known if names is None else known[list(names)]
    made = frame.join(known, on="review")
    if "row" in frame:
        made["row"] = frame["row"].fillna(frame["review"].map(part.reviews["place"]))
    return made.drop(columns="review")


def _count_crowd_changes(old: pd.DataFrame, new: pd.DataFrame) -> int:
    """Count masks that are crowds on one side only; 0 where a file has no such flag."""
    if "iscrowd" not in new:
        return 0
    after = new["iscrowd"].reset_index(drop=True)
    before = old["iscrowd"].reset_index(drop=True) if "iscrowd" in old else 0 * after.fillna(0)
    return int((after.notna() & (before.fillna(0) != after.fillna(0))).sum())


def wrong_image_error(where: str) -> SourceError:
    """Return the error for a mask on another image than the audit's mask of its id."""
    do = "ids must be the audit's; if a tool renumbered them, import the tool's own export"
    return SourceError("it lies on another image than in the audit", where, do)
