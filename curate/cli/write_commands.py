"""Commands that write datasets: prune, write."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import curate
from curate.cli.command_groups import show_examples
from curate.cli.next_steps import print_steps, repeat
from curate.cli.shared_options import (
    EXISTS,
    AuditPath,
    Json,
    app,
    choice,
    make_callback,
    show,
    show_choices,
)
from curate.common.progress import show_progress
from curate.common.ranges import DUPLICATES, PICTURES, SUBSETS
from curate.errors import DuplicateError
from curate.formats.edits import MASKS, OVERLAPS
from curate.policy.grammar import check_actions
from curate.reporting.next_steps import find_written_steps, make_step, propose_output
from curate.writing.exports import export_by_name, export_names

if TYPE_CHECKING:
    from curate.writing.format_losses import FormLoss
    from curate.writing.write_result import WriteResult

Drop = Annotated[
    list[str] | None,
    typer.Option(
        help="Actions to drop besides reject: review. Repeatable.",
        callback=make_callback(lambda drop: check_actions(_actions_to_drop(drop), "--drop")),
    ),
]
Overlap = Annotated[
    str | None,
    typer.Option(
        metavar=show_choices(*OVERLAPS),
        help="In instance-id images, which mask gets shared pixels: new is the changed or "
        "added one. Overlaps are an error if omitted.",
        callback=choice("--overlap", OVERLAPS),
    ),
]
Lossy = Annotated[
    bool,
    typer.Option("--lossy", help="Write even if the format of --to cannot hold everything."),
]
Source = Annotated[
    Path | None,
    typer.Option(
        help="New place of the audited dataset, if it was moved; a file must keep its name.",
        callback=EXISTS,
    ),
]
Provenance = Annotated[
    Path | None,
    typer.Option(
        help="File for the provenance of each mask (.parquet or .json); "
        "OUT.provenance.parquet if omitted."
    ),
]
KeepMasks = Annotated[
    str | None,
    typer.Option(
        metavar="N|SHARE",
        help="Keep only the best and most different masks: a number, 50% or 0.5; all if omitted.",
    ),
]
Floor = Annotated[int, typer.Option(help="Masks of each category that --keep keeps.")]
Ignore = Annotated[
    bool,
    typer.Option(
        "--ignore",
        help="Make ignore regions of masks that leave (iscrowd 1 in COCO, the void id in "
        "instance-id images), but of duplicates.",
    ),
]
Yes = Annotated[
    bool,
    typer.Option("--yes", help="Write even if many masks are removed for format errors."),
]


def _actions_to_drop(drop: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(["reject", *(drop or [])]))


@app.command(
    epilog=show_examples(
        "curate prune my.audit",
        "curate prune my.audit --out pruned.json",
        "curate prune my.audit --keep 50% --out half.json",
    ),
)
def prune(
    path: AuditPath,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Place of the pruned dataset, a folder if it ends in /; a dry run if omitted.",
        ),
    ] = None,
    drop: Drop = None,
    keep: KeepMasks = None,
    floor: Floor = 10,
    seed: Annotated[int, typer.Option(help="With --keep, seed of the choice among equals.")] = 0,
    ignore: Ignore = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Write weights in [0, 1] to this file (.parquet or .csv), and no dataset; with "
            "--keep they sum up to that many masks."
        ),
    ] = None,
    source: Source = None,
    provenance: Provenance = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Write the dataset back without the rejected masks.

    Or, with --keep, the best part of it. The format and everything else in it stay. For masks that
    people redrew, added or relabelled use `curate write`. Exits with code 2, in a dry run too, if
    --yes is needed.
    """
    with show_progress(at_once=False) as progress:
        result = curate.prune(
            path,
            out,
            drop=_actions_to_drop(drop),
            keep=keep,
            floor=floor,
            seed=seed,
            ignore=ignore,
            weights=weights,
            source=source,
            provenance=provenance,
            yes=yes,
            show=None
            if json or out is None
            else lambda meant: print(meant.effect_text(), flush=True),
            progress=progress,
        )
    show(result.as_dict(), result.text(), json)
    if weights is None:
        _print_next(path, result.source, result.out, json, result.form.needs_yes)
    _exit_as_written(result.form)


