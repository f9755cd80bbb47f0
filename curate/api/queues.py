"""Verb that draws review queues and writes them for people: write_queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from shlex import quote

import pandas as pd

from curate.api.missing_queue import write_proposals
from curate.api.queue_files import (
    QueueRequest,
    draw_of,
    make_hidden,
    name_queue,
    remove,
    remove_unrecorded,
)
from curate.common.paths import AnyPath, check_exists, check_folder
from curate.common.ranges import BY_PRIORITY, QUEUE_KINDS, check_numbers
from curate.dataset.notes import count_noun
from curate.errors import CallError, check_utf8
from curate.people.exchange import check_options, check_target, count_left_out, select_slot
from curate.people.exchange import write_queue as write_rows
from curate.people.exchange.queue_columns import choose_columns
from curate.people.exchange.queue_writing import add_version
from curate.people.exchange.registry import REGISTRY, ExportOptions, QueueWriter
from curate.people.exchange.tables import format_csv
from curate.people.queues.audit_draw import known_answers, next_draw, past_reviews, record_drawn
from curate.people.queues.draw_queue import draw_queue, show_drawn
from curate.people.queues.missing_proposals import KIND as MISSING
from curate.people.queues.population import SECONDS_PER_MASK, actions_sql, queue_size
from curate.people.reviews.current_plan import open_audit
from curate.people.reviews.recorded_draws import DrawSettings, RecordedDraw
from curate.policy.grammar import check_choice
from curate.store.audit import AnyAudit, StoredAudit
from curate.store.engine_folder import resolve_audit


def write_queue(
    audit: AnyAudit,
    out: AnyPath | None = None,
    *,
    to: str | None = None,
    kind: str = "errors",
    budget: int | None = None,
    minutes: float | None = None,
    seconds_per_mask: float = SECONDS_PER_MASK,
    actions: Sequence[str] | None = None,
    overlap: float = 0.0,
    honeypots: float = 0.0,
    known: AnyPath | None = None,
    whole_images: bool = False,
    seed: int = 0,
    order: str = BY_PRIORITY,
    record: bool = True,
    crops: bool | None = None,
    images: AnyPath | None = None,
    columns: Sequence[str] | None = None,
) -> str:
    """Draw a queue, write it to a file or return it as CSV, and record why each mask is shown.

    A draw is recorded when its file is there: a write that fails uses up no random sample.
    With an overlap there are two files: NAME.second.csv is for the second person.

    Args:
        audit: The audit, or its directory; or that of an engine: its open round.
        out: The file or folder; None returns CSV.
        to: A tool's name, as in :data:`curate.people.exchange.registry.BUILT_IN`; by the file's
            ending if None.
        kind: "errors" (the most likely and most costly errors first), "learn" (doubtful masks
            unlike each other) or "estimate" (a random sample). "missing": a table of the places
            where a detector or verifier sees an object and no mask is; nothing is drawn or
            recorded.
        budget: How many rows at most, those for a second person and the checks among them.
        minutes: How much time people have; with ``budget``, the smaller of both counts.
        seconds_per_mask: How long one mask takes.
        actions: Whose masks: "review", "reject", "accept"; None: of an errors queue those to
            review, of a learn queue all.
        overlap: Share of the masks that a second person gets too.
        honeypots: Share of the rows that are masks with a known answer.
        known: A CSV file of masks with known answers; None takes those on which people agreed.
        whole_images: Estimate: draw images, with all their masks.
        seed: Equal seeds draw equal queues.
        order: Of an errors queue: "priority", the most likely and most costly errors first, or
            "seconds", the most expected finds per second of people's time first.
        record: Whether the draw is recorded in the audit, so that decisions that come back know
            why their mask was shown. Random samples and checks are always recorded.
        crops: Each mask as a picture of its own, or (False) whole images; None as suits the tool.
        images: The folder of pictures, where the audit does not know it; only for formats that
            hold pictures.
        columns: Of the CSV that is returned, or of a CSV or JSON file: names, or "all", beside
            those that decisions need on their way back; None: of what is returned ten useful ones,
            of a file all.

    Returns:
        What was written, and how many masks cannot stand there; or the CSV.

    Raises:
        CurateError: An option is wrong, the file exists or cannot be written, none of the masks can
            stand in it, or somebody else has drawn meanwhile.
    """
    check_numbers(
        budget=budget,
        minutes=minutes,
        seconds_per_mask=seconds_per_mask,
        overlap=overlap,
        honeypots=honeypots,
        seed=seed,
    )
    check_choice(kind, "--kind", QUEUE_KINDS)
    check_exists(known)
    if out is not None:
        check_utf8(Path(out).resolve())  # some tools are told the whole path
    check_folder(images)
    opened = open_audit(resolve_audit(audit))
    if kind == MISSING:
        others = (overlap, honeypots, known is not None, whole_images, actions, columns)
        if any(others) or order != BY_PRIORITY:
            what = "a table of proposed missing masks is of all of them, the surest first"
            raise CallError(what, "--kind missing", "give no options but --budget, --out and --to")
        return write_proposals(opened, out, to, queue_size(budget, minutes, seconds_per_mask))
    if out is None and to not in (None, "csv"):
        raise CallError(f"--to {to} needs a file", "queue", "give one with --out")
    targets = _targets(out, overlap)
    for target in targets:
        remove_unrecorded(opened, target)
    how = ExportOptions(crops, None if images is None else Path(images))
    if out is None:
        check_options(REGISTRY.writer(Path(), "csv"), how)
    for target in targets:
        check_target(target, to, opened, how)
    drawn = draw_queue(
        opened,
        kind=kind,
        budget=budget,
        minutes=minutes,
        seconds_per_mask=seconds_per_mask,
        actions=actions,
        overlap=overlap,
        honeypots=honeypots,
        known=known_answers(opened, known, honeypots),
        already=past_reviews(opened),
        seed=seed,
        whole_images=whole_images,
        order=order,
    )
    _check_columns(columns, [REGISTRY.writer(target, to) for target in targets])
    wanted = record or drawn.kind != "errors" or honeypots
    number = next_draw(opened) if wanted and len(drawn.record) else None
    rows = drawn.rows if number is None else drawn.numbered_rows(number)
    if out is None:
        shown = choose_columns(add_version(opened, rows), columns)
        text = "".join(format_csv(shown)).rstrip("\r\n")
        opened.check_unchanged()
        if number is not None:
            record_drawn(opened, drawn, number)
        return text
    if columns is not None:
        rows = choose_columns(rows, columns)
    parts = [(t, select_slot(rows, k if len(targets) > 1 else None)) for k, t in enumerate(targets)]
    draw_id = None if number is None else draw_of(number, drawn.record)
    with _write_files(opened, parts, to, how, draw_id) as said:
        opened.check_unchanged()
        if number is not None:
            record_drawn(opened, drawn, number)
    return "\n".join(said) if len(rows) else _explain_empty(opened, drawn.settings, targets)


def write_recorded_draw(audit: AnyAudit, draw: RecordedDraw, out: AnyPath, *, to: str) -> str:
    """Write a draw for people that is recorded already, whole or not at all.

    Args:
        audit: The audit, or its directory.
        draw: A draw of it, without masks with a known answer.
        out: The file or folder.
        to: A tool's name, as for :func:`write_queue`.

    Returns:
        What was written, and how many masks cannot stand there.

    Raises:
        CurateError: The file exists or cannot be written, or no mask can stand in it.
    """
    opened, place, how = open_audit(audit), Path(out), ExportOptions(None, None)
    check_target(place, to, opened, how)
    rows = show_drawn(opened, draw.kind, draw.sample().reset_index(drop=True))
    rows.insert(0, "draw_id", draw.number)
    with _write_files(opened, [(place, rows)], to, how, None) as said:
        opened.check_unchanged()
    return "\n".join(said)


def _check_columns(columns: Sequence[str] | None, writers: Sequence[QueueWriter]) -> None:
    """Check that columns are named only of tables.

    Raises:
        CallError: A tool has columns of its own.
    """
    for writer in writers if columns is not None else ():
        if writer.title not in ("CSV", "JSON"):
            what = f"{writer.title} has columns of its own"
            raise CallError(what, "--columns", "leave it out; it is for CSV and JSON")


def _explain_empty(opened: StoredAudit, settings: DrawSettings, targets: Sequence[Path]) -> str:
    """Say why there is nothing to review, and what can be done."""
    actions = settings.get("actions") or ["review"]
    found = opened.query(f"select count(*) as masks from masks where {actions_sql(actions)}")
    listed, named = int(found["masks"].iloc[0]), " or ".join(actions)
    why = f"no mask has the action {named}"
    if listed:
        why = f"people decided on all masks with the action {named}, or a random sample has them"
    path = quote(str(opened.path))
    return (
        f"nothing to review: {why}; no mask in {', '.join(map(str, targets))}\n"
        f"`curate queue {path} --kind estimate --budget 100` draws a random sample of all masks"
    )


@contextmanager
def _write_files(
    opened: StoredAudit,
    parts: Sequence[tuple[Path, pd.DataFrame]],
    to: str | None,
    how: ExportOptions,
    of: QueueRequest | None,
) -> Iterator[list[str]]:
    """Write what each person gets; removed again where the block fails: nobody shall get it."""
    named: list[Path] = []
    with ExitStack() as held:
        made = [(held.enter_context(make_hidden(place)), place) for place, _ in parts]
        said = [
            _write_file(opened, part, file, to, replace(how, place=place))
            for (file, place), (_, part) in zip(made, parts, strict=True)
        ]
        try:
            for file, place in made:
                name_queue(file, place, of)
                named.append(place)
            yield said
        except BaseException:
            for place in named:
                remove(place)
            raise


def _write_file(
    opened: StoredAudit, rows: pd.DataFrame, file: Path, to: str | None, how: ExportOptions
) -> str:
    """Write what one person gets, and say how much it is.

    Raises:
        CallError: Not one of the masks can stand there.
    """
    count = write_rows(opened, rows, file, to, how=how)
    lost = [f"{n:,} {why}" for why, n in count_left_out(opened, rows, count).items()]
    if len(rows) and not count:
        do = "nothing is written or drawn; give the folder of pictures with --images DIR"
        raise CallError(f"no mask can be written to it: {', '.join(lost)}", str(how.place), do)
    return f"{count_noun(count, 'mask')} in {how.place}" + (
        f"; left out: {', '.join(lost)}" if lost else ""
    )


def _targets(out: AnyPath | None, overlap: float) -> list[Path]:
    """Return the files to write: a second one for the second person of an overlap."""
    if out is None:
        return []
    first = Path(out)
    return [first, first.with_name(f"{first.stem}.second{first.suffix}")] if overlap else [first]
