"""Recipes of prompts, made from masks: boxes, points, masks fed back, best of three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

import numpy as np
from scipy import ndimage

from curate.common.arrays import Float32Array, FloatArray
from curate.common.json_values import JsonObject
from curate.errors import CallError
from curate.networks.segmenters.prompting import sample_inside
from curate.networks.segmenters.segmenter import Prompts
from curate.rle import Runs, bbox, to_dense

Placement = Literal["centre", "random", "farthest"]
Choice = Literal["single", "predicted", "quality", "closest"]

MAX_SHIFT_PX = 20.0
"""How far a side of a noisy box is off at most, in pixels, as in SAM's training."""

_MOST_POINTS = 20
_PLACEMENTS = ("centre", "random", "farthest")
_CHOICES = ("single", "predicted", "quality", "closest")


@dataclass(frozen=True)
class PromptRecipe:
    """A way of prompting a segmenter for an object.

    Attributes:
        name: A short name, for tables.
        box: None for no box; else how far each side is off, as the standard deviation in shares of
            the box: 0 is the mask's own box, 0.1 a box as a detector or a quick hand gives it.
        points: How many points inside the object, from 0 on.
        placement: Where they are: "centre": the deepest pixel (largest distance transform), then
            deep ones apart from those before; "random": any pixels of the object; "farthest": the
            deepest pixel, then each time the one farthest from all before.
        feedback: How many times the answer is given back as a mask prompt beside the same points
            and box; its first answer is then the one chosen, the others are single ones.
        choose: "single": one mask is asked for; else three, of which the one is taken that has the
            highest IoU by the model's own "predicted" estimate, the highest learned "quality", or
            is "closest" to the truth: that is what a perfect choice would bring, and no way to
            prompt where the truth is not known.

    Raises:
        CallError: There is neither a box nor a point, or a value is none of these.
    """

    name: str
    box: float | None = None
    points: int = 0
    placement: Placement = "centre"
    feedback: int = 0
    choose: Choice = "single"

    def __post_init__(self) -> None:
        where, do = f"recipe {self.name!r:.60}", "see PromptRecipe"
        if self.box is None and self.points < 1:
            raise CallError("it prompts with neither a box nor a point", where, do)
        if self.box is not None and not 0 <= self.box <= 1:
            raise CallError(f"its box is off by {self.box:g}", where, "give a share from 0 to 1")
        if not 0 <= self.points <= _MOST_POINTS or self.feedback not in range(4):
            what = f"it has {self.points} points and {self.feedback} masks fed back"
            raise CallError(what, where, f"give up to {_MOST_POINTS} points and 3 masks")
        if self.placement not in _PLACEMENTS or self.choose not in _CHOICES:
            what = f"it places points by {self.placement!r:.40} and chooses by {self.choose!r:.40}"
            raise CallError(what, where, do)


ONE_CLICK = ("centre point", "centre point, one mask", "centre point, mask fed back")
"""Recipes of :data:`RECIPES` that a person's one click can be prompted by, first the usual one."""

ROUGH_BOX = ("noisy box", "noisy box, best of 3", "noisy box, mask fed back")
"""Recipes of :data:`RECIPES` that a detector's box can be prompted by, first the usual one."""

RECIPES = (
    PromptRecipe("noisy box", box=0.1),
    PromptRecipe("box", box=0.0),
    PromptRecipe("centre point, one mask", points=1),
    PromptRecipe("centre point", points=1, choose="predicted"),
    PromptRecipe("random point", points=1, placement="random", choose="predicted"),
    PromptRecipe("3 points: centre", points=3),
    PromptRecipe("3 points: random", points=3, placement="random"),
    PromptRecipe("3 points: farthest", points=3, placement="farthest"),
    PromptRecipe("noisy box + centre point", box=0.1, points=1),
    PromptRecipe("noisy box + 3 points", box=0.1, points=3),
    PromptRecipe("noisy box, best of 3", box=0.1, choose="predicted"),
    PromptRecipe("noisy box, mask fed back", box=0.1, feedback=1),
    PromptRecipe("centre point, mask fed back", points=1, choose="predicted", feedback=1),
    PromptRecipe("centre point, perfect choice", points=1, choose="closest"),
)
"""Recipes that are tried unless others are given; of equals the first is preferred. None needs a
learned quality."""


