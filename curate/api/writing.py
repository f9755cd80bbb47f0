"""Verbs that write datasets: prune, write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.api.early_checks import AnyPath, as_path, check_audit, check_file
from curate.common.ranges import DUPLICATES
from curate.formats.edits import MASKS, OVERLAPS
from curate.policy.grammar import check_actions, check_choice

if TYPE_CHECKING:
    from curate.store.audit import Audit
    from curate.writing import PruneResult, WriteResult


def prune(
    path: AnyPath,
    out: AnyPath | None = None,
    *,
    drop: tuple[str, ...] = ("reject",),
    source: AnyPath | None = None,
    yes: bool = False,
) -> PruneResult:
    """Write the dataset without the masks of some actions; see :func:`curate.writing.prune`."""
    check_audit(path)
    check_file(source)
    check_actions(drop, "--drop")

    from curate.people.reviews.current_plan import open_audit
    from curate.writing import prune as run

    where = as_path(source)
    return run(open_audit(path), as_path(out), actions=drop, source=where, yes=yes)


def write(
    audit: AnyPath | Audit,
    out: AnyPath | None = None,
    *,
    to: str | None = None,
    source: AnyPath | None = None,
    provenance: AnyPath | None = None,
    yes: bool = False,
    **options: Any,
) -> WriteResult:
    """Write the dataset as people left it; see :func:`curate.writing.write`.

    Args:
        audit: The audit, or its directory.
        out: Where; must not exist. None only says what would change.
        to: The format: "coco", or its own; None: its own.
        source: Where the audited dataset is now; None: where it was.
        provenance: Where it is written what happened to each mask; None: beside ``out``.
        yes: Write though many masks are removed for format errors.

    Further keywords are fields of :class:`curate.writing.write_options.WriteOptions`.

    Raises:
        CurateError: See :func:`curate.writing.write`.
    """
    check_audit(audit)
    check_file(source)
    check_actions(options.get("drop", ("reject",)), "--drop")
    for option, known in (("masks", MASKS), ("overlap", OVERLAPS), ("duplicates", DUPLICATES)):
        check_choice(options.get(option), f"--{option}", known)

    from curate.people.reviews.current_plan import open_audit
    from curate.writing import write as run
    from curate.writing.write_options import WriteOptions

    opened = open_audit(audit if isinstance(audit, str | Path) else audit.path)
    return run(
        opened,
        as_path(out),
        to=to,
        options=WriteOptions(**options),
        source=as_path(source),
        provenance=as_path(provenance),
        yes=yes,
    )
