"""Verbs of review queues: drawing, recording the draw, writing files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from curate.api.early_checks import AnyPath, check_audit, check_file, check_folder
from curate.common.ranges import KINDS, check_numbers
from curate.dataset.notes import count_noun
from curate.errors import CallError, check_utf8
from curate.policy.grammar import check_choice

if TYPE_CHECKING:
    import pandas as pd

    from curate.api.queue_files import QueueRequest
    from curate.people.exchange.registry import ExportOptions
    from curate.people.queues.draw_queue import QueueDraw
    from curate.store.audit import Audit


def queue(path: AnyPath, **options: Any) -> Any:
    """Return the masks to review as a frame; see
    :func:`curate.people.queues.population.rank_queue`."""
    check_numbers(**options)
    check_audit(path)

    from curate.people.queues.population import rank_queue as rank_queue
    from curate.people.reviews.current_plan import open_audit

    return rank_queue(open_audit(path), **options)


def write_queue(
    path: AnyPath,
    out: AnyPath | None = None,
    *,
    to: str | None = None,
    known: AnyPath | None = None,
    record: bool = True,
    crops: bool | None = None,
    images: AnyPath | None = None,
    **options: Any,
) -> str:
    """Draw a queue, write it to a file or return it as CSV, and record why each mask is shown.

    A draw is recorded when its file is there: a write that fails uses up no random sample.
    With an overlap there are two files: NAME.second.csv is for the second person.

    Args:
        path: The audit.
        out: The file or folder; None returns CSV.
        to: A tool's name, as in :data:`curate.people.exchange.registry.BUILT_IN`; by the file's
            ending if None.
        known: A CSV file of masks with known answers; None takes those on which people agreed.
        record: Whether the draw is recorded in the audit, so that decisions that come back know
            why their mask was shown. Random samples and checks are always recorded.
        crops: Each mask as a picture of its own, or (False) whole images; None as suits the tool.
        images: The folder of pictures, where the audit does not know it; only for formats that
            hold pictures.

    Returns:
        What was written, and how many masks cannot stand there; or the CSV.

    Further keywords are those of :func:`curate.people.queues.draw_queue.draw_queue`.

    Raises:
        CurateError: An option is wrong, the file exists or cannot be written, none of the masks can
            stand in it, or somebody else has drawn meanwhile.
    """
    check_numbers(**options)
    check_audit(path)
    check_choice(options.get("kind"), "--kind", KINDS)
    check_file(known)
    if out is not None:
        check_utf8(Path(out).resolve())  # some tools are told the whole path
    check_folder(images)

    from curate.api.queue_files import draw_of, remove_unrecorded
    from curate.people.exchange import check_options, check_target, select_slot
    from curate.people.exchange.queue_writing import add_version
    from curate.people.exchange.registry import REGISTRY, ExportOptions
    from curate.people.exchange.tables import format_csv
    from curate.people.reviews.current_plan import open_audit

    opened = open_audit(path)
    if out is None and to not in (None, "csv"):
        raise CallError(f"--to {to} needs a file", "queue", "give one with --out")
    targets = _targets(out, options.get("overlap", 0.0))
    for target in targets:
        remove_unrecorded(opened, target)
    how = ExportOptions(crops, None if images is None else Path(images))
    if out is None:
        check_options(REGISTRY.writer(Path(), "csv"), how)
    for target in targets:
        check_target(target, to, opened, how)
    drawn = draw(opened, known, options)
    wanted = record or drawn.kind != "errors" or options.get("honeypots")
    number = next_draw(opened) if wanted and len(drawn.record) else None
    rows = drawn.rows if number is None else drawn.numbered_rows(number)
    if out is None:
        text = "".join(format_csv(add_version(opened, rows))).rstrip("\r\n")
        opened.check_unchanged()
        if number is not None:
            record_drawn(opened, drawn, number)
        return text
    parts = [(t, select_slot(rows, k if len(targets) > 1 else None)) for k, t in enumerate(targets)]
    draw_id = None if number is None else draw_of(number, drawn.record)
    with _write_files(opened, parts, to, how, draw_id) as said:
        opened.check_unchanged()
        if number is not None:
            record_drawn(opened, drawn, number)
    return "\n".join(said) if len(rows) else _explain_empty(opened, drawn.settings, targets)


def _explain_empty(opened: Audit, settings: Mapping[str, Any], targets: Sequence[Path]) -> str:
    """Say why there is nothing to review, and what can be done."""
    from curate.people.queues.population import actions_sql

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
    opened: Audit,
    parts: Sequence[tuple[Path, pd.DataFrame]],
    to: str | None,
    how: ExportOptions,
    of: QueueRequest | None,
) -> Iterator[list[str]]:
    """Write what each person gets; removed again where the block fails: nobody shall get it."""
    from curate.api.queue_files import make_hidden, name_queue, remove

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
    opened: Audit, rows: pd.DataFrame, file: Path, to: str | None, how: ExportOptions
) -> str:
    """Write what one person gets, and say how much it is.

    Raises:
        CallError: Not one of the masks can stand there.
    """
    from curate.people.exchange import count_left_out
    from curate.people.exchange import write_queue as write

    count = write(opened, rows, file, to, how=how)
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


def draw(opened: Audit, known: AnyPath | None, options: dict[str, Any]) -> QueueDraw:
    """Draw a queue after all that people did before; nothing is written.

    Args:
        opened: The audit.
        known: A CSV file of known answers; None takes those on which people agreed.
        options: Keywords of :func:`curate.people.queues.draw_queue.draw_queue`.

    Raises:
        CurateError: An option is wrong, or no mask is left.
    """
    from curate.people.queues.draw_queue import draw_queue
    from curate.people.queues.population import PastReviews
    from curate.people.queues.sampling import agreed_answers, read_answers
    from curate.people.reviews import has_reviews, open_reviews

    reviews = open_reviews(opened) if has_reviews(opened) else None
    answers = None
    if options.get("honeypots"):
        if known is not None:
            answers = read_answers(Path(known))
        elif reviews is not None:
            answers = agreed_answers(reviews.resolve_labels())
    elif known is not None:
        raise CallError("known answers are given, but no honeypots", "queue", "add --honeypots")
    already = PastReviews() if reviews is None else PastReviews.of(reviews)
    return draw_queue(opened, known=answers, already=already, **options)


def next_draw(opened: Audit) -> int:
    """Return the number that the next draw of an audit will have."""
    from curate.people.reviews import has_reviews, open_reviews

    numbers = open_reviews(opened).draws()["draw_id"] if has_reviews(opened) else ()
    return int(max(numbers, default=0)) + 1


def record_drawn(opened: Audit, drawn: QueueDraw, number: int | None = None) -> int:
    """Record a draw, so that decisions know why their mask was shown, and return its number.

    Args:
        opened: The audit.
        drawn: The draw.
        number: The number that it must have; None for the next one.

    Raises:
        CallError: Another draw has that number.
    """
    from curate.people.reviews import open_reviews

    reviews = open_reviews(opened, create=True)
    return reviews.record_draw(drawn.kind, drawn.record, drawn.settings, draw_id=number)
