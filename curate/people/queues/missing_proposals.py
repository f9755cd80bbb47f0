"""Proposed missing masks: places where a detector or a verifier sees an object and no mask is.

They come from the detections that an audit was given and from what its verifier found, and are
those that count as missing masks (see :func:`curate.scorers.detector.list_missing_detections` and
:func:`curate.scorers.unmasked_objects.join_missing`). A proposal's id is made of its image
and its box, so it stays the same in an audit that is made anew with the same detections. Images
without any mask have proposals as others have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curate.common.arrays import FloatArray, IntArray
from curate.common.json_values import is_finite_number
from curate.errors import AuditError
from curate.people.reviews import has_reviews
from curate.people.reviews.proposal_answers import ADD, read_answers
from curate.people.reviews.review_file import Reviews
from curate.rle import OK, Runs, bbox, decode_counts, from_dense, measure, paste
from curate.scorers.counterparts import box_pairs
from curate.store.audit import StoredAudit
from curate.store.audit_files import part_paths
from curate.store.parquet_parts import RESTORE, read_columns, read_schema
from curate.store.rows_by_id import decode_masks, rows_of

KIND = "missing"
"""The kind of a queue of proposals."""

SEEN_BY = ("detector", "verifier", "both")
"""Who can have seen an object without a mask."""

SAME_PLACE = 0.5
"""IoU of boxes from which on a mask that people added is the proposed one."""

NEAR_A_MASK = 0.35
"""IoU with the best mask from which on an object probably has a mask with an inexact outline."""

COLUMNS = (
    *("proposal_id", "image_id", "file_name", "category", "confidence", "best_iou"),
    *("bbox_x", "bbox_y", "bbox_w", "bbox_h", "height", "width", "seen_by"),
)
"""Columns of :func:`read_proposals`."""

_NUMBER, _LISTED = "missing_detections", "missing_detections_json"
_READ = ("image_id", "file_name", "height", "width", _NUMBER, _LISTED)


@dataclass(frozen=True)
class ProposalCounts:
    """Numbers of an audit's proposals.

    Attributes:
        added: Those that people added, as proposed or edited.
        refused: Those that people refused.
        covered: Further ones that have a mask by now which people added otherwise.
        left: Those that nobody has answered.
    """

    added: int = 0
    refused: int = 0
    covered: int = 0
    left: int = 0

    @property
    def total(self) -> int:
        """How many proposals there are."""
        return self.added + self.refused + self.covered + self.left

    def clause(self) -> str:
        """Return the counts that are not 0: "2 added, 1 refused"; "" where nothing was proposed."""
        parts = (
            (self.added, "added"),
            (self.refused, "refused"),
            (self.covered, "covered by a mask that was added otherwise"),
            (self.left, "to look at"),
        )
        return ", ".join(f"{number:,} {word}" for number, word in parts if number)

    def text(self) -> str:
        """Return them in a line; "" where nothing was proposed."""
        return f"missing masks proposed: {self.total:,} ({self.clause()})" if self.total else ""


def name_proposal(image_id: int, box: tuple[float, ...]) -> int:
    """Return the id of a proposal: a negative number of up to 62 bits.

    >>> name_proposal(7, (1.0, 2.0, 30.0, 40.0)) == name_proposal(7, (1, 2, 30, 40))
    True
    """
    text = f"{image_id} {' '.join(format(side, '.1f') for side in box)}"
    return -1 - (int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 2)


def read_proposals(audit: StoredAudit) -> pd.DataFrame:
    """Return all proposals of an audit, the surest first, and last those near a mask.

    Near a mask (:data:`NEAR_A_MASK`) the object has one, more likely than not, whose outline is
    inexact.

    Returns:
        :data:`COLUMNS`, a row a proposal: its box (XYWH, pixels), the ``confidence`` of who saw it,
        ``category`` (None where none is known), ``best_iou``, the IoU with the best mask there is,
        and ``seen_by``: "detector", "verifier" or "both". No row where the audit was given neither.

    Raises:
        AuditError: A part is missing, damaged, or not as curate writes it.
    """
    known = audit.info.references
    names = known.get("category_names", {}) if known is not None else {}
    rows = [row for entry in _entries(audit) for row in _rows_of(*entry, names)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame = frame.astype({"proposal_id": "int64", "image_id": "int64", "category": object})
    frame = frame.drop_duplicates("proposal_id")
    near = (frame["best_iou"] >= NEAR_A_MASK).to_numpy(np.bool_)
    order = np.lexsort((frame["proposal_id"], -frame["confidence"], near))
    return frame.iloc[order].reset_index(drop=True)


def read_pixels(audit: StoredAudit, image_id: int) -> dict[int, str]:
    """Return the masks of an image's proposals, compressed counts by ``proposal_id``.

    Those of which a detector has only a box are left out.
    """
    ids = np.array([image_id], np.int64)
    found = rows_of(audit, "images", "image_id", ids, [_LISTED])
    if _LISTED not in found or not len(found):
        return {}
    return {
        name_proposal(image_id, box): entry["segmentation"]
        for entry, box in _counted(found[_LISTED].iloc[0])
        if isinstance(entry.get("segmentation"), str)
    }


def check_open(audit: StoredAudit, proposals: pd.DataFrame) -> None:
    """Check that people are left a proposal to answer.

    Raises:
        AuditError: There is none, or all are answered; says who was asked for them.
    """
    if len(proposals):
        if not (proposal_states(audit, proposals) == "left").any():
            what = f"all {len(proposals):,} proposed missing masks are answered"
            raise AuditError(what, str(audit.path), "nothing needs to be done")
        return
    detector = "detections" in audit.info.inputs or "detector" in audit.info.models
    verifier = audit.info.models.get("verifier")
    give = "give `curate audit` detections (--detections or --detector)"
    if verifier is not None and not verifier.get("proposes_masks", True):
        seen = "no detection is without a mask, and " if detector else ""
        why = f"{seen}the verifier was not asked: it sees missing masks no better than chance"
        do = "train it longer (`curate train-verifier`)" + ("" if detector else f", or {give}")
    elif detector or verifier is not None:
        why, do = "no object without a mask was seen", ""
    else:
        why, do = "there are no detections", f"{give} or a --verifier"
    raise AuditError(f"no missing mask is proposed: {why}", str(audit.path), do)


def find_open(audit: StoredAudit, proposals: pd.DataFrame) -> pd.DataFrame:
    """Return the proposals that nobody has answered, and that no added mask covers."""
    state = proposal_states(audit, proposals)
    return proposals[(state == "left").to_numpy(np.bool_)].reset_index(drop=True)


def count_proposals(audit: StoredAudit) -> ProposalCounts:
    """Count an audit's proposals by what people made of them."""
    counts = proposal_states(audit, read_proposals(audit)).value_counts()
    return ProposalCounts(
        *(int(counts.get(name, 0)) for name in ("added", "refused", "covered", "left"))
    )


