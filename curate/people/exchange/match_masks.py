"""Matching of shapes that come back from a tool with the masks of an audit.

1. **By id.** A shape that bears a mask's id is that mask if it lies on the mask's image (and in its
   crop). Of several with one id, the one of greatest IoU keeps it; the others are copies, and new.
2. **Plausibility.** If most ids on a picture belong to one other image, the picture is another one
   than its name says, and the file is refused. An id of a mask that was never exported is believed
   only if the shape overlaps that mask by :data:`MIN_IOU`.
3. **By overlap.** Shapes without an id are paired with exported masks of their image that are still
   free: greatest IoU first, each once, at 0.5 and more (greedy one-to-one matching, as in COCO's
   evaluation).
4. All others are new masks. A shape without pixels is a mask that the tool lost.

Masks are compared on their whole images: shapes drawn on a crop are pasted back first.

Invariants: every mask of the audit is claimed by at most one shape. Two masks of an image without
common pixels cannot both overlap a shape by more than half, so an order of equal pairs rarely
matters; where it does, it is that of the rows, and the outcome is the same each time.

Time is linear in run lengths, with a sort of the overlapping pairs of each image; all shapes of a
file are held in memory as run lengths, decoded once, and handed on about :data:`PART_MASKS`
at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.dataset.table import plain
from curate.errors import SourceError
from curate.people.exchange.compare import ImportedPart
from curate.people.exchange.exported_masks import ExportedMasks
from curate.people.exchange.image_names import PictureWindow
from curate.people.exchange.imported_images import ImportedImage, ImportedMask, parse_mask_id
from curate.people.exchange.tool_labels import Labels, fill_category_names
from curate.rle import Runs, area, concat, cross_overlaps, paste
from curate.store.audit import StoredAudit
from curate.store.rows_by_id import decode_masks, pair_iou, rows_of

MIN_IOU = 0.5
"""Two masks that share less are not taken for one: above it, no third one can share more."""


def match_by_overlap(old: pd.DataFrame, new: pd.DataFrame, runs: Runs) -> pd.Series[Any]:
    """Match masks of an audit with imported masks, highest IoU first, one to one.

    Args:
        old: ``mask_id``, ``image_id``, ``height``, ``width``, ``segmentation``.
        new: ``image_id``, and ``crop_of``: the only mask that it can be, if there is one.
        runs: The masks of ``new``, in the order of its rows.

    Returns:
        The mask ids by the index of ``new``, of those that were found.
    """
    before = _decode(old)
    pairs = cross_overlaps(
        before, old["image_id"].to_numpy(np.int64), runs, new["image_id"].to_numpy(np.int64)
    )
    union = area(before)[pairs.first] + area(runs)[pairs.second] - pairs.intersection
    iou = pairs.intersection / np.maximum(union, 1)
    ids = old["mask_id"].to_numpy(np.int64)[pairs.first]
    crop = new["crop_of"].iloc[pairs.second]
    free = (crop.isna() | (crop == ids)).to_numpy(np.bool_, na_value=True)
    order = np.lexsort((pairs.second, pairs.first, -iou))
    found: dict[Any, int] = {}
    taken: set[int] = set()
    for k in order[(iou >= MIN_IOU)[order] & free[order]].tolist():
        at, mask = new.index[int(pairs.second[k])], int(ids[k])
        if at not in found and mask not in taken:
            found[at] = mask
            taken.add(mask)
    return pd.Series(found, dtype="Int64")


PART_MASKS = 20_000
"""About how many masks are compared at a time."""

_COLUMNS = ("image_id", "category", "category_id", "height", "width", "segmentation")
_COPIES_NOTE = "copies of a mask with its mask_id, taken as new masks"
_TYPED_NOTE = "masks whose mask_id is none of their image, taken as new masks"
_REDRAWN_NOTE = "masks that came back as polygons (--same-iou says how much may differ unchanged)"
_LOST_NOTE = "masks that the tool lost, so nothing is known of them"
_OTHERS_NOTE = "boxes, ellipses, tags and other non-masks; their images do not count as reviewed"
_MATCHED_NOTE = "masks found by overlap: equal, else one to one by IoU of 0.5 and more"


class MaskMatching:
    """Imported masks on their whole images, each with the audit's mask that it is.

    Attributes:
        frame: ``image_id``, ``claim`` (the mask of the audit; NA for a new one), ``crop_of`` (the
            mask that its picture was made for; NA for a whole image), ``status``,
            ``status_detail``, ``label``, ``place`` (where it stands in the file), ``outline``,
            ``iscrowd`` (NA where not known), ``draw_id`` and ``slot`` (NA where the shape names no
            draw). The index is the position in ``runs``.
        runs: All masks, decoded once.
        readable: Which of them are, shape (masks,).
        notes: How many there were of what people should know, in words.
        unsure: Images of which the tool lost masks that nobody knows.
    """

    unsure: frozenset[int] = frozenset()

    def __init__(
        self,
        audit: StoredAudit,
        pictures: Sequence[ImportedImage],
        places: Sequence[PictureWindow | None],
    ) -> None:
        self._audit = audit
        self._places = [place for place in places if place is not None]
        others = {
            place.image_id: picture.others
            for place, picture in zip(places, pictures, strict=True)
            if place is not None and picture.others
        }
        self._undecided = frozenset(others)
        pairs = [
            (place, shape)
            for place, picture in zip(places, pictures, strict=True)
            if place is not None
            for shape in picture.shapes
        ]
        self.runs, problems = _decode_shapes(pairs)
        self.readable: BoolArray = np.array([not problem for problem in problems], np.bool_)
        self.frame = _make_frame(pairs, problems)
        odd = sum(
            bool(str(shape.mask_id or "").strip()) and parse_mask_id(shape.mask_id) is None
            for _, shape in pairs
        )
        self.notes = {_TYPED_NOTE: odd, _OTHERS_NOTE: sum(others.values())}

    def ids(self) -> IntArray:
        """Return the matched masks, sorted."""
        return np.unique(self.frame["claim"].dropna().to_numpy(np.int64))

    def find_draws(self) -> pd.DataFrame:
        """Return ``mask_id``, ``draw_id`` and ``slot`` of matched shapes that state a draw."""
        frame = self.frame[self.frame["claim"].notna() & self.frame["draw_id"].notna()]
        return (
            frame[["claim", "draw_id", "slot"]]
            .astype("int64")
            .set_axis(["mask_id", "draw_id", "slot"], axis=1)
        )

    def drop_wrong_ids(self, name: str) -> None:
        """Drop ids from copies, and from masks of other images than their id's.

        Args:
            name: The file's name, for messages.

        Raises:
            SourceError: Most ids on a picture belong to one other image.
        """
        frame = self.frame
        known = self._read_masks(self.ids())
        own = known["image_id"].reindex(frame["claim"].fillna(0)).astype("Int64").array
        self._refuse_swapped(own, name)
        right = frame["claim"].notna() & (pd.Series(own) == frame["image_id"]).fillna(False)
        right &= (frame["crop_of"].isna() | (frame["crop_of"] == frame["claim"])).fillna(False)
        self.notes[_TYPED_NOTE] += int((frame["claim"].notna() & ~right).sum())
        frame["claim"] = frame["claim"].where(right.astype("bool"))
        twice = frame["claim"].notna() & frame["claim"].duplicated(keep=False)
        copies = frame[twice]
        iou = self._measure_iou(known, copies)
        order = copies.assign(iou=iou).sort_values("iou", ascending=False, kind="stable")
        spare = order.index[order["claim"].duplicated()]
        frame.loc[spare, "claim"] = pd.NA
        self.notes[_COPIES_NOTE] = len(spare)
        self.notes[_REDRAWN_NOTE] = int((frame["outline"] & frame["claim"].notna()).sum())

    def _refuse_swapped(self, owners: Any, name: str) -> None:
        """Refuse a picture that is another image, by the masks on it, than by its name.

        Masks copied to an image that has none of its own are no such thing: the image that they
        were copied from is in the file too, under its own name.
        """
        frame = self.frame[["image_id", "place"]].assign(owner=owners)
        frame = frame[frame["owner"].notna() & self.frame["crop_of"].isna()]
        counts = frame.groupby(["image_id", "owner"]).size().reset_index(name="masks")
        share = counts["masks"] / counts.groupby("image_id")["masks"].transform("sum")
        mostly = counts[share > 0.5]
        right = mostly.loc[mostly["image_id"] == mostly["owner"], "image_id"]
        swapped = mostly[~mostly["owner"].isin(right) & (mostly["image_id"] != mostly["owner"])]
        for image, owner in zip(swapped["image_id"], swapped["owner"], strict=True):
            first = frame[(frame["image_id"] == image) & (frame["owner"] == owner)]["place"].iloc[0]
            what = f"the masks of its image are mostly those of image {owner}, not of image {image}"
            do = "keep the names of images as they were written, folders too"
            raise SourceError(what, f"{name}, {first}", do)

    def add_unexported(self, shown: ExportedMasks) -> ExportedMasks:
        """Add masks that were imported but not known to be exported.

        Queues are put together; but an id typed by a person may be that of a mask that was not
        shown, so what is not like the mask that it names is a new one.
        """
        if shown.ids is None:
            return shown
        frame = self.frame
        known = self._read_masks(np.setdiff1d(self.ids(), shown.ids))
        rows = frame[frame["claim"].isin(known.index)]
        likeness = self._measure_iou(known, rows)
        typed = rows.index[likeness < MIN_IOU]
        frame.loc[typed, "claim"] = pd.NA
        self.notes[_TYPED_NOTE] += len(typed)
        return replace(shown, ids=np.union1d(shown.ids, self.ids()))

    def match(self, shown: ExportedMasks) -> None:
        """Match masks without an id with exported masks by their overlap."""
        frame = self.frame
        loose = frame[frame["claim"].isna() & self.readable]
        images = np.unique(loose["image_id"].to_numpy(np.int64))
        old = rows_of(self._audit, "masks", "image_id", images, ("mask_id", *_COLUMNS))
        free = shown.among(old["mask_id"]) & ~np.isin(old["mask_id"], self.ids())
        found = match_by_overlap(old[free], loose, self.runs[loose.index.to_numpy(np.int64)])
        frame.loc[found.index, "claim"] = found
        self.notes[_MATCHED_NOTE] = len(found)

    def take_lost(self) -> IntArray:
        """Return and drop masks that a tool lists without any pixels."""
        gone = self.frame["status"] == "no_segmentation"
        lost = self.frame.loc[gone, "claim"].dropna().to_numpy(np.int64)
        self.notes[_LOST_NOTE] = int(gone.sum())
        nameless = self.frame.loc[gone & self.frame["claim"].isna(), "image_id"]
        self.unsure = frozenset(nameless.tolist())
        self.frame = self.frame[~gone]
        return np.unique(lost)

    def parts(self, labels: Labels) -> Iterator[ImportedPart]:
        """Yield the masks, whole images together.

        Args:
            labels: What categories were written as.
        """
        masks = pd.DataFrame(
            {
                "review": 0,
                "mask_id": self.frame["claim"],
                "category": self._categories(labels),
                **{
                    name: self.frame[name]
                    for name in ("image_id", "place", "status", "status_detail", "iscrowd")
                },
            }
        )
        pieces = {place.image_id for place in self._places if place.mask_id is not None}
        ids = np.unique(np.array([place.image_id for place in self._places], np.int64))
        images = pd.DataFrame({"review": 0, "image_id": ids})
        images["complete"] = ~images["image_id"].isin(pieces | self._undecided)
        counts = masks["image_id"].value_counts().reindex(ids).fillna(0).to_numpy(np.int64)
        # An image goes to the part in which its first mask falls: parts are of about equal size.
        parts = (np.cumsum(counts + 1) - (counts + 1)) // PART_MASKS
        part_of = masks["image_id"].map(pd.Series(parts, ids)).to_numpy(np.int64)
        for number in np.unique(parts).tolist():
            rows = masks[part_of == number]
            at = rows.index.to_numpy(np.int64)
            rows = rows.reset_index(drop=True)
            yield ImportedPart(rows, self.runs[at], self.readable[at], images[parts == number])

    def _measure_iou(self, known: pd.DataFrame, rows: pd.DataFrame) -> FloatArray:
        """Return the IoU of shapes with the masks that they claim; 0 where it is undefined."""
        before = _decode(known.loc[rows["claim"].astype("int64")])
        after = self.runs[rows.index.to_numpy(np.int64)]
        return np.nan_to_num(pair_iou(before, after))

    def _read_masks(self, ids: IntArray) -> pd.DataFrame:
        """Return the audit's masks with some ids, categories by name; index ``mask_id``."""
        return fill_category_names(
            rows_of(self._audit, "masks", "mask_id", ids, _COLUMNS)
        ).set_index("mask_id")

    def _categories(self, labels: Labels) -> pd.Series[Any]:
        """Return the shapes' categories of the audit; a placeholder label becomes None."""
        before = self._read_masks(self.ids())["category"]
        own = dict(zip(before.index.tolist(), plain(before), strict=True))
        pairs = zip(self.frame["claim"].tolist(), self.frame["label"].tolist(), strict=True)
        category = [
            labels.category(label)
            if number is pd.NA
            else labels.category_now(label, own.get(number))
            for number, label in pairs
        ]
        return pd.Series(category, index=self.frame.index, dtype=object)


