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
    collect_report_warnings,
    show,
)
from curate.common.progress import show_progress
from curate.reporting import summary as summaries


@app.command()
def audit(
    source: Annotated[Path, typer.Argument(help="A file or folder of masks, in any format.")],
    out: Annotated[
        Path | None, typer.Option(help="The audit directory; SOURCE's name + .audit if omitted.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="The format; detected automatically if omitted.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|none",
            help="Folder of the pictures; those of the dataset if omitted. none: use no pictures.",
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="If SOURCE is a results list: the annotation file with its images."
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
            help="Other annotations of the same images (not detections). Repeatable.",
        ),
    ] = None,
    soft_masks: Annotated[
        Path | None, typer.Option(help="Folder of logits or probabilities (.npy, .npz, .png).")
    ] = None,
    soft_kind: Annotated[
        str | None,
        typer.Option(help="logits or probabilities; detected from the values if omitted."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Threshold of soft masks (0 for logits, else 0.5).")
    ] = None,
    offset: Annotated[
        float | None,
        typer.Option(help="Offset of the stability score (1 for logits, else 0.05)."),
    ] = None,
    segmenter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A segmenter to prompt from every mask: a folder or a hub name."
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A detector to run on the pictures: a folder or a hub name."
        ),
    ] = None,
    device: DeviceOption = None,
    deep: Annotated[bool, typer.Option(help="Run the slow signals too.")] = False,
    crowd: Annotated[
        str,
        typer.Option(
            metavar="auto|objects|regions",
            help="Masks with iscrowd: judged as objects, or skipped as regions; auto: as objects "
            "only where nearly all masks are crowd.",
        ),
    ] = "auto",
    trust_joins: Annotated[
        bool,
        typer.Option(
            "--trust-joins",
            help="Continue though detections or annotations seem to be of other images.",
        ),
    ] = False,
    void: Annotated[
        list[int] | None,
        typer.Option(help="In instance-id PNGs: an id that is no object (255 in VOC). Repeatable."),
    ] = None,
    class_code: Annotated[
        str | None,
        typer.Option(
            help="In instance-id PNGs: how ids encode the class: cityscapes, kitti, mots, none."
        ),
    ] = None,
    policy: PolicyOption = "default",
    workers: Annotated[int, typer.Option(help="Number of processes.")] = 1,
    restart: Annotated[bool, typer.Option(help="Discard the audit in OUT and start over.")] = False,
    fail_on: FailOn = None,
    json: Json = False,
) -> None:
    """Score every mask, decide on each, and write the report."""
    stability = {"kind": soft_kind, "threshold": threshold, "offset": offset}
    with show_progress() as progress:
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
            progress=progress,
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
        typer.Option(
            help="A preset (default, sa1b) or a TOML file; the current policy if omitted."
        ),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="How disagreement between reviewers is resolved: majority, latest or strictest. "
            "Saved in the audit."
        ),
    ] = None,
    good_iou: Annotated[
        float | None,
        typer.Option(
            help="A mask corrected with at least this IoU counts as good in learn, certify and "
            "estimate. Saved in the audit."
        ),
    ] = None,
    images: MovedImages = None,
    fail_on: FailOn = None,
    json: Json = False,
) -> None:
    """Apply another policy or other settings, without scoring again.

    Not needed after a review: queue, prune, write and report use people's decisions at once.
    """
    with collect_report_warnings() as said, show_progress() as progress:
        done = api.decide(
            path,
            policy=policy,
            rule=rule,
            good_iou=good_iou,
            images=images,
            gates=fail_on or [],
            progress=progress,
        )
    _summarise(done, fail_on, json, said)


@app.command()
def report(
    path: AuditPath,
    out: Annotated[
        Path | None, typer.Option(help="The file; report.html in the audit if omitted.")
    ] = None,
    images: MovedImages = None,
) -> None:
    """Write report.html again."""
    print(api.report(path, out, images=images))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="An audit directory.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another audit directory.")],
    json: Json = False,
) -> None:
    """Show what changed between two audits."""
    result = api.compare(first, second)
    show(result.as_dict(), result.text(), json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write the demo to.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Random seed of the scenes.")] = 0,
    images: Annotated[int, typer.Option(help="Number of scenes, at least 8.")] = 24,
) -> None:
    """Audit a small drawn dataset and print what was found.

    Defects of every kind are planted in it; the table compares planted and found ones.
    """
    with show_progress() as progress:
        print(api.demo(out, seed=seed, images=images, progress=progress))
