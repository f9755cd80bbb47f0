"""Commands about masks: audit, decide, report, compare, demo."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from curate import api
from curate.cli.shared_options import (
    AuditPath,
    DeviceOption,
    FailOn,
    Json,
    MovedImages,
    PolicyOption,
    app,
    reported,
    show,
)
from curate.common.progress import progress
from curate.reporting import summary as summaries


@app.command()
def audit(
    source: Annotated[Path, typer.Argument(help="A file or folder of masks, in any format.")],
    out: Annotated[
        Path | None, typer.Option(help="The audit directory; by default SOURCE's name + .audit.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="The format, if not found by itself.")] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|none",
            help="Folder of the pictures; by default those in the dataset. none: use none.",
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The annotation file that SOURCE, a results list, is for."
        ),
    ] = None,
    detections: Annotated[
        Path | None,
        typer.Option(help="A detector's results on these images: COCO results, or any format."),
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
    crowd: Annotated[
        str,
        typer.Option(
            metavar="auto|objects|regions",
            help="Judge masks with iscrowd as objects, or leave them as regions; auto: as objects "
            "where nearly all are crowd.",
        ),
    ] = "auto",
    trust_joins: Annotated[
        bool,
        typer.Option(
            "--trust-joins",
            help="Go on where detections or annotations fit other images, or none of those given.",
        ),
    ] = False,
    void: Annotated[
        list[int] | None,
        typer.Option(help="In PNGs of ids: an id that is no object (255 in VOC's). Repeatable."),
    ] = None,
    class_code: Annotated[
        str | None,
        typer.Option(help="In PNGs of ids: how they carry a class: cityscapes, kitti, mots, none."),
    ] = None,
    policy: PolicyOption = "default",
    workers: Annotated[int, typer.Option(help="How many processes.")] = 1,
    restart: Annotated[bool, typer.Option(help="Throw away what OUT holds of an audit.")] = False,
    fail_on: FailOn = None,
    json: Json = False,
) -> None:
    """Score every mask, decide on each, and write the report."""
    stability = {"kind": soft_kind, "threshold": threshold, "offset": offset}
    with progress() as report:
        done = api.audit(
            source,
            out,
            format=format,
            images=images,
            annotations=annotations,
            detections=detections,
            compare=api.name_files(compare or []),
            soft_masks=soft_masks,
            stability={k: v for k, v in stability.items() if v is not None},
            segmenter=segmenter,
            detector=detector,
            device=device,
            deep=deep,
            crowd=crowd,
            trust_joins=trust_joins,
            void=void or None,
            class_code=class_code,
            policy=policy,
            workers=workers,
            restart=restart,
            gates=fail_on or [],
            progress=report,
        )
    _summarise(done, fail_on, json)


def _summarise(
    done: Any, fail_on: list[str] | None, as_json: bool, said: Mapping[str, Any] | None = None
) -> None:
    done = done.pinned()  # all that is printed is of one moment
    summary = summaries.summary(done)
    values = summary | summaries.facts(done, summary) if as_json else summary
    values = {**values, **(said or {})}
    show(values, "" if as_json else summaries.summary_text(done, summary), as_json)
    failed = summaries.failed_gates(summary, fail_on or [])
    for gate in failed:
        print(f"gate failed: {gate}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


@app.command()
def decide(
    path: AuditPath,
    policy: Annotated[
        str | None,
        typer.Option(help="A preset (default, sa1b) or a TOML file; else the policy in force."),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="How people who disagree are resolved: majority, latest or strictest. Kept for "
            "the audit."
        ),
    ] = None,
    good_iou: Annotated[
        float | None,
        typer.Option(
            help="A mask corrected to at least this IoU counts as good to learn, certify and "
            "estimate. Kept for the audit."
        ),
    ] = None,
    images: MovedImages = None,
    fail_on: FailOn = None,
    json: Json = False,
) -> None:
    """Decide anew under another policy or other settings, without scoring again.

    What people decide needs no call of this: queue, prune, write and report see it at once.
    """
    with reported() as said, progress() as report:
        done = api.decide(
            path,
            policy=policy,
            rule=rule,
            good_iou=good_iou,
            images=images,
            gates=fail_on or [],
            progress=report,
        )
    _summarise(done, fail_on, json, said)


@app.command()
def report(
    path: AuditPath,
    out: Annotated[Path | None, typer.Option(help="Where; by default in the audit.")] = None,
    images: MovedImages = None,
) -> None:
    """Write report.html again."""
    print(api.report(path, out, images=images))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="An audit directory.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    json: Json = False,
) -> None:
    """Say what changed between two audits."""
    result = api.compare(first, second)
    show(result.as_dict(), result.text(), json)


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
        print(api.demo(out, seed=seed, images=images, progress=report))
