"""Writing of a dataset in its own format, read back and compared before it counts as written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from curate.common.progress import MaskCounter, Progress
from curate.errors import AuditError
from curate.formats.edits import Edits, Stored
from curate.formats.format import Format
from curate.writing.expected_dataset import MaskPlace
from curate.writing.naming import source_changed_error
from curate.writing.written_check import check_written


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
    form: Format,
    source: Path,
    written: Path,
    edits: Edits,
    meant: Expected,
    out: Path,
    progress: Progress | None = None,
) -> Made:
    """Write a dataset with edits, read it back and compare.

    Args:
        form: The format of both.
        source: The dataset.
        written: The new one; it has the name of the source, since some formats name images by it.
        edits: What changes.
        meant: What it must hold.
        out: Where it will stand, for messages.
        progress: Called with progress.

    Raises:
        SourceError: The source is not what was audited, though it looked so.
        AuditError: What was written is not what was meant.
    """
    MaskCounter(progress, "writing").add(0)
    stored = form.write(source, written, edits)
    checked = MaskCounter(progress, "checking", meant.masks)
    found = check_written(form, source, written, edits, stored, checked)
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
