"""Commands about networks: generate, train-detector."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from curate import api
from curate.cli.shared_options import AuditPath, DeviceOption, Json, app, show
from curate.common.progress import progress


@app.command()
def generate(
    images: Annotated[
        Path | None, typer.Argument(metavar="IMAGES", help="A folder of pictures, or one.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the SA-1B dataset goes.")] = None,
    segmenter: Annotated[
        str | None, typer.Option(metavar="NAME", help="A folder or a hub name.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="A preset (sa1b, popular, sam2) or a TOML file.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A setting over the recipe's: pred_iou=0.9."
        ),
    ] = None,
    again: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Choose again in OUT, without the network."),
    ] = None,
    device: DeviceOption = None,
    restart: Annotated[bool, typer.Option(help="Throw away what OUT holds.")] = False,
    json: Json = False,
) -> None:
    """Generate masks for pictures with a segmenter, as an SA-1B dataset.

    Every candidate is counted by the reason why it was dropped, so that a threshold can be moved
    afterwards: --again OUT --set pred_iou=0.9.
    """
    settings = api.read_settings(set_ or [])
    with progress() as report:
        if again is not None:
            api.refuse_with_again(images, out, segmenter, device, restart)
            done = api.reselect(again, recipe=recipe, settings=settings, progress=report)
        else:
            source, target, model = api.need_for_generation(images, out, segmenter)
            done = api.generate(
                source,
                target,
                segmenter=model,
                recipe=recipe or "sa1b",
                settings=settings,
                device=device,
                restart=restart,
                progress=report,
            )
    show(done.about, done.text(), json)


@app.command()
def train_detector(
    path: AuditPath,
    out: Annotated[Path, typer.Option(help="Where the detector goes; --detector takes it.")],
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME", help="Weights to start from; none if left out."),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the input in pixels.")] = None,
    folds: Annotated[
        int, typer.Option(help="5: five detectors, so that each mask has one that never saw it.")
    ] = 1,
    held_out: Annotated[float, typer.Option(help="Share of the images held out.")] = 0.2,
    epochs: Annotated[int, typer.Option(help="Most rounds over the images.")] = 100,
    patience: Annotated[int, typer.Option(help="Rounds without gain before it ends.")] = 15,
    batch: Annotated[int, typer.Option(help="Images a step.")] = 8,
    learning_rate: Annotated[float | None, typer.Option(help="0.001, with --from 0.0001.")] = None,
    seed: Annotated[int, typer.Option(help="Of the split, the order and first weights.")] = 0,
    device: DeviceOption = None,
    restart: Annotated[bool, typer.Option(help="Throw away what OUT holds.")] = False,
    json: Json = False,
) -> None:
    """Train a class-agnostic detector on the accepted masks of an audit."""
    with progress() as report:
        done = api.train_detector(
            path,
            out,
            images=images,
            device=device,
            restart=restart,
            progress=report,
            start=start,
            size=size,
            folds=folds,
            held_out=held_out,
            epochs=epochs,
            patience=patience,
            batch=batch,
            learning_rate=learning_rate,
            seed=seed,
        )
    show(done.as_dict(), done.text(), json)
