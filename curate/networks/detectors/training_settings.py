"""Settings of detector training on an audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.common.ranges import check_numbers

if TYPE_CHECKING:
    from curate.networks.detectors.detector_training import DetectorSchedule


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of detector training on an audit.

    Attributes:
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
    """

    start: str | None = None
    size: int | None = None
    folds: int = 1
    held_out: float = 0.2
    epochs: int = 100
    patience: int = 15
    batch: int = 8
    learning_rate: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(**vars(self))

    def schedule(self) -> DetectorSchedule:
        """Return the hyperparameters.

        Raises:
            CallError: A number is out of range.
        """
        from curate.networks.detectors.detector_training import DetectorSchedule

        rate = self.learning_rate or (1e-3 if self.start is None else 1e-4)
        return DetectorSchedule(self.epochs, self.patience, self.batch, rate, self.seed)
