"""Plausibility check of a join of images: overlap of the masks that it brings together.

A sample of joined images is compared by boxes, each with what is joined to it, with what is joined
to the image before and after it, with what bears the number in its name, and with what is joined to
some other image. Ids that are off by one, numbers of files taken for ids and a file of other images
show so; of the pairs that lie on each other the categories show whether both sides number them
alike. Nothing is joined anew: where nothing fits, or other images fit clearly better, the join is
refused; where they fit somewhat better, that is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray, IntArray
from curate.dataset.image_join import Join
from curate.dataset.image_names import number
from curate.dataset.notes import Note
from curate.dataset.table import MaskTable
from curate.errors import SourceError
from curate.formats.format import Part
from curate.pipeline.reference_sources import ReferenceSource
from curate.pipeline.source_images import SourceImages
from curate.scorers.counterparts import box_pairs
from curate.scorers.detector import confidence_of, detection_boxes
from curate.scorers.scorer import has_pixels

MOST_PARTS, MOST_IMAGES = 3, 60
"""How many parts are looked at, and how many images of each."""

LEAST_IMAGES, LEAST_PAIRS = 5, 10
"""How many images (pairs of masks) anything is said from."""

FITS, MISFITS = 0.4, 0.15
"""Fit from which on another image is taken for the right one; fit up to which nothing fits."""

CLEAR = 0.3
"""By how much other images must fit better than the joined ones for the join to be refused.

