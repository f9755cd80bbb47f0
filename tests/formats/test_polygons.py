from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mask_files import coco_pixels, counts_of, shapes
from pycocotools import mask as coco_mask

from curate.formats.polygons import rings_of


def drawn(rings: list[list[float]], height: int, width: int) -> np.ndarray:
    return coco_pixels(coco_mask.merge(coco_mask.frPyObjects(rings, height, width)))


def parts_of(mask: np.ndarray, corners: bool) -> int:
    """Count connected parts by a flood, with or without pixels that touch at a corner only."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    near = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    near += [(1, 1), (1, -1), (-1, 1), (-1, -1)] if corners else []
    count = 0
    while left:
        count += 1
        todo = [left.pop()]
        while todo:
            y, x = todo.pop()
            around = {(y + dy, x + dx) for dy, dx in near} & left
            left -= around
            todo += around
    return count


def holes_of(mask: np.ndarray) -> int:
    """Count the holes that not even a corner joins to the outside."""
    return parts_of(~np.pad(mask, 1), corners=True) - 1


masks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))
places = st.tuples(*[st.integers(0, 3)] * 4)


@given(masks, places)
@example(np.ones((9, 1), bool), (0, 0, 0, 0))
@example(np.pad(~np.pad(np.eye(3, dtype=bool), 2), 2), (0, 0, 0, 0))
@example(np.indices((11, 12)).sum(axis=0) % 2 == 0, (0, 0, 0, 0))
def test_rings_are_the_mask_under_every_condition(
    mask: np.ndarray, margins: tuple[int, int, int, int]
) -> None:
    mask = np.pad(mask, (margins[:2], margins[2:]))
    parts, holes = parts_of(mask, corners=True), holes_of(mask)
    for single in (False, True):
        for seams in (False, True):
            how = {"single": single, "seams": seams}
            rings = rings_of(counts_of(mask), *mask.shape, **how)
            inset = rings_of(counts_of(mask), *mask.shape, **how, inset=True)
            possible = mask.any() and (seams or (not holes and (parts == 1 or not single)))
            assert (rings is not None) == possible
            if rings is not None:
                assert (drawn(rings, *mask.shape) == mask).all()
                assert len(rings) == (1 if single else parts)
                assert inset is not None
                assert len(inset) == len(rings)
                assert (drawn(inset, *mask.shape) == mask).all()
                points = np.concatenate(inset).reshape(-1, 2)
                assert (points >= 0).all()
                assert (points <= mask.shape[::-1]).all()
                if parts == 1 or not single:  # no seam leads through the background
                    corners = np.floor(points).astype(int)
                    assert mask[corners[:, 1], corners[:, 0]].all()  # as OpenCV truncates them


@pytest.mark.parametrize("name", shapes())
def test_every_shape_as_one_ring(name: str) -> None:
    mask = shapes()[name]
    rings = rings_of(counts_of(mask), *mask.shape, single=True, seams=True)
    assert rings is not None
    assert len(rings) == 1
    assert (drawn(rings, *mask.shape) == mask).all()


def test_an_island_in_a_hole_and_far_parts_have_short_seams() -> None:
    mask = np.zeros((60, 90), bool)
    mask[5:45, 5:45] = True
    mask[10:40, 10:40] = False
    mask[20:30, 20:30] = True
    mask[50:55, 80:85] = True
    rings = rings_of(counts_of(mask), 60, 90, single=True, seams=True)
    assert rings is not None
    assert (drawn(rings, 60, 90) == mask).all()
    ring = np.array(rings[0]).reshape(-1, 2)
    length = np.hypot(*(np.roll(ring, -1, axis=0) - ring).T).sum()
    borders = 4 * (40 + 30 + 10 + 5)
    island, far = np.hypot(10, 10), np.hypot(35, 5)
    assert length == pytest.approx(borders + 2 * (5 + island + far))


def test_corners_are_few() -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:5, 1:7] = True
    assert rings_of(counts_of(mask), 8, 8) == [[1.0, 2.0, 7.0, 2.0, 7.0, 5.0, 1.0, 5.0]]
    mask[3, 3] = False  # the seam goes on straight from the hole's right edge
    ring = rings_of(counts_of(mask), 8, 8, seams=True)
    assert ring is not None
    assert len(ring[0]) == 2 * (4 + 4 + 2)


def test_what_no_polygon_holds() -> None:
    assert rings_of(counts_of(np.zeros((5, 5), bool)), 5, 5, seams=True) is None
    assert rings_of(b"!", 5, 5) is None
    full = b"0" + counts_of(np.ones((5, 5), bool))[1:]
    assert rings_of(full, 2**40, 2**40) is None


def test_a_huge_ragged_mask_is_refused_quickly() -> None:
    noise = np.random.default_rng(1).random((330, 330)) < 0.5
    assert rings_of(counts_of(noise), 330, 330, single=True, seams=True) is None
