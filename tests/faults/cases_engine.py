"""Cases of ``curate engine``: setting up, the steps before people, closing, training, certifying,
and the dataset."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from fault_harness import Case
from PIL import Image

import curate
from curate.common.clock import Clock
from curate.engine.engine_value import Engine
from curate.engine.people_work import PeopleWork
from curate.engine.prompt_search import PromptSearch
from curate.engine.round_record import RoundRecord
from curate.engine.rounds import EngineRounds
from curate.engine.training_round import skip_result
from curate.engine.tried_prompts import read_last_tried, write_tried
from curate.networks.segmenters.prompt_recipes import RECIPES
from curate.networks.segmenters.small_sam import build_small_sam
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.rle import encode_counts, from_dense
from curate.store.engine_folder import find_open_audit

sys.path.append(str(Path(__file__).parents[1] / "models"))

IMAGES = 34
CLOCK = Clock(lambda: 1_800_000_000_000_000_000, lambda: 0)
SMALL: dict[str, Any] = {"size": 64, "epochs": 1, "rounds": 1, "round_images": 3, "clock": CLOCK}
SMALL |= {"prefill_rounds": 0, "automatic": False}


def prepare_pictures(folder: Path) -> None:
    """Draw pictures of one bright square each."""
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    for k in range(IMAGES):
        picture = random.integers(0, 60, (48, 64, 3), np.uint8)
        picture[10 : 30 + k % 5, 20:44] = 200
        Image.fromarray(picture).save(folder / "images" / f"{k:02d}.png")


def set_up(folder: Path) -> None:
    curate.new_engine(folder / "project", images=folder / "images", **SMALL)


def engine_of(folder: Path) -> Engine:
    return curate.open_engine(folder / "project", clock=CLOCK)


def seen_set_up(folder: Path) -> dict[str, Any]:
    project = folder / "project"
    if not project.exists():
        return {}
    engine_of(folder).status()
    return {name: (project / name).read_bytes() for name in ("engine.json", "images.parquet")}


def prepare_next(folder: Path) -> None:
    prepare_pictures(folder)
    set_up(folder)


def go_on(folder: Path) -> None:
    engine_of(folder).next(device="cpu")


def seen_open(folder: Path) -> dict[str, Any]:
    """Return what people are asked for; nothing as long as that is not all there."""
    if engine_of(folder).status().now.needs != "people":
        return {}
    audit = find_open_audit(folder / "project")
    reviews = open_reviews(open_audit(audit))
    names = {name: (audit.parent / name).read_bytes() for name in ("images.txt", "proposals.json")}
    return names | {"draws": reviews.draws()["settings"].tolist()}


def draw_squares(folder: Path) -> None:
    """Add the mask of each picture of the open round."""
    reviews = open_reviews(open_audit(find_open_audit(folder / "project")), create=True)
    images = reviews.audit.query("select image_id, height, width from images order by image_id")
    square = np.zeros((48, 64), bool)
    square[10:31, 20:44] = True
    frame = images[["image_id"]].assign(reviewer="ann", seconds=5.0)
    counts = encode_counts(from_dense(square))[0].as_py()
    reviews.add(
        pd.DataFrame({"mask_id": pd.Series([], dtype="int64"), "action": []}),
        origin="test",
        missing=frame.assign(segmentation=[counts] * len(frame)),
        reviewed_images=frame,
    )


def prepare_close(folder: Path) -> None:
    prepare_next(folder)
    go_on(folder)
    draw_squares(folder)


def close(folder: Path) -> None:
    engine_of(folder).close_round()


def seen_closed(folder: Path) -> dict[str, Any]:
    """Return what was taken from people; nothing as long as the round is not closed."""
    project = folder / "project"
    status = engine_of(folder).status()
    if status.now.needs == "people" or not len(status.rounds):
        return {}
    masks = (project / "validation" / "masks.json").read_bytes()
    rows = status.rounds.drop(columns=["machine_s"]).to_json()
    return {"masks": masks, "rows": rows}


def prepare_training(folder: Path) -> None:
    prepare_close(folder)
    go_on(folder)
    draw_squares(folder)


def seen_trained(folder: Path) -> dict[str, Any]:
    """Return the trained segmenter; nothing as long as it was not measured."""
    round_ = folder / "project" / "rounds" / "01"
    record = json.loads((round_ / "round.json").read_text())
    if record["result"] is None:
        return {}
    weights = (round_ / "segmenter" / "model.safetensors").read_bytes()
    return {"weights": weights, "validation": record["result"]["validation"]}


def write_report(folder: Path) -> None:
    engine_of(folder).report()


def seen_report(folder: Path) -> dict[str, Any]:
    """Return the report; nothing as long as the page, which is written last, is not there."""
    paths = sorted((folder / "project").glob("report.*"))
    named = {path.name: path.read_text().replace(str(folder), "") for path in paths}
    return named if "report.html" in named else {}


def keep_prompts(folder: Path) -> None:
    masks = pd.DataFrame({"image_id": [1, 1, 2], "category": ["cell", None, "cell"]})
    iou = np.array([[0.5, 0.6], [0.7, 0.8], [0.6, 0.7]])
    found = PromptSearch(RECIPES[:2], masks, iou, np.array([0.1, 0.2]), 0.95, 0)
    write_tried(folder / "project", found, {"name": "sam", "fingerprint": "f"}, CLOCK)


def seen_prompts(folder: Path) -> dict[str, Any]:
    tried = read_last_tried(folder / "project", None)
    return {} if tried is None else vars(tried) | {"file": ""}  # a run again writes another


def warm_up(folder: Path) -> None:
    """Do all that a round does but going backward, which does not survive a fork."""
    import torch

    torch.set_num_threads(1)
    prepare_training(folder)
    with patch.object(torch.Tensor, "backward", lambda _: None):
        go_on(folder)
    seen_trained(folder)


def prepare_automatic(folder: Path) -> None:
    """Set up an engine with a segmenter whose rounds are through, but for two pictures."""
    prepare_pictures(folder)
    model = build_small_sam(side=64, patch=16, hidden=32, layers=1, decoder=16, seed=0)
    model.save_pretrained(folder / "sam")
    given = SMALL | {"size": None, "automatic": True, "max_bad": 0.5, "sample": 3}
    engine = curate.new_engine(
        folder / "project",
        images=folder / "images",
        segmenter=str(folder / "sam"),
        validation_proposals=False,
        full_settings={"points_per_side": 2, "pred_iou": -10.0, "stability": 0.0, "coverage": 1.0}
        | {"crop_layers": 0, "min_region_px": 0},
        device="cpu",
        **given,
    )
    engine.next(device="cpu")
    draw_squares(folder)
    engine.close_round()
    rounds = EngineRounds(engine.path, engine.settings)
    pool = rounds.images[rounds.images["role"] == "pool"]
    record = RoundRecord(1, 1, {"images": len(pool) - 2}, rounds.in_force)
    record.people, record.result = PeopleWork.none().record, skip_result("nothing was trained")
    first = engine.path / "rounds" / "01"
    first.mkdir(parents=True)
    (first / "images.txt").write_text("".join(f"{name}\n" for name in pool["file_name"][:-2]))
    record.write(first)


def prepare_certify(folder: Path) -> None:
    """Have the sample of the automatic stage reviewed: all of it is good."""
    prepare_automatic(folder)
    go_on(folder)
    reviews = open_reviews(open_audit(find_open_audit(folder / "project")))
    reviews.add(reviews.read_draw(1)[["mask_id"]].assign(action="accept"), origin="test")


def seen_certified(folder: Path) -> dict[str, Any]:
    """Return what was certified; nothing as long as the stage is not closed."""
    round_ = folder / "project" / "rounds" / "02"
    record = json.loads((round_ / "round.json").read_text())
    if record["people"] is None:
        return {}
    masks = (round_ / "masks.json").read_bytes()
    return {"masks": masks, "automatic": record["automatic"], "people": record["people"]}


def prepare_dataset(folder: Path) -> None:
    prepare_certify(folder)
    close(folder)


def write_dataset(folder: Path) -> None:
    engine_of(folder).write(folder / "all.json")


def seen_dataset(folder: Path) -> dict[str, Any]:
    """Return the dataset with the origin of each mask; nothing as long as it is not there."""
    out = folder / "all.json"
    if not out.exists():
        return {}
    origin = pd.read_parquet(folder / "all.json.provenance.parquet")
    return {"masks": out.read_bytes(), "origin": origin.to_json()}


def warm_automatic(folder: Path) -> None:
    import torch

    torch.set_num_threads(1)
    prepare_dataset(folder)
    write_dataset(folder)
    seen_dataset(folder)


CASES = {
    "engine new": Case(prepare_pictures, set_up, seen_set_up),
    "engine next": Case(prepare_next, go_on, seen_open),
    "engine close": Case(prepare_close, close, seen_closed),
    "engine report": Case(prepare_next, write_report, seen_report, late=()),
    "engine prompts": Case(prepare_next, keep_prompts, seen_prompts),
    "engine training": Case(prepare_training, go_on, seen_trained, warm=warm_up),
    "engine automatic": Case(prepare_automatic, go_on, seen_open, warm=warm_automatic),
    "engine certify": Case(prepare_certify, close, seen_certified, warm=warm_automatic),
    "engine write": Case(prepare_dataset, write_dataset, seen_dataset, warm=warm_automatic),
}
