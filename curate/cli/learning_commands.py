"""Commands that decide by what people decided: agreement, learn, certify, estimate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import curate
from curate.cli.command_groups import show_examples
from curate.cli.next_steps import print_next_steps
from curate.cli.shared_options import (
    AuditPath,
    Json,
    MovedImages,
    ScoredAuditPath,
    app,
    collect_report_warnings,
    show,
)
from curate.common.progress import show_progress
from curate.reporting.next_steps import find_certificate_steps

Unit = Annotated[
    str | None,
    typer.Option(metavar="mask|image", help="Of which, if random samples of both were drawn."),
]
Confidence = Annotated[float, typer.Option(help="Confidence level.")]


@app.command(
    epilog=show_examples("curate agreement my.audit"),
)
def agreement(path: AuditPath, json: Json = False) -> None:
    """Show how far reviewers agree, and how each decides."""
    found = curate.agreement(path)
    show(found.as_dict(), found.text(), json)
    print_next_steps(path, json)


@app.command(
    epilog=show_examples(
        "curate learn my.audit",
        "curate learn new.audit --from my.audit",
    ),
)
def learn(
    path: ScoredAuditPath,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Another audit, or a model file, to start from."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of folds and trees.")] = 0,
    images: MovedImages = None,
    json: Json = False,
) -> None:
    """Learn from people's decisions which masks are good.

    Quality becomes the probability that a mask is good. The model is used only if it beats the
    label-free quality on held-out images.
    """
    with collect_report_warnings() as said, show_progress() as progress:
        done = curate.learn(path, start=start, seed=seed, images=images, progress=progress)
    show(done.as_dict() | said, done.text(), json)
    print_next_steps(path, json)


@app.command(
    epilog=show_examples(
        "curate certify my.audit --max-bad 0.02",
        "curate certify my.audit --max-bad 0.02 --dry-run",
    ),
)
def certify(
    path: ScoredAuditPath,
    max_bad: Annotated[
        float, typer.Option(help="Largest allowed share of bad masks among the accepted.")
    ] = 0.05,
    confidence: Confidence = 0.95,
    looks: Annotated[
        int, typer.Option(help="How many times you will certify, at most, as reviews come in.")
    ] = 1,
    unit: Unit = None,
    dry_run: Annotated[
        bool, typer.Option(help="Print the result only; the plan stays as it is.")
    ] = False,
    images: MovedImages = None,
    json: Json = False,
) -> None:
    """Accept as many masks as a reviewed sample proves good.

    Draw the sample with `curate queue AUDIT --kind estimate`. Afterwards the plan accepts only
    certified masks, until the policy or the quality model changes.
    """
    with collect_report_warnings() as said:
        found = curate.certify(
            path,
            max_bad=max_bad,
            confidence=confidence,
            looks=looks,
            dry_run=dry_run,
            images=images,
            unit=unit,
        )
    show(found.as_dict() | said, found.text(), json)
    print_next_steps(path, json, find_certificate_steps(path, found, dry_run=dry_run))


@app.command(
    epilog=show_examples("curate estimate my.audit"),
)
def estimate(
    path: AuditPath,
    confidence: Confidence = 0.95,
    unit: Unit = None,
    images: MovedImages = None,
    json: Json = False,
) -> None:
    """Estimate the dataset's quality from a reviewed sample.

    With confidence intervals. Draw the sample with `curate queue AUDIT --kind estimate`.
    """
    with collect_report_warnings() as said:
        found = curate.estimate(path, confidence=confidence, images=images, unit=unit)
    show(found.as_dict() | said, found.text(), json)
    print_next_steps(path, json)
