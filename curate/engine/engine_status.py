"""State of an engine in words: its rounds as a table, and what is to be done now."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun
from curate.dataset.table import records
from curate.engine.automatic_work import describe_automatic, is_half_certified
from curate.engine.box_proposals import describe_boxes
from curate.engine.candidate_choice import describe_choice
from curate.engine.carried_work import describe_carried
from curate.engine.ledger import make_ledger
from curate.engine.missed_objects import (
    SecondLookWork,
    describe_missed,
    find_open_missed,
    measure_missed_work,
)
from curate.engine.people_work import PeopleWork
from curate.engine.prefilling import describe_prefill
from curate.engine.round_cuts import describe_cuts, recipe_of
from curate.engine.round_images import describe_doubt
from curate.engine.round_prompts import describe_round_prompts, describe_use
from curate.engine.round_record import RoundRecord
from curate.engine.stage_ends import STAGES, choose_stage, describe_end
from curate.engine.tried_prompts import read_last_tried
from curate.reporting.next_steps import NextStep, make_step
from curate.store.engine_folder import MASKS, ROUNDS

if TYPE_CHECKING:
    from curate.engine.rounds import EngineRounds

AUTOMATIC = 3
"""The stage that is one round."""

_WHY_NOTHING = (
    "no mask that the segmenter draws here passes the cuts of the recipe (predicted IoU over "
    "{pred_iou:g}, stability from {stability:g}); rounds choose theirs on these images, once they "
    "are annotated"
)
_WHY_ASKED_AGAIN = (
    "they match none of people's masks, though segmenter and detector are sure of them: objects "
    "that were missed would count against the prefilled masks"
)


def name_round(number: int, stage: int = 1) -> str:
    """Return the name of a round in a sentence."""
    if stage == AUTOMATIC:
        return f"round {number}, the automatic stage"
    if number and not stage:
        return f"the validation images once more, before round {number}"
    return f"round {number}" if number else "the validation images"


@dataclass(frozen=True, repr=False)
class NextWork(ReadableResult):
    """What is to be done on an engine now.

    Attributes:
        needs: "people"; "machine" where :meth:`Engine.next` can go on; "" where the last
            stage is through.
        round: The round that is open; 0 for the validation images, None for none.
        lines: What is to be done, a sentence each.
        steps: Commands that do it, in order.
        written: What was written for a tool; None for nothing.
    """

    needs: str
    round: int | None
    lines: tuple[str, ...]
    steps: tuple[NextStep, ...]
    written: Path | None = None

    @classmethod
    def people(
        cls,
        project: Path,
        record: RoundRecord,
        work: PeopleWork,
        queue: tuple[Path | None, str] = (None, ""),
    ) -> NextWork:
        """Return that people are needed in a round.

        Args:
            project: The engine's directory.
            record: The round.
            work: How far they are.
            queue: What was written for their tool, and a note on it.
        """
        written, note = queue
        name = name_round(record.number, record.stage)
        lines = [f"people are needed for {name}: {work.text()}"]
        if not record.number and record.segmenter is not None and not work.record["proposals"]:
            lines.append(_WHY_NOTHING.format(**recipe_of(record)))
        if isinstance(work, SecondLookWork):
            lines.append(_WHY_ASKED_AGAIN)
        if record.replaces is not None:
            lines.append(f"it replaces round {record.replaces}: the same images, proposed anew")
        if record.carried is not None:
            lines.append(describe_carried(record.carried))
        if record.passed_over:
            one = record.passed_over[0]
            some = count_noun(len(record.passed_over), "picture was", "pictures were")
            lines.append(f"{some} passed over: {one['file_name']} {one['reason']}")
        if record.doubt is not None:
            lines.append(describe_doubt(record.doubt))
        if record.cuts is not None:
            lines.append(describe_cuts(record.cuts))
        if record.choice is not None:
            lines.append(describe_choice(record.choice))
        if record.prompts is not None and not isinstance(work, SecondLookWork):
            lines.append(describe_round_prompts(record.prompts))
        if record.boxes is not None:
            lines.append(describe_boxes(record.boxes))
        if record.missed is not None and record.missed["asked"]:
            lines.append(describe_missed(record.missed))
        if record.prefill is not None:
            lines.append(describe_prefill(record.prefill))
        if record.automatic is not None:
            lines.append(describe_automatic(record.automatic))
        step = make_step("open the page for people", "review", project)
        if written is not None:
            lines.append(note)
            what = "import what comes back (its name in the place of EXPORT)"
            step = make_step(what, "import", "EXPORT", "--audit", project)
        steps = [step, make_step("go on when they are done", "engine", "next", project)]
        if record.stage == AUTOMATIC and "certify" in record.steps:
            what = "or end it, and leave out what nobody decided on"
            steps.append(make_step(what, "engine", "close", project))
        return cls("people", record.number, tuple(lines), tuple(steps), written)

    @classmethod
    def machine(cls, project: Path, what: str, number: int | None) -> NextWork:
        """Return that the machine can go on."""
        step = make_step("let the machine go on", "engine", "next", project)
        return cls("machine", number, (what,), (step,))

    @classmethod
    def through(
        cls,
        project: Path,
        reason: str,
        pictures: str,
        segmenter: str | None,
        *,
        more: bool,
        stage: str = STAGES[0],
    ) -> NextWork:
        """Return that the last stage is through, and what can be made of it.

        Args:
            project: The engine's directory.
            reason: Why it is through.
            pictures: Folder of the pictures.
            segmenter: The segmenter in force.
            more: Whether images are left for another round.
            stage: Its name.
        """
        lines = [
            f"the {stage} stage is through: {reason}",
            f"people's masks are in {project / ROUNDS}/*/{MASKS}",
        ]
        steps = [
            make_step("write the dataset", "engine", "write", project, "--out", _name(project))
        ]
        if segmenter is not None and stage != STAGES[2]:
            inside = project / segmenter
            name = inside if inside.is_dir() else segmenter
            what = "generate masks for all pictures with its segmenter, to audit and certify them"
            words = ("generate", pictures, "--segmenter", name, "--out", project / "generated")
            steps.append(make_step(what, *words))
        if more:
            steps.append(make_step("do another round", "engine", "next", project, "--another"))
        return cls("", None, tuple(lines), tuple(steps))

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "needs": self.needs,
            "round": self.round,
            "text": list(self.lines),
            "steps": [asdict(step) for step in self.steps],
            "written": None if self.written is None else str(self.written),
        }

    def text(self) -> str:
        """Return it as lines of text."""
        return "\n".join(self.lines)


@dataclass(frozen=True, repr=False)
class EngineStatus(ReadableResult):
    """State of an engine.

    Attributes:
        path: Its directory.
        rounds: The ledger: a row a closed round; see
            :data:`curate.engine.ledger.LEDGER_TYPES`.
        images: Images by role: pool, validation, start, left_out.
        left: Images of the pool that no round has had.
        segmenter: The segmenter in force; None for none yet.
        iou: Its IoU on the validation images; None where it was not measured.
        now: What is to be done now.
        prompts: What the last search of prompts is used for, in sentences; empty for none.
    """

    path: Path
    rounds: pd.DataFrame = field(repr=False)
    images: dict[str, int]
    left: int
    segmenter: str | None
    iou: float | None
    now: NextWork
    prompts: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "path": str(self.path),
            "images": self.images,
            "images_left": self.left,
            "segmenter": self.segmenter,
            "validation_iou": self.iou,
            "rounds": records(self.rounds),
            "prompts": list(self.prompts),
            "now": self.now.as_dict(),
        }

    def _tables(self) -> dict[str, pd.DataFrame]:
        return {"rounds": self.rounds}

    def text(self) -> str:
        """Return the state as lines of text."""
        counts = self.images
        lines = [
            f"{count_noun(sum(counts.values()), 'picture')}: {counts.get('validation', 0):,} to "
            f"validate on, {counts.get('start', 0):,} annotated before, {self.left:,} left to "
            f"annotate, {counts.get('left_out', 0):,} left out",
            f"segmenter in force: {self.segmenter or 'none yet'}"
            + ("" if self.iou is None else f", validation IoU {self.iou:.3f}"),
            *(f"prompts that were found best: {one}" for one in self.prompts),
        ]
        if len(self.rounds):
            rows = records(self.rounds)
            prefilled = any(row["prefilled"] is not None for row in rows)
            header = _HEADER.format(_PREFILL_HEADER if prefilled else "")
            shown = (_describe_round(row, prefilled=prefilled) for row in rows)
            lines += ["", header, *shown, ""]
        return "\n".join([*lines, *self.now.lines])


def _name(project: Path) -> str:
    """Return a name for the dataset of an engine."""
    return f"{project.resolve().name}.json"


_HEADER = (
    f"{'round':>10}{'images':>8}{'masks':>8}{'an image':>10}{'people':>9}{'a mask':>8}"
    f"{'accepted':>10}{'fixed':>7}{'rejected':>10}{'added':>7}{{}}{'IoU':>8}  gain"
)
_PREFILL_HEADER = f"{'prefilled':>11}{'precision':>22}"


def _describe_round(row: dict[str, object], *, prefilled: bool) -> str:
    """Return a row of the table."""
    name = "validation" if row["round"] == 0 else str(row["round"])
    mean, seconds = _number(row["masks_per_image"], ".1f"), _number(row["people_s_per_mask"], ".1f")
    counts = "".join(
        f"{row[name]:>{width},}"
        for name, width in (("accepted", 10), ("fixed", 7), ("rejected", 10), ("added", 7))
    )
    people = float(str(row["people_s"])) / 60
    line = (
        f"{name:>10}{row['images']:>8,}{row['masks']:>8,}{mean:>10}{people:>7.0f} m"
        f"{seconds:>6} s{counts}{_describe_prefilled(row) if prefilled else ''}"
        f"{_number(row['iou'], '.3f'):>8}  {_describe_gain(row)}"
    )
    return line.rstrip()


def _describe_prefilled(row: dict[str, object]) -> str:
    count, precision = _number(row["prefilled"], ",.0f"), _number(row["precision"], ".3f")
    if row["precision"] is not None:
        low, high = (_number(row[f"precision_{end}"], ".2f") for end in ("low", "high"))
        precision += f" ({low} to {high})"
    return f"{count:>11}{precision:>22}"


def _describe_gain(row: dict[str, object]) -> str:
    if row["round"] == 0:
        return ""
    if row["iou"] is None:
        return str(row["reason"] or "")
    if row["gain"] is None:
        return "the first segmenter"
    text = f"{_number(row['gain'], '+.3f')}"
    if row["gain_low"] is not None:
        text += f" ({_number(row['gain_low'], '+.3f')} to {_number(row['gain_high'], '+.3f')})"
    return text if row["kept"] else f"{text}; the old one stays"


def _number(value: object, form: str) -> str:
    return "-" if value is None else f"{float(str(value)):{form}}"


def make_status(rounds: EngineRounds) -> EngineStatus:
    """Return the state of an engine, from its files."""
    used = rounds.in_force
    tried = read_last_tried(rounds.project, used)
    roles = rounds.images["role"].value_counts()
    return EngineStatus(
        rounds.project,
        make_ledger(rounds.list_all()),
        {str(name): int(count) for name, count in roles.items()},
        rounds.left,
        None if used is None else used["name"],
        rounds.iou,
        _find_work(rounds),
        () if tried is None else describe_use(tried, rounds.records),
    )


def end_work(rounds: EngineRounds) -> NextWork:
    """Return that the last stage of an engine is through, and why."""
    used = rounds.in_force
    name, pictures = None if used is None else used["name"], rounds.settings.images
    stage, reason = describe_end(rounds)
    return NextWork.through(
        rounds.project, reason, pictures, name, more=rounds.left > 0, stage=stage
    )


def _find_work(rounds: EngineRounds) -> NextWork:
    """Return the work that comes next."""
    asked = find_open_missed(rounds.project)
    if asked is not None and not (asked[0] / MASKS).is_file():
        again = measure_missed_work(asked[0])
        if not again.is_done:
            return NextWork.people(rounds.project, asked[1], again)
    opened = rounds.open_round()
    if opened is None:
        stage = choose_stage(rounds)
        if stage is None:
            return end_work(rounds)
        number = 0 if not rounds.records else rounds.records[-1].number + 1
        return NextWork.machine(rounds.project, f"{name_round(number, stage)} can begin", number)
    folder, record = opened
    half = record.stage == AUTOMATIC and record.asks_people and is_half_certified(folder)
    if record.people is None and record.asks_people and not half:
        work = rounds.measure_work(folder)
        if not work.is_done:
            return NextWork.people(rounds.project, record, work)
    what = f"{name_round(record.number, record.stage)} can go on"
    return NextWork.machine(rounds.project, what, record.number)
