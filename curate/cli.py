"""The command line: parse, call a verb, print. No logic, and nothing heavy before it is needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from curate import __version__, verbs
from curate import summary as summaries
from curate.errors import CurateError
from curate.progress import progress

app = typer.Typer(
    help="A data engine for instance masks: audit, rank, accept, prune, report.",
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich's help would cost more start-up than all the rest
    pretty_exceptions_enable=False,
    add_completion=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
FailOn = Annotated[
    list[str] | None,
    typer.Option(help="Exit with 1 where this holds: 'reject_rate > 0.01'. Repeatable."),
]
PolicyOption = Annotated[
    str, typer.Option("--policy", help="A preset (default, sa1b) or a TOML file.")
]
DeviceOption = Annotated[
    str | None, typer.Option(help="Where models run: cpu, cuda:0; the first GPU if there is one.")
]
AuditPath = Annotated[Path, typer.Argument(metavar="AUDIT", help="An audit directory.")]


def _print(value: Any, text: str, as_json: bool) -> None:
    if as_json:
        import orjson

        print(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode())
    else:
        print(text)


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"curate {__version__}")
        raise typer.Exit
    del context


@app.command()
def audit(
    source: Annotated[Path, typer.Argument(help="A file or folder of masks, in any format.")],
    out: Annotated[
        Path | None, typer.Option(help="The audit directory; by default SOURCE's name + .audit.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="The format, if not found by itself.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures.")] = None,
    detections: Annotated[
        Path | None,
        typer.Option(help="A detector's results on these images (COCO results)."),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="Other annotations of these images (not a detector's). Repeatable.",
        ),
    ] = None,
    soft_masks: Annotated[
        Path | None, typer.Option(help="Folder of logits or probabilities (.npy, .npz, .png).")
    ] = None,
    soft_kind: Annotated[
        str | None, typer.Option(help="logits or probabilities; found from the values if left out.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Where soft masks are cut (logits: 0; else 0.5).")
    ] = None,
    offset: Annotated[
        float | None,
        typer.Option(help="Stability's step off the threshold (logits: 1; else 0.05)."),
    ] = None,
    segmenter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Prompt a segmenter from every mask: a folder or a hub name."
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Run a detector on the pictures: a folder or a hub name."
        ),
    ] = None,
    device: DeviceOption = None,
    deep: Annotated[bool, typer.Option(help="Run the slow signals too.")] = False,
    policy: PolicyOption = "default",
    workers: Annotated[int, typer.Option(help="How many processes.")] = 1,
    restart: Annotated[bool, typer.Option(help="Throw away what OUT holds of an audit.")] = False,
    fail_on: FailOn = None,
    json: Json = False,
) -> None:
    """Score every mask, decide on each, and write the report."""
    summaries.check_gates(fail_on or [])
    stability = {"kind": soft_kind, "threshold": threshold, "offset": offset}
    with progress() as report:
        done = verbs.audit(
            source,
            out,
            format=format,
            images=images,
            detections=detections,
            compare=verbs.name_files(compare or []),
            soft_masks=soft_masks,
            stability={k: v for k, v in stability.items() if v is not None},
            segmenter=segmenter,
            detector=detector,
            device=device,
            deep=deep,
            policy=policy,
            workers=workers,
            restart=restart,
            progress=report,
        )
    _summarise(done, fail_on, json)


def _summarise(done: Any, fail_on: list[str] | None, as_json: bool) -> None:
    summary = summaries.summary(done)
    _print(summary, summaries.summary_text(done, summary), as_json)
    failed = summaries.failed_gates(summary, fail_on or [])
    for gate in failed:
        print(f"gate failed: {gate}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


@app.command()
def decide(
    path: AuditPath, policy: PolicyOption = "default", fail_on: FailOn = None, json: Json = False
) -> None:
    """Decide anew under another policy, without scoring again."""
    summaries.check_gates(fail_on or [])
    with progress() as report:
        done = verbs.decide(path, policy=policy, progress=report)
    _summarise(done, fail_on, json)


@app.command()
def report(
    path: AuditPath,
    out: Annotated[Path | None, typer.Option(help="Where; by default in the audit.")] = None,
) -> None:
    """Write report.html again."""
    print(verbs.report(path, out))


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


@app.command()
def prune(
    path: AuditPath,
    out: Annotated[
        Path | None, typer.Option(help="Where the pruned dataset goes; a dry run if left out.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="Actions to drop: reject, review. Repeatable.")
    ] = None,
    json: Json = False,
) -> None:
    """Write the dataset back without the rejected masks.

    The format stays, and so does everything else in it.
    """
    result = verbs.prune(path, out, drop=tuple(drop or ["reject"]))
    _print(result.as_dict(), result.text(), json)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="An audit directory.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    json: Json = False,
) -> None:
    """Say what changed between two audits."""
    result = verbs.compare(first, second)
    _print(result.as_dict(), result.text(), json)


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
    settings = verbs.read_settings(set_ or [])
    with progress() as report:
        if again is not None:
            verbs.refuse_with_again(images, out, segmenter, device, restart)
            done = verbs.reselect(again, recipe=recipe, settings=settings, progress=report)
        else:
            source, target, model = verbs.need_for_generation(images, out, segmenter)
            done = verbs.generate(
                source,
                target,
                segmenter=model,
                recipe=recipe or "sa1b",
                settings=settings,
                device=device,
                restart=restart,
                progress=report,
            )
    _print(done.about, done.text(), json)


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
        done = verbs.train_detector(
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
    _print(done.as_dict(), done.text(), json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the demo goes.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Other seeds draw other scenes.")] = 0,
    images: Annotated[int, typer.Option(help="How many scenes, 8 or more.")] = 24,
) -> None:
    """Audit a small drawn dataset and print what was found.

    It has planted defects of every kind, so what was found is held against what was planted.
    """
    with progress() as report:
        print(verbs.demo(out, seed=seed, images=images, progress=report))


def main() -> None:
    """Run the command line: 0 done, 1 a gate failed, 2 the input or the call is wrong."""
    try:
        app()
    except CurateError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{(error.strerror or str(error)).lower()}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("stopped; the same command again goes on from here", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
