"""Write a dataset as people left it, and prove that it is what they decided and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from curate.decisions.lookup import decoded, pair_iou
from curate.errors import CallError
from curate.formats.edits import Edits, Stored
from curate.store import Audit
from curate.versions import short
from curate.writing.changes import Changes, Options, changes
from curate.writing.coco import write_coco
from curate.writing.naming import DATASET, NOTE, name_both
from curate.writing.place import beside, refuse_place
from curate.writing.provenance import place_of, write_provenance
from curate.writing.pruning import Expected, audited_source, emptied_text, write_checked


@dataclass(frozen=True)
class WriteResult:
    """What writing did, or would do.

    Attributes:
        source: The dataset that was audited.
        format: The name of the format in which it is written.
        changes: What changed.
        out: What was written, read back and compared; None for a dry run.
        provenance: The file that says what happened to each mask; None for a dry run.
        version: Content id of what was written; "" for a dry run.
        version_before: Content id of the source; "" where the audit does not know it.
        stored: How new pixels were stored; None for a dry run.
        moved: IoU of what was stored with what was meant, of masks that the format could not hold
            to the pixel.
        left_out: Masks that cannot stand in another format than the source's: without pixels, or of
            an image that is not known.
    """

    source: Path
    format: str
    changes: Changes
    out: Path | None = None
    provenance: Path | None = None
    version: str = ""
    version_before: str = ""
    stored: Stored | None = None
    moved: Sequence[float] = ()
    left_out: int = 0

    def counts(self) -> dict[str, int]:
        """Return how many masks each change happens to."""
        found, rows = self.changes, self.changes.rows["change"]
        both = int((rows == "redrawn and relabelled").sum())
        return {
            "removed_by_policy": found.count("removed") - found.count("removed", "person"),
            "removed_by_people": found.count("removed", "person"),
            "redrawn": found.count("redrawn") + both,
            "relabelled": found.count("relabelled") + both,
            "added": found.count("added"),
            "unsettled": found.unsettled,
            "added_left_out": found.left_out,
            "masks_before": found.masks,
            "masks_left_out": self.left_out,
            "masks_after": found.masks_after - self.left_out,
            "emptied_images": found.emptied,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; ``masks`` lists what changes, mask by mask."""
        rows = self.changes.rows.astype(object)
        listed = rows.where(rows.notna(), None).to_dict("records")
        for row in listed:
            row["time"] = None if row["time"] is None else row["time"].isoformat()
        stored = self.stored
        return {
            "source": str(self.source),
            "format": self.format,
            "dry_run": self.out is None,
            "out": None if self.out is None else str(self.out),
            "provenance": None if self.provenance is None else str(self.provenance),
            "version": self.version or None,
            "version_before": self.version_before or None,
            **self.counts(),
            "form": self.changes.form.as_dict(),
            "stored": None
            if stored is None
            else {"polygons": stored.polygons, "seams": stored.seams, "rle": stored.runs},
            "moved": list(self.moved),
            "masks": listed,
        }

    def text(self) -> str:
        """Return what happened in a few lines."""
        n = self.counts()
        would = "would be " if self.out is None else ""
        lines = []
        if n["removed_by_policy"] or n["removed_by_people"]:
            lines.append(
                f"removed: {n['removed_by_people']:,} that people rejected, "
                f"{n['removed_by_policy']:,} that the policy does not keep"
            )
        lines += [
            f"{what}: {n[name]:,}"
            for name, what in (
                ("redrawn", "redrawn by people"),
                ("relabelled", "relabelled by people"),
                ("added", "added by people"),
                ("added_left_out", "added masks left out, since their object has one already"),
                ("unsettled", "left as they were, since people have not settled on them"),
                ("masks_left_out", "left out, without pixels or of an image that is not known"),
            )
            if n[name]
        ]
        lines = lines or ["nothing changes"]
        lines.append(f"{n['masks_before']:,} masks {would}before, {n['masks_after']:,} after")
        lines[-1] = lines[-1].replace("masks would be before", "masks now")
        lines += [*emptied_text(n["emptied_images"], self.format), *self._stored_text()]
        if self.out is None:
            lines += self.changes.form.warnings()
            return "\n".join([*lines, "nothing is written without --out"])
        versions = " -> ".join(short(v) for v in (self.version_before, self.version) if v)
        lines += [
            f"wrote {self.out}, read it back: {n['masks_after']:,} masks, all as meant",
            f"version {versions}",
            f"provenance: {self.provenance}",
        ]
        return "\n".join(lines)

    def _stored_text(self) -> list[str]:
        """Say what people may want to know of how new pixels were stored."""
        lines = []
        if self.stored and self.stored.seams:
            lines.append(
                f"{self.stored.seams:,} masks with holes or several parts are one polygon each, "
                "which runs through a seam of no width"
            )
        if self.moved:
            lines.append(
                f"{len(self.moved):,} masks could not be held to the pixel: IoU with what was "
                f"meant {min(self.moved):.4f} at least, {np.mean(self.moved):.4f} on average"
            )
        return lines


