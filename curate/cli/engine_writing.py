"""Command that writes the dataset of an engine: engine write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import curate
from curate.cli.command_groups import show_examples
from curate.cli.engine_commands import ProjectPath, engine
from curate.cli.next_steps import print_steps, repeat
from curate.cli.shared_options import Json, choice, show, show_choices
from curate.cli.write_commands import Lossy, Overlap
from curate.common.progress import show_progress
from curate.common.ranges import PICTURES
from curate.reporting.next_steps import make_step, propose_output
from curate.writing.exports import export_by_name, export_names


@engine.command(
    epilog=show_examples(
        "curate engine write cells --out cells.json",
        "curate engine write cells --to yolo --split train=0.8,val=0.2 --out yolo",
    ),
)
def write(
    project: ProjectPath,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Place of the dataset, a folder if it ends in /; a dry run if omitted.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help=f"The format: {', '.join(export_names())}; coco if omitted.",
        ),
    ] = None,
    lossy: Lossy = False,
    overlap: Overlap = None,
    images: Annotated[
        str | None,
        typer.Option(
            metavar=show_choices(*PICTURES),
            help="The pictures; link: hard links. copy if omitted for formats that need them.",
            callback=choice("--images", PICTURES),
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="With --to, splits by image: train=0.8,val=0.1,test=0.1.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the splits.")] = 0,
    provenance: Annotated[
        Path | None,
        typer.Option(
            help="File for the origin of each mask (.parquet or .json); OUT.provenance.parquet if "
            "omitted."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write all settled masks of the engine as one dataset.

    Beside it stands, mask by mask, the stage, the round, the segmenter and who decided: a person,
    the prefilling or a certificate. What nobody settled is left out, and counted.
    """
    with show_progress() as progress:
        done = curate.open_engine(project).write(
            out,
            to=to,
            lossy=lossy,
            overlap=overlap,
            images=images,
            split=split,
            seed=seed,
            provenance=provenance,
            progress=progress,
        )
    show(done.as_dict(), done.text(), json)
    if done.out is not None:
        print_steps([make_step("audit it", "audit", done.out)], json)
        return
    ending = None if to is None else export_by_name(to).suffix
    place = propose_output(Path(f"{project.resolve().name}.json"), "", ending=ending)
    more = ["--lossy"] * done.needs_lossy
    print_steps([repeat("write it", *more, "--out", place)], json)
    if done.needs_lossy:
        raise typer.Exit(2)
