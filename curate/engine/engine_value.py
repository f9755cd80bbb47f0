"""The data engine as a value: set up, opened, moved on, closed, looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from curate.api.queues import write_queue, write_recorded_draw
from curate.common.clock import SYSTEM, Clock
from curate.common.files import convert_write_errors
from curate.common.json_values import JsonObject
from curate.common.locks import hold_directory
from curate.common.paths import AnyPath, as_path
from curate.common.progress import Progress
from curate.engine.automatic_work import SAMPLE, find_draw, finish_certifying
from curate.engine.engine_dataset import DatasetOptions, EngineDataset, write_engine_dataset
from curate.engine.engine_report_page import report_engine
from curate.engine.engine_status import EngineStatus, NextWork, end_work, make_status
from curate.engine.missed_objects import (
    close_missed,
    find_open_missed,
    measure_missed_work,
    note_missed,
)
from curate.engine.people_work import PeopleWork
from curate.engine.prompt_search import PromptSearch
from curate.engine.repeating import RepeatSettings, begin_repeat, note_replaced
from curate.engine.round_record import RoundRecord
from curate.engine.rounds import EngineRounds, RunSettings
from curate.engine.settings import EngineSettings
from curate.engine.stage_ends import choose_stage, training_stage
from curate.engine.validation_prompts import search_and_keep
from curate.errors import AuditError, CallError
from curate.people.exchange.registry import REGISTRY
from curate.people.reviews.current_plan import open_audit
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
        with self._working("engine next") as rounds:
            while True:
                opened = rounds.open_round()
                if opened is None:
                    stage = choose_stage(rounds, another=another)
                    if stage is None:
                        break
                    another = another and stage == choose_stage(rounds)
                    opened = rounds.begin(stage)
                folder, record = opened
                rounds.prepare(folder, record, run)
                if (asked := find_open_missed(self.path)) is not None:
                    return self._ask_people(*asked, measure_missed_work(asked[0]), to)
                if record.people is None:
                    work = rounds.measure_work(folder)
                    if not work.is_done and not (folder / MASKS).is_file():
                        return self._ask_people(folder, record, work, to)
                rounds.close(folder, record, run)
                if record.number:
                    rounds.train(folder, record, run)
                rounds.write_ledger()
            rounds.write_ledger()
            return end_work(rounds)

    @contextmanager
    def _working(self, verb: str) -> Iterator[EngineRounds]:
        """Hold the engine for a command, without what killed runs left."""
        with hold_directory(self.path, verb), convert_write_errors(self.path):
            rounds = EngineRounds(self.path, self.settings)
            rounds.remove_leftovers()
            note_replaced(rounds)
            note_missed(rounds)
            yield rounds

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
        with self._working("engine train") as rounds:
            opened = rounds.open_round()
            if not rounds.records or (opened is not None and opened[1].wants_images):
                what = "a round is open" if opened else "people have made no masks yet"
                do = f"go on with `curate engine next {self.path}` first"
                raise AuditError(what, str(self.path), do)
            folder, record = opened or rounds.begin(training_stage(rounds), training)
            rounds.prepare(folder, record, run)
            rounds.close(folder, record, run)
            rounds.train(folder, record, run)
            rounds.write_ledger()
            return make_status(rounds)

    def repeat(
        self,
        *,
        recipe: str | Path | JsonObject | None = None,
        settings: Mapping[str, object] | None = None,
        mask_choice: str | None = None,
        device: str | None = None,
        progress: Progress | None = None,
    ) -> NextWork:
        """Propose the images of the open round anew, with other settings.

        A new round takes the place of the open one, which stays on the disk and counts for nothing
        but the time that it took. What people did in it is carried over: each mask that they took,
        made or added stays, what they rejected stays rejected where it is proposed again, and only
        the rest is asked about. Called again with the same settings after a kill it goes on.

        Args:
            recipe: A recipe, as in :func:`curate.generate`; the round's own if None.
            settings: Settings over the recipe's. Cuts that neither these nor a recipe of one's own
                set are chosen on the validation images, as in :func:`curate.new_engine`.
            mask_choice: "predicted" or "learned", as there; that of the round if None.
            device: Where networks run; the first GPU, else the CPU, if None.
            progress: Called with progress.

        Returns:
            What is to be done now.

        Raises:
            AuditError: No round is open, its masks were written for a tool, its sample of the
                automatic stage was begun, or somebody else runs the engine.
            CallError: A setting is wrong, or all are those of the round.
            SourceError: A picture is not as it was.
        """
        run = RunSettings(device, self.clock, progress)
        wanted = RepeatSettings(recipe, settings or {}, mask_choice)
        with self._working("engine repeat") as rounds:
            folder, record = begin_repeat(rounds, wanted, run)
            rounds.prepare(folder, record, run)
            rounds.write_ledger()
            return make_status(rounds).now

    def close_round(self) -> PeopleWork:
        """Close the round that is open before people are done; what they did counts.

        Where people are asked about proposals on validation images first, that is ended, and the
        round goes on.

        Returns:
            What they did, and what is left undone.

        Raises:
            AuditError: People are needed in no round now, or somebody runs the engine.
        """
        with self._working("engine close") as rounds:
            run = RunSettings(None, self.clock)
            if (asked := find_open_missed(self.path)) is not None:
                return close_missed(rounds, *asked, run)
            opened = rounds.open_round()
            if opened is None or opened[1].people is not None or not _is_open(*opened):
                what = "no round is open for people now"
                raise AuditError(what, str(self.path), f"run `curate engine next {self.path}`")
            folder, record = opened
            if record.stage == 3:
                finish_certifying(folder)
            work = rounds.measure_work(folder)
            rounds.close(folder, record, run)
            return work

    def write(
        self,
        out: AnyPath | None = None,
        *,
        to: str | None = None,
        lossy: bool = False,
        overlap: str | None = None,
        images: str | None = None,
        split: str | None = None,
        seed: int = 0,
        provenance: AnyPath | None = None,
        progress: Progress | None = None,
    ) -> EngineDataset:
        """Write all settled masks as one dataset, at any time; read back and verified.

        Those are masks that were there before, people's of all closed rounds, prefilled ones that
        they left standing, and those of the automatic stage that people or a certificate accepted.
        Images that people searched without finding an object are in it; images of which nothing
        is settled are left out, and counted.

        Args:
            out: Where; must not exist. None only says what would be written.
            to: The format, as for :func:`curate.write`; COCO if None.
            lossy: Write though the format cannot carry everything.
            overlap: "new" or "old": whose a pixel is that two masks claim where it has one id only.
            images: What is done with the pictures: "copy", "link" or "none"; what is usual for the
                format if None.
            split: Shares of splits by name: "train=0.8,val=0.2".
            seed: Of the splits.
            provenance: Where the origin of each mask is written (.parquet or .json), with
                :data:`curate.engine.engine_dataset.ORIGIN_TYPES`; beside ``out`` if None.
            progress: Called with progress.

        Raises:
            CurateError: No mask is settled yet, ``out`` or an option cannot be used, or somebody
                runs the engine.
        """
        options = DatasetOptions(to, lossy, overlap, images, split, seed, provenance)
        with hold_directory(self.path, "engine write"):
            rounds = EngineRounds(self.path, self.settings)
            return write_engine_dataset(rounds, out, options, progress)

    def status(self) -> EngineStatus:
        """Return the rounds as a table, and what is to be done now."""
        return make_status(EngineRounds(self.path, self.settings))

    def search_prompts(
        self, *, use: bool = True, device: str | None = None, progress: Progress | None = None
    ) -> PromptSearch:
        """Try which prompts give the best masks of the segmenter in force.

        On people's masks of the validation images. The result is kept in a new file of
        ``prompts/``.

        Args:
            use: Prompt by what was found in all rounds that begin later; else by the usual prompts.
            device: Where the segmenter runs; the first GPU, else the CPU, if None.
            progress: Called with progress.

        Raises:
            AuditError: The validation images are not annotated yet, or there is no segmenter.
            SourceError: A picture is not as it was.
        """
        rounds = EngineRounds(self.path, self.settings)
        return search_and_keep(rounds, RunSettings(device, self.clock, progress), use=use)

    def report(self, out: AnyPath | None = None) -> Path:
        """Write the report: the rounds in plots and as a table, and what is left to do.

        Args:
            out: A file: ``.json`` for the values, ``.md`` for Markdown, any other for the page; one
                that is there is replaced. If None, all three as ``report.*`` in the project.

        Returns:
            The file; of several, the page.

        Raises:
            CurateError: A file of the project is damaged, or the report cannot be written.
        """
        return report_engine(EngineRounds(self.path, self.settings), as_path(out), self.clock)

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
            is_sample = record.stage == 3 and "certify" not in record.steps
            written, note = _write_for_tool(folder, to, is_sample=is_sample)
        return NextWork.people(self.path, record, work, (written, note))


def _write_for_tool(folder: Path, to: str, *, is_sample: bool) -> tuple[Path, str]:
    """Write what people are asked for in a round for their tool, once; say what was written."""
    written = folder / f"{'sample' if is_sample else 'queue'}-{to}{_ENDINGS.get(to, '')}"
    if written.exists():
        return written, f"{written} is there already"
    audit = open_audit(folder / AUDIT)
    sample = find_draw(audit, SAMPLE) if is_sample else None
    if sample is not None:
        return written, write_recorded_draw(audit, sample, written, to=to)
    return written, write_queue(audit, written, to=to, record=False)


def _is_open(folder: Path, record: RoundRecord) -> bool:
    return (folder / AUDIT).is_dir() and record.asks_people
