"""Training of a round: on all masks that people made so far, measured on the validation images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from curate.common.progress import Progress
from curate.dataset.notes import count_noun
from curate.engine.round_record import RoundResult, SegmenterUsed
from curate.engine.settings import RoundTraining
from curate.errors import AuditError
from curate.formats.reading import read
from curate.networks.runtime.hub import model_fingerprint, model_folder
from curate.networks.segmenter_training.segmenter_result import SegmenterTraining
from curate.networks.segmenter_training.train_on_datasets import train_segmenter

SMALL_GAIN = 0.02
"""A gain in validation IoU that is worth a round."""

LEAST_IMAGES = 2
"""Validation images with masks: of one there is no interval."""


@dataclass(frozen=True)
class TrainingSets:
    """What a round's segmenter is trained and measured on.

    Attributes:
        train: Files with masks to train on.
        validation: Files with masks of the validation images.
        pictures: Folder of all pictures.
        training_names: Pictures to train on, those with masks.
        validation_names: Validation pictures with masks.
    """

    train: tuple[Path, ...]
    validation: tuple[Path, ...]
    pictures: Path
    training_names: tuple[str, ...]
    validation_names: tuple[str, ...]

    @classmethod
    def of(cls, train: Sequence[Path], validation: Sequence[Path], pictures: Path) -> TrainingSets:
        """Return the sets that are there, with the names of their pictures."""
        there = tuple(path for path in train if path.is_file())
        held = tuple(path for path in validation if path.is_file())
        return cls(there, held, pictures, _names_with_masks(there), _names_with_masks(held))

    def rows(self, images: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of ``images.parquet`` whose pictures a training reads."""
        return images[images["file_name"].isin({*self.training_names, *self.validation_names})]

    @property
    def problem(self) -> str:
        """Why nothing can be trained on them; "" where something can."""
        if not self.training_names:
            return "no image has a mask to train on"
        if len(self.validation_names) < LEAST_IMAGES:
            found = count_noun(len(self.validation_names), "validation image")
            return f"{found} with masks; {LEAST_IMAGES} are needed"
        return ""


def _names_with_masks(paths: Sequence[Path]) -> tuple[str, ...]:
    names: set[str] = set()
    for path in paths:
        table = read(path, "coco")
        good = table.masks["area_px"].to_numpy() > 0
        held = table.masks.loc[good, "image_id"].unique()
        names |= set(table.images.loc[held, "file_name"].tolist())
    return tuple(sorted(names))


def train_round(
    out: Path,
    sets: TrainingSets,
    start: str | None,
    training: RoundTraining,
    *,
    seed: int,
    device: str | None,
    progress: Progress | None,
) -> SegmenterTraining:
    """Train the segmenter of a round; see :func:`curate.train_segmenter`.

    Args:
        out: Its folder.
        sets: What it is trained and measured on.
        start: The segmenter in force; None for a new one.
        training: Settings.
        seed: Of what is drawn by chance.
        device: Where it is trained.
        progress: Called with progress.
    """
    chosen = asdict(training) | ({"size": None} if start is not None else {})
    return train_segmenter(
        [*sets.train, *sets.validation],
        out,
        start=start,
        images=sets.pictures,
        format="coco",
        validation=sets.validation_names,
        seed=seed,
        device=device,
        progress=progress,
        **chosen,
    )


def make_result(training: SegmenterTraining, *, new: bool) -> RoundResult:
    """Return the result of a training: the better segmenter on the validation images is kept.

    Args:
        training: The finished training.
        new: Whether there was no segmenter before.

    Raises:
        AuditError: Its weights are not those that were measured.
    """
    record = training.record
    path = training.path
    if training.hash_weights() != record["weights"]:
        what = "its weights are not those that were measured"
        do = "remove the folder, and run `curate engine next` again"
        raise AuditError(what, str(path), do)
    kept = new or record["difference"]["iou"] > 0
    better = "it is the first" if new else "it is better on the validation images"
    return {
        "kept": kept,
        "reason": better if kept else "it is not better on the validation images",
        "validation": record["validation"],
        "before": None if new else record["before"],
        "difference": None if new else record["difference"],
        "fingerprint": model_fingerprint(path),
        "weights": record["weights"],
    }


def skip_result(reason: str) -> RoundResult:
    """Return the result of a round in which nothing was trained."""
    return {
        "kept": False,
        "reason": reason,
        "validation": None,
        "before": None,
        "difference": None,
        "fingerprint": None,
        "weights": None,
    }


def is_within_noise(result: RoundResult) -> bool:
    """Return whether a round's gain cannot be told from none: its 95% interval reaches 0."""
    difference = result["difference"]
    return difference is not None and (difference["low"] is None or difference["low"] <= 0)


def count_images_needed(result: RoundResult, images: int) -> int | None:
    """Return how many validation images would show a gain of :data:`SMALL_GAIN`.

    The half of a 95% interval over images falls with the root of their number.

    Args:
        result: With a difference.
        images: The validation images that it was measured on.

    Returns:
        None where there is no interval.
    """
    difference = result["difference"]
    if difference is None or difference["low"] is None or difference["high"] is None:
        return None
    half = (difference["high"] - difference["low"]) / 2
    return math.ceil(images * (half / SMALL_GAIN) ** 2)


def check_segmenter(used: SegmenterUsed, project: Path) -> str:
    """Check that a segmenter is what it was when it came into force; return its name to load it.

    Raises:
        AuditError: Its files have changed.
        CallError: It is not there.
    """
    name = used["name"]
    inside = project / name
    path = str(inside) if inside.is_dir() else name
    if model_fingerprint(model_folder(path, "a segmenter")) != used["fingerprint"]:
        what = "the segmenter's files are not what they were when it came into force"
        raise AuditError(what, path, "restore them from a copy")
    return path
