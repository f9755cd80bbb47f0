"""Suggested fixes: the likely correction of a mask, mechanical or as a verifier found it.

Small holes are filled and small islands dropped, unless they are next to nothing; where the audit
finds fault with the holes of a mask, large ones too. Large pieces stay: in COCO, where objects are
seen in pieces, dropping them made masks worse (``reports/corrections``). Where the stored box or
area is not that of the pixels, it is made so. A mask that a verifier took for too large or too
small gets its outline drawn in or out by as much as the verifier likes best. One that it took for
merged is split into the parts that it likes best, or the other masks that it holds are taken out. A
mask with the very pixels of another one is to be rejected. Nothing else is drawn: what nothing
speaks for is a person's to decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from curate.dataset.notes import count_noun
from curate.people.reviews.mechanical_fixes import drop_islands, fill_holes
from curate.render.formatting import score
from curate.rle import Runs, decode_counts, holes, measure, parts
from curate.store.mask_corrections import MaskCorrection

SMALL_PX = 100
"""Holes and islands under this area are small, as in the clean-up of SA-1B."""

SMALL_SHARE = 0.05
"""Nor are they small from this share of the mask's area on."""

LEAST_SHARE = 0.005
"""A change of less than this share of a mask's area is suggested only where the audit finds fault
with its holes: it would distract from what the mask is shown for."""

MOST_FILLED = 0.35
"""Holes that the audit finds fault with are filled where they are under this share of the mask."""

MECHANICAL, BY_VERIFIER, TWICE = "mechanical", "verifier", "duplicate"
"""Where a suggestion comes from."""

_NUMBERS = {2: "two", 3: "three", 4: "four"}

REDRAWN = "redrawn by the segmenter"
MERGED = "merged with mask"
"""Names of suggestions that are no mechanical fix of one mask."""


class Faults(NamedTuple):
    """Faults that the audit finds with a mask: its holes, its stored box or area."""

    holes: bool = False
    declared: bool = False


@dataclass(frozen=True)
class SuggestedFix:
    """A fix of one mask.

    Attributes:
        words: What it does, as a clause: "2 holes filled (134 px)".
        mask: The mask as fixed.
        source: Where it comes from: :data:`MECHANICAL` or :data:`BY_VERIFIER`.
        added: Masks that are new: the other parts of a mask that is split; None for none.
    """

    words: str
    mask: Runs
    source: str = MECHANICAL
    added: Runs | None = None


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
    fixed = drop_islands(mask, small)
    gaps = measure(parts(holes(fixed), connectivity=4).masks)[0]
    all_holes = faults.holes and int(gaps.sum()) <= MOST_FILLED * area
    filled = fill_holes(fixed, int(gaps.max(initial=0)) + 1 if all_holes else small)
    words = [*_describe("island", mask, fixed), *_describe("hole", fixed, filled)]
    changed = area - int(measure(fixed)[0][0]) + int(measure(filled)[0][0] - measure(fixed)[0][0])
    if words and (all_holes or changed >= LEAST_SHARE * area):
        return SuggestedFix(", ".join(words), filled)
    return SuggestedFix("stored box and area restated", mask) if faults.declared else None


def suggest_correction(correction: MaskCorrection, height: int, width: int) -> SuggestedFix:
    """Return the correction that a verifier found of a mask, as a suggestion.

    Args:
        correction: As the audit has it.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
    """
    counts = [correction.segmentation, *correction.split_off]
    n = len(counts)
    runs, _ = decode_counts(counts, np.full(n, height), np.full(n, width))
    ious = [score(one) for one in (correction.corrected_iou, *correction.split_off_iou)]
    expected = f"(expected IoU {score(correction.verifier_iou)}, then {' and '.join(ious)})"
    if correction.step_px:
        moved = "in" if correction.step_px > 0 else "out"
        did = [f"outline drawn {moved} by {abs(correction.step_px):.2g} px"]
    else:
        did = _describe_split(n, correction.taken_out)
    added = runs[1:] if n > 1 else None
    return SuggestedFix(f"{' and '.join(did)} {expected}", runs[:1], BY_VERIFIER, added)


def _describe_split(parts_left: int, taken_out: Sequence[int]) -> list[str]:
    """Say into how many masks one is split, and which others are taken out of it."""
    said = [f"split in {_NUMBERS.get(parts_left, parts_left)}"] if parts_left > 1 else []
    if taken_out:
        masks = "mask" if len(taken_out) == 1 else "masks"
        said.append(f"{masks} {', '.join(str(one) for one in taken_out)} taken out of it")
    return said


def is_exact_copy(values: Mapping[str, object]) -> bool:
    """Return whether a mask has the very pixels of another one, which is kept.

    Args:
        values: The mask's columns.
    """
    return values.get("duplicate_of") is not None and values.get("duplicate_iou") == 1.0


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
    return Faults(low.get("hole_score", False), declared)
