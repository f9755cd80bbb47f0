"""Training of the networks that see unmasked objects, out of fold by image, beside a verifier's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curate.common.progress import Progress
from curate.networks.runtime.devices import Device
from curate.networks.segmenter_training.training_masks import MaskedImage
from curate.networks.training.averaged_fitting import FittedNetwork, FittingSchedule
from curate.networks.verifier_training.dropped_masks import reduce_images, typical_side
from curate.networks.verifier_training.exhaustivity_fitting import fit_exhaustivity
from curate.networks.verifier_training.exhaustivity_trial import (
    ExhaustivityTrial,
    TriedImage,
    measure_trial,
    try_on_drops,
)
from curate.networks.verifier_training.verifier_record import ExhaustivityRecord
from curate.networks.verifiers.exhaustivity_network import ExhaustivityShape
from curate.networks.verifiers.unmasked_objects import ObjectFinder

STEPS_PER_ROUND = 25
"""Steps of a round, as of a verifier's."""

EXAMPLES = 8
"""Parts of images a step."""

LEARNING_RATE = 2e-3
"""Highest of AdamW."""

ROUNDS = (10, 24)
"""Least and most rounds of training a network, where none are given."""

LOOKS = 40
"""Times that an image is trained on, within :data:`ROUNDS`."""

TRIED_IMAGES = 100
"""Images of each fold that its network is tried on, at most."""

TRIAL_SHARE = 0.2
"""Share of a time limit in which networks are tried; the rest is training."""


@dataclass(frozen=True)
class ExhaustivitySettings:
    """What a training of these networks shares with that of a verifier's.

    Attributes:
        rounds: Rounds of each network; by the number of images if None.
        seed: Of everything drawn.
        device: Where.
        identity: What must be equal for checkpoints to be of this training.
        checkpoints: Folder of the checkpoints.
        seconds: Time for all networks together; over 0, None for no limit.
        progress: Called with progress.
    """

    rounds: int | None
    seed: int
    device: Device
    identity: str
    checkpoints: Path
    seconds: float | None
    progress: Progress | None


@dataclass(frozen=True)
class FittedExhaustivity:
    """Networks that see unmasked objects, and what was measured of them.

    Attributes:
        finder: What makes proposals of their answers.
        fitted: Each network.
        trial: On held-out images.
    """

    finder: ObjectFinder
    fitted: tuple[FittedNetwork, ...]
    trial: ExhaustivityTrial

    @property
    def stopped_early(self) -> bool:
        """Whether the time of one was over before its rounds were."""
        return any(one.stopped_early for one in self.fitted)

    def as_record(self) -> ExhaustivityRecord:
        """Return their part of ``training.json``."""
        worth = self.finder.worth
        return {
            "images": self.trial.images,
            "drops": self.trial.drops,
            "images_auc": worth.images_auc,
            "images_auc_low": worth.images_auc_low,
            "found": worth.found,
            "found_first": self.trial.found_first,
            "rounds": [len(one.history) for one in self.fitted],
            "steps": [one.steps for one in self.fitted],
            "steps_planned": [one.planned for one in self.fitted],
        }


def train_exhaustivity(
    images: Sequence[MaskedImage],
    folds: Sequence[int],
    settings: ExhaustivitySettings,
) -> FittedExhaustivity:
    """Train a network for each fold on the images of all others, and try it on its own.

    Args:
        images: With their masks and pictures that open.
        folds: The fold of each image, from 0 on; each fold has one or more.
        settings: How.

    Raises:
        CallError: The loss is not finite, or a single image does not fit into memory.
        SourceError: A picture is gone, or a checkpoint is of another training.
    """
    side = typical_side(images)
    reduced = reduce_images(images, side, settings.progress)
    shape = ExhaustivityShape()
    count = max(folds) + 1
    fitted: list[FittedNetwork] = []
    tried: list[TriedImage] = []
    spent = 0.0
    for k in range(count):
        learnt = [one for one, fold in zip(reduced, folds, strict=True) if fold != k]
        held = [(n, one) for n, (one, fold) in enumerate(zip(reduced, folds, strict=True))]
        held = [(n, one) for n, one in held if folds[n] == k]
        share = None
        if settings.seconds is not None:
            share = max(1e-3, (settings.seconds - spent) / (count - k))
        needed = round(LOOKS * len(learnt) / (STEPS_PER_ROUND * EXAMPLES))
        schedule = FittingSchedule(
            settings.rounds or int(np.clip(needed, *ROUNDS)),
            STEPS_PER_ROUND,
            EXAMPLES,
            LEARNING_RATE,
            None if share is None else (1 - TRIAL_SHARE) * share,
            settings.seed * 1000 + k,
        )
        fitted.append(
            fit_exhaustivity(
                learnt,
                shape,
                schedule,
                settings.device,
                identity=f"{settings.identity}:exhaustivity:{k}",
                checkpoint=settings.checkpoints / f"exhaustivity-{k + 1}.safetensors",
                progress=_Stages(settings.progress, k, count).train,
            )
        )
        began = time.monotonic()
        chosen = np.random.default_rng([settings.seed, k]).permutation(len(held))[:TRIED_IMAGES]
        tried += try_on_drops(
            fitted[k].network,
            [held[i] for i in chosen.tolist()],
            k,
            settings.device,
            settings.seed,
            None if share is None else TRIAL_SHARE * share,
            _Stages(settings.progress, k, count).measure,
        )
        took = fitted[k].elapsed + time.monotonic() - began
        spent += took if share is None else min(took, share)
    trial = measure_trial(tried)
    finder = ObjectFinder(
        shape, side, trial.of_candidate, trial.of_image, trial.worth, _only_category(images)
    )
    return FittedExhaustivity(finder, tuple(fitted), trial)


@dataclass(frozen=True)
class _Stages:
    """Tells of the progress of one network."""

    progress: Progress | None
    network: int
    count: int

    def train(self, done: float, rounds: int, images: int) -> None:
        """Tell of rounds that are done."""
        if self.progress:
            stage = f"missing masks, network {self.network + 1} of {self.count}"
            self.progress(stage, done, rounds, images)

    def measure(self, done: int, images: int) -> None:
        """Tell of images that it was tried on."""
        if self.progress:
            stage = f"trying missing masks, network {self.network + 1} of {self.count}"
            self.progress(stage, done, images, 0)


def _only_category(images: Sequence[MaskedImage]) -> str | None:
    """Return the name of the category of all masks; None where there are several or none."""
    names = {name for image in images for name in image.categories}
    return names.pop() if len(names) == 1 else None
