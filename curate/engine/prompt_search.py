"""Search of the prompts that give a segmenter's best masks, on annotated validation images.

Each recipe prompts the segmenter for the same masks, and its answers are compared with them (IoU).
The mean is over masks, its interval over images (bootstrap), as masks of an image are not
independent.

The recipe to use is chosen so that noise does not move the choice, see
:mod:`curate.engine.recipe_choice`. Categories are decided in the same way, the risk split among
them, against the choice for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, ByteArray, FloatArray, IntArray
from curate.common.clock import SYSTEM, Clock
from curate.common.progress import Progress
from curate.common.ranges import check_numbers
from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun
from curate.dataset.table import records
from curate.engine.recipe_choice import chance_of_gains, choose_recipe
from curate.errors import CallError
from curate.networks.segmenter_training.validation import bootstrap_interval
from curate.networks.segmenters.prompt_recipes import (
    ONE_CLICK,
    RECIPES,
    ROUGH_BOX,
    PromptRecipe,
    PromptsInUse,
    make_recipe_prompts,
)
from curate.networks.segmenters.prompting import pairwise_iou
from curate.networks.segmenters.recipe_answers import CandidateValue, answer_recipe
from curate.networks.segmenters.segmenter import Embedding, Segmenter
from curate.rle import Runs, area
from curate.rle.logits import ThresholdedMasks
from curate.scorers.reprompt import Prompter

MOST_MASKS = 100
"""Masks of one image that are tried, unless another number is given."""

_BATCH = 64


@dataclass(frozen=True)
class AnnotatedImage:
    """An image with people's masks.

    Attributes:
        image_id: Its id.
        runs: Its n masks, of the image's size; empty ones are not tried.
        picture: Returns its pixels, shape (height, width, 3), uint8.
        categories: The category of each mask, None for none; None where there are none at all.
    """

    image_id: int
    runs: Runs
    picture: Callable[[], ByteArray]
    categories: Sequence[str | None] | None = None


CandidateQuality = Callable[[AnnotatedImage, ThresholdedMasks, FloatArray], FloatArray]
"""Learned quality of candidates on an image: called with the image, k masks and their predicted
IoU (k,); returns k numbers, higher is better, NaN for the worst."""


@dataclass(frozen=True)
class PairedGain:
    """Mean gain in IoU of one recipe over another, over the same masks.

    Attributes:
        gain: Over masks, in [-1, 1].
        low: Lower end of its 95% interval over images; None for a single image.
        high: Upper end.
        p_value: Of so large a gain by chance, one-sided.
    """

    gain: float
    low: float | None
    high: float | None
    p_value: float


@dataclass(frozen=True, repr=False)
class PromptSearch(ReadableResult):
    """What was tried, and what is best.

    Attributes:
        recipes: The recipes; the first is preferred unless another is better beyond chance.
        masks: A row a mask that was tried: ``image_id``, ``category``.
        iou: Shape (masks, recipes), in [0, 1]; 0 where nothing was drawn.
        seconds: Shape (recipes,): seconds a mask, without the embedding of its image.
        confidence: Of each choice.
        seed: Of chance.
    """

    recipes: tuple[PromptRecipe, ...]
    masks: pd.DataFrame
    iou: FloatArray
    seconds: FloatArray
    confidence: float
    seed: int

    def best(self, among: Sequence[str] | None = None) -> PromptRecipe:
        """Return the recipe to use; never one that needs the truth ("closest").

        Args:
            among: Names of the recipes that can be used, first the one that stays unless another is
                better; None for all.
        """
        return self.recipes[self._choose(np.ones(len(self.masks), np.bool_), self._usable(among))]

    def best_by_category(self, among: Sequence[str] | None = None) -> dict[str, PromptRecipe]:
        """Return the recipe of each category for which another one than for all is better.

        Args:
            among: Names of the recipes that can be used; None for all.
        """
        usable = self._usable(among)
        whole = self._choose(np.ones(len(self.masks), np.bool_), usable)
        order = [whole, *(k for k in usable if k != whole)]
        names = sorted(self.masks["category"].dropna().unique())
        found = {}
        for name in names:
            rows = (self.masks["category"] == name).to_numpy(np.bool_, na_value=False)
            risk = (1 - self.confidence) / len(names)
            if (k := self._choose(rows, order, risk)) != whole:
                found[str(name)] = self.recipes[k]
        return found

    def choose_in_use(self) -> PromptsInUse | None:
        """Return the recipes to prompt by; None where none of them is for one click.

        A recipe that chooses by learned quality is none of them: the quality may be gone later.
        """
        plain = [one.name for one in self.recipes if one.choose in ("single", "predicted")]
        clicks = [name for name in ONE_CLICK if name in plain]
        if not clicks:
            return None
        own, boxes = self.best_by_category(plain), [name for name in ROUGH_BOX if name in plain]
        box = self.best(boxes) if boxes else None
        return PromptsInUse(self.best(plain), self.best(clicks), own, box)

    def gain(self, name: str, over: str) -> PairedGain:
        """Return the gain of one recipe over another, such as of a choice by learned quality over
        one by predicted IoU.

        Args:
            name: Of the one.
            over: Of the other.

        Raises:
            CallError: There is no such recipe.
        """
        mine, its = self._usable([name], oracles=True)[0], self._usable([over], oracles=True)[0]
        gains, counts = self._by_image(self.iou[:, mine] - self.iou[:, its])
        low, high = bootstrap_interval(gains[:, 0], counts)
        p_value = chance_of_gains(gains, seed=self.seed)[0]
        return PairedGain(float(gains.sum() / counts.sum()), low, high, float(p_value))

    def table(self) -> pd.DataFrame:
        """Return a row a recipe, in order.

        Returns:
            ``recipe``, ``masks``, ``iou``, ``low``, ``high`` (95%, over images; NaN for a single
            image), ``gain`` over the first, ``p_value`` (of any recipe's gain being so large by
            chance), ``seconds_per_mask``, ``chosen``.
        """
        frame = self._intervals(np.ones(len(self.masks), np.bool_))
        gains, counts = self._by_image(self.iou - self.iou[:, :1])
        frame["gain"] = gains.sum(axis=0) / counts.sum()
        frame["p_value"] = chance_of_gains(gains, seed=self.seed)
        frame["seconds_per_mask"] = self.seconds
        frame["chosen"] = frame["recipe"] == self.best().name
        return frame

    def by_category(self) -> pd.DataFrame:
        """Return the same a category: ``category``, ``recipe``, ``masks``, ``iou``, ``low``,
        ``high``."""
        every = np.ones(len(self.masks), np.bool_)
        parts = [self._intervals(every)[:0].assign(category="")]
        for name in sorted(self.masks["category"].dropna().unique()):
            rows = (self.masks["category"] == name).to_numpy(np.bool_, na_value=False)
            parts.append(self._intervals(rows).assign(category=name))
        frame = pd.concat(parts, ignore_index=True)
        return frame[["category", *(c for c in frame.columns if c != "category")]]

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON: the tables, and the names of what is chosen."""
        own = {name: recipe.name for name, recipe in self.best_by_category().items()}
        in_use = self.choose_in_use()
        return {
            "recipes": records(self.table()),
            "categories": records(self.by_category()),
            "chosen": self.best().name,
            "chosen_by_category": own,
            "in_use": None if in_use is None else in_use.as_dict(),
            "confidence": self.confidence,
            "seed": self.seed,
        }

    def text(self) -> str:
        """Return a row a recipe, and the choice in a sentence."""
        frame = self.table()
        width = max(len(name) for name in frame["recipe"])
        lines = [f"{'prompts':{width}}{'IoU':>7}{'95% interval':>17}{'gain':>8}{'s a mask':>10}"]
        for row in records(frame):
            low, high = row["low"], row["high"]
            ends = "" if low is None else f"{low:.3f} to {high:.3f}"
            numbers = f"{row['iou']:7.3f}{ends:>17}{row['gain']:+8.3f}"
            lines.append(f"{row['recipe']:{width}}{numbers}{row['seconds_per_mask']:10.3f}")
        lines.append(self._describe_choice())
        own = self.best_by_category().items()
        return "\n".join([*lines, *(f"for {name}: {recipe.name!r}" for name, recipe in own)])

    def _describe_choice(self) -> str:
        best, first = self.best(), self.recipes[0]
        images = count_noun(int(self.masks["image_id"].nunique()), "image")
        on = f"{count_noun(len(self.masks), 'mask')} of {images}"
        if best == first:
            return f"{first.name!r} stays: on {on} no other recipe is better beyond chance"
        gain = self.gain(best.name, first.name)
        return f"{best.name!r}: on {on} mean IoU {gain.gain:+.3f} over {first.name!r}"

    def _tables(self) -> dict[str, pd.DataFrame]:
        return {"recipes by category": self.by_category()}

    def _usable(self, among: Sequence[str] | None, *, oracles: bool = False) -> list[int]:
        names = [recipe.name for recipe in self.recipes]
        for name in among or ():
            if name not in names:
                raise CallError(f"there is no recipe {name!r:.60}", "recipes", f"one of {names}")
        order = [names.index(name) for name in (names if among is None else among)]
        return [k for k in order if oracles or self.recipes[k].choose != "closest"]

    def _choose(self, rows: BoolArray, order: Sequence[int], risk: float | None = None) -> int:
        risk = 1 - self.confidence if risk is None else risk
        sums, _ = self._by_image(self.iou[rows], rows)
        return order[choose_recipe(sums[:, list(order)], risk=risk, seed=self.seed)]

    def _by_image(
        self, values: FloatArray, rows: BoolArray | slice = slice(None)
    ) -> tuple[FloatArray, FloatArray]:
        """Return sums by image, shape (images, columns), and masks of each image."""
        owner = np.unique(self.masks["image_id"].to_numpy(np.int64)[rows], return_inverse=True)[1]
        values = values.reshape(len(owner), -1)
        counts = np.bincount(owner).astype(np.float64)
        return np.column_stack([np.bincount(owner, column) for column in values.T]), counts

    def _intervals(self, rows: BoolArray) -> pd.DataFrame:
        sums, counts = self._by_image(self.iou[rows], rows)
        masks = int(rows.sum())
        found = [bootstrap_interval(column, counts) for column in sums.T]
        columns = {
            "recipe": [recipe.name for recipe in self.recipes],
            "masks": masks,
            "iou": sums.sum(axis=0) / max(masks, 1),
            "low": np.array([low for low, _ in found], np.float64),
            "high": np.array([high for _, high in found], np.float64),
        }
        return pd.DataFrame(columns)


