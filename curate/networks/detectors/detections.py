"""Detector protocol, its detections, and their table for the scorer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, ByteArray, FloatArray, IntArray
from curate.dataset.table import BINARY, STRING, MaskTable, finish
from curate.errors import CallError
from curate.images import ImageFolder
from curate.images.image_folder import names_and_sizes
from curate.networks.runtime.devices import Network

MIN_SCORE = 0.01
"""Confidence under which a detection is not kept: confidence x IoU could be no higher."""

IMAGE_BATCH = 32
"""Pictures that are held in memory together."""

READER_THREADS = 4
"""Threads that decode pictures."""


@dataclass(frozen=True)
class Detections:
    """Detections in one image, in order of descending score.

    Attributes:
        boxes: Shape (n, 4), XYWH in pixels of the image, within it; not rounded.
        scores: Shape (n,), confidence in [0, 1].
        labels: Shape (n,), ids among the detector's ``categories``.
    """

    boxes: FloatArray
    scores: FloatArray
    labels: IntArray

    def __post_init__(self) -> None:
        n = len(self.boxes)
        if self.boxes.shape != (n, 4) or self.scores.shape != (n,) or self.labels.shape != (n,):
            raise CallError("boxes, scores and labels differ in number", "Detections", "give n")

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: slice | BoolArray | IntArray) -> Detections:
        """Return some of the detections."""
        return Detections(self.boxes[rows], self.scores[rows], self.labels[rows])


class Detector(Network, Protocol):
    """A model that detects boxes in images."""

    @property
    def categories(self) -> Mapping[int, str]:
        """Category names by label."""

    def detect(self, images: Sequence[ByteArray]) -> list[Detections]:
        """Detect boxes in RGB images, each of shape (height, width, 3), uint8, of any sizes.

        Raises:
            CallError: An image is no such array, or the answer is not finite.
        """

    def was_trained_on(self, image: ByteArray) -> bool:
        """Return whether it was trained on this picture: such detections confirm little."""


def detect_images(
    table: MaskTable, images: ImageFolder, detector: Detector, *, include_trained: bool = False
) -> MaskTable:
    """Run a detector on the pictures of a table's images.

    Args:
        table: Only its ``images`` are used.
        images: The pictures.
        detector: The detector.
        include_trained: Also on pictures that the detector was trained on. Detections there confirm
            little: it was trained to agree with the masks.

    Returns:
        A table as a results file gives it: one row a detection of :data:`MIN_SCORE` or more, with
        ``score``, ``category`` and ``declared_x`` and so on, highest score first within an image.
        Its ``images`` are those the detector ran on, also where it found nothing; those whose
        picture is missing, does not open or is of another size are not among them, nor those that
        the detector was trained on.

    Raises:
        CallError: The detector's answer is not finite.
    """
    looked_at: list[int] = []
    found: list[Detections] = []
    for rows, pictures in _read_batches(table, images):
        new = [
            k for k, p in enumerate(pictures) if include_trained or not detector.was_trained_on(p)
        ]
        looked_at += [rows[k] for k in new]
        found += detector.detect([pictures[k] for k in new])
    return _to_table(table.images.iloc[looked_at], found, detector)


def _read_batches(
    table: MaskTable, images: ImageFolder
) -> Iterator[tuple[list[int], list[ByteArray]]]:
    """Yield batches of rows of images and their pictures; unreadable ones are left out."""

    def load(named: tuple[object, tuple[int, int]]) -> ByteArray | None:
        name, size = named
        return images.load(name, size if min(size) >= 1 else None)

    named = names_and_sizes(table.images)
    with ThreadPoolExecutor(READER_THREADS) as readers:
        for first in range(0, len(named), IMAGE_BATCH):
            loaded = list(readers.map(load, named[first : first + IMAGE_BATCH]))
            kept = [(first + k, p) for k, p in enumerate(loaded) if p is not None]
            yield [row for row, _ in kept], [picture for _, picture in kept]


def _to_table(images: pd.DataFrame, found: Sequence[Detections], detector: Detector) -> MaskTable:
    found = [seen[seen.scores >= MIN_SCORE] for seen in found]
    counts = [len(seen) for seen in found]
    within = np.concatenate([np.arange(n) for n in counts]) if counts else np.zeros(0, np.int64)
    of = np.repeat(np.arange(len(images)), counts)
    boxes = np.concatenate([np.zeros((0, 4)), *(seen.boxes for seen in found)])
    labels = np.concatenate([np.zeros(0, np.int64), *(seen.labels for seen in found)])
    names = images["file_name"].to_numpy(object)[of]
    frame = pd.DataFrame(
        {
            "source_key": [f"{name}#{k}" for name, k in zip(names, within, strict=True)],
            "image_id": images.index.to_numpy(np.int64)[of],
            "category": [detector.categories.get(int(label)) for label in labels],
            "file_name": names,
            "height": images["height"].to_numpy(np.int64)[of],
            "width": images["width"].to_numpy(np.int64)[of],
            "segmentation": pd.Series([None] * len(of), dtype=BINARY),
            "status": pd.Series(["no_segmentation"] * len(of), dtype=STRING),
            "status_detail": pd.Series(["a detector gives boxes"] * len(of), dtype=STRING),
            "score": np.concatenate([np.zeros(0), *(seen.scores for seen in found)]),
            **{f"declared_{c}": boxes[:, k] for k, c in enumerate("xywh")},
        }
    )
    return finish(frame, images[["file_name", "height", "width", "status", "status_detail"]])
