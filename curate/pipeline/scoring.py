"""First stage of an audit: reading and scoring by parts, resumable, in several processes.

Two stages. *Scoring* writes one Parquet part of masks and one of images for each part of the
source; a part that is there is done. *Deciding* (see :mod:`curate.pipeline.deciding`) adds what
needs all parts at once: references, quality, the plan and the rank. Both give the same files
however often they are cut off and run again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from curate import __version__
from curate.archives.unpacked import shown_path
from curate.common import files
from curate.common.fingerprint import fingerprint
from curate.common.locks import hold_directory
from curate.common.pool import Pool
from curate.common.progress import COMPILING, Progress
from curate.common.ranges import check_numbers
from curate.dataset.notes import Note, as_dicts, replace_notes
from curate.dataset.table import MaskTable
from curate.dataset.version_id import VersionHash, image_digests
from curate.errors import CallError, SourceError
from curate.formats.format import Format, Part, ReadOptions
from curate.formats.reading import detect, find_others_beside
from curate.images import ImageFolder, worse_status
from curate.networks.detectors.detections import Detector, detect_images
from curate.networks.encoders.encoder import MaskEncoder
from curate.networks.loading import load_detector, load_encoder, load_segmenter
from curate.networks.segmenters.embedding_cache import EmbeddingCache
from curate.networks.segmenters.segmenter import Segmenter
from curate.networks.verifiers.verifier import Verifier, load_verifier
from curate.people.reviews.review_file import check_same_dataset
from curate.pipeline.chunked_scoring import (
    Tell,
    add_up_shares,
    chunk_size,
    score_in_chunks,
)
from curate.pipeline.crowd_masks import (
    OBJECTS,
    REGIONS,
    as_objects,
    crowd_notes,
    judge_as_objects,
    mostly_crowd,
    with_regions,
)
from curate.pipeline.deciding import decide_audit, with_version
from curate.pipeline.declared_sizes import size_notes, with_other_sizes
from curate.pipeline.input_joins import Found, Joins, join_inputs
from curate.pipeline.inputs import Inputs, availability
from curate.pipeline.join_facts import own_picture_facts
from curate.pipeline.likely_corrections import find_corrections
from curate.pipeline.picture_notes import picture_notes
from curate.pipeline.reference_sources import ReferenceSource, prepare_source
from curate.pipeline.source_images import own_files
from curate.policy.policy import Policy, load_policy
from curate.rle.codec import are_kernels_cached
from curate.scorers import score
from curate.scorers.reprompt import Prompter
from curate.scorers.stability import SoftMasks
from curate.scorers.unmasked_objects import join_missing
from curate.store.audit import StoredAudit, claim, release
from curate.store.audit_files import (
    WORK,
    count_parts,
    is_scored,
    scored_path,
    with_notes,
    write_info,
    write_scored,
)
from curate.store.audit_info import SCORING, AuditInfo
from curate.store.audit_records import AuditIdentity, ModelRecord, SourceRecord
from curate.store.mask_corrections import CORRECTIONS, MaskCorrection, write_corrections


@dataclass(frozen=True)
class Job:
    """Inputs and settings with which a worker scores any part; picklable."""

    source: Path
    format: str
    reading: ReadOptions
    out: Path
    images: Path | None
    own_pictures: bool
    soft_masks: Path | None
    detections: ReferenceSource | None
    compare: tuple[ReferenceSource, ...]
    segmenter: str | None
    detector: str | None
    verifier: str | None
    encoder: str | None
    device: str | None
    deep: bool
    crowd: str
    parameters: Mapping[str, Mapping[str, object]]
    offsets: tuple[int, ...]


def score_part(
    job: Job,
    part: Part,
    found: Found,
    progress: Progress | None = None,
    *,
    tell: Tell | None = None,
) -> int:
    """Load, score and write one part, whose files were found before; return its masks.

    Where somebody listens, ``tell`` is called with shares of the part, which sum up to 1.
    """
    chosen = detect(job.source, job.format, job.reading)
    table = chosen.load(job.source, part)
    inputs = _open_inputs(job, chosen.path_read(job.source), table, part.index, found)
    kept = job.out / WORK / "prompted" / f"part-{part.index:06d}"
    if job.segmenter is not None:
        inputs["segmenter"] = _prompter(job, table, kept, progress)
    judged = as_objects(table) if job.crowd == OBJECTS else table
    if tell is None or job.segmenter is not None:  # which tells of each image itself
        masks = score(judged, inputs=inputs, parameters=job.parameters, two_step=False)
        images = score(judged, inputs=inputs, parameters=job.parameters, level="image")
    else:
        masks, images = score_in_chunks(judged, inputs, job.parameters, chunk_size(job.out), tell)
    if job.verifier is not None or job.compare:
        write_corrections(job.out, part.index, _find_corrections(job, judged, masks, inputs))
    images = join_missing(images)
    version = VersionHash()
    version.update(image_digests(table.masks, table.images, table.runs))
    frames = {
        "images": (_with_picture_status(table.images, images), images),
        "masks": (_with_model_scores(with_regions(judged, table), masks), masks),
    }
    frames["masks"] = (with_other_sizes(frames["masks"][0], images), masks)
    for kind, (frame, scores) in frames.items():
        columns = frame.join(scores) if scores.shape[1] else frame
        arrow = pa.Table.from_pandas(columns, preserve_index=True, nthreads=1)
        if kind == "images":
            arrow = with_notes(with_version(arrow, version), table.notes)
        write_scored(scored_path(job.out, kind, part.index), arrow)
    files.remove_tree(kept, quiet=True)
    if tell is not None and job.segmenter is not None:
        tell(1.0, len(table))
    return len(table)


def _find_corrections(
    job: Job, table: MaskTable, scores: pd.DataFrame, inputs: Mapping[str, object]
) -> list[MaskCorrection]:
    """Return the likely corrections of a part's masks, from the inputs that they were scored by."""
    pictures = inputs.get("images")
    compare = inputs.get("compare", {})
    assert isinstance(compare, Mapping), "sets by name"
    return find_corrections(
        table,
        scores,
        images=pictures if isinstance(pictures, ImageFolder) else None,
        verifier=None if job.verifier is None else _verifier(job.verifier, job.device),
        compare=compare,
    )