@dataclass(frozen=True)
class PromptsInUse:
    """Recipes that a segmenter is prompted by, by what the prompt is made from.

    Attributes:
        mask: From a mask that is there, to draw it anew.
        click: From one click of a person.
        by_category: From a mask of a category that has a recipe of its own.
        box: From a detector's box; None: it was not searched.
    """

    mask: PromptRecipe
    click: PromptRecipe
    by_category: Mapping[str, PromptRecipe] = field(default_factory=dict)
    box: PromptRecipe | None = None

    def find(self, category: object) -> PromptRecipe:
        """Return the recipe for a mask of a category; None for none."""
        return self.by_category.get(category, self.mask) if isinstance(category, str) else self.mask

    def as_dict(self) -> JsonObject:
        """Return plain values."""
        own = {name: asdict(recipe) for name, recipe in self.by_category.items()}
        found: dict[str, object] = {"mask": asdict(self.mask), "click": asdict(self.click)}
        box = None if self.box is None else asdict(self.box)
        return found | {"by_category": own, "box": box}

    @classmethod
    def from_dict(cls, values: JsonObject) -> PromptsInUse:
        """Undo :meth:`as_dict`.

        Raises:
            CallError: A value is missing, or is none that a recipe can have.
        """
        try:
            given = cast(Any, values)
            own = {str(k): PromptRecipe(**v) for k, v in given["by_category"].items()}
            box = PromptRecipe(**given["box"]) if given.get("box") else None
            found = cls(PromptRecipe(**given["mask"]), PromptRecipe(**given["click"]), own, box)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"prompts in use are damaged ({type(error).__name__}: {error})"
            raise CallError(
                what, "prompts", "search them again: `curate engine prompts`"
            ) from error
        if "closest" in {one.choose for one in (found.mask, found.click, *own.values())}:
            raise CallError("a prompt in use chooses by the truth", "prompts", "search them again")
        return found


def by_quality(recipes: Sequence[PromptRecipe]) -> tuple[PromptRecipe, ...]:
    """Return recipes that choose the best of three by learned quality, one for each by predicted
    IoU, to be tried beside them.

    Args:
        recipes: Recipes of any choice.
    """
    return tuple(
        PromptRecipe(
            f"{one.name} (by quality)", one.box, one.points, one.placement, one.feedback, "quality"
        )
        for one in recipes
        if one.choose == "predicted"
    )


def make_recipe_prompts(runs: Runs, recipe: PromptRecipe, random: np.random.Generator) -> Prompts:
    """Make the first prompts of a recipe from masks of one image.

    Args:
        runs: n masks of one image, each with a pixel at least.
        recipe: The recipe; what is fed back is not known yet.
        random: Of boxes and places by chance.

    Returns:
        n prompts, every box and point on the image. Where a mask has fewer pixels than the recipe
        has points, the others are padding.
    """
    boxes = None if recipe.box is None else _noisy_boxes(runs, recipe.box, random)
    if not recipe.points:
        return Prompts(boxes=boxes)
    points = np.stack([place_points(runs, k, recipe, random) for k in range(len(runs))])
    labels = np.ones(points.shape[:2], np.int8)
    labels[:, 1:][(points[:, 1:] == points[:, :1]).all(axis=2)] = -1
    return Prompts(points, labels, boxes)


def place_points(
    runs: Runs, row: int, recipe: PromptRecipe, random: np.random.Generator
) -> Float32Array:
    """Return points inside a mask.

    Args:
        runs: Masks.
        row: Which of them; it has a pixel at least.
        recipe: Their number and placement.
        random: Of random places.

    Returns:
        Shape (recipe.points, 2): pixels, x then y, all different; where the mask has no pixel left,
        the first is repeated.
    """
    if recipe.placement == "centre":
        return sample_inside(runs, row, recipe.points)
    x, y, w, h = (int(v) for v in bbox(runs[row : row + 1])[0])
    pixels = to_dense(runs, row, (x, y, w, h))
    rows, columns = np.nonzero(pixels)
    spots = np.column_stack([columns, rows]).astype(np.float64)
    if recipe.placement == "random":
        taken = random.permutation(len(spots))[: recipe.points]
    else:
        taken = _farthest(spots, _deepest(pixels), recipe.points)
    taken = np.concatenate([taken, np.repeat(taken[:1], recipe.points - len(taken))])
    return np.asarray(spots[taken] + [x, y], np.float32)


def _deepest(pixels: np.ndarray) -> int:
    """Return which of a mask's pixels is the deepest, in the order of np.nonzero."""
    depth = ndimage.distance_transform_edt(np.pad(pixels, 1))[1:-1, 1:-1]
    return int(np.argmax(depth[np.nonzero(pixels)]))


def _farthest(spots: FloatArray, first: int, count: int) -> np.ndarray:
    """Return rows of spots: the first, then each time the one farthest from all before."""
    taken = [first]
    away = ((spots - spots[first]) ** 2).sum(axis=1)
    while len(taken) < min(count, len(spots)):
        taken.append(int(np.argmax(away)))
        away = np.minimum(away, ((spots - spots[taken[-1]]) ** 2).sum(axis=1))
    return np.array(taken, np.int64)


def _noisy_boxes(runs: Runs, noise: float, random: np.random.Generator) -> Float32Array:
    """Return each mask's box (XYXY) with its sides moved at random, a pixel wide and high at
    least."""
    boxes = bbox(runs).astype(np.float64)
    sides = np.tile(boxes[:, 2:], 2)
    boxes[:, 2:] += boxes[:, :2]
    limit = np.column_stack([runs.widths, runs.heights]).astype(np.float64)
    if noise:
        shift = random.normal(size=boxes.shape) * sides * noise
        boxes += np.clip(shift, -MAX_SHIFT_PX, MAX_SHIFT_PX)
    corners = np.sort(boxes.reshape(-1, 2, 2), axis=1)
    low = np.clip(corners[:, 0], 0, limit - 1)
    high = np.clip(np.maximum(corners[:, 1], low + 1), 1, limit)
    return np.hstack([low, high]).astype(np.float32)
