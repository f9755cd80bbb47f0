"""Pruning: a dataset without some masks, everything else proven unchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from curate.common.archive_kinds import archive_above
from curate.common.paths import AnyPath, as_path
from curate.common.progress import Progress
from curate.errors import AuditError, CallError, SourceError
from curate.formats.edits import Edits
from curate.formats.format import Format, ReadOptions
from curate.formats.own_pictures import IN_DATASET
from curate.formats.reading import detect
from curate.people.reviews.current_plan import open_audit
from curate.store.audit import AnyAudit, StoredAudit
from curate.subsets.subset import FLOOR, Keep, SubsetOptions
from curate.subsets.weights import list_weights, write_weights
from curate.writing.changes import Changes, find_leaving, make_edits, to_rows
from curate.writing.checked_write import Expected, write_checked
from curate.writing.format_losses import FormLoss, form_loss
from curate.writing.naming import place_output, refuse_changed
from curate.writing.output import find_places, write_output
from curate.writing.prune_plan import PruneOptions, PrunePlan, plan_pruning
from curate.writing.prune_result import PruneResult


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
    progress: Progress | None = None,
) -> PruneResult:
    """Write an audited dataset without the masks of some actions, in its own format.

    What people redrew, added or relabelled is not in it: :func:`curate.write` does that.
    The output is written beside its place, read back and compared with the source, mask by mask,
    before it gets its name; so what stands at ``out`` has been checked.

    Args:
        audit: The audit, or its directory.
        out: Where; must not exist. With a slash at its end a folder in which a file gets the name
            of the source. None only counts.
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
        progress: Called with (stage, masks done, masks in all, masks just done).

    Raises:
        CallError: An option or ``out`` cannot be used, or much is removed for format errors.
        SourceError: The source is gone, cannot be read or has changed since the audit.
        AuditError: The audit has no plan, no mask can be kept, ``out`` cannot be written, or what
            was written is not what was meant (then it is removed again).
    """
    moved_to, weighed = as_path(source), as_path(weights)
    chosen = PruneOptions(drop, SubsetOptions(keep, floor, seed), ignore=ignore, weights=weighed)
    if weighed is not None and out is not None:
        do = "give one of them: weights leave every mask where it is; `curate write` makes both"
        raise CallError("--weights and --out are both given", "", do)
    asked = as_path(provenance)
    audit = open_audit(audit).pin()
    source, form = audited_source(audit, moved_to)
    out = place_output(out, source)
    place = find_places(audit, source, out, asked, own=True)
    if ignore:
        refuse_ignoring(form, source)
    plan = plan_pruning(audit, chosen)
    lost = form_loss(audit, chosen.gone_sql, agreed=yes)
    result = PruneResult(source, form.name, plan.effect, lost, plan.subset, ignores=form.ignores)
    leaving = find_leaving(audit, chosen.gone_sql, plan)
    edits = Edits() if weighed is not None else make_edits(leaving)
    if edits.change:  # where a format cannot hold it, the dry run says so too
        form.write(source, None, Edits(change=edits.change))
    if show is not None:
        show(result)
    if plan.weights is not None and weighed is not None:
        audit.check_unchanged()
        write_weights(weighed, list_weights(audit, plan.weights))
        return replace(result, weights=weighed)
    if out is None or place is None:
        return result
    lost.refuse(str(audit.path))
    found = _changes_of(plan, leaving, edits, lost, form)
    meant = Expected(found.masks_after, audit.info.version)
    places = out, place, asked is None
    _, done = write_output(
        audit,
        found,
        lambda made: write_checked(form, source, made, edits, meant, out, progress),
        places,
        name=source.name,
    )
    return replace(result, out=out, provenance=place, version=done.version)


def _changes_of(
    plan: PrunePlan, leaving: pd.DataFrame, edits: Edits, lost: FormLoss, form: Format
) -> Changes:
    """Return the changes, for the provenance."""
    rows, waiting = to_rows(leaving), pd.DataFrame(columns=["why"])
    voids = count_voids(form, edits)
    emptied = len(plan.emptied)
    return Changes(edits, rows, waiting, len(plan.ids), 0, emptied, lost, plan, voids)


def count_voids(form: Format, edits: Edits) -> int:
    """Return how many masks become void pixels, and are no masks any more."""
    return len(edits.ignored) if form.ignores == "void" else 0


def refuse_ignoring(form: Format, source: Path) -> None:
    """Check that a format has ignore regions.

    Raises:
        CallError: It has none.
    """
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
