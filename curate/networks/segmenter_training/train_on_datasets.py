"""Segmenter training on annotated datasets and audits: resumable, validated on held-out images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from curate import __version__
from curate.common import files
from curate.common.locks import hold_directory
from curate.common.paths import AnyPath, as_path, check_exists, check_folder
from curate.common.progress import Progress
from curate.errors import CallError, SourceError
from curate.networks.runtime.devices import Device, choose_device
from curate.networks.runtime.hub import WEIGHTS, model_folder
from curate.networks.runtime.trained_folder import RECORD, WORK
from curate.networks.segmenter_training.initial_segmenter import (
    build_start,
    load_start,
    save_segmenter,
)
from curate.networks.segmenter_training.segmenter_fitting import (
    EmbeddedImages,
    FittedSegmenter,
    SegmenterEpoch,
    fit_segmenter,
    measure,
)
from curate.networks.segmenter_training.segmenter_record import (
    ImageRecord,
    SegmenterTrainingRecord,
)
from curate.networks.segmenter_training.segmenter_result import (
    SegmenterSettings,
    SegmenterTraining,
    hash_file,
)
from curate.networks.segmenter_training.training_masks import (
    MaskedImage,
    TrainingMasks,
    read_training_masks,
)
from curate.networks.segmenter_training.validation import ValidationIou
from curate.networks.segmenters.trainable_segmenter import TrainableSegmenter
from curate.networks.training.image_split import split
from curate.networks.training.training_files import (
    CHECKPOINT,
    claim_folder,
    publish_model,
    remove_checkpoints,
    remove_training,
)
from curate.store.audit import AnyAudit, StoredAudit
from curate.store.audit_files import write_json

MIN_IMAGES = 10
"""With fewer different images there is nothing to learn from, or nothing to try it on."""

COMMAND = "train-segmenter"

Sides = tuple[list[MaskedImage], list[MaskedImage]]
"""Training images, and held-out images."""


def train_segmenter(
    datasets: AnyAudit | Sequence[AnyAudit],
    out: AnyPath,
    *,
    start: str | None = None,
    images: AnyPath | Sequence[AnyPath] | None = None,
    format: str | None = None,
    size: int | None = None,
    encoder: bool = False,
    held_out: float = 0.2,
    validation: AnyPath | Sequence[str] | None = None,
    epochs: int = 100,
    patience: int = 10,
    batch: int = 4,
    prompts: int = 8,
    learning_rate: float | None = None,
    seed: int = 0,
    device: str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> SegmenterTraining:
    """Train a promptable segmenter on the masks of annotated datasets or audits.

    It is class-agnostic. Mask decoder, IoU head and prompt encoder are trained; the image encoder
    only where ``encoder`` says so, or where all weights are new. Of an audit the accepted masks are
    taken as people left them: redrawn ones as they are now, added ones too. An interrupted training
    resumes after the last whole epoch when it is called again; a finished one is returned as it is.

    Args:
        datasets: An annotated dataset in any format, or an audit; or several of them.
        out: The segmenter's folder; new, empty, or an earlier training's with the same settings.
        start: Weights to start from, a folder or a hub name: a SAM, a SAM-HQ or a SAM 2. None
            starts a small SAM from random weights.
        images: Folder of the pictures, one for all datasets or one for each; each one's own if
            None.
        format: Format of the datasets; detected automatically if None.
        size: Side of a new segmenter's input in pixels; 256 if None.
        encoder: Train the image encoder too. Without it each image is embedded only once.
        held_out: Share of the images that is held out to validate on.
        validation: Names of the pictures to hold out instead, as they stand in the datasets, or a
            text file with one a line; pictures that look like them are left out.
        epochs: Most rounds over the images.
        patience: Rounds without a better validation IoU after which it ends.
        batch: Images a step.
        prompts: Masks prompted an image and step, at most.
        learning_rate: 0.001 from nothing and 0.0001 from weights, if None.
        seed: Of the split, the order, the prompts and first weights.
        device: torch's name of it; the first GPU, else the CPU, if None.
        restart: Delete an earlier training in ``out``.
        progress: Called with progress.

    Raises:
        CallError: A setting is wrong, there are too few images, the segmenter cannot be trained, or
            a package is missing.
        SourceError: A dataset, the initial weights, the pictures, or the checkpoint cannot be used.
        AuditError: ``out`` holds something else, or another training.
    """
    settings = SegmenterSettings(
        start=start,
        size=size,
        encoder=encoder,
        held_out=held_out,
        validation=_read_names(validation),
        epochs=epochs,
        patience=patience,
        batch=batch,
        prompts=prompts,
        learning_rate=learning_rate,
        seed=seed,
    )
    sources, folders, out = _sources_of(datasets), _folders_of(images), as_path(out)
    if len(folders) not in (1, len(sources)):
        what = f"{len(folders)} folders of pictures are given for {len(sources)} datasets"
        raise CallError(what, "--images", "give one for all, or one for each")
    folders = folders if len(folders) == len(sources) else folders * len(sources)
    place = choose_device(device)
    trained = _load_start(settings, place)
    found = read_training_masks(sources, folders, format, progress)
    sides, too_close = _split(found, settings)
    identity = _identify(settings, found, trained)
    with hold_directory(out, COMMAND), files.convert_write_errors(out):
        files.remove_abandoned(out)
        if restart:
            remove_training(out)
        done = claim_folder(out, settings.as_record(), identity, COMMAND)
        if done is not None:
            remove_checkpoints(out)  # of a run that was killed when all was there
            return SegmenterTraining(out, cast(SegmenterTrainingRecord, done))
        header = RunHeader(found, sides, too_close, settings, identity)
        record = _train(out, header, trained, progress)
    return SegmenterTraining(out, record)


def _sources_of(datasets: AnyAudit | Sequence[AnyAudit]) -> list[Path | StoredAudit]:
    """Return the datasets as paths or audits.

    Raises:
        CallError: There is none.
        SourceError: One is not there.
    """
    several = isinstance(datasets, Sequence) and not isinstance(datasets, str)
    given = list(cast(Sequence[AnyAudit], datasets)) if several else [cast(AnyAudit, datasets)]
    if not given:
        raise CallError("no dataset is given", COMMAND, "give one or more")
    found: list[Path | StoredAudit] = []
    for one in given:
        if isinstance(one, StoredAudit):
            found.append(one)
        else:
            path = Path(one)
            check_exists(as_path(str(one)))
            found.append(path)
    return found


def _folders_of(images: AnyPath | Sequence[AnyPath] | None) -> list[Path | None]:
    """Return the folders of pictures, [None] for none given.

    Raises:
        SourceError: One is not there.
    """
    given = [images] if images is None or isinstance(images, str | Path) else list(images)
    for one in given:
        check_folder(one)
    return [as_path(one) for one in given] or [None]


def _read_names(validation: AnyPath | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the names of pictures to hold out, in order and each once.

    Raises:
        CallError: There is none.
        SourceError: The file cannot be read.
    """
    if validation is None:
        return None
    where = COMMAND
    if isinstance(validation, str | Path):
        where = str(validation)
        check_exists(as_path(validation))
        if not Path(validation).is_file():
            raise SourceError("it is a folder", where, "give a text file with one name a line")
        names = Path(validation).read_text(encoding="utf-8", errors="replace").splitlines()
    else:
        names = [str(name) for name in validation]
    found = tuple(sorted({name.strip() for name in names} - {""}))
    if not found:
        raise CallError("it names no picture to hold out", where, "give one name a line")
    return found


