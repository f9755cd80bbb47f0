"""Fitting of the network that sees unmasked objects, to a dataset's own masks dropped at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curate.networks.runtime.devices import Device
from curate.networks.runtime.hub import import_optional
from curate.networks.training.averaged_fitting import (
    FittedNetwork,
    FittingSchedule,
    FittingTask,
    fit_averaged,
)
from curate.networks.training.checkpoints import Tensors
from curate.networks.verifier_training.dropped_masks import DroppedExample, make_dropped_example
from curate.networks.verifiers.exhaustivity_network import (
    ExhaustivityShape,
    build_exhaustivity,
    run_exhaustivity,
)
from curate.networks.verifiers.reduced_images import ReducedImage

COMMAND = "train-verifier"


def fit_exhaustivity(
    images: Sequence[ReducedImage],
    shape: ExhaustivityShape,
    schedule: FittingSchedule,
    device: Device,
    *,
    identity: str = "",
    checkpoint: Path | None = None,
    progress: Callable[[float, int, int], None] | None = None,
) -> FittedNetwork:
    """Train a network to see what masks do not explain.

    Args:
        images: With their masks.
        shape: Size of the network.
        schedule: Hyperparameters; its seed is also that of the first weights.
        device: Where.
        identity: See :func:`curate.networks.training.averaged_fitting.fit_averaged`.
        checkpoint: Likewise.
        progress: Likewise.
    """
    task = FittingTask(COMMAND, images, make_dropped_example, compute_drop_losses)
    return fit_averaged(
        build_exhaustivity(shape, schedule.seed),
        task,
        schedule,
        device,
        identity=identity,
        checkpoint=checkpoint,
        progress=progress,
    )


def compute_drop_losses(network: Any, examples: Sequence[DroppedExample], place: str) -> Tensors:
    """Return the losses of a batch: of each pixel, and of the overlap with the dropped masks.

    Args:
        network: The network.
        examples: Parts of images.
        place: torch's name of the device.
    """
    torch = import_optional("torch", COMMAND)

    def stack(name: str) -> Any:
        return torch.from_numpy(np.stack([getattr(one, name) for one in examples])).to(place)

    truth, weights = stack("truth"), stack("weights")
    logits = run_exhaustivity(network, stack("inputs"))
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    pixels = (each * weights).sum() / weights.sum().clamp_min(1.0)
    share = torch.sigmoid(logits) * weights
    both = (share * truth).sum((1, 2))
    sizes = share.sum((1, 2)) + (truth * weights).sum((1, 2))
    dropped = (truth.sum((1, 2)) > 0).to(share.dtype)
    overlap = ((1 - (2 * both + 10) / (sizes + 10)) * dropped).sum() / dropped.sum().clamp_min(1.0)
    return {"loss": 2 * pixels + 0.5 * overlap, "pixels": pixels, "overlap": overlap}
