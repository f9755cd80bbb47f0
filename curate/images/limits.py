"""Limits on what is decoded of a picture, and the environment variables that raise them."""

from __future__ import annotations

import math
import os

from curate.errors import CallError

MAX_PIXELS = 1_000_000_000
"""Largest picture that is decoded, in pixels, unless :data:`PIXELS_VARIABLE` says another."""

MAX_BYTES = 240_000_000
"""Most memory that decoding one picture takes, unless :data:`BYTES_VARIABLE` says another: a
worker stays under 600 MB."""

PIXELS_VARIABLE = "CURATE_PICTURE_MEGAPIXELS"
BYTES_VARIABLE = "CURATE_PICTURE_MB"


class OverLimit(ValueError):
    """A picture that may be sound takes more pixels or memory than it may.

    Args:
        what: What is over which limit, as a clause.
        do: What to do about it; may be empty.
    """

    def __init__(self, what: str, do: str = "") -> None:
        super().__init__(f"{what}: {do}" if do else what)


class TooManyPixels(OverLimit):
    """A picture's header states more pixels than are decoded."""

    def __init__(self, width: int, height: int, most: int) -> None:
        megapixels = math.ceil(width * height / 1e6)
        super().__init__(
            f"it is {width} x {height} px, over the limit of {most:,} pixels",
            f"set {PIXELS_VARIABLE}={megapixels} if it is sound",
        )


class TooMuchMemory(OverLimit):
    """A picture takes more memory than one may.

    Args:
        what: What takes it, as a clause without the number.
        needed: In bytes.
        most: The limit, in bytes.
        do: Another thing to do about it than to raise the limit; may be empty.
    """

    def __init__(self, what: str, needed: int, most: int, do: str = "") -> None:
        self._facts = what, needed, most, do
        raised = f"set {BYTES_VARIABLE}={math.ceil(needed / 1e6):d}"
        super().__init__(
            f"{what} takes {_megabytes(needed)}, over the limit of {_megabytes(most)}",
            f"{raised} or {do}" if do else raised,
        )

    def beside(self, taken: int) -> TooMuchMemory:
        """Return the same, where ``taken`` bytes of the limit went to something else before."""
        what, needed, most, do = self._facts
        return TooMuchMemory(what, needed + taken, most + taken, do)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 10_000_000 else f"{size / 1e3:,.0f} kB"


def pixel_limit() -> int:
    """Return the most pixels of a picture that is decoded.

    Raises:
        CallError: The variable is no positive number.
    """
    return _number(PIXELS_VARIABLE, "megapixels") or MAX_PIXELS


def byte_limit(otherwise: int = MAX_BYTES) -> int:
    """Return the most memory that decoding a picture takes.

    Args:
        otherwise: What it is where the variable is not set.

    Raises:
        CallError: The variable is no positive number.
    """
    return _number(BYTES_VARIABLE, "MB") or otherwise


def _number(variable: str, unit: str) -> int:
    """Return a variable's number times a million; 0 where it is not set."""
    said = os.environ.get(variable, "").strip()
    if not said:
        return 0
    try:
        number = int(float(said) * 1e6)
    except (ValueError, OverflowError):
        number = 0
    if number < 1:
        raise CallError(f"{said!r} is no size", variable, f"give a number of {unit}, as 2000")
    return number
