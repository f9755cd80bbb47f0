"""Matching of shapes that come back from a tool with the masks of an audit.

1. **By id.** A shape that bears a mask's id is that mask if it lies on the mask's image (and in its
   crop). Of several with one id, the one of greatest IoU keeps it; the others are copies, and new.
2. **Plausibility.** If most ids on a picture belong to one other image, the picture is another one
   than its name says, and the file is refused. An id of a mask that was never exported is believed
   only if the shape overlaps that mask by :data:`LEAST_IOU`.
3. **By overlap.** Shapes without an id are paired with exported masks of their image that are still
   free: greatest IoU first, each once, at 0.5 and more (greedy one-to-one matching, as in COCO's
   evaluation).
4. All others are new masks. A shape without pixels is a mask that the tool lost.

Masks are compared on their whole images: shapes drawn on a crop are pasted back first.

Invariants: every mask of the audit is claimed by at most one shape. Two masks of an image without
common pixels cannot both overlap a shape by more than half, so an order of equal pairs rarely
matters; where it does, it is that of the rows, and the outcome is the same each time.

Time is linear in run lengths, with a sort of the overlapping pairs of each image; all shapes of a
file are held in memory as compressed masks, and handed on about :data:`PART_MASKS` at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import IntArray
from curate.dataset.table import finish, plain
from curate.errors import SourceError
from curate.people.exchange.compared_parts import CorrectedImages, ExportedMasks
from curate.people.exchange.tool_image_names import PictureWindow
from curate.people.exchange.tool_labels import Labels, fill_category_names
from curate.people.exchange.tool_shapes import ImportedImage, ImportedMask, parse_mask_id
from curate.rle import Runs, area, cross_overlaps, paste
from curate.store.audit import Audit
from curate.store.rows_by_id import decode_masks, encode_canonical, pair_iou, rows_of

MIN_IOU = 0.5
"""Two masks that share less are not taken for one: above it, no third one can share more."""


def match_by_overlap(old: pd.DataFrame, new: pd.DataFrame) -> pd.Series[Any]:
    """Match masks of an audit with imported masks, highest IoU first, one to one.

    Args:
        old: ``mask_id``, ``image_id``, ``height``, ``width``, ``segmentation``.
        new: ``image_id``, ``counts``, and ``crop_of``: the only mask that it can be, if there is
            one.

    Returns:
        The mask ids by the index of ``new``, of those that were found.
    """
    found: dict[Any, int] = {}
    sizes = old.drop_duplicates("image_id").set_index("image_id")[["height", "width"]]
    new = new[new["image_id"].isin(sizes.index)]
    if len(new):
        theirs = sizes.loc[new["image_id"]].to_numpy(np.int64)
        before, _ = decode_masks(
            old["segmentation"], *(old[side].to_numpy(np.int64) for side in ("height", "width"))
        )
        after, _ = decode_masks(new["counts"].tolist(), theirs[:, 0], theirs[:, 1])
        groups = (frame["image_id"].to_numpy(np.int64) for frame in (old, new))
        pairs = cross_overlaps(before, next(groups), after, next(groups))
        union = area(before)[pairs.first] + area(after)[pairs.second] - pairs.intersection
        iou = pairs.intersection / np.maximum(union, 1)
        ids = old["mask_id"].to_numpy(np.int64)[pairs.first]
        crop = new["crop_of"].fillna(0).to_numpy(np.int64)[pairs.second]
        free = new["crop_of"].isna().to_numpy(np.bool_)[pairs.second] | (crop == ids)
        order = np.lexsort((pairs.second, pairs.first, -iou))
        taken: set[int] = set()
        for k in order[(iou >= MIN_IOU)[order] & free[order]].tolist():
            at, mask = new.index[int(pairs.second[k])], int(ids[k])
            if at not in found and mask not in taken:
                found[at] = mask
                taken.add(mask)
    return pd.Series(found, dtype="Int64")


PART_MASKS = 20_000
"""About how many masks are compared at a time."""

_NO_ID = -(2**62) - 1
"""Masks without an id are numbered from here down: no mask of an audit has such a number."""

_COLUMNS = ("image_id", "category", "category_id", "height", "width", "segmentation")
_COPIES_NOTE = "copies of a mask with its mask_id, taken as new masks"
_TYPED_NOTE = "masks whose mask_id is none of their image, taken as new masks"
_REDRAWN_NOTE = "masks that came back as polygons (--same-iou says how much may differ unchanged)"
_LOST_NOTE = "masks that the tool lost, so nothing is known of them"
_OTHERS_NOTE = (
    "boxes, ellipses, tags and such, which are no masks: their images are not gone through"
)
_MATCHED_NOTE = "masks found by overlap: equal, else one to one by IoU of 0.5 and more"


class MaskMatching:
    """Imported masks on their whole images, each with the audit's mask that it is.

    Attributes:
        frame: ``image_id``, ``claim`` (the mask of the audit; NA for a new one), ``crop_of`` (the
            mask that its picture was made for; NA for a whole image), ``counts``, ``status``,
            ``detail``, ``label``, ``where``, ``outline``, ``iscrowd`` (NA where not known),
            ``draw_id`` and ``slot`` (NA where the shape names no draw).
        notes: How many there were of what people should know, in words.
        unsure: Images of which the tool lost masks that nobody knows.
    """

    unsure: frozenset[int] = frozenset()

    def __init__(
        self,
        audit: Audit,
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
        shapes = [shape for _, shape in pairs]
        claims = [parse_mask_id(shape.mask_id) for shape in shapes]
        self.frame = pd.DataFrame(
            {
                "image_id": np.array([place.image_id for place, _ in pairs], np.int64),
                "crop_of": pd.array([place.mask_id for place, _ in pairs], "Int64"),
                "claim": pd.array(claims, "Int64"),
                "label": pd.Series([shape.label for shape in shapes], dtype=object),
                "where": pd.Series([shape.where for shape in shapes], dtype=object),
                "outline": np.array([shape.outline for shape in shapes], np.bool_),
                "draw_id": pd.array([shape.draw and shape.draw[0] for shape in shapes], "Int64"),
                "iscrowd": pd.array([shape.iscrowd for shape in shapes], "Int8"),
                "slot": pd.array([shape.draw and shape.draw[1] for shape in shapes], "Int64"),
                **_mask_columns(pairs),
            }
        )
        has_id = [str(shape.mask_id or "").strip() != "" for shape in shapes]
        odd = sum(a and c is None for a, c in zip(has_id, claims, strict=True))
        self.notes = {_TYPED_NOTE: odd, _OTHERS_NOTE: sum(others.values())}

    def ids(self) -> IntArray:
        """Return the matched masks, sorted."""
        return np.unique(self.frame["claim"].dropna().to_numpy(np.int64))

    def named_draws(self) -> pd.DataFrame:
        """Return the matched masks with the draw and the slot that each names."""
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
        known = self._known(self.ids())
        own = known["image_id"].reindex(frame["claim"].fillna(0)).astype("Int64").array
        self._refuse_swapped(own, name)
        right = frame["claim"].notna() & (pd.Series(own) == frame["image_id"]).fillna(False)
        right &= (frame["crop_of"].isna() | (frame["crop_of"] == frame["claim"])).fillna(False)
        self.notes[_TYPED_NOTE] += int((frame["claim"].notna() & ~right).sum())
        frame["claim"] = frame["claim"].where(right.astype("bool"))
        twice = frame["claim"].notna() & frame["claim"].duplicated(keep=False)
        copies = frame[twice]
        iou = _measure_iou(known.reindex(copies["claim"].astype("int64")), copies)
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
        frame = self.frame[["image_id", "where"]].assign(owner=owners)
        frame = frame[frame["owner"].notna() & self.frame["crop_of"].isna()]
        counts = frame.groupby(["image_id", "owner"]).size().reset_index(name="masks")
        share = counts["masks"] / counts.groupby("image_id")["masks"].transform("sum")
        mostly = counts[share > 0.5]
        right = mostly.loc[mostly["image_id"] == mostly["owner"], "image_id"]
        swapped = mostly[~mostly["owner"].isin(right) & (mostly["image_id"] != mostly["owner"])]
        for image, owner in zip(swapped["image_id"], swapped["owner"], strict=True):
            first = frame[(frame["image_id"] == image) & (frame["owner"] == owner)]["where"].iloc[0]
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
        known = self._known(np.setdiff1d(self.ids(), shown.ids))
        rows = frame[frame["claim"].isin(known.index)]
        likeness = _measure_iou(known.reindex(rows["claim"].astype("int64")), rows)
        typed = rows.index[likeness < MIN_IOU]
        frame.loc[typed, "claim"] = pd.NA
        self.notes[_TYPED_NOTE] += len(typed)
        return replace(shown, ids=np.union1d(shown.ids, self.ids()))

    def match(self, shown: ExportedMasks) -> None:
        """Match masks without an id with exported masks by their overlap."""
        frame = self.frame
        loose = frame[frame["claim"].isna() & frame["counts"].notna()]
        images = np.unique(loose["image_id"].to_numpy(np.int64))
        old = rows_of(self._audit, "masks", "image_id", images, ("mask_id", *_COLUMNS))
        free = shown.among(old["mask_id"]) & ~np.isin(old["mask_id"], self.ids())
        found = match_by_overlap(old[free], loose)
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

    def parts(self, labels: Labels) -> Iterator[CorrectedImages]:
        """Yield the masks as parts of a corrected dataset, whole images together.

        Args:
            labels: What categories were written as.
        """
        frame = self._categorised(labels)
        fresh = frame["claim"].isna().to_numpy(np.bool_)
        ids = frame["claim"].fillna(0).to_numpy(np.int64)
        ids[fresh] = _NO_ID - np.arange(int(fresh.sum()))
        frame = frame.assign(fresh=fresh).set_axis(pd.Index(ids, name="mask_id"))
        images = {place.image_id: place for place in self._places}
        pieces = frozenset(p.image_id for p in self._places if p.mask_id is not None)
        pieces |= self._undecided
        counts = frame["image_id"].value_counts()
        last = max(images, default=None)
        batch: list[int] = []
        size = 0
        for image in sorted(images):
            batch.append(image)
            size += int(counts.get(image, 0)) + 1
            if size >= PART_MASKS or image == last:
                rows = frame[frame["image_id"].isin(batch)]
                yield _make_part(rows, [images[one] for one in batch], pieces)
                batch, size = [], 0

    def _known(self, ids: IntArray) -> pd.DataFrame:
        return fill_category_names(
            rows_of(self._audit, "masks", "mask_id", ids, _COLUMNS)
        ).set_index("mask_id")

    def _categorised(self, labels: Labels) -> pd.DataFrame:
        """Return the shapes with the audit's categories; a placeholder label becomes None."""
        frame = self.frame
        before = self._known(self.ids())["category"]
        own = dict(zip(before.index.tolist(), plain(before), strict=True))
        pairs = zip(frame["claim"].tolist(), frame["label"].tolist(), strict=True)
        category = [
            labels.category(label)
            if number is pd.NA
            else labels.category_now(label, own.get(number))
            for number, label in pairs
        ]
        return frame.assign(category=pd.Series(category, index=frame.index, dtype=object))


