"""Settings of a segmenter's training, and its result: the segmenter on disk, and its record."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import orjson

from curate.common.ranges import check_numbers
from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun
from curate.errors import SourceError
from curate.networks.runtime.hub import WEIGHTS
from curate.networks.runtime.trained_folder import RECORD
from curate.networks.segmenter_training.segmenter_fitting import EpochSchedule
from curate.networks.segmenter_training.segmenter_record import IouRecord, SegmenterTrainingRecord

_LEFT_OUT = {
    "images_without_picture": (
        "image without a picture that opens",
        "images without a picture that opens",
    ),
    "images_without_masks": ("image without masks", "images without masks"),
    "crowd_regions": ("crowd region", "crowd regions"),
    "unusable_masks": ("mask without usable pixels", "masks without usable pixels"),
    "not_accepted": (
        "mask that the audit does not accept",
        "masks that the audit does not accept",
    ),
}
"""One and several of what is left out, by its name in the record."""


@dataclass(frozen=True)
class SegmenterSettings:
    """Settings of a segmenter's training; arguments of :func:`curate.train_segmenter` all.

    Attributes:
        start: Weights to start from.
        size: Side of a new segmenter's input in pixels.
        encoder: Whether an image encoder that has learnt is trained too.
        held_out: Share of images that is held out.
        validation: Names of the pictures that are held out instead; None for a share.
        epochs: Most rounds over the images.
        patience: Rounds without improvement after which it ends.
        batch: Images a step.
        prompts: Objects prompted an image and step.
        learning_rate: Of AdamW.
        seed: Of split, order, prompts and first weights.
    """

    start: str | None = None
    size: int | None = None
    encoder: bool = False
    held_out: float = 0.2
    validation: tuple[str, ...] | None = None
    epochs: int = 100
    patience: int = 10
    batch: int = 4
    prompts: int = 8
    learning_rate: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(**vars(self))

    def as_record(self) -> dict[str, object]:
        """Return them as JSON has them."""
        names = None if self.validation is None else list(self.validation)
        return asdict(self) | {"validation": names}

    def schedule(self) -> EpochSchedule:
        """Return the hyperparameters."""
        rate = self.learning_rate or (1e-3 if self.start is None else 1e-4)
        return EpochSchedule(self.epochs, self.patience, self.batch, self.prompts, rate, self.seed)


@dataclass(frozen=True, repr=False)
class SegmenterTraining(ReadableResult):
    """A trained segmenter on disk.

    Attributes:
        path: Its folder; ``--segmenter`` takes it.
        record: What stands in its ``training.json``.
    """

    path: Path
    record: SegmenterTrainingRecord = field(repr=False)

    def hash_weights(self) -> str:
        """Return a hash of the weights on disk; the record's ``weights`` where they are as trained.

        Raises:
            SourceError: They are gone.
        """
        return hash_file(self.path / WEIGHTS[0])

    def as_dict(self) -> dict[str, object]:
        """Return the record without its long lists of pictures."""
        return {k: v for k, v in self.record.items() if k not in ("picture_keys", "images")}

    def text(self) -> str:
        """Return the result as lines of text."""
        r, counts = self.record, self.record["counts"]
        reached, before, gain = r["validation"], r["before"], r["difference"]
        start = r["start"]["name"]
        images = count_noun(counts["held_out_images"], "held-out image")
        masks = count_noun(counts["tried_masks"], "mask")
        trained = "trained" if r["encoder_trained"] else "left as it was"
        lines = [
            f"segmenter in {self.path}: on {images} ({masks}) the mean IoU of its masks is "
            f"{_with_interval(reached)}: {reached['box_iou']:.3f} from boxes, "
            f"{reached['point_iou']:.3f} from points",
            f"{'random weights' if start is None else start} before: {before['iou']:.3f}; "
            f"difference {_with_interval(gain, '+')}",
            f"trained on {count_noun(counts['images'], 'image')} with "
            f"{count_noun(counts['masks'], 'mask')}, on {r['device']}, best after "
            f"{r['best_epoch']} epochs of {len(r['history'])}; image encoder {trained}",
        ]
        left_out = self._left_out()
        if left_out:
            lines.append(f"left out: {', '.join(left_out)}")
        return "\n".join(lines)

    def _left_out(self) -> list[str]:
        """Return clauses that say what was left out."""
        found = []
        for name, (one_of, several) in _LEFT_OUT.items():
            count = sum(one["left_out"].get(name, 0) for one in self.record["datasets"])
            if count:
                found.append(count_noun(count, one_of, several))
        close = self.record["counts"]["too_close"]
        if close:
            what = "image that looks like a held-out one"
            found.append(count_noun(close, what, "images that look like held-out ones"))
        return found


def read_training(path: Path) -> SegmenterTraining:
    """Read the training of a segmenter's folder that ``curate train-segmenter`` has finished.

    Raises:
        SourceError: There is none, or its record is damaged.
    """
    try:
        found = orjson.loads((path / RECORD).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise SourceError(f"it cannot be read ({error})", str(path / RECORD)) from error
    if not isinstance(found, dict) or "validation" not in found:
        raise SourceError("it is no record of a segmenter's training", str(path / RECORD))
    return SegmenterTraining(path, cast(SegmenterTrainingRecord, found))


def hash_file(path: Path) -> str:
    """Return a hash of all of a file.

    Raises:
        SourceError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(f"it cannot be read: {reason}", str(path)) from error


def _with_interval(record: IouRecord, sign: str = "") -> str:
    """Return a mean with its interval, in words."""
    low, high = record["low"], record["high"]
    if low is None or high is None:
        return f"{record['iou']:{sign}.3f} (one image, so no interval)"
    return f"{record['iou']:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"