def _prompter(job: Job, table: MaskTable, kept: Path, progress: Progress | None) -> Prompter:
    """Set the segmenter to work on a part, telling of each image where somebody listens."""
    assert job.segmenter is not None, "the caller has seen to it"
    segmenter = _segmenter(job.segmenter, job.device)
    images = table.masks["image_id"].nunique()
    done = 0

    def count_image(masks: int) -> None:
        nonlocal done
        done += 1
        if progress:
            where = f"{segmenter.device}, {segmenter.precision}"
            progress(f"prompting on {where}", done, images, masks)

    return Prompter(segmenter, EmbeddingCache(), kept, count_image)


@cache
def _segmenter(name: str, device: str | None) -> Segmenter:
    """Load a segmenter once a process."""
    return load_segmenter(name, device=device)


@cache
def _detector(name: str, device: str | None) -> Detector:
    return load_detector(name, device=device)


@cache
def _verifier(name: str, device: str | None) -> Verifier:
    return load_verifier(name, device=device)


@cache
def _encoder(name: str, device: str | None) -> MaskEncoder:
    return load_encoder(name, device=device)


@cache
def _pictures(folder: Path) -> ImageFolder:
    """Open a folder of pictures once a process: listing a huge one takes its time."""
    return ImageFolder(folder)


@cache
def _soft_masks(folder: Path) -> SoftMasks:
    return SoftMasks(folder)


