"""Commands about people: queue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from curate import verbs
from curate.cli.common import AuditPath, app


@app.command()
def queue(
    path: AuditPath,
    out: Annotated[
        Path | None, typer.Option(help="A .csv or .json file; printed as CSV if left out.")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="How many masks at most.")] = None,
    minutes: Annotated[float | None, typer.Option(help="How many minutes people have.")] = None,
    seconds_per_mask: Annotated[float, typer.Option(help="What one mask takes them.")] = 14.0,
    to: Annotated[
        str | None, typer.Option(help="csv, json or coco; by OUT's ending if left out.")
    ] = None,
) -> None:
    """List the masks to review, likely and costly errors first."""
    text = verbs.write_queue(
        path, out, budget=budget, minutes=minutes, seconds_per_mask=seconds_per_mask, to=to
    )
    print(text)
