"""Pruning: a dataset without some masks, everything else proven unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from curate.common.paths import AnyPath, as_path
from curate.dataset.notes import count_noun, plural, short_version
from curate.errors import AuditError, SourceError
from curate.formats.edits import Edits, Stored
from curate.formats.format import Format, ReadOptions
from curate.formats.own_pictures import IN_DATASET
from curate.formats.reading import detect
from curate.people.queues.population import actions_sql, include_reject
from curate.people.reviews.current_plan import open_audit
from curate.policy.grammar import check_actions
from curate.store.audit import AnyAudit, Audit
from curate.writing.expected_dataset import MaskPlace
from curate.writing.format_losses import FormLoss, form_loss
from curate.writing.naming import (
    beside,
    name_dataset,
    refuse_changed,
    refuse_place,
    source_changed_error,
)
from curate.writing.written_check import check_written

LISTS_MASKS_ONLY = "coco-results"
"""A format in which an image without masks is not named."""


@dataclass(frozen=True)
class PruneResult:
    """Result of pruning, or of its dry run.

    Attributes:
        source: The dataset that was audited.
        format: The name of its format.
        kept: Masks that stay.
        dropped: Masks that go.
        emptied_images: Images that lose all their masks. They stay in the dataset, but for results
            lists, which name an image only where it has masks.
        form: What of it goes for format errors.
        out: What was written, read back and compared; None for a dry run.
        version: Content id of what was written; "" for a dry run.
    """

    source: Path
    format: str
    kept: int
    dropped: int
    emptied_images: int
    form: FormLoss
    out: Path | None = None
    version: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return {
            "source": str(self.source),
            "format": self.format,
            "kept": self.kept,
            "dropped": self.dropped,
            "emptied_images": self.emptied_images,
            "form": self.form.as_dict(),
            "out": None if self.out is None else str(self.out),
            "version": self.version or None,
            "dry_run": self.out is None,
        }

    def text(self) -> str:
        """Return the result in a line or two."""
        counts = f"{self.dropped:,} of {count_noun(self.kept + self.dropped, 'mask')}"
        emptied = emptied_text(self.emptied_images, self.format)
        if self.out is None:
            lines = [f"would drop {counts}; nothing is written without --out", *emptied]
            return "\n".join([*lines, *self.form.warnings()])
        lines = [
            f"dropped {counts}",
            *emptied,
            f"wrote {self.out}, read it back: {count_noun(self.kept, 'mask')}, all equal",
            f"version {short_version(self.version)}",
        ]
        return "\n".join(lines)


def emptied_text(images: int, format: str) -> list[str]:
    """Say how many images have no mask any more; nothing where there are none."""
    if not images:
        return []
    some = f"{count_noun(images, 'image')} {plural(images, 'has', 'have')} no masks left"
    if format == LISTS_MASKS_ONLY:
        return [f"{some} and {plural(images, 'is', 'are')} not listed in it"]
    return [f"{some}: training will treat them as images without objects"]


def prune(
    audit: AnyAudit,
    out: AnyPath | None = None,
    *,
    drop: Sequence[str] = ("reject",),
    source: AnyPath | None = None,
    yes: bool = False,
) -> PruneResult:
    """Write an audited dataset without the masks of some actions, in its own format.

    What people redrew, added or relabelled is not in it: :func:`curate.write` does that.
    The output is written beside its place, read back and compared with the source, mask by mask,
    before it gets its name; so what stands at ``out`` has been checked.

    Args:
        audit: The audit, or its directory.
        out: Where; must not exist. None only counts.
        drop: Masks of which actions go beside the rejected ones: "review", "accept".
        source: Where the audited dataset is now; None: where it was.
        yes: Write though much is removed for format errors; see :class:`FormLoss`.

    Raises:
        CallError: ``drop`` or ``out`` cannot be used, or much is removed for format errors.
        SourceError: The source is gone, cannot be read or has changed since the audit.
        AuditError: The audit has no plan, ``out`` cannot be written, or what was written is not
            what was meant (then it is removed again).
    """
    check_actions(drop, "--drop")
    where = actions_sql(include_reject(drop))
    out, moved_to = as_path(out), as_path(source)
    audit = open_audit(audit).pin()
    source, form = audited_source(audit, moved_to)
    counts = audit.query(
        f"select count(*) filter ({where}) as dropped, count(*) as masks from masks"
    ).iloc[0]
    emptied = audit.query(
        f"select count(*) as n from (select image_id from masks group by image_id "
        f"having bool_and(coalesce({where}, false)))"
    )["n"].iloc[0]
    dropped = int(counts["dropped"])
    result = PruneResult(
        source,
        form.name,
        int(counts["masks"]) - dropped,
        dropped,
        int(emptied),
        form_loss(audit, where, agreed=yes),
        out,
    )
    if out is None:
        return result
    refuse_place(source, audit.path, out)
    result.form.refuse(str(audit.path))
    keys = audit.query(f"select source_key from masks where {where}")["source_key"]
    edits = Edits(drop=frozenset(keys.astype(str)))
    with beside(out) as folder:
        made = folder / source.name
        meant = Expected(result.kept, audit.info.version)
        version = write_checked(form, source, made, edits, meant, out).version
        audit.check_unchanged()
        name_dataset(made, out)
    return replace(result, version=version)


def audited_source(audit: Audit, moved_to: Path | None) -> tuple[Path, Format]:
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
    if source.is_file() and source.name != audited.name:  # source keys begin with it
        what, do = "its name differs from that of the audited file", f"rename it to {audited.name}"
        raise SourceError(what, str(source), do)
    return source, detect(source, stated.get("format"), read_options(audit))


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


def read_options(audit: Audit) -> ReadOptions:
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