def proposal_states(audit: StoredAudit, proposals: pd.DataFrame) -> pd.Series[Any]:
    """Return the state of each proposal: "added", "refused", "covered" or "left"."""
    state = pd.Series(["left"] * len(proposals), proposals.index, dtype=object)
    if not len(proposals) or not has_reviews(audit):
        return state
    reviews = Reviews(audit)
    answers = read_answers(reviews)
    state[_covered(reviews, proposals)] = "covered"
    last = answers.drop_duplicates("proposal_id", keep="last").set_index("proposal_id")["answer"]
    said = proposals["proposal_id"].map(last)
    state[said.notna()] = np.where(said[said.notna()] == ADD, "added", "refused")
    return state


def _covered(reviews: Reviews, proposals: pd.DataFrame) -> Any:
    """Return which proposals lie where people added a mask, shape (n,)."""
    added = reviews.missing()
    covered = np.zeros(len(proposals), np.bool_)
    added = added[added["image_id"].isin(proposals["image_id"])]
    if not len(added):
        return covered
    sizes = proposals.drop_duplicates("image_id").set_index("image_id")
    heights, widths = (
        sizes[name].loc[added["image_id"]].to_numpy(np.int64) for name in ("height", "width")
    )
    runs, _ = decode_masks(added["segmentation"].tolist(), heights, widths)
    groups = proposals["image_id"].to_numpy(np.int64), added["image_id"].to_numpy(np.int64)
    pairs = box_pairs(boxes_of(proposals), bbox(runs).astype(np.float64), groups)
    covered[pairs.first[pairs.iou >= SAME_PLACE]] = True
    return covered


