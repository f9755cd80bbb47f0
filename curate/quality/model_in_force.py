"""Quality in force: label-free, or, once a model was learned, its P(good)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.errors import AuditError
from curate.quality import label_free as quality
from curate.quality.explanations import (
    Blame,
    explain_evidence,
    explain_low_quality,
    explain_probability,
    families,
)
from curate.quality.features import evidence_shares
from curate.quality.model import Explained, QualityModel, explain
from curate.quality.model_file import from_bytes
from curate.store.audit_records import QualityModelRecord, TailReference

FOLDER = "model"
"""Where an audit keeps its quality model."""

LABEL_FREE = "unlearned_quality_score"
"""What the quality would be without people's decisions; written once a model is in force."""

MOVED_BY = "quality_reasons"
"""What moved each mask's probability most, in words."""

LEARNED_COLUMNS = (LABEL_FREE, MOVED_BY)

_DO = "run `curate learn` again, or remove the entry quality_model from audit.json"


@dataclass(frozen=True)
class Judged:
    """The quality of some masks.

    Attributes:
        columns: ``quality_score``, and :data:`LEARNED_COLUMNS` where a model is in force.
        odd: The quality of which the policy's line speaks: a learned one is a probability and is
            taken as it is, a label-free one counts only signals under the policy's limits.
        reference: What the label-free quality was fitted to.
        model: What was learned from people, None for nothing.
        limits: The policy's limits.
    """

    columns: pd.DataFrame
    odd: pd.Series[Any]
    reference: Mapping[str, TailReference]
    model: QualityModel | None = None
    limits: Mapping[str, float] | None = None

    def blame(self, some: pd.DataFrame) -> Blame:
        """Explain why some of the masks are of low quality."""
        if self.model is None:
            return explain_low_quality(some, self.reference, self.limits)
        found = _explain_model(some, self.reference, self.model)
        return explain_evidence(found, self.model.columns.names, some, self.reference)


def compute_quality(
    frame: pd.DataFrame,
    reference: Mapping[str, TailReference],
    model: QualityModel | None,
    limits: Mapping[str, float] | None = None,
) -> Judged:
    """Work out the quality of masks.

    Args:
        frame: A row a mask, with its scores.
        reference: What ``curate.quality.label_free.fit`` gave.
        model: What was learned from people; None for nothing.
        limits: By signal, the value from which on it is no sign of a fault, however rare.
    """
    label_free = quality.apply(frame, reference)
    if model is None:
        odd = quality.apply(frame, reference, limits) if limits else label_free
        columns = pd.DataFrame({"quality_score": label_free})
        return Judged(columns, odd, reference, limits=limits)
    found = _explain_model(frame, reference, model)
    learned = np.where(label_free.isna(), np.nan, found.probability)
    columns = pd.DataFrame(
        {
            "quality_score": learned,
            LABEL_FREE: label_free,
            MOVED_BY: explain_probability(found, model.columns.names, frame.index).where(
                label_free.notna()
            ),
        },
        index=frame.index,
    )
    return Judged(columns, columns["quality_score"], reference, model)


def _explain_model(
    frame: pd.DataFrame, reference: Mapping[str, TailReference], model: QualityModel
) -> Explained:
    """Return a model's probabilities of masks, with the contribution of each signal."""
    evidence = quality.evidence(frame, reference)
    suspicion = quality.suspicion(frame, evidence, reference)
    matrix = model.columns.matrix(frame, suspicion)
    return explain(model, matrix, evidence_shares(evidence), families(model.columns.names))


def model_in_force(out: Path, record: QualityModelRecord | None) -> QualityModel | None:
    """Return the quality model of an audit, None if it has none.

    Raises:
        AuditError: The file is gone, of another version, or not the one that was written.
    """
    if record is None:
        return None
    name, checksum = record["file"], record["sha256"]
    if Path(name).name != name:
        raise AuditError("its quality model has an invalid name", str(out), _DO)
    path = out / FOLDER / name
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise AuditError("the quality model is gone", str(path), _DO) from error
    if hashlib.sha256(data).hexdigest() != checksum:
        raise AuditError("the quality model is not the one that was learned", str(path), _DO)
    return _read(data, str(path))


@lru_cache(maxsize=1)
def _read(data: bytes, where: str) -> QualityModel:
    return from_bytes(data, where)
