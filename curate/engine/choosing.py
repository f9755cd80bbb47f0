"""Choice of a round's images, and the check that their files are as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from curate.engine.pictures import POOL, find_changed


def choose_round_images(images: pd.DataFrame, count: int, *, seed: int, number: int) -> list[int]:
    """Return all images that a round may have, in the order in which they are wanted.

    By chance, the same for equal seeds.

    Args:
        images: Rows of ``images.parquet`` that no round has had.
        count: How many the round wants.
        seed: Of the engine.
        number: Of the round.
    """
    del count
    ids = np.random.default_rng([seed, number]).permutation(images["image_id"].to_numpy(np.int64))
    order: list[int] = ids.tolist()
    return order


def take_images(
    pictures: Path, images: pd.DataFrame, taken: set[str], count: int, seed: int, number: int
) -> tuple[list[int], list[dict[str, str]]]:
    """Choose the images of a round; pass over those whose file is gone or has changed.

    Args:
        pictures: Folder of the pictures.
        images: ``images.parquet``.
        taken: File names of the images of earlier rounds.
        count: How many, at most.
        seed: Of the engine.
        number: Of the round.

    Returns:
        Ids in ascending order, and what was passed over: ``file_name`` and ``reason``.
    """
    pool = images[(images["role"] == POOL) & ~images["file_name"].isin(taken)]
    chosen: list[int] = []
    passed: list[dict[str, str]] = []
    by_id = pool.set_index("image_id", drop=False)
    for image_id in choose_round_images(pool, count, seed=seed, number=number):
        if len(chosen) == count:
            break
        row = by_id.loc[[image_id]]
        changed = find_changed(pictures, row)
        if changed:
            name = str(row["file_name"].iloc[0])
            passed.append({"file_name": name, "reason": changed[image_id]})
        else:
            chosen.append(image_id)
    return sorted(chosen), passed
