"""Suggested fixes: the likely correction of a mask, where it is mechanical.

Small holes are filled and small islands dropped; where the audit finds fault with the holes or the
pieces of a mask, large ones too. Where the stored box or area is not that of the pixels, it is made
so. Nothing is drawn: what no pixel of the mask speaks for is a person's to decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from curate.dataset.notes import count_noun
from curate.people.reviews.mechanical_fixes import drop_islands, fill_holes
from curate.rle import Runs, holes, measure, parts

SMALL_PX = 100
"""Holes and islands under this area are small, as in the clean-up of SA-1B."""

SMALL_SHARE = 0.05
"""Nor are they small from this share of the mask's area on."""

MOST_FILLED = 0.35
"""Holes that the audit finds fault with are filled where they are under this share of the mask."""

LEAST_KEPT = 0.65
"""Pieces that the audit finds fault with are dropped where the largest is this share or more."""

REDRAWN = "redrawn by the segmenter"
MERGED = "merged with mask"
"""Names of suggestions that are no mechanical fix of one mask."""


class Faults(NamedTuple):
    """Faults that the audit finds with a mask: its holes, its pieces, its stored box or area."""

    holes: bool = False
    pieces: bool = False
    declared: bool = False


@dataclass(frozen=True)
class SuggestedFix:
    """A fix of one mask.

    Attributes:
        words: What it does, as a clause: "2 holes filled (134 px)".
        mask: The mask as fixed.
    """

    words: str
    mask: Runs


def suggest_fix(mask: Runs, faults: Faults) -> SuggestedFix | None:
    """Return the likely mechanical correction of a mask; None where there is none.

    Args:
        mask: One mask.
        faults: What the audit finds fault with.
    """
    area = int(measure(mask)[0][0])
    if not area:
        return None
    small = min(SMALL_PX, int(SMALL_SHARE * area))
    pieces = parts(mask)
    largest = int(measure(pieces.masks)[0].max())
    only_largest = faults.pieces and largest >= LEAST_KEPT * area
    fixed = drop_islands(mask, largest if only_largest else small)
    gaps = measure(parts(holes(fixed), connectivity=4).masks)[0]
    all_holes = faults.holes and int(gaps.sum()) <= MOST_FILLED * area
    filled = fill_holes(fixed, int(gaps.max(initial=0)) + 1 if all_holes else small)
    words = [*_describe("island", mask, fixed), *_describe("hole", fixed, filled)]
    if words:
        return SuggestedFix(", ".join(words), filled)
    return SuggestedFix("stored box and area restated", mask) if faults.declared else None


def _describe(what: str, before: Runs, after: Runs) -> list[str]:
    """Say how many islands were dropped, or holes filled; nothing where none was."""
    islands = what == "island"
    counted = [
        parts(one) if islands else parts(holes(one), connectivity=4) for one in (before, after)
    ]
    number = len(counted[0].masks) - len(counted[1].masks)
    pixels = abs(int(measure(after)[0][0]) - int(measure(before)[0][0]))
    did = "dropped" if islands else "filled"
    return [f"{count_noun(number, what)} {did} ({pixels:,} px)"] if number else []


def find_faults(low: Mapping[str, bool], *, declared: bool) -> Faults:
    """Return the faults of a mask.

    Args:
        low: Whether a score is low, by its column.
        declared: Whether the stored box is not that of the pixels.
    """
    return Faults(low.get("hole_score", False), low.get("fragment_score", False), declared)
