"""Commands about people: queue, import, agreement, learn, certify, estimate."""

from pathlib import Path
from typing import Annotated

import typer

from curate import api
from curate.cli.shared_options import AuditPath, Json, MovedImages, app, reported, show
from curate.common.progress import progress
from curate.errors import CallError

Unit = Annotated[
    str | None, typer.Option(help="mask or image, where random samples of both were drawn.")
]
Confidence = Annotated[float, typer.Option(help="Probability that it holds.")]


@app.command()
def queue(
    path: AuditPath,
    out: Annotated[
        Path | None,
        typer.Option(help="A new file, or folder, to write; CSV is printed if left out."),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            help="errors: likely and costly ones first. learn: what teaches most. estimate: a "
            "random sample, to certify and estimate from."
        ),
    ] = "errors",
    budget: Annotated[int | None, typer.Option(help="How many masks at most.")] = None,
    minutes: Annotated[float | None, typer.Option(help="How many minutes people have.")] = None,
    seconds_per_mask: Annotated[float, typer.Option(help="What one mask takes them.")] = 14.0,
    overlap: Annotated[
        float, typer.Option(help="Share of the masks that a second person gets too: 0.1.")
    ] = 0.0,
    honeypots: Annotated[
        float, typer.Option(help="Share of masks with a known answer, mixed in: 0.05.")
    ] = 0.0,
    known: Annotated[
        Path | None,
        typer.Option(help="CSV of known answers; those that people agreed on if left out."),
    ] = None,
    whole_images: Annotated[
        bool, typer.Option(help="estimate: draw images, with all their masks.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of what is drawn by chance.")] = 0,
    to: Annotated[
        str | None,
        typer.Option(
            help="csv, json, coco, label-studio (a folder), cvat (a folder), fiftyone (a folder) "
            "or huggingface (a .parquet file); by OUT's ending if left out."
        ),
    ] = None,
    crops: Annotated[
        bool | None,
        typer.Option(
            "--crops/--whole",
            help="Each mask as a picture of its own, cut out with what surrounds it, or whole "
            "images; as suits the tool if left out.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="The folder of pictures, if the audit was made without; for formats with pictures."
        ),
    ] = None,
) -> None:
    """Draw the masks that people look at, and record why each is shown.

    For whatever tool they use: what they do there comes back with `curate import`.
    """
    text = api.write_queue(
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
        crops=crops,
        images=images,
    )
    print(text)


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="What came back: a file, a zip or an export's folder."),
    ],
    audit: Annotated[
        Path | None,
        typer.Option(help="The audit it is about; the only one in this folder if left out."),
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Who decided, where the file does not say.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="The format, if not found by itself.")] = None,
    given: Annotated[
        str | None,
        typer.Option(
            help="For a corrected dataset: what people were given, a file or a draw's number. If "
            "left out, of a queue the draws that its masks name, else the draw that it fits; of "
            "any other file the whole source. Crops say it themselves."
        ),
    ] = None,
    same_iou: Annotated[
        float,
        typer.Option(help="For a corrected dataset: IoU from which on a mask is unchanged."),
    ] = 1.0,
    match: Annotated[
        str | None,
        typer.Option(
            help="iou: masks whose mask_id a tool lost are found by overlap, one to one, equal "
            "ones first, then those of an IoU of 0.5 and more."
        ),
    ] = None,
    all_looked: Annotated[
        bool,
        typer.Option(
            "--all-looked",
            help="For a corrected dataset: people went through all of it, though nothing in it was "
            "changed; else it is refused, for it may be the file that went out.",
        ),
    ] = False,
    take_back: Annotated[
        bool,
        typer.Option(
            "--take-back",
            help="What was imported from FILE counts for nothing any more; with --reviewer, only "
            "what counts as hers ('' for no name). It can be imported again.",
        ),
    ] = False,
    images: MovedImages = None,
    json: Json = False,
) -> None:
    """Import people's decisions: rows of CSV or JSON, a corrected COCO file, or a tool's export.

    Label Studio's JSON, CVAT's zips (CVAT for images 1.1 or COCO), FiftyOne's COCO folder and
    Hugging Face's Parquet are known by their content, masks by their mask_id.

    All of them, or none where one is wrong. Importing a file again changes nothing. Of a corrected
    dataset, masks that were left as they were count as accepted.
    """
    if take_back:
        refuse_beside_take_back(format, given, same_iou != 1, match, all_looked)
    with reported() as said:
        done = (
            api.take_back(file, audit, reviewer=reviewer, images=images)
            if take_back
            else api.import_decisions(
                file,
                audit,
                reviewer=reviewer,
                format=format,
                given=given,
                same_iou=same_iou,
                match=match,
                all_looked=all_looked,
                images=images,
            )
        )
    show(done.as_dict() | said, done.text(), json)


def refuse_beside_take_back(*given: object) -> None:
    """See that nothing is asked of a file that is only taken back.

    Raises:
        CallError: Something is.
    """
    if any(given):
        what = "a file that is taken back is not read"
        raise CallError(what, "--take-back", "leave out all options but --reviewer and --audit")


@app.command()
def agreement(path: AuditPath, json: Json = False) -> None:
    """Say how far people agree, and how each of them decides."""
    found = api.agreement(path)
    show(found.as_dict(), found.text(), json)


@app.command()
def learn(
    path: AuditPath,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Another audit, or a model's file, to start from."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of folds and trees.")] = 0,
    images: MovedImages = None,
    json: Json = False,
) -> None:
    """Learn from people's decisions: the quality becomes the probability of being good.

    It is used only if it beats the score without labels on images that it did not learn from.
    """
    with reported() as said, progress() as report:
        done = api.learn(path, start=start, seed=seed, images=images, progress=report)
    show(done.as_dict() | said, done.text(), json)


@app.command()
def certify(
    path: AuditPath,
    max_bad: Annotated[
        float, typer.Option(help="Largest share of bad masks among the accepted.")
    ] = 0.05,
    confidence: Confidence = 0.95,
    looks: Annotated[
        int, typer.Option(help="How often you will ask, at most, while people go on reviewing.")
    ] = 1,
    unit: Unit = None,
    dry_run: Annotated[bool, typer.Option(help="Leave the plan as it is.")] = False,
    images: MovedImages = None,
    json: Json = False,
) -> None:
    """Accept as much as a reviewed random sample proves to be good enough.

    Draw the sample with `curate queue AUDIT --kind estimate`. From then on the plan accepts only
    what is certified; a new policy or a new quality model ends that.
    """
    with reported() as said:
        found = api.certify(
            path,
            max_bad=max_bad,
            confidence=confidence,
            looks=looks,
            dry_run=dry_run,
            images=images,
            unit=unit,
        )

    from curate.people.guarantees.certificate_texts import certificate_dict, format_certificate
    from curate.people.guarantees.overrides import describe_overrides

    standing = api.certificate_standing(path, found)
    text = "\n".join([format_certificate(found), " ".join(describe_overrides(standing))]).rstrip()
    show(certificate_dict(found) | {"standing": standing.as_dict()} | said, text, json)


@app.command()
def estimate(
    path: AuditPath,
    confidence: Confidence = 0.95,
    unit: Unit = None,
    images: MovedImages = None,
    json: Json = False,
) -> None:
    """Estimate how good the dataset is, with intervals, from a reviewed random sample."""
    with reported() as said:
        found = api.estimate(path, confidence=confidence, images=images, unit=unit)

    from curate.people.guarantees.certificate_texts import estimate_dict, format_estimate

    show(estimate_dict(found) | said, format_estimate(found), json)
