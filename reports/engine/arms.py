"""The arms of the study: the same people on the same images, with more or less help of a model.

Each arm leaves a folder: ``actions.csv`` (what people did, in order), ``rounds.csv``,
``images.csv`` (how good the finished dataset is) and ``done.json``, written last.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measuring import image_ious
from sets import StudySet, images_of

import curate
from curate.dataset.table import MaskTable
from curate.demo_dataset import ErrorRates, SimulatedPeople, WorkDone
from curate.engine.coco_writing import ListedImage
from curate.engine.proposing import write_proposals_of
from curate.store.audit import AnyAudit
from curate.store.engine_folder import find_open_audit, find_round_kind, list_missed

MANUAL, ONCE, ENGINE, RANDOM, STAGES = "manual", "once", "engine", "random", "stages"
NAMES = {
    MANUAL: "all by hand",
    ONCE: "propose once, correct all, never retrain",
    ENGINE: "the engine",
    RANDOM: "the engine, images by chance",
    STAGES: "the engine, all three stages",
}
DONE = "done.json"
MASKS = "masks.json"
"""People's masks of a round, in the engine's directory."""


@dataclass(frozen=True)
class Plan:
    """What all arms of a study share.

    Attributes:
        sets: The images and their truth.
        large: The same for the arm of all three stages, which takes a larger pool.
        start: Folder of the segmenter that everybody starts with.
        recipe: Recipe of proposals, by settings over a preset.
        engine: Arguments of :func:`curate.new_engine`.
        stages: Over these, where all three stages are run.
        errors: Of the people.
        good_iou: From which on a mask is good.
        device: Where networks run.
    """

    sets: StudySet
    large: StudySet
    start: Path
    recipe: dict[str, object]
    engine: dict[str, Any]
    stages: dict[str, Any]
    errors: ErrorRates
    good_iou: float
    device: str | None

    def people(self, truth: MaskTable, seed: int) -> SimulatedPeople:
        """Return the people of a seed."""
        return SimulatedPeople(
            truth, errors=self.errors, seed=seed, good_iou=self.good_iou, scale=self.sets.scale
        )


@dataclass(frozen=True)
class ArmResult:
    """What an arm left.

    Attributes:
        actions: A row an action: ``round``, ``file_name``, and the columns of ``WorkDone``.
        rounds: A row a round, as in the engine's ledger where it is one's.
        images: How good the finished dataset is, a row an image.
        about: Seconds of the machine, and where the dataset and the last segmenter are.
    """

    actions: pd.DataFrame
    rounds: pd.DataFrame
    images: pd.DataFrame
    about: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> ArmResult | None:
        """Read an arm's folder; None where it is not finished."""
        if not (folder / DONE).exists():
            return None
        return cls(
            pd.read_csv(folder / "actions.csv"),
            pd.read_csv(folder / "rounds.csv"),
            pd.read_csv(folder / "images.csv", index_col="file_name"),
            json.loads((folder / DONE).read_text()),
        )

    def write(self, folder: Path) -> None:
        """Write an arm's folder."""
        self.actions.to_csv(folder / "actions.csv", index=False)
        self.rounds.to_csv(folder / "rounds.csv", index=False)
        self.images.to_csv(folder / "images.csv")
        (folder / DONE).write_text(json.dumps(self.about, indent=1))


def run_arm(name: str, plan: Plan, folder: Path, seed: int) -> ArmResult:
    """Run an arm of a seed, or read what it left before; an interrupted one starts anew."""
    found = ArmResult.read(folder)
    if found is None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        found = ARMS[name](plan, folder, seed)
        found.write(folder)
    return found


def run_manual(plan: Plan, folder: Path, seed: int) -> ArmResult:
    """People draw every object of the pool."""
    start = time.perf_counter()
    document = json.loads(plan.sets.pool.read_text())
    bare = folder / "no_masks.json"
    bare.write_text(json.dumps(document | {"annotations": []}))
    return _correct_all(plan, folder, seed, bare, start)


