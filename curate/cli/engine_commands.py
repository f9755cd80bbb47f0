"""Commands of the data engine but for engine repeat and engine write, which have own modules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import curate
from curate.cli.command_groups import show_examples
from curate.cli.network_commands import (
    Batch,
    MaxPrompts,
    Patience,
    RecipeSettings,
    SegmenterSize,
    read_settings,
)
from curate.cli.next_steps import print_steps
from curate.cli.shared_options import (
    EXISTS,
    DeviceOption,
    FormatOption,
    Json,
    app,
    choice,
    make_callback,
    show,
    show_choices,
)
from curate.common.paths import check_folder
from curate.common.progress import show_progress
from curate.common.ranges import MASK_CHOICES, ROUND_RULES
from curate.errors import AuditError
from curate.store.engine_folder import is_engine


def _check_engine(path: Path) -> None:
    if not is_engine(path):
        do = "set one up with `curate engine new`"
        raise AuditError("there is no engine here", str(path), do)


ProjectPath = Annotated[
    Path,
    typer.Argument(
        metavar="PROJECT", help="An engine's directory.", callback=make_callback(_check_engine)
    ),
]

engine = typer.Typer(
    help="Annotate in rounds: propose, correct, retrain the model.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(
    engine,
    name="engine",
    epilog=show_examples(
        "curate engine new cells --images pictures --segmenter facebook/sam-vit-base",
        "curate engine next cells",
        "curate review cells",
    ),
)


@engine.command(
    epilog=show_examples(
        "curate engine new cells --images pictures --segmenter facebook/sam-vit-base",
        "curate engine new cells --images pictures --classes nucleus,debris",
        "curate engine new cells --images pictures --masks earlier.json",
    ),
)
def new(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", help="The directory to write.")],
    images: Annotated[
        Path,
        typer.Option(help="Folder of the pictures.", callback=make_callback(check_folder)),
    ],
    segmenter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The segmenter to start with, a folder or a hub name; if omitted, people draw the "
            "first masks, and a small SAM is trained on them.",
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            metavar="DATASET",
            help="Masks of some of the pictures, in any format; they count as decided.",
            callback=EXISTS,
        ),
    ] = None,
    format: FormatOption = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Names that people can give masks; those of --masks, else object, if omitted.",
        ),
    ] = None,
    validation_images: Annotated[
        int | None,
        typer.Option(help="Images to validate on; a fifth, from 16 to 100, if omitted."),
    ] = None,
    validation_proposals: Annotated[
        bool,
        typer.Option(
            "--validation-proposals/--no-validation-proposals",
            help="Propose masks for the validation images too.",
        ),
    ] = True,
    rounds: Annotated[
        int, typer.Option(help="Maximum number of rounds in which people decide on every mask.")
    ] = 6,
    round_images: Annotated[
        int | None,
        typer.Option(help="Images per round; half of them over all rounds if omitted."),
    ] = None,
    prefill_rounds: Annotated[
        int,
        typer.Option(help="Rounds after these in which confident masks are prefilled; 0: none."),
    ] = 5,
    automatic: Annotated[
        bool,
        typer.Option(
            "--automatic/--no-automatic",
            help="After the rounds, generate masks for all images left, and certify them.",
        ),
    ] = True,
    max_bad: Annotated[
        float,
        typer.Option(help="Largest allowed share of bad masks among prefilled and certified ones."),
    ] = 0.05,
    sample: Annotated[
        int | None,
        typer.Option(
            help="Masks to review at random for the certificate; as --max-bad takes if omitted."
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Weights that the detector of these rounds starts from, a folder or a hub name; a "
            "small RT-DETR from nothing if omitted.",
        ),
    ] = None,
    detector_size: Annotated[
        int | None, typer.Option(help="Side of its input in pixels; its own, or 512, if omitted.")
    ] = None,
    detector_epochs: Annotated[
        int, typer.Option(help="Maximum number of epochs of its training per round.")
    ] = 100,
    image_rule: Annotated[
        str,
        typer.Option(
            metavar=show_choices(*ROUND_RULES),
            help="How a round's images are chosen.",
            callback=choice("--image-rule", ROUND_RULES),
        ),
    ] = "random",
    mask_choice: Annotated[
        str,
        typer.Option(
            metavar=show_choices(*MASK_CHOICES),
            help="What chooses among the masks of a point: predicted IoU, or what people's "
            "decisions taught.",
            callback=choice("--mask-choice", MASK_CHOICES),
        ),
    ] = "predicted",
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="sa1b|popular|sam2|FILE",
            help="How masks are proposed; popular with 16 points per side if omitted.",
        ),
    ] = None,
    set_: RecipeSettings = None,
    full_recipe: Annotated[
        str,
        typer.Option(metavar="sa1b|popular|sam2|FILE", help="How masks are generated at the end."),
    ] = "sa1b",
    full_set: Annotated[
        list[str] | None,
        typer.Option(
            "--full-set",
            metavar="NAME=VALUE",
            help="Override a setting of --full-recipe. Repeatable.",
        ),
    ] = None,
    encoder: Annotated[
        bool,
        typer.Option("--encoder", help="Train the image encoder too; always without --segmenter."),
    ] = False,
    size: SegmenterSize = None,
    epochs: Annotated[int, typer.Option(help="Maximum number of epochs per round.")] = 100,
    patience: Patience = 10,
    batch: Batch = 4,
    prompts: MaxPrompts = 8,
    learning_rate: Annotated[
        float | None, typer.Option(help="0.001, or 0.0001 with --segmenter, if omitted.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of all that is drawn.")] = 0,
    device: DeviceOption = None,
    json: Json = False,
) -> None:
    """Set up an engine on a folder of pictures.

    A validation set is drawn from them by chance; it is annotated first and never trained on.
    """
    with show_progress() as progress:
        made = curate.new_engine(
            project,
            images=images,
            segmenter=segmenter,
            masks=masks,
            format=format,
            classes=() if classes is None else classes.split(","),
            validation_images=validation_images,
            validation_proposals=validation_proposals,
            rounds=rounds,
            round_images=round_images,
            prefill_rounds=prefill_rounds,
            automatic=automatic,
            max_bad=max_bad,
            sample=sample,
            detector=detector,
            detector_size=detector_size,
            detector_epochs=detector_epochs,
            image_rule=image_rule,
            mask_choice=mask_choice,
            recipe=recipe,
            settings=read_settings(set_ or []),
            full_recipe=full_recipe,
            full_settings=read_settings(full_set or [], "--full-set"),
            encoder=encoder,
            size=size,
            epochs=epochs,
            patience=patience,
            batch=batch,
            prompts=prompts,
            learning_rate=learning_rate,
            seed=seed,
            device=device,
            progress=progress,
        )
    state = made.status()
    show(state.as_dict(), made.note, json)
    print_steps(state.now.steps, json)


@engine.command(
    "next",
    epilog=show_examples(
        "curate engine next cells",
        "curate engine next cells --to label-studio",
    ),
)
def next_(
    project: ProjectPath,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="csv|json|coco|label-studio|cvat|fiftyone|huggingface",
            help="Write people's work for this tool, instead of the page.",
        ),
    ] = None,
    another: Annotated[
        bool, typer.Option("--another", help="Begin another round after the last one.")
    ] = False,
    device: DeviceOption = None,
    json: Json = False,
) -> None:
    """Do what the machine can do, until people are needed.

    A run that was stopped goes on where it was.
    """
    with show_progress() as progress:
        done = curate.open_engine(project).next(
            to=to, another=another, device=device, progress=progress
        )
    show(done.as_dict(), done.text(), json)
    print_steps(done.steps, json)


@engine.command(
    epilog=show_examples(
        "curate engine train cells --encoder",
        "curate engine train cells --learning-rate 0.0003 --epochs 50",
    ),
)
def train(
    project: ProjectPath,
    encoder: Annotated[
        bool | None, typer.Option("--encoder/--no-encoder", help="Train the image encoder too.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Maximum number of epochs.")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Epochs without improvement before training stops.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images per step.")] = None,
    prompts: Annotated[
        int | None, typer.Option(help="Maximum masks prompted per image and step.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    device: DeviceOption = None,
    json: Json = False,
) -> None:
    """Train once more on all masks of people, with other settings.

    The new segmenter is kept if it is better. Settings that are omitted are those of engine new.
    """
    with show_progress() as progress:
        state = curate.open_engine(project).train_again(
            encoder=encoder,
            epochs=epochs,
            patience=patience,
            batch=batch,
            prompts=prompts,
            learning_rate=learning_rate,
            device=device,
            progress=progress,
        )
    show(state.as_dict(), state.text(), json)
    print_steps(state.now.steps, json)


@engine.command(
    epilog=show_examples("curate engine prompts cells", "curate engine prompts cells --no-use")
)
def prompts(
    project: ProjectPath,
    use: Annotated[
        bool,
        typer.Option(
            "--use/--no-use", help="Prompt by the best in later rounds, or by the usual prompts."
        ),
    ] = True,
    device: DeviceOption = None,
    json: Json = False,
) -> None:
    """Compare prompts on the validation images: boxes, points, best of three.

    A recipe is chosen over the first only if it is better beyond chance. The table is kept in a
    new file of prompts/ in the project, and the report shows the last one.
    """
    with show_progress() as progress:
        opened = curate.open_engine(project)
        found = opened.search_prompts(use=use, device=device, progress=progress)
    show(found.as_dict(), found.text(), json)


@engine.command(epilog=show_examples("curate engine status cells"))
def status(project: ProjectPath, json: Json = False) -> None:
    """Print the rounds as a table, and what is to be done now."""
    state = curate.open_engine(project).status()
    show(state.as_dict(), state.text(), json)
    print_steps(state.now.steps, json)


@engine.command(
    epilog=show_examples(
        "curate engine report cells",
        "curate engine report cells --out page.html",
        "curate engine report cells --out summary.md",
    ),
)
def report(
    project: ProjectPath,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A page; FILE.json: the report's values; FILE.md: the same in Markdown. "
            "If omitted, all three are written into the project.",
        ),
    ] = None,
) -> None:
    """Write the report: what people's time bought, what is left.

    The rounds as plots and as a table, what stopping now would leave, and the prompts tried.
    """
    opened = curate.open_engine(project)
    print(opened.report(out))
    print_steps(opened.status().now.steps)


@engine.command(epilog=show_examples("curate engine close cells"))
def close(project: ProjectPath, json: Json = False) -> None:
    """Close the open round before people are done; what they did counts."""
    work = curate.open_engine(project).close_round()
    show(dict(work.record), f"closed; left undone: {work.text()}", json)
    print_steps(curate.open_engine(project).status().now.steps, json)
