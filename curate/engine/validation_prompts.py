"""Search of prompts on the validation images of an engine, with its segmenter in force."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from curate.common.clock import Clock
from curate.common.progress import Progress
from curate.engine.pictures import refuse_changed
from curate.engine.prompt_search import AnnotatedImage, PromptSearch, search_prompts
from curate.engine.redrawing import load_picture
from curate.engine.rounds import EngineRounds, RunSettings
from curate.engine.training_round import check_segmenter
from curate.engine.tried_prompts import write_tried
from curate.errors import AuditError
from curate.formats.reading import read
from curate.images import ImageFolder
from curate.networks.loading import load_segmenter
from curate.networks.segmenters.prompt_recipes import RECIPES
from curate.scorers.reprompt import Prompter
from curate.store.engine_folder import MASKS, START, VALIDATION


def search_and_keep(rounds: EngineRounds, run: RunSettings, *, use: bool) -> PromptSearch:
    """Try the recipes as :func:`search_validation_prompts` does, and keep the result.

    Args:
        rounds: Of the engine.
        run: Of this run.
        use: Whether rounds that begin later prompt by what was found.
    """
    found = search_validation_prompts(
        rounds, device=run.device, clock=run.clock, progress=run.progress
    )
    used = rounds.in_force
    assert used is not None  # else there was nothing to prompt
    write_tried(rounds.project, found, used, run.clock, use=use)
    return found


def search_validation_prompts(
    rounds: EngineRounds, *, device: str | None, clock: Clock, progress: Progress | None
) -> PromptSearch:
    """Try the recipes of prompts on people's masks of the validation images.

    Args:
        rounds: Of the engine.
        device: Where the segmenter runs; the first GPU, else the CPU, if None.
        clock: For seconds a mask.
        progress: Called with progress.

    Raises:
        AuditError: The validation images are not annotated yet, or there is no segmenter.
        SourceError: A picture is not as it was.
    """
    project = rounds.project
    if rounds.in_force is None:
        what = "there is no segmenter to prompt yet"
        raise AuditError(what, str(project), f"train one first: `curate engine next {project}`")
    held = project / VALIDATION
    images = _read_annotated((held / MASKS, held / START / MASKS), rounds.images, rounds.pictures)
    if not images:
        what = "people have made no masks of the validation images yet"
        raise AuditError(what, str(project), f"go on with `curate engine next {project}` first")
    ids = [image.image_id for image in images]
    rows = rounds.images[rounds.images["image_id"].isin(ids)]
    refuse_changed(rounds.pictures, rows, "of the validation set")
    segmenter = load_segmenter(check_segmenter(rounds.in_force, project), device=device)
    return search_prompts(
        images,
        Prompter(segmenter),
        RECIPES,
        seed=rounds.settings.seed,
        clock=clock,
        progress=progress,
    )


def _read_annotated(
    paths: Sequence[Path], images: pd.DataFrame, pictures: Path
) -> list[AnnotatedImage]:
    """Return the images that datasets have masks of, with the engine's ids."""
    found: list[AnnotatedImage] = []
    ids = images.set_index("file_name")["image_id"]
    folder = ImageFolder(pictures).exactly(images["file_name"].tolist())
    for path in paths:
        if not path.is_file():
            continue
        table = read(path, "coco")
        of = table.masks["image_id"].to_numpy(np.int64)
        names = table.masks["category"].astype(object).where(table.masks["category"].notna(), None)
        for image_id in np.unique(of).tolist():
            places = np.flatnonzero(of == image_id)
            name = str(table.images["file_name"].loc[image_id])
            found.append(
                AnnotatedImage(
                    int(ids.loc[name]),
                    table.runs[places],
                    partial(load_picture, folder, name),
                    names.iloc[places].tolist(),
                )
            )
    return found
