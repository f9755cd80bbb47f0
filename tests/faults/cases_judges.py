"""The case of ``judge``: a process that is asked about masks, three at a time."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from boxes import HEIGHT, WIDTH, dataset
from cases_people import no_report, seen
from fault_harness import Case
from PIL import Image

import curate
from curate.store.audit import JUDGEMENTS

JUDGE = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    answers = [{"id": m["id"], "accept": m["bbox"][2] > 8, "score": 0.5} for m in request["masks"]]
    print(json.dumps({"batch": request["batch"], "answers": answers}), flush=True)
"""


def prepare_judge(folder: Path) -> None:
    """Audit three images with their pictures."""
    (folder / "images").mkdir()
    for k in (1, 2, 3):
        Image.new("RGB", (WIDTH, HEIGHT), (40 * k, 90, 60)).save(folder / "images" / f"{k}.png")
    (folder / "in.json").write_text(json.dumps(dataset()))
    curate.audit(folder / "in.json", folder / "out", images=folder / "images")


def run_judge(folder: Path) -> None:
    judge = [sys.executable, "-c", JUDGE]
    curate.judge(folder / "out", judge, budget=9, batch=3, images=folder / "images")


def seen_judged(folder: Path) -> dict[str, Any]:
    """Return the audit; of the answers, without times, once they are in its plan.

    Those of finished batches are kept before that: they are no part of what is read.
    """
    found = seen(folder)
    kept = found.pop(JUDGEMENTS, None)
    found.pop("audit.json inputs", None)  # the absolute path of a copied folder
    if "audit.json judge" in found:
        assert kept is not None
        table = pq.read_table(folder / "out" / JUDGEMENTS)
        found[JUDGEMENTS] = table.drop_columns(["seconds", "asked_at"]).to_pydict()
    return found


CASES = {"judge": Case(prepare_judge, no_report(run_judge), seen_judged)}