Neighbours that look alike, as frames of a video do, fit each other nearly as well as themselves: a
right join does not fall behind them by this much on average.
"""

SURE, SAME = 0.3, 0.5
"""Confidence of detections, and IoU of pairs, that are compared."""

_COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
_COCO_IDS = [n for n in range(1, 91) if n not in _COCO_GAPS]

_OTHERS = {
    "before": "the image after their own",  # what is joined to the image before fits this one
    "after": "the image before their own",
    "number": "the image whose file name is the number that they give as an id",
}


@dataclass(frozen=True)
class JoinCheck:
    """Result of checking a join.

    Attributes:
        notes: Findings, for `audit.json`.
        same_categories: Whether categories of both sides may be compared by their numbers.
    """

    notes: tuple[Note, ...] = ()
    same_categories: bool = True


def check_join(
    side: ReferenceSource,
    images: SourceImages,
    found: Join,
    parts: Sequence[Part],
    load: Callable[[Part], MaskTable],
    *,
    categories: bool = False,
    trust: bool = False,
) -> JoinCheck:
    """Look at a sample of joined images.

    Args:
        side: What was joined.
        images: All images of the source.
        found: The join.
        parts: The source's parts.
        load: Reads one.
        categories: Whether its categories are to be compared.
        trust: Whether what does not fit is only said.

    Raises:
        SourceError: Nothing fits, or other images fit clearly better: the file is of other images,
            or its ids are off.
    """
    thing_of = np.full(len(images.listing) + 1, -1, np.int64)  # the last for no image
    joined = np.flatnonzero(found.rows >= 0)
    thing_of[found.rows[joined]] = joined
    others = _others(side, images, found, thing_of)
    fits: dict[str, list[FloatArray]] = {name: [] for name in ("own", *others)}
    pairs: dict[str, Counter[tuple[int, int]]] = {name: Counter() for name in fits}
    step = max(1, -(-len(parts) // MOST_PARTS))
    for part in parts[::step]:
        rows = np.arange(images.offsets[part.index], images.offsets[part.index + 1])
        rows = rows[thing_of[rows] >= 0]
        rows = rows[:: max(1, -(-len(rows) // MOST_IMAGES))]
        if not len(rows):
            continue
        sample = _Sample(load(part), int(images.offsets[part.index]), rows)
        for name, things in {"own": thing_of, **others}.items():
            fits[name].append(sample.fit(side, things[rows]))
            if categories:
                pairs[name] += sample.category_pairs(side, things[rows])
    misfit = _misfit({k: np.concatenate([[], *v]) for k, v in fits.items()})
    # Where other images fit, only the pairs with those tell how categories are numbered.
    paired = pairs[misfit.fitting if misfit else "own"]
    numbering = _numbering(paired)
    notes = []
    if misfit:
        text = f"{side.name}: {misfit.what}"
        if misfit.refused and not trust:
            text += f"; and {numbering}" if numbering else ""
            raise SourceError(text, side.source, f"{misfit.do}, or add --trust-joins")
        notes.append(Note("join_misfit", f"{text}, and are used as joined", misfit.count, "images"))
    if numbering:
        text = f"{side.name}: {numbering}, so categories are not compared"
        notes.append(Note("category_numbering", text, sum(paired.values()), "masks"))
    return JoinCheck(tuple(notes), not numbering)


def _others(
    side: ReferenceSource, images: SourceImages, found: Join, thing_of: IntArray
) -> Mapping[str, IntArray]:
    """Return the alternative candidates of each image; -1 for none.

    The image before and after is that by id where the source has ids, else by place.
    """
    n = len(images.listing)
    ids = images.listing.ids
    order = np.argsort(ids, kind="stable") if ids is not None else np.arange(n)
    ordered = thing_of[order]
    made = {}
    for name, shift in (("before", -1), ("after", 1), ("other", max(2, n // 3))):
        moved = np.roll(ordered, -shift)
        if shift in (1, -1) and n:
            moved[-1 if shift == 1 else 0] = -1
        made[name] = np.full(n + 1, -1, np.int64)
        made[name][order] = moved
    things = side.listing()
    if ids is not None and things.ids is not None and not any(things.texts):
        place = pd.Series(np.arange(len(things)), index=things.ids)
        place = place[~place.index.duplicated(keep=False)]
        numbers = [number(text) for text in images.listing.texts]
        known = pd.Index([-(2**62) if one is None else one for one in numbers])
        if not known.equals(pd.Index(ids)):
            made["number"] = np.append(place.reindex(known, fill_value=-1).to_numpy(np.int64), -1)
    return made


class _Sample:
    """Some images of a part, by the boxes of their masks."""

    def __init__(self, table: MaskTable, offset: int, rows: IntArray) -> None:
        wanted = table.images.index[rows - offset]
        group = pd.Series(np.arange(len(rows)), index=wanted)
        group = group[~group.index.duplicated()]
        at = group.reindex(table.masks["image_id"], fill_value=-1).to_numpy(np.int64)
        keep = (at >= 0) & has_pixels(table)
        self.size = len(rows)
        self.masks = table.masks[keep]
        self.boxes = np.ascontiguousarray(table.boxes[keep], np.float64)
        self.group = at[keep]

    def fit(self, side: ReferenceSource, things: IntArray) -> FloatArray:
        """Return how well the images' masks and some things lie on each other.

        Args:
            side: What the things are of.
            things: Shape (n images,), the thing of each; -1 for none.

        Returns:
            Shape (n images,), in [0, 1]: the mean best IoU of the masks and that of the things'
            boxes, averaged; NaN where one of the two has none.
        """
        _, boxes, group = _boxes_at(side, things)
        pairs = box_pairs(self.boxes, boxes, (self.group, group))
        best, other = np.zeros(len(self.boxes)), np.zeros(len(boxes))
        np.maximum.at(best, pairs.first, pairs.iou)
        np.maximum.at(other, pairs.second, pairs.iou)
        return (self._mean(best, self.group) + self._mean(other, group)) / 2

    def _mean(self, values: FloatArray, group: IntArray) -> FloatArray:
        count = np.bincount(group, minlength=self.size)
        total = np.bincount(group, values, minlength=self.size)
        mean: FloatArray = np.divide(total, count, out=np.full(self.size, np.nan), where=count > 0)
        return mean

    def category_pairs(self, side: ReferenceSource, things: IntArray) -> Counter[tuple[int, int]]:
        """Count pairs of category ids of masks that lie on each other, where names do not tell."""
        rows, boxes, group = _boxes_at(side, things)
        if not {"category_id"} <= set(rows.columns) & set(self.masks.columns):
            return Counter()
        if rows["category"].notna().any() and self.masks["category"].notna().any():
            return Counter()
        pairs = box_pairs(self.boxes, boxes, (self.group, group))
        pairs = pairs[pairs.iou >= SAME]
        mine = self.masks["category_id"].to_numpy(object)[pairs.first]
        theirs = rows["category_id"].to_numpy(object)[pairs.second]
        known = ~(pd.isna(mine) | pd.isna(theirs))
        return Counter(zip(mine[known].tolist(), theirs[known].tolist(), strict=True))


def _boxes_at(side: ReferenceSource, things: IntArray) -> tuple[pd.DataFrame, FloatArray, IntArray]:
    """Return the masks of some things, their boxes, and the position of each one's thing."""
    table = side.masks_of(np.unique(things[things >= 0]))
    boxes = detection_boxes(table)
    usable = np.isfinite(boxes).all(axis=1)
    sure = confidence_of(table) >= SURE
    usable &= sure if sure.any() else True
    place = pd.Series(np.arange(len(things)), index=things)
    place = place[~place.index.duplicated()]
    at = place.reindex(table.masks["image_id"]).to_numpy(np.int64)
    rows = np.flatnonzero(usable)
    return table.masks.iloc[rows], np.ascontiguousarray(boxes[rows]), at[rows]


