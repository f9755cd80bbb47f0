"""Detector training on an audit: resumable, with a held-out split or cross-fitted folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.common import files
from curate.common.locks import hold_directory
from curate.common.progress import Progress
from curate.errors import CallError
from curate.networks.detectors.training_boxes import open_images, read_accepted, split_folds
from curate.networks.detectors.training_folder import (
    RecordHeader,
    Training,
    claim_folder,
    fingerprint_training,
)
from curate.networks.detectors.training_record import RECORD, WORK
from curate.networks.detectors.training_settings import TrainingSettings
from curate.store.audit import Audit
from curate.store.audit_files import write_json

if TYPE_CHECKING:
    from curate.networks.detectors.detector_training import DetectorSchedule, EpochResult
    from curate.networks.detectors.initial_weights import InitialDetector
    from curate.networks.detectors.training_images import DetectorImage

MIN_IMAGES = 10
"""With fewer images there is nothing to learn from, or nothing to try it on."""


def train_detector(
    audit: Audit,
    out: Path,
    *,
    settings: TrainingSettings | None = None,
    images: Path | None = None,
    device: str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> Training:
    """Train a class-agnostic detector on an audit's accepted masks.

    An interrupted training resumes after the last whole epoch when it is called again; a finished
    one is returned as it is.

    Args:
        audit: A finished one.
        out: The detector's folder; new, empty, or an earlier training's with the same settings.
        settings: Initial weights, hyperparameters, held-out images.
        images: Folder of the pictures; the one that the audit was given, if None.
        device: torch's name of it; the first GPU, else the CPU, if None.
        restart: Delete an earlier training in ``out``.
        progress: Called with progress.

    Raises:
        CallError: A setting is wrong, there are too few images, or a package is missing.
        SourceError: The initial weights, the pictures, or the checkpoint cannot be used.
        AuditError: ``out`` holds something else, or another training.
    """
    from curate.networks.runtime.devices import choose_device

    settings = settings or TrainingSettings()
    schedule, place = settings.schedule(), choose_device(device)
    scenes, left_out = read_accepted(audit, open_images(audit, images), progress)
    needed = max(MIN_IMAGES, 2 * settings.folds if settings.folds > 1 else 0)
    if len({scene.group for scene in scenes}) < needed:
        raise CallError(
            f"{len(scenes):,} different images have accepted masks and a picture that opens; "
            f"training needs {needed}",
            str(audit.path),
            "give more images, or accept more masks (`curate decide` with another policy)",
        )
    with hold_directory(out, "train-detector"), files.convert_write_errors(out):
        for folder in (out, *out.glob("fold-*")):
            files.remove_abandoned(folder)
        done = claim_folder(out, settings, fingerprint_training(settings, scenes), restart)
        if done is not None:
            for folder in (out, *out.glob("fold-*")):
                _remove_checkpoints(folder)  # of a run that was killed when all was there
            return Training(out, done)
        about = RecordHeader(
            audit, settings, place, left_out, fingerprint_training(settings, scenes)
        )
        parts = []
        for k, sides in enumerate(split_folds(scenes, settings)):
            target = out if settings.folds == 1 else out / f"fold-{k + 1}"
            named = f"fold {k + 1} of {settings.folds}" if settings.folds > 1 else "training"
            shown = _epoch_progress(progress, named, schedule.epochs)
            parts.append(_train_fold(target, sides, about, schedule, shown))
        record = parts[0] if settings.folds == 1 else about.make_folded_record(parts)
        if settings.folds > 1:
            write_json(out / RECORD, record)
        return Training(out, record)


def _epoch_progress(
    progress: Progress | None, stage: str, epochs: int
) -> Callable[[EpochResult], None]:
    def show(epoch: EpochResult) -> None:
        if progress:
            progress(stage, epoch.epoch, epochs, 0)

    return show


def _initial_detector(
    settings: TrainingSettings, scenes: Sequence[DetectorImage]
) -> InitialDetector:
    from curate.networks.detectors.initial_weights import (
        DEFAULT_SIZE,
        build_untrained,
        load_pretrained,
    )

    if settings.start is not None:
        return load_pretrained(settings.start, size=settings.size)
    most = max(len(scene.boxes) for scene in scenes)
    return build_untrained(
        size=settings.size or DEFAULT_SIZE, objects=min(most, 600), seed=settings.seed
    )


def _train_fold(
    target: Path,
    sides: tuple[list[DetectorImage], list[DetectorImage]],
    about: RecordHeader,
    schedule: DetectorSchedule,
    shown: Callable[[EpochResult], None],
) -> dict[str, Any]:
    """Train one detector into a folder, or return the record of one that is there."""
    import orjson

    from curate.networks.detectors.detector_training import fit_detector as train
    from curate.networks.detectors.initial_weights import save_detector

    if (target / RECORD).is_file():  # an earlier run of several folds came this far
        _remove_checkpoints(target)
        return dict(orjson.loads((target / RECORD).read_bytes()))
    start = _initial_detector(about.settings, [*sides[0], *sides[1]])
    work = target / WORK
    files.mkdir(work, parents=True, exist_ok=True)
    checkpoint = work / "checkpoint.safetensors"
    trained = train(sides, start, schedule, about.device, checkpoint=checkpoint, progress=shown)
    if (work / "model").exists():  # a killed run may have left half a file there
        files.remove_tree(work / "model")
    save_detector(start, trained.model, work / "model")
    for path in sorted((work / "model").iterdir()):
        files.replace(path, target / path.name)
    record = about.make_record(sides, trained)
    write_json(target / RECORD, record)  # last: what has a record is whole
    _remove_checkpoints(target)
    return record


def _remove_checkpoints(target: Path) -> None:
    """Remove the checkpoints of a finished training; the next run does it where this fails."""
    files.remove_tree(target / WORK, quiet=True)
