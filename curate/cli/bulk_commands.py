"""Commands that decide on all masks that fit a condition: accept, reject, fix, undo."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import curate
from curate.cli.command_groups import show_examples
from curate.cli.next_steps import print_next_steps
from curate.cli.shared_options import (
    AuditPath,
    Json,
    MovedImages,
    app,
    collect_report_warnings,
    show,
)
from curate.errors import CallError

if TYPE_CHECKING:
    from curate.api.bulk_decisions import BulkResult

Where = Annotated[
    str,
    typer.Option(
        metavar="CONDITION",
        help="Which masks, in the grammar of policies: "
        "\"area_px < 20 and contains(reasons, 'it has holes')\".",
    ),
]
Reviewer = Annotated[str, typer.Option(metavar="NAME", help="Who decides.")]
Count = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="How many masks must fit; nothing is decided if it is another number. Asked for in a "
        "terminal if omitted.",
    ),
]
Preview = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.html",
        help="Write a page with pictures of the first masks, those of a fix before and after.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Decide nothing; show which masks fit.")]


@app.command(
    epilog=show_examples(
        'curate accept my.audit --where "stability_score > 0.98" --reviewer ana',
    ),
)
def accept(
    path: AuditPath,
    where: Where,
    reviewer: Reviewer,
    count: Count = None,
    dry_run: DryRun = False,
    preview: Preview = None,
    images: MovedImages = None,
    json: Json = False,
) -> None:
    """Accept all masks that fit a condition.

    It is one decision, which `curate undo` takes back. What
    people decided after a look at a mask stays. Nothing is learned, certified or estimated
    from decisions in bulk: they are no looks.
    """
    _decide(curate.accept, path, where, reviewer, count, dry_run, preview, images, json)


@app.command(
    epilog=show_examples(
        'curate reject my.audit --where "area_px < 10" --reviewer ana --dry-run',
        "curate reject my.audit --where \"contains(reasons, 'small')\" \\\n"
        "  --reviewer ana --count 312",
    ),
)
def reject(
    path: AuditPath,
    where: Where,
    reviewer: Reviewer,
    count: Count = None,
    dry_run: DryRun = False,
    preview: Preview = None,
    images: MovedImages = None,
    json: Json = False,
) -> None:
    """Reject all masks that fit a condition.

    It is one decision, which `curate undo` takes back. What
    people decided after a look at a mask stays. `curate write` and `curate prune` leave
    rejected masks out.
    """
    _decide(curate.reject, path, where, reviewer, count, dry_run, preview, images, json)


@app.command(
    epilog=show_examples(
        'curate fix my.audit --where "hole_count > 0" --fill-holes 20 --reviewer ana',
    ),
)
def fix(
    path: AuditPath,
    where: Where,
    reviewer: Reviewer,
    drop_islands: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Remove parts of fewer pixels; the largest stays."),
    ] = None,
    fill_holes: Annotated[
        int | None, typer.Option(metavar="PX", help="Fill holes of fewer pixels.")
    ] = None,
    split: Annotated[
        bool, typer.Option("--split", help="Make each part a mask; the largest keeps the id.")
    ] = False,
    merge: Annotated[
        bool,
        typer.Option(
            "--merge",
            help="Make the masks of one image and category one; the largest keeps the id.",
        ),
    ] = False,
    restate: Annotated[
        bool,
        typer.Option(
            "--restate",
            help="Make the stored box and area those of the pixels; end polygons at the border.",
        ),
    ] = False,
    count: Count = None,
    dry_run: DryRun = False,
    preview: Preview = None,
    images: MovedImages = None,
    json: Json = False,
) -> None:
    """Drop islands, fill holes, split or merge masks.

    It is one decision on all masks that fit a condition, which `curate undo` takes back. A
    fixed mask is accepted, as one that a person redrew. What people decided after a look at a
    mask stays, and so does what is rejected.
    """
    verb = partial(
        curate.fix,
        drop_islands=drop_islands,
        fill_holes=fill_holes,
        split=split,
        merge=merge,
        restate=restate,
    )
    _decide(verb, path, where, reviewer, count, dry_run, preview, images, json)


def _decide(
    verb: Callable[..., BulkResult],
    path: Path,
    where: str,
    reviewer: str,
    count: int | None,
    dry_run: bool,
    preview: Path | None,
    images: Path | None,
    as_json: bool,
) -> None:
    decide = partial(verb, path, where=where, reviewer=reviewer, images=images)
    if count is None or dry_run:
        found = decide(count=count, dry_run=True, preview=preview)
        _say_preview(preview, found, as_json)
        preview = None  # it is written
        if dry_run or not found.masks:
            show(found.as_dict(), found.text(), as_json)
            return
        count = _ask(found, as_json)
    with collect_report_warnings() as said:
        done = decide(count=count, preview=preview)
    _say_preview(preview, done, as_json)
    show(done.as_dict() | said, done.text(), as_json)
    print_next_steps(path, as_json)


def _say_preview(preview: Path | None, found: BulkResult, as_json: bool) -> None:
    if preview is not None and found.masks and not as_json:
        print(f"pictures of them: {preview}")


def _ask(found: BulkResult, as_json: bool) -> int:
    """Show what would be decided, and have its count typed.

    Raises:
        CallError: Nobody can be asked, or another number was typed.
    """
    if as_json or not (sys.stdin and sys.stdin.isatty()):
        what = f"{found.masks:,} masks would be decided on, and nobody can be asked here"
        do = f"look at them with --dry-run, then confirm with --count {found.masks}"
        raise CallError(what, "--count", do)
    print(found.text())
    typed = input(f"Type {found.masks} to {found.action} them, anything else to stop: ")
    if typed.strip().replace(",", "") != str(found.masks):
        raise CallError("another number was typed; nothing was decided", "--count")
    return found.masks


@app.command(
    epilog=show_examples(
        "curate undo my.audit",
        "curate undo my.audit --number 3",
    ),
)
def undo(
    path: AuditPath,
    number: Annotated[
        int | None,
        typer.Option(metavar="N", help="Which decision in bulk; the last one if omitted."),
    ] = None,
    images: MovedImages = None,
    json: Json = False,
) -> None:
    """Undo a decision in bulk, on all its masks at once."""
    with collect_report_warnings() as said:
        done = curate.undo(path, number, images=images)
    show(done.as_dict() | said, done.text(), json)
    print_next_steps(path, json)
