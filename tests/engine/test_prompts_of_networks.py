"""Search of prompts with real model files: every recipe is answered by every kind of segmenter."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
import tiny_models

from curate.engine.prompt_search import AnnotatedImage, search_prompts
from curate.networks.loading import load_segmenter
from curate.networks.segmenters.prompt_recipes import RECIPES, by_quality
from curate.rle import concat, from_dense
from curate.scorers.reprompt import Prompter


@pytest.mark.parametrize("name", ["sam", "sam_hq", "sam2"])
def test_every_recipe_is_answered(name: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = []
    for k in range(2):
        picture = random.integers(0, 256, (50, 80, 3)).astype(np.uint8)
        masks = np.zeros((3, 50, 80), bool)
        masks[0, 5:20, 5:30], masks[1, 25:45, 40:75], masks[2, 48, 3] = True, True, True
        runs = concat([from_dense(mask) for mask in masks])
        images.append(AnnotatedImage(k, runs, lambda picture=picture: picture))  # type: ignore[misc]
    segmenter = Prompter(load_segmenter(str(tiny_models.saved(name, tmp_path)), device="cpu"))
    recipes = (*RECIPES, *by_quality(RECIPES))
    found = search_prompts(
        images, segmenter, recipes, quality=lambda image, drawn, predicted: drawn.stability
    )
    assert found.iou.shape == (6, len(recipes))
    assert ((found.iou >= 0) & (found.iou <= 1)).all()
    assert (found.seconds > 0).all()
    assert found.best() == RECIPES[0]  # two images show nothing
    again = search_prompts(
        images, segmenter, recipes, quality=lambda image, drawn, predicted: drawn.stability
    )
    np.testing.assert_array_equal(again.iou, found.iou)
    names = [recipe.name for recipe in recipes]
    perfect, usual = (names.index(n) for n in ("centre point, perfect choice", "centre point"))
    assert (found.iou[:, perfect] >= found.iou[:, usual]).all()
