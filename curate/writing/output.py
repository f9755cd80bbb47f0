"""One output with its provenance: made beside its place, checked, and named both or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from curate.common import files
from curate.common.archive_kinds import GZIP, archive_kind, content_name
from curate.errors import CallError
from curate.formats.table_builder import plain
from curate.store.audit import StoredAudit
from curate.writing.changes import Changes, with_stored
from curate.writing.checked_write import Made
from curate.writing.naming import (
    DATASET,
    NOTE,
    beside,
    name_both,
    refuse_other_archive,
    refuse_place,
)
from curate.writing.provenance import (
    ExportNotes,
    ProvenanceWriter,
    place_of,
    refuse_inside,
    write_provenance,
)


def find_places(
    audit: StoredAudit, source: Path, out: Path | None, asked: Path | None, *, own: bool
) -> Path | None:
    """Return where the provenance of an output goes, None for a dry run.

    Args:
        audit: The audit.
        source: The audited dataset.
        out: The output; None for a dry run.
        asked: Where the provenance is asked for; None: beside the output.
        own: Whether the output is of the source's own format, and the same kind of archive.

    Raises:
        CallError: It or ``out`` cannot be used.
    """
    if out is None:
        if asked is not None:
            raise CallError("a provenance file needs an output", "--provenance", "give --out")
        return None
    refuse_place(source, audit.path, out)
    if own:
        refuse_other_archive(source, out)
    place = place_of(out, asked)
    refuse_inside(place, out, source, audit.path)
    return place


def write_output(
    audit: StoredAudit,
    found: Changes,
    make: Callable[[Path], Made],
    places: tuple[Path, Path, bool],
    *,
    name: str,
    notes: ExportNotes | None = None,
    further: Callable[[Changes], Path | None] | None = None,
    describe: ProvenanceWriter | None = None,
) -> tuple[Changes, Made]:
    """Write, check and name a dataset and its provenance.

    Args:
        audit: The audit.
        found: What changes, for the provenance.
        make: Writes the dataset to a path and checks it.
        places: Of the dataset and of the provenance, and whether an old provenance is replaced.
        name: The name under which it is made: some formats name images by it.
        notes: Notes on a dataset that is in another format; None for one in its own.
        further: Writes a further file beside the dataset, once its ids are known.
        describe: Writes another provenance than that of the audit.

    Returns:
        The changes as they were written, and facts of the dataset.
    """
    out, place, renew = places
    with beside(out) as folder:
        made = folder / DATASET / name
        files.mkdir(made.parent)
        done = make(made)
        found = with_stored(audit, found, done.stored)
        found = _with_places(found, done, made, out)
        note = folder / f"{NOTE}{place.suffix}"
        if describe is None:
            write_provenance(audit, found, done.version, place, note, notes)
        else:
            describe(note, place.suffix.lower(), found, done.version, notes)
        audit.check_unchanged()
        other = None if further is None else further(found)
        try:
            name_both(made, out, note, place, renew=renew)
        except BaseException:
            if other is not None:
                files.unlink(other, missing_ok=True)
            raise
    return found, done


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
