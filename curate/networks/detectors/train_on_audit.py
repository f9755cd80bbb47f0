"""Detector training on an audit's accepted masks: resumable, held-out split or crossed folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from curate.common import files
from curate.common.locks import hold_directory
from curate.common.paths import AnyPath, as_path, check_folder
from curate.common.progress import Progress
from curate.errors import CallError
from curate.images import ImageFolder
from curate.networks.detectors.detector_training import DetectorSchedule, EpochResult, fit_detector
from curate.networks.detectors.initial_weights import (
    DEFAULT_SIZE,
    InitialDetector,
    build_untrained,
    load_pretrained,
    save_detector,
)
from curate.networks.detectors.training_folder import (
    RecordHeader,
    Training,
    TrainingSettings,
    claim_detector_folder,
    fingerprint_training,
)
from curate.networks.detectors.training_images import DetectorImage
from curate.networks.detectors.training_record import TrainingRecord
from curate.networks.runtime.devices import choose_device
from curate.networks.runtime.picture_keys import hash_pixels
from curate.networks.runtime.trained_folder import RECORD, WORK
from curate.networks.training.accepted_masks import (
    LazyPicture,
    examine_pictures,
    open_images,
    read_accepted_masks,
    read_masks_by_people,
    size_of,
)
from curate.networks.training.image_split import split, split_into_folds
from curate.networks.training.training_files import (
    CHECKPOINT,
    publish_model,
    remove_checkpoints,
)
from curate.people.reviews.current_plan import open_audit
from curate.rle import bbox, decode_counts
from curate.store.audit import AnyAudit, StoredAudit
from curate.store.audit_files import write_json

MIN_IMAGES = 10
"""With fewer images there is nothing to learn from, or nothing to try it on."""

_BOX = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")


def train_detector(
    audit: AnyAudit,
    out: AnyPath,
    *,
    start: str | None = None,
    size: int | None = None,
    folds: int = 1,
    held_out: float = 0.2,
    epochs: int = 100,
    patience: int = 15,
    batch: int = 8,
    learning_rate: float | None = None,
    seed: int = 0,
    images: AnyPath | None = None,
    device: str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> Training:
    """Train a class-agnostic detector on an audit's accepted masks.

    An interrupted training resumes after the last whole epoch when it is called again; a finished
    one is returned as it is.

    Args:
        audit: The audit, or its directory.
        out: The detector's folder; new, empty, or an earlier training's with the same settings.
        start: Weights to start from, a folder or a hub name; None starts a small RT-DETR from
            nothing.
        size: Height and width of the input in pixels; the start's own, or 512, if None.
        folds: 1 trains one detector and holds ``held_out`` of the images out; K trains K, each on
            all but its own K-th, so that every mask can be confirmed by one that never saw it.
        held_out: Share of the images that is held out where there is one fold.
        epochs: Most rounds over the images.
        patience: Rounds without a better held-out precision after which it ends.
        batch: Images a step.
        learning_rate: 0.001 from nothing and 0.0001 from weights, if None.
        seed: Of the split, the order, the augmentation and first weights.
        images: Folder of the pictures; the one that the audit was given, if None.
        device: torch's name of it; the first GPU, else the CPU, if None.
        restart: Delete an earlier training in ``out``.
        progress: Called with progress.

    Raises:
        CallError: A setting is wrong, there are too few images, or a package is missing.
        SourceError: The initial weights, the pictures, or the checkpoint cannot be used.
        AuditError: ``out`` holds something else, or another training.
    """
    settings = TrainingSettings(
        start=start,
        size=size,
        folds=folds,
        held_out=held_out,
        epochs=epochs,
        patience=patience,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
    )
    check_folder(images)
    audit, out = open_audit(audit), as_path(out)
    schedule, place = settings.schedule(), choose_device(device)
    scenes, left_out = read_accepted(audit, open_images(audit, as_path(images)), progress)
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
        done = claim_detector_folder(out, settings, fingerprint_training(settings, scenes), restart)
        if done is not None:
            for folder in (out, *out.glob("fold-*")):
                remove_checkpoints(folder)  # of a run that was killed when all was there
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
) -> TrainingRecord:
    """Train one detector into a folder, or return the record of one that is there."""
    if (target / RECORD).is_file():  # an earlier run of several folds came this far
        remove_checkpoints(target)
        found: TrainingRecord = orjson.loads((target / RECORD).read_bytes())
        return found
    start = _initial_detector(about.settings, [*sides[0], *sides[1]])
    files.mkdir(target / WORK, parents=True, exist_ok=True)
    checkpoint = target / WORK / CHECKPOINT
    trained = fit_detector(
        sides, start, schedule, about.device, checkpoint=checkpoint, progress=shown
    )
    publish_model(target, lambda made: save_detector(start, trained.model, made))
    record = about.make_record(sides, trained)
    write_json(target / RECORD, record)  # last: what has a record is whole
    remove_checkpoints(target)
    return record


def read_accepted(
    audit: StoredAudit, folder: ImageFolder, progress: Progress | None
) -> tuple[list[DetectorImage], list[int]]:
    """Return images with accepted masks, and the ids of those whose picture does not open."""
    rows, boxes = _accepted_boxes(audit)
    pictures = [LazyPicture(folder, row.file_name, size_of(row.height, row.width)) for row in rows]
    found = examine_pictures(pictures, hash_pixels, progress)
    ids = [int(row.image_id) for row in rows]
    keys = {one: key for one, key in zip(ids, found, strict=True) if key is not None}
    scenes = []
    for row, picture in zip(rows, pictures, strict=True):
        image_id = int(row.image_id)
        if image_id in keys:
            leader = keys.get(image_id if pd.isna(row.leader) else int(row.leader), keys[image_id])
            scenes.append(DetectorImage(image_id, keys[image_id], boxes[image_id], picture, leader))
    return scenes, [one for one in ids if one not in keys]


def _accepted_boxes(audit: StoredAudit) -> tuple[list[Any], dict[int, Any]]:
    """Return a row for every image with accepted masks, and their boxes by image, XYWH.

    The masks are those of the dataset as people left it: redrawn ones as they are now, added ones
    too.
    """
    masks = read_accepted_masks(audit, ["image_id", *_BOX])
    masks = pd.concat([masks, _boxes_by_people(audit)], ignore_index=True)
    masks = masks.sort_values(["image_id", *_BOX], kind="stable", ignore_index=True)
    columns = set(audit.query("select * from images limit 0").columns)
    leader = "near_duplicate_of" if "near_duplicate_of" in columns else "null"
    images = audit.query(
        f"select image_id, file_name, height, width, {leader} as leader from images "
        "order by image_id"
    )
    values = masks.iloc[:, 1:].to_numpy(np.float64)
    by_image = {int(str(k)): values[v] for k, v in masks.groupby("image_id").indices.items()}
    rows: list[Any] = [*images.itertuples(index=False)]
    rows = [row for row in rows if int(row.image_id) in by_image]
    return rows, by_image


def _boxes_by_people(audit: StoredAudit) -> pd.DataFrame:
    """Return ``image_id`` and the box of each mask that people redrew or added."""
    frame = read_masks_by_people(audit)
    sizes = (frame[side].to_numpy(np.int64) for side in ("height", "width"))
    boxes = bbox(decode_counts([bytes(one) for one in frame["segmentation"]], *sizes)[0])
    return pd.DataFrame(boxes, columns=list(_BOX)).assign(
        image_id=frame["image_id"].to_numpy(np.int64)
    )


def split_folds(
    scenes: Sequence[DetectorImage], settings: TrainingSettings
) -> Iterator[tuple[list[DetectorImage], list[DetectorImage]]]:
    """Yield training images and held-out images of each detector."""
    if settings.folds == 1:
        yield split(scenes, held_out=settings.held_out, seed=settings.seed)
        return
    dealt = split_into_folds(scenes, settings.folds, seed=settings.seed)
    for k, own in enumerate(dealt):
        yield [scene for j, other in enumerate(dealt) if j != k for scene in other], own
