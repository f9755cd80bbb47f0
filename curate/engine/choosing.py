"""Choice of a round's images, and the check that their files are as they were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from curate.engine.image_choice import ImagePool, choose_images
from curate.engine.looks import ImageLooks
from curate.engine.pictures import POOL, START, find_changed


@dataclass(frozen=True)
class ChoiceSettings:
    """How a round's images are chosen.

    Attributes:
        rule: One of :data:`curate.common.ranges.ROUND_RULES`.
        looks: Of the engine's images; None for the rule "random", which needs none.
        seed: Of the engine.
        number: Of the round.
        unsureness: Of the images that a segmenter looked at, index ``image_id``; others are taken
            where these do not suffice. None where none did.
    """

    rule: str
    looks: ImageLooks | None
    seed: int
    number: int
    unsureness: pd.Series[float] | None = None


def take_images(
    pictures: Path, images: pd.DataFrame, taken: set[str], count: int, choice: ChoiceSettings
) -> tuple[list[int], list[dict[str, str]]]:
    """Choose the images of a round; pass over those whose file is gone or has changed.

    Images are chosen to be unlike each other, and unlike those that have masks already and are
    trained on; see :mod:`curate.engine.image_choice`.

    Args:
        pictures: Folder of the pictures.
        images: ``images.parquet``.
        taken: File names of the images of earlier rounds.
        count: How many, at most.
        choice: How.

    Returns:
        Ids in ascending order, and what was passed over: ``file_name`` and ``reason``.
    """
    is_taken = images["file_name"].isin(taken)
    before = images.loc[is_taken | (images["role"] == START), "image_id"].tolist()
    left = images[(images["role"] == POOL) & ~is_taken].set_index("image_id", drop=False)
    chosen: list[int] = []
    passed: list[dict[str, str]] = []
    while len(chosen) < count and len(left):
        ids = _find_looked_at(left["image_id"].tolist(), choice)
        more = _choose(ids, [*before, *chosen], count - len(chosen), choice)
        changed = find_changed(pictures, left.loc[more])
        for image_id in more:
            if image_id in changed:
                name = str(left["file_name"].loc[image_id])
                passed.append({"file_name": name, "reason": changed[image_id]})
            else:
                chosen.append(image_id)
        left = left.drop(index=more)
    return sorted(chosen), passed


def _find_looked_at(ids: list[int], choice: ChoiceSettings) -> list[int]:
    """Return the images that a segmenter looked at; all where it looked at none of them."""
    if choice.unsureness is None:
        return ids
    known = set(choice.unsureness.index.tolist())
    return [one for one in ids if one in known] or ids


def _choose(ids: list[int], before: list[int], count: int, choice: ChoiceSettings) -> list[int]:
    """Return the images that are wanted most."""
    features = chosen = None
    if choice.looks is not None:
        features, chosen = choice.looks.of(ids), choice.looks.of(before)
    doubt = None
    if choice.unsureness is not None:
        doubt = np.asarray(choice.unsureness.reindex(ids), np.float64)
    pool = ImagePool(np.array(ids, np.int64), features, doubt, chosen)
    seed = int(np.random.SeedSequence([choice.seed, choice.number]).generate_state(1)[0])
    return [int(one) for one in choose_images(pool, count, rule=choice.rule, seed=seed)]