def search_prompts(
    images: Sequence[AnnotatedImage],
    segmenter: Prompter,
    recipes: Sequence[PromptRecipe] = RECIPES,
    *,
    quality: CandidateQuality | None = None,
    most_masks: int = MOST_MASKS,
    confidence: float = 0.95,
    seed: int = 0,
    clock: Clock = SYSTEM,
    progress: Progress | None = None,
) -> PromptSearch:
    """Try recipes of prompts on annotated images that the segmenter was not trained on.

    Args:
        images: The images; those without masks say nothing.
        segmenter: The segmenter; each image is embedded once.
        recipes: What is tried; the first is preferred.
        quality: Learned quality of candidates, for recipes that choose by it.
        most_masks: Masks of one image that are tried at most, by chance where it has more.
        confidence: Of each choice, in (0.5, 1).
        seed: Of masks, random points, noisy boxes and flips.
        clock: For seconds a mask.
        progress: Called with progress.

    Raises:
        CallError: There is no mask or no recipe, two recipes share a name, or one chooses by a
            quality that is not given.
    """
    check_numbers(confidence=confidence, seed=seed, count=most_masks)
    _check_recipes(recipes, quality)
    rows: list[tuple[int, str | None]] = []
    parts: list[FloatArray] = []
    spent = np.zeros(len(recipes))
    for done, image in enumerate(images):
        chosen = _choose_masks(image, most_masks, seed)
        if not len(chosen):
            continue
        runs = image.runs[chosen]
        embedding = segmenter.embed(image.picture())
        found = np.empty((len(runs), len(recipes)))
        for k, recipe in enumerate(recipes):
            attempt = _Attempt(segmenter.segmenter, recipe, image, embedding, quality, seed)
            if not parts:  # what is loaded and compiled first is no recipe's cost
                attempt.measure(runs[:1])
            start = clock.monotonic()
            found[:, k] = attempt.measure(runs)
            spent[k] += (clock.monotonic() - start) / 1e9
        parts.append(found)
        names = image.categories
        rows += [(image.image_id, None if names is None else names[k]) for k in chosen.tolist()]
        if progress:
            progress("prompts", done + 1, len(images), len(runs))
    if not parts:
        raise CallError("there is no mask to prompt for", "images", "annotate validation images")
    masks = pd.DataFrame(rows, columns=["image_id", "category"]).astype({"category": object})
    iou = np.concatenate(parts)
    return PromptSearch(tuple(recipes), masks, iou, spent / len(iou), confidence, seed)


