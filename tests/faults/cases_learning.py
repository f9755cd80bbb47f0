"""The case of ``learn``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cases_people import many_boxes, no_report, prepare_audit, seen
from fault_harness import Case

import curate
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit


def prepare_learn(folder: Path) -> None:
    """Let people decide on all masks of half of the images."""
    prepare_audit(folder, many_boxes(40))
    ids = np.arange(100)
    rows = pd.DataFrame({"mask_id": ids, "action": np.where(ids % 3, "accept", "reject")})
    rows["time"] = pd.date_range("2026-01-01", periods=len(rows), freq="min", tz="UTC")
    reviews = open_reviews(open_audit(folder / "out"), create=True)
    reviews.add(rows.assign(reviewer="ann"), origin="test")


def run_learn(folder: Path) -> None:
    curate.learn(folder / "out")


def seen_learned(folder: Path) -> dict[str, Any]:
    """Return the audit without what is of the moment in which it was learned.

    The model's file holds when it was written, so its name, a digest, is another in each run; what
    it says of all masks stands in the parts.
    """
    found = seen(folder)
    models = [name for name in found if name.startswith("model/")]
    for name in (*models, "audit.json judged_by"):
        found.pop(name, None)
    model = found.get("audit.json quality_model")
    if model:
        assert models == [f"model/{model['file']}"]
        found["audit.json quality_model"] = model["quality_quantiles"], model["asked"]
    learning = found.get("audit.json learning")
    if learning:
        found["audit.json learning"] = {k: v for k, v in learning.items() if k != "seconds"}
    return found


CASES = {"learn": Case(prepare_learn, no_report(run_learn), seen_learned)}
