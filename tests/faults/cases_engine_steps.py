"""Cases of steps of a round of the engine: repeated, with prompts that were searched, and so on.

They begin with an engine whose validation images are annotated, and whose first round, where there
is one, trained nothing: a backward pass does not survive the fork of a case's children. Networks
have random weights, so judgements that these would not pass are made for them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from cases_engine import (
    SMALL,
    draw_squares,
    engine_of,
    go_on,
    prepare_pictures,
    seen_prompts,
)
from fault_harness import Case

import curate
from curate.common import files
from curate.common.arrays import ByteArray
from curate.engine.people_work import PeopleWork
from curate.engine.proposal_cuts import CutWorth
from curate.engine.round_record import RoundRecord, read_round
from curate.engine.rounds import EngineRounds
from curate.engine.training_round import skip_result
from curate.errors import AuditError
from curate.networks.detectors.detections import Detections
from curate.networks.segmenters.small_sam import build_small_sam
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.store.engine_folder import DETECTOR, find_open_audit, list_missed

sys.path.append(str(Path(__file__).parents[1] / "models"))

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


def pass_round(folder: Path) -> None:
    """Write a first round of three images that is through, without a mask of people."""
    engine = engine_of(folder)
    rounds = EngineRounds(engine.path, engine.settings)
    names = rounds.images.loc[rounds.images["role"] == "pool", "file_name"].head(3)
    record = RoundRecord(1, 1, {"images": 3}, rounds.in_force)
    record.people, record.result = PeopleWork.none().record, skip_result("nothing was trained")
    first = engine.path / "rounds" / "01"
    first.mkdir(parents=True)
    (first / "images.txt").write_text("".join(f"{name}\n" for name in names))
    record.write(first)


def seen_round(folder: Path) -> dict[str, Any]:
    """Return what people are asked for, and the records of all rounds without times.

    Raises:
        AuditError: People cannot begin yet.
    """
    project = folder / "project"
    audit = find_open_audit(project)
    if engine_of(folder).status().now.needs != "people":
        raise AuditError("people are not needed yet", str(project))
    names = ("images.txt", "proposals.json", "doubt.json", "prefill/prefilled.json")
    found: dict[str, Any] = {
        name: (audit.parent / name).read_bytes() for name in names if (audit.parent / name).exists()
    }
    draws = open_reviews(open_audit(audit)).draws()["settings"].tolist()
    return found | {"draws": draws, "records": list_records(project)}


def list_records(project: Path) -> list[dict[str, Any]]:
    """Return the records of all rounds, without the times of their steps."""
    paths = sorted(project.glob("rounds/*/round.json"))
    records = [json.loads(path.read_text()) for path in paths]
    return [one | {"steps": sorted(one["steps"])} for one in records]


def warm_up(prepare: Callable[[Path], None], run: Callable[[Path], None], folder: Path) -> None:
    import torch

    torch.set_num_threads(1)
    prepare(folder)
    run(folder)
    list_records(folder / "project")


def prepare_repeat(folder: Path) -> None:
    prepare_rounds(folder)
    go_on(folder)


def repeat(folder: Path) -> None:
    engine_of(folder).repeat(settings={"points_per_side": 3}, device="cpu")


def prepare_carrying(folder: Path) -> None:
    """Decide on some proposals of the open round, and add the masks of its images."""
    prepare_repeat(folder)
    reviews = open_reviews(open_audit(find_open_audit(folder / "project")), create=True)
    masks = reviews.audit.query("select mask_id from masks order by mask_id").head(3)
    actions = ["accept", "reject", "accept"][: len(masks)]
    reviews.add(masks.assign(action=actions, reviewer="ann", seconds=2.0), origin="test")
    draw_squares(folder)


def seen_carried(folder: Path) -> dict[str, Any]:
    """Return the open round with what people did in it."""
    seen = seen_round(folder)
    reviews = open_reviews(open_audit(find_open_audit(folder / "project")))
    for name, frame in (
        ("decisions", reviews.decisions()),
        ("missing", reviews.missing()),
        ("searched", reviews.reviewed_images()),
    ):
        kept = frame.drop(columns=["decision_id", "missing_id"], errors="ignore")
        seen[name] = sorted(str(row) for row in kept.to_dict("records"))
    return seen


def search(folder: Path) -> None:
    engine_of(folder).search_prompts(device="cpu")


def prepare_second_look(folder: Path) -> None:
    prepare_rounds(folder)
    search(folder)


def look_again(folder: Path) -> None:
    """Go on with prompts that are said to draw proposals better, on some that are said to match."""
    some = np.arange(3)
    with ExitStack() as stack:
        for name, value in (
            ("round_cuts.LEAST_MASKS", 1),
            ("round_prompts._match", lambda *_: (some, some)),
            ("round_prompts.choose_recipe", lambda *_, **__: 1),
        ):
            stack.enter_context(patch(f"curate.engine.{name}", value))
        go_on(folder)


class SquareDetector:
    """Sees an object at one place of each picture."""

    def detect(self, images: Sequence[ByteArray]) -> list[Detections]:
        """Return a box a picture."""
        box = np.array([[20.0, 10.0, 24.0, 21.0]])
        return [Detections(box, np.array([0.9]), np.zeros(1, np.int64)) for _ in images]


def prepare_boxes(folder: Path) -> None:
    import tiny_detectors

    prepare_rounds(folder, prefill_rounds=1, max_bad=0.5)
    pass_round(folder)
    tiny_detectors.make("rt_detr", folder / "detector", labels=1)


def copy_detector(folder: Path, *_: object, **__: object) -> str:
    """Copy a detector in the place of training one, which has cases of its own."""
    files.mkdir(folder / DETECTOR, exist_ok=True)
    for path in sorted((folder.parents[2] / "detector").iterdir()):
        files.copy_bytes(path, folder / DETECTOR / path.name)
    return ""


def prompt_boxes(folder: Path, missed: int = 0) -> None:
    """Go on with a detector whose boxes are said to be worth it.

    Args:
        folder: Of the case.
        missed: Proposals for validation images that are said to be of missed objects.
    """
    worth = CutWorth(0.5, 0.0, 1, 0)
    with ExitStack() as stack:
        for name, value in (
            ("stage_two.train_round_detector", copy_detector),
            ("box_proposals.load_detector", lambda *_, **__: SquareDetector()),
            ("box_proposals.choose_confidence", lambda *_: (worth, worth)),
            (
                "missed_objects.find_possible_misses",
                lambda table, *_: sorted(int(one) for one in table.masks.index)[:missed],
            ),
        ):
            stack.enter_context(patch(f"curate.engine.{name}", value))
        go_on(folder)


ask_missed = partial(prompt_boxes, missed=2)


def prepare_answers(folder: Path) -> None:
    """Have people decide on proposals that may be of missed objects."""
    prepare_boxes(folder)
    ask_missed(folder)
    reviews = open_reviews(open_audit(find_open_audit(folder / "project")), create=True)
    masks = reviews.audit.query("select mask_id from masks order by mask_id")
    reviews.add(masks.assign(action=["accept", "reject"], reviewer="ann"), origin="test")


def seen_missed(folder: Path) -> dict[str, Any]:
    """Return the round that is open, with the record of what was asked on validation images."""
    seen = seen_round(folder)
    for place in list_missed(folder / "project"):
        record = json.loads((place / "round.json").read_text())
        seen[place.name] = record | {"steps": sorted(record["steps"])}
        if (place / "masks.json").exists():
            seen["masks"] = json.loads((place / "masks.json").read_bytes())["annotations"]
    return seen


def prepare_choice(folder: Path) -> None:
    """Have all proposals of a first round rejected."""
    prepare_rounds(folder, mask_choice="learned", rounds=2)
    go_on(folder)
    reviews = open_reviews(open_audit(find_open_audit(folder / "project")))
    masks = reviews.audit.query("select mask_id from masks order by mask_id")
    reviews.add(masks.assign(action="reject", reviewer="ann"), origin="test")
    draw_squares(folder)
    engine_of(folder).close_round()
    first = folder / "project" / "rounds" / "01"
    record = read_round(first)
    assert record is not None
    record.result = skip_result("nothing was trained")
    record.write(first)


def choose_masks(folder: Path) -> None:
    """Go on with the label-free quality in the place of one that was learned."""
    learnt = SimpleNamespace(outcome="learned", record={})
    with (
        patch("curate.engine.candidate_choice.describe_too_few", lambda _: ""),
        patch("curate.engine.learned_quality.learn", lambda *_, **__: learnt),
    ):
        go_on(folder)


def prepare_doubt(folder: Path) -> None:
    prepare_rounds(folder, image_rule="unsure", rounds=2)
    pass_round(folder)


def look_for_doubt(folder: Path) -> None:
    with patch("curate.engine.round_images.LOOKED_AT", 2):
        go_on(folder)


def _case(prepare: Callable[[Path], None], run: Callable[[Path], None], seen: Any) -> Case:
    return Case(prepare, run, seen, warm=partial(warm_up, prepare, run))


CASES = {
    "engine repeat": _case(prepare_repeat, repeat, seen_round),
    "engine carrying": _case(prepare_carrying, repeat, seen_carried),
    "engine missed objects": _case(prepare_boxes, ask_missed, seen_missed),
    "engine missed answers": _case(prepare_answers, ask_missed, seen_missed),
    "engine prompt search": _case(prepare_rounds, search, seen_prompts),
    "engine second look": _case(prepare_second_look, look_again, seen_round),
    "engine box prompts": _case(prepare_boxes, prompt_boxes, seen_round),
    "engine mask choice": _case(prepare_choice, choose_masks, seen_round),
    "engine unsure images": _case(prepare_doubt, look_for_doubt, seen_round),
}
