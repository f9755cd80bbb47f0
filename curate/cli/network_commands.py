"""Commands of networks: generate, train-detector, train-segmenter, train-verifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import curate
from curate.cli.command_groups import show_examples
from curate.cli.next_steps import print_steps, repeat
from curate.cli.shared_options import (
    EXISTS,
    FOLDER,
    AuditPath,
    DeviceOption,
    FormatOption,
    Json,
    app,
    make_callback,
    show,
)
from curate.common.paths import check_exists, check_folder
from curate.common.progress import show_progress
from curate.errors import CallError
from curate.policy.settings_file import parse_toml
from curate.reporting.next_steps import (
    find_detector_steps,
    find_segmenter_steps,
    find_verifier_steps,
    make_step,
)

HeldOut = Annotated[float, typer.Option(help="Share of images held out.")]
Epochs = Annotated[int, typer.Option(help="Maximum number of epochs.")]
Patience = Annotated[int, typer.Option(help="Epochs without improvement before training stops.")]
Batch = Annotated[int, typer.Option(help="Images per step.")]
MaxPrompts = Annotated[int, typer.Option(help="Maximum masks prompted per image and step.")]
SegmenterSize = Annotated[
    int | None, typer.Option(help="Side of a new segmenter's input in pixels, 256 if omitted.")
]
LearningRate = Annotated[
    float | None, typer.Option(help="0.001, or 0.0001 with --from, if omitted.")
]
TrainingSeed = Annotated[int, typer.Option(help="Random seed of split, order and initial weights.")]
RecipeSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Override a setting of the recipe: pred_iou=0.9. Repeatable.",
    ),
]
Restart = Annotated[bool, typer.Option(help="Discard what OUT holds and start over.")]


def _check_pictures(path: Path) -> None:
    if not path.exists():
        check_folder(path)


def _check_all(paths: Sequence[Path]) -> None:
    for path in paths:
        check_exists(path)


def _check_folders(paths: Sequence[Path]) -> None:
    for path in paths:
        check_folder(path)


@app.command(
    epilog=show_examples(
        "curate generate images --segmenter facebook/sam-vit-base --out generated",
        "curate generate --again generated --set pred_iou=0.9",
    ),
)
def generate(
    images: Annotated[
        Path | None,
        typer.Argument(
            metavar="IMAGES",
            help="A folder of pictures, or one.",
            callback=make_callback(_check_pictures),
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write the SA-1B dataset to.")] = None,
    segmenter: Annotated[
        str | None, typer.Option(metavar="NAME", help="The segmenter: a folder or a hub name.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="sa1b|popular|sam2|FILE", help="A preset or a TOML file."),
    ] = None,
    set_: RecipeSettings = None,
    again: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT", help="Select again from the candidates in OUT, without a segmenter."
        ),
    ] = None,
    device: DeviceOption = None,
    restart: Restart = False,
    json: Json = False,
) -> None:
    """Generate masks for pictures with a segmenter.

    They are written as an SA-1B dataset. Dropped candidates are stored with the reason, so
    thresholds can be changed afterwards: --again OUT --set pred_iou=0.9.
    """
    settings = read_settings(set_ or [])
    with show_progress() as progress:
        if again is not None:
            # Loaded here: it is no verb, so `curate` does not load it.
            from curate.networks.generation import reselect

            refuse_with_again(images, out, segmenter, device, restart)
            done = reselect(again, recipe=recipe, settings=settings, progress=progress)
        else:
            source, target, model = need_for_generation(images, out, segmenter)
            done = curate.generate(
                source,
                target,
                segmenter=model,
                recipe=recipe or "sa1b",
                settings=settings,
                device=device,
                restart=restart,
                progress=progress,
            )
    show(done.about, done.text(), json)
    made = out if again is None else again
    if made is not None:
        print_steps([make_step("audit them", "audit", made, "--policy", "sa1b")], json)


@app.command(
    epilog=show_examples(
        "curate train-detector my.audit --out detector",
        "curate train-detector my.audit --out detectors --folds 5 --epochs 30",
    ),
)
def train_detector(
    path: AuditPath,
    out: Annotated[Path, typer.Option(help="Folder to write the detector to, for --detector.")],
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="NAME", help="Pretrained weights to start from; random if omitted."
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the pictures.", callback=FOLDER)
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of the network's input in pixels.")] = None,
    folds: Annotated[
        int,
        typer.Option(
            help="5: five detectors, so that each image has one that was not trained on it."
        ),
    ] = 1,
    held_out: HeldOut = 0.2,
    epochs: Epochs = 100,
    patience: Patience = 15,
    batch: Batch = 8,
    learning_rate: LearningRate = None,
    seed: TrainingSeed = 0,
    device: DeviceOption = None,
    restart: Restart = False,
    json: Json = False,
) -> None:
    """Train a detector on the accepted masks of an audit.

    It is class-agnostic: it finds objects and does not tell their categories.
    """
    with show_progress() as progress:
        done = curate.train_detector(
            path,
            out,
            images=images,
            device=device,
            restart=restart,
            progress=progress,
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
    print_steps(find_detector_steps(path, out), json)


@app.command(
    epilog=show_examples(
        "curate train-segmenter instances.json --images images --out segmenter",
        "curate train-segmenter my.audit --from facebook/sam-vit-base --out sam",
        "curate train-segmenter a.json b.json --validation names.txt --out sam",
    ),
)
def train_segmenter(
    datasets: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATASET...",
            help="Annotated datasets in any format, or audit directories.",
            callback=make_callback(_check_all),
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the segmenter to, for --segmenter.")],
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="NAME", help="Weights to start from; a small SAM's random if omitted."
        ),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of the pictures; repeatable, one for each dataset.",
            callback=make_callback(_check_folders),
        ),
    ] = None,
    format: FormatOption = None,
    size: SegmenterSize = None,
    encoder: Annotated[
        bool,
        typer.Option("--encoder", help="Train the image encoder too; always without --from."),
    ] = False,
    held_out: HeldOut = 0.2,
    validation: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Names of the pictures to hold out instead, one a line.",
            callback=EXISTS,
        ),
    ] = None,
    epochs: Epochs = 100,
    patience: Patience = 10,
    batch: Batch = 4,
    prompts: MaxPrompts = 8,
    learning_rate: LearningRate = None,
    seed: TrainingSeed = 0,
    device: DeviceOption = None,
    restart: Restart = False,
    json: Json = False,
) -> None:
    """Train a segmenter on annotated datasets or audits.

    It is class-agnostic. Of an audit the accepted masks are taken as people left them. Its IoU on
    held-out images is compared with that of the weights it started from.
    """
    with show_progress() as progress:
        done = curate.train_segmenter(
            datasets,
            out,
            start=start,
            images=images,
            format=format,
            size=size,
            encoder=encoder,
            held_out=held_out,
            validation=validation,
            epochs=epochs,
            patience=patience,
            batch=batch,
            prompts=prompts,
            learning_rate=learning_rate,
            seed=seed,
            device=device,
            restart=restart,
            progress=progress,
        )
    show(done.as_dict(), done.text(), json)
    pictures = Path(done.record["datasets"][0]["pictures"])
    print_steps(find_segmenter_steps(datasets[0], pictures, out), json)


@app.command(
    epilog=show_examples(
        "curate train-verifier instances.json --images images --out verifier",
        "curate train-verifier my.audit --out verifier --minutes 10",
    ),
)
def train_verifier(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="An annotated dataset in any format, or an audit directory.",
            callback=EXISTS,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the verifier to, for --verifier.")],
    images: Annotated[
        Path | None, typer.Option(help="Folder of the pictures.", callback=FOLDER)
    ] = None,
    format: FormatOption = None,
    folds: Annotated[
        int,
        typer.Option(help="Networks; each image is judged by one that was not trained on it."),
    ] = 3,
    rounds: Annotated[
        int | None,
        typer.Option(
            help="Rounds of 25 steps per network; chosen by the number of masks if omitted."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Time limit of all networks together, on top of reading the dataset; more, given "
            "later, trains on."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Masks per step, each beside two corruptions.")] = 16,
    learning_rate: Annotated[
        float | None, typer.Option(help="Highest learning rate, 0.002 if omitted.")
    ] = None,
    seed: TrainingSeed = 0,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A frozen image encoder whose features the networks see, too: a folder, a hub "
            "name, or an ONNX file; used where it makes them better.",
        ),
    ] = None,
    device: DeviceOption = None,
    restart: Restart = False,
    json: Json = False,
) -> None:
    """Train a mask verifier on a dataset's own masks.

    It looks at picture and mask together, and learns what masks look like against corruptions of
    them. It needs no reviews, and every mask is judged by a network that has not seen its image.
    Of an audit with reviews it learns from people's decisions, too, where that makes it better. It
    learns to see objects that have no mask from masks that are left out.
    """
    with show_progress() as progress:
        done = curate.train_verifier(
            dataset,
            out,
            images=images,
            format=format,
            folds=folds,
            rounds=rounds,
            minutes=minutes,
            batch=batch,
            learning_rate=learning_rate,
            seed=seed,
            encoder=encoder,
            device=device,
            restart=restart,
            progress=progress,
        )
    show(done.as_dict(), done.text(), json)
    pictures = Path(done.record["datasets"][0]["pictures"])
    if done.worth.weight or done.sees_missing_masks:
        print_steps(find_verifier_steps(dataset, pictures, out), json)
    elif done.record["stopped_early"]:
        print_steps([repeat("train on without a time limit", without="--minutes")], json)


def need_for_generation(
    images: Path | None, out: Path | None, segmenter: str | None
) -> tuple[Path, Path, str]:
    """Return the required arguments of a generation.

    Raises:
        CallError: One of them is missing.
    """
    given = {"IMAGES": images, "--out DIR": out, "--segmenter NAME": segmenter}
    missing = [name for name, value in given.items() if value is None]
    if images is None or out is None or segmenter is None:
        raise CallError(f"{' and '.join(missing)} not given", "generate", "see --help")
    return images, out, segmenter


def refuse_with_again(*others: object) -> None:
    """Refuse options that have no effect beside ``--again``.

    Raises:
        CallError: Something is.
    """
    if any(others):
        what = "--again selects from stored candidates, so images and models have no effect"
        raise CallError(what, "generate", "give only --recipe and --set beside it")


def read_settings(pairs: Sequence[str], option: str = "--set") -> dict[str, object]:
    """Read ``NAME=VALUE`` pairs, values as TOML has them; a bare word is text.

    Args:
        pairs: The pairs.
        option: Where they were given.

    Raises:
        CallError: One is not such a pair, or a name occurs twice.
    """
    found: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier() or "\n" in value:
            raise CallError(f"{pair!r} is not NAME=VALUE", option, "NAME is one of the recipe's")
        if name in found:
            raise CallError(f"{name} occurs twice", option, "give it once")
        try:
            found[name] = parse_toml(f"value = {value}")["value"]
        except ValueError:
            found[name] = value
    return found
