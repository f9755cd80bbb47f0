"""Features of whole images, by which an engine's pool is spread: embeddings, else thumbnails."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.common.arrays import FloatArray
from curate.images import ImageFolder
from curate.images.image_folder import names_and_sizes
from curate.scorers.embedding import grid_of
from curate.scorers.reprompt import Prompter
from curate.subsets.picture_features import (
    Looks,
    pool_features,
    project_features,
    read_thumbnails,
)


def describe_images(
    folder: ImageFolder, images: pd.DataFrame, segmenter: Prompter | None = None
) -> Looks:
    """Return the features of each image, a row an image in the order of ``images``.

    With a segmenter they are *embeddings*: the mean of its encoder's grid over the image, projected
    at random onto 32 numbers; its cache makes a second look cheap. Where its encoder has no grid of
    features, or without a segmenter, they are *thumbnails*: mean colours on a grid of 6 x 6. Both
    as in :mod:`curate.subsets.picture_features`.

    Args:
        folder: The pictures.
        images: A row an image; ``file_name``, ``height``, ``width`` (under 1: not declared).
        segmenter: Whose encoder looks at them; None for thumbnails.

    Returns:
        ``features`` of shape (images, 32) or (images, 108), NaN in the rows of pictures that are
        missing, broken or of another size; None where that is all of them.
    """
    found = None if segmenter is None else _embed_images(folder, images, segmenter)
    described_by = "thumbnails" if found is None else "embeddings"
    if found is None:
        found = read_thumbnails(folder, images)
    return Looks(found, described_by) if np.isfinite(found).any() else Looks(None, "")


def _embed_images(
    folder: ImageFolder, images: pd.DataFrame, segmenter: Prompter
) -> FloatArray | None:
    """Return the mean embedding of each image; None where the encoder has no grid of features."""
    found: list[FloatArray | None] = []
    for name, size in names_and_sizes(images):
        picture = folder.load(name, size if min(size) > 0 else None)
        if picture is None:
            found.append(None)
            continue
        seen = segmenter.embed(picture)
        grid = grid_of(segmenter, seen)
        if grid is None:
            return None
        image = np.array([[0.0, 0.0, seen.frame.width, seen.frame.height]])
        found.append(project_features(pool_features(grid, seen, image))[0])
    width = next((len(row) for row in found if row is not None), 1)
    return np.array([np.full(width, np.nan) if row is None else row for row in found])
