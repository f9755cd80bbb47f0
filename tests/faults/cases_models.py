"""Cases of ``generate``, with a segmenter that needs no network."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fault_harness import Case, content
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "generation"))
from scene_segmenter import SceneSegmenter, picture

import curate
from curate.errors import CurateError
from curate.networks import generation

BOXES = [(40, 50, 120, 90), (300, 200, 70, 180)]
QUICK = {"points_per_side": 4, "crop_layers": 0}


def prepare_pictures(folder: Path) -> None:
    (folder / "images").mkdir()
    Image.fromarray(picture(480, 640, BOXES)).save(folder / "images" / "one.png")
    Image.fromarray(picture(480, 640, BOXES[1:])).save(folder / "images" / "two.png")
    (folder / "images" / "none.png").write_bytes(b"no picture")


def run_generate(folder: Path) -> None:
    out = folder / "made"
    generation.generate(folder / "images", out, segmenter=SceneSegmenter(), settings=QUICK)


def prepare_generated(folder: Path) -> None:
    prepare_pictures(folder)
    run_generate(folder)


def run_again(folder: Path) -> None:
    generation.reselect(folder / "made", settings={"pred_iou": 0.94})


def seen_generated(folder: Path) -> dict[str, Any]:
    """Return a finished generation without times; an interrupted one is refused."""
    if not (folder / "made").exists():
        return {}
    try:
        generation.open_generation(folder / "made")
    except CurateError:
        curate.read(folder / "made")  # a dataset has to be refused as well
        raise AssertionError("a generation that has not ended is read as a dataset") from None
    found: dict[str, Any] = {}
    for name, data in content(folder / "made").items():
        if name == "generation.json":
            about = json.loads(data)
            found |= {f"about {key}": value for key, value in about.items() if key != "timings"}
        elif name.endswith(".json"):
            found[name] = data
    tables = generation.open_generation(folder / "made").candidates()
    return found | {"candidates": [repr(table.to_pylist()) for table in tables]}


def prepare_restart(folder: Path) -> None:
    prepare_generated(folder)
    (folder / "images" / "two.png").unlink()


def run_restart(folder: Path) -> None:
    out = folder / "made"
    settings = QUICK | {"points_per_side": 5}
    segmenter = SceneSegmenter()
    generation.generate(
        folder / "images", out, segmenter=segmenter, settings=settings, restart=True
    )


CASES = {
    "generate": Case(prepare_pictures, run_generate, seen_generated),
    "generate --restart": Case(prepare_restart, run_restart, seen_generated),
    "generate --again": Case(prepare_generated, run_again, seen_generated),
}
