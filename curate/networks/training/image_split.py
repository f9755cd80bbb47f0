"""Splits by image: training and held-out images, or folds; what looks alike stays together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol, TypeVar


class GroupedImage(Protocol):
    """An image of a training set, as a split needs it."""

    @property
    def key(self) -> str:
        """Key of the picture's pixels, see :mod:`curate.networks.runtime.picture_keys`."""

    @property
    def group(self) -> str:
        """Images of one group stay on one side of a split; the picture's own key if empty."""


Image = TypeVar("Image", bound=GroupedImage)


def _rank_groups(scenes: Sequence[GroupedImage], seed: int) -> dict[str, int]:
    """Return the rank of every group in an order that depends on the seed and pictures alone.

    So a picture mostly stays on its side of a split when others come or go: a network that is
    trained again was not trained on today's held-out images.
    """
    groups = {scene.group or scene.key for scene in scenes}
    order = sorted(groups, key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest())
    return {group: place for place, group in enumerate(order)}


def split(
    scenes: Sequence[Image], *, held_out: float = 0.2, seed: int = 0
) -> tuple[list[Image], list[Image]]:
    """Split by image into training and held-out images.

    Args:
        scenes: Two or more groups.
        held_out: Share that is held out; at least one image is, and at least one is not.
        seed: Another seed, another split.
    """
    places = _rank_groups(scenes, seed)
    count = min(max(1, round(held_out * len(places))), max(1, len(places) - 1))
    sides: tuple[list[Image], list[Image]] = ([], [])
    for scene in scenes:
        sides[places[scene.group or scene.key] < count].append(scene)
    return sides


def split_into_folds(scenes: Sequence[Image], folds: int, *, seed: int = 0) -> list[list[Image]]:
    """Split images into folds of equal size.

    Args:
        scenes: At least as many groups as folds.
        folds: Number of folds.
        seed: Another seed, another split.
    """
    places = _rank_groups(scenes, seed)
    dealt: list[list[Image]] = [[] for _ in range(folds)]
    for scene in scenes:
        dealt[places[scene.group or scene.key] % folds].append(scene)
    return dealt