def _mask_columns(pairs: list[tuple[PictureWindow, ImportedMask]]) -> dict[str, Any]:
    """Return counts, status and detail of masks, crops put back in their place."""
    sizes = np.array([place.size for place, _ in pairs], np.int64).reshape(-1, 2)
    counts = [shape.mask.counts for _, shape in pairs]
    runs, problems = decode_masks(counts, sizes[:, 0], sizes[:, 1])
    status, detail = [], []
    for k, (_, shape) in enumerate(pairs):
        if shape.mask.status == "ok" and problems[k]:
            counts[k] = None
            shape_status = ("undecodable", problems[k])
        else:
            shape_status = (shape.mask.status, shape.mask.detail)
        status.append(shape_status[0])
        detail.append(shape_status[1])
    crops = [k for k, (place, _) in enumerate(pairs) if place.box and counts[k] is not None]
    for k, whole in zip(crops, _paste(runs, pairs, crops), strict=True):
        counts[k] = whole
    return {
        "counts": pd.Series(counts, dtype=object),
        "status": pd.Series(status, dtype=object),
        "detail": pd.Series(detail, dtype=object),
    }


def _paste(
    runs: Runs, pairs: list[tuple[PictureWindow, ImportedMask]], at: list[int]
) -> list[bytes]:
    if not at:
        return []
    places = [pairs[k][0] for k in at]
    corners = [(place.box.x, place.box.y) for place in places if place.box]
    heights, widths = ([getattr(p, side) for p in places] for side in ("height", "width"))
    return encode_canonical(paste(runs[np.array(at)], corners, heights, widths))


