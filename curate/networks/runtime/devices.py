"""Devices, precision, pictures as networks take them, and batches that shrink with memory."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

import numpy as np

from curate.common.arrays import AnyArray
from curate.errors import CallError, CurateError, SourceError, shorten
from curate.networks.runtime.hub import import_optional

Result = TypeVar("Result")

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and deviation of each of three channels."""

IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

_MOST = 1e6
"""Largest mean, deviation or factor of pixels that is taken."""


@dataclass(frozen=True)
class Device:
    """A device, and the type to compute in there.

    Attributes:
        name: torch's name: "cpu", "cuda:0", "mps".
        precision: "bfloat16" where the device computes in it at full speed, else "float32".
    """

    name: str
    precision: str

    def __str__(self) -> str:
        return f"{self.name}, {self.precision}"


class Network(Protocol):
    """A network that is loaded onto a device."""

    @property
    def name(self) -> str:
        """Name given by the user: a hub name or a path."""

    @property
    def fingerprint(self) -> str:
        """A short hash of its weights and settings, for caches and audits."""

    @property
    def device(self) -> str:
        """torch's name of the device it runs on: "cpu", "cuda:0"."""

    @property
    def precision(self) -> str:
        """Type it computes in: "float32" or "bfloat16"."""


def check_rgb(image: AnyArray, where: str) -> None:
    """Check that an image is an array of bytes in RGB.

    Raises:
        CallError: It is not; ``where`` names the call.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        what = f"an image is of shape {image.shape} and type {image.dtype}"
        raise CallError(what, where, "give (height, width, 3), uint8, RGB")


def are_usual(values: Sequence[float]) -> bool:
    """Whether pixels can be computed with these numbers in 32 bits; NaN is none."""
    return all(abs(value) <= _MOST for value in values)


def is_normalisation(mean: Sequence[float], std: Sequence[float]) -> bool:
    """Whether images can be normalised with a mean and a deviation of each channel."""
    return len(mean) == len(std) == 3 and min(std) >= 1 / _MOST and are_usual((*mean, *std))


def choose_device(wanted: str | None = None) -> Device:
    """Return the device to use: the requested one, else the first GPU, else the CPU.

    Args:
        wanted: torch's name for it, or None.

    Raises:
        CallError: There is no such device here.
    """
    torch = import_optional("torch", "a model")
    if wanted is None:
        wanted = "cuda:0" if torch.cuda.is_available() else "cpu"
    kind, _, number = wanted.partition(":")
    count = {"cpu": 1, "cuda": torch.cuda.device_count()}.get(kind)
    if kind == "mps":
        count = int(torch.backends.mps.is_available())
    if count is None or (number and not number.isdecimal()) or int(number or 0) >= count:
        here = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
        raise CallError(f"there is no device {wanted} here", "--device", f"choose from {here}")
    if kind == "cuda":
        index = int(number or 0)
        new = torch.cuda.get_device_capability(index) >= (8, 0)  # Ampere brought bf16
        return Device(f"cuda:{index}", "bfloat16" if new else "float32")
    return Device(kind, "float32")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that a device's memory is full, whoever raised it."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError"
        or "out of memory" in str(error).lower()
        or "can't allocate memory" in str(error).lower()  # the CPU allocator's words
    )


@contextmanager
def translate_network_errors(name: str) -> Iterator[None]:
    """Turn errors of a forward pass into a SourceError; out-of-memory errors pass through.

    Loading does not prove that a network's parts fit each other: shapes that its configuration
    states separately meet in the first pass only.

    Raises:
        SourceError: The pass fails.
    """
    try:
        yield
    except Exception as error:  # every layer has errors of its own
        if isinstance(error, CurateError) or is_out_of_memory(error):
            raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise SourceError(
            f"it fails on a picture ({shorten(first, 200)})",
            name,
            "its files do not fit each other or are damaged: save or download it again",
        ) from error


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Compute on one of torch's threads: for work in many short steps that somebody waits for.

    After each step torch's threads wait for each other, spinning. Where another process has one of
    the cores, that takes a time slice of the system a step, and the whole many times as long as on
    one thread. Other threads must not use torch for the first time meanwhile: they would take
    the setting over.
    """
    torch = sys.modules.get("torch")
    if torch is None:  # a segmenter that does without
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def refuse_output(name: str, what: str) -> NoReturn:
    """Raise the error for an invalid output of a network.

    Raises:
        SourceError: Always.
    """
    do = "its files do not fit each other or are damaged: save or download it again"
    raise SourceError(what, name, do)


class AdaptiveBatches:
    """Runs work in batches, and halves them for good when memory runs out.

    Attributes:
        size: Items a batch; what is left after halving stays for the next call.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, function: Callable[[Any], Result], items: Any) -> list[Result]:
        """Return the results of ``function`` for each batch of ``items``, in order.

        Args:
            function: Takes a slice of ``items``.
            items: Anything with a length and slices.

        Raises:
            CallError: Even a batch of one does not fit.
        """
        results: list[Result] = []
        done = 0
        while done < len(items):
            full: str | None = None
            try:
                results.append(function(items[done : done + self.size]))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                full = str(error).splitlines()[0] if str(error) else type(error).__name__
            if full is None:
                done += self.size
                continue
            # Outside the handler: the traceback held what the batch had allocated.
            if self.size == 1:
                raise CallError(
                    "the device has not enough memory for a single one",
                    full,
                    "use a smaller model, or --device cpu",
                )
            self.size = max(1, self.size // 2)
            _free_memory()
        return results


def _free_memory() -> None:
    gc.collect()
    torch = import_optional("torch", "a model")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
