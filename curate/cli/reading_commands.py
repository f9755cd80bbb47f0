"""Commands that only read: status, explain."""

from pathlib import Path
from typing import Annotated

import typer

import curate
from curate.api.early_checks import check_any_audit_or_engine
from curate.cli.command_groups import show_examples
from curate.cli.next_steps import print_steps
from curate.cli.shared_options import Json, app, make_callback, show


@app.command(
    epilog=show_examples("curate status my.audit", "curate status my.audit --json"),
)
def status(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="AUDIT",
            help="An audit directory, of any state; or an engine's.",
            callback=make_callback(check_any_audit_or_engine),
        ),
    ],
    json: Json = False,
) -> None:
    """Say what an audit is, what is stale, and what comes next.

    What it is of, what was decided, how far draws are, which certificate and model are in force;
    also of an audit that was interrupted, is being written, or cannot be written. Nothing is
    written.
    """
    found = curate.status(path)
    show(found.as_dict(), found.text(), json)
    print_steps(found.next_steps(), json)


@app.command(
    epilog=show_examples(
        "curate explain hole_score",
        'curate explain "no usable mask: no pixel is set"',
        "curate explain size_mismatch",
    ),
)
def explain(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="REASON-OR-COLUMN",
            help="A signal, a column, a status word, or a reason or part of it; quotes are not "
            "needed.",
        ),
    ],
    json: Json = False,
) -> None:
    """Explain a signal, a column, a status word or a reason.

    What it measures, why it matters, known false alarms, and how to look at such masks: the texts
    of the reference pages.
    """
    found = curate.explain(" ".join(what))
    show(found.as_dict(), found.text(), json)
