"""Writing of a dataset with people's decisions, verified by reading it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from curate.common import files
from curate.common.archive_kinds import GZIP, archive_kind, content_name
from curate.common.paths import AnyPath, as_path
from curate.errors import CallError
from curate.formats.edits import Stored
from curate.formats.format import Format
from curate.formats.table_builder import plain
from curate.people.reviews.current_plan import open_audit
from curate.store.audit import AnyAudit
from curate.writing.changes import Changes, WriteOptions, changes, with_stored
from curate.writing.exporting import ExportChoices, Exporting
from curate.writing.exports import export_names
from curate.writing.naming import (
    DATASET,
    NOTE,
    beside,
    name_both,
    refuse_other_archive,
    refuse_place,
)
from curate.writing.provenance import place_of, refuse_inside, write_provenance
from curate.writing.pruning import Expected, Made, audited_source, write_checked
from curate.writing.splitting import SplitOptions, parse_split
from curate.writing.write_result import WriteResult


def write(
    audit: AnyAudit,
    out: AnyPath | None = None,
    *,
    to: str | None = None,
    drop: Sequence[str] = ("reject",),
    masks: str = "same",
    overlap: str | None = None,
    duplicates: str | None = None,
    category: str | None = None,
    attributes: bool = False,
    lossy: bool = False,
    images: str | None = None,
    split: str | Mapping[str, float] | None = None,
    group_by: str | None = None,
    seed: int = 0,
    only: str | None = None,
    source: AnyPath | None = None,
    provenance: AnyPath | None = None,
    yes: bool = False,
) -> WriteResult:
    """Write an audited dataset as it is now, in its own format or another.

    Rejected masks are left out, redrawn ones stand in the place of the old ones with their ids and
    all other fields, added ones are new, categories are corrected; all else is as it was. The
    output is written beside its place, read back, compared with what was meant, mask by mask and to
    the pixel, and only then named. The source is never touched.

    Args:
        audit: The audit, or its directory.
        out: Where; must not exist. None only says what would change.
        to: The format: a name of :func:`curate.writing.exports.export_names`, or the source's own;
            None for its own.
        drop: Masks of which actions go beside the rejected ones: "review".
        masks: How new pixels are stored: "same" (as before; as run lengths where a polygon cannot
            be exact), "polygon" or "rle".
        overlap: "new" or "old": whose a pixel is that two masks claim where a pixel has one id
            only; None: refuse.
        duplicates: "keep" or "drop": what to do with an added mask whose object has a mask already;
            None: refuse.
        category: Category of added masks that have none.
        attributes: Note in the dataset itself what people did, where the format can.
        lossy: Write in another format though that cannot carry everything; see
            :mod:`curate.writing.exports.losses`.
        images: What is done with the pictures, in another format: "copy", "link" (hard links) or
            "none"; None: "copy" for formats that need them, else "none".
        split: Shares of splits by name, as a mapping or as "train=0.8,val=0.1,test=0.1"; None: no
            splits. See :mod:`curate.writing.splitting`.
        group_by: A column of the audit's images, or a regular expression on their names (its first
            group, if it has one), by which images stay in one split.
        seed: Of the splits; the same seed makes the same splits.
        only: "certified" writes the masks that a certificate covers or people accepted alone,
            "certified-images" the images all of whose masks are such. None: all.
        source: Where the audited dataset is now; None: where it was.
        provenance: Where it is written what happened to each mask (.parquet or .json); None: beside
            ``out``, with ``.provenance.parquet`` behind its name.
        yes: Write though much is removed for format errors; see
            :mod:`curate.writing.format_losses`.

    Raises:
        CallError: ``out`` or an option cannot be used, the format cannot hold what people decided
            or all of the dataset (see ``lossy``), or much is removed for format errors.
        DuplicateError: An added mask is of an object that has one, and nothing says what to do.
        SourceError: The source is gone, cannot be read or has changed since the audit.
        AuditError: ``out`` cannot be written, or what was written is not what was meant (then it is
            removed again).
    """
    options = WriteOptions(drop, masks, overlap, duplicates, category, attributes)
    out, moved_to, asked = as_path(out), as_path(source), as_path(provenance)
    audit, place = open_audit(audit).pin(), asked
    source, form = audited_source(audit, moved_to)
    splits = None if split is None else SplitOptions(parse_split(split), seed, group_by)
    if splits is None and group_by is not None:
        raise CallError("images are grouped for splits alone", "--group-by", "add --split")
    choices = _choices(form, to, ExportChoices("", masks, images, splits, only, lossy))
    if out is not None:
        refuse_place(source, audit.path, out)
        if choices is None:
            refuse_other_archive(source, out)
        place = place_of(out, asked)
        refuse_inside(place, out, source, audit.path)
    elif asked is not None:
        raise CallError("a provenance file needs an output", "--provenance", "give --out")
    found = changes(audit, options, agreed=yes)
    before = audit.info.version or ""
    result = WriteResult(source, form.name, found, audit.path, version_before=before)
    export = None
    if choices is not None:
        export = Exporting.of(audit, form, found.edits, choices)
        result = replace(result, format=choices.to, export=export)
        if out is not None:
            export.refuse_ending(out)
    if out is None or place is None:
        edits = found.edits
        if edits.only_drops:  # leaving masks out is never refused, only the format and the options
            edits = replace(edits, drop=frozenset())
        stored = Stored() if export is not None else form.write(source, None, edits)
        return replace(result, changes=with_stored(audit, found, stored), stored=stored)
    found.form.refuse(str(audit.path))
    with beside(out) as folder:
        made = folder / DATASET / (source.name if export is None else out.name)
        files.mkdir(made.parent)
        if export is not None:
            done = export.write(made, out)
        else:
            meant = Expected(found.masks_after, audit.info.version)
            done = write_checked(form, source, made, found.edits, meant, out)
        found = with_stored(audit, found, done.stored)
        found = _with_places(found, done, made, out)
        note = folder / f"{NOTE}{place.suffix}"
        noted = None if export is None else export.notes()
        write_provenance(audit, found, done.version, place, note, noted)
        audit.check_unchanged()
        name_both(made, out, note, place, renew=asked is None)
    return replace(
        result,
        changes=found,
        out=out,
        provenance=place,
        version=done.version,
        stored=done.stored,
    )


def _choices(form: Format, to: str | None, asked: ExportChoices) -> ExportChoices | None:
    """Return the choices for an export; None where the format stays and its own writer serves.

    Raises:
        CallError: There is no such format, or it cannot be exported as is asked.
    """
    own = to in (None, form.name)
    if own and asked == ExportChoices("", asked.masks, lossy=asked.lossy):
        return None
    if (to or form.name) not in export_names():
        what = f"{form.name} cannot be written as {to}"
        if own:
            what = f"{form.name} is written as it is only, without splits, pictures and subsets"
        raise CallError(what, "--to", f"use one of {', '.join(export_names())}")
    return replace(asked, to=to or form.name)


def _with_places(found: Changes, done: Made, made: Path, out: Path) -> Changes:
    """Return the changes with the new ids and source keys of masks."""
    rows = found.rows.copy()
    # Keys begin with the name of a file; those of a gzip file with that of its content.
    named = content_name if archive_kind(made) == GZIP else str
    prefix = "" if made.is_dir() else plain(named(made.name))
    added = rows.index[rows["change"] == "added"]
    for number, place in done.places.items():
        key = place.source_key
        if prefix and key.startswith(prefix):
            key = plain(named(out.name)) + key.removeprefix(prefix)
        rows.loc[added[number], "new_mask_id"] = place.mask_id
        rows.loc[added[number], "new_source_key"] = key
    for old, new in done.renumbered.items():
        rows.loc[(rows["mask_id"] == old).fillna(False), "new_mask_id"] = new
    return replace(found, rows=rows, renumbered=done.renumbered)
