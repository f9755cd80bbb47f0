"""Features of reviewed masks, and of a sample of the dataset that they stand for."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from curate import scorers
from curate.common.arrays import BoolArray, FloatArray, IntArray, UInt64Array
from curate.errors import AuditError, CallError
from curate.pipeline.deciding import is_crowd, sample
from curate.quality import label_free
from curate.quality.features import FeatureColumns, choose_columns
from curate.quality.sample_weights import prominence
from curate.quality.training import JUDGE_SCORE
from curate.store.audit import StoredAudit
from curate.store.audit_files import count_parts, part_names, read_part, to_frame
from curate.store.audit_records import TailReference

MIN_BAD = 5
MIN_GOOD = 5
MIN_IMAGES = 5
"""With less than these there is nothing to learn from, or nothing to try it on."""

MIN_BAD_IMAGES = 2
"""Images that must have bad masks, so that one can be held out."""

HELD_OUT_KIND = "estimate"
"""Reviews of this kind are never learned from."""

_CONTEXT = ("image_id", "file_name", "area_px", "crowd_region", "priority")


@dataclass(frozen=True)
class MaskFeatures:
    """Some masks of an audit.

    Attributes:
        frame: A row a mask with its scores and measures.
        evidence: How strongly each signal speaks against it, label-free.
        suspicion: How strongly all signals together do, label-free, shape (masks,).
    """

    frame: pd.DataFrame
    evidence: pd.DataFrame
    suspicion: FloatArray

    def matrix(self, columns: FeatureColumns) -> FloatArray:
        """Return the features of a quality model, shape (n, columns)."""
        return columns.matrix(self.frame, self.suspicion)

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class ReviewedMasks:
    """Reviewed masks to learn from, the dataset's sample, and the held-out sample.

    Attributes:
        masks: The masks that people decided on.
        bad: Which of them they found bad.
        dataset: A sample of all masks.
        columns: What can tell the dataset's masks apart.
        check: Reviewed masks of a random sample, held back from learning.
        check_bad: Which of these are bad.
        check_weight: How many masks each of these stands for.
        left_out: Why decisions were left out, and how many.
    """

    masks: MaskFeatures
    bad: BoolArray
    dataset: MaskFeatures
    columns: FeatureColumns
    check: MaskFeatures
    check_bad: BoolArray
    check_weight: FloatArray
    left_out: dict[str, int] = field(default_factory=dict)

    def prominence(self) -> tuple[FloatArray, FloatArray]:
        """Return the prominence of the reviewed masks and of the dataset's, each shape (n,)."""
        here, there = (
            [x.suspicion, x.frame["priority"].to_numpy(np.float64)]
            for x in (self.masks, self.dataset)
        )
        return prominence(here, there)

    def image_keys(self) -> UInt64Array:
        """Return a hash of each mask's image, equal in every audit of the same pictures."""
        return hash_images(self.masks.frame)


def gather_reviewed(
    audit: StoredAudit, labels: pd.DataFrame, also: Collection[str] = ()
) -> ReviewedMasks:
    """Join decisions and scores.

    Args:
        audit: A finished audit.
        labels: One label a mask, as ``Reviews.resolve_labels`` gives them.
        also: Columns to read beside those that the dataset has something to say with.

    Raises:
        CallError: A label is of no mask of the audit, or there are too few; names the number
            needed.
    """
    _check_labels(labels)
    reference = audit.info.fitted["quality"]
    everything = _sample_masks(audit)
    measures = [c.name for c in scorers.columns("mask").values() if c.kind == "measure"]
    columns = choose_columns(everything, ["area_px", *measures]).without(JUDGE_SCORE)
    if audit.info.judge:  # it was asked about few masks, which a sample may have missed
        columns = columns.with_signal(JUDGE_SCORE)
    read = {*columns.names, *also, *label_free.columns_read(reference), *_CONTEXT}
    rows = _read_columns(audit, labels.index, read)
    settled = np.ones(len(rows), np.bool_)
    if "settled" in labels:
        settled = labels["settled"].reindex(rows.index).to_numpy(np.bool_)
    judged = ~is_crowd(rows) & (rows["area_px"] > 0) & settled
    held = (labels["queue_kind"].reindex(rows.index) == HELD_OUT_KIND).to_numpy(bool)
    left_out = {
        "on which people disagree": int((~settled & ~held).sum()),
        "of a random sample, kept for certify and estimate": int(held.sum()),
        "of crowd regions and empty masks": int((~judged & ~held & settled).sum()),
    }
    bad = ~labels["good"].reindex(rows.index).to_numpy(bool)
    use, check = judged.to_numpy() & ~held, judged.to_numpy() & held
    _check_enough(bad[use], rows["image_id"].to_numpy()[use], left_out)
    inclusion = labels["inclusion_probability"].reindex(rows.index).to_numpy(np.float64)
    return ReviewedMasks(
        _make_features(rows[use], reference),
        bad[use],
        _make_features(everything, reference),
        columns,
        _make_features(rows[check], reference),
        bad[check],
        np.where(inclusion[check] > 0, 1 / np.maximum(inclusion[check], 1e-12), 1.0),
        {why: count for why, count in left_out.items() if count},
    )


