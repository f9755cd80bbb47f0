"""Embedding signal: contrast and unity of a mask in a segmenter's image features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage

from curate.common.arrays import FloatArray
from curate.dataset.table import MaskTable
from curate.images import ImageFolder
from curate.networks.segmenters.prompting import MASK_LOGIT, low_res_logits
from curate.networks.segmenters.segmenter import Embedding, deepest_grid
from curate.rle import Runs
from curate.scorers.reprompt import Prompter
from curate.scorers.scorer import Column, Scorer, rows_by_image

RING = 2
"""Width of a mask's surroundings, in cells of the embedding."""

ROUNDING = 1e-12
"""Variance, as a share of the mean square, under which features are all the same."""

NAMES = ("embedding_contrast_score", "embedding_unity_score")


def embedding(table: MaskTable, *, images: ImageFolder, segmenter: Prompter) -> pd.DataFrame:
    """Compare what an encoder sees inside each mask with what it sees around it.

    A segmenter's encoder was made to tell things apart, so a mask that follows a thing is unlike
    its surroundings and alike within. Own definition.

    Args:
        table: Masks of whole images; rows in any order.
        images: Where the pictures are.
        segmenter: The model; embeddings come from its cache where it has one.

    Returns:
        Index ``mask_id``; both in [0, 1], and NaN for a mask without pixels or without a picture of
        its size, and where the encoder has no grid of features or sees no difference anywhere:

        - ``embedding_contrast_score``: D / (D + S), D being the distance of the mean features
          inside the mask and up to two cells around it, S what is left within both (root mean
          square); NaN where the mask leaves nothing around it;
        - ``embedding_unity_score``: 1 less the variance inside the mask as a share of the image's,
          at least 0.
    """
    numbers = np.full((len(table), len(NAMES)), np.nan)
    names = table.images["file_name"].to_dict()
    for image, these in rows_by_image(table):
        runs = table.runs[these]
        picture = images.load(names.get(image), (int(runs.heights[0]), int(runs.widths[0])))
        if picture is None:
            continue
        seen = segmenter.embed(picture)
        features = grid_of(segmenter, seen)
        if features is not None:
            numbers[these] = compare(features, seen, runs)
    return pd.DataFrame(numbers, table.masks.index, list(NAMES))


def grid_of(segmenter: Prompter, seen: Embedding) -> FloatArray | None:
    """Return an image's features, shape (channels, h, h): those with the most channels."""
    grid = deepest_grid(segmenter.segmenter.pack(seen).values())
    return None if grid is None else grid.astype(np.float64)


def compare(features: FloatArray, seen: Embedding, runs: Runs) -> FloatArray:
    """Return contrast and unity of each mask, shape (n, 2).

    Args:
        features: Shape (channels, h, h), over the segmenter's whole square input.
        seen: What they are of.
        runs: n masks of that image, each with a pixel at least.
    """
    cells, frame = features.shape[1], seen.frame
    on_image = np.zeros((cells, cells), bool)
    rows, columns = frame.resized_height, frame.resized_width
    on_image[: -(-rows * cells // frame.side), : -(-columns * cells // frame.side)] = True
    flat = features.reshape(len(features), -1)
    variance = float(flat[:, on_image.ravel()].var(axis=1).sum())
    found = np.full((len(runs), 2), np.nan)
    if not variance > ROUNDING * float((flat**2).mean()):
        return found
    for k in range(len(runs)):
        share = (low_res_logits(runs, k, frame, cells) / MASK_LOGIT + 1) / 2
        touched = share > 0
        around = ndimage.binary_dilation(touched, iterations=RING) & ~touched & on_image
        inside, within = _moments(flat, share.ravel())
        found[k, 1] = max(0.0, 1 - within / variance)
        if around.any():
            outside, beyond = _moments(flat, around.ravel().astype(np.float64))
            apart = float(np.linalg.norm(inside - outside))
            left = float(np.sqrt((within + beyond) / 2))
            found[k, 0] = apart / (apart + left)
    return found


def _moments(flat: FloatArray, weight: npt.NDArray[np.floating]) -> tuple[FloatArray, float]:
    """Return the weighted mean of features, and their variance, summed over the channels."""
    at = np.flatnonzero(weight)
    some, w = flat[:, at], weight[at] / weight[at].sum()
    mean: FloatArray = some @ w
    return mean, float(((some - mean[:, None]) ** 2 @ w).sum())


SCORERS = (
    Scorer(
        name="embedding",
        function=embedding,
        columns=(
            Column(
                "embedding_contrast_score",
                "Contrast to a segmenter",
                low_means="a segmenter's encoder sees the same inside it as around it",
            ),
            Column(
                "embedding_unity_score",
                "Unity to a segmenter",
                low_means="a segmenter's encoder sees unlike things inside it",
            ),
        ),
        question="is it one thing to a segmenter's encoder, unlike what is around it?",
        needs=("images", "segmenter"),
    ),
)
