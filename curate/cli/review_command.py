"""The command that puts masks before people: review."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from curate import api
from curate.cli.shared_options import AuditPath, DeviceOption, app


@app.command()
def review(
    path: AuditPath,
    kind: Annotated[
        str | None,
        typer.Option(
            help="errors (the default), learn or estimate: the latest draw of this kind with masks "
            "left; of errors the whole ranking if there is none."
        ),
    ] = None,
    draw: Annotated[int | None, typer.Option(help="A recorded draw's number.")] = None,
    budget: Annotated[int | None, typer.Option(help="Draw anew: how many masks.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Draw anew: how many minutes people have.")
    ] = None,
    seconds_per_mask: Annotated[float, typer.Option(help="What one mask takes them.")] = 14.0,
    reviewer: Annotated[str, typer.Option(help="The name that the page begins with.")] = "",
    images: Annotated[
        Path | None, typer.Option(help="Folder of the pictures; the audit's own if left out.")
    ] = None,
    segmenter: Annotated[
        str | None, typer.Option(help="Redraws masks from clicks: a folder, or a hub name.")
    ] = None,
    device: DeviceOption = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; any other address demands a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 for any free one.")] = 8765,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with the token; else that of CURATE_REVIEW_TOKEN, else one made and kept."
        ),
    ] = None,
    open_page: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open the page; in a terminal it is opened."),
    ] = None,
) -> None:
    """Show masks to people on a page, until it is stopped with Ctrl-C.

    Decisions are kept in the audit as they are made; several people can review at once.
    """
    api.review(
        path,
        kind=kind,
        draw=draw,
        budget=budget,
        minutes=minutes,
        seconds_per_mask=seconds_per_mask,
        reviewer=reviewer,
        images=images,
        segmenter=segmenter,
        device=device,
        host=host,
        port=port,
        token_file=token_file,
        open_page=sys.stdout.isatty() if open_page is None else open_page,
    )
