"""Prompts simulated from masks, and the search of the recipe that draws them best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.common.arrays import FloatArray
from curate.common.clock import Clock
from curate.engine.prompt_search import (
    AnnotatedImage,
    PromptSearch,
    search_prompts,
)
from curate.engine.recipe_choice import chance_of_gains, choose_recipe
from curate.errors import CallError
from curate.networks.segmenters.prompt_recipes import (
    RECIPES,
    PromptRecipe,
    by_quality,
    make_recipe_prompts,
    place_points,
)
from curate.networks.segmenters.segmenter import Answer, Embedding, Prompts
from curate.rle import Runs, concat, from_dense
from curate.rle.logits import ThresholdedMasks
from curate.scorers.reprompt import Prompter
from curate.testing.bright_segmenter import BrightSegmenter

BOX = PromptRecipe("box", box=0.0)
POINT = PromptRecipe("point", points=1)
BEST = PromptRecipe("best of 3", points=1, choose="predicted")


def scene(image_id: int, count: int = 4) -> AnnotatedImage:
    """Return an image of bright rectangles, "cat" and "dog" in turn."""
    random = np.random.default_rng(image_id)
    picture = np.full((60, 30 * count, 3), 30, np.uint8)
    masks = []
    for k in range(count):
        mask = np.zeros(picture.shape[:2], bool)
        y, x, h, w = (int(v) for v in random.integers([5, 4, 12, 10], [25, 10, 30, 18]))
        mask[y : y + h, 30 * k + x : 30 * k + x + w] = True
        picture[mask] = 220
        masks.append(from_dense(mask))
    names = ["cat" if k % 2 else "dog" for k in range(count)]
    return AnnotatedImage(image_id, concat(masks), lambda: picture, names)


@dataclass
class FailingSegmenter(BrightSegmenter):
    """Draws what ``fails`` says nothing of, and keeps the prompts that it was given.

    Attributes:
        fails: Whether it draws nothing for a prompt.
        asked: All prompts.
    """

    fails: Callable[[Prompts], bool] = lambda _: False
    asked: list[tuple[Prompts, bool]] = field(default_factory=list)

    def segment(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Answer:
        """Answer, or draw nothing."""
        self.asked.append((prompts, multimask))
        answer = super().segment(embedding, prompts, multimask=multimask)
        off = np.array([self.fails(prompts[k : k + 1]) for k in range(len(prompts))])
        logits = np.where(off[:, None, None, None], np.float32(-9), answer.logits)
        return Answer(logits, answer.predicted_iou, answer.frame)


@given(st.integers(0, 10_000), st.sampled_from(RECIPES))
def test_prompts_lie_where_the_recipe_says(seed: int, recipe: PromptRecipe) -> None:
    random = np.random.default_rng(seed)
    height, width = (int(v) for v in random.integers(1, 25, 2))
    masks = random.random((3, height, width)) < random.choice([0.05, 0.5, 1.0])
    masks[:, random.integers(height), random.integers(width)] = True
    runs = concat([from_dense(mask) for mask in masks])
    prompts = make_recipe_prompts(runs, recipe, random)
    prompts.check(height, width)
    assert (prompts.boxes is None) == (recipe.box is None)
    if prompts.boxes is not None:
        assert (prompts.boxes[:, 2:] - prompts.boxes[:, :2] >= 1 - 1e-6).all()  # as float32
        rows = masks[0].any(axis=1).nonzero()[0]
        if recipe.box == 0.0:
            assert prompts.boxes[0, 1::2].tolist() == [rows[0], rows[-1] + 1]
    assert (prompts.points is None) == (recipe.points == 0)
    if prompts.points is not None and prompts.labels is not None:
        for mask, points, labels in zip(masks, prompts.points, prompts.labels, strict=True):
            own = points[labels == 1].astype(int)
            assert len(own) == len(np.unique(own, axis=0)) == min(recipe.points, mask.sum())
            assert mask[own[:, 1], own[:, 0]].all()
            assert set(labels.tolist()) <= {1, -1}


def test_places_by_hand() -> None:
    mask = np.zeros((7, 20), bool)
    mask[1:6, 2:7] = True  # a square, deepest at (4, 3)
    mask[3, 7:18] = True  # with a long tail to (17, 3)
    runs, random = from_dense(mask), np.random.default_rng(0)
    centre = PromptRecipe("c", points=2)
    far = PromptRecipe("f", points=2, placement="farthest")
    assert place_points(runs, 0, far, random).tolist() == [[4, 3], [17, 3]]
    centres = place_points(runs, 0, centre, random)
    assert centres[0].tolist() == [4, 3]
    assert centres[1, 0] < 17
    by_chance = PromptRecipe("r", points=1, placement="random")
    seen = np.array([place_points(runs, 0, by_chance, random)[0] for _ in range(1500)])
    tail = (seen[:, 0] >= 7).mean()
    assert abs(tail - 11 / 36) < 5 * np.sqrt(0.3 * 0.7 / 1500)


def test_noise_of_boxes_is_a_share_of_the_box() -> None:
    mask = np.zeros((300, 300), bool)
    mask[100:200, 120:180] = True
    runs = concat([from_dense(mask)] * 500)
    boxes = make_recipe_prompts(runs, PromptRecipe("b", box=0.05), np.random.default_rng(0)).boxes
    assert boxes is not None
    np.testing.assert_allclose(boxes.mean(axis=0), [120, 100, 180, 200], atol=0.6)
    np.testing.assert_allclose(boxes.std(axis=0), [3, 5, 3, 5], rtol=0.12)


def test_a_search_finds_what_works() -> None:
    """Boxes are cut off at their border, so a noisy box cuts the thing off; a point does not."""
    noisy = PromptRecipe("noisy box", box=0.3)
    images = [scene(k) for k in range(8)]
    found = search_prompts(images, Prompter(BrightSegmenter()), (noisy, POINT, BOX))
    assert found.best().name in ("point", "box")
    frame = found.table().set_index("recipe")
    assert frame.loc["noisy box", "iou"] < 0.9 < frame.loc["box", "iou"]
    assert frame.loc["box", "p_value"] < 0.05
    assert frame["chosen"].sum() == 1
    assert (frame["masks"] == 32).all()
    assert ((frame["low"] <= frame["iou"]) & (frame["iou"] <= frame["high"])).all()
    assert frame.loc["noisy box", "gain"] == 0
    assert found.best(among=["noisy box"]) == noisy
    lines = found.text().splitlines()
    assert lines[-1].startswith(f"{found.best().name!r}: on 32 masks of 8 images mean IoU +")
    assert [line.split("  ")[0] for line in lines[1:-1]] == ["noisy box", "point", "box"]
    assert all(len(line) < 80 for line in lines[:-1])
    assert found.as_dict()["chosen"] == found.best().name
    assert repr(found) == found.text()
    again = search_prompts(images[::-1], Prompter(BrightSegmenter()), (noisy, POINT, BOX))
    assert again.table()["iou"].tolist() == pytest.approx(found.table()["iou"].tolist())


def test_the_same_for_all_recipes_leaves_the_first() -> None:
    images = [scene(k) for k in range(6)]
    other = PromptRecipe("the same box", box=0.0)
    found = search_prompts(images, Prompter(BrightSegmenter()), (BOX, other))
    assert found.best() == BOX
    assert "no other recipe is better beyond chance" in found.text()
    assert found.table()["p_value"].tolist() == [1, 1]


def test_categories_have_their_own_recipe() -> None:
    """Points fail on dogs, boxes on cats."""

    def fails(prompts: Prompts) -> bool:
        x = prompts.points[0, 0, 0] if prompts.points is not None else prompts.boxes[0, 0]  # type: ignore[index]
        dog = int(x) // 30 % 2 == 0
        return bool(dog == (prompts.boxes is None))

    images = [scene(k) for k in range(9)]
    found = search_prompts(images, Prompter(FailingSegmenter(fails=fails)), (BOX, POINT))
    assert found.best() == BOX
    assert found.best_by_category() == {"cat": POINT}
    frame = found.by_category().set_index(["category", "recipe"])
    assert frame.loc[("dog", "point"), "iou"] == frame.loc[("cat", "box"), "iou"] == 0
    assert frame.loc[("dog", "box"), "iou"] > 0.9
    assert frame.loc[("cat", "box"), "masks"] == 18
    assert found.best_by_category(among=["box"]) == {}


def test_best_of_three_by_quality_and_by_predicted_iou() -> None:
    """Candidate 1 is right, and the model thinks so; a quality that likes 0 is worse."""

    def first_is_best(
        image: AnnotatedImage, drawn: ThresholdedMasks, iou: FloatArray
    ) -> FloatArray:
        assert len(drawn) == len(iou)
        assert image.image_id < 7
        return np.tile([1.0, np.nan, 0.5], len(iou) // 3)

    oracle = PromptRecipe("perfect", points=1, choose="closest")
    recipes = (BEST, *by_quality([BEST, BOX]), oracle)
    assert [r.choose for r in recipes] == ["predicted", "quality", "closest"]
    images = [scene(k) for k in range(7)]
    found = search_prompts(images, Prompter(BrightSegmenter()), recipes, quality=first_is_best)
    lost = found.gain(recipes[1].name, over=BEST.name)
    assert lost.gain < -0.1
    assert lost.high is not None
    assert lost.high < 0
    assert lost.p_value > 0.9
    won = found.gain(BEST.name, over=recipes[1].name)
    assert won.gain == pytest.approx(-lost.gain)
    assert won.p_value < 0.05
    assert found.gain("perfect", over=BEST.name).gain >= 0
    with pytest.raises(CallError, match="no recipe 'worst'"):
        found.gain("worst", over=BEST.name)


def test_what_needs_the_truth_is_never_chosen() -> None:
    oracle = PromptRecipe("perfect", points=1, choose="closest")
    iou = np.column_stack([np.full(20, 0.2), np.full(20, 0.9)])
    base = search_prompts([scene(1)], Prompter(BrightSegmenter()), (POINT,))
    masks = base.masks.iloc[[0] * 20].assign(image_id=np.arange(20))
    found = PromptSearch((POINT, oracle), masks, iou, np.zeros(2), 0.95, 0)
    assert found.best() == POINT
    assert found.gain("perfect", over="point").gain == pytest.approx(0.7)


def test_masks_are_fed_back() -> None:
    recipe = PromptRecipe("refined", points=1, choose="predicted", feedback=2)
    segmenter = FailingSegmenter()
    search_prompts([scene(1)], Prompter(segmenter), (recipe,))
    asked = segmenter.asked[3:]  # the first mask was tried before, for warmth
    assert [(p.masks is None, multi) for p, multi in asked] == [
        (True, True),
        (False, False),
        (False, False),
    ]
    answer = BrightSegmenter().segment(
        BrightSegmenter().embed([scene(1).picture()])[0], asked[0][0], multimask=True
    )
    np.testing.assert_array_equal(asked[1][0].masks, answer.logits[:, 1])  # type: ignore[arg-type]


def test_what_is_not_finite_counts_as_nothing_drawn() -> None:
    class Broken(BrightSegmenter):
        def segment(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Answer:
            answer = super().segment(embedding, prompts, multimask=multimask)
            logits = answer.logits.copy()
            logits[:, 1 if multimask else 0] = np.nan
            iou = np.full_like(answer.predicted_iou, np.nan)
            return Answer(logits, iou, answer.frame)

    recipes = (POINT, BEST, PromptRecipe("refined", box=0.0, feedback=1))
    found = search_prompts([scene(1)], Prompter(Broken()), recipes)
    assert (found.iou[:, 0] == 0).all()
    assert (found.iou[:, 1] > 0).all()  # the first of three is finite
    assert np.isfinite(found.iou).all()


def test_seconds_are_of_prompting_alone() -> None:
    now = [0]

    class Slow(BrightSegmenter):
        def embed(self, images: Any) -> list[Embedding]:
            now[0] += 50_000_000_000
            return super().embed(images)

        def segment(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Answer:
            now[0] += len(prompts) * (3_000_000_000 if multimask else 1_000_000_000)
            return super().segment(embedding, prompts, multimask=multimask)

    clock = Clock(wall=lambda: 0, monotonic=lambda: now[0])
    images = [scene(k) for k in range(3)]
    found = search_prompts(images, Prompter(Slow()), (POINT, BEST), clock=clock)
    assert found.seconds.tolist() == [1.0, 3.0]


def test_of_many_masks_some_are_tried_and_empty_ones_never() -> None:
    image = scene(3, count=6)
    empty = from_dense(np.zeros((60, 180), bool))
    names = [*(image.categories or ()), "none"]
    runs: Runs = concat([image.runs, empty])
    more = AnnotatedImage(3, runs, image.picture, names)
    done: list[tuple[str, float, int, int]] = []
    found = search_prompts(
        [more, AnnotatedImage(4, empty, image.picture)],
        Prompter(BrightSegmenter()),
        (POINT,),
        progress=lambda *what: done.append(what),
    )
    assert len(found.masks) == 6
    assert done == [("prompts", 1, 2, 6)]
    few = search_prompts([more], Prompter(BrightSegmenter()), (POINT,), most_masks=2)
    assert len(few.masks) == 2
    assert few.table()["low"].isna().all()  # of a single image
    with pytest.raises(CallError, match="no mask to prompt for"):
        search_prompts([AnnotatedImage(4, empty, image.picture)], Prompter(BrightSegmenter()))


def test_the_chance_of_gains_by_hand() -> None:
    """Of six images that all gain, one of 64 flips gains as much."""
    gains = np.zeros((6, 2))
    gains[:, 1] = 0.1
    assert chance_of_gains(gains)[0] == 1
    assert chance_of_gains(gains)[1] == pytest.approx(1 / 64, abs=0.006)
    # The scale of the gains says nothing, and the same recipe twice is no second try.
    twice = np.column_stack([gains, 7 * gains[:, 1]])
    assert chance_of_gains(twice)[1:].tolist() == pytest.approx([1 / 64] * 2, abs=0.006)
    assert choose_recipe(gains[:4], risk=0.05) == 0
    assert choose_recipe(gains, risk=0.05) == 1


def test_noise_seldom_moves_the_choice() -> None:
    """Twelve recipes as good as the first, of images that differ: at most 5% prefer another."""
    moved = 0
    for seed in range(120):
        random = np.random.default_rng(seed)
        sums = random.normal(5, 2, (25, 1)) + random.normal(0, 0.3, (25, 13))
        moved += choose_recipe(sums, risk=0.05, seed=seed) != 0
        assert np.argmax(sums.sum(axis=0)) != 0 or choose_recipe(sums, risk=0.05) == 0
    assert moved <= 14  # 6 are expected at most


def test_of_recipes_alike_the_first_is_taken() -> None:
    random = np.random.default_rng(0)
    base = random.normal(5, 2, 30)
    good = base + 1
    sums = np.column_stack([base, good, good + random.normal(1e-4, 0.05, 30), good - 0.5])
    assert choose_recipe(sums, risk=0.05) == 1
    sums[:, 2] += 0.3
    assert choose_recipe(sums, risk=0.05) == 2


def test_recipes_that_cannot_be() -> None:
    with pytest.raises(CallError, match="neither a box nor a point"):
        PromptRecipe("none")
    with pytest.raises(CallError, match="off by 2"):
        PromptRecipe("far", box=2.0)
    with pytest.raises(CallError, match="99 points"):
        PromptRecipe("many", points=99)
    with pytest.raises(CallError, match="chooses by 'luck'"):
        PromptRecipe("lucky", points=1, choose="luck")  # type: ignore[arg-type]
    with pytest.raises(CallError, match="no recipe to try"):
        search_prompts([], Prompter(BrightSegmenter()), ())
    with pytest.raises(CallError, match="share a name"):
        search_prompts([], Prompter(BrightSegmenter()), (BOX, BOX))
    with pytest.raises(CallError, match="none is given"):
        search_prompts([], Prompter(BrightSegmenter()), by_quality([BEST]))
    oracle = PromptRecipe("perfect", points=1, choose="closest")
    with pytest.raises(CallError, match="by the truth"):
        search_prompts([], Prompter(BrightSegmenter()), (oracle,))
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)
