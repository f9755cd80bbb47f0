"""What a segmenter learns from the half of the masks that ``prune --keep 50%`` keeps.

    python reports/subsets/run.py [--data FOLDER] [--seeds 5] [--steps N ...] [--work FOLDER]
        [--development] [--arms ARM ...] [--one-split]

Writes results.csv and the tables of README.md; about twenty minutes on an idle core. With
``--development`` it takes the images on which the study was laid out and seeds from 100 on, and
only prints. With ``--work`` it goes on where an earlier run in that folder ended.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from segmenter import measure_ious, train
from tables import FIRST, SIZES, fill_page, to_text
from trials import ARMS, Trial, make_trial

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
DEVELOPMENT_SEED = 100
"""First seed of development."""

RESULTS = "results.csv"
KEY = ["steps", "seed", "arm"]

STEPS = (1200,)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--work", type=Path, help="folder in which to go on where a run ended")
    parser.add_argument("--development", action="store_true")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(FIRST))
    parser.add_argument("--one-split", action="store_true", help="the same images for every seed")
    asked = parser.parse_args()
    started = time.monotonic()
    with ExitStack() as stack:
        work = asked.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for row in _rows(asked, work):
            spent = time.monotonic() - started
            what = f"{row['steps']} steps, seed {row['seed']}, {row['arm']}"
            print(f"{spent:5.0f} s: {what}: {row['iou']:.4f}", flush=True)
        results = pd.read_csv(work / RESULTS)
    print(to_text(results))
    if not asked.development:
        results.round(5).to_csv(HERE / RESULTS, index=False, lineterminator="\n")
        fill_page(HERE / "README.md", to_text(results))


def _rows(asked: argparse.Namespace, work: Path) -> Iterator[dict[str, float | str]]:
    """Train each arm of each seed that is not in the folder's results yet, and note its result."""
    work.mkdir(parents=True, exist_ok=True)
    place = work / RESULTS
    found = pd.read_csv(place) if place.exists() else pd.DataFrame(columns=KEY)
    done = set(found[KEY].itertuples(index=False, name=None))
    todo = [one for one in _list_runs(asked) if one not in done]
    first = DEVELOPMENT_SEED if asked.development else 0

    @lru_cache(maxsize=1)
    def trial_of(number: int) -> Trial:
        folder = work / f"split-{number}"
        folder.mkdir(exist_ok=True)
        return make_trial(asked.data, folder, number, development=asked.development)

    for steps, seed, arm in todo:
        trial = trial_of(0 if asked.one_split else seed - first + 1)
        row = _measure(trial, arm, seed, steps)
        pd.DataFrame([row]).to_csv(place, mode="a", header=not place.exists(), index=False)
        yield row


def _list_runs(asked: argparse.Namespace) -> list[tuple[int, int, str]]:
    """Return steps, seed and arm of all trainings, the arms without errors last."""
    first = DEVELOPMENT_SEED if asked.development else 0
    seeds = range(first, first + asked.seeds)
    with_errors = [arm for arm in asked.arms if not arm.endswith("no errors")]
    without = [arm for arm in asked.arms if arm.endswith("no errors")]
    return [
        (steps, seed, arm)
        for arms in (with_errors, without)
        for steps in asked.steps
        for seed in seeds
        for arm in arms
    ]


def _measure(trial: Trial, arm: str, seed: int, steps: int) -> dict[str, float | str]:
    """Train on the masks of an arm, and judge it on the images that were held back."""
    chosen = trial.choose(arm, seed)
    learned, held = trial.crops(arm, chosen), list(trial.held.values())
    iou = measure_ious(train(learned, seed, steps), held, seed)
    area = np.array([crop.area for crop in held])
    found: dict[str, float | str] = {"steps": steps, "seed": seed, "arm": arm}
    found |= {
        "masks": len(learned),
        "bad": trial.bad_share(arm, chosen),
        "held": len(held),
        "iou": float(iou.mean()),
    }
    for name, (least, most) in SIZES.items():
        found[f"iou_{name}"] = float(iou[(area >= least) & (area < most)].mean())
    return found


if __name__ == "__main__":
    main()