@dataclass(frozen=True)
class _Misfit:
    """A misfit: number of images that show it, the better fit, and the advice."""

    what: str
    count: int
    fitting: str
    do: str
    refused: bool


def _misfit(fits: Mapping[str, FloatArray]) -> _Misfit | None:
    """Tell where other images fit better than the joined ones, or nothing fits."""
    own = fits["own"]
    known = np.isfinite(own)
    if known.sum() < LEAST_IMAGES:
        return None
    for name, text in _OTHERS.items():
        both = known & np.isfinite(fits.get(name, np.full(len(own), np.nan)))
        if both.sum() < LEAST_IMAGES:
            continue
        other, mine = float(fits[name][both].mean()), float(own[both].mean())
        better = (fits[name][both] > own[both] + 0.1).mean()
        if other >= FITS and other > mine + 0.2 and better >= 0.7:
            what = f"they fit {text} (box IoU {other:.2f}; with their own {mine:.2f})"
            do = "mend the image ids, or give every entry the file_name of its image"
            refused = mine <= FITS / 2 or other >= mine + CLEAR
            return _Misfit(what, int(both.sum()), name, do, refused)
    mean, elsewhere = float(own[known].mean()), fits["other"][known & np.isfinite(fits["other"])]
    chance = float(elsewhere.mean()) if len(elsewhere) else 0.0
    if mean <= MISFITS and mean <= chance + 0.02 and known.sum() >= 2 * LEAST_IMAGES:
        what = "they lie on no mask of the images that they are joined to"
        what += f" (box IoU {mean:.2f}; with other images {chance:.2f})"
        do = "check that the file is of these images, and its boxes in pixels"
        return _Misfit(what, int(known.sum()), "own", do, refused=True)
    return None


def _numbering(pairs: Counter[tuple[int, int]]) -> str:
    """Return how the other side numbers categories, "" where as the source does, or unknown."""
    total = sum(pairs.values())
    if total < LEAST_PAIRS or len({mine for mine, _ in pairs}) < 2:
        return ""
    rules: dict[str, Callable[[int], int | None]] = {
        "": lambda mine: mine,
        "its category ids are higher by one": lambda mine: mine + 1,
        "its category ids are lower by one": lambda mine: mine - 1,
        "its category ids are 1 to 80, not COCO's 1 to 90": _contiguous(1),
        "its category ids are 0 to 79, not COCO's 1 to 90": _contiguous(0),
        "its category ids are COCO's 1 to 90, not 1 to 80": _official(1),
        "its category ids are COCO's 1 to 90, not 0 to 79": _official(0),
    }
    shares = {
        text: sum(n for (mine, theirs), n in pairs.items() if rule(mine) == theirs) / total
        for text, rule in rules.items()
    }
    best = max(shares, key=shares.__getitem__)
    if shares[best] >= 0.7 and shares[best] > shares[""] + 0.3:
        return best
    distinct = {theirs for _, theirs in pairs}
    mapped = Counter[int]()
    for (mine, _), n in pairs.items():
        mapped[mine] = max(mapped[mine], n)
    consistent = sum(mapped.values()) / total >= 0.8
    other = shares[""] < 0.3 and consistent and len(distinct) > 1
    return "its category ids are another numbering" if other else ""


def _contiguous(first: int) -> Callable[[int], int | None]:
    places = {number: k + first for k, number in enumerate(_COCO_IDS)}
    return places.get


def _official(first: int) -> Callable[[int], int | None]:
    numbers = {k + first: number for k, number in enumerate(_COCO_IDS)}
    return numbers.get
