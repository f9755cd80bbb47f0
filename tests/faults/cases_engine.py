"""Cases of ``curate engine``: setting up, the steps before people, closing, and training."""

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
from curate.engine.prompt_recipes import RECIPES
from curate.engine.prompt_search import PromptSearch
from curate.engine.tried_prompts import read_last_tried, write_tried
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


CASES = {
    "engine new": Case(prepare_pictures, set_up, seen_set_up),
    "engine next": Case(prepare_next, go_on, seen_open),
    "engine close": Case(prepare_close, close, seen_closed),
    "engine report": Case(prepare_next, write_report, seen_report, late=()),
    "engine prompts": Case(prepare_next, keep_prompts, seen_prompts),
    "engine training": Case(prepare_training, go_on, seen_trained, warm=warm_up),
}
