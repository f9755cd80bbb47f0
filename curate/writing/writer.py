"""Writing of a dataset with people's decisions, verified by reading it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from curate.common.archive_kinds import archive_above
from curate.common.paths import AnyPath, as_path, is_folder_name
from curate.common.progress import Progress
from curate.common.ranges import SUBSETS
from curate.errors import CallError
from curate.formats.edits import Change, Stored
from curate.formats.format import Format
from curate.people.reviews.current_plan import open_audit
from curate.store.audit import AnyAudit, StoredAudit
from curate.subsets.subset import FLOOR, Keep, SubsetOptions
from curate.subsets.weights import list_weights, write_weights
from curate.writing.changes import Changes, WriteOptions, changes, with_stored
from curate.writing.checked_write import Expected, write_checked
from curate.writing.exporting import ExportChoices, Exporting
from curate.writing.exports import export_by_name, export_names
from curate.writing.naming import keeps_archive, place_output
from curate.writing.output import find_places, write_output
from curate.writing.provenance import ProvenanceWriter
from curate.writing.prune_plan import PruneOptions, plan_pruning
from curate.writing.pruning import audited_source, count_voids, refuse_ignoring
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
    keep: Keep | None = None,
    floor: int = FLOOR,
    only: str | None = None,
    ignore: bool = False,
    weights: AnyPath | None = None,
    source: AnyPath | None = None,
    provenance: AnyPath | None = None,
    yes: bool = False,
    show: Callable[[WriteResult], None] | None = None,
    describe: ProvenanceWriter | None = None,
    progress: Progress | None = None,
) -> WriteResult:
    """Write an audited dataset as it is now, in its own format or another.

    Rejected masks are left out, redrawn ones stand in the place of the old ones with their ids and
    all other fields, added ones are new, categories are corrected; all else is as it was. The
    output is written beside its place, read back, compared with what was meant, mask by mask and to
    the pixel, and only then named. The source is never touched.

    Args:
        audit: The audit, or its directory.
        out: Where; must not exist. With a slash at its end, or where an empty folder is, it becomes
            a folder in any format. None only says what would change.
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
        seed: Of the splits, and of the choice among equals with ``keep``; the same seed makes the
            same.
        keep: How many masks stay: a number, a share in (0, 1] of all masks, or a text such as
            "50%"; as :func:`curate.prune` chooses them. None: all. Added masks stay besides.
        floor: Masks of each category that stay with ``keep``, as far as there is room.
        only: "certified" writes the masks that a certificate covers or people accepted alone,
            "certified-images" the images all of whose masks are such. None: all.
        ignore: Make ignore regions of masks that leave (``iscrowd`` 1, or void pixels), but for
            duplicates of a mask that stays and for those without pixels. Where the format has none
            they are left out with ``lossy``.
        weights: Where weights in [0, 1] are written (.parquet or .csv), by the ids of the dataset;
            with ``keep`` they sum up to that many masks, and all masks stay.
        source: Where the audited dataset is now; None: where it was.
        provenance: Where it is written what happened to each mask (.parquet or .json); None: beside
            ``out``, with ``.provenance.parquet`` behind its name.
        yes: Write though much is removed for format errors; see
            :mod:`curate.writing.format_losses`.
        show: Called with what would be written, before anything is.
        describe: Writes another provenance than the audit's; None for that.
        progress: Called with (stage, masks done, masks in all, masks just done).

    Raises:
        CallError: ``out`` or an option cannot be used, the format cannot hold what people decided
            or all of the dataset (see ``lossy``), or much is removed for format errors.
        DuplicateError: An added mask is of an object that has one, and nothing says what to do.
        SourceError: The source is gone, cannot be read or has changed since the audit.
        AuditError: ``out`` cannot be written, or what was written is not what was meant (then it is
            removed again).
    """
    options = WriteOptions(masks, overlap, duplicates, category, attributes)
    subset = SubsetOptions(keep, floor, seed)
    chosen = PruneOptions(drop, subset, only, ignore, as_path(weights))
    moved_to, asked = as_path(source), as_path(provenance)
    audit = open_audit(audit).pin()
    source, form = audited_source(audit, moved_to)
    splits = None if split is None else SplitOptions(parse_split(split), seed, group_by)
    if splits is None and group_by is not None:
        raise CallError("images are grouped for splits alone", "--group-by", "add --split")
    wanted = ExportChoices(to or "", masks, images, splits, lossy, folder=is_folder_name(out))
    choices, out = _choose_writer(form, source, wanted, out, whole_images=only == SUBSETS[1])
    place = find_places(audit, source, out, asked, own=choices is None)
    if ignore and choices is None:
        refuse_ignoring(form, source)
    plan = None if chosen.by_actions_alone else plan_pruning(audit, chosen)
    found = changes(audit, chosen, options, plan=plan, agreed=yes)
    result = WriteResult(source, form.name, found, audit.path, ignores=form.ignores)
    result = replace(result, version_before=audit.info.version or "")
    export = None
    if choices is not None:
        export = Exporting.of(audit, (source, form), found, choices)
        found = export.mark_left_out(found)
        result = replace(result, changes=found, format=choices.to, export=export)
        result = replace(result, ignores=export.export.ignores)
        if out is not None:
            export.refuse_ending(out)
    else:
        found = _in_own_format(found, form)
        result = replace(result, changes=found)
    if chosen.weights is not None:
        _refuse_weights(form, export)
    if out is None or place is None:
        stored = Stored() if export is not None else _try_writing(form, source, found)
        return replace(result, changes=with_stored(audit, found, stored), stored=stored)
    if show is not None:
        show(result)
    found.form.refuse(str(audit.path))
    meant = Expected(found.masks_after, audit.info.version)
    make = (
        partial(write_checked, form, source, edits=found.edits, meant=meant)
        if export is None
        else partial(export.write, masks=found.masks_after)
    )
    found, done = write_output(
        audit,
        found,
        partial(make, out=out, progress=progress),
        (out, place, asked is None),
        name=source.name if export is None else out.name,
        notes=None if export is None else export.notes(),
        further=partial(_write_weights, audit, chosen.weights),
        describe=describe,
    )
    result = replace(result, changes=found, out=out, provenance=place, version=done.version)
    return replace(result, stored=done.stored, weights=chosen.weights)


def _choose_writer(
    form: Format, source: Path, asked: ExportChoices, out: AnyPath | None, *, whole_images: bool
) -> tuple[ExportChoices | None, Path | None]:
    """Return the choices for an export, None where the own writer of the format serves; the place.

    The own writer leaves no image out, and makes an archive of an archive: where one is to be a
    dataset of a named format, and the output is not called an archive, it is exported.

    Args:
        form: The format of the source.
        source: The source.
        asked: What is asked for; ``to`` is "" where no format is named.
        out: The output as it is asked for; None for a dry run.
        whole_images: Whether images may be left out.

    Raises:
        CallError: There is no such format, or it cannot be exported as is asked.
    """
    to, names, place = asked.to or form.name, export_names(), as_path(out)
    named = bool(asked.to) and form.name in names
    unpacked = named and archive_above(source) is not None and not keeps_archive(source, place)
    plain = ExportChoices(asked.to, asked.masks, lossy=asked.lossy, folder=asked.folder)
    if to == form.name and asked == plain and not unpacked and not whole_images:
        name = export_by_name(to).in_folder if named else ""
        return None, place_output(out, source, name)
    if to not in names:
        what = f"{form.name} cannot be written as {to}"
        if to == form.name:
            what = f"{form.name} is written as it is only, without splits, pictures and subsets"
        raise CallError(what, "--to", f"use one of {', '.join(names)}")
    return replace(asked, to=to), place


def _in_own_format(found: Changes, form: Format) -> Changes:
    """Return the changes as the source's own format makes them: what is void is nothing else."""
    voids = count_voids(form, found.edits)
    if not voids:
        return found
    void = {key: Change(ignore=True) for key in found.edits.ignored}
    edits = replace(found.edits, change={**found.edits.change, **void})
    return replace(found, edits=edits, voids=voids)


