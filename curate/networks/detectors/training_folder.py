"""Folder of a trained detector: settings, record, and whether a training may use the folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from curate import __version__
from curate.common.ranges import check_numbers
from curate.common.readable_result import ReadableResult
from curate.networks.detectors.detector_training import DetectorSchedule
from curate.networks.detectors.training_record import TrainingRecord
from curate.networks.training.training_files import claim_folder, remove_training
from curate.store.audit import StoredAudit

if TYPE_CHECKING:
    from curate.networks.detectors.detector_training import TrainedDetector
    from curate.networks.detectors.training_images import DetectorImage
    from curate.networks.runtime.devices import Device

FOLDS = frozenset(f"fold-{k}" for k in range(1, 101))
"""Names of the folders of several detectors."""


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of detector training; arguments of :func:`curate.train_detector` all."""

    start: str | None = None
    size: int | None = None
    folds: int = 1
    held_out: float = 0.2
    epochs: int = 100
    patience: int = 15
    batch: int = 8
    learning_rate: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(**vars(self))

    def schedule(self) -> DetectorSchedule:
        """Return the hyperparameters.

        Raises:
            CallError: A number is out of range.
        """
        rate = self.learning_rate or (1e-3 if self.start is None else 1e-4)
        return DetectorSchedule(self.epochs, self.patience, self.batch, rate, self.seed)


@dataclass(frozen=True, repr=False)
class Training(ReadableResult):
    """A trained detector on disk.

    Attributes:
        path: Its folder; ``--detector`` takes it.
        record: What stands in its ``training.json``.
    """

    path: Path
    record: TrainingRecord = field(repr=False)

    def as_dict(self) -> dict[str, object]:
        """Return the record without its long lists of pictures."""
        return {k: v for k, v in self.record.items() if k not in ("picture_keys", "images")}

    def text(self) -> str:
        """Return the result as lines of text."""
        r, held = self.record, self.record["held_out"]
        images, counts = r["images"], r["counts"]
        lines = [
            f"detector in {self.path}: on {counts['held_out_images']:,} held-out images "
            f"({counts['held_out_masks']:,} masks) its average precision is "
            f"{held['ap50']:.3f} at IoU 0.5 and {held['ap']:.3f} over 0.5 to 0.95",
            f"trained on {counts['images']:,} images with {counts['masks']:,} accepted masks, on "
            f"{r['device']}"
            + (f", {r['best_epoch']} epochs of {len(r['history'])}" if r["history"] else ""),
        ]
        if images["left_out"]:
            lines.append(f"{len(images['left_out']):,} images left out: no picture that opens")
        if r["settings"]["folds"] == 1:
            lines.append(
                "masks of the images it was trained on get no detector_score from it; with "
                "--folds 5 every mask gets one from a detector that never saw it"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class RecordHeader:
    """Fields that all records of one training share."""

    audit: StoredAudit
    settings: TrainingSettings
    device: Device
    left_out: list[int]
    identity: str

    def _common(self) -> dict[str, object]:
        return {
            "tool": "curate",
            "tool_version": __version__,
            "identity": self.identity,
            "audit": {"path": str(self.audit.path.resolve()), "source": self.audit.info.source},
            "settings": asdict(self.settings),
            "device": self.device.name,
        }

    def make_record(
        self, sides: tuple[list[DetectorImage], list[DetectorImage]], trained: TrainedDetector
    ) -> TrainingRecord:
        """Return the record of one detector."""
        learnt, held = sides
        own = {
            "held_out": asdict(trained.best.precision),
            "best_epoch": trained.best.epoch,
            "stopped_early": trained.stopped_early,
            "history": [epoch.as_dict() for epoch in trained.history],
            "counts": {
                "images": len(learnt),
                "masks": sum(len(scene.boxes) for scene in learnt),
                "held_out_images": len(held),
                "held_out_masks": sum(len(scene.boxes) for scene in held),
            },
            "images": {
                "train": [scene.image_id for scene in learnt],
                "held_out": [scene.image_id for scene in held],
                "left_out": self.left_out,
            },
            "picture_keys": {
                "train": sorted({scene.key for scene in learnt}),
                "held_out": sorted({scene.key for scene in held}),
            },
        }
        return cast(TrainingRecord, self._common() | own)

    def make_folded_record(self, parts: list[TrainingRecord]) -> TrainingRecord:
        """Return the record of several detectors: precision is the mean over the folds."""
        held = {
            name: float(np.mean([part["held_out"][name] for part in parts]))
            for name in ("ap", "ap50", "ap75")
        }
        counts = {
            "images": sum(part["counts"]["held_out_images"] for part in parts),
            "masks": sum(part["counts"]["held_out_masks"] for part in parts),
        }
        named = {f"fold-{k + 1}": part for k, part in enumerate(parts)}
        own = {
            "held_out": held,
            "folds": {name: part["held_out"] for name, part in named.items()},
            "history": [],
            "counts": counts | {f"held_out_{name}": count for name, count in counts.items()},
            "images": {
                "folds": {name: part["images"]["held_out"] for name, part in named.items()},
                "left_out": self.left_out,
            },
            "picture_keys": {
                "train": [],
                "folds": {name: part["picture_keys"]["held_out"] for name, part in named.items()},
            },
        }
        return cast(TrainingRecord, self._common() | own)


def fingerprint_training(settings: TrainingSettings, scenes: Sequence[DetectorImage]) -> str:
    """Return a short hash of all that must be equal for a training to resume in a folder."""
    digest = hashlib.blake2b(repr(asdict(settings)).encode(), digest_size=16)
    for scene in scenes:
        digest.update(f"{scene.image_id}:{scene.key}:{scene.group};".encode())
        digest.update(np.ascontiguousarray(scene.boxes, np.float64).tobytes())
    return digest.hexdigest()


def claim_detector_folder(
    out: Path, settings: TrainingSettings, identity: str, restart: bool
) -> TrainingRecord | None:
    """Prepare ``out`` for a training; return the record of one that is finished already."""
    if restart:
        remove_training(out, FOLDS)
        return None
    found = claim_folder(out, asdict(settings), identity, "train-detector", more=FOLDS)
    return cast(TrainingRecord | None, found)
