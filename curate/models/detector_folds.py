"""Detectors that share a dataset out among them, so that each picture has one that never saw it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from curate.models.detections import Detections, Detector, picture_key
from curate.models.segmenter import ImageArray


@dataclass(frozen=True)
class FoldedDetector:
    """K detectors, each trained on all but its own K-th of the pictures (cross-fitting).

    A picture of the dataset is looked at by the one that was not trained on it; any other picture
    by the first, since then it is all the same.

    Attributes:
        name: What the user called it.
        parts: The detectors, of the same categories.
        own: For each the keys of the pictures that only this one has not been trained on.
    """

    name: str
    parts: tuple[Detector, ...]
    own: tuple[frozenset[str], ...]

    @property
    def fingerprint(self) -> str:
        """A short hex name of all weights and settings."""
        text = ";".join(part.fingerprint for part in self.parts)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def device(self) -> str:
        """Where they run."""
        return self.parts[0].device

    @property
    def precision(self) -> str:
        """What they compute in."""
        return self.parts[0].precision

    @property
    def categories(self) -> Mapping[int, str]:
        """The name of every label they can give."""
        return self.parts[0].categories

    def has_seen(self, image: ImageArray) -> bool:
        """Return False: whoever looks at a picture was not trained on it."""
        del image
        return False

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """Look at RGB images, each of shape (height, width, 3), uint8, of any sizes.

        Raises:
            CallError: An image is no such array, or the answer is not finite.
        """
        keys = [picture_key(image) for image in images]
        turn = [next((k for k, own in enumerate(self.own) if key in own), 0) for key in keys]
        found: dict[int, Detections] = {}
        for k, part in enumerate(self.parts):
            rows = [row for row, who in enumerate(turn) if who == k]
            seen = part.detect([images[row] for row in rows])
            found.update(zip(rows, seen, strict=True))
        return [found[row] for row in range(len(images))]
