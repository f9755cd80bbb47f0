"""Suggested fixes: what is mechanical is suggested, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from curate.people.reviews.suggested_fixes import Faults, suggest_fix
from curate.rle import from_dense, to_dense

NO_FAULTS = Faults()
BOX = "stored box and area restated"


def square(side: int = 60, at: int = 10) -> np.ndarray:
    """Return a square on an image of 100 x 100."""
    pixels = np.zeros((100, 100), np.bool_)
    pixels[at : at + side, at : at + side] = True
    return pixels


def suggested(pixels: np.ndarray, faults: Faults = NO_FAULTS) -> tuple[str, np.ndarray]:
    """Return a suggestion's words and pixels; "" and those of the mask where there is none."""
    found = suggest_fix(from_dense(pixels), faults)
    return (found.words, to_dense(found.mask, 0)) if found else ("", pixels)


def test_a_clean_mask_is_left_alone() -> None:
    assert suggested(square())[0] == ""
    assert suggest_fix(from_dense(np.zeros((9, 9), np.bool_)), Faults(True, True)) is None


def test_small_holes_are_filled() -> None:
    pixels = square()
    pixels[20:24, 20:25] = False
    pixels[30, 30] = False
    words, fixed = suggested(pixels)
    assert words == "2 holes filled (21 px)"
    assert (fixed == square()).all()


def test_next_to_nothing_is_suggested_only_where_the_audit_finds_fault_with_it() -> None:
    pixels = square()
    pixels[20:23, 20:25] = False  # 15 of 3,600 px
    assert suggested(pixels)[0] == ""
    assert suggested(pixels, Faults(holes=True))[0] == "1 hole filled (15 px)"


def test_islands_stay() -> None:
    pixels = square()
    pixels[90:93, 90:92] = True
    assert suggested(pixels)[0] == ""
    assert suggested(pixels, Faults(holes=True))[0] == ""
    pixels[20:24, 20:25] = False
    words, fixed = suggested(pixels)
    assert words == "1 hole filled (20 px)"
    assert fixed[90:93, 90:92].all()


@pytest.mark.parametrize(
    ("faults", "words"),
    [(Faults(), ""), (Faults(holes=True), "1 hole filled (400 px)"), (Faults(declared=True), BOX)],
)
def test_a_large_hole_is_filled_only_where_the_audit_finds_fault_with_it(
    faults: Faults, words: str
) -> None:
    pixels = square()
    pixels[20:40, 20:40] = False
    assert suggested(pixels, faults)[0] == words


def test_a_ring_stays_a_ring() -> None:
    pixels = square()
    pixels[15:65, 15:65] = False
    assert suggested(pixels, Faults(holes=True))[0] == ""


def test_large_pieces_stay() -> None:
    pixels = square()
    pixels[80:95, 80:95] = True
    assert suggested(pixels)[0] == ""
    assert suggested(pixels, Faults(holes=True))[0] == ""


def test_a_stored_box_that_is_wrong_is_restated_with_the_same_pixels() -> None:
    words, fixed = suggested(square(), Faults(declared=True))
    assert words == "stored box and area restated"
    assert (fixed == square()).all()
