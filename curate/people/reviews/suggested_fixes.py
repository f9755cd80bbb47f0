"""Suggested fixes: the likely correction of a mask, mechanical or as a verifier found it.

Small holes are filled, unless they are next to nothing; where the audit finds fault with the holes
of a mask, large ones too. Islands stay, small ones too: in COCO, where objects are seen in pieces,
dropping them made masks worse, and those of models hardly better (``reports/corrections``). Where
the stored box or area is not that of the pixels, it is made so. A mask that a verifier took for too
large or too small gets its outline drawn in or out by as much as the verifier likes best. One that
it took for merged is split into the parts that it likes best, or the other masks that it holds are
taken out. Where others draw a mask in another way and agree, or a verifier likes theirs far better,
it becomes theirs. A mask with the very pixels of another one is to be rejected. Nothing else is
drawn: what nothing speaks for is a person's to decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from curate.dataset.notes import count_noun, plural
from curate.people.reviews.mechanical_fixes import fill_holes
from curate.render.formatting import display_text, score
from curate.rle import Runs, decode_counts, holes, measure, parts
from curate.store.mask_corrections import MaskCorrection

SMALL_PX = 100
"""Holes under this area are small, as in the clean-up of SA-1B."""

SMALL_SHARE = 0.05
"""Nor are they small from this share of the mask's area on."""

LEAST_SHARE = 0.005
"""A change of less than this share of a mask's area is suggested only where the audit finds fault
with its holes: it would distract from what the mask is shown for."""

MOST_FILLED = 0.35
"""Holes that the audit finds fault with are filled where they are under this share of the mask."""

MECHANICAL, BY_VERIFIER, BY_OTHERS = "mechanical", "verifier", "others"
TWICE = "duplicate"
"""Where a suggestion comes from."""

_NAME_CHARACTERS = 60
"""Characters that are shown of the name of another set."""

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
        source: Where it comes from: :data:`MECHANICAL`, :data:`BY_VERIFIER` or :data:`BY_OTHERS`.
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
    gaps = measure(parts(holes(mask), connectivity=4).masks)[0]
    all_holes = faults.holes and int(gaps.sum()) <= MOST_FILLED * area
    filled = fill_holes(mask, int(gaps.max(initial=0)) + 1 if all_holes else small)
    changed = int(measure(filled)[0][0]) - area
    if changed and (all_holes or changed >= LEAST_SHARE * area):
        left = len(parts(holes(filled), connectivity=4).masks)
        words = f"{count_noun(len(gaps) - left, 'hole')} filled ({changed:,} px)"
        return SuggestedFix(words, filled)
    return SuggestedFix("stored box and area restated", mask) if faults.declared else None


def suggest_correction(correction: MaskCorrection, height: int, width: int) -> SuggestedFix:
    """Return the correction that was found of a mask, as a suggestion.

    Args:
        correction: As the audit has it.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
    """
    counts = [correction.segmentation, *correction.split_off]
    n = len(counts)
    runs, _ = decode_counts(counts, np.full(n, height), np.full(n, width))
    if correction.drawn_by:
        return SuggestedFix(_describe_other(correction), runs, BY_OTHERS)
    ious = [score(one) for one in (correction.corrected_iou, *correction.split_off_iou)]
    expected = f"(expected IoU {score(correction.verifier_iou)}, then {' and '.join(ious)})"
    if correction.step_px:
        moved = "in" if correction.step_px > 0 else "out"
        did = [f"outline drawn {moved} by {abs(correction.step_px):.2g} px"]
    else:
        did = _describe_split(n, correction.taken_out, correction.rim_px)
    added = runs[1:] if n > 1 else None
    return SuggestedFix(f"{' and '.join(did)} {expected}", runs[:1], BY_VERIFIER, added)


def _describe_other(correction: MaskCorrection) -> str:
    """Say whose mask it is, and what speaks for it."""
    if correction.agreeing:
        agree = plural(correction.agreeing, "agrees", "agree")
        who = count_noun(correction.agreeing, "other")
        why = f"{who} {agree} with it: IoU {score(correction.agreeing_iou)}"
    else:
        ious = (score(correction.verifier_iou), score(correction.corrected_iou))
        why = f"expected IoU {ious[0]}, then {ious[1]}"
    name = display_text(correction.drawn_by, _NAME_CHARACTERS)
    return f"as drawn by {name}, IoU {score(correction.drawn_iou)} with this one ({why})"


def _describe_split(parts_left: int, taken_out: Sequence[int], rim_px: int) -> list[str]:
    """Say into how many masks one is split, and which others are taken out of it."""
    said = [f"split in {_NUMBERS.get(parts_left, parts_left)}"] if parts_left > 1 else []
    if taken_out:
        masks = "mask" if len(taken_out) == 1 else "masks"
        beside = f" with {rim_px:,} px beside" if rim_px else ""
        said.append(f"{masks} {', '.join(str(one) for one in taken_out)}{beside} taken out of it")
    return said


def is_exact_copy(values: Mapping[str, object]) -> bool:
    """Return whether a mask has the very pixels of another one, which is kept.

    Args:
        values: The mask's columns.
    """
    return values.get("duplicate_of") is not None and values.get("duplicate_iou") == 1.0


def find_faults(low: Mapping[str, bool], *, declared: bool) -> Faults:
    """Return the faults of a mask.

    Args:
        low: Whether a score is low, by its column.
        declared: Whether the stored box is not that of the pixels.
    """
    return Faults(low.get("hole_score", False), declared)
