"""Re-prompting signal: IoU of a mask with a segmenter's answers to prompts from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from curate.common import files
from curate.common.arrays import ByteArray, FloatArray
from curate.dataset.table import STRING, MaskTable
from curate.errors import CurateError
from curate.images import ImageFolder
from curate.networks.segmenters.embedding_cache import EmbeddingCache
from curate.networks.segmenters.prompting import PromptedMasks, pairwise_iou, prompt_masks
from curate.networks.segmenters.segmenter import Embedding, Segmenter
from curate.rle import Runs
from curate.rle import concat as concat_runs
from curate.rle import overlaps as find_overlaps
from curate.rle.overlap import area
from curate.scorers.scorer import Column, Scorer, rows_by_image

MEASURES = (
    "reprompt_score",
    "prompt_robustness_score",
    "segmenter_predicted_iou",
    "segmenter_stability_score",
    "segmenter_edge_band_px",
    "reprompt_box_iou",
    "reprompt_point_iou",
    "reprompt_points_iou",
    "reprompt_mask_iou",
)


@dataclass(frozen=True)
class Prompter:
    """A segmenter at work: with its cache, and with what an earlier run has finished.

    Attributes:
        segmenter: The model.
        cache: Embeddings on disk, or None.
        kept: Folder for the numbers of finished images, so that a killed run does not ask again;
            or None.
        seen: Called with the number of masks of each finished image; or None.
    """

    segmenter: Segmenter
    cache: EmbeddingCache | None = None
    kept: Path | None = None
    seen: Callable[[int], None] | None = None

    def embed(self, picture: ByteArray) -> Embedding:
        """Embed one picture, gray or with colours, through the cache if there is one."""
        if picture.ndim == 2:
            picture = np.repeat(picture[:, :, None], 3, axis=2)
        picture = picture[:, :, :3]
        if self.cache is None:
            return self.segmenter.embed([picture])[0]
        return self.cache.embed(self.segmenter, [picture])[0]


def reprompt(table: MaskTable, *, images: ImageFolder, segmenter: Prompter) -> pd.DataFrame:
    """Prompt a segmenter from each mask in six ways, and compare what it draws with the mask.

    The ways are those of :data:`curate.networks.segmenters.prompting.PROMPT_KINDS`: the mask's box,
    a wider and a tighter one, its deepest point, three points inside it, and the mask itself. All
    logits are cut at 0 on the full resolution of the image. Own definition; stability as in arXiv
    2304.02643.

    Args:
        table: Masks of whole images; rows in any order.
        images: Where the pictures are.
        segmenter: The model.

    Returns:
        Index ``mask_id``:

        - ``reprompt_score`` in [0, 1]: IoU of the mask with what is drawn for it, the mean over its
          box, its points and itself; 0 where nothing is drawn;
        - ``prompt_robustness_score`` in [0, 1]: mean IoU of all pairs of the six answers: low where
          the answer depends on how one asks; NaN where nothing at all is drawn;
        - ``segmenter_predicted_iou``: the model's own estimate for the mask drawn from the mask
          itself; SAM 1's can pass 1;
        - ``segmenter_stability_score`` in [0, 1] and ``segmenter_edge_band_px``: stability of that
          answer's logits at offset 1, and the width of their undecided band; NaN where it is empty;
        - ``reprompt_box_iou`` and so on: the IoU by way of asking;
        - ``reprompt_status``: ``ok``, ``no_picture``, or ``not_finite`` where the model gave NaN or
          infinity for some way, which then counts as nothing drawn.

        All but the status are NaN for a mask without pixels and without a picture of its size.
    """
    numbers = np.full((len(table), len(MEASURES)), np.nan)
    words = np.full(len(table), None, object)
    names = table.images["file_name"].to_dict()
    for image, these in rows_by_image(table):
        runs = table.runs[these]
        size = (int(runs.heights[0]), int(runs.widths[0]))
        found = _of_image(segmenter, images, names.get(image), size, runs, image)
        if found is None:
            words[these] = "no_picture"
            continue
        numbers[these], finite = found[:, :-1], found[:, -1] > 0
        words[these] = np.where(finite, "ok", "not_finite")
        if segmenter.seen:
            segmenter.seen(len(these))
    frame = pd.DataFrame(numbers, table.masks.index, list(MEASURES))
    frame["reprompt_status"] = pd.Series(words, frame.index, dtype=STRING)
    return frame


def _of_image(
    prompter: Prompter,
    images: ImageFolder,
    file_name: object,
    size: tuple[int, int],
    runs: Runs,
    image_id: int,
) -> FloatArray | None:
    """Return measures and a last column, whether all was finite; None without a picture."""
    kept = None if prompter.kept is None else prompter.kept / f"image-{image_id}.npy"
    if kept is not None and kept.exists():
        before = np.load(kept, allow_pickle=False)
        if before.shape == (len(runs), len(MEASURES) + 1):
            return np.asarray(before, np.float64)
    picture = images.load(file_name, size)
    if picture is None:
        return None
    try:
        answers = prompt_masks(prompter.segmenter, prompter.embed(picture), runs)
    except CurateError as error:
        error.add_note(f"while prompting from the masks of {file_name}")
        raise
    found = measure(runs, answers)
    if kept is not None:
        with files.convert_write_errors(kept.parent):
            files.mkdir(kept.parent, parents=True, exist_ok=True)
            fresh = kept.with_suffix(".tmp")
            with files.open_file(fresh) as file:
                files.save_array(file, found)
            files.replace(fresh, kept)
    return found


def measure(runs: Runs, answers: dict[str, PromptedMasks]) -> FloatArray:
    """Compare masks with what was drawn for them.

    Args:
        runs: n masks of one image.
        answers: What was drawn, by way of asking; of all of
            :data:`curate.networks.segmenters.prompting.PROMPT_KINDS`.

    Returns:
        Shape (n, len(MEASURES) + 1), the last being 1 where all logits were finite.
    """
    iou = {way: pairwise_iou(runs, found.drawn.runs) for way, found in answers.items()}
    own = answers["mask"]
    finite = np.all([found.drawn.finite for found in answers.values()], axis=0)
    return np.column_stack(
        [
            (iou["box"] + iou["points"] + iou["mask"]) / 3,
            robustness([found.drawn.runs for found in answers.values()]),
            np.where(own.drawn.finite, own.predicted_iou, np.nan),
            own.drawn.stability,
            own.drawn.edge_band_px,
            *(iou[way] for way in ("box", "point", "points", "mask")),
            finite,
        ]
    )


def robustness(answers: list[Runs]) -> FloatArray:
    """Return the mean IoU over all pairs of answers for each of n masks; NaN if all are empty.

    Args:
        answers: Each with the n masks that one way of asking gave.
    """
    n, ways = len(answers[0]), len(answers)
    if not n:
        return np.zeros(0)
    drawn = concat_runs(answers)
    areas = area(drawn)
    pairs = find_overlaps(drawn, np.tile(np.arange(n), ways))
    union = areas[pairs.first] + areas[pairs.second] - pairs.intersection
    total = np.bincount(pairs.first % n, pairs.intersection / union, minlength=n)
    empty = areas.reshape(ways, n).sum(axis=0) == 0
    return np.where(empty, np.nan, total / (ways * (ways - 1) / 2))


_COLUMNS = (
    Column(
        "reprompt_score",
        "Redrawn by a segmenter",
        low_means="a segmenter prompted from it draws something else",
        states="a segmenter redraws it less alike than is usual (mean IoU {reprompt_score:.2f})",
        evidence="contradiction",
    ),
    Column(
        "prompt_robustness_score",
        "Prompt robustness",
        low_means="what a segmenter draws for it depends on how it is asked",
    ),
    Column(
        "segmenter_predicted_iou",
        "Predicted IoU (segmenter)",
        "measure",
        "share",
        "the IoU that the segmenter expects of its own drawing of it",
    ),
    Column(
        "segmenter_stability_score",
        "Stability (segmenter)",
        low_means="the segmenter's drawing of it changes much when the threshold moves",
    ),
    Column(
        "segmenter_edge_band_px",
        "Edge band (segmenter)",
        "measure",
        "px",
        "how wide the band is in which the segmenter does not decide",
    ),
    *(
        Column(
            f"reprompt_{way}_iou",
            f"IoU when redrawn from its {way}",
            "measure",
            "share",
            f"IoU with what a segmenter draws from its {words}",
        )
        for way, words in (
            ("box", "box"),
            ("point", "deepest point"),
            ("points", "three points"),
            ("mask", "own pixels"),
        )
    ),
    Column("reprompt_status", "Re-prompting", "word", "", "whether it could be redrawn"),
)

SCORERS = (
    Scorer(
        name="reprompt",
        function=reprompt,
        columns=_COLUMNS,
        question="does a segmenter, prompted from it, draw it again?",
        needs=("images", "segmenter"),
    ),
)
