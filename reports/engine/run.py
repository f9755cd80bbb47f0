"""What the engine saves: people's seconds for the same dataset, against no help and fixed help.

    python reports/engine/run.py --work FOLDER [--data FOLDER] [--seeds 5] [--hours H] [--arms ...]
    python reports/engine/run.py --work OTHER --set brain_tumour --start FOLDER/start
    python reports/engine/run.py --work THIRD --set drawn --start FOLDER/start --arms stages
    python reports/engine/run.py --work FOURTH --pool 160 --start FOLDER/start --name NAME
    python reports/engine/run.py --quick [--work FOLDER]

With ``--work`` a run goes on where an earlier one ended: every arm of every seed is kept, and one
that was interrupted starts anew. It prints first how long it will take, and begins no arm after
``--hours``. When all arms of all seeds are there, it writes results.csv, the figures and the tables
of README.md; ``--quick`` takes drawn scenes and a segmenter of random weights, takes a minute, and
only prints.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from arms import ARMS, ENGINE, MANUAL, ONCE, RANDOM, STAGES, ArmResult, Plan, run_arm
from best_of_three import best_of_three_rows
from choice import choice_rows
from goals import Results, Row, rows_of
from plots import draw_hours
from sets import drawn_set, images_of, nuclei_set, tumour_set, vary_pictures
from stage_goals import stage_rows
from tables import (
    drawn_scenes,
    goals,
    larger_pool,
    new_cuts,
    one_in_ten_bad,
    second_set,
    stronger_start,
    time_constants,
    verdicts,
)
from time_model import SOURCES
from worth import worth_rows

import curate
from curate.demo_dataset import AnnotationTimes, ErrorRates, draw_shapes
from curate.networks.segmenters.small_sam import build_small_sam

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from filling import fill_page

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
NUCLEI, TUMOURS, DRAWN = "nuclei", "brain_tumour", "drawn"
STRONGER, LARGER = "nuclei, stronger start", "nuclei, larger pool"
FIGURES = {
    NUCLEI: "nuclei",
    TUMOURS: "brain_tumour",
    STRONGER: "stronger_start",
    LARGER: "larger_pool",
}
"""Names of figures, by the name that results are published under."""

COLUMNS = ("set", "goal", "what", "constant", "factor", "seed", "value", "low", "high", "source")

SIDE = 128
TILES, LARGE_TILES = 1, 2
"""Of an image at most: in the pool of most arms, and in that of all three stages."""

POOL, LARGE_POOL = 80, 200
"""Tiles of the pools: of most arms' 16 validate, and there are four rounds of as many."""

SCENES_TO_START = 400
GOOD_IOU = 0.75
SMALL_SAM: dict[str, int] = {"side": SIDE, "patch": 8, "hidden": 64, "layers": 3, "decoder": 32}
RECIPE: dict[str, object] = {"extends": "popular", "points_per_side": 8}
"""The cuts are left to the engine: it chooses them on its validation images."""

# The study was run when the engine knew no other choice of masks, nor the prompts that it searches.
ENGINE_SETTINGS: dict[str, Any] = {
    "encoder": True,
    "image_rule": "diverse",
    "mask_choice": "predicted",
    "rounds": 4,
    "round_images": 16,
    "validation_images": 16,
    "epochs": 12,
    "patience": 4,
    "learning_rate": 1e-3,
}
LARGER_ROUNDS = 6
"""Rounds of a pool that ``--pool`` sets, as many as the engine has by default; a tenth of it
validates."""

DRAWN_SCENES = 300
"""Scenes of the pool, of the kind that the first segmenter was trained on, but others."""

DRAWN_SAMPLE = 300
"""Masks that are reviewed for the certificate: of 148, in which people reject one good mask in
fifty, so few are bad only by luck that 5% can be certified."""

TUMOUR_SETTINGS: dict[str, Any] = {"round_images": 14, "validation_images": 44}
"""For the second set: two images of three have a tumour, and cuts take 25 masks to be chosen on."""

CLEAN: dict[str, object] = {"nms": "mask", "min_region_px": 10}
"""A small segmenter leaves specks, which make the boxes of one object unlike: duplicates stay."""

STAGES_SETTINGS: dict[str, Any] = {
    "rounds": 2,
    "validation_images": 40,
    "settings": CLEAN,
    "prefill_rounds": 2,
    "automatic": True,
    "max_bad": 0.05,
    "detector_size": SIDE,
    "detector_epochs": 10,
    "full_settings": {
        "points_per_side": 8,
        "crop_layers": 0,
        **CLEAN,
        "pred_iou": 0.8,
        "keep_pred_iou": 0.8,
        "stability": 0.85,
        "keep_stability": 0.85,
    },
}
"""The cuts of the last stage are lower than the paper's, as a small segmenter's scores are. They
were set by the validation images of a first run on drawn scenes."""

START_DETECTOR: dict[str, Any] = {"size": SIDE, "epochs": 25}

START: dict[str, Any] = {"encoder": True, "epochs": 40, "patience": 8, "learning_rate": 2e-3}
WORTH: dict[str, Any] = {"encoder": True, "epochs": 6, "patience": 2, "learning_rate": 5e-4}