def _check_recipes(recipes: Sequence[PromptRecipe], quality: CandidateQuality | None) -> None:
    names = [recipe.name for recipe in recipes]
    if not names:
        raise CallError("there is no recipe to try", "recipes", "give one at least")
    if len(set(names)) < len(names):
        raise CallError("two recipes share a name", "recipes", "give each its own")
    needs = [recipe.name for recipe in recipes if recipe.choose == "quality"]
    if needs and quality is None:
        what = f"{needs[0]!r:.60} chooses by a learned quality, and none is given"
        raise CallError(what, "recipes", "learn one first, or choose by predicted IoU")
    if all(recipe.choose == "closest" for recipe in recipes):
        what = "every recipe chooses by the truth"
        raise CallError(what, "recipes", "give one that can be used without it")


def _choose_masks(image: AnnotatedImage, most: int, seed: int) -> IntArray:
    """Return the rows of masks that are tried."""
    rows = np.flatnonzero(area(image.runs) > 0)
    random = np.random.default_rng([seed, abs(image.image_id), 9])
    return np.sort(random.permutation(rows)[:most])


@dataclass(frozen=True)
class _Attempt:
    """A recipe tried on an image."""

    segmenter: Segmenter
    recipe: PromptRecipe
    image: AnnotatedImage
    embedding: Embedding
    quality: CandidateQuality | None
    seed: int

    def measure(self, runs: Runs) -> FloatArray:
        """Return the IoU of each mask with what is drawn for it, shape (n,)."""
        # The same for each recipe, so that their noisy boxes are the same.
        random = np.random.default_rng([self.seed, abs(self.image.image_id), 7])
        found = [np.empty(0)]
        for start in range(0, len(runs), _BATCH):
            some = runs[start : start + _BATCH]
            prompts = make_recipe_prompts(some, self.recipe, random)
            answered = answer_recipe(
                self.segmenter, self.embedding, prompts, self.recipe, self._find_value(some)
            )
            found.append(np.nan_to_num(pairwise_iou(some, answered.drawn.runs)))
        return np.concatenate(found)

    def _find_value(self, runs: Runs) -> CandidateValue | None:
        """Return the value that the best of three masks is chosen by; None: predicted IoU."""
        image, quality = self.image, self.quality
        if self.recipe.choose == "closest":
            return partial(_measure_closeness, runs)
        if self.recipe.choose == "quality" and quality is not None:
            return partial(quality, image)
        return None


def _measure_closeness(runs: Runs, drawn: ThresholdedMasks, predicted: FloatArray) -> FloatArray:
    """Return the IoU of candidates with the mask that each was prompted for."""
    rows = np.repeat(np.arange(len(runs)), len(predicted) // len(runs))
    return pairwise_iou(runs[rows], drawn.runs)
