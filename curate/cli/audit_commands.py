"""Commands about masks: audit, decide, report, demo."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import curate
from curate.api.early_checks import check_policy
from curate.cli.command_groups import show_examples
from curate.cli.next_steps import print_next_steps
from curate.cli.shared_options import (
    EXISTS,
    AuditPath,
    DeviceOption,
    FailOn,
    FormatOption,
    Json,
    MovedImages,
    PolicyOption,
    ScoredAuditPath,
    app,
    choice,
    collect_report_warnings,
    make_callback,
    show,
    show_choices,
)
from curate.cli.styles import style, style_summary
from curate.common.paths import check_exists, check_folder
from curate.common.progress import show_progress
from curate.common.ranges import CROWDS, NO_IMAGES, PRESETS, RULES
from curate.errors import CallError

if TYPE_CHECKING:
    from curate.store.audit import StoredAudit


def name_files(pairs: Sequence[str]) -> dict[str, Path]:
    """Read ``NAME=FILE`` pairs.

    Raises:
        CurateError: One is not such a pair, a name occurs twice or is not a plain word, or there is
            no such file.
    """
    named: dict[str, Path] = {}
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not equals or not file or not name.replace("-", "_").isidentifier():
            raise CallError(f"{pair!r} is not NAME=FILE", "--compare", "NAME is a plain word")
        if name in named:
            raise CallError(f"the name {name} occurs twice", "--compare", "give another name")
        named[name] = Path(file)
    for path in named.values():
        check_exists(path)
    return named


def _check_images(folder: Path) -> None:
    if str(folder) != NO_IMAGES:
        check_folder(folder)


@app.command(
    epilog=show_examples(
        "curate audit instances.json --images images",
        "curate audit instances.json --detections results.json --out my.audit",
        "curate audit masks --policy sa1b --workers 4",
        'curate audit instances.json --fail-on "reject_rate > 0.01"',
    ),
)
def audit(
    source: Annotated[
        Path, typer.Argument(help="A file or folder of masks, in any format.", callback=EXISTS)
    ],
    out: Annotated[
        Path | None, typer.Option(help="The audit directory; SOURCE's name + .audit if omitted.")
    ] = None,
    format: FormatOption = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|none",
            callback=make_callback(_check_images),
            help="Folder of the pictures; those of the dataset if omitted. none: use no pictures.",
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="If SOURCE is a results list: the annotation file with its images.",
            callback=EXISTS,
        ),
    ] = None,
    detections: Annotated[
        Path | None,
        typer.Option(
            help="A detector's results on these images: COCO results, or any format.",
            callback=EXISTS,
        ),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="Other annotations of the same images (not detections). Repeatable.",
            callback=make_callback(name_files),
        ),
    ] = None,
    soft_masks: Annotated[
        Path | None,
        typer.Option(
            help="Folder of logits or probabilities (.npy, .npz, .png).",
            callback=make_callback(lambda folder: check_folder(folder, "soft masks")),
        ),
    ] = None,
    soft_kind: Annotated[
        str | None,
        typer.Option(
            metavar="logits|probabilities",
            help="What the soft masks hold; detected from the values if omitted.",
        ),
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
    verifier: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="A verifier to judge every mask: a folder of train-verifier."
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="An image encoder to doubt categories by: a folder, a hub name, an ONNX file, or "
            "handcrafted (no network).",
        ),
    ] = None,
    device: DeviceOption = None,
    deep: Annotated[bool, typer.Option(help="Run the slow signals too.")] = False,
    crowd: Annotated[
        str,
        typer.Option(
            metavar=show_choices(*CROWDS),
            callback=choice("--crowd", CROWDS),
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
            metavar="cityscapes|kitti|mots|none",
            help="In instance-id PNGs: how ids encode the class.",
        ),
    ] = None,
    policy: PolicyOption = "default",
    workers: Annotated[int, typer.Option(help="Number of processes.")] = 1,
    restart: Annotated[
        bool, typer.Option(help="Score anew in OUT; people's decisions there are kept.")
    ] = False,
    fail_on: FailOn = None,
    json: Json = False,
) -> None:
    """Score every mask, decide on each, and write the report."""
    stability = {"kind": soft_kind, "threshold": threshold, "offset": offset}
    with show_progress(compiling=not json) as progress:
        done = curate.audit(
            source,
            out,
            format=format,
            images=images,
            annotations=annotations,
            detections=detections,
            compare=name_files(compare or []),
            soft_masks=soft_masks,
            stability={k: v for k, v in stability.items() if v is not None},
            segmenter=segmenter,
            detector=detector,
            verifier=verifier,
            encoder=encoder,
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
    done: StoredAudit,
    fail_on: list[str] | None,
    as_json: bool,
    said: Mapping[str, object] | None = None,
) -> None:
    # Loaded here: it counts with what the verb has loaded by now, and help and refusals do not.
    from curate.reporting import summary as summaries

    done = done.pin()  # all that is printed is of one moment
    summary = summaries.summary(done)
    values = summary | summaries.facts(done, summary) if as_json else summary
    values = {**values, **(said or {})}
    text = "" if as_json else style_summary(summaries.summary_text(done, summary), sys.stdout)
    show(values, text, as_json)
    failed = summaries.failed_gates(summary, fail_on or [])
    for gate in failed:
        print(f"{style('gate failed:', 'red', sys.stderr)} {gate}", file=sys.stderr)
    print_next_steps(done.path, as_json)
    if failed:
        raise typer.Exit(1)


@app.command(
    epilog=show_examples(
        "curate decide my.audit --policy own.toml",
        "curate decide my.audit --rule strictest",
    ),
)
def decide(
    path: ScoredAuditPath,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar=show_choices(*PRESETS, "FILE"),
            help="A preset or a TOML file; the current policy if omitted.",
            callback=make_callback(check_policy),
        ),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            metavar=show_choices(*RULES),
            help="How disagreement between reviewers is resolved. Saved in the audit.",
            callback=choice("--rule", RULES),
        ),
    ] = None,
    good_iou: Annotated[
        float | None,
        typer.Option(
            help="A mask corrected with at least this IoU counts as good in learn, certify and "
            "estimate. Saved in the audit."
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="A word that the review page offers to say why a mask is wrong. Repeatable; saved "
            "in the audit, in the place of the usual ones.",
        ),
    ] = None,
    images: MovedImages = None,
    fail_on: FailOn = None,
    json: Json = False,
) -> None:
    """Decide again under another policy or other settings.

    Nothing is scored again.
    Not needed after a review: queue, prune, write and report use people's decisions at once.
    """
    with collect_report_warnings() as said, show_progress() as progress:
        done = curate.decide(
            path,
            policy=policy,
            rule=rule,
            good_iou=good_iou,
            tags=tag or None,
            images=images,
            gates=fail_on or [],
            progress=progress,
        )
    _summarise(done, fail_on, json, said)


@app.command(
    epilog=show_examples(
        "curate report my.audit",
        "curate report my.audit --out page.html --images images",
        "curate report my.audit --out summary.md",
    ),
)
def report(
    path: AuditPath,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A page; FILE.json: the report's values; FILE.md: a summary for a pull request. "
            "If omitted, all three are written into the audit.",
        ),
    ] = None,
    images: MovedImages = None,
) -> None:
    """Write the report again.

    It is a page, its values as JSON, and a summary in Markdown.
    """
    print(curate.report(path, out, images=images))
    print_next_steps(path)


@app.command(
    epilog=show_examples("curate demo --out demo"),
)
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write the demo to.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Random seed of the scenes.")] = 0,
    images: Annotated[int, typer.Option(help="Number of scenes, at least 8.")] = 24,
) -> None:
    """Audit a small drawn dataset and print what was found.

    Defects of every kind are planted in it; the table compares planted and found ones.
    """
    with show_progress() as progress:
        print(curate.demo(out, seed=seed, images=images, progress=progress))
    print_next_steps(out / "audit")
