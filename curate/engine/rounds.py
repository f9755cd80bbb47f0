"""Rounds of an engine: which there are, the step that comes next, and the steps themselves.

Each step writes one thing, whole or not at all, and is done where that is there: ``images.txt``,
``proposals.json``, ``audit/``, ``masks.json``, ``segmenter/``; the cuts of proposals and the result
in ``round.json``. So a killed step is done again, and nothing that was done is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, cast

from curate.common import files
from curate.common.clock import Clock
from curate.common.progress import Progress
from curate.engine.automatic_work import (
    count_outcomes,
    measure_automatic_work,
    write_automatic_masks,
)
from curate.engine.box_proposals import Add
from curate.engine.candidate_choice import find_choice
from curate.engine.carrying import carry_over
from curate.engine.coco_writing import ListedImage
from curate.engine.ledger import write_ledger
from curate.engine.looks import ImageLooks, find_looks, measure_masks
from curate.engine.missed_objects import count_missed_asked, find_open_missed
from curate.engine.people_work import (
    PeopleWork,
    audit_proposals,
    measure_people_work,
    write_round_masks,
)
from curate.engine.pictures import POOL, list_images, read_images, refuse_changed
from curate.engine.prefilling import choose_policy, measure_prefilled, read_prefilled
from curate.engine.proposal_settings import choose_how_to_propose
from curate.engine.proposing import wants_proposals, write_proposals_of
from curate.engine.round_cuts import recipe_of, with_cuts
from curate.engine.round_images import asks_for_doubt, write_round_images
from curate.engine.round_prompts import find_redraw
from curate.engine.round_record import RoundRecord, SegmenterUsed, read_round
from curate.engine.settings import EngineSettings, RoundTraining
from curate.engine.stage_three import (
    certify_automatic,
    conclude_automatic,
    prepare_automatic,
)
from curate.engine.stage_two import prepare_prefilled
from curate.engine.training_round import (
    TrainingSets,
    check_segmenter,
    make_result,
    skip_result,
    train_round,
)
from curate.networks.runtime.trained_folder import RECORD
from curate.networks.segmenter_training.segmenter_result import read_training
from curate.store.engine_folder import (
    AUDIT,
    LEDGER,
    LOOKS,
    MASKS,
    NAMES,
    ROUNDS,
    SEGMENTER,
    START,
    VALIDATION,
    list_missed,
    list_rounds,
)


@dataclass(frozen=True)
class RunSettings:
    """What a run of the engine is given besides its own settings.

    Attributes:
        device: Where networks run; the first GPU, else the CPU, if None.
        clock: What time it is.
        progress: Called with progress.
    """

    device: str | None
    clock: Clock
    progress: Progress | None = None


class EngineRounds:
    """The rounds of an engine, as they are on disk now.

    Attributes:
        project: The directory.
        settings: Of the engine.
        images: ``images.parquet``.
        folders: Folders of the validation images and of all rounds that have begun, in order,
            without those that were replaced.
        records: Their records.
        replaced: Folders and records of the rounds that others repeat, in order.
    """

    def __init__(self, project: Path, settings: EngineSettings) -> None:
        self.project, self.settings = project, settings
        self.images = read_images(project)
        folders = [project / VALIDATION, *list_rounds(project)]
        read = [(folder, read_round(folder)) for folder in folders]
        found = [(folder, record) for folder, record in read if record is not None]
        gone = {record.replaces for _, record in found}
        self.replaced = [one for one in found if one[1].number in gone]
        self.folders = [folder for folder, record in found if record.number not in gone]
        self.records = [record for _, record in found if record.number not in gone]

    @property
    def pictures(self) -> Path:
        """Folder of the pictures."""
        return Path(self.settings.images)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names that people can give masks: those of the settings, and what people named since."""
        given = (record.people["classes"] for record in self.records if record.people is not None)
        return tuple(dict.fromkeys([*self.settings.classes, *chain.from_iterable(given)]))

    @property
    def in_force(self) -> SegmenterUsed | None:
        """The segmenter in force: the last that was kept, else the one to start with."""
        for folder, record in zip(reversed(self.folders), reversed(self.records), strict=True):
            result = record.result
            if result is not None and result["kept"] and result["fingerprint"] is not None:
                name = (folder / SEGMENTER).relative_to(self.project).as_posix()
                return {"name": name, "fingerprint": result["fingerprint"]}
        if self.settings.segmenter is None:
            return None
        return {"name": self.settings.segmenter, "fingerprint": self.settings.fingerprint}

    @property
    def iou(self) -> float | None:
        """Validation IoU of the segmenter in force; None where it was not measured."""
        for record in reversed(self.records):
            result = record.result
            if result is not None and result["validation"] is not None:
                old = result["before"]
                return (result["validation"] if result["kept"] or old is None else old)["iou"]
        return None

    @property
    def left(self) -> int:
        """Images that no round has had, though some may be gone by now."""
        return int((self.images["role"] == POOL).sum()) - len(self.taken)

    @property
    def taken(self) -> set[str]:
        """File names of the images of all rounds, without the validation images."""
        names: set[str] = set()
        for folder in [*self.folders, *(folder for folder, _ in self.replaced)]:
            path = folder / NAMES
            if folder.name != VALIDATION and path.is_file():
                names |= set(path.read_text(encoding="utf-8").splitlines())
        return names

    def open_round(self) -> tuple[Path, RoundRecord] | None:
        """Return the round that is not finished; None where the next is to begin."""
        if not self.records or self._is_finished(self.records[-1], self.folders[-1]):
            return None
        return self.folders[-1], self.records[-1]

    def measure_work(self, folder: Path) -> PeopleWork:
        """Return how far people are in a round; of one without images there is nothing to do."""
        if not (folder / AUDIT).is_dir():
            return PeopleWork.none()
        record = self.records[self.folders.index(folder)]
        if record.stage == 3:
            return measure_automatic_work(folder, record)
        prefilled = read_prefilled(folder)
        standing = f"mask_id < {prefilled.asked_from}" if prefilled else "false"
        return measure_people_work(folder, standing)

    def begin(self, stage: int, training: RoundTraining | None = None) -> tuple[Path, RoundRecord]:
        """Begin the next round: the validation images first, then rounds from 1.

        Args:
            stage: Its stage; that of the validation images is 0 whatever it says.
            training: For a round without images: how the segmenter is trained once more.
        """
        settings, is_automatic = self.settings, stage == 3
        images = self.left if is_automatic else settings.round_images
        recorded: dict[str, object] = {
            "images": images if training is None else 0,
            "recipe": settings.full_recipe if is_automatic else settings.recipe,
            "training": asdict(training or settings.training),
        }
        number = 0 if not self.records else self.records[-1].number + 1
        used = self.in_force if number or settings.validation_proposals else None
        return self._add(RoundRecord(number, stage if number else 0, recorded, used))

    def begin_again(
        self, record: RoundRecord, settings: dict[str, object]
    ) -> tuple[Path, RoundRecord]:
        """Begin the round that repeats the one that is open with other settings.

        From then on that one is replaced; it stays on the disk.

        Args:
            record: Of the round that is open.
            settings: Of the new one.
        """
        self.replaced.append((self.folders.pop(), self.records.pop()))
        again = RoundRecord(record.number + 1, record.stage, settings, record.segmenter)
        again.passed_over, again.doubt = list(record.passed_over), record.doubt
        again.replaces = record.number
        return self._add(again)

    def _add(self, record: RoundRecord) -> tuple[Path, RoundRecord]:
        number = record.number
        folder = self.project / (VALIDATION if not number else f"{ROUNDS}/{number:02d}")
        files.mkdir(folder, parents=True, exist_ok=True)
        record.write(folder)
        self.folders.append(folder)
        self.records.append(record)
        return folder, record

    def list_tries(self, record: RoundRecord) -> Iterator[tuple[Path, RoundRecord]]:
        """Yield folders and records of the rounds that one repeats, the last first."""
        for folder, earlier in reversed(self.replaced):
            if earlier.number == record.replaces:
                yield folder, earlier
                record = earlier

    def _is_finished(self, record: RoundRecord, folder: Path) -> bool:
        return (record.people if record.number == 0 else record.result) is not None

    def list_round(self, folder: Path) -> list[ListedImage]:
        """Return the images of a round, from its ``images.txt``."""
        names = (folder / NAMES).read_text(encoding="utf-8").splitlines()
        by_name = self.images.set_index("file_name")["image_id"]
        return list_images(self.images, by_name.loc[names].tolist())

    # --- steps -----------------------------------------------------------------------------------

    def prepare(self, folder: Path, record: RoundRecord, run: RunSettings) -> None:
        """Do the steps before people: choose, propose, audit."""
        if "choose" not in record.steps:
            if asks_for_doubt(self, record):  # they are looked at as masks are proposed for them
                choose_how_to_propose(self, folder, record, run)
            with record.step("choose", folder, run.clock):
                write_round_images(self, folder, record, run)
        if not (folder / NAMES).stat().st_size:
            return  # the segmenter is trained once more, or all validation images had masks before
        choose_how_to_propose(self, folder, record, run)
        if record.stage == 3:
            prepare_automatic(self, folder, record, run)
            return
        if record.stage == 2:
            prepare_prefilled(self, folder, record, run)
            if find_open_missed(self.project) is not None:
                return
        elif wants_proposals(folder, record):
            with record.step("propose", folder, run.clock):
                listed, first_id = self.list_round(folder), self.first_id(record)
                self.propose(folder, listed, record, run, first_id=first_id)
        if "audit" not in record.steps:
            with record.step("audit", folder, run.clock):
                audit_proposals(
                    folder,
                    self.pictures,
                    self.classes,
                    run.clock,
                    run.progress,
                    policy=choose_policy(folder),
                )
        if record.replaces is not None:
            carry_over(self, folder, record, run)

    def find_looks(self, run: RunSettings) -> ImageLooks:
        """Return the looks of all images; the first time the pictures are read for it."""
        seed = self.settings.seed
        return find_looks(
            self.project, self.pictures, self.images, seed=seed, progress=run.progress
        )

    def first_id(self, record: RoundRecord) -> int:
        """Return the id of the first proposal of a round: no two rounds have one of the same."""
        earlier = [one.people for one in self.list_all() if one.number < record.number]
        asked = count_missed_asked(self.project, record.number)
        return 1 + asked + sum(people["proposals"] for people in earlier if people is not None)

    def propose(
        self,
        folder: Path,
        listed: Sequence[ListedImage],
        record: RoundRecord,
        run: RunSettings,
        *,
        first_id: int,
        recipe: dict[str, object] | None = None,
        add: Add | None = None,
    ) -> None:
        """Write ``proposals.json`` into a folder.

        Args:
            folder: Where.
            listed: The images that masks are proposed for.
            record: Of the round.
            run: Of this run.
            first_id: Id of the first proposal.
            recipe: By which they are made; that of the round, with its cuts, if None.
            add: Adds proposals to those.
        """
        rows = self.images[self.images["image_id"].isin([one.image_id for one in listed])]
        refuse_changed(self.pictures, rows, "of this round")
        used = record.segmenter
        write_proposals_of(
            folder,
            self.pictures,
            listed,
            self.classes,
            segmenter=None if used is None else check_segmenter(used, self.project),
            recipe=recipe or with_cuts(recipe_of(record), record.cuts),
            device=run.device,
            first_id=first_id,
            progress=run.progress,
            choose=find_choice(self, record, run) if recipe is None else None,
            redraw=find_redraw(record) if recipe is None else None,
            add=add,
            seed=self.settings.seed,
        )

    def remove_leftovers(self) -> None:
        """Remove what killed runs left in the project and in the folders of rounds."""
        for name in (LOOKS, LEDGER):
            files.remove_abandoned(self.project, f".{name}.")
        missed, rounds = list_missed(self.project), list_rounds(self.project)
        for folder in (self.project / VALIDATION, *missed, *rounds):
            if folder.is_dir():
                files.remove_temporaries(folder)
                files.remove_abandoned(folder, f".{MASKS}.", files.PARTIAL)

    def close(self, folder: Path, record: RoundRecord, run: RunSettings) -> None:
        """Take what people made of a round: write ``masks.json``, and note what they did."""
        if (folder / MASKS).is_file() and record.people is not None:
            return
        if record.automatic is not None and "certify" not in record.steps:
            certify_automatic(self, folder, record, run)  # on what there is: people stop early
        with record.step("close", folder, run.clock):
            work = self.measure_work(folder)
            if (folder / AUDIT).is_dir() and not (folder / MASKS).is_file():
                if record.stage == 3:
                    listed = self.list_round(folder)
                    write_automatic_masks(folder, listed, self.classes, folder / MASKS)
                else:
                    write_round_masks(folder, self.classes)
            if (folder / MASKS).is_file():
                record.diversity = measure_masks(folder / MASKS, self.images, self.find_looks(run))
            precision = measure_prefilled(folder)
            if record.prefill is not None and precision is not None:
                record.prefill = {**record.prefill, "precision": precision.as_dict()}
            if record.automatic is not None:
                record.automatic = count_outcomes(record.automatic, work.record)
            record.people, record.closed_early = work.record, not work.is_done

    def train(self, folder: Path, record: RoundRecord, run: RunSettings) -> None:
        """Train on all that people made so far, and keep what is better."""
        if record.stage == 3:
            record.result = conclude_automatic(record)
            record.write(folder)
            return
        train = [self.project / START / MASKS]
        train += [one / MASKS for one in self.folders if one.name != VALIDATION]
        held = self.project / VALIDATION
        sets = TrainingSets.of(train, [held / MASKS, held / START / MASKS], self.pictures)
        if sets.problem:
            record.result = skip_result(f"nothing was trained: {sets.problem}")
            record.write(folder)
            return
        used, out = record.segmenter, folder / SEGMENTER
        if not (out / RECORD).is_file():
            with record.step("train", folder, run.clock):
                refuse_changed(self.pictures, sets.rows(self.images), "with masks")
                train_round(
                    out,
                    sets,
                    None if used is None else check_segmenter(used, self.project),
                    RoundTraining(**cast(Any, record.settings["training"])),
                    seed=self.settings.seed,
                    device=run.device,
                    progress=run.progress,
                )
        with record.step("measure", folder, run.clock):
            record.result = make_result(read_training(out), new=used is None)

    def write_ledger(self) -> None:
        """Write ``ledger.parquet`` from the rounds' records."""
        write_ledger(self.project, self.list_all())

    def list_all(self) -> list[RoundRecord]:
        """Return the records of all rounds that have begun, those that were replaced too."""
        found = [*self.records, *(record for _, record in self.replaced)]
        return sorted(found, key=lambda one: one.number)