def write(
    audit: Audit,
    out: Path | None = None,
    *,
    to: str | None = None,
    options: Options | None = None,
    source: Path | None = None,
    provenance: Path | None = None,
    yes: bool = False,
) -> WriteResult:
    """Write an audited dataset as it is now, in its own format or as COCO.

    Rejected masks are left out, redrawn ones stand in the place of the old ones with their ids and
    all other fields, added ones are new, categories are corrected; all else is as it was. The
    output is written beside its place, read back, compared with what was meant, mask by mask and to
    the pixel, and only then named. The source is never touched.

    Args:
        audit: A finished audit.
        out: Where; must not exist. None only says what would change.
        to: The format: "coco", or the source's own; None for its own.
        options: How; the defaults if None.
        source: Where the audited dataset is now; None: where it was.
        provenance: Where it is written what happened to each mask (.parquet or .json); None: beside
            ``out``, with ``.provenance.parquet`` behind its name.
        yes: Write though much goes for how it is written; see :mod:`curate.writing.form`.

    Raises:
        CallError: ``out`` or an option cannot be used, the format cannot hold what people decided,
            or much goes for how it is written.
        DuplicateError: An added mask is of an object that has one, and nothing says what to do.
        SourceError: The source is gone, cannot be read or has changed since the audit.
        AuditError: ``out`` cannot be written, or what was written is not what was meant (then it is
            removed again).
    """
    audit, asked = audit.pinned(), provenance
    source, form = audited_source(audit, source)
    if to not in (None, form.name, "coco"):
        what = f"a dataset is written in its own format, {form.name}, or as coco, not as {to}"
        raise CallError(what, "--to", "leave it out for its own")
    export = to == "coco" and form.name != "coco"
    if out is not None:
        refuse_place(source, audit.path, out)
        provenance = place_of(out, asked)
        for name, taken in (("output", out), ("source", source), ("audit", audit.path)):
            if provenance.resolve().is_relative_to(taken.resolve()):
                what = f"the provenance would lie in the {name}"
                raise CallError(what, str(provenance), "choose another place")
    elif provenance is not None:
        raise CallError("a provenance is asked for, but no output", "--provenance", "give --out")
    found = changes(audit, options or Options())
    before = str(audit.info.get("version") or "")
    result = WriteResult(source, to or form.name, found, version_before=before)
    if out is None or provenance is None:
        return result
    found.form.refuse(yes, str(audit.path))
    with beside(out) as folder:
        made = folder / DATASET / source.name
        made.parent.mkdir()
        if export:
            exported = write_coco(audit, found.edits, made)
            version, stored, left_out = exported.version, exported.stored, exported.left_out
        else:
            meant, left_out = Expected(found.masks_after, audit.info.get("version")), 0
            version, stored = write_checked(form, source, made, found.edits, meant, out)
        note = folder / f"{NOTE}{provenance.suffix}"
        write_provenance(audit, found, version, provenance, note)
        name_both(made, out, note, provenance, renew=asked is None)
    return replace(
        result,
        out=out,
        provenance=provenance,
        version=version,
        stored=stored,
        moved=_moved(audit, found.edits, stored),
        left_out=left_out,
    )


def _moved(audit: Audit, edits: Edits, stored: Stored) -> list[float]:
    """Return the IoU of what was stored with what was meant, where these differ."""
    if not stored.held:
        return []
    meant, held, sizes = [], [], []
    keys = [key for key in stored.held if isinstance(key, str)]
    marks = ", ".join("?" * len(keys)) or "null"
    frame = audit.query(
        f"select source_key, segmentation, height, width from masks where source_key in ({marks})",
        keys,
    )
    known = {row["source_key"]: row for row in frame.to_dict("records")}
    for key, counts in stored.held.items():
        if isinstance(key, int):
            one = edits.add[key]
            meant.append(one.counts)
            sizes.append((one.height, one.width))
        else:
            row, change = known[key], edits.change.get(key)
            new = change.counts if change is not None else None
            meant.append(bytes(row["segmentation"]) if new is None else new)
            sizes.append((int(row["height"]), int(row["width"])))
        held.append(counts)
    shape = np.array(sizes, np.int64)
    runs = (decoded(counts, shape[:, 0], shape[:, 1])[0] for counts in (meant, held))
    return [float(value) for value in pair_iou(next(runs), next(runs))]
