"""Simulated people: they know the objects of every image, take time, and make mistakes.

They see what an audit shows, decide as people do on the page, and write that through the same call
as its server. So a loop of models and people can be run, tested and measured without anybody.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from curate import rle
from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.common.clock import SYSTEM, Clock
from curate.dataset.table import MaskTable
from curate.demo_dataset.annotation_times import VIEW_PX, AnnotationTimes
from curate.demo_dataset.outline_changes import changed_length, imprecise, outline_length
from curate.errors import CallError
from curate.people.reviews import Reviews, has_reviews
from curate.people.reviews.current_plan import open_audit
from curate.store.audit import AnyAudit, StoredAudit
from curate.store.engine_folder import find_round_kind, resolve_audit

ORIGIN = "simulated people"

GOOD_IOU = 0.8
"""IoU with its object from which on a mask is good, unless something else is asked for."""

FIX_IOU = 0.3
"""IoU with an object from which on a mask is taken for it and made right; under it, it goes."""

COVERED_IOU = 0.5
"""IoU from which on an accepted mask keeps people from drawing its object again."""

ACTION_COLUMNS = ("image_id", "mask_id", "action", "seconds", "iou", "changed_px", "outline_px")


@dataclass(frozen=True)
class ErrorRates:
    """How often people are wrong, each in [0, 1].

    Attributes:
        accept_bad: Share of the bad masks that they accept.
        reject_good: Share of the good masks that they reject; the object stays without a mask.
        miss: Share of the objects without a mask that they do not see.
        outline: How far the outlines that they draw are off, see
            :func:`curate.demo_dataset.outline_changes.imprecise`.
    """

    accept_bad: float = 0.05
    reject_good: float = 0.02
    miss: float = 0.05
    outline: float = 0.04

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not 0 <= value <= 1:
                raise CallError(f"{one.name} is {value:g}", "error rates", "give 0 to 1")


@dataclass(frozen=True)
class WorkDone:
    """Actions of simulated people.

    Attributes:
        actions: A row an action: ``image_id``; ``mask_id`` (-1 for none); ``action`` ("accept",
            "fix", "relabel", "reject", "add", "search"); ``seconds``; ``iou`` of the mask as it
            was with its object, NaN where there is none; ``changed_px``, the length of outline
            that a fix changes, and ``outline_px``, that of a fixed or added object, both on the
            screen.
    """

    actions: pd.DataFrame

    @property
    def seconds(self) -> float:
        """Seconds in all."""
        return float(self.actions["seconds"].sum())

    def timed(self, times: AnnotationTimes) -> WorkDone:
        """Return the same actions with the seconds that they take by other times."""
        seconds = [
            _seconds(times, action, changed, outline)
            for action, changed, outline in zip(
                *(self.actions[name] for name in ("action", "changed_px", "outline_px")),
                strict=True,
            )
        ]
        return WorkDone(self.actions.assign(seconds=seconds))

    def count(self, action: str) -> int:
        """Return how often an action was taken."""
        return int((self.actions["action"] == action).sum())


def _seconds(times: AnnotationTimes, action: str, changed_px: float, outline_px: float) -> float:
    if action == "search":
        return times.search_s
    if action == "add":
        return times.draw(outline_px)
    if action == "fix":
        return times.fix(changed_px, outline_px)
    return times.judge_s + (times.click_s if action == "relabel" else 0)


class _Place(NamedTuple):
    """An image as people see it: its id, name, size, and the length of a pixel on the screen."""

    image_id: int
    name: str
    height: int
    width: int
    scale: float


class _Drawn(NamedTuple):
    """A mask before, None for none; the row of its object, -1 for none; a new category or None."""

    before: bytes | None
    row: int
    category: str | None


@dataclass
class _ImageWork:
    """Decisions on one image, as they are written."""

    decisions: list[dict[str, Any]] = field(default_factory=list)
    added: list[dict[str, Any]] = field(default_factory=list)
    actions: list[tuple[Any, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class SimulatedPeople:
    """People who correct the masks of an audit towards the truth.

    The same seed gives the same decisions on the same masks, whatever the order of images and
    however often the work was interrupted.

    Attributes:
        truth: The objects; images are found by the names of their files, without folders.
        times: How long everything takes.
        errors: How often they are wrong.
        seed: Of their mistakes.
        good_iou: IoU with its object from which on a mask needs no fix.
        scale: Screen pixels of an image's pixel; if None the longest side has 640 of them.
        reviewer: Their name.
    """

    truth: MaskTable
    times: AnnotationTimes = field(default_factory=AnnotationTimes)
    errors: ErrorRates = field(default_factory=ErrorRates)
    seed: int = 0
    good_iou: float = GOOD_IOU
    scale: float | None = None
    reviewer: str = "simulated"

    @cached_property
    def _rows(self) -> dict[str, IntArray]:
        """Rows of the truth by the name of an image."""
        usable = (self.truth.masks["status"] == "ok").to_numpy()
        names = self.truth.masks["file_name"].map(lambda name: Path(str(name)).name).to_numpy()
        order = pd.Series(np.flatnonzero(usable)).groupby(names[usable]).indices
        kept = np.flatnonzero(usable)
        return {str(name): kept[rows] for name, rows in order.items()}

    def work(
        self,
        audit: AnyAudit,
        *,
        asked: Collection[int] | None = None,
        images: Collection[int] | None = None,
        search: bool = True,
        clock: Clock = SYSTEM,
    ) -> WorkDone:
        """Decide on masks, add what is missing, and mark images as checked.

        What these people have decided on already is left as it is: an image is written in one
        transaction, so that work which was killed goes on with the next one. Times of decisions end
        with now, each as far after the one before as it took.

        Args:
            audit: The audit, or its directory; or an engine's: the audit of the open round.
            asked: Masks that are asked about; others stand as they are. All if None, or those of
                the last draw of an engine's automatic stage.
            images: Images that are looked at; all if None.
            search: Search the images for objects without a mask; if not, only masks are judged.
            clock: What time it is.

        Returns:
            What was done now.

        Raises:
            AuditError: There is no such audit, or decisions cannot be written.
        """
        opened = open_audit(resolve_audit(audit))
        reviews = Reviews(opened, clock)
        made: list[tuple[Any, ...]] = []
        if asked is None and (kind := find_round_kind(opened.path)) is not None:
            draws = reviews.draws()
            draw = draws.loc[draws["kind"] == kind, "draw_id"].max()
            asked, search = reviews.read_draw(int(draw))["mask_id"].tolist(), False
        wanted = None if asked is None else set(asked)
        for place, masks in self._to_do(opened, reviews, images, search=search):
            open_now = ~masks["decided"] & (True if wanted is None else masks.index.isin(wanted))
            if search or open_now.any():
                work = self._decide(place, masks, open_now.to_numpy(np.bool_), search=search)
                self._write(reviews, place, work, clock, search=search)
                made += work.actions
        return WorkDone(pd.DataFrame(made, columns=list(ACTION_COLUMNS)))

    def _to_do(
        self,
        audit: StoredAudit,
        reviews: Reviews,
        images: Collection[int] | None,
        *,
        search: bool,
    ) -> Iterator[tuple[_Place, pd.DataFrame]]:
        """Yield each image that is not done, with its masks and whether they are decided on."""
        done: set[int] = set()
        masks = audit.masks(["image_id", "segmentation", "category", "area_px", "action"])
        masks = masks.assign(decided=False).sort_index()
        if has_reviews(audit):
            looked, decisions = reviews.reviewed_images(), reviews.decisions()
            done = set(looked.loc[looked["reviewer"] == self.reviewer, "image_id"].tolist())
            own = decisions.loc[decisions["reviewer"] == self.reviewer, "mask_id"]
            masks["decided"] = masks.index.isin(own)
        by_image = masks.groupby("image_id").indices
        nothing = np.zeros(0, np.int64)
        for key, image in audit.images(["file_name", "height", "width"]).sort_index().iterrows():
            number, height, width = int(str(key)), int(image["height"]), int(image["width"])
            if (images is not None and number not in images) or (search and number in done):
                continue
            own_scale = VIEW_PX / max(height, width) if self.scale is None else self.scale
            name = Path(str(image["file_name"])).name
            place = _Place(number, name, height, width, own_scale)
            yield place, masks.iloc[by_image.get(number, nothing)]

    def _decide(
        self, place: _Place, masks: pd.DataFrame, asked: BoolArray, *, search: bool
    ) -> _ImageWork:
        """Decide on an image's masks, and on its objects without one."""
        objects = self._rows.get(place.name, np.zeros(0, np.int64))
        counts = [bytes(one) if pd.notna(one) else b"" for one in masks["segmentation"]]
        of, iou = match_objects(_decode(counts, place), self.truth.runs[objects])
        work, settled = _ImageWork(), np.zeros(len(objects), bool)
        shown = zip(masks.index.tolist(), masks["action"], masks["category"], strict=True)
        for k, (mask_id, action, category) in enumerate(shown):
            if asked[k]:
                action = self._judge(float(iou[k]), self._chance(place, f"mask {mask_id}"))
                row = int(objects[of[k]]) if iou[k] >= FIX_IOU else -1
                if action == "accept" and self._rename(row, category) is not None:
                    action = "relabel"
                new = _Drawn(counts[k], row, self._rename(row, category))
                self._note(work, place, (mask_id, float(iou[k])), action, new)
            if action == "reject":
                settles = asked[k] and iou[k] >= self.good_iou  # they think that nothing is there
            else:
                settles = action == "fix" or iou[k] >= COVERED_IOU
            if settles:
                settled[of[k]] = True
        if search:
            work.actions.append(
                (place.image_id, -1, "search", self.times.search_s, np.nan, 0.0, 0.0)
            )
            for row in objects[~settled].tolist():
                if self._chance(place, f"object {row}") >= self.errors.miss:
                    new = _Drawn(None, row, self._rename(row, None))
                    self._note(work, place, (-1, np.nan), "add", new)
        return work

    def _rename(self, row: int, category: Any) -> str | None:
        """Return the category of an object where a mask of it has another one, or none."""
        right = self.truth.masks["category"].iloc[row] if row >= 0 else None
        if right is None or pd.isna(right) or (pd.notna(category) and category == right):
            return None
        return str(right)

    def _chance(self, place: _Place, what: str) -> float:
        """Return a number in [0, 1) that depends on the seed, the image and what it is for."""
        text = f"{self.seed} {place.name} {what}"
        return int.from_bytes(blake2b(text.encode(), digest_size=6).digest(), "big") / 2**48

    def _judge(self, iou: float, chance: float) -> str:
        """Return the action on a mask of an IoU with its object, NaN for none."""
        if iou >= self.good_iou:
            return "reject" if chance < self.errors.reject_good else "accept"
        if chance < self.errors.accept_bad:
            return "accept"
        return "fix" if iou >= FIX_IOU else "reject"

    def _note(
        self,
        work: _ImageWork,
        place: _Place,
        shown: tuple[int, float],
        action: str,
        new: _Drawn,
    ) -> None:
        """Add an action to an image's work, with what is drawn and how long that takes."""
        mask_id, iou = shown
        changed, outline, drawn = 0.0, 0.0, None
        if action in ("fix", "add"):
            mask = rle.to_dense(self.truth.runs, new.row)
            random = np.random.default_rng([self.seed, zlib.crc32(place.name.encode()), new.row])
            made = imprecise(mask, self.errors.outline, random)
            drawn = bytes(rle.encode_counts(rle.from_dense(made))[0].as_py())
            outline = place.scale * outline_length(mask)
            if new.before is not None:
                old = rle.to_dense(_decode([new.before], place), 0)
                near = (1 - self.good_iou) / 2 * float(np.sqrt(mask.sum() / np.pi))
                changed = place.scale * changed_length(old, made, near)
        seconds = _seconds(self.times, action, changed, outline)
        work.actions.append((place.image_id, mask_id, action, seconds, iou, changed, outline))
        said: dict[str, Any] = {"segmentation": drawn, "seconds": seconds}
        key = f"{self.reviewer} {self.seed} {place.image_id}"
        if action in ("fix", "add", "relabel"):
            said |= {"category": new.category}
        if action == "add":
            work.added.append(said | {"image_id": place.image_id, "key": f"{key} add {new.row}"})
        else:
            decided = "fix" if action == "relabel" else action
            said |= {"mask_id": mask_id, "action": decided, "key": f"{key} {mask_id}"}
            work.decisions.append(said)

    def _write(
        self, reviews: Reviews, place: _Place, work: _ImageWork, clock: Clock, *, search: bool
    ) -> None:
        """Write an image's decisions, all or none."""
        taken = [*work.decisions, *work.added]
        last = self.times.search_s if search else 0.0
        spent = np.cumsum([*(float(one["seconds"]) for one in taken), last])
        at = pd.to_datetime(
            clock.now_us() + (1e6 * (spent - spent[-1])).astype(np.int64), unit="us", utc=True
        )
        names = ["mask_id", "action", "segmentation", "category", "seconds", "key"]
        decisions = pd.DataFrame(work.decisions, columns=names).astype({"mask_id": "int64"})
        decided = decisions.assign(time=at[: len(decisions)], reviewer=self.reviewer)
        names = ["image_id", "segmentation", "category", "seconds", "key"]
        added = pd.DataFrame(work.added, columns=names)
        added = added.assign(time=at[len(decisions) : -1], reviewer=self.reviewer)
        looked = pd.DataFrame({"image_id": [place.image_id], "reviewer": [self.reviewer]})
        looked["seconds"] = last
        reviews.add(
            decided,
            origin=ORIGIN,
            missing=added if len(added) else None,
            reviewed_images=looked.assign(time=at[-1:]) if search else None,
        )


