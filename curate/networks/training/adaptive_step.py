"""An optimiser's step on a batch that is split further where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from curate.errors import CallError
from curate.networks.runtime.devices import is_out_of_memory
from curate.networks.runtime.hub import import_optional

Result = TypeVar("Result")

MAX_EMA_DECAY = 0.998
"""Share of the averaged weights that a step leaves as they were, once training is under way."""


def ema_decay(steps: int) -> float:
    """Return the share of the averaged weights that a step leaves as they were.

    Args:
        steps: Steps done so far; the first ones weigh more, for the average to get under way.
    """
    return min(MAX_EMA_DECAY, (1 + steps) / (10 + steps))


def move_average(average: Mapping[str, Any], weights: Mapping[str, Any], kept: float) -> None:
    """Move averaged weights towards those after a step, in place.

    Args:
        average: Tensors by name; whole numbers (counts of batches) are copied.
        weights: The same after the step.
        kept: Share of the average that stays; see :func:`ema_decay`.
    """
    torch = import_optional("torch", "training")
    with torch.no_grad():
        for name, values in average.items():
            if values.is_floating_point():
                values.lerp_(weights[name], 1 - kept)
            else:
                values.copy_(weights[name])


class AdaptiveStep:
    """Computes gradients of a batch, and halves how much of it for good when memory runs out.

    Args:
        at_once: Images that are on the device at once.
        advice: What to do where a single one does not fit: "give --size".

    Attributes:
        at_once: The same; what is left after halving stays.
    """

    def __init__(self, at_once: int, advice: str) -> None:
        self.at_once = at_once
        self._advice = advice

    def run(self, backward: Callable[[int], Result]) -> Result:
        """Return the result of a function that gets how many images it may take at once.

        Args:
            backward: Computes the gradients of a whole batch anew.

        Raises:
            CallError: A single image does not fit into memory.
        """
        while True:
            full = ""
            try:
                return backward(self.at_once)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                full = str(error).splitlines()[0] if str(error) else type(error).__name__
            if self.at_once == 1:  # outside the handler: the traceback held the batch
                raise CallError("a single image does not fit into memory", full, self._advice)
            self.at_once = max(1, self.at_once // 2)
