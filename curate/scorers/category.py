"""Category signal: does a classifier that has not seen the image give the mask its category?"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from curate.common.arrays import AnyArray, Float32Array, FloatArray
from curate.common.json_values import JsonObject
from curate.dataset.table import STRING, MaskTable
from curate.errors import CurateError
from curate.images import ImageFolder
from curate.networks.encoders.encoder import MaskEncoder
from curate.scorers.category_classifier import fit_classifier, judge_categories, pack
from curate.scorers.handcrafted_features import handcrafted_features
from curate.scorers.scorer import Column, Scorer, rows_by_image
from curate.store.audit_records import CategoryReference, Empty

FEATURES = "category_features"
"""Column of the features, which an audit holds until all parts are scored."""

GROUP = "picture_group"
"""Column of the image by which near-duplicates stand for each other, where they are known."""

MOST_NUMBERS = 256
"""Numbers of an encoder's vector; longer ones are projected at random onto so many."""


def encode_masks(table: MaskTable, *, images: ImageFolder, encoder: MaskEncoder) -> pd.DataFrame:
    """Describe each mask by what its picture shows there, for a classifier of categories.

    Args:
        table: Masks of whole images; rows in any order.
        images: Where the pictures are.
        encoder: The model; its vectors are added to the handcrafted features.

    Returns:
        Index ``mask_id``; ``category_features``: numbers as float16, packed; None for masks without
        pixels and without a picture of their size.
    """
    packed = np.full(len(table), None, object)
    names = table.images["file_name"].to_dict()
    categories = table.masks["category"].to_numpy(object)
    areas, ids = table.masks["area_px"].to_numpy(np.float64), table.masks.index.to_numpy()
    for image, rows in rows_by_image(table):
        these = rows[np.argsort(ids[rows], kind="stable")]  # a network's batches are then the same
        runs = table.runs[these]
        picture = images.load(names.get(image), (int(runs.heights[0]), int(runs.widths[0])))
        if picture is None:
            continue
        try:
            vectors = _shorten(encoder.encode(picture, runs))
        except CurateError as error:
            error.add_note(f"while encoding the masks of {names.get(image)}")
            raise
        own = handcrafted_features(picture, runs, areas[these], categories[these])
        packed[these] = pack(np.concatenate([own, vectors], 1))
    return pd.DataFrame({FEATURES: packed}, table.masks.index)


def _shorten(vectors: Float32Array) -> FloatArray:
    """Return vectors of length 1, of :data:`MOST_NUMBERS` numbers at most.

    A random projection keeps distances (Johnson and Lindenstrauss, 1984).
    """
    values = vectors.astype(np.float64)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    if values.shape[1] > MOST_NUMBERS:
        values = values @ _projection(values.shape[1])
    return np.asarray(values, np.float64)


@cache
def _projection(count: int) -> FloatArray:
    drawn = np.random.default_rng(0).standard_normal((count, MOST_NUMBERS))
    return np.asarray(drawn / np.sqrt(MOST_NUMBERS), np.float64)


def fit(frame: pd.DataFrame) -> JsonObject:
    """Train classifiers of categories, each on all images but those of its fold.

    Args:
        frame: Columns ``category_features``, ``category`` and ``image_id``, a row a mask, in any
            order; ``picture_group`` where it is known which images show the same.

    Returns:
        See :class:`~curate.store.audit_records.CategoryReference`; ``{}`` where there are no two
        categories with masks enough.
    """
    ordered = frame.sort_index()
    return fit_classifier(
        ordered[FEATURES].to_numpy(object), _names(ordered), _groups(ordered, None)
    )


def apply(frame: pd.DataFrame, reference: CategoryReference | Empty) -> pd.DataFrame:
    """Judge the category of masks by the classifier that has not seen their image.

    Args:
        frame: Columns ``category_features``, ``category`` and ``image_id``.
        reference: What :func:`fit` gave.

    Returns:
        Same index; NaN and NA for masks without features, and where the category has too few masks:

        - ``category_score`` in [0, 1]: P(its category) / (P(its category) + P(the best other one));
          under 0.5 another category is more probable;
        - ``category_probability`` in [0, 1]: P(its category);
        - ``category_suggested`` and ``category_suggested_probability``: the most probable category,
          where it is another one, its probability is 0.5 or more, and one as probable was right for
          half of the masks or more.

        The probabilities are calibrated on the masks as they are named: 0.7 is right for 70% of all
        masks, but for fewer of those where it contradicts a category that people gave.
    """
    names = _names(frame)
    found = judge_categories(
        reference, frame[FEATURES].to_numpy(object), names, _groups(frame, reference)
    )
    return pd.DataFrame(
        {
            "category_score": found.score,
            "category_probability": found.given,
            "category_suggested": pd.Series(found.suggested, frame.index, dtype=STRING),
            "category_suggested_probability": found.suggested_probability,
        },
        index=frame.index,
    )


def _names(frame: pd.DataFrame) -> AnyArray:
    """Return the category of each mask; None where it has none."""
    values = frame["category"].to_numpy(object)
    return np.array([one if isinstance(one, str) else None for one in values], object)


def _groups(frame: pd.DataFrame, reference: CategoryReference | Empty | None) -> AnyArray:
    """Return the image by which each mask's image is dealt into a fold, shape (masks,)."""
    if GROUP in frame:
        return frame[GROUP].to_numpy(np.int64)
    images = frame["image_id"].to_numpy(np.int64)
    stated = reference["copies"] if reference and "copies" in reference else {}
    copies = {int(one): leader for one, leader in stated.items()}
    return np.array([copies.get(one, one) for one in images.tolist()], np.int64)


SCORERS = (
    Scorer(
        name="category",
        question="does its picture show what its category says?",
        function=encode_masks,
        columns=(
            Column(
                FEATURES,
                "Features",
                "word",
                "",
                "what a classifier of categories sees of it; not kept in an audit",
            ),
        ),
        needs=("images", "encoder"),
        reads=(FEATURES, "category", "image_id"),
        fit=fit,
        apply=apply,
        applied=(
            Column(
                "category_score",
                "Category by its picture",
                low_means="a classifier of its picture finds another category more probable",
                states="its picture looks like another category than “{category}” "
                "({category_probability:.0%})",
                states_known=(": “{category_suggested}” ({category_suggested_probability:.0%})",),
                evidence="category",
            ),
            Column(
                "category_probability",
                "Probability of its category",
                "measure",
                "share",
                "the probability that a classifier gives its category",
            ),
            Column(
                "category_suggested",
                "Suggested category",
                "word",
                "",
                "the category that a classifier finds most probable, where it is another one",
            ),
            Column(
                "category_suggested_probability",
                "Probability of the suggested category",
                "measure",
                "share",
                "the probability that a classifier gives the suggested category",
            ),
        ),
    ),
)
