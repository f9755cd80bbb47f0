"""What a segmenter learns from the half of the masks that ``prune --keep 50%`` keeps.

    python reports/subsets/run.py [--data FOLDER] [--seeds 5] [--steps 300] [--images N]
        [--work FOLDER] [--minutes 60]

Writes results.csv and the table of README.md; takes about half an hour on two cores.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
sys.path.append(str(HERE.parent / "_common"))
PLANTED = 0.27
"""Share of the masks of 100 px and more that get an error: a fifth of all."""

T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""Half width of a 95% interval in standard errors, by number of seeds (Student's t)."""

FIRST = ("all", "kept half", "random half")
"""Arms that are trained before the others, for all seeds."""

ARMS = {
    "all": "all masks, errors among them",
    "kept half": "what `prune --keep 50%` keeps",
    "random half": "half of the masks, drawn at random",
    "best half": "the half of highest quality, without coverage",
    "all, no errors": "all masks before errors were planted",
}


@dataclass(frozen=True)
class Work:
    """One training run: where the crops are, which masks it learns from, and until when."""

    folder: Path
    arm: str
    seed: int
    steps: int
    deadline: float


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--images", type=int, help="images of each half; all if omitted")
    parser.add_argument("--work", type=Path, help="folder in which to go on where a run ended")
    parser.add_argument("--minutes", type=float, default=60, help="no training begins after that")
    asked = parser.parse_args()
    started = time.monotonic()
    with ExitStack() as stack:
        folder = asked.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not (folder / "facts.json").exists():
            folder.mkdir(exist_ok=True)
            prepare(asked.data, folder, asked.images)
        facts = json.loads((folder / "facts.json").read_text())
        print(f"prepared after {time.monotonic() - started:.0f} s", flush=True)
        done = {(arm, int(seed)): float(iou) for arm, seed, iou in _read(folder / "done.csv")}
        deadline = time.time() + 60 * asked.minutes
        works = [
            Work(folder, arm, seed, asked.steps, deadline)
            for some in (FIRST, [arm for arm in ARMS if arm not in FIRST])
            for seed in range(asked.seeds)
            for arm in some
            if (arm, seed) not in done
        ]
        pool = stack.enter_context(ProcessPoolExecutor(2, mp_context=get_context("spawn")))
        for work, iou in zip(works, pool.map(run_one, works), strict=True):
            if iou is not None:
                done[work.arm, work.seed] = iou
                with (folder / "done.csv").open("a") as file:
                    file.write(f"{work.arm};{work.seed};{iou}\n")
                print(f"{time.monotonic() - started:.0f} s: {work.arm}, {work.seed}: {iou:.4f}")
    write(done, facts, asked.steps)
    print(f"done after {time.monotonic() - started:.0f} s")


def _read(path: Path) -> list[list[str]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split(";") for line in lines]


def prepare(data: Path, folder: Path, most: int | None) -> None:
    """Plant errors in one half of the images, audit it, choose, and store all crops."""
    from crops import cut
    from planted import plant

    import curate

    document = json.loads((data / "dsb2018/instances_fixed.json").read_text())
    pictures = data / "dsb2018/images"
    images = np.unique([a["image_id"] for a in document["annotations"]])
    order = np.random.default_rng(0).permutation(images).tolist()
    middle = len(order) // 2
    learned, held = (_part_of(document, ids[:most]) for ids in (order[:middle], order[middle:]))
    planted, kinds, _ = plant(learned, 0, PLANTED)
    (folder / "planted.json").write_text(json.dumps(planted))
    audit = curate.audit(
        folder / "planted.json", folder / "audit", images=pictures, deep=True, workers=2
    )
    subset = curate.prune(audit, keep="50%").subset
    assert subset is not None
    everything = audit.masks(["image_id"]).index.to_numpy()
    kept = subset.order.index[: subset.asked].to_numpy()
    best = subset.order.sort_values("quality", ascending=False, kind="stable")
    best_half = best.index[: subset.asked].to_numpy()
    for name, source in (("planted", planted), ("clean", learned), ("held", held)):
        crops = cut(source, pictures)
        np.savez(folder / f"{name}.npz", ids=crops.ids, inputs=crops.inputs, masks=crops.masks)
    bad = set(kinds)
    facts = {
        "masks": everything.tolist(),
        "kept half": kept.tolist(),
        "best half": best_half.tolist(),
        "bad_of_all": _share(everything, bad),
        "bad_of_kept": _share(kept, bad),
        "bad_of_best": _share(best_half, bad),
        "held_masks": len(held["annotations"]),
    }
    (folder / "facts.json").write_text(json.dumps(facts))


