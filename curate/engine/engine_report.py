"""Report of an engine as plain values: first screen, rounds, what is left, plots, prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import pyarrow as pa

from curate.common.clock import Clock
from curate.dataset.notes import count_noun
from curate.dataset.table import records
from curate.engine.engine_plots import RoundPlot, draw_round_plots
from curate.engine.engine_status import NextWork, make_status
from curate.engine.ledger import make_ledger
from curate.engine.round_numbers import (
    AUTOMATIC,
    LedgerRow,
    add_up_hours,
    count_standing,
    last_timed,
    name_row,
    name_untimed,
    seconds_per_mask,
    whole,
)
from curate.engine.round_prompts import describe_use
from curate.engine.round_record import RoundRecord, format_time
from curate.engine.round_table import RoundTable, make_round_tables
from curate.engine.rounds import EngineRounds
from curate.engine.searched_images import find_work_left
from curate.engine.stopping_now import NextHour, WorkLeft, expect_next_hour
from curate.engine.tried_prompts import TriedPrompts, read_last_tried
from curate.errors import AuditError
from curate.networks.segmenter_training.segmenter_record import IouRecord
from curate.render.formatting import seconds
from curate.reporting.first_screen import Figure
from curate.reporting.next_steps import NextStep

REPORT_VERSION = "1"
"""Schema version of ``report.json``."""


@dataclass(frozen=True)
class ForceSegmenter:
    """The segmenter in force.

    Attributes:
        name: Where it is: relative to the project for one that a round trained.
        fingerprint: Of its files.
        iou: Its validation IoU, in [0, 1]; None where it was not measured.
        low: Lower end of its 95% interval over images.
        high: Upper end.
    """

    name: str
    fingerprint: str
    iou: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class EngineReport:
    """All that the report of an engine shows; ``report.json`` is this.

    Attributes:
        schema_version: Of these values.
        name: Name of the project's directory.
        path: The directory.
        written: When the report was made, ISO 8601 in UTC.
        pictures: Folder of the pictures.
        images: Images by role: pool, validation, start, left_out.
        left: Images of the pool that no round has had.
        segmenter: The one in force; None for none yet.
        figures: Three numbers, and what they rest on.
        now: What is to be done now, in sentences.
        next_steps: Commands that do it.
        rounds: The ledger: a row a closed round, by column.
        tables: Its columns that people read, as text.
        notes: What is left out of the plots, and why.
        work_left: What stopping now would leave undone.
        next_hour: What the next hour is expected to bring.
        plots: Plots of the rounds.
        plot_style: Style sheet of their classes.
        prompts: The last search of prompts; None for none.
    """

    schema_version: str
    name: str
    path: str
    written: str
    pictures: str
    images: dict[str, int]
    left: int
    segmenter: ForceSegmenter | None
    figures: Sequence[Figure]
    now: Sequence[str]
    next_steps: Sequence[NextStep]
    rounds: Sequence[LedgerRow]
    tables: Sequence[RoundTable]
    notes: Sequence[str]
    work_left: WorkLeft
    next_hour: NextHour
    plots: Sequence[RoundPlot]
    plot_style: str
    prompts: TriedPrompts | None


def gather_engine_report(rounds: EngineRounds, clock: Clock) -> EngineReport:
    """Gather the values of the report, from the project's files.

    Args:
        rounds: Of the engine.
        clock: What time it is.

    Raises:
        CurateError: A file of the project is damaged or gone.
    """
    rows = read_rows(rounds.list_all())
    status = make_status(rounds)
    left = find_work_left(rounds, rows)
    standing = [row for row in rows if row.get("replaced_by") is None]
    plots, style = draw_round_plots(standing, max_bad=rounds.settings.max_bad)
    force = find_in_force(rounds)
    return EngineReport(
        schema_version=REPORT_VERSION,
        name=rounds.project.resolve().name,
        path=str(rounds.project),
        written=format_time(clock),
        pictures=rounds.settings.images,
        images=status.images,
        left=status.left,
        segmenter=force,
        figures=choose_engine_figures(rows, force, status.images),
        now=_describe_now(status.now),
        next_steps=status.now.steps,
        rounds=rows,
        tables=make_round_tables(rows),
        notes=describe_gaps(rows),
        work_left=left,
        next_hour=expect_next_hour(rows, left.images),
        plots=plots,
        plot_style=style,
        prompts=_read_prompts(rounds),
    )


def _read_prompts(rounds: EngineRounds) -> TriedPrompts | None:
    """Return the last search of prompts with the uses that it has; None for none."""
    found = read_last_tried(rounds.project, rounds.in_force)
    if found is None:
        return None
    return replace(found, notes=describe_use(found, rounds.records))


def read_rows(found: Sequence[RoundRecord]) -> list[LedgerRow]:
    """Return the ledger as plain values by column.

    Raises:
        AuditError: The record of a round is damaged.
    """
    rows: list[LedgerRow] = []
    for record in found:
        try:
            rows += cast(list[LedgerRow], records(make_ledger([record])))
        except (KeyError, TypeError, ValueError, AttributeError, pa.ArrowException) as error:
            what = f"the record of round {record.number} is damaged"
            raise AuditError(what, "round.json", "restore it from a copy") from error
    return rows


def find_in_force(rounds: EngineRounds) -> ForceSegmenter | None:
    """Return the segmenter in force with its validation IoU; None for none yet."""
    used = rounds.in_force
    if used is None:
        return None
    found = _find_iou(rounds.records)
    ends = (None, None, None) if found is None else (found["iou"], found["low"], found["high"])
    return ForceSegmenter(used["name"], used["fingerprint"], *ends)


def _find_iou(found: Sequence[RoundRecord]) -> IouRecord | None:
    """Return the IoU that was measured last of the segmenter in force."""
    for record in reversed(found):
        result = record.result
        if result is not None and result["validation"] is not None:
            kept = result["kept"] or result["before"] is None
            return result["validation"] if kept else result["before"]
    return None


def choose_engine_figures(
    rows: Sequence[LedgerRow], force: ForceSegmenter | None, images: dict[str, int]
) -> list[Figure]:
    """Return three numbers with what they rest on: masks, seconds a mask, validation IoU.

    Args:
        rows: Of the ledger.
        force: The segmenter in force.
        images: Images by role.
    """
    return [_masks(rows, images), _pace(rows), _iou(rows, force, images)]


def _masks(rows: Sequence[LedgerRow], images: dict[str, int]) -> Figure:
    total = sum(whole(row, "masks") for row in rows)
    annotated = sum(whole(row, "images") for row in rows)
    pictures, left_out = sum(images.values()), images.get("left_out", 0)
    parts = {name: sum(whole(row, name) for row in rows) for name in ("accepted", "fixed", "added")}
    basis = f"on the {count_noun(annotated, 'image')} of closed rounds, of "
    basis += f"{count_noun(pictures, 'picture')} in all"
    basis += f" ({left_out:,} left out)" if left_out else ""
    if total:
        basis += ": people " + ", ".join(f"{name} {n:,}" for name, n in parts.items() if n)
        certified = sum(whole(row, "certified") for row in rows)
        prefilled = sum(count_standing(row) for row in rows) - certified
        basis += f"; {prefilled:,} stand as they were prefilled" if prefilled > 0 else ""
        basis += f"; {certified:,} stand by a certificate" if certified else ""
    if start := images.get("start", 0):
        basis += f"; besides those of {count_noun(start, 'picture')} that were there before"
    return Figure("Masks so far", f"{total:,}", basis, measured=total > 0)


def _pace(rows: Sequence[LedgerRow]) -> Figure:
    name = "Seconds a mask"
    last = last_timed(rows)
    pace = None if last is None else seconds_per_mask(last)
    hours = add_up_hours(rows)
    if last is None or pace is None:
        why = "people's seconds are not known of any round" if rows else "no round is closed yet"
        return Figure(name, "–", why)
    timed = [row for row in rows if whole(row, "round") and seconds_per_mask(row) is not None]
    basis = f"people's time in {name_row(last)}, over {whole(last, 'masks'):,} masks"
    if timed and whole(timed[0], "round") != whole(last, "round"):
        basis += f"; {seconds_per_mask(timed[0]):.1f} s in {name_row(timed[0])}"
    least = "at least " if name_untimed(rows) else ""
    basis += f". People's time in all: {least}{seconds(3600 * hours[-1])}"
    return Figure(name, f"{pace:.1f} s", basis, measured=True)


def _iou(rows: Sequence[LedgerRow], force: ForceSegmenter | None, images: dict[str, int]) -> Figure:
    name = "Validation IoU of the segmenter in force"
    if force is None:
        return Figure(name, "–", "there is no segmenter yet")
    if force.iou is None:
        return Figure(name, "–", "it is measured when a round has trained a segmenter")
    on = f"people's masks of {count_noun(images.get('validation', 0), 'validation image')}"
    ends = ""
    if force.low is not None and force.high is not None:
        ends = f"95% interval over images {force.low:.3f} to {force.high:.3f}; "
    basis = f"{ends}prompted with boxes and points of {on}, by which the best epoch was chosen too"
    return Figure(name, f"{force.iou:.3f}", basis, measured=True)


def _describe_now(now: NextWork) -> list[str]:
    return [line[:1].upper() + line[1:] for line in now.lines]


def describe_gaps(rows: Sequence[LedgerRow]) -> list[str]:
    """Return sentences on values that the plots leave out, and why."""
    notes = []
    for said in name_untimed(rows):
        notes.append(f"Seconds a mask leave out {said}; hours are at least what is said.")
    for row in rows:
        if row.get("closed_early") is True:
            notes.append(f"{_capital(name_row(row))}: closed before people were done.")
        reason = row.get("reason")
        if whole(row, "stage") == AUTOMATIC:
            became = reason or "it goes on"
            notes.append(f"{_capital(name_row(row))}, the automatic stage: {became}.")
        elif whole(row, "round") and row.get("iou") is None:
            why = f": {reason}" if reason else "; it goes on"
            notes.append(f"{_capital(name_row(row))} has no validation IoU{why}.")
    return notes


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
