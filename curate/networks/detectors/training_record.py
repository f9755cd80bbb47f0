"""``training.json``: provenance of a trained detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NotRequired, Required, TypedDict

import orjson

from curate.common.json_values import JsonObject
from curate.errors import SourceError
from curate.networks.runtime.trained_folder import RECORD, check_training_ended
from curate.store.audit_records import SourceRecord


class AuditedRecord(TypedDict):
    """The audit that a detector was trained on: its path, and its source."""

    path: str
    source: SourceRecord


class TrainingCounts(TypedDict):
    """Images and accepted masks that were trained on, and those that were held out."""

    images: int
    masks: int
    held_out_images: int
    held_out_masks: int


class TrainingImages(TypedDict, total=False):
    """Ids of images: trained on and held out, or held out by fold; those without a picture."""

    train: list[int]
    held_out: list[int]
    folds: dict[str, list[int]]
    left_out: Required[list[int]]


class PictureKeys(TypedDict, total=False):
    """The same by keys of the pictures' pixels."""

    train: Required[list[str]]
    held_out: list[str]
    folds: dict[str, list[str]]


class TrainingRecord(TypedDict):
    """The content of ``training.json``.

    ``held_out`` is the precision on held-out images (with several folds its mean over the
    ``folds``), ``history`` a row an epoch. Several folds have no best epoch.
    """

    tool: str
    tool_version: str
    identity: str
    audit: AuditedRecord
    settings: JsonObject
    device: str
    held_out: dict[str, float]
    folds: NotRequired[dict[str, dict[str, float]]]
    best_epoch: NotRequired[int]
    stopped_early: NotRequired[bool]
    history: list[dict[str, float]]
    counts: TrainingCounts
    images: TrainingImages
    picture_keys: PictureKeys


@dataclass(frozen=True)
class DetectorRecord:
    """Provenance of a detector: the pictures it was trained on.

    Attributes:
        trained_on: Keys of the pictures that its weights were fitted to.
        folds: Where it is several detectors: for each folder the keys of the pictures that only
            this one has not been trained on.
    """

    trained_on: frozenset[str] = frozenset()
    folds: Mapping[str, frozenset[str]] = field(default_factory=dict)


def read_record(folder: Path) -> DetectorRecord:
    """Return the record of a detector's folder; an empty one where it has none.

    Raises:
        SourceError: The file is not what ``curate train-detector`` writes, or a training has not
            come to its end there.
    """
    path = folder / RECORD
    check_training_ended(folder, "train-detector", ("fold-1",))
    if not path.is_file():
        return DetectorRecord()
    try:
        keys = orjson.loads(path.read_bytes())["picture_keys"]
        folds = {str(k): frozenset(map(str, held)) for k, held in keys.get("folds", {}).items()}
        for name in folds:
            if name != Path(name).name or name in ("", ".", "..") or not name.isprintable():
                raise ValueError(f"{name!r} is no name of a folder in it")
        return DetectorRecord(frozenset(map(str, keys["train"])), folds)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise SourceError(
            f"it is no record of a training ({error})", str(path), "remove it, or train again"
        ) from None