def _with_picture_status(images: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Let the graver of what the source and what the picture's file says stand as the status."""
    if "picture_status" not in found:
        return images
    names = {"picture_status": "status", "picture_status_detail": "status_detail"}
    seen = found[list(names)].rename(columns=names)
    graver = worse_status(images, seen)
    return images.assign(status=graver["status"], status_detail=graver["status_detail"])


def _with_model_scores(masks: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Give every audit the two scores of SAM; a stored stability is never replaced."""
    if "predicted_iou" not in masks:
        masks = masks.assign(predicted_iou=np.nan)
    if "stability_score" not in masks:
        masks = masks.assign(stability_score=np.nan)
    for name, computed in (
        ("stability_score", "computed_stability_score"),
        ("stability_score", "segmenter_stability_score"),
        ("predicted_iou", "segmenter_predicted_iou"),
    ):
        if computed in found:
            masks = masks.assign(**{name: masks[name].fillna(found[computed])})
    return masks


def _open_inputs(
    job: Job, source: Path, table: MaskTable, index: int, found: Found
) -> dict[str, object]:
    """Open what a part's images need of the inputs."""
    inputs: dict[str, object] = {}
    first = job.offsets[index] if job.offsets else 0
    if job.images is not None:
        folder = _pictures(job.images)
        if job.own_pictures:
            names = table.images["file_name"].to_numpy(object).tolist()
            inputs["images"] = folder.exactly(names, own_files(source, table))
        else:
            inputs["images"] = folder.knowing(found["images"])
    if job.soft_masks is not None:
        inputs["soft_masks"] = _soft_masks(job.soft_masks).knowing(found["soft_masks"])
    if job.detections is not None:
        inputs["detections"] = job.detections.of(table, first)
    if job.detector is not None:
        pictures = inputs["images"]
        assert isinstance(pictures, ImageFolder), "a detector needs pictures"
        inputs["detections"] = detect_images(table, pictures, _detector(job.detector, job.device))
    if job.verifier is not None:
        inputs["verifier"] = _verifier(job.verifier, job.device)
    if job.encoder is not None:
        inputs["encoder"] = _encoder(job.encoder, job.device)
    if job.compare:
        inputs["compare"] = {side.name: side.of(table, first) for side in job.compare}
    if job.deep:
        inputs["deep"] = True
    return inputs


def audit(
    source: Path,
    out: Path,
    *,
    format: str | None = None,
    inputs: Inputs | None = None,
    policy: Policy | None = None,
    parameters: Mapping[str, Mapping[str, object]] | None = None,
    workers: int = 1,
    restart: bool = False,
    progress: Progress | None = None,
) -> StoredAudit:
    """Score a source's masks and decide on each; continue where an earlier run was cut off.

    Args:
        source: A file or folder in any format of :func:`curate.formats.all_formats`.
        out: The audit directory; new, empty, or an earlier run's of the same source and settings.
        format: The source's format, where its content does not tell.
        inputs: Pictures, detections, other annotations, soft masks.
        policy: What to do about the scores; the preset ``default`` if None.
        parameters: Keyword parameters by scorer name.
        workers: Processes. Each needs about 300 MB.
        restart: Throw away what ``out`` holds of an earlier audit.
        progress: Called with progress.

    Returns:
        The finished audit.

    Raises:
        SourceError: The source as a whole cannot be read.
        CallError: An argument is wrong.
        AuditError: ``out`` cannot be used or written.
    """
    inputs, parameters, policy = inputs or Inputs(), parameters or {}, policy or load_policy()
    check_numbers(workers=workers)
    started = time.monotonic()
    chosen = detect(source, format, inputs.read_options())
    inputs = inputs.with_own_pictures(source, chosen)
    inputs.check()
    if inputs.annotations is not None and chosen.name != "coco-results":
        what = f"--annotations given, but {source.name} is {chosen.title} and names its own images"
        raise CallError(what, "", "leave it out; for other annotations give --compare NAME=FILE")
    models = _open_models(inputs)
    read_as: SourceRecord = {
        "path": source.name,
        "format": chosen.name,
        "fingerprint": fingerprint(source),
    }
    identity: AuditIdentity = {
        "source": read_as,
        "inputs": inputs.fingerprints(),
        "settings": {
            "deep": inputs.deep,
            "crowd": inputs.crowd,
            **inputs.read_options().to_record(),
            **({"pictures": inputs.pictures_are} if inputs.pictures_are else {}),
            **{name: model.get("fingerprint") for name, model in models.items()},
            **{k: dict(v) for k, v in parameters.items()},
        },
        "version": __version__,
    }
    with hold_directory(out, "audit"), Pool(workers) as pool:
        check_same_dataset(StoredAudit(out, AuditInfo(SCORING, source=read_as)))
        info = claim(out, identity, restart)
        if info is None:
            info = _new_info(source, identity, inputs, models)
            write_info(out, info)
        if info.state == SCORING:
            scored = partial(
                _score_all, pool, source, out, chosen.name, inputs, parameters, progress
            )
            try:
                joins = scored(info.crowd or REGIONS)
                if inputs.crowd == "auto" and info.crowd != OBJECTS and mostly_crowd(out):
                    info = judge_as_objects(out, info)
                    joins = scored(info.crowd or REGIONS)
            except SourceError:
                if not count_parts(out):
                    release(out)  # or the call with the mistake mended would find a stranger here
                raise
            seconds = round(time.monotonic() - started, 3)
            if inputs.pictures_are:
                joins.facts["pictures"] = own_picture_facts(out, inputs.pictures_are)
            notes = replace_notes(info.notes, as_dicts(joins.notes, {}))
            notes = replace_notes(notes, crowd_notes(out, info.crowd))
            notes = replace_notes(notes, as_dicts(_note_beside(source, chosen), {}))
            notes = replace_notes(notes, [*size_notes(out), *picture_notes(out)])
            info = replace(
                info,
                timings={**info.timings, "scoring_s": seconds},
                signals=availability(inputs),
                joins=joins.facts,
                notes=notes,
            )
        return decide_audit(out, info, policy, pool, progress)


def _new_info(
    source: Path,
    identity: AuditIdentity,
    inputs: Inputs,
    models: Mapping[str, ModelRecord],
) -> AuditInfo:
    """Return ``audit.json`` of an audit that has just begun."""
    return AuditInfo(
        SCORING,
        identity=identity,
        source={**identity["source"], "path": str(source.resolve())},
        inputs={name: str(shown_path(path.resolve())) for name, path in inputs.paths().items()},
        settings=identity["settings"],
        models=models,
        crowd=REGIONS if inputs.crowd == "auto" else inputs.crowd,
        tool="curate",
        tool_version=__version__,
    )


def _note_beside(source: Path, chosen: Format) -> list[Note]:
    """Say which other sources lie in a folder, and are not read with it."""
    others = find_others_beside(source, chosen)
    named = ", ".join(f"{name} ({title})" for name, title in others.items())
    text = f"read as {chosen.title}; beside it, and not read: {named}"
    return [Note("others_beside", text, len(others), "files")] if others else []


def _open_models(inputs: Inputs) -> dict[str, ModelRecord]:
    """Load the models that are given, and say what they are and where they run."""
    opened: dict[str, Segmenter | Detector | Verifier | MaskEncoder] = {}
    if inputs.segmenter is not None:
        opened["segmenter"] = _segmenter(inputs.segmenter, inputs.device)
    if inputs.detector is not None:
        opened["detector"] = _detector(inputs.detector, inputs.device)
    if inputs.verifier is not None:
        opened["verifier"] = _verifier(inputs.verifier, inputs.device)
    if inputs.encoder is not None:
        opened["encoder"] = _encoder(inputs.encoder, inputs.device)
    found: dict[str, ModelRecord] = {
        kind: {
            "name": str(model.name),
            "fingerprint": str(model.fingerprint),
            "device": str(model.device),
            "precision": str(model.precision),
        }
        for kind, model in opened.items()
    }
    if inputs.verifier is not None:
        verifier = _verifier(inputs.verifier, inputs.device)
        worth, finder = verifier.worth, verifier.finder
        found["verifier"]["held_out_auc"] = worth.mean_auc
        found["verifier"]["weight"] = worth.weight
        if finder is not None:
            found["verifier"]["missing_masks_auc"] = finder.worth.images_auc
            found["verifier"]["proposes_masks"] = finder.worth.counts
        if verifier.grids is not None:
            found["verifier"]["encoder"] = verifier.grids.encoder.name
    return found


def _score_all(
    pool: Pool,
    source: Path,
    out: Path,
    format: str,
    inputs: Inputs,
    parameters: Mapping[str, Mapping[str, object]],
    progress: Progress | None,
    crowd: str,
) -> Joins:
    """Score every part that is not there yet; return how the inputs were joined."""
    if progress:
        if not are_kernels_cached():
            progress(COMPILING, 0, 0, 0)
        progress("reading", 0, 0, 0)
    work = out / WORK
    with files.convert_write_errors(out):
        files.mkdir(work, parents=True, exist_ok=True)
        for folder in (out, out / "masks", out / "images", out / CORRECTIONS):
            files.remove_temporaries(folder)
    with files.convert_write_errors(work):
        told = ReadOptions(images=inputs.images)
        parts = list(detect(source, format, inputs.read_options()).plan(source, work))
        sides = [prepare_source(name, path, work, told) for name, path in inputs.compare.items()]
        given = {"detections": inputs.detections} if inputs.detections else {}
        found = [prepare_source(name, path, work, told) for name, path in given.items()]
        detections = found[0] if found else None
    joins = join_inputs(pool, source, out, format, inputs, parts, [*sides, *found])
    if detections is not None:
        alike = joins.same_categories["detections"]
        known = {"categories": detections.categories() if alike else ()}
        parameters = {**parameters, "detector": known | dict(parameters.get("detector", {}))}
    job = Job(
        source,
        format,
        inputs.read_options(),
        out,
        inputs.images,
        inputs.own_pictures is not None,
        inputs.soft_masks,
        detections,
        tuple(sides),
        inputs.segmenter,
        inputs.detector,
        inputs.verifier,
        inputs.encoder,
        inputs.device,
        inputs.deep,
        crowd,
        parameters,
        joins.offsets,
    )
    waiting = [part for part in parts if not is_scored(out, part.index)]
    listening = (progress,) if pool.workers == 1 else ()
    tasks = ((job, part, joins.found_of(part), *listening) for part in waiting)
    for _ in pool.run(score_part, tasks, add_up_shares(progress, len(parts), len(waiting))):
        pass
    return joins
