"""Label Studio's part of the round trips: tasks out, submitted as they are, and back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson

import curate
from curate.people.exchange import count_left_out, import_file, write_queue
from curate.people.exchange.registry import ExportOptions
from curate.people.reviews import open_reviews
from curate.store.audit import StoredAudit, open_audit


def measure(audit_path: Path, out: Path) -> list[dict[str, Any]]:
    """Send all masks of an audit to Label Studio's format and back, as crops and whole images.

    Args:
        audit_path: The audit; decisions are written beside it.
        out: A new folder for what is written.

    Returns:
        A row a view: how many masks it has, were left out and why, came back equal, changed, and
        the seconds both ways took.
    """
    audit = open_audit(audit_path)
    return [_there_and_back(audit, out, crops) for crops in (False, True)]


def _there_and_back(audit: StoredAudit, out: Path, crops: bool) -> dict[str, Any]:
    view = "crops" if crops else "whole"
    person = f"label-studio {view}"
    rows = curate.queue(audit, actions=("accept", "review", "reject"))
    start = time.perf_counter()
    written = write_queue(audit, rows, out / view, "label-studio", how=ExportOptions(crops))
    middle = time.perf_counter()
    export = out / f"{view}.json"
    _submit(out / view / "tasks.json", export, person)
    sent = time.perf_counter()
    done = import_file(audit, export)
    end = time.perf_counter()
    kept = open_reviews(audit).decisions()
    kept = kept[kept["reviewer"] == person]
    equal = int(((kept["action"] == "accept") & (kept["iou"] == 1)).sum())
    masks = int(rows["mask_id"].nunique())
    why = count_left_out(audit, rows, written)
    return {
        "format": "label-studio",
        "view": view,
        "masks": masks,
        "not_carried": masks - written,
        "why": "; ".join(f"{count} {words}" for words, count in why.items()),
        "equal": equal,
        "changed": written - equal + done.added.missing,
        "out_s": round(middle - start, 2),
        "back_s": round(end - sent, 2),
    }


def _submit(tasks: Path, export: Path, person: str) -> None:
    """Write tasks as Label Studio exports them after each was submitted as it was."""
    with tasks.open("rb") as source, export.open("wb") as target:
        target.write(b"[\n")
        lines = (line.rstrip(b",\n") for line in source)
        found = (orjson.loads(line) for line in lines if line.startswith(b"{"))
        for number, task in enumerate(found, 1):
            result = task["predictions"][0]["result"]
            made = {"id": number, "completed_by": person, "result": result, "lead_time": 1.0}
            done = {"id": number, "annotations": [made], **task}
            target.write((b",\n" if number > 1 else b"") + orjson.dumps(done))
        target.write(b"\n]\n")