def run_once(plan: Plan, folder: Path, seed: int) -> ArmResult:
    """The first segmenter proposes masks for the whole pool; people correct them all.

    The cuts of the proposals are those that the engine of the seed chose for its first round, with
    the same segmenter: they cost nothing here, which is in favour of this arm.
    """
    engine = run_arm(ENGINE, plan, folder.parent / ENGINE, seed)
    start = time.perf_counter()
    made = propose_all(plan, folder.parent.parent, engine.about["cuts"])
    return _correct_all(plan, folder, seed, made, start)


def propose_all(plan: Plan, work: Path, cuts: dict[str, float]) -> Path:
    """Return the first segmenter's proposals for the whole pool; seeds with equal cuts share them.

    They are made as the engine makes those of a round.

    Args:
        plan: Of the study.
        work: Folder of the study.
        cuts: On predicted IoU and stability.
    """
    folder = work / "-".join(["proposed", *(f"{value:g}" for value in cuts.values())])
    proposals = folder / "proposals.json"
    if proposals.exists():
        return proposals
    folder.mkdir(exist_ok=True)
    document = json.loads(plan.sets.pool.read_text())
    listed = [
        ListedImage(one["id"], one["file_name"], one["height"], one["width"])
        for one in document["images"]
    ]
    keep = {f"keep_{name}": value for name, value in cuts.items()}
    write_proposals_of(
        folder,
        images_of(plan.sets.pool),
        listed,
        [one["name"] for one in document["categories"]],
        segmenter=str(plan.start),
        recipe={**plan.recipe, **cuts, **keep},
        device=plan.device,
        first_id=1,
        progress=None,
    )
    return proposals


def _correct_all(plan: Plan, folder: Path, seed: int, source: Path, start: float) -> ArmResult:
    """Audit a dataset of the pool, let people correct it image by image, and measure it."""
    truth = curate.read(plan.sets.pool)
    audit = curate.audit(source, folder / "audit", images=images_of(plan.sets.pool))
    people = plan.people(truth, seed)
    named = audit.images(["file_name"])["file_name"].map(lambda name: Path(str(name)).name)
    order = np.random.default_rng([seed, 7]).permutation(named.index.to_numpy())
    notes = Notes()
    for image in order.tolist():
        notes.add(0, named, people.work(audit, images=[image]))
    finished = folder / "finished.json"
    curate.write(audit, finished, to="coco", images="none", lossy=True, duplicates="keep")
    images = image_ious(truth, curate.read(finished))
    actions = notes.frame()
    rounds = pd.DataFrame(
        {
            "round": [0],
            "people_s": [actions["seconds"].sum()],
            "masks": [images["masks"].sum()],
            "images": [len(images)],
        }
    )
    about = {"machine_s": time.perf_counter() - start, "dataset": [str(finished)]}
    return ArmResult(actions, rounds, images, about)


def run_engine(plan: Plan, folder: Path, seed: int, **options: Any) -> ArmResult:
    """The engine's first stage, with people wherever it asks, until no image is left."""
    given = {"prefill_rounds": 0, "automatic": False} | plan.engine | options
    return _run_engine(plan, plan.sets, folder, seed, given)


def run_stages(plan: Plan, folder: Path, seed: int) -> ArmResult:
    """The engine, all three stages, on the larger pool, as far as it goes by itself."""
    return _run_engine(plan, plan.large, folder, seed, plan.engine | plan.stages)


