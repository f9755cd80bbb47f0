"""Detector training on an audit's accepted masks: resumable, held-out split or crossed folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from curate.common import files
from curate.common.locks import hold_directory
from curate.common.paths import AnyPath, as_path, check_folder
from curate.common.progress import Progress
from curate.errors import CallError, SourceError
from curate.images import ImageFolder
from curate.networks.detectors.detections import hash_pixels
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
    claim_folder,
    fingerprint_training,
)
from curate.networks.detectors.training_images import DetectorImage, split, split_into_folds
from curate.networks.detectors.training_record import RECORD, WORK, TrainingRecord
from curate.networks.runtime.devices import choose_device
from curate.people.reviews.current_plan import open_audit, read_added_masks
from curate.rle import bbox, decode_counts
from curate.store.audit import AnyAudit, StoredAudit
from curate.store.audit_files import write_json
from curate.store.known_pictures import open_pictures

MIN_IMAGES = 10
"""With fewer images there is nothing to learn from, or nothing to try it on."""

READER_THREADS = 4

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
        _remove_checkpoints(target)
        found: TrainingRecord = orjson.loads((target / RECORD).read_bytes())
        return found
    start = _initial_detector(about.settings, [*sides[0], *sides[1]])
    work = target / WORK
    files.mkdir(work, parents=True, exist_ok=True)
    checkpoint = work / "checkpoint.safetensors"
    trained = fit_detector(
        sides, start, schedule, about.device, checkpoint=checkpoint, progress=shown
    )
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


def open_images(audit: StoredAudit, images: Path | None) -> ImageFolder:
    """Return the folder of the pictures: the given one, or the audit's."""
    known = images or audit.info.inputs.get("images")
    if known is None:
        raise CallError("the audit was given no pictures", str(audit.path), "give --images DIR")
    return open_pictures(audit, Path(known))


def read_accepted(
    audit: StoredAudit, folder: ImageFolder, progress: Progress | None
) -> tuple[list[DetectorImage], list[int]]:
    """Return images with accepted masks, and the ids of those whose picture does not open."""
    rows, boxes = _accepted_boxes(audit)

    def key_of(row: Any) -> str | None:
        picture = folder.load(row.file_name, _size(row))
        return None if picture is None else hash_pixels(picture)

    keys: dict[int, str] = {}
    left_out = []
    with ThreadPoolExecutor(READER_THREADS) as readers:
        for done, (row, key) in enumerate(zip(rows, readers.map(key_of, rows), strict=True), 1):
            if key is None:
                left_out.append(int(row.image_id))
            else:
                keys[int(row.image_id)] = key
            if progress:
                progress("reading pictures", done, len(rows), 0)
    scenes = []
    for row in rows:
        image_id = int(row.image_id)
        if image_id in keys:
            leader = keys.get(image_id if pd.isna(row.leader) else int(row.leader), keys[image_id])
            picture = _LazyImage(folder, row.file_name, _size(row))
            scenes.append(DetectorImage(image_id, keys[image_id], boxes[image_id], picture, leader))
    return scenes, left_out


def _accepted_boxes(audit: StoredAudit) -> tuple[list[Any], dict[int, Any]]:
    """Return a row for every image with accepted masks, and their boxes by image, XYWH.

    The masks are those of the dataset as people left it: redrawn ones as they are now, added ones
    too.
    """
    columns = set(audit.query("select * from masks limit 0").columns)
    crowds = "and coalesce(crowd_region, 0) = 0" if "crowd_region" in columns else ""
    changed = "(select mask_id from people where change = 'redrawn')"
    others = f"and mask_id not in {changed}" if audit.has_people() else ""
    masks = audit.query(
        f"select image_id, {', '.join(_BOX)} from masks "
        f"where action = 'accept' and area_px > 0 {crowds} {others}"
    )
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
    columns = ["image_id", "height", "width", "segmentation"]
    drawn = [read_added_masks(audit)[columns]]
    if audit.has_people():
        redrawn = audit.query(
            "select m.image_id, m.height, m.width, p.segmentation from people p "
            "join masks m on p.mask_id = m.mask_id where p.change = 'redrawn'"
        )
        drawn.append(redrawn[columns])
    frame = pd.concat([one for one in drawn if len(one)] or drawn[:1], ignore_index=True)
    sizes = (frame[side].to_numpy(np.int64) for side in ("height", "width"))
    boxes = bbox(decode_counts([bytes(one) for one in frame["segmentation"]], *sizes)[0])
    return pd.DataFrame(boxes, columns=list(_BOX)).assign(
        image_id=frame["image_id"].to_numpy(np.int64)
    )


def _size(row: Any) -> tuple[int, int] | None:
    size = int(row.height), int(row.width)
    return size if min(size) >= 1 else None


@dataclass(frozen=True)
class _LazyImage:
    """Reads one picture's pixels on each call."""

    folder: ImageFolder
    file_name: str
    size: tuple[int, int] | None

    def __call__(self) -> Any:
        picture = self.folder.load(self.file_name, self.size)
        if picture is None:
            where = str(self.folder.path / self.file_name)
            raise SourceError("the picture is gone or changed since training began", where)
        return picture


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
