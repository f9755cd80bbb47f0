"""Answers of a segmenter to recipes of prompts, one mask a prompt: chosen, and fed back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from curate.common.arrays import BoolArray, Float32Array, FloatArray, IntArray
from curate.networks.segmenters.prompt_recipes import PromptRecipe, make_recipe_prompts
from curate.networks.segmenters.prompting import PromptedMasks
from curate.networks.segmenters.segmenter import Answer, Embedding, Prompts, Segmenter
from curate.rle import Runs, concat
from curate.rle.logits import ThresholdedMasks, concat_drawn, draw

CandidateValue = Callable[[ThresholdedMasks, FloatArray], FloatArray]
"""Value of candidates, called with k masks and their predicted IoU (k,): k numbers, the highest is
taken of each prompt, NaN for the worst."""

_BATCH = 64
"""Masks asked for together: their low-res logits are what memory holds."""


def answer_recipe(
    segmenter: Segmenter,
    embedding: Embedding,
    prompts: Prompts,
    recipe: PromptRecipe,
    value: CandidateValue | None = None,
) -> PromptedMasks:
    """Answer prompts by a recipe: best of three or one, its mask fed back as often as it says.

    Args:
        segmenter: The model.
        embedding: Of the image.
        prompts: N first prompts, as :func:`make_recipe_prompts` makes them or a person gave them.
        recipe: How the answer is chosen, and how often it is fed back.
        value: By which the best of three is chosen; predicted IoU if None.

    Returns:
        N masks, in order.
    """
    answer = segmenter.segment(embedding, prompts, multimask=recipe.choose != "single")
    best = _choose(segmenter, answer, value)
    for _ in range(recipe.feedback):
        low = _logits_of(answer)[best]
        fed = replace(prompts, masks=np.nan_to_num(low))
        answer = segmenter.segment(embedding, fed, multimask=False)
        best = np.arange(len(prompts))
    drawn = draw(_logits_of(answer)[best], answer.frame.taps(segmenter.low_side))
    return PromptedMasks(drawn, answer.predicted_iou.reshape(-1)[best])


def redraw_masks(
    segmenter: Segmenter, embedding: Embedding, runs: Runs, recipe: PromptRecipe, *, seed: int
) -> tuple[Runs, BoolArray, PromptedMasks]:
    """Prompt a segmenter from each of an image's masks by a recipe; its box is as the mask has it.

    Args:
        segmenter: The model.
        embedding: Of the image.
        runs: n masks of that image, one or more, each with a pixel at least.
        recipe: The recipe; one that needs the truth is not answered.
        seed: Of places by chance.

    Returns:
        The n masks, those of ``runs`` where nothing finite is drawn; where they are drawn anew,
        shape (n,); and what was drawn.
    """
    random = np.random.default_rng([seed, len(runs), 11])
    own = recipe if recipe.box is None else replace(recipe, box=0.0)
    parts = []
    for start in range(0, len(runs), _BATCH):
        prompts = make_recipe_prompts(runs[start : start + _BATCH], own, random)
        parts.append(answer_recipe(segmenter, embedding, prompts, own))
    found = PromptedMasks(
        concat_drawn([part.drawn for part in parts]),
        np.concatenate([part.predicted_iou for part in parts]),
    )
    usable = found.drawn.finite & (found.drawn.area > 0) & np.isfinite(found.predicted_iou)
    rows = np.arange(len(runs))
    both = concat([runs, found.drawn.runs])
    return both[np.where(usable, rows + len(runs), rows)], usable, found


def _logits_of(answer: Answer) -> Float32Array:
    """Return the logits of all masks, prompt by prompt."""
    return answer.logits.reshape(-1, *answer.logits.shape[2:])


def _choose(segmenter: Segmenter, answer: Answer, value: CandidateValue | None) -> IntArray:
    """Return the row of each prompt's chosen mask; to choose by predicted IoU none is drawn."""
    n, masks = answer.predicted_iou.shape
    found = predicted = answer.predicted_iou.astype(np.float64).reshape(-1)
    if value is None:
        finite = np.isfinite(answer.logits).all(axis=(2, 3)).reshape(-1)
    else:
        drawn = draw(_logits_of(answer), answer.frame.taps(segmenter.low_side))
        finite, found = drawn.finite, np.asarray(value(drawn, predicted), np.float64)
    found = np.where(finite & ~np.isnan(found), found, -np.inf)
    return np.asarray(np.arange(n) * masks + found.reshape(n, masks).argmax(axis=1), np.int64)
