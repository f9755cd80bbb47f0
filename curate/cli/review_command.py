"""Command that serves the review page: review."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import curate
from curate.cli.shared_options import FOLDER, AuditPath, DeviceOption, app, choice
from curate.common.ranges import KINDS


@app.command()
def review(
    path: AuditPath,
    kind: Annotated[
        str | None,
        typer.Option(
            help="errors (the default), learn or estimate: continue the latest draw of this kind "
            "that has masks left; for errors, else the whole ranking.",
            callback=choice("--kind", KINDS),
        ),
    ] = None,
    draw: Annotated[int | None, typer.Option(help="Continue the draw of this number.")] = None,
    budget: Annotated[int | None, typer.Option(help="New draw: maximum number of masks.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="New draw: time for the review, in minutes.")
    ] = None,
    seconds_per_mask: Annotated[float, typer.Option(help="Review time per mask.")] = 14.0,
    reviewer: Annotated[str, typer.Option(help="Reviewer's name shown at the start.")] = "",
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of the pictures; that of the audit if omitted.", callback=FOLDER),
    ] = None,
    segmenter: Annotated[
        str | None,
        typer.Option(help="A segmenter to redraw masks from clicks: a folder or a hub name."),
    ] = None,
    device: DeviceOption = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 for any free one.")] = 8765,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the token; else CURATE_REVIEW_TOKEN, else a new token, kept on disk."
        ),
    ] = None,
    open_page: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open", help="Open the page in a browser; the default in a terminal."
        ),
    ] = None,
) -> None:
    """Serve the review page until stopped with Ctrl-C.

    Decisions are saved in the audit as they are made; several people can review at once.
    """
    curate.review(
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