def _measure_iou(old: pd.DataFrame, new: pd.DataFrame) -> Any:
    """Return the IoU of masks with their corrections; 0 where it is undefined."""
    sizes = [old[side].to_numpy(np.int64) for side in ("height", "width")]
    before, _ = decode_masks(old["segmentation"], *sizes)
    after, _ = decode_masks(new["counts"].tolist(), *sizes)
    return np.nan_to_num(pair_iou(before, after))


def _make_part(
    rows: pd.DataFrame, images: list[PictureWindow], pieces: frozenset[int]
) -> CorrectedImages:
    known = pd.DataFrame(
        {
            "file_name": [place.file_name for place in images],
            "height": [place.height for place in images],
            "width": [place.width for place in images],
        },
        index=pd.Index([place.image_id for place in images], dtype="int64"),
    )
    masks = pd.DataFrame(
        {
            "source_key": rows["where"],
            "image_id": rows["image_id"],
            "category": rows["category"],
            "height": known["height"].reindex(rows["image_id"]).to_numpy(np.int64),
            "width": known["width"].reindex(rows["image_id"]).to_numpy(np.int64),
            "segmentation": rows["counts"],
            "iscrowd": rows["iscrowd"],
            "status": rows["status"],
            "status_detail": rows["detail"],
        }
    )
    places = dict(zip(rows.index.tolist(), rows["where"].tolist(), strict=True))
    fresh = rows["fresh"].to_numpy(np.bool_)
    return CorrectedImages(finish(masks, known), fresh, places, pieces)