ANYTHING: dict[str, object] = {
    "extends": "popular",
    "points_per_side": 2,
    "pred_iou": -10.0,
    "stability": 0.0,
    "coverage": 1.0,
    "keep_pred_iou": -10.0,
    "keep_stability": 0.0,
}
QUICK_ENGINE: dict[str, Any] = {
    "encoder": True,
    "image_rule": "diverse",
    "rounds": 2,
    "round_images": 8,
    "epochs": 1,
}
QUICK_STAGES: dict[str, Any] = {
    "rounds": 1,
    "prefill_rounds": 1,
    "automatic": True,
    "max_bad": 0.3,
    "detector_size": 64,
    "detector_epochs": 1,
    "full_settings": {name: value for name, value in ANYTHING.items() if name != "extends"}
    | {"crop_layers": 0},
}
QUICK_SCENES = 34


def main() -> None:
    """Run the study, or as much of it as there is time for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the datasets")
    parser.add_argument("--work", type=Path, help="folder in which to go on where a run ended")
    parser.add_argument("--set", choices=[NUCLEI, TUMOURS, DRAWN], default=NUCLEI)
    parser.add_argument("--start", type=Path, help="first segmenter, FOLDER/start of a run")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--miss", type=float, help="share of objects that people overlook")
    parser.add_argument("--hours", type=float, default=12, help="begin no arm after so long")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--worth-seeds", type=int, help="of goal 7; all if left out")
    parser.add_argument("--arms-only", action="store_true", help="measure and publish nothing yet")
    parser.add_argument("--publish", action="store_true", help="what is there, if not all is")
    parser.add_argument("--pool", type=int, help="tiles of nuclei, instead of 80 in four rounds")
    parser.add_argument("--max-bad", type=float, help="of prefilled and of certified masks")
    parser.add_argument("--name", help="publish goals 1 to 4 alone, under this name")
    parser.add_argument("--device", help="where networks run")
    parser.add_argument("--quick", action="store_true", help="drawn scenes, nothing is written")
    asked = parser.parse_args()
    with ExitStack() as stack:
        work = asked.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rows, results, complete = study(asked, work)
        name = asked.name or asked.set
        table = pd.DataFrame(rows).assign(set=name).reindex(columns=list(COLUMNS))
        means = table[(table["seed"] == "mean") & (table["factor"].fillna(1) == 1)]
        print(means[["goal", "what", "value", "low", "high"]].to_string(index=False))
        if complete and not asked.quick:
            publish(name, table, results)


def study(asked: argparse.Namespace, work: Path) -> tuple[list[Row], Results, bool]:
    """Run the arms that are left; return all rows, all arms, and whether nothing is missing."""
    plan = quick_plan(work, asked.device) if asked.quick else full_plan(asked, work)
    seeds = min(asked.seeds, 2) if asked.quick else asked.seeds
    units = [(seed, arm) for seed in range(seeds) for arm in asked.arms]
    left = [one for one in units if ArmResult.read(work / f"seed-{one[0]}" / one[1]) is None]
    if not asked.quick:
        print(estimate(plan, left), flush=True)
    start = time.monotonic()
    results: dict[str, dict[int, ArmResult]] = {}
    for seed, arm in units:
        folder = work / f"seed-{seed}" / arm
        if (seed, arm) in left and time.monotonic() - start > 3600 * asked.hours:
            continue
        results.setdefault(arm, {})[seed] = run_arm(arm, plan, folder, seed)
        print(f"{time.monotonic() - start:6.0f} s: seed {seed}, {arm}", flush=True)
    rows = [*constant_rows(), *rows_of(results)]
    complete = asked.publish or sum(map(len, results.values())) == len(units)
    complete = complete and not asked.arms_only
    if complete:
        rows += stage_rows(results, plan, work)
    if complete and not asked.name:
        training = {"encoder": True, "epochs": 1} if asked.quick else WORTH
        rows += choice_rows(results, plan, work)
        rows += best_of_three_rows(results, plan, work)
        rows += worth_rows(results, plan, work, training, asked.worth_seeds)
    return rows, results, complete


def full_plan(asked: argparse.Namespace, work: Path) -> Plan:
    """Return the plan on a set, with a segmenter that learned drawn shapes alone."""
    start = asked.start or train_start(work, asked.device)
    engine, stages, errors = ENGINE_SETTINGS, STAGES_SETTINGS, ErrorRates()
    if asked.miss is not None:
        errors = replace(errors, miss=asked.miss)
    if STAGES in asked.arms:
        stages = stages | {"detector": str(train_detector_start(start, asked.device))}
    if asked.set == NUCLEI:
        sets = nuclei_set(asked.data, work / "nuclei", TILES, asked.pool or POOL)
        engine = engine | (larger_settings(asked.pool) if asked.pool else {})
        large = nuclei_set(asked.data, work / "nuclei-large", LARGE_TILES, LARGE_POOL)
    elif asked.set == TUMOURS:
        sets = large = tumour_set(asked.data, work / "tumours")
        engine = engine | TUMOUR_SETTINGS
    else:
        stages = stages | {"sample": DRAWN_SAMPLE}
        sets = large = drawn_set(work / "drawn", DRAWN_SCENES, others=32, side=SIDE, seed=10)
    if asked.max_bad is not None:
        stages = stages | {"max_bad": asked.max_bad}
    return Plan(
        sets=sets,
        large=large,
        start=start,
        recipe=RECIPE,
        engine=engine,
        stages=stages,
        errors=errors,
        good_iou=GOOD_IOU,
        device=asked.device,
    )


def larger_settings(pool: int) -> dict[str, Any]:
    """Return the engine's settings for a pool of so many tiles: a tenth of them validates."""
    validate = pool // 10
    return {
        "rounds": LARGER_ROUNDS,
        "validation_images": validate,
        "round_images": -(-(pool - validate) // LARGER_ROUNDS),
    }


def train_start(work: Path, device: str | None) -> Path:
    """Train the segmenter that all arms start with, on drawn shapes; return its folder."""
    scenes, new = work / "shapes" / "instances.json", work / "new"
    if not scenes.exists():
        draw_shapes(scenes.parent, images=SCENES_TO_START, seed=1, side=SIDE)
        vary_pictures(images_of(scenes), seed=5)
    if not new.exists():
        build_small_sam(**SMALL_SAM).save_pretrained(new)
    made = curate.train_segmenter(scenes, work / "start", start=str(new), device=device, **START)
    return made.path


def train_detector_start(start: Path, device: str | None) -> Path:
    """Train the detector that the engine's detectors start from; return its folder.

    It sees the scenes that the first segmenter was trained on, and is trained beside it once.

    Args:
        start: Folder of that segmenter.
        device: Where it is trained.
    """
    made, work = start.parent / "detector", start.parent
    if not (made / "training.json").is_file():
        scenes = work / "shapes" / "instances.json"
        audit = curate.audit(scenes, work / "shapes.audit", images=images_of(scenes))
        curate.train_detector(audit, made, device=device, **START_DETECTOR)
    return made


def quick_plan(work: Path, device: str | None) -> Plan:
    """Return a plan on drawn scenes with a segmenter that has learned nothing."""
    start = work / "start"
    if not start.exists():
        model = build_small_sam(side=64, patch=16, hidden=32, layers=1, decoder=16)
        model.save_pretrained(start)
    sets = drawn_set(work / "drawn", QUICK_SCENES)
    return Plan(
        sets=sets,
        large=sets,
        start=start,
        recipe=ANYTHING,
        engine=QUICK_ENGINE | {"validation_images": 16},
        stages=QUICK_STAGES,
        errors=ErrorRates(),
        good_iou=GOOD_IOU,
        device=device or "cpu",
    )


def estimate(plan: Plan, left: list[tuple[int, str]]) -> str:
    """Return how long the arms that are left will take, from two images and the first training."""
    pictures = sorted(images_of(plan.sets.pool).iterdir())
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        curate.generate(
            pictures[0],
            Path(folder) / "one",
            segmenter=str(plan.start),
            recipe=plan.recipe,
            device=plan.device,
        )
    image_s = time.perf_counter() - start
    count, rounds = len(pictures), len(pictures) / plan.engine["round_images"]
    epoch_s = 0.1 * count / 2  # of the half that a round trains on, in the mean
    rounds_s = (1 + image_s) * count + rounds * plan.engine["epochs"] * epoch_s
    once_s = (1 + image_s) * count
    seconds = {MANUAL: 0.5 * count, ONCE: once_s, ENGINE: rounds_s, RANDOM: rounds_s}
    seconds[STAGES] = 2 * rounds_s
    total = sum(seconds[arm] for _, arm in left)
    return f"{len(left)} arms are left: about {total / 3600:.1f} hours, at most"


def constant_rows() -> list[Row]:
    """Return the constants of the time model as rows, each with its source."""
    times = AnnotationTimes()
    return [
        {"goal": "times", "what": what, "constant": name, "factor": 1.0, "seed": "published"}
        | {"value": getattr(times, name), "source": source}
        for name, (what, source) in SOURCES.items()
    ]


def publish(name: str, table: pd.DataFrame, results: Results) -> None:
    """Write results.csv, the figure, and the tables of README.md; rows of the other set stay."""
    if ENGINE in results and name in FIGURES:
        draw_hours(HERE / f"hours_{FIGURES[name]}.svg", results)
    table = table.round(5)
    before = pd.read_csv(HERE / "results.csv", dtype={"goal": str, "seed": str})
    if "set" in before:
        kept = before[(before["set"] != name) & (before["goal"] != "times")]
        table = pd.concat([part for part in (table, kept) if len(part)]).sort_values(
            "set", kind="stable", ascending=False
        )
    table.to_csv(HERE / "results.csv", index=False, lineterminator="\n")
    fill_page(
        HERE / "README.md",
        table,
        [
            time_constants,
            verdicts,
            new_cuts,
            stronger_start,
            larger_pool,
            second_set,
            drawn_scenes,
            one_in_ten_bad,
            goals,
        ],
    )


if __name__ == "__main__":
    main()
