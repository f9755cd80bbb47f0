"""Commands about the content of datasets: diff, version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from curate import api
from curate.cli.shared_options import Json, app, show
from curate.common.ranges import check_numbers


@app.command()
def diff(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="A dataset in any format, or an audit directory.")
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another; its format may differ.")],
    rows: Annotated[
        int | None,
        typer.Option(help="How many masks to list (10 as text, 1,000 as JSON)."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what changed between two datasets, mask by mask.

    Unchanged, redrawn, relabelled, removed or added; an audit stands for the masks it audited.
    """
    check_numbers(rows=rows)
    result = api.diff(first, second)
    listed = () if rows is None else (rows,)
    show(result.as_dict(*listed) if json else None, result.text(*listed), json)


@app.command()
def version(
    path: Annotated[Path, typer.Argument(help="A dataset in any format, or an audit directory.")],
    format: Annotated[
        str | None, typer.Option(help="The format; detected automatically if omitted.")
    ] = None,
    json: Json = False,
) -> None:
    """Print the version id of a dataset, short and in full.

    It depends on masks, categories, image names and sizes, not on format, order or ids.
    """
    full = api.version(path, format=format)

    from curate.dataset.version_id import short

    show({"short": short(full), "version": full}, f"{short(full)}  {full}", json)
