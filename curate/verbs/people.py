"""Verbs about people: queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curate.errors import CallError
from curate.verbs.paths import AnyPath


def queue(path: AnyPath, **options: Any) -> Any:
    """Return the masks to review as a frame; see :func:`curate.curation.queue.queue`."""
    from curate.curation.queue import queue as rank_queue
    from curate.store import open_audit

    return rank_queue(open_audit(path), **options)


def write_queue(
    path: AnyPath, out: AnyPath | None = None, *, to: str | None = None, **options: Any
) -> str:
    """Write the queue to a file, or return it as CSV; see :func:`queue` for the options."""
    from curate.curation.queue import queue as rank_queue
    from curate.curation.queue import write_queue as write
    from curate.curation.queue_files import csv_lines
    from curate.store import open_audit

    opened = open_audit(path)
    rows = rank_queue(opened, **options)
    if out is None:
        if to not in (None, "csv"):
            raise CallError(f"--to {to} needs a file", "queue", "give one with --out")
        return "".join(csv_lines(rows)).rstrip("\r\n")
    count = write(opened, rows, Path(out), to)
    return f"{count:,} masks in {out}"
