"""Choice of a training subset of an audit's masks, by number or share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray
from curate.common.ranges import check_numbers
from curate.errors import AuditError, CallError
from curate.subsets.candidates import Candidates
from curate.subsets.picture_features import describe_pictures
from curate.subsets.selection import order_masks
from curate.subsets.weights import weigh

if TYPE_CHECKING:
    from curate.store.audit import StoredAudit

FLOOR = 10
"""Masks of each category that a subset keeps, where there is room, if nothing else is asked."""

Keep = int | float | str
"""How many masks: a whole number, a share in (0, 1], or a text such as ``50%``."""


@dataclass(frozen=True)
class SubsetOptions:
    """Options of a subset; each is an argument of :func:`curate.prune`.

    Raises:
        CallError: One cannot be used.
    """

    keep: Keep | None = None
    floor: int = FLOOR
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(floor=self.floor, seed=self.seed)
        if self.keep is not None:
            parse_keep(self.keep)


@dataclass(frozen=True)
class Subset:
    """The masks chosen.

    Attributes:
        stays: Shape (n,), of the candidates; crowd regions stay.
        asked: How many masks were asked for.
        order: All that could stay, first to last; see :func:`order_masks`.
        described_by: What told pictures apart: "embeddings", "thumbnails", "hashes" or "".
    """

    stays: BoolArray
    asked: int
    order: pd.DataFrame
    described_by: str
    options: SubsetOptions = SubsetOptions()

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return {
            "asked": self.asked,
            "available": len(self.order),
            "floor": self.options.floor,
            "seed": self.options.seed,
            "pictures_by": self.described_by or None,
        }

    def lines(self) -> list[str]:
        """Say what people may want to know of the choice."""
        lines = []
        available = len(self.order)
        if available < self.asked:
            some = f"{self.asked:,} masks were asked for, {available:,} can stay"
            others = len(self.stays) - available
            lines.append(f"{some}: {others:,} others are rejected or crowd regions")
        if not self.described_by:
            lines.append("chosen without pictures: the audit has none, or they are not there")
        return lines


def parse_keep(keep: Keep) -> int | float:
    """Return a number of masks as an int, a share of all masks as a float in (0, 1].

    Raises:
        CallError: It is neither.

    >>> parse_keep("50%"), parse_keep("0.5"), parse_keep("500")
    (0.5, 0.5, 500)
    """
    do = "give a whole number of masks from 1 on, or a share such as 50% or 0.5"
    value: object = keep
    if isinstance(value, str):
        text = value.strip()
        number = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(%?)", text, re.ASCII)
        if number is None or len(text) > 20:
            raise CallError(f"{value[:40]!r} is no number of masks", "--keep", do)
        if number[2]:
            value = float(number[1]) / 100
        else:
            value = int(number[1]) if number[1].isdecimal() else float(number[1])
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise CallError(f"{value!r:.40} is no number of masks", "--keep", do)
    if isinstance(value, int | np.integer):
        if not 1 <= value < 2**63:
            raise CallError(f"{value!r:.40} is no number of masks", "--keep", do)
        return int(value)
    if not 0 < value <= 1:
        raise CallError(f"{value!r:.40} is no share in (0, 1]", "--keep", do)
    return float(value)


def choose_subset(audit: StoredAudit, candidates: Candidates, options: SubsetOptions) -> Subset:
    """Choose which masks stay: the first of :func:`order_masks`, and all crowd regions.

    Args:
        audit: The audit, for its pictures.
        candidates: Its masks.
        options: How many are asked for; a share is of all masks but crowd regions.

    Raises:
        AuditError: No mask can be chosen.
    """
    masks = candidates.masks
    crowd, eligible = (masks[name].to_numpy(np.bool_) for name in ("crowd", "eligible"))
    if not eligible.any():
        do = "see `curate report`: all are rejected, or there are none"
        raise AuditError("no mask can be kept", str(audit.path), do)
    looks = describe_pictures(audit, masks)
    order = order_masks(masks, looks.features, floor=options.floor, seed=options.seed)
    keep = 1.0 if options.keep is None else parse_keep(options.keep)
    total = int((~crowd).sum())
    asked = keep if isinstance(keep, int) else max(1, int(np.floor(keep * total + 0.5)))
    chosen = masks.index.isin(order.index[:asked])
    return Subset(chosen | crowd, asked, order, looks.described_by, options)


def weigh_masks(candidates: Candidates, subset: Subset) -> FloatArray:
    """Return the weight of each mask; see :mod:`curate.subsets.weights`."""
    gain = subset.order["gain"].reindex(candidates.masks.index, fill_value=0.0)
    total = None if subset.options.keep is None else float(subset.asked)
    return weigh(gain.to_numpy(np.float64), total)