def _decode(counts: list[bytes], place: _Place) -> rle.Runs:
    sizes = (np.full(len(counts), side) for side in (place.height, place.width))
    return rle.decode_counts(counts, *sizes)[0]


def match_objects(masks: rle.Runs, truth: rle.Runs) -> tuple[IntArray, FloatArray]:
    """Return each mask's object, one mask an object, so that the sum of their IoUs is largest.

    Args:
        masks: n masks of one image.
        truth: k objects of the same image.

    Returns:
        Row of the object, shape (n,), -1 for none; IoU with it, shape (n,), NaN for none.
    """
    of, best = np.full(len(masks), -1), np.full(len(masks), np.nan)
    iou = iou_matrix(masks, truth)
    for row, column in zip(*linear_sum_assignment(-iou), strict=True):
        if iou[row, column] > 0:
            of[row], best[row] = column, iou[row, column]
    return of, best


def iou_matrix(masks: rle.Runs, truth: rle.Runs) -> FloatArray:
    """Return the IoU of every mask with every object of an image, shape (n, k)."""
    iou = np.zeros((len(masks), len(truth)))
    if not iou.size:
        return iou
    found = rle.cross_overlaps(masks, np.zeros(len(masks)), truth, np.zeros(len(truth)))
    one, other = rle.area(masks)[found.first], rle.area(truth)[found.second]
    iou[found.first, found.second] = found.intersection / (one + other - found.intersection)
    return iou
