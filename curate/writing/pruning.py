"""Pruning: a dataset without some masks, everything else proven unchanged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from curate.common import files
from curate.common.archive_kinds import archive_above
from curate.common.paths import AnyPath, as_path
from curate.errors import AuditError, CallError, SourceError
from curate.formats.edits import Edits, Stored
from curate.formats.format import Format, ReadOptions
from curate.formats.own_pictures import IN_DATASET
from curate.formats.reading import detect
from curate.people.queues.population import actions_sql, include_reject
from curate.people.reviews.current_plan import open_audit
from curate.policy.grammar import check_actions
from curate.store.audit import AnyAudit, StoredAudit
from curate.subsets.subset import FLOOR, Keep, SubsetOptions
from curate.subsets.weights import check_place, write_weights
from curate.writing.expected_dataset import MaskPlace
from curate.writing.format_losses import FormLoss, form_loss
from curate.writing.naming import (
    DATASET,
    NOTE,
    beside,
    name_both,
    refuse_changed,
    refuse_other_archive,
    refuse_place,
    source_changed_error,
)
from curate.writing.provenance import place_of, refuse_inside, write_provenance
from curate.writing.prune_plan import PrunePlan, plan_pruning
from curate.writing.prune_result import PruneResult
from curate.writing.written_check import check_written


def prune(
    audit: AnyAudit,
    out: AnyPath | None = None,
    *,
    drop: Sequence[str] = ("reject",),
    keep: Keep | None = None,
    floor: int = FLOOR,
    seed: int = 0,
    ignore: bool = False,
    weights: AnyPath | None = None,
    source: AnyPath | None = None,
    provenance: AnyPath | None = None,
    yes: bool = False,
    show: Callable[[PruneResult], None] | None = None,
) -> PruneResult:
    """Write an audited dataset without the masks of some actions, in its own format.

    What people redrew, added or relabelled is not in it: :func:`curate.write` does that.
    The output is written beside its place, read back and compared with the source, mask by mask,
    before it gets its name; so what stands at ``out`` has been checked.

    Args:
        audit: The audit, or its directory.
        out: Where; must not exist. None only counts.
        drop: Masks of which actions go beside the rejected ones: "review", "accept".
        keep: How many of the others stay: a number, a share in (0, 1] of all masks, or a text such
            as "50%". The best and most different ones do (see :mod:`curate.subsets.selection`);
            None: all.
        floor: Masks of each category that stay with ``keep``, as far as there is room; the effect
            names categories that fall under it.
        seed: With ``keep``: of the choice among equals.
        ignore: Make ignore regions of masks that leave (``iscrowd`` 1 in COCO, void in ids), but
            for duplicates of a mask that stays and for those without pixels.
        weights: Where weights in [0, 1] are written (.parquet or .csv) instead of a dataset; with
            ``keep`` they sum up to that many masks. See :mod:`curate.subsets.weights`.
        source: Where the audited dataset is now; None: where it was.
        provenance: Where it is written what happened to each mask (.parquet or .json), from which
            :func:`curate.restore` brings one back; None: beside ``out``.
        yes: Write though much is removed for format errors; see :class:`FormLoss`.
        show: Called with what would be written, before anything is.

    Raises:
        CallError: An option or ``out`` cannot be used, or much is removed for format errors.
        SourceError: The source is gone, cannot be read or has changed since the audit.
        AuditError: The audit has no plan, no mask can be kept, ``out`` cannot be written, or what
            was written is not what was meant (then it is removed again).
    """
    check_actions(drop, "--drop")
    options = SubsetOptions(keep, floor, seed)
    where = actions_sql(include_reject(drop))
    out, moved_to, weighed = as_path(out), as_path(source), as_path(weights)
    asked = as_path(provenance)
    if weighed is not None:
        _refuse_weights(weighed, out)
    audit = open_audit(audit).pin()
    source, form = audited_source(audit, moved_to)
    place = _note_place(audit, source, out, asked)
    if ignore:
        _refuse_ignoring(form, source)
    plan = plan_pruning(audit, where, options, weighed=weighed is not None, ignore=ignore)
    lost = form_loss(audit, where, agreed=yes)
    result = PruneResult(source, form.name, plan.effect, lost, plan.subset, ignores=form.ignores)
    edits = Edits() if plan.weights is not None else plan.make_edits(audit)
    if edits.change:  # where a format cannot hold it, the dry run says so too
        form.write(source, None, Edits(change=edits.change))
    if show is not None:
        show(result)
    if plan.weights is not None and weighed is not None:
        keys = audit.query("select mask_id, source_key from masks order by mask_id")
        audit.check_unchanged()
        write_weights(weighed, keys, plan.weights)
        return replace(result, weights=weighed)
    if out is None or place is None:
        return result
    lost.refuse(str(audit.path))
    version = _write_pruned(audit, (source, form), plan, edits, lost, (out, place, asked is None))
    return replace(result, out=out, provenance=place, version=version)


def _note_place(
    audit: StoredAudit, source: Path, out: Path | None, asked: Path | None
) -> Path | None:
    """Return where the provenance goes, None for a dry run.

    Raises:
        CallError: It or ``out`` cannot be used.
    """
    if out is not None:
        refuse_place(source, audit.path, out)
        refuse_other_archive(source, out)
        place = place_of(out, asked)
        refuse_inside(place, out, source, audit.path)
        return place
    if asked is not None:
        raise CallError("a provenance file needs an output", "--provenance", "give --out")
    return None


def _write_pruned(
    audit: StoredAudit,
    read: tuple[Path, Format],
    plan: PrunePlan,
    edits: Edits,
    lost: FormLoss,
    places: tuple[Path, Path, bool],
) -> str:
    """Write, check and name the dataset and its provenance; return the content id.

    Args:
        audit: The audit.
        read: The source and its format.
        plan: What is pruned.
        edits: The same as edits.
        lost: What goes for format errors, for the provenance.
        places: Of the dataset and of the provenance, and whether an old provenance is replaced.
    """
    (source, form), (out, place, renew) = read, places
    with beside(out) as folder:
        made = folder / DATASET / source.name
        files.mkdir(made.parent)
        voided = int(plan.ignored.sum()) if form.ignores == "void" else 0
        meant = Expected(len(plan.stays) - len(edits.drop) - voided, audit.info.version)
        version = write_checked(form, source, made, edits, meant, out).version
        note = folder / f"{NOTE}{place.suffix}"
        write_provenance(audit, plan.list_changes(audit, edits, lost), version, place, note)
        audit.check_unchanged()
        name_both(made, out, note, place, renew=renew)
    return version


def _refuse_weights(place: Path, out: Path | None) -> None:
    if out is not None:
        do = "give one of them: weights leave every mask where it is"
        raise CallError("--weights and --out are both given", "", do)
    check_place(place)


def _refuse_ignoring(form: Format, source: Path) -> None:
    if not form.ignores:
        what = f"there are no ignore regions in {form.title}"
        do = "leave --ignore out, or write weights instead: --weights FILE"
        raise CallError(what, str(source), do)


def audited_source(audit: StoredAudit, moved_to: Path | None) -> tuple[Path, Format]:
    """Return the path of the audited, unchanged dataset, and its format.

    Args:
        audit: The audit.
        moved_to: Where it is now; None: where it was.

    Raises:
        AuditError: The audit does not say what it is of.
        SourceError: The dataset is gone, has changed since, or is a file of another name.
    """
    stated = audit.info.source
    if "path" not in stated:
        raise AuditError("its audit.json names no source", str(audit.path))
    audited = Path(stated["path"])
    source = audited if moved_to is None else moved_to
    refuse_changed(source, stated.get("fingerprint"))
    form = detect(source, stated.get("format"), _at(read_options(audit), audited, source))
    if form.named_by_source and source.is_file() and source.name != audited.name:
        what, do = "its name differs from that of the audited file", f"rename it to {audited.name}"
        raise SourceError(what, str(source), do)
    return source, form


def _at(options: ReadOptions, before: Path, now: Path) -> ReadOptions:
    """Return options with the pictures in an archive where that is now."""
    images, archive = options.images, archive_above(now)
    if images is None or archive is None:
        return options
    depth = len(now.absolute().relative_to(archive).parts)
    was = before.parents[depth - 1] if depth else before
    if not images.is_relative_to(was):
        return options
    return replace(options, images=archive / images.relative_to(was))


@dataclass(frozen=True)
class Expected:
    """Facts known of a dataset before it is written.

    Attributes:
        masks: How many masks it must hold.
        source_version: Content id of the source when it was audited; None where not known.
    """

    masks: int
    source_version: str | None


class Made(NamedTuple):
    """Facts of a written dataset.

    Attributes:
        version: Its content id.
        stored: How new pixels were stored.
        places: Where the added masks stand, by position among the edits.
        left_out: How many masks could not stand in it.
        renumbered: Ids of masks that have another one in it than in the audit, by that.
    """

    version: str
    stored: Stored
    places: Mapping[int, MaskPlace]
    left_out: int = 0
    renumbered: Mapping[int, int] = MappingProxyType({})


def write_checked(
    form: Format, source: Path, written: Path, edits: Edits, meant: Expected, out: Path
) -> Made:
    """Write a dataset with edits, read it back and compare.

    Args:
        form: The format of both.
        source: The dataset.
        written: The new one; it has the name of the source, since some formats name images by it.
        edits: What changes.
        meant: What it must hold.
        out: Where it will stand, for messages.

    Raises:
        SourceError: The source is not what was audited, though it looked so.
        AuditError: What was written is not what was meant.
    """
    stored = form.write(source, written, edits)
    found = check_written(form, source, written, edits, stored)
    problem = found.problem
    if not problem and meant.source_version not in (None, found.version_before):
        raise source_changed_error(source)
    if not problem and found.masks != meant.masks:
        problem = f"it holds {found.masks} masks instead of {meant.masks}"
    if not problem:
        problem = form.check_unedited(source, written, edits)
    if problem:
        raise AuditError(
            f"the written dataset differs from the expected one ({problem}), so it was removed",
            str(out),
            "this is a fault of curate: please report it; the source is untouched",
        )
    return Made(found.version, stored, found.places)


def read_options(audit: StoredAudit) -> ReadOptions:
    """Return the options with which the source was read when audited."""
    inputs, settings = audit.info.inputs, audit.info.settings
    told = {name: inputs.get(name) for name in ("images", "annotations")}
    if settings.get("pictures") == IN_DATASET:
        told["images"] = None  # the reader found them by itself
    void, class_code = settings.get("void"), settings.get("class_code")
    return ReadOptions(
        **{name: Path(path) for name, path in told.items() if path is not None},
        void=tuple(void) if isinstance(void, list) else None,
        class_code=class_code if isinstance(class_code, str) else None,
    )
