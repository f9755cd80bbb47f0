"""Writing of a dataset with people's decisions, verified by reading it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from curate.common import files
from curate.common.paths import AnyPath, as_path
from curate.errors import CallError
from curate.formats.edits import Stored
from curate.formats.table_builder import plain
from curate.people.reviews.current_plan import open_audit
from curate.store.audit import AnyAudit
from curate.writing.changes import Changes, WriteOptions, changes, with_stored
from curate.writing.exporting import Exporting
from curate.writing.exports import export_names
from curate.writing.exports.export import WriterOptions
from curate.writing.naming import DATASET, NOTE, beside, name_both, refuse_place
from curate.writing.provenance import place_of, write_provenance
from curate.writing.pruning import Expected, Made, audited_source, write_checked
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
    if to not in (None, form.name, *export_names()):
        known = ", ".join(dict.fromkeys((form.name, *export_names())))
        what = f"{form.name} cannot be written as {to}, only as {known}"
        raise CallError(what, "--to", "omit it to keep the format")
    if out is not None:
        refuse_place(source, audit.path, out)
        place = place_of(out, asked)
        for name, taken in (("output", out), ("source", source), ("audit", audit.path)):
            if place.resolve().is_relative_to(taken.resolve()):
                what = f"the provenance would lie in the {name}"
                raise CallError(what, str(place), "choose another place")
    elif asked is not None:
        raise CallError("a provenance file needs an output", "--provenance", "give --out")
    found = changes(audit, options, agreed=yes)
    before = audit.info.version or ""
    result = WriteResult(source, to or form.name, found, audit.path, version_before=before)
    export = None
    if to not in (None, form.name) or images is not None:
        to = to or form.name
        options_of = WriterOptions(masks, pictures=images)
        export = Exporting.of(audit, form, found.edits, to, options_of, lossy)
        result = replace(result, losses=export.losses)
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
        write_provenance(audit, found, done.version, place, note)
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


def _with_places(found: Changes, done: Made, made: Path, out: Path) -> Changes:
    """Return the changes with the new ids and source keys of masks."""
    rows = found.rows.copy()
    prefix = "" if made.is_dir() else plain(made.name)  # keys begin with the name of a file
    added = rows.index[rows["change"] == "added"]
    for number, place in done.places.items():
        key = place.source_key
        if prefix and key.startswith(prefix):
            key = plain(out.name) + key.removeprefix(prefix)
        rows.loc[added[number], "new_mask_id"] = place.mask_id
        rows.loc[added[number], "new_source_key"] = key
    for old, new in done.renumbered.items():
        rows.loc[(rows["mask_id"] == old).fillna(False), "new_mask_id"] = new
    return replace(found, rows=rows, renumbered=done.renumbered)
