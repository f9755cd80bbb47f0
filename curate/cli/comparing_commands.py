"""Commands that compare: compare, diff, version."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

import curate
from curate.api.early_checks import check_audit, check_dataset
from curate.cli.command_groups import show_examples
from curate.cli.next_steps import print_audit_step, print_next_steps
from curate.cli.shared_options import (
    FOLDER,
    FormatOption,
    Json,
    app,
    choice,
    make_callback,
    show,
    show_choices,
)
from curate.common.progress import show_progress
from curate.dataset.notes import short_version

OUTPUT_FORMATS = ("text", "json", "jsonl", "markdown")

Html = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Also write a page, with changed masks drawn before and after."
    ),
]
ComparedImages = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the pictures for the page; that of an audit if omitted.", callback=FOLDER
    ),
]


@app.command(
    epilog=show_examples(
        "curate compare before.audit after.audit",
        "curate compare before.audit after.audit --html changes.html",
    ),
)
def compare(
    first: Annotated[
        Path,
        typer.Argument(
            metavar="A", help="An audit directory.", callback=make_callback(check_audit)
        ),
    ],
    second: Annotated[
        Path,
        typer.Argument(
            metavar="B", help="Another audit directory.", callback=make_callback(check_audit)
        ),
    ],
    html: Html = None,
    images: ComparedImages = None,
    json: Json = False,
) -> None:
    """Show what changed between two audits."""
    result = curate.compare(first, second, html=html, images=images)
    show(result.as_dict(), result.text(), json)
    print_next_steps(second, json)


@app.command(
    epilog=show_examples(
        "curate diff instances.json corrected.json",
        "curate diff my.audit corrected.json --json",
        "curate diff a.json b.json --html changes.html --images images",
        "curate diff a.json b.json --output-format markdown >> summary.md",
    ),
)
def diff(
    first: Annotated[
        Path,
        typer.Argument(
            metavar="A",
            help="A dataset in any format, or an audit directory.",
            callback=make_callback(check_dataset),
        ),
    ],
    second: Annotated[
        Path,
        typer.Argument(
            metavar="B",
            help="Another; its format may differ.",
            callback=make_callback(check_dataset),
        ),
    ],
    rows: Annotated[
        int | None,
        typer.Option(help="How many masks to list (10 as text, 1,000 as JSON, all as jsonl)."),
    ] = None,
    same_iou: Annotated[
        float,
        typer.Option(metavar="<iou>", help="Masks of this IoU and more count as unchanged."),
    ] = 1.0,
    same_outline: Annotated[
        float,
        typer.Option(
            metavar="<px>", help="So do masks whose outlines are this far apart in the mean."
        ),
    ] = 0.0,
    html: Html = None,
    images: ComparedImages = None,
    output_format: Annotated[
        str,
        typer.Option(
            metavar=show_choices(*OUTPUT_FORMATS),
            help="What to print; jsonl has one line a change.",
            callback=choice("--output-format", OUTPUT_FORMATS),
        ),
    ] = "text",
    json: Json = False,
) -> None:
    """Show what changed between two datasets, mask by mask.

    Unchanged, redrawn, moved, relabelled, split, merged, removed or added; an audit stands for the
    masks it audited.
    """
    with show_progress() as progress:
        result = curate.diff(
            first,
            second,
            html=html,
            images=images,
            same_iou=same_iou,
            same_outline=same_outline,
            progress=progress,
        )
    listed = () if rows is None else (rows,)
    json = json or output_format == "json"
    if output_format == "jsonl":
        for line in islice(result.json_lines(), rows):
            print(line.decode())
    elif output_format == "markdown":
        print(result.markdown(*listed), end="")
    else:
        show(result.as_dict(*listed) if json else None, result.text(*listed), json)
    print_audit_step(second, json or output_format != "text", images, first)


@app.command(
    epilog=show_examples(
        "curate version instances.json",
        "curate version instances.json --masks",
    ),
)
def version(
    path: Annotated[
        Path,
        typer.Argument(
            help="A dataset in any format, or an audit directory.",
            callback=make_callback(check_dataset),
        ),
    ],
    format: FormatOption = None,
    masks: Annotated[
        bool,
        typer.Option("--masks", help="Print a line a mask instead, sorted; for git's textconv."),
    ] = False,
    json: Json = False,
) -> None:
    """Print the version id of a dataset, short and in full.

    It depends on masks, categories, image names and sizes, not on format, order or ids.
    """
    if masks:
        listed = curate.version(path, format=format, masks=True)
        show({"masks": listed.split("\n")}, listed, json)
        return
    full = curate.version(path, format=format)
    show({"short": short_version(full), "version": full}, f"{short_version(full)}  {full}", json)
    print_audit_step(path, json)
