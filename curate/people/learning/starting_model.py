"""Starting models: that of the last round, or another audit's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curate.errors import AuditError, SourceError
from curate.quality.model import QualityModel
from curate.quality.model_file import LARGEST, from_bytes
from curate.quality.model_in_force import model_in_force
from curate.store.audit import Audit
from curate.store.audit_info import read_info

MAX_TREES = 1_000
"""A model that has grown over so many rounds is not carried on: it would only get slower."""


@dataclass(frozen=True)
class StartingModel:
    """A model to start from.

    Attributes:
        model: The model.
        name: Where it comes from, for people.
    """

    model: QualityModel
    name: str

    @property
    def too_long(self) -> bool:
        """Whether it has too many trees to be carried on."""
        return len(self.model.trees.roots) >= MAX_TREES


def find_start(audit: Audit, path: Path | None) -> StartingModel | None:
    """Return the given model, else the one in force, else None.

    Args:
        audit: The audit that is learned on.
        path: An audit directory with a model, or a model's file.

    Raises:
        AuditError: There is no model, it is of another version, or tampered with.
        SourceError: The file cannot be read.
    """
    if path is None:
        model = model_in_force(audit.path, audit.info.quality_model)
        return None if model is None else StartingModel(model, "the model before")
    if path.is_dir():
        info = read_info(path)
        found = model_in_force(path, info.quality_model) if info else None
        if found is None:
            raise AuditError(
                "there is no quality model", str(path), "run `curate learn` on it first"
            )
        return StartingModel(found, str(path))
    try:
        if path.stat().st_size > LARGEST:
            raise AuditError("it is too large for a quality model", str(path))
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(f"it cannot be read ({reason})", str(path)) from error
    return StartingModel(from_bytes(data, str(path)), str(path))
