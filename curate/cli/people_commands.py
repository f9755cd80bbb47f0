"""Commands of reviews: queue, import, review."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import curate
from curate.api.early_checks import check_audit_or_engine, only_audit
from curate.cli.command_groups import show_examples
from curate.cli.next_steps import print_next_steps, print_steps, repeat
from curate.cli.shared_options import (
    EXISTS,
    FOLDER,
    AuditOrEnginePath,
    DeviceOption,
    Json,
    MovedImages,
    app,
    choice,
    collect_report_warnings,
    make_callback,
    show,
    show_choices,
)
from curate.common.ranges import BY_PRIORITY, QUEUE_KINDS, QUEUE_ORDERS
from curate.errors import CallError
from curate.reporting.next_steps import find_queue_steps, propose_output

OrderOption = Annotated[
    str,
    typer.Option(
        metavar=show_choices(*QUEUE_ORDERS),
        help="errors: priority, the most likely and most costly errors first. seconds: most "
        "expected finds per second of people's time first.",
        callback=choice("--order", QUEUE_ORDERS),
    ),
]


@app.command(
    epilog=show_examples(
        "curate queue my.audit --budget 200 --out queue.csv",
        "curate queue my.audit --kind estimate --budget 300 --out sample.csv",
        "curate queue my.audit --minutes 30 --to cvat --out queue",
    ),
)
def queue(
    path: AuditOrEnginePath,
    out: Annotated[
        Path | None,
        typer.Option(help="A new file or folder to write; CSV is printed if omitted."),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            metavar=show_choices(*QUEUE_KINDS),
            help="errors: most likely and most costly errors first. learn: most informative for "
            "`curate learn`. estimate: a random sample, for certify and estimate. missing: places "
            "where a detector or verifier sees an object and no mask is.",
            callback=choice("--kind", QUEUE_KINDS),
        ),
    ] = "errors",
    budget: Annotated[int | None, typer.Option(help="Maximum number of masks.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Time for the review, in minutes.")] = None,
    seconds_per_mask: Annotated[float, typer.Option(help="Review time per mask.")] = 14.0,
    overlap: Annotated[
        float, typer.Option(help="Share of masks that a second person reviews too: 0.1.")
    ] = 0.0,
    honeypots: Annotated[
        float, typer.Option(help="Share of masks with known answers to mix in: 0.05.")
    ] = 0.0,
    known: Annotated[
        Path | None,
        typer.Option(
            help="CSV of known answers; masks on which people agreed if omitted.", callback=EXISTS
        ),
    ] = None,
    whole_images: Annotated[
        bool, typer.Option(help="estimate: sample whole images with all their masks.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    order: OrderOption = BY_PRIORITY,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="csv|json|coco|label-studio|cvat|fiftyone|huggingface",
            help="For which tool: label-studio, cvat and fiftyone get a folder, huggingface a "
            ".parquet file; other packages can add tools. By the ending of OUT if omitted.",
        ),
    ] = None,
    crops: Annotated[
        bool | None,
        typer.Option(
            "--crops/--whole",
            help="One cropped picture per mask, or whole images; as suits the tool if omitted.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the pictures, if the audit has none; for formats with pictures.",
            callback=FOLDER,
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...|all",
            help="Of CSV and JSON: the columns, beside those that decisions need on their way "
            "back. If omitted, ten useful ones are printed, and a file has all.",
        ),
    ] = None,
) -> None:
    """Select masks for review.

    It is recorded why each was selected. The file is for the annotation tool of your choice;
    import its export with `curate import`.
    """
    text = curate.write_queue(
        path,
        out,
        to=to,
        known=known,
        record=out is not None,
        kind=kind,
        budget=budget,
        minutes=minutes,
        seconds_per_mask=seconds_per_mask,
        overlap=overlap,
        honeypots=honeypots,
        whole_images=whole_images,
        seed=seed,
        order=order,
        crops=crops,
        images=images,
        columns=None if columns is None else [name.strip() for name in columns.split(",")],
    )
    print(text)
    if out is None:
        what = "write it to a file, whose column `decision` people fill in"
        print_steps([repeat(what, "--out", propose_output(Path("queue.csv"), ""))])
    else:
        print_steps(find_queue_steps(path, out, to))


def _check_target(path: Path | None) -> None:
    """Check the audit to import into: the given one, else the only one in this folder."""
    check_audit_or_engine(only_audit() if path is None else path)


RENAMED = {"all-looked": "assume-reviewed", "given": "exported"}
"""Old spellings of options of ``import``, which still work and stand in no help."""


@app.command(
    "import",
    context_settings={"token_normalize_func": lambda s: RENAMED.get(s, s)},
    epilog=show_examples(
        "curate import queue.csv --audit my.audit --reviewer ana",
        "curate import project.zip --audit my.audit",
        "curate import queue.csv --audit my.audit --take-back",
    ),
)
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The reviewed file, or the tool's export: a file, a zip, a folder.",
            callback=EXISTS,
        ),
    ],
    audit: Annotated[
        Path | None,
        typer.Option(
            metavar="AUDIT",
            help="The audit or engine it belongs to; the only audit here if omitted.",
            callback=make_callback(_check_target, omitted=True),
            is_eager=True,  # a file that is nowhere may be of an audit that is nowhere
        ),
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Who decided, if the file does not say.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="The format; detected automatically if omitted.")
    ] = None,
    exported: Annotated[
        str | None,
        typer.Option(
            help="For a corrected dataset: the exported subset, a file or a draw's number. If "
            "omitted: of a queue, the draws that its masks name, else the draw that it fits; of "
            "any other file, the whole source. Crops name their masks themselves."
        ),
    ] = None,
    same_iou: Annotated[
        float,
        typer.Option(
            help="For a corrected dataset: a mask with at least this IoU counts as unchanged."
        ),
    ] = 1.0,
    match: Annotated[
        str | None,
        typer.Option(
            metavar="iou",
            help="iou: match masks whose mask_id the tool lost by overlap, one to one: equal ones "
            "first, then by IoU, at least 0.5.",
            callback=choice("--match", ("iou",)),
        ),
    ] = None,
    assume_reviewed: Annotated[
        bool,
        typer.Option(
            "--assume-reviewed",
            help="For a corrected dataset: every image was reviewed, though nothing was changed. "
            "Without it an unchanged file is refused: it may be the exported one, untouched.",
        ),
    ] = False,
    take_back: Annotated[
        bool,
        typer.Option(
            "--take-back",
            help="Undo the import of FILE; with --reviewer, only of that person ('' for no name). "
            "It can be imported again.",
        ),
    ] = False,
    images: MovedImages = None,
    json: Json = False,
) -> None:
    """Import people's decisions from a file.

    Rows of CSV or JSON, a corrected COCO file, or a tool's export: Label Studio's JSON, CVAT's zips
    (CVAT for images 1.1 or COCO), FiftyOne's COCO folder and Hugging Face's Parquet are detected by
    content; masks are matched by mask_id.

    Imports all decisions, or none if one is invalid. Importing a file again changes nothing. In a
    corrected dataset, unchanged masks count as accepted.
    """
    if take_back:
        refuse_beside_take_back(format, exported, same_iou != 1, match, assume_reviewed)
    with collect_report_warnings() as said:
        done = (
            curate.take_back(file, audit, reviewer=reviewer, images=images)
            if take_back
            else curate.import_decisions(
                file,
                audit,
                reviewer=reviewer,
                format=format,
                exported=exported,
                same_iou=same_iou,
                match=match,
                assume_reviewed=assume_reviewed,
                images=images,
            )
        )
    show(done.as_dict() | said, done.text(), json)
    print_next_steps(only_audit() if audit is None else audit, json)


def refuse_beside_take_back(*given: object) -> None:
    """Refuse options that only matter for reading a file whose import is undone.

    Raises:
        CallError: One is set.
    """
    if any(given):
        what = "a file that is taken back is not read"
        raise CallError(what, "--take-back", "leave out all options but --reviewer and --audit")


@app.command(
    epilog=show_examples(
        "curate review my.audit",
        "curate review my.audit --kind estimate --budget 300 --reviewer ana",
        "curate review my.audit --kind missing",
        "curate review my.audit --host 0.0.0.0",
    ),
)
def review(
    path: AuditOrEnginePath,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar=show_choices(*QUEUE_KINDS),
            help="Continue the latest draw of this kind that has masks left; for errors (the "
            "default), else the whole ranking. missing: masks that a detector or verifier "
            "proposes where none is.",
            callback=choice("--kind", QUEUE_KINDS),
        ),
    ] = None,
    draw: Annotated[int | None, typer.Option(help="Continue the draw of this number.")] = None,
    budget: Annotated[int | None, typer.Option(help="New draw: maximum number of masks.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="New draw: time for the review, in minutes.")
    ] = None,
    seconds_per_mask: Annotated[float, typer.Option(help="Review time per mask.")] = 14.0,
    order: OrderOption = BY_PRIORITY,
    reviewer: Annotated[str, typer.Option(help="Reviewer's name shown at the start.")] = "",
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of the pictures; that of the audit if omitted.", callback=FOLDER),
    ] = None,
    segmenter: Annotated[
        str | None,
        typer.Option(help="A segmenter to redraw masks from clicks: a folder or a hub name."),
    ] = None,
    device: DeviceOption = None,
    guidelines: Annotated[
        Path | None,
        typer.Option(
            help="Guidelines to show on the page: a Markdown file, or a folder with one per "
            "category; guidelines.md or guidelines/ in the audit if omitted.",
            callback=EXISTS,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 for any free one.")] = 8765,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the token; else CURATE_REVIEW_TOKEN, else a new token, kept on disk."
        ),
    ] = None,
    open_page: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open", help="Open the page in a browser; the default in a terminal."
        ),
    ] = None,
) -> None:
    """Review masks in the browser, until stopped with Ctrl-C.

    Decisions are saved in the audit as they are made; several people can review at once.
    """
    curate.review(
        path,
        kind=kind,
        draw=draw,
        budget=budget,
        minutes=minutes,
        seconds_per_mask=seconds_per_mask,
        order=order,
        reviewer=reviewer,
        images=images,
        segmenter=segmenter,
        device=device,
        guidelines=guidelines,
        host=host,
        port=port,
        token_file=token_file,
        open_page=sys.stdout.isatty() if open_page is None else open_page,
    )
    print_next_steps(path)