@app.command(
    epilog=show_examples("curate restore pruned.json --mask 42 --out restored.json"),
)
def restore(
    dataset: Annotated[
        Path,
        typer.Argument(metavar="DATASET", help="A dataset that prune or write made."),
    ],
    mask: Annotated[int, typer.Option(help="Id of the mask in the audit.")],
    provenance: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="The provenance of the dataset; DATASET.provenance.parquet if omitted.",
        ),
    ] = None,
    overlap: Overlap = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Place of the new dataset, a folder if it ends in /; a dry run if omitted.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Bring back one mask that prune or write removed.

    Its pixels come from the provenance; one that became an ignore region is a mask again. All else
    stays as it is, and the new provenance says that the mask was restored.
    """
    result = curate.restore(dataset, mask, out, overlap=overlap, provenance=provenance)
    show(result.as_dict(), result.text(), json)
    if out is None:
        place = propose_output(dataset, "restored")
        print_steps([repeat("write it", "--out", place)], json)
    else:
        print_steps([make_step("see what is different", "diff", dataset, result.out)], json)


@app.command(
    epilog=show_examples(
        "curate write my.audit",
        "curate write my.audit --out corrected.json",
        "curate write my.audit --to yolo --split train=0.8,val=0.2 --out yolo",
        "curate write my.audit --keep 50% --ignore --to coco --out half",
    ),
)
def write(
    path: AuditPath,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Place of the new dataset, a folder if it ends in /; a dry run if omitted.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help=f"The format: {', '.join(export_names())}; the source's if omitted.",
        ),
    ] = None,
    drop: Drop = None,
    masks: Annotated[
        str,
        typer.Option(
            metavar=show_choices(*MASKS),
            help="Encoding of new masks. same: as before; RLE where a polygon cannot be exact.",
            callback=choice("--masks", MASKS),
        ),
    ] = "same",
    overlap: Overlap = None,
    duplicates: Annotated[
        str | None,
        typer.Option(
            metavar=show_choices(*DUPLICATES),
            help="Added masks whose object already has a mask; asked if omitted.",
            callback=choice("--duplicates", DUPLICATES),
        ),
    ] = None,
    category: Annotated[
        str | None, typer.Option(help="Category of added masks without one.")
    ] = None,
    attributes: Annotated[
        bool,
        typer.Option(
            "--attributes", help="Also store people's changes in the dataset, as attributes."
        ),
    ] = False,
    lossy: Lossy = False,
    images: Annotated[
        str | None,
        typer.Option(
            metavar=show_choices(*PICTURES),
            help="With --to, the pictures; link: hard links. copy if omitted for formats that need "
            "them.",
            callback=choice("--images", PICTURES),
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="With --to, splits by image: train=0.8,val=0.1,test=0.1. Stratified by category; "
            "near-duplicates and videos stay together."
        ),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            help="What keeps images in one split: a column of the audit's images, or a regular "
            "expression on their names."
        ),
    ] = None,
    keep: KeepMasks = None,
    floor: Floor = 10,
    ignore: Ignore = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Also write weights in [0, 1] to this file (.parquet or .csv), by mask id; with "
            "--keep they sum up to that many masks, and all masks stay."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the splits, and of --keep's choice among equals.")
    ] = 0,
    only: Annotated[
        str | None,
        typer.Option(
            metavar=show_choices(*SUBSETS),
            help="certified (masks that a certificate covers or people accepted) or "
            "certified-images (images all of whose masks are such).",
            callback=choice("--only", SUBSETS),
        ),
    ] = None,
    provenance: Provenance = None,
    source: Source = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Write the dataset with people's decisions in it.

    Rejected masks are removed, redrawn and added ones are in. Everything else stays. Without --out
    it prints what would change, with --json mask by mask. Exits with code 2, in a dry run too, if
    --yes or --lossy is needed.
    """
    write_as_asked = partial(
        curate.write,
        path,
        out,
        to=to,
        drop=_actions_to_drop(drop),
        masks=masks,
        overlap=overlap,
        category=category,
        attributes=attributes,
        lossy=lossy,
        images=images,
        split=split,
        group_by=group_by,
        seed=seed,
        keep=keep,
        floor=floor,
        only=only,
        ignore=ignore,
        weights=weights,
        provenance=provenance,
        source=source,
        yes=yes,
        show=None if json or out is None else _show_effect,
    )
    try:
        with show_progress(at_once=False) as progress:
            result = write_as_asked(duplicates=duplicates, progress=progress)
    except DuplicateError as error:  # ask whoever sits at the terminal
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise
        print(error.what)
        agreed = typer.confirm("Write them all the same? (No leaves them out.)")
        with show_progress(at_once=False) as progress:
            result = write_as_asked(duplicates="keep" if agreed else "drop", progress=progress)
    show(result.as_dict(), result.text(), json)
    lossy_needed = result.losses is not None and result.losses.needs_lossy
    needs_yes = result.changes.form.needs_yes
    _print_next(path, result.source, result.readable, json, needs_yes, lossy_needed, to)
    _exit_as_written(result.changes.form)
    if result.out is None and lossy_needed:
        raise typer.Exit(2)


def _show_effect(meant: WriteResult) -> None:
    if meant.plan is not None:
        print(meant.effect_text(), flush=True)


def _print_next(
    path: Path,
    source: Path,
    out: Path | None,
    json: bool,
    needs_yes: bool,
    needs_lossy: bool = False,
    to: str | None = None,
) -> None:
    """Print what comes after a dry run, or after a dataset was written."""
    if out is not None:
        print_steps(find_written_steps(path, source, out), json)
        return
    place = propose_output(source, ending=None if to is None else export_by_name(to).suffix)
    more = [*["--yes"] * needs_yes, *["--lossy"] * needs_lossy, "--out", place]
    print_steps([repeat(f"write it{' all the same' * (needs_yes or needs_lossy)}", *more)], json)


def _exit_as_written(form: FormLoss) -> None:
    """End a dry run with the code of the real one, which would be refused."""
    if form.needs_yes:
        raise typer.Exit(2)
