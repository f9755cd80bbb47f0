"""Command that explains signals, columns, status words and reasons: explain."""

from typing import Annotated

import typer

import curate
from curate.cli.command_groups import show_examples
from curate.cli.shared_options import Json, app, show


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
