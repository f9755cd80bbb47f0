"""Command that proposes the images of an engine's round anew: engine repeat."""

from __future__ import annotations

from typing import Annotated

import typer

import curate
from curate.cli.command_groups import show_examples
from curate.cli.engine_commands import ProjectPath, engine
from curate.cli.network_commands import RecipeSettings, read_settings
from curate.cli.next_steps import print_steps
from curate.cli.shared_options import DeviceOption, Json, choice, show, show_choices
from curate.common.progress import show_progress
from curate.common.ranges import MASK_CHOICES


@engine.command(
    epilog=show_examples(
        "curate engine repeat cells --set points_per_side=32",
        "curate engine repeat cells --recipe sam2 --mask-choice learned",
    ),
)
def repeat(
    project: ProjectPath,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="sa1b|popular|sam2|FILE",
            help="How masks are proposed; as in the round if omitted.",
        ),
    ] = None,
    set_: RecipeSettings = None,
    mask_choice: Annotated[
        str | None,
        typer.Option(
            metavar=show_choices(*MASK_CHOICES),
            help="What chooses among the masks of a point; as in the round if omitted.",
            callback=choice("--mask-choice", MASK_CHOICES),
        ),
    ] = None,
    device: DeviceOption = None,
    json: Json = False,
) -> None:
    """Propose the images of the open round anew, with other settings.

    A new round takes the place of the open one, which is kept and counts for nothing. What people
    did in it is carried over: masks that they took, made and added, and what they rejected.
    """
    with show_progress() as progress:
        done = curate.open_engine(project).repeat(
            recipe=recipe,
            settings=read_settings(set_ or []),
            mask_choice=mask_choice,
            device=device,
            progress=progress,
        )
    show(done.as_dict(), done.text(), json)
    print_steps(done.steps, json)
