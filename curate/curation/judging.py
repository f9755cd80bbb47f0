"""The quality of masks: label-free, or, once people's decisions were learned from, P(good)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.curation.blame import against, blame, families, moved
from curate.errors import AuditError
from curate.models.quality_features import evidence_shares, total_evidence
from curate.models.quality_model import QualityModel, explain
from curate.scorers import quality

MODEL = "quality_model"
"""Where ``audit.json`` holds which quality model is in force."""

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
        clauses: What speaks most against each, as a clause; None where the label-free evidence says
            that when it is asked (see :meth:`blame`).
        reference: What the label-free quality was fitted to.
    """

    columns: pd.DataFrame
    clauses: pd.Series[Any] | None
    reference: Mapping[str, Any]

    def blame(self, some: pd.DataFrame) -> pd.Series[Any]:
        """Return what speaks most against some of the masks."""
        if self.clauses is None:
            return blame(some, self.reference)
        return self.clauses.loc[some.index]


def judge(frame: pd.DataFrame, reference: Mapping[str, Any], model: QualityModel | None) -> Judged:
    """Work out the quality of masks.

    Args:
        frame: A row a mask, with its scores.
        reference: What ``curate.scorers.quality.fit`` gave.
        model: What was learned from people; None for nothing.
    """
    label_free = quality.apply(frame, reference)
    if model is None:
        return Judged(pd.DataFrame({"quality_score": label_free}), None, reference)
    evidence = quality.evidence(frame, reference)
    matrix = model.columns.matrix(frame, total_evidence(evidence))
    names = model.columns.names
    found = explain(model, matrix, evidence_shares(evidence), families(names))
    learned = np.where(label_free.isna(), np.nan, found.probability)
    columns = pd.DataFrame(
        {
            "quality_score": learned,
            LABEL_FREE: label_free,
            MOVED_BY: moved(found, names, frame.index).where(label_free.notna()),
        },
        index=frame.index,
    )
    return Judged(columns, against(found, names, frame.index), reference)


def model_in_force(out: Path, record: Mapping[str, Any] | None) -> QualityModel | None:
    """Return the quality model of an audit, None if it has none.

    Args:
        out: The audit directory.
        record: What ``audit.json`` says of it, under :data:`MODEL`.

    Raises:
        AuditError: The file is gone, of another version, or not the one that was written.
    """
    if record is None:
        return None
    name, checksum = str(record.get("file")), str(record.get("sha256"))
    if Path(name).name != name:
        raise AuditError("its quality model has an odd name", str(out), _DO)
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
    from curate.models.quality_file import from_bytes

    return from_bytes(data, where)
