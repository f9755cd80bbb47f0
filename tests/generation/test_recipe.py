from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curate.errors import CallError
from curate.networks.generation.recipe import SELECTION_SETTINGS, Recipe, load_recipe


def test_sa1b_is_the_papers() -> None:
    recipe = load_recipe("sa1b")
    assert recipe == Recipe()
    assert [recipe.points_of_layer(layer) for layer in range(3)] == [32, 16, 8]
    assert (recipe.pred_iou, recipe.stability, recipe.stability_offset) == (0.88, 0.95, 1.0)
    assert (recipe.nms, recipe.nms_iou, recipe.coverage) == ("box", 0.7, 0.95)
    assert recipe.min_region_px == 100
    assert recipe.crop_overlap == 512 / 1500


def test_the_popular_defaults_leave_half_of_it_out() -> None:
    recipe = load_recipe("popular")
    assert (recipe.crop_layers, recipe.min_region_px, recipe.coverage) == (0, 0, 1.0)
    assert load_recipe("sam2").pred_iou == 0.8


def test_every_setting_is_asked_or_chosen() -> None:
    recipe = Recipe()
    assert set(recipe.prompt_settings) | set(recipe.selection_settings) | {"name"} == set(
        vars(recipe)
    )
    assert set(recipe.selection_settings) == set(SELECTION_SETTINGS)


def test_settings_go_over_a_recipe_and_take_what_is_kept_along() -> None:
    recipe = load_recipe("sa1b", {"pred_iou": 0.5, "nms": "mask", "points_per_side": 16})
    assert (recipe.pred_iou, recipe.keep_pred_iou, recipe.nms) == (0.5, 0.5, "mask")
    assert recipe.keep_stability == Recipe().keep_stability
    assert load_recipe({"extends": "popular", "stability": 0.9}).crop_layers == 0
    assert load_recipe(recipe, {"pred_iou": 0.9}).keep_pred_iou == 0.5


def test_a_recipe_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "cells.toml"
    path.write_text('extends = "popular"\npred_iou = 0.7\n')
    recipe = load_recipe(path)
    assert (recipe.name, recipe.crop_layers, recipe.pred_iou) == ("cells", 0, 0.7)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"points_per_sid": 3}, "did you mean points_per_side"),
        ({"points_per_side": 0}, "from 1 to"),
        ({"points_per_side": 3.5}, "whole number"),
        ({"points_per_side": True}, "must be a number"),
        ({"points_per_side": "many"}, "must be a number"),
        ({"points_per_side": 900}, "ask for fewer"),
        ({"points_per_side": 2}, "leave none on crop layer 2"),
        ({"crop_layers": -1}, "from 0 to"),
        ({"crop_overlap": 1.0}, "from 0 to 0.95"),
        ({"pred_iou": float("nan")}, "must be a number"),
        ({"pred_iou": "high"}, "must be a number"),
        ({"stability": 1.2}, "from 0 to 1"),
        ({"nms": "polygon"}, "choose from box, mask"),
        ({"nms_iou": -0.1}, "from 0 to 1"),
        ({"coverage": 95}, "from 0 to 1"),
        ({"min_region_px": 0.5}, "whole number"),
        ({"keep_pred_iou": 0.99}, "keep_pred_iou is over pred_iou"),
        ({"name": 3}, "must be a text"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(CallError, match=says):
        load_recipe("sa1b", settings)


def test_bad_recipes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CallError, match="no recipe sa2b; use sa1b, popular"):
        load_recipe("sa2b")
    with pytest.raises(CallError, match="cannot be read"):
        load_recipe(tmp_path / "none.toml")
    with pytest.raises(CallError, match="unknown preset"):
        load_recipe({"extends": "paper"})
    (tmp_path / "odd.toml").write_text("pred_iou = = 3")
    with pytest.raises(CallError, match="no TOML"):
        load_recipe(tmp_path / "odd.toml")
    (tmp_path / "odd.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CallError, match="no TOML"):
        load_recipe(tmp_path / "odd.toml")