def _load_start(settings: SegmenterSettings, place: Device) -> TrainableSegmenter:
    if settings.start is None:
        return build_start(size=settings.size, seed=settings.seed, device=place)
    return load_start(settings.start, size=settings.size, encoder=settings.encoder, device=place)


def _split(found: TrainingMasks, settings: SegmenterSettings) -> tuple[Sides, int]:
    """Return the sides of the split, and how many images are on none, see ``SegmenterCounts``.

    Raises:
        CallError: There are too few images.
    """
    different = len({image.group for image in found.images})
    needed = MIN_IMAGES if settings.validation is None else 2
    if different < needed:
        raise CallError(
            f"{different:,} different images have masks to train on and a picture that opens; "
            f"training needs {needed}",
            ", ".join(one["path"] for one in found.datasets),
            "give more images, or accept more masks of an audit",
        )
    if settings.validation is None:
        return split(found.images, held_out=settings.held_out, seed=settings.seed), 0
    wanted = set(settings.validation)
    held = [image for image in found.images if image.file_name in wanted]
    missing = sorted(wanted - {image.file_name for image in held})
    if missing:
        raise CallError(
            f"{len(missing):,} of {len(wanted):,} pictures to hold out have no masks here or do "
            f"not open, {missing[0]} first",
            "--validation",
            "give names as they stand in the datasets, of pictures with masks",
        )
    groups = {image.group for image in held}
    learnt = [image for image in found.images if image.group not in groups]
    if not learnt:
        what = "every image is held out, or looks like one that is"
        raise CallError(what, "--validation", "name fewer pictures, or give more images")
    return (learnt, held), len(found.images) - len(learnt) - len(held)


