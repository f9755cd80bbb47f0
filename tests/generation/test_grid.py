from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from curate.networks.generation.mask_candidates import Crop, make_crops, make_points
from curate.networks.generation.recipe import Recipe

SIZES = [(1500, 2250), (480, 640), (640, 480), (1024, 1024), (97, 1003)]


def sams_crops(height: int, width: int, layers: int, ratio: float) -> list[tuple[int, ...]]:
    """generate_crop_boxes of SAM's released code, as XYXY and layer."""
    found = [(0, 0, width, height, 0)]
    for layer in range(layers):
        n = 2 ** (layer + 1)
        overlap = int(ratio * min(height, width) * (2 / n))
        crop_w = math.ceil((overlap * (n - 1) + width) / n)
        crop_h = math.ceil((overlap * (n - 1) + height) / n)
        xs = [int((crop_w - overlap) * i) for i in range(n)]
        ys = [int((crop_h - overlap) * i) for i in range(n)]
        for x, y in product(xs, ys):
            found.append((x, y, min(x + crop_w, width), min(y + crop_h, height), layer + 1))
    return found


@pytest.mark.parametrize("size", SIZES)
def test_crops_are_sams(size: tuple[int, int]) -> None:
    recipe = Recipe()
    crops = make_crops(*size, recipe)
    boxes = [(c.x, c.y, c.x + c.width, c.y + c.height, c.layer) for c in crops]
    assert boxes == sams_crops(*size, 2, 512 / 1500)


def test_the_papers_numbers() -> None:
    crops = make_crops(1500, 2250, Recipe())
    counts = [sum(c.layer == layer for c in crops) for layer in range(3)]
    assert counts == [1, 4, 16]
    points = [len(make_points(c, Recipe())) for c in crops]
    assert points == [32 * 32] + [16 * 16] * 4 + [8 * 8] * 16
    assert 3 * sum(points) == 9216
    # 2 x 2 crops overlap by 512 px where the short side has 1500, 4 x 4 crops by half of that.
    assert crops[1].x + crops[1].width - crops[3].x == 512
    assert crops[5].x + crops[5].width - crops[9].x == 256


def test_crops_cover_the_image() -> None:
    for height, width in SIZES:
        for layer in (1, 2):
            seen = np.zeros((height, width), bool)
            for crop in make_crops(height, width, Recipe()):
                if crop.layer == layer:
                    seen[crop.rows, crop.columns] = True
            assert seen.all()


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (100, 1000), (1000, 1)])
def test_the_grid_reaches_every_part_of_an_image_that_is_not_square(size: tuple[int, int]) -> None:
    height, width = size
    points = make_points(Crop(0, 0, width, height, 0), Recipe())
    assert (points > 0).all()
    assert (points < (width, height)).all()
    for axis, length in enumerate((width, height)):
        quarters = np.bincount((points[:, axis] * 4 / length).astype(int), minlength=4)
        if length >= 32:
            assert (quarters == len(points) / 4).all()
        along = np.unique(points[:, axis])
        assert along[0] == pytest.approx(length - along[-1])
        assert len(along) == min(32, length)


def test_points_are_sams() -> None:
    points = make_points(Crop(0, 0, 640, 480, 0), Recipe())
    one = np.linspace(1 / 64, 1 - 1 / 64, 32)
    grid = np.stack([np.tile(one, (32, 1)), np.tile(one[:, None], (1, 32))], -1).reshape(-1, 2)
    assert points == pytest.approx(grid * (640, 480))


@pytest.mark.parametrize("size", [(1, 1), (1, 1000), (1000, 1), (3, 5)])
def test_tiny_images_have_no_empty_nor_equal_crops(size: tuple[int, int]) -> None:
    crops = make_crops(*size, Recipe())
    boxes = [(c.x, c.y, c.width, c.height) for c in crops]
    assert len(set(boxes)) == len(boxes)
    for crop in crops:
        assert crop.width > 0
        assert crop.height > 0
        assert crop.x + crop.width <= size[1]
        assert crop.y + crop.height <= size[0]
        assert len(make_points(crop, Recipe())) <= crop.width * crop.height
