"""The data engine as a value: set up, opened, moved on, closed, looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from curate.api.queues import write_queue
from curate.common.clock import SYSTEM, Clock
from curate.common.files import convert_write_errors
from curate.common.json_values import JsonObject
from curate.common.locks import hold_directory
from curate.common.paths import AnyPath, as_path, check_exists, check_folder
from curate.common.progress import Progress
from curate.common.ranges import ROUND_RULES, check_numbers
from curate.dataset.notes import count_noun
from curate.engine.engine_status import EngineStatus, NextWork, end_work, make_status
from curate.engine.people_work import PeopleWork
from curate.engine.prompt_search import PromptSearch
from curate.engine.round_record import RoundRecord
from curate.engine.rounds import EngineRounds, RunSettings
from curate.engine.setting_up import refuse_used, set_up_engine
from curate.engine.settings import (
    LIGHT_RECIPE,
    MAX_BAD,
    PREFILL_ROUNDS,
    ROUNDS,
    EngineSettings,
    RoundDetector,
    RoundTraining,
    read_settings,
)
from curate.engine.validation_prompts import search_validation_prompts
from curate.errors import AuditError, CallError
from curate.networks.generation.recipe import load_recipe
from curate.people.exchange.registry import REGISTRY
from curate.policy.grammar import check_choice
from curate.store.engine_folder import AUDIT, MASKS

_ENDINGS = {"csv": ".csv", "json": ".json", "coco": ".json", "huggingface": ".parquet"}
"""Tools whose queue is a file."""


@dataclass(frozen=True)
class Engine:
    """A data engine on disk: rounds in which a model proposes masks and people decide on them.

    Attributes:
        path: Its directory.
        settings: As it was set up.
        clock: What time it is.
        note: What was set up just now; "" for an engine that was opened.
    """

    path: Path
    settings: EngineSettings = field(repr=False)
    clock: Clock = field(default=SYSTEM, repr=False)
    note: str = field(default="", repr=False)

    def next(
        self,
        *,
        to: str | None = None,
        another: bool = False,
        device: str | None = None,
        progress: Progress | None = None,
    ) -> NextWork:
        """Do what the machine can do, until people are needed or the last stage is through.

        A run that was killed goes on where it was.

        Args:
            to: Write the work of people for a tool, as :func:`curate.write_queue` does.
            another: Begin another round though the last stage is through.
            device: Where networks run; the first GPU, else the CPU, if None.
            progress: Called with progress.

        Returns:
            What is to be done now.

        Raises:
            CurateError: Somebody else runs it, or a picture, a model or a file cannot be used.
        """
        if to is not None:
            REGISTRY.writer(Path("queue"), to)  # refuses a tool that is not known
        run = RunSettings(device, self.clock, progress)
        with hold_directory(self.path, "engine next"), convert_write_errors(self.path):
            rounds = EngineRounds(self.path, self.settings)
            while True:
                opened = rounds.open_round()
                if opened is None and rounds.end_of_stage():
                    if not another or not rounds.left:
                        break
                    another = False
                folder, record = opened or rounds.begin()
                rounds.prepare(folder, record, run)
                if record.people is None:
                    work = rounds.measure_work(folder)
                    if not work.is_done and not (folder / MASKS).is_file():
                        return self._ask_people(folder, record, work, to)
                rounds.close(folder, record, run)
                if record.number:
                    rounds.train(folder, record, run)
                rounds.write_ledger()
            rounds.write_ledger()
            return end_work(rounds, rounds.end_of_stage())

    def train_again(
        self,
        *,
        encoder: bool | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        batch: int | None = None,
        prompts: int | None = None,
        learning_rate: float | None = None,
        device: str | None = None,
        progress: Progress | None = None,
    ) -> EngineStatus:
        """Train the segmenter in force once more on all masks of people, with other settings.

        It becomes a round without images, and the new segmenter is kept where it is better. Called
        again with the same settings after a kill it goes on.

        Args:
            encoder: Train the image encoder too; None, as for all: as the engine was set up.
            epochs: Most epochs.
            patience: Epochs without a better validation IoU after which it ends.
            batch: Images a step.
            prompts: Masks prompted an image and step, at most.
            learning_rate: Of AdamW.
            device: Where it is trained; the first GPU, else the CPU, if None.
            progress: Called with progress.

        Raises:
            AuditError: A round is open, or somebody else runs the engine.
            CallError: A setting is wrong.
        """
        given = {
            "encoder": encoder,
            "epochs": epochs,
            "patience": patience,
            "batch": batch,
            "prompts": prompts,
            "learning_rate": learning_rate,
        }
        own = {name: value for name, value in given.items() if value is not None}
        training = replace(self.settings.training, **cast(Any, own))
        run = RunSettings(device, self.clock, progress)
        with hold_directory(self.path, "engine train"), convert_write_errors(self.path):
            rounds = EngineRounds(self.path, self.settings)
            opened = rounds.open_round()
            if not rounds.records or (opened is not None and opened[1].wants_images):
                what = "a round is open" if opened else "people have made no masks yet"
                do = f"go on with `curate engine next {self.path}` first"
                raise AuditError(what, str(self.path), do)
            folder, record = opened or rounds.begin(training)
            rounds.prepare(folder, record, run)
            rounds.close(folder, record, run)
            rounds.train(folder, record, run)
            rounds.write_ledger()
            return make_status(rounds)

    def close_round(self) -> PeopleWork:
        """Close the round that is open before people are done; what they did counts.

        Returns:
            What they did, and what is left undone.

        Raises:
            AuditError: People are needed in no round now, or somebody runs the engine.
        """
        with hold_directory(self.path, "engine close"), convert_write_errors(self.path):
            rounds = EngineRounds(self.path, self.settings)
            opened = rounds.open_round()
            if opened is None or opened[1].people is not None or not _is_open(*opened):
                what = "no round is open for people now"
                raise AuditError(what, str(self.path), f"run `curate engine next {self.path}`")
            folder, record = opened
            work = rounds.measure_work(folder)
            rounds.close(folder, record, RunSettings(None, self.clock))
            return work

    def status(self) -> EngineStatus:
        """Return the rounds as a table, and what is to be done now."""
        return make_status(EngineRounds(self.path, self.settings))

    def search_prompts(
        self, *, device: str | None = None, progress: Progress | None = None
    ) -> PromptSearch:
        """Try which prompts give the best masks of the segmenter in force.

        On people's masks of the validation images; nothing is written, and nothing changes.

        Args:
            device: Where the segmenter runs; the first GPU, else the CPU, if None.
            progress: Called with progress.

        Raises:
            AuditError: The validation images are not annotated yet, or there is no segmenter.
            SourceError: A picture is not as it was.
        """
        rounds = EngineRounds(self.path, self.settings)
        return search_validation_prompts(rounds, device=device, clock=self.clock, progress=progress)

    def _ask_people(
        self, folder: Path, record: RoundRecord, work: PeopleWork, to: str | None
    ) -> NextWork:
        """Say what people are to do, and write it for their tool where one is named."""
        written, note = None, ""
        if to is not None:
            if work.record["proposals"] == work.record["prefilled"]:
                what = "no mask is proposed in this round, so there is nothing to write for a tool"
                do = f"draw the masks on the page: `curate review {self.path}`"
                raise CallError(what, f"--to {to}", do)
            written = folder / f"queue-{to}{_ENDINGS.get(to, '')}"
            note = f"{written} is there already"
            if not written.exists():
                note = write_queue(folder / AUDIT, written, to=to, record=False)
        return NextWork.people(self.path, record, work, (written, note))


def _is_open(folder: Path, record: RoundRecord) -> bool:
    return (folder / AUDIT).is_dir() and "audit" in record.steps


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
    max_bad: float = MAX_BAD,
    detector: str | None = None,
    detector_size: int | None = None,
    detector_epochs: int = 100,
    image_rule: str = "diverse",
    recipe: str | Path | JsonObject | None = None,
    settings: Mapping[str, object] | None = None,
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
        max_bad: Share of bad masks among the prefilled that is put up with, in (0, 1).
        detector: Weights that the detector of the second stage starts from, a folder or a hub name;
            a small RT-DETR from nothing if None.
        detector_size: Side of its input in pixels; its own, or 512, if None.
        detector_epochs: Most epochs of its training a round.
        image_rule: How they are chosen: "diverse": such that they stand for many others and are
            unlike each other and unlike those with masks; "farthest": such that nothing is far from
            them; "random": by chance. See :mod:`curate.engine.image_choice`.
        recipe: A recipe for proposals, as in :func:`curate.generate`; a light one if None.
        settings: Settings over the recipe's.
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
    )
    check_choice(image_rule, "--image-rule", ROUND_RULES)
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
