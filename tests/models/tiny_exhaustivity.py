"""Networks that see unmasked objects, as small as tests of other things need them."""

from __future__ import annotations

import pytest

from curate.networks.verifier_training import (
    dropped_masks,
    exhaustivity_training,
    exhaustivity_trial,
)
from curate.networks.verifiers import reduced_images
from curate.networks.verifiers.exhaustivity_network import ExhaustivityShape


def shrink(patch: pytest.MonkeyPatch, width: int = 2) -> None:
    """Let trainings be of two steps a round, on crops of 64 pixels, with few trials."""
    patch.setattr(exhaustivity_training, "STEPS_PER_ROUND", 2)
    patch.setattr(exhaustivity_training, "EXAMPLES", 2)
    patch.setattr(exhaustivity_training, "TRIED_IMAGES", 4)
    patch.setattr(exhaustivity_training, "ExhaustivityShape", lambda: ExhaustivityShape(width))
    patch.setattr(exhaustivity_trial, "DROPS", 1)
    patch.setattr(exhaustivity_trial, "DRAWS", 20)
    patch.setattr(dropped_masks, "CROP", 64)
    patch.setattr(reduced_images, "LONGEST_SIDES", (64, 1024))
