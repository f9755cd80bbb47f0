"""Write a dataset back without some masks, and prove that nothing else changed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.curation.audits import Audit, source_of
from curate.curation.prune_check import check_content, check_masks
from curate.curation.queue import chosen
from curate.errors import AuditError, CallError, SourceError
from curate.fingerprint import fingerprint
from curate.formats import detect
from curate.formats.base import Format


@dataclass(frozen=True)
class PruneResult:
    """What pruning did, or would do.

    Attributes:
        source: The dataset that was audited.
        format: The name of its format.
        kept: Masks that stay.
        dropped: Masks that go.
        emptied_images: Images that lose all their masks (they stay in the dataset).
        out: What was written, read back and compared; None for a dry run.
    """

    source: Path
    format: str
    kept: int
    dropped: int
    emptied_images: int
    out: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "source": str(self.source),
            "format": self.format,
            "kept": self.kept,
            "dropped": self.dropped,
            "emptied_images": self.emptied_images,
            "out": None if self.out is None else str(self.out),
            "dry_run": self.out is None,
        }

    def text(self) -> str:
        """Return what happened, in a line or two."""
        counts = f"{self.dropped:,} of {self.kept + self.dropped:,} masks"
        if self.emptied_images:
            counts += f" ({self.emptied_images:,} images lose all of theirs, and stay)"
        if self.out is None:
            return f"would drop {counts}; nothing is written without --out"
        return f"dropped {counts}\nwrote {self.out}, read it back: {self.kept:,} masks, all equal"


def prune(
    audit: Audit, out: Path | None = None, *, actions: Sequence[str] = ("reject",)
) -> PruneResult:
    """Write an audited dataset without the masks of some actions, in its own format.

    The output is written beside its place, read back and compared with the source, mask by mask in
    order, before it gets its name; so what stands at ``out`` has been checked.

    Args:
        audit: A finished audit.
        out: Where; must not exist. None only counts.
        actions: Whose masks go: "reject", "review", "accept".

    Raises:
        CallError: ``actions`` or ``out`` cannot be used.
        SourceError: The source is gone, cannot be read or has changed since the audit.
        AuditError: The audit has no plan, ``out`` cannot be written, or what was written is not
            what was meant (then it is removed again).
    """
    where = chosen(actions)
    told = source_of(audit)
    if "path" not in told:
        raise AuditError("it does not say what it is an audit of", str(audit.path))
    source = Path(told["path"])
    _refuse_changed(source, told.get("fingerprint"))
    counts = audit.query(
        f"select count(*) filter ({where}) as dropped, count(*) as masks from masks"
    ).iloc[0]
    emptied = audit.query(
        f"select count(*) as n from (select image_id from masks group by image_id "
        f"having bool_and(coalesce({where}, false)))"
    )["n"].iloc[0]
    dropped = int(counts["dropped"])
    form = detect(source, told.get("format"))
    result = PruneResult(
        source, form.name, int(counts["masks"]) - dropped, dropped, int(emptied), out
    )
    if out is not None:
        _refuse_place(source, audit.path, out)
        keys = audit.query(f"select source_key from masks where {where}")["source_key"]
        _write(form, source, out, frozenset(keys.astype(str)), result.kept)
    return result


def _refuse_changed(source: Path, before: str | None) -> None:
    if not source.exists():
        do = "put it back where it was, or audit it where it is now"
        raise SourceError("the audited dataset is not there any more", str(source), do)
    if before is not None and fingerprint(source) != before:
        do = "audit it again: the decisions are about what it held then"
        raise SourceError("it has changed since it was audited", str(source), do)


def _refuse_place(source: Path, audit: Path, out: Path) -> None:
    place, held = out.resolve(), source.resolve()
    if place == held:
        raise CallError("the output is the source itself", str(out), "choose another output")
    if source.is_dir() and place.is_relative_to(held):
        raise CallError("the output lies inside the source", str(out), "choose another output")
    if place.is_relative_to(audit.resolve()):
        raise CallError("the output lies inside the audit", str(out), "choose another output")
    empty = not out.exists() or (source.is_dir() and out.is_dir() and not any(out.iterdir()))
    if not empty or out.is_symlink():
        raise CallError("it exists already", str(out), "choose another output, or remove it")


def _write(form: Format, source: Path, out: Path, drop: frozenset[str], kept: int) -> None:
    """Prune into a folder beside ``out``, compare, and only then move it to its place."""
    with _beside(out) as folder:
        written = folder / source.name  # the same name: some formats name images after the file
        form.prune(source, written, drop)
        problem = check_masks(form, source, written, drop, kept)
        if not problem and not drop:
            problem = check_content(source, written)
        if problem:
            raise AuditError(
                f"what was written is not what was meant ({problem}), so it was removed",
                str(out),
                "this is a fault of curate: please report it; the source is untouched",
            )
        os.replace(written, out)


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """Yield a new folder on the same disk as ``out``; it is removed with all that is left in it."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(
            tempfile.mkdtemp(prefix=f".{out.name[:80]}.", suffix=".partial", dir=out.parent)
        )
    except OSError as error:
        raise _unwritable(error, out) from error
    try:
        yield folder
    except AuditError as error:
        if not error.where.startswith(str(folder)):
            raise
        raise AuditError(error.what, str(out), error.do) from error  # the folder is soon gone
    except OSError as error:
        raise _unwritable(error, out) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unwritable(error: OSError, out: Path) -> AuditError:
    reason = (error.strerror or str(error)).lower()
    return AuditError(f"it cannot be written ({reason})", str(out), "choose another place")
