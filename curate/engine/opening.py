"""Engines set up, and opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from curate.common.clock import SYSTEM, Clock
from curate.common.json_values import JsonObject
from curate.common.paths import AnyPath, as_path, check_exists, check_folder
from curate.common.progress import Progress
from curate.common.ranges import MASK_CHOICES, ROUND_RULES, check_numbers
from curate.dataset.notes import count_noun
from curate.engine.engine_value import Engine
from curate.engine.setting_up import refuse_used, set_up_engine
from curate.engine.settings import (
    FULL_RECIPE,
    IMAGE_RULE,
    LIGHT_RECIPE,
    MAX_BAD,
    PREFILL_ROUNDS,
    ROUNDS,
    EngineSettings,
    RoundDetector,
    RoundTraining,
    find_named_cuts,
    read_settings,
)
from curate.errors import CallError
from curate.networks.generation.recipe import load_recipe
from curate.policy.grammar import check_choice


def new_engine(
    project: AnyPath,
    *,
    images: AnyPath,
    segmenter: str | None = None,
    masks: AnyPath | None = None,
    format: str | None = None,
    classes: Sequence[str] = (),
    validation_images: int | None = None,
    validation_proposals: bool = True,
    rounds: int = ROUNDS,
    round_images: int | None = None,
    prefill_rounds: int = PREFILL_ROUNDS,
    automatic: bool = True,
    max_bad: float = MAX_BAD,
    sample: int | None = None,
    detector: str | None = None,
    detector_size: int | None = None,
    detector_epochs: int = 100,
    image_rule: str = IMAGE_RULE,
    mask_choice: str = "predicted",
    recipe: str | Path | JsonObject | None = None,
    settings: Mapping[str, object] | None = None,
    full_recipe: str | Path | JsonObject = FULL_RECIPE,
    full_settings: Mapping[str, object] | None = None,
    encoder: bool = False,
    size: int | None = None,
    epochs: int = 100,
    patience: int = 10,
    batch: int = 4,
    prompts: int = 8,
    learning_rate: float | None = None,
    seed: int = 0,
    device: str | None = None,
    clock: Clock = SYSTEM,
    progress: Progress | None = None,
) -> Engine:
    """Set up a data engine on a folder of pictures.

    The pictures are read, and a validation set is drawn from them by chance: it is annotated first,
    once, and never trained on. :meth:`Engine.next` does all that follows.

    Args:
        project: The directory to write; not there yet, or empty.
        images: Folder of the pictures. Those that do not open are left out, and listed.
        segmenter: The segmenter to start with, a folder or a hub name; one that can be trained.
            None: the first masks are drawn by people alone, and a small SAM is trained on them.
        masks: A dataset with masks of some of the pictures, in any format: they count as decided.
        format: Its format; detected automatically if None.
        classes: Names that people can give masks; those of ``masks``, else "object", if empty.
        validation_images: Images set aside to validate on; if None a fifth, but 16 at least and
            100 at most.
        validation_proposals: Whether masks are proposed for them too. Without, people draw them
            all, and the segmenter to start with has no advantage.
        rounds: Most rounds of the first stage, in which people decide on every proposal.
        round_images: Images a round; if None half of the images over all rounds.
        prefill_rounds: Rounds of the second stage, in which confident masks are prefilled; 0 for
            none.
        automatic: Whether the third stage follows, in which masks are generated for all images that
            are left, and accepted as far as they can be certified.
        max_bad: Share of bad masks among the prefilled, and among the certified, that is put up
            with, in (0, 1).
        sample: Masks that people review by chance for the certificate; if None 2.5 times as many as
            ``max_bad`` takes if all are good, which is 148 for 0.05.
        detector: Weights that the detector of the second stage starts from, a folder or a hub name;
            a small RT-DETR from nothing if None.
        detector_size: Side of its input in pixels; its own, or 512, if None.
        detector_epochs: Most epochs of its training a round.
        image_rule: How they are chosen: "random": by chance; "diverse": such that they stand for
            many others and are unlike each other and unlike those with masks; "farthest": such that
            nothing is far from them; "unsure": the first round as "diverse", later ones such that
            the segmenter is unsure of their masks, and unlike each other. See
            :mod:`curate.engine.image_choice`.
        mask_choice: What chooses among the masks that a point of the grid draws: "predicted": the
            segmenter's own estimate of the IoU; "learned": the quality that people's decisions in
            earlier rounds taught, where there is one.
        recipe: A recipe for proposals, as in :func:`curate.generate`; a light one if None.
        settings: Settings over the recipe's. Its cuts on predicted IoU and stability are chosen on
            the validation images unless these, or a recipe of one's own, set them.
        full_recipe: A recipe for the masks of the third stage; that of *Segment Anything* if it is
            "sa1b".
        full_settings: Settings over that recipe's. Its cuts are chosen as those of ``recipe``
            unless these, or a recipe of one's own, set them.
        encoder: Train the image encoder too.
        size: Side of a new segmenter's input in pixels; 256 if None.
        epochs: Most epochs a round.
        patience: Epochs without a better validation IoU after which a training ends.
        batch: Images a step of the training.
        prompts: Masks prompted an image and step, at most.
        learning_rate: 0.001 from nothing and 0.0001 from weights, if None.
        seed: Of all that is drawn by chance.
        device: Where the segmenter is loaded to see that it can be trained.
        clock: What time it is.
        progress: Called with progress.

    Raises:
        CallError: The segmenter cannot be trained, the images are too few, or a setting is wrong.
        SourceError: The pictures or the masks cannot be read.
        AuditError: ``project`` holds something, or cannot be written.
    """
    check_numbers(
        rounds=rounds,
        seed=seed,
        validation_images=validation_images,
        round_images=round_images,
        prefill_rounds=prefill_rounds,
        max_bad=max_bad,
        sample=sample,
    )
    check_choice(image_rule, "--image-rule", ROUND_RULES)
    check_choice(mask_choice, "--mask-choice", MASK_CHOICES)
    place = as_path(project)
    refuse_used(place)
    check_folder(images)
    check_exists(masks)
    training = RoundTraining(encoder, size, epochs, patience, batch, prompts, learning_rate)
    if size is not None and segmenter is not None:
        what = "size is the input of a new segmenter, and weights fit their own"
        raise CallError(what, "engine new", "leave out the size, or the segmenter")
    wanted = EngineSettings(
        images=str(Path(images)),
        segmenter=_absolute(segmenter),
        fingerprint="",
        classes=_check_classes(classes),
        validation=validation_images or 0,
        validation_proposals=validation_proposals,
        rounds=rounds,
        round_images=round_images or 0,
        image_rule=image_rule,
        recipe=dict(vars(load_recipe(LIGHT_RECIPE if recipe is None else recipe, settings))),
        training=training,
        seed=seed,
        prefill_rounds=prefill_rounds,
        max_bad=max_bad,
        detector=RoundDetector(_absolute(detector), detector_size, detector_epochs),
        automatic=automatic,
        full_recipe=_load_full(full_recipe, full_settings),
        sample=sample or 0,
        mask_choice=mask_choice,
        set_cuts=find_named_cuts(recipe, settings),
        full_set_cuts=find_named_cuts(full_recipe, full_settings),
    )
    start = None if masks is None else (Path(masks), format)
    note = set_up_engine(place, wanted, start, device, clock, progress)
    return Engine(place, read_settings(place), clock, note)


def open_engine(project: AnyPath, *, clock: Clock = SYSTEM) -> Engine:
    """Open an engine.

    Args:
        project: Its directory.
        clock: What time it is.

    Raises:
        AuditError: There is none, it is damaged, or of another version.
    """
    place = as_path(project)
    return Engine(place, read_settings(place), clock)


def _load_full(
    recipe: str | Path | JsonObject, settings: Mapping[str, object] | None
) -> dict[str, object]:
    """Return the recipe of the third stage.

    Raises:
        CallError: It cannot be used.
    """
    try:
        return dict(vars(load_recipe(recipe, settings)))
    except CallError as error:
        raise CallError(error.what, "--full-recipe", error.do) from None


def _absolute(segmenter: str | None) -> str | None:
    """Return a folder's whole path; a hub name as it is."""
    folder = None if segmenter is None else Path(segmenter).expanduser()
    return str(folder.resolve()) if folder is not None and folder.is_dir() else segmenter


def _check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes, each once and without spaces around them.

    Raises:
        CallError: One has no name.
    """
    names = (classes,) if isinstance(classes, str) else tuple(classes)
    found = tuple(dict.fromkeys(name.strip() for name in names))
    if "" in found:
        what = f"a class of {count_noun(len(found), 'class', 'classes')} has no name"
        raise CallError(what, "--classes", "give names separated by commas")
    return found