def _identify(
    settings: SegmenterSettings, found: TrainingMasks, trained: TrainableSegmenter
) -> str:
    """Return a short hash of all that must be equal for a training to resume in a folder."""
    parts = (asdict(settings), found.fingerprint(), trained.segmenter.fingerprint)
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _train(
    out: Path, header: RunHeader, trained: TrainableSegmenter, progress: Progress | None
) -> SegmenterTrainingRecord:
    """Train, and write the folder; its record last."""
    sides, settings = header.sides, header.settings
    embedded = None if trained.encoder else _embed_all(trained, sides, progress)
    before = measure(trained, sides[1], embedded, settings.seed)
    files.mkdir(out / WORK, parents=True, exist_ok=True)
    fitted = fit_segmenter(
        sides,
        trained,
        settings.schedule(),
        embedded,
        checkpoint=out / WORK / CHECKPOINT,
        progress=_epoch_progress(progress, settings.epochs),
    )
    after = measure(trained, sides[1], embedded, settings.seed)
    start = None if settings.start is None else model_folder(settings.start, "a segmenter")
    publish_model(out, lambda made: save_segmenter(trained, made, start))
    record = header.make_record(trained, fitted, out / WEIGHTS[0], before, after)
    write_json(out / RECORD, record)  # last: what has a record is whole
    remove_checkpoints(out)
    return record


def _embed_all(
    trained: TrainableSegmenter, sides: Sides, progress: Progress | None
) -> EmbeddedImages:
    """Embed all images once."""
    embedded = EmbeddedImages(trained.segmenter)
    images = [*sides[0], *sides[1]]
    for done, image in enumerate(images, 1):
        embedded(image)
        if progress:
            progress("embedding images", done, len(images), 0)
    return embedded


def _epoch_progress(progress: Progress | None, epochs: int) -> Callable[[SegmenterEpoch], None]:
    def show(epoch: SegmenterEpoch) -> None:
        if progress:
            progress("training", epoch.epoch, epochs, 0)

    return show


# --- the record ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunHeader:
    """Fields of a record that are known before anything is trained.

    Attributes:
        found: All that was read.
        sides: The split.
        too_close: Images on neither side, see ``SegmenterCounts``.
        settings: Of the training.
        identity: What must be the same for it to resume.
    """

    found: TrainingMasks
    sides: Sides
    too_close: int
    settings: SegmenterSettings
    identity: str

    def make_record(
        self,
        trained: TrainableSegmenter,
        fitted: FittedSegmenter,
        weights: Path,
        before: ValidationIou,
        after: ValidationIou,
    ) -> SegmenterTrainingRecord:
        """Return the record of a training that has ended.

        Args:
            trained: The segmenter.
            fitted: How it went.
            weights: The file with the trained weights.
            before: What the initial weights reach.
            after: What the trained ones reach.
        """
        learnt, held = self.sides
        return {
            "tool": "curate",
            "tool_version": __version__,
            "identity": self.identity,
            "datasets": self.found.datasets,
            "settings": self.settings.as_record(),
            "device": trained.segmenter.device,
            "start": {"name": self.settings.start, "fingerprint": trained.segmenter.fingerprint},
            "encoder_trained": trained.encoder,
            "weights": hash_file(weights),
            "validation": after.as_record(),
            "before": before.as_record(),
            "difference": after.minus(before),
            "best_epoch": fitted.best.epoch,
            "stopped_early": fitted.stopped_early,
            "history": [epoch.as_dict() for epoch in fitted.history],
            "counts": {
                "images": len(learnt),
                "masks": sum(len(image.runs) for image in learnt),
                "held_out_images": len(held),
                "held_out_masks": sum(len(image.runs) for image in held),
                "tried_masks": int(after.counts().sum()),
                "too_close": self.too_close,
            },
            "images": {"train": _list_images(learnt), "held_out": _list_images(held)},
            "picture_keys": {
                "train": sorted({image.key for image in learnt}),
                "held_out": sorted({image.key for image in held}),
            },
        }


def _list_images(images: Sequence[MaskedImage]) -> list[ImageRecord]:
    return [
        {"dataset": one.dataset, "image_id": one.image_id, "file_name": one.file_name}
        for one in images
    ]