def _make_frame(
    pairs: list[tuple[PictureWindow, ImportedMask]], problems: list[str]
) -> pd.DataFrame:
    """Return the columns of :class:`MaskMatching`; ``problems`` are those of decoding."""
    shapes = [shape for _, shape in pairs]
    states = [
        ("undecodable", problem)
        if problem and shape.mask.status == "ok"
        else (shape.mask.status, shape.mask.detail)
        for shape, problem in zip(shapes, problems, strict=True)
    ]
    return pd.DataFrame(
        {
            "image_id": np.array([place.image_id for place, _ in pairs], np.int64),
            "crop_of": pd.array([place.mask_id for place, _ in pairs], "Int64"),
            "claim": pd.array([parse_mask_id(shape.mask_id) for shape in shapes], "Int64"),
            "label": pd.Series([shape.label for shape in shapes], dtype=object),
            "place": pd.Series([shape.where for shape in shapes], dtype=object),
            "outline": np.array([shape.outline for shape in shapes], np.bool_),
            "draw_id": pd.array([shape.draw and shape.draw[0] for shape in shapes], "Int64"),
            "iscrowd": pd.array([shape.iscrowd for shape in shapes], "Int8"),
            "slot": pd.array([shape.draw and shape.draw[1] for shape in shapes], "Int64"),
            "status": pd.Series([status for status, _ in states], dtype=object),
            "status_detail": pd.Series([detail for _, detail in states], dtype=object),
        }
    )


def _decode(masks: pd.DataFrame) -> Runs:
    sizes = (masks[side].to_numpy(np.int64) for side in ("height", "width"))
    return decode_masks(masks["segmentation"], *sizes)[0]


def _decode_shapes(pairs: list[tuple[PictureWindow, ImportedMask]]) -> tuple[Runs, list[str]]:
    """Return masks on their whole images, and what is wrong with each, "" for nothing."""
    sizes = np.array([place.size for place, _ in pairs], np.int64).reshape(-1, 2)
    counts = [shape.mask.counts for _, shape in pairs]
    runs, problems = decode_masks(counts, sizes[:, 0], sizes[:, 1])
    on_crop = np.array([place.box is not None for place, _ in pairs], np.bool_)
    if not on_crop.any():
        return runs, problems
    places = [place for place, _ in pairs if place.box is not None]
    corners = [(place.box.x, place.box.y) for place in places if place.box]
    heights, widths = ([getattr(one, side) for one in places] for side in ("height", "width"))
    pasted = paste(runs[on_crop], corners, heights, widths)
    order = np.argsort(on_crop, kind="stable")  # those on whole images first
    return concat([runs[~on_crop], pasted])[np.argsort(order)], problems