def _try_writing(form: Format, source: Path, found: Changes) -> Stored:
    """Return how new pixels would be stored; what the format cannot hold is refused."""
    edits = found.edits
    if edits.only_drops:  # leaving masks out is never refused, only the format and the options
        edits = replace(edits, drop=frozenset())
    return form.write(source, None, edits)


def _refuse_weights(form: Format, export: Exporting | None) -> None:
    """Check that weights can name masks of what is written by their ids.

    Raises:
        CallError: Its masks have no ids, or new ones.
    """
    has_ids = form.own_ids if export is None else export.export.holds.mask_ids
    if not has_ids:
        title = form.title if export is None else export.export.title
        what = f"weights name masks by their ids, which {title} does not keep"
        do = "choose a format with ids, such as coco, or leave --weights out"
        raise CallError(what, "--weights", do)


def _write_weights(audit: StoredAudit, place: Path | None, found: Changes) -> Path | None:
    """Write the weights of the masks of a dataset, if they are asked for; added ones weigh 1."""
    if place is None or found.plan is None or found.plan.weights is None:
        return None
    rows, edits = list_weights(audit, found.plan.weights), found.edits
    rows = rows[~rows["source_key"].astype(str).isin(edits.drop)]
    new_ids = [found.renumbered.get(number, number) for number in rows["mask_id"].tolist()]
    rows = rows.assign(mask_id=new_ids)
    added = found.rows[(found.rows["change"] == "added") & found.rows["new_mask_id"].notna()]
    new = {"mask_id": added["new_mask_id"], "source_key": added["new_source_key"], "weight": 1.0}
    write_weights(place, pd.concat([rows, pd.DataFrame(new)], ignore_index=True))
    return place
