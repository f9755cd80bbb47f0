"""Training of a detector on an audit: resumable, in one fold or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.common import files
from curate.common.locks import hold_directory
from curate.common.progress import Progress
from curate.errors import CallError
from curate.networks.detectors.training_boxes import accepted_scenes, pictures_of, sides_of
from curate.networks.detectors.training_folder import About, Training, claim, identity_of
from curate.networks.detectors.training_record import RECORD, WORK
from curate.networks.detectors.training_settings import TrainingSettings
from curate.store.audit import Audit
from curate.store.audit_files import write_json

if TYPE_CHECKING:
    from curate.networks.detectors.detector_training import DetectorSchedule, Epoch
    from curate.networks.detectors.initial_weights import StartingDetector
    from curate.networks.detectors.training_images import DetectorImage

FEWEST_IMAGES = 10
"""With fewer images there is nothing to learn from, or nothing to try it on."""


def train_detector(
    audit: Audit,
    out: Path,
    *,
    settings: TrainingSettings | None = None,
    images: Path | None = None,
    device: str | None = None,
    restart: bool = False,
    report: Progress | None = None,
) -> Training:
    """Train a class-agnostic detector on an audit's accepted masks.

    Killed, it goes on after the last whole epoch when it is called again; finished, it returns what
    is there.

    Args:
        audit: A finished one.
        out: The detector's folder; new, empty, or an earlier training's with the same settings.
        settings: From what, how long, how it is tried.
        images: Folder of the pictures; the one that the audit was given, if None.
        device: torch's name of it; the first GPU, else the CPU, if None.
        restart: Throw away what ``out`` holds of an earlier training.
        report: Called with progress.

    Raises:
        CallError: A setting is wrong, there are too few images, or a package is missing.
        SourceError: The weights to start from, the pictures, or the checkpoint cannot be used.
        AuditError: ``out`` holds something else, or another training.
    """
    from curate.networks.runtime.devices import choose_device

    settings = settings or TrainingSettings()
    schedule, place = settings.schedule(), choose_device(device)
    scenes, left_out = accepted_scenes(audit, pictures_of(audit, images), report)
    needed = max(FEWEST_IMAGES, 2 * settings.folds if settings.folds > 1 else 0)
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
        done = claim(out, settings, identity_of(settings, scenes), restart)
        if done is not None:
            for folder in (out, *out.glob("fold-*")):
                _remove_work(folder)  # of a run that was killed when all was there
            return Training(out, done)
        about = About(audit, settings, place, left_out, identity_of(settings, scenes))
        parts = []
        for k, sides in enumerate(sides_of(scenes, settings)):
            target = out if settings.folds == 1 else out / f"fold-{k + 1}"
            named = f"fold {k + 1} of {settings.folds}" if settings.folds > 1 else "training"
            shown = _shown(report, named, schedule.epochs)
            parts.append(_one(target, sides, about, schedule, shown))
        record = parts[0] if settings.folds == 1 else about.folded(parts)
        if settings.folds > 1:
            write_json(out / RECORD, record)
        return Training(out, record)


def _shown(report: Progress | None, stage: str, epochs: int) -> Callable[[Epoch], None]:
    def show(epoch: Epoch) -> None:
        if report:
            report(stage, epoch.epoch, epochs, 0)

    return show


def _start(settings: TrainingSettings, scenes: Sequence[DetectorImage]) -> StartingDetector:
    from curate.networks.detectors.initial_weights import SIZE, start_anew, start_from

    if settings.start is not None:
        return start_from(settings.start, size=settings.size)
    most = max(len(scene.boxes) for scene in scenes)
    return start_anew(size=settings.size or SIZE, objects=min(most, 600), seed=settings.seed)


def _one(
    target: Path,
    sides: tuple[list[DetectorImage], list[DetectorImage]],
    about: About,
    schedule: DetectorSchedule,
    shown: Callable[[Epoch], None],
) -> dict[str, Any]:
    """Train one detector into a folder, or return the record of one that is there."""
    import orjson

    from curate.networks.detectors.detector_training import train_detector as train
    from curate.networks.detectors.initial_weights import save_detector

    if (target / RECORD).is_file():  # an earlier run of several folds came this far
        _remove_work(target)
        return dict(orjson.loads((target / RECORD).read_bytes()))
    start = _start(about.settings, [*sides[0], *sides[1]])
    work = target / WORK
    files.mkdir(work, parents=True, exist_ok=True)
    checkpoint = work / "checkpoint.safetensors"
    trained = train(sides, start, schedule, about.device, checkpoint=checkpoint, report=shown)
    if (work / "model").exists():  # a killed run may have left half a file there
        files.remove_tree(work / "model")
    save_detector(start, trained.model, work / "model")
    for path in sorted((work / "model").iterdir()):
        files.replace(path, target / path.name)
    record = about.single(sides, trained)
    write_json(target / RECORD, record)  # last: what has a record is whole
    _remove_work(target)
    return record


def _remove_work(target: Path) -> None:
    """Remove what was needed until the record was there; the next run does it where this fails."""
    files.remove_tree(target / WORK, quiet=True)
