"""Cards of the review page: one mask with its window and scores; an image with all its masks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray
from curate.errors import CallError
from curate.images import Box, window
from curate.people.reviews import Reviews
from curate.people.reviews.suggested_fixes import (
    TWICE,
    Faults,
    SuggestedFix,
    find_faults,
    is_exact_copy,
    suggest_correction,
    suggest_fix,
)
from curate.people.webapp.answers import (
    DetectedName,
    DrawnMask,
    ImageCard,
    MaskCard,
    MaskMeasures,
    MaskOutlines,
    ReasonLabel,
    RedrawnMask,
    ScoreLine,
    SuggestedCard,
    TwinCard,
    WholeMask,
)
from curate.people.webapp.filters import describe_low, is_low, score_columns
from curate.people.webapp.mask_files import ImageMasks
from curate.people.webapp.picture_cache import VIEWS, ViewCache, ViewRequest
from curate.people.webapp.request_parsing import MAX_CARDS, RequestError
from curate.people.webapp.shown_queue import ShownQueue
from curate.render.formatting import display_text, hash_reason, kind_of, score
from curate.render.mask_drawing import (
    box_of,
    declared_of,
    point_of,
    read_finite,
    twin_of,
    twin_words,
)
from curate.render.outline_path import path_of
from curate.reporting.methods import ColumnTerm, column_terms
from curate.rle import Runs, concat, decode_counts, encode_counts, from_dense, merge
from curate.scorers.judge import JUDGE_COLUMNS
from curate.scorers.reason_template import JOINT
from curate.store.mask_corrections import MaskCorrection
from curate.store.rows_by_id import pair_iou, rows_of

CARD_PX = 1024
"""Longest side at which a card's window is drawn."""

LEAST_WINDOW_PX = 128
"""Smallest side of a card's window: a mask of 14 pixels is nothing without its surroundings."""

MAX_NEIGHBOURS = 60
"""Other masks that are drawn in a window."""

_JUDGE_SCORE, _, _JUDGE_REASON = JUDGE_COLUMNS

_TOLD_CHARACTERS = 30
"""Where a reason begins with so many of a judge's own, it repeats them."""

Marks = dict[str, tuple[float, ...] | None]

IMAGE_PX = 2048
"""Longest side at which a whole image is drawn."""