def _chosen(facts: dict[str, Any], arm: str, seed: int) -> list[int] | None:
    """Return the masks that an arm learns from; None for all."""
    if arm == "random half":
        drawn = np.random.default_rng([7, seed]).permutation(facts["masks"])
        return list(drawn[: len(facts["kept half"])])
    found: list[int] | None = facts.get(arm)
    return found


def _share(ids: Any, bad: Iterable[int]) -> float:
    return round(float(np.isin(ids, list(bad)).mean()), 4)


def _part_of(document: dict[str, Any], images: list[int]) -> dict[str, Any]:
    chosen = set(images)
    return document | {
        "images": [i for i in document["images"] if i["id"] in chosen],
        "annotations": [a for a in document["annotations"] if a["image_id"] in chosen],
    }


def run_one(work: Work) -> float | None:
    """Train on some masks, and return the mean IoU on the images that were held back."""
    if time.time() > work.deadline:
        return None
    from crops import Crops
    from segmenter import ious, train

    def load(name: str) -> Crops:
        with np.load(work.folder / f"{name}.npz") as found:
            return Crops(found["ids"], found["inputs"], found["masks"])

    crops = load("clean" if work.arm == "all, no errors" else "planted")
    ids = _chosen(json.loads((work.folder / "facts.json").read_text()), work.arm, work.seed)
    crops = crops if ids is None else crops.of(ids)
    model = train(crops, work.seed, work.steps)
    return float(ious(model, load("held")).mean())


def write(done: dict[tuple[str, int], float], facts: dict[str, Any], steps: int) -> None:
    """Write results.csv and the table of README.md, of the arms that all seeds have."""
    with (HERE / "results.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["arm", "seed", "mean_iou"])
        table.writerows((arm, seed, f"{iou:.5f}") for (arm, seed), iou in sorted(done.items()))
    seeds = sorted({seed for arm, seed in done if all((one, seed) in done for one in FIRST)})
    by_arm = {
        arm: np.array([done[arm, seed] for seed in seeds])
        for arm in ARMS
        if seeds and all((arm, seed) in done for seed in seeds)
    }
    lines = [
        f"{len(facts['masks']):,} masks, {facts['bad_of_all']:.1%} of them with a planted error; "
        f"of the {len(facts['kept half']):,} kept {facts['bad_of_kept']:.1%} have one (of the "
        f"best half {facts['bad_of_best']:.1%}). IoU on {facts['held_masks']:,} masks of other "
        f"images, {len(seeds)} seeds, {steps} steps each.",
        "",
        "| learned from | mean IoU | less that of all (95%) |",
        "| --- | ---: | ---: |",
    ]
    for arm, iou in by_arm.items():
        apart = _interval(iou - by_arm["all"]) if arm != "all" else ""
        lines.append(f"| {ARMS[arm]} | {iou.mean():.4f} | {apart} |")
    if by_arm:
        apart = _interval(by_arm["kept half"] - by_arm["random half"])
        lines += ["", f"Kept half less random half: {apart}."]
    page = HERE / "README.md"
    head, mark, _ = page.read_text().partition("<!-- numbers -->")
    page.write_text(f"{head}{mark}\n\n" + "\n".join(lines) + "\n")


def _interval(differences: Any) -> str:
    mean, n = differences.mean(), len(differences)
    if n not in T_95:
        return f"{mean:+.4f}"
    half = T_95[n] * differences.std(ddof=1) / np.sqrt(n)
    return f"{mean:+.4f} ({mean - half:+.4f} to {mean + half:+.4f})"


if __name__ == "__main__":
    main()