def sample_features(audit: StoredAudit) -> MaskFeatures:
    """Return a sample of an audit's masks with what a quality model reads of them."""
    return _make_features(_sample_masks(audit), audit.info.fitted["quality"])


def _sample_masks(audit: StoredAudit) -> pd.DataFrame:
    everything = sample(audit.path)
    return everything[~is_crowd(everything) & (everything["area_px"] > 0)]


def _make_features(frame: pd.DataFrame, reference: Mapping[str, TailReference]) -> MaskFeatures:
    strengths = label_free.evidence(frame, reference)
    suspicion = label_free.suspicion(frame, strengths, reference)
    return MaskFeatures(frame, strengths, suspicion)


def _check_labels(labels: pd.DataFrame) -> None:
    for name in ("good", "queue_kind", "inclusion_probability"):
        if name not in labels:
            raise CallError(
                f"the labels have no column {name}", "learn", "take Reviews.resolve_labels()"
            )
    if labels["good"].dtype != np.dtype(bool):
        raise CallError("good must be true or false", "learn", "take Reviews.resolve_labels()")
    if not len(labels):
        _check_enough(np.empty(0, np.bool_), np.empty(0, np.int64), {})
    if not labels.index.is_unique:
        raise CallError("a mask has two labels", "learn", "take Reviews.resolve_labels()")


def _check_enough(bad: BoolArray, images: IntArray, left_out: dict[str, int]) -> None:
    """Check that there are enough reviews of both kinds to learn from.

    Raises:
        CallError: It cannot; says what is missing.
    """
    aside = next((f"; {n} more are {why}" for why, n in left_out.items() if n), "")
    where = f"{len(bad)} reviewed masks to learn from{aside}"
    worse, count = int(bad.sum()), len(np.unique(images))
    touched = len(np.unique(images[bad]))
    needs = (
        f"it takes {MIN_BAD} bad and {MIN_GOOD} good masks of at least {MIN_IMAGES} "
        f"images, {MIN_BAD_IMAGES} of them with bad masks"
    )
    if len(bad) and worse in (0, len(bad)):
        raise CallError(f"all are {'bad' if worse else 'good'}", where, needs)
    if worse < MIN_BAD or len(bad) - worse < MIN_GOOD:
        raise CallError(f"only {worse} are bad and {len(bad) - worse} good", where, needs)
    if count < MIN_IMAGES or touched < MIN_BAD_IMAGES:
        what = f"they are of {count} images, {touched} of them with bad masks"
        raise CallError(what, where, needs)


def _read_columns(audit: StoredAudit, ids: pd.Index, wanted: Collection[str]) -> pd.DataFrame:
    """Read some columns of some masks, one part at a time.

    Raises:
        CallError: A mask is not there.
    """
    tables = []
    for index in range(count_parts(audit.path)):
        here = read_part(audit.path, "masks", index, ["mask_id"])["mask_id"].to_numpy()
        rows = np.flatnonzero(np.isin(here, ids))
        if len(rows):
            present = part_names(audit.path, "masks", index)
            names = [name for name in present if name in {"mask_id", *wanted}]
            tables.append(read_part(audit.path, "masks", index, names).take(pa.array(rows)))
    if not tables:
        what = f"none of the {len(ids)} reviewed masks is in it"
        raise CallError(what, str(audit.path), "give the decisions on this audit")
    frame = to_frame(pa.concat_tables(tables, promote_options="permissive"))
    frame = frame if frame.index.name == "mask_id" else frame.set_index("mask_id")
    unknown = ids.difference(frame.index)
    if len(unknown):
        what = f"{len(unknown)} reviewed masks are not in it, {unknown[0]} for example"
        raise CallError(what, str(audit.path), "give the decisions on this audit")
    return frame.sort_index()


def hash_images(frame: pd.DataFrame) -> UInt64Array:
    """Return a hash of each mask's image, by its file name (by its id where it has none)."""
    names = frame["file_name"].astype(object).where(frame["file_name"].notna(), "")
    keys = [name or f"#{k}" for name, k in zip(names, frame["image_id"], strict=True)]
    known = {
        key: int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
        for key in set(keys)
    }
    return np.array([known[key] for key in keys], np.uint64)


def check_finished(audit: StoredAudit) -> None:
    """Check that an audit has the masks and scores that learning needs.

    Raises:
        AuditError: It holds no mask, or was never decided on.
    """
    if audit.info.references is None or not count_parts(audit.path):
        raise AuditError("it holds no masks", str(audit.path), "audit a dataset with masks")
