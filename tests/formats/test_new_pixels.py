"""The choice between rings, seams and run lengths, which is one for all formats."""

from __future__ import annotations

import numpy as np
import pytest
from new_masks import counts_of

from curate.formats.edits import Stored
from curate.formats.new_pixels import PixelTally, wants_polygon
from curate.formats.polygons import trace_rings

SIZE = (8, 9)


def mask(kind: str) -> bytes:
    pixels = np.zeros(SIZE, bool)
    pixels[1:6, 1:6] = True
    pixels[3, 3] = kind != "hole"
    pixels[7, 8] = kind == "parts"
    return counts_of(pixels)


@pytest.mark.parametrize(
    ("kind", "single", "seamed"),
    [
        ("plain", True, False),
        ("parts", False, False),
        ("parts", True, True),
        ("hole", False, True),
        ("hole", True, True),
    ],
)
def test_only_what_has_to_be_joined_runs_through_a_seam(
    kind: str, single: bool, seamed: bool
) -> None:
    found = trace_rings(mask(kind), SIZE, single=single, seams=True)
    assert found is not None
    assert found.seamed == seamed
    assert (trace_rings(mask(kind), SIZE, single=single) is None) == seamed


@pytest.mark.parametrize(
    ("wanted", "must", "stored"),
    [
        (False, False, Stored(runs=3)),
        (True, False, Stored(polygons=1, runs=2, turned=2)),
        (True, True, Stored(polygons=3, seams=2)),
        (False, True, Stored(polygons=3, seams=2)),
    ],
)
def test_masks_are_counted_by_the_form_that_is_chosen(
    wanted: bool, must: bool, stored: Stored
) -> None:
    tally = PixelTally()
    made = [
        tally.choose_rings(mask(kind), SIZE, wanted=wanted, must=must)
        for kind in ("plain", "parts", "hole")
    ]
    assert tally.count_stored() == stored
    assert sum(rings is not None for rings in made) == stored.polygons


def test_a_mask_without_any_rings_is_counted_as_turned() -> None:
    tally = PixelTally()
    assert tally.choose_rings(counts_of(np.zeros(SIZE, bool)), SIZE, wanted=True, must=True) is None
    assert tally.count_stored() == Stored(runs=1, turned=1)


@pytest.mark.parametrize("masks", ["same", "polygon", "rle"])
@pytest.mark.parametrize("kind", ["polygon", "mask"])
def test_a_polygon_stays_one_unless_all_become_another_form(masks: str, kind: str) -> None:
    assert wants_polygon(masks, kind) == (
        masks == "polygon" or (masks, kind) == ("same", "polygon")
    )
