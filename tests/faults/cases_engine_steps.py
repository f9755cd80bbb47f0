"""Cases of steps of a round of the engine: repeated, with prompts that were searched, and so on.

They begin with an engine whose validation images are annotated, and whose first round, where there
is one, trained nothing: a backward pass does not survive the fork of a case's children.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cases_engine import SMALL, draw_squares, engine_of, go_on, prepare_pictures
from fault_harness import Case

import curate
from curate.errors import AuditError
from curate.networks.segmenters.small_sam import build_small_sam
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.store.engine_folder import find_open_audit

ANYTHING = {"points_per_side": 2, "pred_iou": -10.0, "stability": 0.0, "coverage": 1.0}
"""Settings of a recipe that keep what a segmenter with random weights draws."""


def prepare_rounds(folder: Path, **options: Any) -> None:
    """Set up an engine with a segmenter, and annotate its validation images."""
    prepare_pictures(folder)
    model = build_small_sam(side=64, patch=16, hidden=32, layers=1, decoder=16, seed=0)
    model.save_pretrained(folder / "sam")
    given = SMALL | {"size": None, "settings": ANYTHING} | options
    curate.new_engine(
        folder / "project",
        images=folder / "images",
        segmenter=str(folder / "sam"),
        validation_proposals=False,
        device="cpu",
        **given,
    )
    go_on(folder)
    draw_squares(folder)
    engine_of(folder).close_round()


def seen_round(folder: Path) -> dict[str, Any]:
    """Return what people are asked for, and the records of all rounds without times.

    Raises:
        AuditError: People cannot begin yet.
    """
    project = folder / "project"
    audit = find_open_audit(project)
    if engine_of(folder).status().now.needs != "people":
        raise AuditError("people are not needed yet", str(project))
    names = ("images.txt", "proposals.json", "doubt.json")
    paths = [audit.parent / name for name in names]
    found: dict[str, Any] = {path.name: path.read_bytes() for path in paths if path.exists()}
    draws = open_reviews(open_audit(audit)).draws()["settings"].tolist()
    return found | {"draws": draws, "records": list_records(project)}


def list_records(project: Path) -> list[dict[str, Any]]:
    """Return the records of all rounds, without the times of their steps."""
    records = [json.loads(path.read_text()) for path in sorted(project.glob("rounds/*/round.json"))]
    return [one | {"steps": sorted(one["steps"])} for one in records]


def prepare_repeat(folder: Path) -> None:
    prepare_rounds(folder)
    go_on(folder)


def repeat(folder: Path) -> None:
    engine_of(folder).repeat(settings={"points_per_side": 3}, device="cpu")


def warm_repeat(folder: Path) -> None:
    import torch

    torch.set_num_threads(1)
    prepare_repeat(folder)
    repeat(folder)
    seen_round(folder)


CASES = {
    "engine repeat": Case(prepare_repeat, repeat, seen_round, warm=warm_repeat),
}
