"""Proposals of a round: masks that the segmenter in force generates on the round's images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from curate.common import files
from curate.common.progress import Progress
from curate.engine.box_proposals import Add
from curate.engine.candidate_choice import CHOICE, Choose
from curate.engine.coco_writing import MASK_COLUMNS, ListedImage, no_masks, write_coco
from curate.engine.redrawing import redraw_proposals
from curate.engine.round_record import RoundRecord
from curate.formats.reading import read
from curate.networks.generation.generating import Generation, generate
from curate.networks.loading import load_segmenter
from curate.networks.segmenters.prompt_recipes import PromptRecipe
from curate.networks.segmenters.segmenter import Segmenter
from curate.store.engine_folder import PROPOSALS

GENERATED = "generated"
"""Folder of a generation that is at work; it goes when the proposals are written."""


def wants_proposals(folder: Path, record: RoundRecord) -> bool:
    """Return whether a round's proposals are yet to be made.

    They are made anew where a run was killed before the step was noted: only the record says by
    which choice, and with which boxes, they came to be. What it had not removed yet goes before, as
    a generation that is half gone is none to go on with.

    Args:
        folder: Where they are.
        record: Of the round.
    """
    if not (folder / PROPOSALS).is_file():
        return True
    if {"propose", "prefill", "audit"} & set(record.steps):
        return False
    _remove_work(folder)
    return True


def _remove_work(folder: Path) -> None:
    """Remove what proposals were made from."""
    for place in (folder / GENERATED, folder / CHOICE):
        if place.exists():
            files.remove_tree(place, quiet=True)


def write_proposals_of(
    folder: Path,
    pictures: Path,
    images: Sequence[ListedImage],
    classes: Sequence[str],
    *,
    segmenter: str | Segmenter | None,
    recipe: dict[str, object],
    device: str | None,
    first_id: int,
    progress: Progress | None,
    choose: Choose | None = None,
    redraw: PromptRecipe | None = None,
    add: Add | None = None,
    seed: int = 0,
) -> None:
    """Write ``proposals.json`` of a round.

    A proposal is of the one class, where there is one; of several none is known, and people say
    which.

    Args:
        folder: The round's folder.
        pictures: Folder of the pictures.
        images: The round's images.
        classes: Names of the classes.
        segmenter: Its name, or itself; None in a cold start: there are no proposals.
        recipe: Settings over the preset that ``extends`` names.
        device: Where it runs.
        first_id: Id of the first proposal: no two rounds have masks of one id, so that a file of
            one round cannot be imported into another.
        progress: Called with progress.
        choose: Returns the proposals, chosen among the masks of each point, or None, which is what
            predicted IoU chooses; see :mod:`curate.engine.candidate_choice`.
        redraw: Prompts by which each mask is drawn anew; None: it stays as the points draw it.
        add: Adds proposals to those; see :mod:`curate.engine.box_proposals`.
        seed: Of places of prompts by chance.
    """
    masks = no_masks()
    generated = folder / GENERATED
    if segmenter is not None:
        model = segmenter
        if isinstance(model, str):
            model = load_segmenter(model, device=device)
        done = generate_masks(
            generated,
            pictures,
            images,
            segmenter=model,
            recipe=recipe,
            device=device,
            progress=progress,
        )
        chosen = None if choose is None else choose(folder, generated, images, done.recipe)
        masks = read_generated(generated, images) if chosen is None else chosen
        if redraw is not None:
            masks = redraw_proposals(
                masks,
                images,
                pictures,
                model,
                redraw,
                nms_iou=done.recipe.nms_iou,
                seed=seed,
                progress=progress,
            )
        if add is not None:
            masks = add(masks, images, model, done.recipe.nms_iou)
        masks["category"] = classes[0] if len(classes) == 1 else None
    write_coco(folder / PROPOSALS, images, masks, classes, first_id)
    _remove_work(folder)


def generate_masks(
    generated: Path,
    pictures: Path,
    images: Sequence[ListedImage],
    *,
    segmenter: str | Segmenter,
    recipe: dict[str, object],
    device: str | None,
    progress: Progress | None,
) -> Generation:
    """Generate masks for images; those that the directory has by the same recipe are not made anew.

    Args:
        generated: The directory.
        pictures: Folder of the pictures.
        images: The images.
        segmenter: Its name, or itself.
        recipe: Settings over the preset that ``extends`` names.
        device: Where it runs.
        progress: Called with progress.
    """
    return generate(
        pictures,
        generated,
        segmenter=segmenter,
        recipe=recipe,
        device=device,
        only=[one.file_name for one in images],
        progress=progress,
    )


def read_generated(generated: Path, images: Sequence[ListedImage]) -> pd.DataFrame:
    """Return the generated masks of some images with the engine's ids, in the order of the images.

    Args:
        generated: The directory of the generation; it may have other images too.
        images: The images.

    Returns:
        Columns :data:`curate.engine.coco_writing.MASK_COLUMNS`, without a category.
    """
    table = read(generated, "sa1b")
    known = {one.file_name: one.image_id for one in images}
    order = {one.image_id: k for k, one in enumerate(images)}
    masks = table.masks.copy()
    masks["image_id"] = masks["image_id"].map(table.images["file_name"].map(known))
    masks = masks[masks["image_id"].notna() & (masks["area_px"] > 0)]
    masks = masks.assign(image_id=masks["image_id"].astype("int64"), category=None)
    for name in ("predicted_iou", "stability_score"):
        if name not in masks:
            masks[name] = np.nan
    place = masks["image_id"].map(order)
    return masks.iloc[np.argsort(place.to_numpy(), kind="stable")][list(MASK_COLUMNS)]
