"""Verifier signal: a network's judgement of each mask by its picture."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.dataset.table import STRING, MaskTable
from curate.errors import CurateError
from curate.images import ImageFolder
from curate.networks.verifiers.verifier import MaskJudge
from curate.networks.verifiers.verifier_worth import DOUBTED
from curate.scorers.scorer import Column, Scorer, rows_by_image

_DIGITS = 6
"""Digits that do not depend on which masks a network gets together."""


def verifier(table: MaskTable, *, images: ImageFolder, verifier: MaskJudge) -> pd.DataFrame:
    """Ask a verifier, which looks at picture and mask together, whether each mask is good.

    Own definition: a network that was trained on the dataset's own masks against corruptions of
    them (``curate train-verifier``). A mask is judged by the network that was not trained on its
    image, and by the mean of all networks where none was.

    Args:
        table: Masks of whole images; rows in any order.
        images: Where the pictures are.
        verifier: The model.

    Returns:
        Index ``mask_id``; NaN or NA for masks under 40 px, on which it is not trained, and for
        those without a picture of their size:

        - ``verifier_score`` in [0, 1]: P(good) among the dataset's own masks and corruptions of
          them, of which there are two to one; no share of bad masks of the dataset;
        - ``verifier_iou`` in [0, 1]: the IoU with the right mask that it expects; NaN where that
          went with the true one too little (r under 0.5) on held-out images;
        - ``verifier_kind``: the most probable kind of error where the score is under 0.5 and half
          of the held-out masks that were named after this kind had it, else NA.
    """
    numbers = np.full((len(table), 2), np.nan)
    words = np.full(len(table), None, object)
    names = table.images["file_name"].to_dict()
    categories = table.masks["category"].to_numpy(object)
    ids = table.masks.index.to_numpy()
    for image, rows in rows_by_image(table):
        these = rows[np.argsort(ids[rows], kind="stable")]  # a network's batches are then the same
        runs = table.runs[these]
        size = (int(runs.heights[0]), int(runs.widths[0]))
        picture = images.load(names.get(image), size)
        if picture is None:
            continue
        try:
            found = verifier.judge(picture, runs, categories[these].tolist())
        except CurateError as error:
            error.add_note(f"while judging the masks of {names.get(image)}")
            raise
        numbers[these] = np.round(np.column_stack([found.good, found.iou]), _DIGITS)
        doubted = (found.good < DOUBTED) & (found.kind >= 0)
        words[these[doubted]] = np.array(verifier.kinds, object)[found.kind[doubted]]
    frame = pd.DataFrame(numbers, table.masks.index, ["verifier_score", "verifier_iou"])
    frame["verifier_kind"] = pd.Series(words, frame.index, dtype=STRING)
    return frame


SCORERS = (
    Scorer(
        name="verifier",
        function=verifier,
        columns=(
            Column(
                "verifier_score",
                "Verifier",
                low_means="a network that looks at its picture takes it for a wrong one",
                states="looks wrong in its picture",
                states_known=(
                    ", most like this error: {verifier_kind}",
                    " (expected IoU {verifier_iou:.2f})",
                ),
                evidence="judgement",
            ),
            Column(
                "verifier_iou",
                "Predicted IoU (verifier)",
                "measure",
                "share",
                "the IoU with the right mask that a verifier expects of it",
            ),
            Column(
                "verifier_kind",
                "Kind of error (verifier)",
                "word",
                "",
                "the most probable kind of error, where the verifier takes it for a wrong one",
            ),
        ),
        question="does it look right to a network that sees its picture?",
        needs=("images", "verifier"),
    ),
)
