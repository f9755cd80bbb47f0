"""Allowed values and ranges of all options and numbers that callers give, said once.

A number that is none (NaN), infinite or beyond its range is refused in a sentence before anything
is done with it, wherever it comes from: an option, a call, a policy or a recipe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

from curate.errors import CallError

ACTIONS = ("accept", "review", "reject")
"""What a plan says of a mask."""

CROWDS = ("auto", "objects", "regions")
"""How masks with ``iscrowd`` 1 are judged: as objects only where nearly all masks are crowd; as
objects like others; or as regions, which means not at all."""

NO_IMAGES = "none"
"""Value of ``images`` with which a dataset's own pictures are not used."""

RULES = ("majority", "latest", "strictest")
"""How people who disagree are resolved."""

KINDS = ("errors", "learn", "estimate")
"""What a queue of masks is for."""

QUEUE_KINDS = (*KINDS, "missing")
"""Every kind of queue: those of masks, and the proposed missing ones."""

BY_PRIORITY, BY_SECONDS = QUEUE_ORDERS = ("priority", "seconds")
"""Orders of an errors queue: by the plan's priority, or by that and the seconds that it takes."""

ROUND_RULES = ("diverse", "farthest", "unsure", "random")
"""How a round of the engine chooses its images."""

MASK_CHOICES = ("learned", "predicted")
"""How the engine chooses among the masks of a point: by learned quality, or by predicted IoU."""

JUDGE_ORDERS = ("random", "rank", "reviewed")
"""Orders in which a judge is asked about masks: by a hash of their ids, which is as good as by
chance; by their place in the queue; those that people decided on, and no others, by the hash."""

PRESETS = ("default", "sa1b")
"""The policies that curate brings."""

PICTURES = ("copy", "link", "none")
"""What an export does with pictures: copied, linked (hard links), or left where they are."""

SUBSETS = ("certified", "certified-images")
"""Of what an export is made: masks that somebody vouches for, or images all of whose masks are."""

DUPLICATES = ("keep", "drop")
"""What to do with an added mask whose object has a mask already."""


MOST = 10**12
"""Largest count of masks, images or rows that is asked for."""

_BITS = 64


@dataclass(frozen=True)
class Range:
    """Which numbers are allowed.

    Attributes:
        low: The lowest.
        high: The highest.
        whole: Only whole ones.
        over: ``low`` itself is not allowed.
        under: ``high`` itself is not allowed.
    """

    low: float
    high: float
    whole: bool = False
    over: bool = False
    under: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.over else value >= self.low
        below = value < self.high if self.under else value <= self.high
        return above and below and (not self.whole or value == int(value))

    def __str__(self) -> str:
        low, high = (f"{n:,}" if isinstance(n, int) else f"{n:g}" for n in (self.low, self.high))
        start, end = "over" if self.over else "from", "and under" if self.under else "to"
        return f"a {'whole ' if self.whole else ''}number {start} {low} {end} {high}"


_COUNT = Range(1, MOST, whole=True)
_SHARE = Range(0, 1)
_ROUNDS = Range(1, 1_000_000, whole=True)

RANGES: Mapping[str, Range] = {
    "batch": Range(1, 65_536, whole=True),
    "budget": _COUNT,
    "count": _COUNT,
    "confidence": Range(0.5, 1, over=True, under=True),
    "detector_epochs": _ROUNDS,
    "detector_size": Range(64, 4096, whole=True),
    "draw": Range(1, 2**63 - 1, whole=True),
    "drop_islands": _COUNT,
    "epochs": _ROUNDS,
    "exported": Range(1, 2**63 - 1, whole=True),  # a draw's number
    "fill_holes": _COUNT,
    "floor": Range(0, MOST, whole=True),  # masks of a category
    "folds": Range(1, 100, whole=True),
    "good_iou": _SHARE,
    "held_out": Range(0, 1, over=True, under=True),
    "honeypots": Range(0, 0.5),
    "images": Range(8, 1_000_000, whole=True),  # of a demo: fewer lack room for every defect
    "learning_rate": Range(0, 1, over=True, under=True),
    "looks": _ROUNDS,
    "mask": Range(-(2**63), 2**63 - 1, whole=True),
    "max_bad": Range(0, 1, over=True, under=True),
    "minutes": Range(0, 1e9, over=True),
    "number": Range(1, 2**63 - 1, whole=True),  # of a decision in bulk
    "offset": Range(0, 1e9, over=True),
    "overlap": _SHARE,
    "patience": _ROUNDS,
    "port": Range(0, 65_535, whole=True),
    "prefill_rounds": Range(0, 1000, whole=True),  # of the engine
    "prompts": Range(1, 1024, whole=True),
    "round_images": _COUNT,
    "sample": _COUNT,  # of the engine
    "rounds": Range(1, 1000, whole=True),  # of the engine
    "rows": Range(0, MOST, whole=True),
    "same_iou": Range(0, 1, over=True),
    "same_outline": Range(0, 1e6),  # px
    "seconds_per_mask": Range(0, 1e6, over=True),
    "seed": Range(0, 2**32 - 1, whole=True),
    "size": Range(64, 4096, whole=True),
    "retries": Range(0, 100, whole=True),
    "threshold": Range(-1e9, 1e9),
    "timeout": Range(0, 86_400, over=True),
    "validation_images": _COUNT,
    "void": Range(0, 2**32 - 1, whole=True),
    "workers": Range(1, 4096, whole=True),
}
"""What the options of commands, and arguments of the same names, may be."""


def check_numbers(**given: object) -> None:
    """Check that numbers, or lists of them, are in the ranges of their names in :data:`RANGES`.

    None is not given, and neither is what has no range.

    Raises:
        CallError: One is out of its range, or is no number.
    """
    for name, values in given.items():
        if values is not None and name in RANGES:
            for value in values if isinstance(values, list | tuple) else (values,):
                check_number(value, RANGES[name], f"--{name.replace('_', '-')}")


def check_number(value: object, allowed: Range, name: str, where: str = "") -> float:
    """Check that a number is in a range; return it, as an int where only those are allowed.

    Args:
        value: What was given.
        allowed: The range.
        name: What it is called.
        where: The file or table that it stands in.

    Raises:
        CallError: It is out of range, or is no finite number.
    """
    do = f"give {allowed}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise CallError(f"{name} must be a number, not {value!r:.60}", where, do)
    if isinstance(value, int) and value.bit_length() > _BITS:  # which need not even be printable
        raise CallError(f"{name} is a number beyond {_BITS} bits", where, do)
    number = value if isinstance(value, int) else float(value)
    if not math.isfinite(number):
        raise CallError(f"{name} must be a number, not {number}", where, do)
    if number not in allowed:
        raise CallError(f"{name} is {number}", where, do)
    return int(number) if allowed.whole else float(number)