class Cards:
    """Makes cards of a queue's masks.

    Args:
        queue: The queue.
        version: Names the audit and the folder of pictures; part of the URLs of pictures.
        pictures: Whether there are pictures.
        usual: By score, the value that nine masks in ten of the dataset reach; lower ones are
            explained.
        corrections: By mask id, the corrections that a verifier found.
        accuracy: Share of masks that the classifier of categories is right for, if it is known.
    """

    def __init__(
        self,
        queue: ShownQueue,
        version: str,
        *,
        pictures: bool,
        usual: Mapping[str, float] | None = None,
        corrections: Mapping[int, MaskCorrection] | None = None,
        accuracy: float | None = None,
    ) -> None:
        self.accuracy = accuracy
        self.queue, self.version, self.pictures = queue, version, pictures
        self.usual, self.corrections = usual or {}, corrections or {}

    def card(self, row: int) -> MaskCard:
        """Return the card of a row of the queue."""
        part, at = self.queue.files.part(int(self.queue.places[row]))
        values, twin, marks, box = self._frame_mask(part, at)
        mask_id = int(values["mask_id"])
        return {
            # Which person's row it is must not be seen, so it is always called the first.
            "item": f"{mask_id}.0",
            "mask_id": str(mask_id),
            "slot": 0,
            "place": row + 1,
            **_measures(values, box),
            "picture": self._address(mask_id, box),
            **self._outlines(part, at, twin, box, values),
            "marks": _to_window(marks, box),
            "reasons": self._reasons(values),
            "scores": self._scores(values),
            "quality": None
            if self._hides("quality_score")
            else _finite_or_none(values, "quality_score"),
            "whole_image": True if self.queue.asks_for_missing(row) else None,
            "suggested": self._suggested(part, at, values, twin, box),
            "detected": self._detected(values),
        }

    def suggest(self, place: int) -> SuggestedFix | None:
        """Return the fix that is suggested of a mask; None where there is none."""
        part, at = self.queue.files.part(place)
        return self._suggest(part, at, part.row(at))

    def _suggest(self, part: ImageMasks, at: int, values: Mapping[str, Any]) -> SuggestedFix | None:
        if self._hides("reasons"):
            return None
        found = self.corrections.get(int(values["mask_id"]))
        if found is not None:
            return suggest_correction(found, int(values["height"]), int(values["width"]))
        low = {
            name: is_low(value, self.usual.get(name))
            for name in ("hole_score",)
            if (value := _finite_or_none(values, name)) is not None
        }
        faults = find_faults(low, declared=declared_of(values) is not None)
        return suggest_fix(part.runs([at]), faults)

    def _suggested(
        self, part: ImageMasks, at: int, values: Mapping[str, Any], twin: int | None, box: Box
    ) -> SuggestedCard | None:
        if twin is not None and is_exact_copy(values) and not self._hides("reasons"):
            other = part.row(twin)
            if other.get("category") == values.get("category"):
                words = f"reject it, an exact copy of mask {int(other['mask_id'])}"
                return {"words": words, "path": "", "source": TWICE, "added": []}
        found = self._suggest(part, at, values)
        if found is None:
            return None
        masks = found.mask if found.added is None else concat([found.mask, found.added])
        path = "".join(path_of(masks, k, box, CARD_PX) for k in range(len(masks)))
        added = [counts_of(masks[k : k + 1]) for k in range(1, len(masks))]
        return {"words": found.words, "path": path, "source": found.source, "added": added}

    def _detected(self, values: Mapping[str, Any]) -> DetectedName | None:
        for by, column, share, accuracy in (
            ("detector", "detector_category", "detector_category_confidence", None),
            ("classifier", "category_suggested", "category_suggested_probability", self.accuracy),
        ):
            name = values.get(column)
            if name and not self._hides(column):
                sure = _finite_or_none(values, share)
                return {"name": str(name), "confidence": sure, "by": by, "accuracy": accuracy}
        return None

    def merge_with_twin(self, place: int) -> tuple[Runs, int]:
        """Return the union of a mask and its twin, and the twin.

        Raises:
            CallError: It has no twin of the same size.
        """
        part, at = self.queue.files.part(place)
        twin = None if self._hides("duplicate_of") else _find_twin(part, part.row(at))
        runs = part.runs([at] if twin is None else [at, twin])
        sizes = np.column_stack([runs.heights, runs.widths])
        if twin is None or (sizes != sizes[0]).any():
            raise CallError("it has no twin to merge with")
        return merge(runs), int(part.table["mask_id"][twin].as_py())

    def _address(self, mask_id: int, box: Box) -> str | None:
        """Return the URL of a card's picture; it changes with the window."""
        return (
            f"/api/picture/{mask_id}?v={self.window_tag(box)}&view=card" if self.pictures else None
        )

    def window_tag(self, box: Box) -> str:
        """Return a word for what a window shows: a browser keeps pictures under it for good."""
        return tag_window(self.version, box)

    def _frame_mask(
        self, part: ImageMasks, at: int
    ) -> tuple[dict[str, Any], int | None, Marks, Box]:
        """Return a mask's values, its twin's row, its marks, and the window that shows them."""
        values = part.row(at)
        twin = None if self._hides("duplicate_of") else _find_twin(part, values)
        marks = _empty_marks() if self._hides("reasons") else find_marks(values)
        return values, twin, marks, choose_window(values, part, twin, marks)

    def view(self, place: int, name: str) -> tuple[ViewRequest, str]:
        """Return the render request of a mask's view, and the tag of its card's window.

        Args:
            place: Where the mask stands in the files.
            name: A word of :data:`curate.people.webapp.picture_cache.VIEWS`.
        """
        values, _, _, box = self._frame_mask(*self.queue.files.part(place))
        size = int(values["height"] or 0), int(values["width"] or 0)
        file_name = str(values.get("file_name") or "")
        view = ViewRequest(file_name, size, None if name == "whole" else box, VIEWS[name])
        return view, self.window_tag(box)

    def _hides(self, column: str) -> bool:
        return column not in self.queue.columns

    def _outlines(
        self, part: ImageMasks, at: int, twin: int | None, box: Box, values: Mapping[str, Any]
    ) -> MaskOutlines:
        around = [k for k in _find_neighbours(part, at, box) if k != twin]
        rows = [at, *([] if twin is None else [twin]), *around]
        runs = part.runs(rows)
        same = (runs.heights == runs.heights[0]) & (runs.widths == runs.widths[0])
        first = 1 if twin is None else 2
        others = [path_of(runs, k, box, CARD_PX // 2) for k in range(first, len(rows)) if same[k]]
        found: TwinCard | None = None
        if twin is not None and same[1]:
            iou = float(pair_iou(runs[:1], runs[1:2])[0])
            found = {
                "item": f"{int(part.table['mask_id'][twin].as_py())}.0",
                "mask_id": str(int(part.table["mask_id"][twin].as_py())),
                "category": part.row(twin).get("category"),
                "duplicate": _finite_or_none(values, "duplicate_of")
                == float(part.table["mask_id"][twin].as_py()),
                "iou": iou if math.isfinite(iou) else None,
                "words": twin_words(values),
                "path": path_of(runs, 1, box, CARD_PX),
            }
        return {"path": path_of(runs, 0, box, CARD_PX), "twin": found, "others": "".join(others)}

    def _reasons(self, values: Mapping[str, Any]) -> list[ReasonLabel]:
        if self._hides("reasons"):
            return []
        reasons = [text.strip() for text in str(values.get("reasons") or "").split(JOINT)]
        return [
            {"id": hash_reason(kind_of(t)), "words": display_text(t, 400)} for t in reasons if t
        ]

    def _scores(self, values: Mapping[str, Any]) -> list[ScoreLine]:
        found: list[ScoreLine] = [
            {
                "column": term.column,
                "title": term.title,
                "value": value,
                "shown": score(value),
                "words": self._describe_low(term, value, values),
            }
            for term in score_columns(self.queue)
            if term.column != "quality_score"
            and (value := _finite_or_none(values, term.column)) is not None
        ]
        return sorted(found, key=lambda each: each["value"])

    def _describe_low(self, term: ColumnTerm, value: float, values: Mapping[str, Any]) -> str:
        """Return the meaning of a low score where the card does not say it yet; of a judge, why."""
        said = describe_low(value, self.usual.get(term.column), term.low_means)
        if not said or term.column != _JUDGE_SCORE:
            return said
        why = "" if self._hides(_JUDGE_REASON) else str(values.get(_JUDGE_REASON) or "")
        reasons = _letters("" if self._hides("reasons") else str(values.get("reasons") or ""))
        if "judge" in reasons or (why and _letters(why)[:_TOLD_CHARACTERS] in reasons):
            return ""
        return display_text(why, 400) or said


def _letters(text: str) -> str:
    """Return a text as a policy's reason repeats it, whatever was done to its punctuation."""
    return re.sub(r"\W+", " ", text).strip().lower()


def tag_window(version: str, box: Box) -> str:
    """Return a word for what a window shows of an audit's pictures."""
    text = f"{version} {box.x} {box.y} {box.w} {box.h}"
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _measures(values: Mapping[str, Any], box: Box) -> MaskMeasures:
    sides = [_finite_or_none(values, f"bbox_{side}") or 0 for side in "xywh"]
    return {
        "image_id": str(int(values["image_id"])),
        "file_name": display_text(values.get("file_name"), 300),
        "height": int(values["height"] or 0),
        "width": int(values["width"] or 0),
        "category": values.get("category"),
        "window": {"x": box.x, "y": box.y, "w": box.w, "h": box.h},
        "area_px": int(_finite_or_none(values, "area_px") or 0),
        "bbox": [int(side) if side == int(side) else side for side in sides],
    }


def _finite_or_none(values: Mapping[str, Any], name: str) -> float | None:
    found = read_finite(values, (name,))
    return found[0] if found else None


def _finite_number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _find_twin(part: ImageMasks, values: Mapping[str, Any]) -> int | None:
    """Return the row of the mask to show beside one; it is of the same image."""
    other = twin_of(values)
    if other is None:
        return None
    ids = part.table["mask_id"].to_numpy()
    found = np.flatnonzero(ids == other)
    return int(found[0]) if len(found) else None


def _empty_marks() -> Marks:
    return {"point": None, "declared": None}


def find_marks(values: Mapping[str, Any]) -> Marks:
    """Return the prompt point and declared box that a mask does not agree with, in image pixels.

    Returns:
        ``point``: where it was prompted, if it does not contain that; ``declared``: the box that
        its source states, if it is not its own. None for each that does not apply.
    """
    reached = _finite_or_none(values, "prompt_score")
    point = point_of(values) if reached is not None and reached < 1 else None
    return {"point": point, "declared": declared_of(values)}


def _to_window(marks: Marks, box: Box) -> dict[str, list[float] | None]:
    """Return marks in pixels from a window's corner."""
    corner = (box.x, box.y, 0, 0)
    return {
        name: None if mark is None else [a - b for a, b in zip(mark, corner, strict=False)]
        for name, mark in marks.items()
    }


def choose_window(
    values: Mapping[str, Any], part: ImageMasks, twin: int | None, marks: Marks
) -> Box:
    """Return the window on the image that shows a mask, its twin and its marks.

    Args:
        values: The mask's values.
        part: The masks of its image.
        twin: Row of the twin among them; None for none.
        marks: What :func:`find_marks` gave.
    """
    beside = None if twin is None else part.boxes[twin].tolist()
    point = marks["point"]
    dot = None if point is None else (point[0] - 1, point[1] - 1, 3.0, 3.0)
    parts = [p for p in (box_of(values), beside, dot, marks["declared"]) if p is not None]
    size = int(values["width"] or 0), int(values["height"] or 0)
    found = window(size, [(p[0], p[1], p[2], p[3]) for p in parts], least=LEAST_WINDOW_PX)
    return found or Box(0, 0, max(1, size[0]), max(1, size[1]))


def _find_neighbours(part: ImageMasks, at: int, box: Box) -> list[int]:
    """Return the other masks of an image that overlap a window."""
    x, y, w, h = part.boxes.T
    hit = (x < box.x + box.w) & (x + w > box.x) & (y < box.y + box.h) & (y + h > box.y)
    hit &= (w > 0) & (np.arange(len(part)) != at)
    return [int(row) for row in np.flatnonzero(hit)[:MAX_NEIGHBOURS]]


def read_mask(queue: ShownQueue, place: int) -> WholeMask:
    """Return a mask's size, window and compressed counts."""
    part, at = queue.files.part(place)
    values = part.row(at)
    twin = None if "duplicate_of" not in queue.columns else _find_twin(part, values)
    box = choose_window(values, part, twin, _empty_marks())
    runs = part.runs([at])
    return {
        "height": int(values["height"] or 0),
        "width": int(values["width"] or 0),
        "counts": counts_of(runs),
        "window": {"x": box.x, "y": box.y, "w": box.w, "h": box.h},
    }


def counts_of(runs: Runs) -> str:
    """Return one mask as compressed counts."""
    return bytes(encode_counts(runs).to_pylist()[0] or b"").decode("ascii")


def with_outline(drawn: DrawnMask, view: ViewRequest, mask: Runs | None = None) -> RedrawnMask:
    """Return a drawn mask with its outline in a view's window, and its IoU with a mask."""
    height, width = view.size
    runs, _ = decode_counts([drawn["counts"].encode()], np.array([height]), np.array([width]))
    box = view.box or Box(0, 0, width, height)
    iou = 0.0 if mask is None else float(pair_iou(runs, mask)[0])
    path = path_of(runs, 0, box, CARD_PX)
    return {**drawn, "path": path, "iou": iou if math.isfinite(iou) else 0.0}


def load_kernels() -> None:
    """Load the compiled kernels and the texts of scores, which takes longer than a card does."""
    runs = from_dense(np.eye(4, dtype=np.bool_))
    runs, _ = decode_counts(encode_counts(runs), runs.heights, runs.widths)
    path_of(runs, 0, Box(0, 0, 4, 4), CARD_PX)
    path_of(runs, 0, Box(0, 0, 4, 4), 4)
    pair_iou(runs, runs)
    suggest_fix(runs, Faults(holes=True))
    column_terms()


class ImageCards:
    """The images of a queue, for review as a whole.

    Args:
        queue: The queue.
        cards: Makes the tags of windows.
        views: Their pictures.
        reviews: Which images were reviewed by whom.
    """

    def __init__(self, queue: ShownQueue, cards: Cards, views: ViewCache, reviews: Reviews) -> None:
        self.queue, self.cards, self.views, self.reviews = queue, cards, views, reviews

    def image(self, image_id: int) -> ImageCard:
        """Return an image with the outlines of its masks."""
        found = self.queue.files.of_image(image_id)
        if found is None and image_id in self.queue.bare_images:
            return self._bare(image_id)
        if found is None:
            raise RequestError(404, "no mask stands on such an image")
        card = make_image_card(found, judged="quality_score" in self.queue.columns)
        seen = self.cards.window_tag(Box(0, 0, card["width"], card["height"]))
        address = f"/api/picture/{card['picture_of']}?v={seen}&view=whole"
        card["picture"] = address if self.views else None
        return card

    def unchecked(self, done: BoolArray) -> list[ImageCard]:
        """Return drawn images that nobody has searched for missing masks yet; they come last.

        Args:
            done: See :func:`list_unchecked_images`.
        """
        found = list_unchecked_images(self.queue, self.reviews, done)
        return [self.image(image) for image in found[:MAX_CARDS]]

    def find_scene(self, image_id: int) -> ViewRequest:
        """Return the whole picture of a drawn image that holds no mask."""
        if image_id not in self.queue.bare_images:
            raise RequestError(404, "there is no such picture")
        row = self._row(image_id)
        size = int(row["height"]), int(row["width"])
        return ViewRequest(str(row["file_name"]), size, None, VIEWS["whole"])

    def _bare(self, image_id: int) -> ImageCard:
        row = self._row(image_id)
        return {
            "image_id": str(image_id),
            "file_name": display_text(row["file_name"], 300),
            "height": int(row["height"]),
            "width": int(row["width"]),
            "picture": f"/api/scene/{image_id}" if self.views else None,
            "picture_of": None,
            "masks": [],
        }

    def _row(self, image_id: int) -> pd.Series[Any]:
        columns = ("file_name", "height", "width")
        ids = np.array([image_id], np.int64)
        found = rows_of(self.reviews.audit, "images", "image_id", ids, columns)
        if not len(found):
            raise RequestError(404, "there is no such image")
        return found.iloc[0]


def list_unchecked_images(queue: ShownQueue, reviews: Reviews, done: BoolArray) -> list[int]:
    """Return a queue's images that nobody has searched for missing masks, and can be by now.

    Of a random sample only those without masks: the page asks for the others after their last mask.
    Of a round of the engine all must be searched, also those that a closed page did not get to.

    Args:
        queue: The queue.
        reviews: Which images were searched by whom.
        done: Which rows of the queue need nothing more, shape (rows,).
    """
    images = queue.bare_images
    if not queue.blind:
        open_ = set(queue.image_ids[~done].tolist())
        images = tuple(image for image in queue.drawn_images if image not in open_)
    if not images:
        return []
    reviewed_images = reviews.reviewed_images()
    if queue.blind:
        reviewed_images = reviewed_images[reviewed_images["draw_id"] == queue.draw_id]
    seen = set(reviewed_images["image_id"].tolist())
    return [image for image in images if image not in seen]


def make_image_card(part: ImageMasks, *, judged: bool = False) -> ImageCard:
    """Return an image with the outlines of all its masks, the largest first.

    Args:
        part: The masks.
        judged: Whether their quality may be shown.
    """
    values = part.row(0)
    height, width = int(values["height"] or 0), int(values["width"] or 0)
    box = Box(0, 0, max(1, width), max(1, height))
    runs = part.runs(range(len(part)))
    qualities: list[float | None] = [None] * len(part)
    if judged and "quality_score" in part.table.schema.names:
        qualities = part.table["quality_score"].to_pylist()
    some = part.table.select(["mask_id", "category"]).to_pylist()
    # A small mask lies over a large one, so that both can be pointed at.
    order = np.argsort(-(part.boxes[:, 2] * part.boxes[:, 3]), kind="stable").tolist()
    same = (runs.heights == height) & (runs.widths == width)
    return {
        "image_id": str(int(values["image_id"])),
        "file_name": display_text(values.get("file_name"), 300),
        "height": height,
        "width": width,
        "picture_of": str(int(values["mask_id"])),
        "masks": [
            {
                "mask_id": str(some[k]["mask_id"]),
                "category": some[k]["category"],
                "quality": _finite_number(qualities[k]),
                "path": path_of(runs, k, box, IMAGE_PX) if same[k] else "",
            }
            for k in order
        ],
    }
