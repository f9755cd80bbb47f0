"""Setting up of an engine: pictures read, the validation set drawn, earlier masks taken over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from curate.common import files
from curate.common.clock import Clock
from curate.common.locks import refuse_locked
from curate.common.progress import Progress
from curate.dataset.notes import count_noun
from curate.engine.coco_writing import MASK_COLUMNS, write_coco
from curate.engine.pictures import (
    POOL,
    START,
    VALIDATION,
    list_images,
    read_pictures,
    write_images,
)
from curate.engine.round_record import format_time
from curate.engine.settings import EngineSettings
from curate.errors import AuditError, CallError
from curate.formats.reading import read
from curate.images import ImageFolder
from curate.networks.detectors.initial_weights import load_pretrained
from curate.networks.generation.recipe import load_recipe
from curate.networks.runtime.devices import choose_device
from curate.networks.runtime.hub import import_optional
from curate.networks.segmenter_training.initial_segmenter import load_start
from curate.store import engine_folder
from curate.store.engine_folder import MASKS, NAMES, is_engine

LEAST_VALIDATION = 16
"""Fewest validation images. The gain of a round is a mean over images; with a standard deviation of
0.1 between images (of the difference of two segmenters' mean IoU on one) the 95% interval of 16
images is 0.05 to either side, and of fewer a gain that is worth a round can hardly be seen."""

MOST_VALIDATION = 100
"""Most validation images by default: four times as many halve the interval, at four times the
work."""

VALIDATION_SHARE = 0.2
"""Share of the images that is set aside by default, between both numbers above."""

_FEWEST_ROUND, _MOST_ROUND = 5, 100


@dataclass(frozen=True)
class StartMasks:
    """Masks that were there before the engine.

    Attributes:
        masks: See :data:`curate.engine.coco_writing.MASK_COLUMNS`; ids of the engine's images.
        classes: Their categories, in order.
        left_out: How many were not taken: no usable pixels, a crowd region, another size than the
            picture, or no picture here.
    """

    masks: pd.DataFrame
    classes: tuple[str, ...]
    left_out: int


def set_up_engine(
    project: Path,
    settings: EngineSettings,
    start: tuple[Path, str | None] | None,
    device: str | None,
    clock: Clock,
    progress: Progress | None,
) -> str:
    """Read the pictures, draw the validation set and write the project, whole or not at all.

    Args:
        project: The directory; must not hold anything.
        settings: Settings; ``validation`` and ``round_images`` are 0, and ``classes`` empty, for
            the defaults.
        start: A dataset with masks that count as decided, and its format; None for none.
        device: Where the segmenter is loaded to see whether it can be trained.
        clock: What time it is.
        progress: Called with progress.

    Returns:
        What was set up, in words.

    Raises:
        CurateError: The pictures, the segmenter, the masks, ``project`` or a setting cannot be
            used.
    """
    refuse_used(project)
    for recipe in (settings.recipe, settings.full_recipe):
        load_recipe(recipe)
    settings = replace(settings, fingerprint=_check_segmenter(settings, device))
    if settings.prefill_rounds and settings.detector.start is not None:
        load_pretrained(settings.detector.start, size=settings.detector.size)  # or it refuses
    folder = Path(settings.images)
    images = read_pictures(folder, progress)
    found = None if start is None else _read_start(folder, images, *start)
    count = _choose_validation_size(settings.validation, int((images["role"] == POOL).sum()))
    images = _assign_roles(images, count, found, settings.seed)
    pool = int((images["role"] == POOL).sum())
    rounds = settings.rounds + settings.prefill_rounds
    classes = settings.classes or (found.classes if found else ()) or ("object",)
    settings = replace(
        settings,
        images=str(folder.resolve()),
        validation=count,
        round_images=settings.round_images or _choose_round_size(pool, rounds),
        classes=tuple(dict.fromkeys([*classes, *(found.classes if found else ())])),
        created=format_time(clock),
    )
    _write_project(project, settings, images, found)
    return describe_set_up(images, settings, found)


def refuse_used(project: Path) -> None:
    """Check that an engine can be set up in a directory: it is not there, or empty.

    Raises:
        AuditError: It is an engine's already, holds something else, or somebody writes into it.
    """
    if is_engine(project):
        what = "there is an engine here already"
        do = f"go on with it, `curate engine next {project}`, or choose another directory"
        raise AuditError(what, str(project), do)
    if project.exists() and not project.is_dir():
        raise AuditError("it is a file", str(project), "choose a directory")
    if project.is_dir():
        refuse_locked(project)
        if any(project.iterdir()):
            raise AuditError("it holds something else", str(project), "choose an empty directory")


def _check_segmenter(settings: EngineSettings, device: str | None) -> str:
    """Return the fingerprint of the segmenter to start with, "" for none.

    Raises:
        CallError: It cannot be trained, or a package is missing.
    """
    import_optional("torch", "engine")
    if settings.segmenter is None:
        return ""
    size, encoder = settings.training.size, settings.training.encoder
    place = choose_device(device)
    return load_start(
        settings.segmenter, size=size, encoder=encoder, device=place
    ).segmenter.fingerprint


def _choose_validation_size(wanted: int, usable: int) -> int:
    """Return how many images are set aside.

    Raises:
        CallError: They are too few to tell rounds apart, or leave nothing to annotate.
    """
    share = round(VALIDATION_SHARE * usable)
    count = wanted or min(MOST_VALIDATION, max(LEAST_VALIDATION, share))
    if count < LEAST_VALIDATION:
        what = f"{count_noun(count, 'validation image')} cannot tell rounds apart"
        do = f"set {LEAST_VALIDATION} or more aside; 100 show gains of 0.02 IoU"
        raise CallError(what, "--validation-images", do)
    if 2 * count > usable:
        what = f"{count_noun(usable, 'picture')} are too few to set {count} aside to validate on"
        do = f"give {2 * count} or more, so that half of them are left to annotate"
        raise CallError(what, "engine new", do)
    return count


def _choose_round_size(pool: int, rounds: int) -> int:
    """Return the images a round: half of the pool over all rounds, within limits."""
    return max(_FEWEST_ROUND, min(_MOST_ROUND, pool // (2 * rounds)))


def _assign_roles(
    images: pd.DataFrame, count: int, start: StartMasks | None, seed: int
) -> pd.DataFrame:
    """Draw the validation images by chance from all that are usable; note who has masks already."""
    images = images.copy()
    usable = images.index[images["role"] == POOL]
    drawn = np.random.default_rng([seed, 0]).permutation(len(usable))[:count]
    if start is not None:
        images.loc[images["image_id"].isin(start.masks["image_id"]), "role"] = START
    images.loc[usable[drawn], "role"] = VALIDATION
    return images


def _read_start(folder: Path, images: pd.DataFrame, source: Path, format: str | None) -> StartMasks:
    """Return the masks of a dataset whose pictures are the engine's.

    Raises:
        CurateError: The dataset cannot be read, or has no mask on one of the pictures.
    """
    table = read(source, format)
    names = ImageFolder(folder).find_all(table.images["file_name"].to_numpy(object).tolist())
    usable = images[images["role"] == POOL]
    known = dict(zip(usable["file_name"], usable["image_id"], strict=True))
    of = table.images["file_name"].map(lambda name: known.get(names.get(name, "")))
    masks = table.masks.assign(engine_id=table.masks["image_id"].map(of))
    good = masks["engine_id"].notna() & (masks["status"] == "ok") & (masks["area_px"] > 0)
    if "iscrowd" in masks:
        good &= masks["iscrowd"].fillna(0) == 0
    sizes = usable.set_index("image_id")[["height", "width"]]
    kept = masks[good].assign(image_id=masks.loc[good, "engine_id"].astype("int64"))
    own = sizes.loc[kept["image_id"]]
    same = (kept["height"].to_numpy() == own["height"].to_numpy()) & (
        kept["width"].to_numpy() == own["width"].to_numpy()
    )
    kept = kept[same].sort_values("image_id", kind="stable").reset_index(drop=True)
    if not len(kept):
        what = f"none of its {count_noun(len(masks), 'mask')} lies on a picture of {folder}"
        raise CallError(what, str(source), "give masks of these pictures, or leave out --masks")
    for name in ("predicted_iou", "stability_score"):
        kept[name] = np.nan
    classes = [name for name in kept["category"].dropna().unique().tolist() if name]
    return StartMasks(kept[list(MASK_COLUMNS)], tuple(classes), len(masks) - len(kept))


def _write_project(
    project: Path, settings: EngineSettings, images: pd.DataFrame, start: StartMasks | None
) -> None:
    """Write all files beside their place, and name the directory when all are there."""
    parent = project.resolve().parent
    made = parent / f".{project.name}.{files.process_tag()}.tmp"
    with files.convert_write_errors(project):
        files.mkdir(parent, parents=True, exist_ok=True)
        files.remove_abandoned(parent, f".{project.name}.")
        if made.exists():
            files.remove_tree(made)
        try:
            files.mkdir(made)
            write_images(made, images)
            if start is not None:
                _write_start(made, images, start, settings.classes)
            settings.write(made)
            files.rename(made, project)
        finally:
            if made.exists():
                files.remove_tree(made, quiet=True)


def _write_start(
    made: Path, images: pd.DataFrame, start: StartMasks, classes: Sequence[str]
) -> None:
    """Write the masks that were there before: of the validation images, and of all others."""
    role = images.set_index("image_id")["role"]
    of_validation = role.loc[start.masks["image_id"]].to_numpy() == VALIDATION
    for folder, chosen in (
        (made / engine_folder.START, ~of_validation),
        (made / engine_folder.VALIDATION / engine_folder.START, of_validation),
    ):
        masks = start.masks[chosen].reset_index(drop=True)
        if len(masks):
            listed = list_images(images, masks["image_id"].unique().tolist())
            files.mkdir(folder, parents=True)
            write_coco(folder / MASKS, listed, masks, classes)
            files.write_text(folder / NAMES, "".join(f"{one.file_name}\n" for one in listed))


def describe_set_up(
    images: pd.DataFrame, settings: EngineSettings, start: StartMasks | None
) -> str:
    """Return a summary of the new engine as lines of text."""
    counts = images["role"].value_counts()
    left_out = images[images["reason"] != ""]
    lines = [
        f"{count_noun(len(images), 'picture')}: {counts.get(VALIDATION, 0):,} set aside to "
        f"validate on, {counts.get(POOL, 0):,} to annotate, {settings.round_images:,} a round",
    ]
    if start is not None:
        annotated = start.masks["image_id"].nunique()
        lines.append(
            f"{count_noun(len(start.masks), 'mask')} of {count_noun(annotated, 'picture')} are "
            f"there already; {start.left_out:,} left out"
        )
    if len(left_out):
        lines.append(f"{count_noun(len(left_out), 'picture')} left out:")
        rows = zip(left_out["file_name"], left_out["reason"], strict=True)
        lines += [f"  {name}: {reason}" for name, reason in list(rows)[:5]]
    return "\n".join(lines)
