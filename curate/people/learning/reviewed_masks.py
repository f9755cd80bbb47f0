"""The masks that people reviewed, as numbers, and the dataset that they stand for."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from curate import scorers
from curate.errors import AuditError, CallError
from curate.pipeline.deciding import is_crowd, sample
from curate.quality import label_free
from curate.quality.features import FeatureColumns, choose_columns, total_evidence
from curate.quality.sample_weights import prominence
from curate.store.audit import Audit
from curate.store.audit_files import count_parts, part_names, read_part, to_frame

FloatArray = npt.NDArray[np.float64]

FEWEST_BAD = 5
FEWEST_GOOD = 5
FEWEST_IMAGES = 5
"""With less than these there is nothing to learn from, or nothing to try it on."""

TOUCHED = 2
"""Images that must have bad masks, so that one can be held out."""

HELD_BACK = "estimate"
"""Reviews of this kind are never learned from."""

_WHO = ("image_id", "file_name", "area_px", "crowd_region", "priority")


@dataclass(frozen=True)
class Masks:
    """Some masks of an audit.

    Attributes:
        frame: A row a mask with its scores and measures.
        evidence: How strongly each signal speaks against it, label-free.
    """

    frame: pd.DataFrame
    evidence: pd.DataFrame

    def matrix(self, columns: FeatureColumns) -> FloatArray:
        """Return what a quality model over some columns takes."""
        return columns.matrix(self.frame, total_evidence(self.evidence))

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class Reviewed:
    """What there is to learn from.

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

    masks: Masks
    bad: npt.NDArray[np.bool_]
    dataset: Masks
    columns: FeatureColumns
    check: Masks
    check_bad: npt.NDArray[np.bool_]
    check_weight: FloatArray
    left_out: dict[str, int] = field(default_factory=dict)

    def prominence(self) -> tuple[FloatArray, FloatArray]:
        """Return how prominent the reviewed masks and the dataset's are; queues show such ones."""
        here, there = (
            [total_evidence(x.evidence), x.frame["priority"].to_numpy(np.float64)]
            for x in (self.masks, self.dataset)
        )
        return prominence(here, there)

    def image_keys(self) -> npt.NDArray[np.uint64]:
        """Return a number for each mask's image, the same in every audit of the same pictures."""
        return image_keys(self.masks.frame)


def gather(audit: Audit, labels: pd.DataFrame, also: Collection[str] = ()) -> Reviewed:
    """Bring decisions and scores together.

    Args:
        audit: A finished audit.
        labels: One label a mask, as ``Reviews.resolved`` gives them.
        also: Columns to read beside those that the dataset has something to say with.

    Raises:
        CallError: A label is of no mask of the audit, or there are too few; says how many it takes.
    """
    _check_labels(labels)
    reference = audit.info["references"]["quality"]
    everything = sample(audit.path)
    everything = everything[~is_crowd(everything) & (everything["area_px"] > 0)]
    measures = [c.name for c in scorers.columns("mask").values() if c.kind == "measure"]
    columns = choose_columns(everything, ["area_px", *measures])
    rows = _read(audit, labels.index, {*columns.names, *also, *reference, *_WHO})
    settled = np.ones(len(rows), np.bool_)
    if "settled" in labels:
        settled = labels["settled"].reindex(rows.index).to_numpy(np.bool_)
    judged = ~is_crowd(rows) & (rows["area_px"] > 0) & settled
    held = (labels["queue_kind"].reindex(rows.index) == HELD_BACK).to_numpy(bool)
    left_out = {
        "on which people disagree": int((~settled & ~held).sum()),
        "of a random sample, kept for certify and estimate": int(held.sum()),
        "of crowd regions and empty masks": int((~judged & ~held & settled).sum()),
    }
    bad = ~labels["good"].reindex(rows.index).to_numpy(bool)
    use, check = judged.to_numpy() & ~held, judged.to_numpy() & held
    _check_enough(bad[use], rows["image_id"].to_numpy()[use], left_out)
    inclusion = labels["inclusion_probability"].reindex(rows.index).to_numpy(np.float64)
    return Reviewed(
        _masks(rows[use], reference),
        bad[use],
        _masks(everything, reference),
        columns,
        _masks(rows[check], reference),
        bad[check],
        np.where(inclusion[check] > 0, 1 / np.maximum(inclusion[check], 1e-12), 1.0),
        {why: count for why, count in left_out.items() if count},
    )


def _masks(frame: pd.DataFrame, reference: dict[str, object]) -> Masks:
    return Masks(frame, label_free.evidence(frame, reference))


def _check_labels(labels: pd.DataFrame) -> None:
    for name in ("good", "queue_kind", "inclusion_probability"):
        if name not in labels:
            raise CallError(f"the labels have no column {name}", "learn", "take Reviews.resolved()")
    if labels["good"].dtype != np.dtype(bool):
        raise CallError("good must be true or false", "learn", "take Reviews.resolved()")
    if not len(labels):
        _check_enough(np.empty(0, np.bool_), np.empty(0, np.int64), {})
    if not labels.index.is_unique:
        raise CallError("a mask has two labels", "learn", "take Reviews.resolved()")


def _check_enough(
    bad: npt.NDArray[np.bool_], images: npt.NDArray[np.int64], left_out: dict[str, int]
) -> None:
    """See that something can be learned.

    Raises:
        CallError: It cannot; says what is missing.
    """
    aside = next((f"; {n} more are {why}" for why, n in left_out.items() if n), "")
    where = f"{len(bad)} reviewed masks to learn from{aside}"
    worse, count = int(bad.sum()), len(np.unique(images))
    touched = len(np.unique(images[bad]))
    needs = (
        f"it takes {FEWEST_BAD} bad and {FEWEST_GOOD} good masks of at least {FEWEST_IMAGES} "
        f"images, {TOUCHED} of them with bad masks"
    )
    if len(bad) and worse in (0, len(bad)):
        raise CallError(f"all are {'bad' if worse else 'good'}", where, needs)
    if worse < FEWEST_BAD or len(bad) - worse < FEWEST_GOOD:
        raise CallError(f"only {worse} are bad and {len(bad) - worse} good", where, needs)
    if count < FEWEST_IMAGES or touched < TOUCHED:
        what = f"they are of {count} images, {touched} of them with bad masks"
        raise CallError(what, where, needs)


def _read(audit: Audit, ids: pd.Index, wanted: Collection[str]) -> pd.DataFrame:
    """Read some columns of some masks; each part is looked at alone.

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


def image_keys(frame: pd.DataFrame) -> npt.NDArray[np.uint64]:
    """Return a number for each mask's image, by the name of its file (its id where it has none)."""
    names = frame["file_name"].astype(object).where(frame["file_name"].notna(), "")
    keys = [name or f"#{k}" for name, k in zip(names, frame["image_id"], strict=True)]
    known = {
        key: int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
        for key in set(keys)
    }
    return np.array([known[key] for key in keys], np.uint64)


def finished(audit: Audit) -> None:
    """See that an audit has what learning looks at.

    Raises:
        AuditError: It holds no mask, or was never decided on.
    """
    if "references" not in audit.info or not count_parts(audit.path):
        raise AuditError("it holds no masks", str(audit.path), "audit a dataset with masks")