def _run_engine(
    plan: Plan, sets: StudySet, folder: Path, seed: int, options: dict[str, Any]
) -> ArmResult:
    start = time.perf_counter()
    truth = curate.read(sets.pool)
    project, people, notes = folder / "project", plan.people(truth, seed), Notes()
    engine = curate.new_engine(
        project,
        images=images_of(sets.pool),
        segmenter=str(plan.start),
        recipe=plan.recipe,
        classes=sorted(truth.masks["category"].dropna().unique()),
        seed=seed,
        device=plan.device,
        **options,
    )
    while True:
        now = engine.next(device=plan.device)
        if now.needs == "" and not options["automatic"] and engine.status().left:
            now = engine.next(another=True, device=plan.device)  # the pool is to be finished
        if now.needs != "people":
            break
        audit = curate.open_audit(find_open_audit(project))
        named = audit.images(["file_name"])["file_name"].map(lambda name: Path(str(name)).name)
        done = people.work(audit, asked=find_asked(audit))
        if not len(done.actions):
            raise RuntimeError(f"people did all that they can, and are asked again: {now.text()}")
        notes.add(now.round or 0, named, done)
    datasets = [str(one / MASKS) for one in round_folders(project) if (one / MASKS).is_file()]
    datasets[0] = str(with_missed(project, folder))
    images = _images_of_several(truth, datasets)
    about = {
        "machine_s": time.perf_counter() - start,
        "dataset": datasets,
        "segmenter": str(engine.status().segmenter),
        "cuts": first_cuts(project),
    }
    return ArmResult(notes.frame(), engine.status().rounds, images, about)


def find_asked(audit: AnyAudit) -> list[int] | None:
    """Return the masks of a round that people are asked about; None for a sample, or its rest.

    In a round with prefilled masks these are the others: the page asks about what is under review.
    """
    opened = curate.open_audit(audit)
    if find_round_kind(opened.path) is not None:
        return None  # SimulatedPeople take the open draw
    actions = opened.masks(["action"])["action"]
    return [int(one) for one in actions.index[actions == "review"]]


def first_cuts(project: Path) -> dict[str, float]:
    """Return the cuts of the proposals of an engine's first round."""
    record = json.loads((project / "rounds" / "01" / "round.json").read_text())
    cuts = record["cuts"] or record["settings"]["recipe"]
    return {name: float(cuts[name]) for name in ("pred_iou", "stability")}


def round_folders(project: Path) -> list[Path]:
    """Return the folders of an engine's rounds, the validation images first."""
    return [project / "validation", *sorted((project / "rounds").glob("*"))]


def with_missed(project: Path, folder: Path) -> Path:
    """Return the masks of the validation images with those of objects that were found later.

    Args:
        project: The engine's directory.
        folder: Where they are written, if there are such objects.
    """
    first = project / "validation" / MASKS
    later = [one / MASKS for one in list_missed(project)]
    if not later:
        return first
    document = json.loads(first.read_text())
    ids = {one["file_name"]: one["id"] for one in document["images"]}
    for path in later:
        found = json.loads(path.read_text())
        names = {one["id"]: one["file_name"] for one in found["images"]}
        for one in found["annotations"]:
            image_id = ids[names[one["image_id"]]]
            number = 1 + max((known["id"] for known in document["annotations"]), default=0)
            document["annotations"].append(one | {"id": number, "image_id": image_id})
    (folder / "validation.json").write_text(json.dumps(document))
    return folder / "validation.json"


def _images_of_several(truth: MaskTable, datasets: list[str]) -> pd.DataFrame:
    """Return how good a dataset in several files is: each image is in one of them."""
    images = image_ious(truth, curate.read(datasets[0]))
    for one in datasets[1:]:
        table = curate.read(one)
        own = [Path(str(name)).name for name in table.images["file_name"]]
        images.update(image_ious(truth, table).reindex(own))
    return images


class Notes:
    """Actions of an arm in the order in which people took them."""

    def __init__(self) -> None:
        self._parts: list[pd.DataFrame] = []

    def add(self, round: int, named: pd.Series[str], done: WorkDone) -> None:
        """Note what was done in a round."""
        of = done.actions["image_id"].map(named)
        self._parts.append(done.actions.assign(round=round, file_name=of))

    def frame(self) -> pd.DataFrame:
        """Return all that was noted."""
        return pd.concat(self._parts, ignore_index=True)


ARMS: dict[str, Callable[[Plan, Path, int], ArmResult]] = {
    ENGINE: run_engine,
    ONCE: run_once,
    MANUAL: run_manual,
    RANDOM: partial(run_engine, image_rule="random"),
    STAGES: run_stages,
}


def finished_order(actions: pd.DataFrame) -> Iterator[str]:
    """Yield file names in the order in which people finished them."""
    yield from actions.loc[actions["action"] == "search", "file_name"].drop_duplicates()
