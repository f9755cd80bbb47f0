"""Commands that write datasets: prune, write."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import api
from curate.cli.shared_options import AuditPath, Json, app, show
from curate.errors import DuplicateError

if TYPE_CHECKING:
    from curate.writing.format_losses import FormLoss

Drop = Annotated[
    list[str] | None,
    typer.Option(help="Actions to leave out beside reject: review. Repeatable."),
]
Source = Annotated[
    Path | None,
    typer.Option(
        help="Where the audited dataset is now, if it was moved; a single file keeps its name."
    ),
]
Yes = Annotated[
    bool,
    typer.Option("--yes", help="Write though many masks are removed for format errors."),
]


def _dropped(drop: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(["reject", *(drop or [])]))


@app.command()
def prune(
    path: AuditPath,
    out: Annotated[
        Path | None, typer.Option(help="Where the pruned dataset goes; a dry run if left out.")
    ] = None,
    drop: Drop = None,
    source: Source = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Write the dataset back without the rejected masks.

    The format stays, and so does everything else in it. What people redrew, added or relabelled is
    written by `curate write`. Exit code 2, in a dry run too, where that takes --yes.
    """
    result = api.prune(path, out, drop=_dropped(drop), source=source, yes=yes)
    show(result.as_dict(), result.text(), json)
    _exit_as_written(result.form)


@app.command()
def write(
    path: AuditPath,
    out: Annotated[
        Path | None, typer.Option(help="Where the dataset goes; a dry run if left out.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="The format: coco; its own if left out.")] = None,
    drop: Drop = None,
    masks: Annotated[
        str,
        typer.Option(
            help="How new masks are stored: same (as they were; RLE where a polygon cannot be "
            "exact), polygon or rle."
        ),
    ] = "same",
    overlap: Annotated[
        str | None,
        typer.Option(
            help="In images of ids, who gets a pixel that two masks claim: new (the changed or "
            "added one) or old. Refused if left out."
        ),
    ] = None,
    duplicates: Annotated[
        str | None,
        typer.Option(
            help="Added masks whose object has a mask already: keep or drop. Asked if left out."
        ),
    ] = None,
    category: Annotated[
        str | None, typer.Option(help="Category of added masks that people gave none.")
    ] = None,
    attributes: Annotated[
        bool, typer.Option("--attributes", help="Note in the dataset too what people did.")
    ] = False,
    provenance: Annotated[
        Path | None,
        typer.Option(
            help="Where it is written what happened to each mask (.parquet or .json); by default "
            "OUT.provenance.parquet."
        ),
    ] = None,
    source: Source = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Write the dataset as people left it: without rejects, with what they redrew and added.

    Its format stays, and so does everything that nobody decided on. Without --out it says what
    would change, with --json mask by mask. Exit code 2, in a dry run too, where that takes --yes.
    """
    options: dict[str, Any] = {
        "to": to,
        "drop": _dropped(drop),
        "masks": masks,
        "overlap": overlap,
        "duplicates": duplicates,
        "category": category,
        "attributes": attributes,
        "provenance": provenance,
        "source": source,
        "yes": yes,
    }
    result = _asked(path, out, options)
    show(result.as_dict(), result.text(), json)
    _exit_as_written(result.changes.form)


def _exit_as_written(form: FormLoss) -> None:
    """End a dry run with the code of the real one, which would be refused."""
    if form.needs_yes:
        raise typer.Exit(2)


def _asked(path: Path, out: Path | None, options: dict[str, Any]) -> Any:
    """Write; where added masks look like copies, ask whoever sits at the terminal."""
    try:
        return api.write(path, out, **options)
    except DuplicateError as error:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise
        print(error.what)
        keep = typer.confirm("Write them all the same? (No leaves them out.)")
        return api.write(path, out, **options | {"duplicates": "keep" if keep else "drop"})