def boxes_of(proposals: pd.DataFrame) -> FloatArray:
    """Return the boxes of proposals, shape (n, 4), XYWH."""
    return np.ascontiguousarray(
        proposals[["bbox_x", "bbox_y", "bbox_w", "bbox_h"]].to_numpy(np.float64)
    )


def whole_box(box: tuple[float, ...], height: int, width: int) -> tuple[int, int, int, int]:
    """Return a box in whole pixels, XYWH, inside an image and at least one pixel large."""
    x, y, w, h = box
    left, top = (min(max(0, round(at)), side - 1) for at, side in ((x, width), (y, height)))
    right, bottom = min(width, round(x + w)), min(height, round(y + h))
    return left, top, max(1, right - left), max(1, bottom - top)


def draw_proposal(
    counts: str | None, box: tuple[float, ...], height: int, width: int
) -> tuple[Runs, str]:
    """Return a proposed mask, and what it is: a "mask", or the detector's "box".

    Args:
        counts: The mask as :func:`read_pixels` gives it; None where there is none.
        box: XYWH, pixels.
        height: Of the image.
        width: Of the image.
    """
    if counts is not None:
        runs, codes = decode_counts([counts.encode()], np.array([height]), np.array([width]))
        if codes[0] == OK and int(measure(runs)[0][0]):
            return runs, "mask"
    x, y, w, h = whole_box(box, height, width)
    return paste(from_dense(np.ones((h, w), np.bool_)), [(x, y)], [height], [width]), "box"


def _entries(audit: StoredAudit) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the images with proposals: their values and the JSON."""
    for path in part_paths(audit.path, "images"):
        if _LISTED not in read_schema(path).names:
            continue
        table = read_columns(path, _READ)
        number = pc.fill_null(table[_NUMBER].cast(pa.float64()), 0)
        some = table.filter(pc.greater(number, 0))
        for row in some.to_pylist():
            if row[_LISTED]:
                yield row, row[_LISTED]


def _rows_of(
    image: Mapping[str, Any], text: str, names: Mapping[str, str]
) -> Iterator[tuple[Any, ...]]:
    height, width = int(image["height"]), int(image["width"])
    for entry, box in _counted(text):
        number, name = entry.get("category_id"), entry.get("category")
        known = names.get(str(number)) if number is not None else None
        yield (
            name_proposal(int(image["image_id"]), box),
            int(image["image_id"]),
            image["file_name"],
            known or (name if isinstance(name, str) and name else None),
            float(entry["score"]) if is_finite_number(entry.get("score")) else math.nan,
            float(entry["explained"]) if is_finite_number(entry.get("explained")) else math.nan,
            *box,
            height,
            width,
            entry.get("seen_by") if entry.get("seen_by") in SEEN_BY else SEEN_BY[0],
        )


def _counted(text: str) -> list[tuple[Mapping[str, Any], tuple[float, ...]]]:
    """Return the entries of a list that count as missing masks, with their boxes.

    Raises:
        AuditError: It is no such list.
    """
    try:
        listed = orjson.loads(text or "[]")
        found = [
            (one, tuple(map(float, one["bbox"]))) for one in listed if one.get("counted", True)
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"it is damaged (its {_LISTED} are no list of places)"
        raise AuditError(what, "images", RESTORE) from error
    return [
        (one, box) for one, box in found if len(box) == 4 and all(math.isfinite(v) for v in box)
    ]


def ids_of(proposals: pd.DataFrame) -> IntArray:
    """Return the ids of proposals, shape (n,)."""
    return proposals["proposal_id"].to_numpy(np.int64)
