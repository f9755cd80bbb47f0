"""What does the quality learn from people, and are its probabilities right?

    python reports/learning/run.py [--data FOLDER] [--work FOLDER] [--draws 12]

Writes results.csv and the tables of README.md; takes some quarter of an hour. With --work, what was
audited there before is used again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from measuring import describe
from million import enlarge, in_a_process
from tables import fill

import curate
from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.errors import CallError
from curate.people.learning import LearningResult, learn
from curate.people.queues.sampling import draw_learn
from curate.quality.model_in_force import compute_quality, model_in_force
from curate.store.audit import StoredAudit, open_audit

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "_common"))
import dsb2018  # noqa: E402
from planted import plant  # noqa: E402

DATA = HERE.parents[2] / "shared" / "data"
REVIEWS = 500
PLANTINGS = 6
QUEUES = ("random masks", "whole images", "likely errors", "half errors, half doubtful")

Ids = npt.NDArray[np.int64]
Row = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """Where the data is, where audits go, and how many draws there are."""

    data: Path
    work: Path
    draws: int

    def audit(self, name: str, source: Path | dict[str, Any], **inputs: Any) -> StoredAudit:
        """Audit a file, or a COCO document, as the product does."""
        if isinstance(source, dict):
            path = self.work / f"{name}.json"
            path.write_text(json.dumps(source))
            source = path
        return curate.audit(source, self.work / name, **inputs)

    def document(self, name: str) -> dict[str, Any]:
        """Read a JSON document of the data folder."""
        return json.loads((self.data / name).read_text())

    def learn(self, audit: StoredAudit, labels: pd.DataFrame, **options: Any) -> LearningResult:
        """Learn on a copy of an audit, which the next call replaces."""
        copy = self.work / "learned"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(audit.path, copy)
        return learn(open_audit(copy), labels, **options)


def labels_of(masks: pd.DataFrame, bad: BoolArray, shown: Ids) -> pd.DataFrame:
    """Return labels of the masks that people were shown."""
    good = pd.Series(~bad, masks.index)
    found = pd.DataFrame({"good": good.loc[shown]})
    return found.assign(queue_kind="none", inclusion_probability=np.nan)


def rows_of(found: LearningResult, about: Row) -> Row:
    """Return a row of the results: what came of learning."""
    reviews = found.record["reviews"]
    told = found.record["model"]
    return {
        **about,
        "reviews": reviews["masks"],
        "bad_reviews": reviews["bad"],
        "outcome": found.outcome,
        "told_precision": told["average_precision"],
        "told_error": told["calibration_error"],
    }


# --- nuclei --------------------------------------------------------------------------------------


def nuclei_audit(study: Study) -> StoredAudit:
    """Audit the first published masks of the nuclei."""
    folder = study.data / "dsb2018"
    images = folder / "images"
    return study.audit("nuclei", folder / "instances_original.json", images=images, deep=True)


def nuclei_masks(study: Study) -> tuple[StoredAudit, pd.DataFrame, dict[str, BoolArray]]:
    """Return the audit, the masks that somebody judged, and what people changed of them."""
    audit = nuclei_audit(study)
    masks = audit.masks(["image_id", "file_name", "quality_score", "rank", "priority"])
    masks = dsb2018.judged(study.data, masks)
    return audit, masks, dsb2018.truths(study.data, masks)


def halves(masks: pd.DataFrame, draws: int) -> Iterator[tuple[int, BoolArray]]:
    """Yield which masks are of a random half of the images, each half once."""
    images = masks["image_id"].to_numpy()
    names = np.unique(images)
    for seed in range(draws // 2):
        first = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
        inside = np.isin(images, first)
        yield seed, inside
        yield seed, ~inside


def nuclei_halves(study: Study) -> Iterator[Row]:
    """Learn from the reviews of half the images, and rank the other half."""
    audit, masks, truths = nuclei_masks(study)
    for seed, inside in halves(masks, study.draws):
        for taught, bad in truths.items():
            found = study.learn(audit, labels_of(masks, bad, masks.index[inside]), seed=seed)
            after = found.audit.masks(["quality_score"]).loc[masks.index]["quality_score"]
            about = {"study": "halves", "set": "nuclei", "queue": f"bad is {taught}", "draw": seed}
            for asked, truth in truths.items():
                measured = describe(
                    after.to_numpy()[~inside],
                    masks["quality_score"].to_numpy()[~inside],
                    truth[~inside],
                    seed,
                )
                yield rows_of(found, {**about, "truth": asked}) | measured


def shown_to_people(
    audit: StoredAudit, masks: pd.DataFrame, queue: str, budget: int, seed: int
) -> Ids:
    """Return the masks that a queue shows of some masks."""
    random = np.random.default_rng(seed)
    if queue == "random masks":
        return random.choice(masks.index.to_numpy(), min(budget, len(masks)), replace=False)
    if queue == "whole images":
        order = random.permutation(np.unique(masks["image_id"]))
        place = pd.Series(np.arange(len(order)), order).loc[masks["image_id"]].to_numpy()
        upto = np.sort(place)[min(budget, len(masks)) - 1]
        return masks.index.to_numpy()[place <= upto]
    errors = budget if queue == "likely errors" else budget // 2
    worst = masks["rank"].nsmallest(errors).index.to_numpy()
    if queue == "likely errors":
        return worst
    signals = [name for name in audit.masks().columns if name.endswith("_score")]
    frame = audit.masks(["image_id", *signals]).loc[masks.index.difference(worst)]
    doubtful = draw_learn(frame.dropna(axis=1, how="all"), budget - errors, seed=seed)
    return np.concatenate([worst, doubtful["mask_id"].to_numpy()])


def nuclei_calibration(study: Study) -> Iterator[Row]:
    """Learn from 500 reviews in half of the images, and look at probabilities in the other."""
    audit, masks, truths = nuclei_masks(study)
    bad = truths["changed"]
    for seed, inside in halves(masks, study.draws):
        for queue in QUEUES:
            shown = shown_to_people(audit, masks[inside], queue, REVIEWS, seed)
            about = {"study": "calibration", "set": "nuclei", "queue": queue, "draw": seed}
            try:
                found = study.learn(audit, labels_of(masks, bad, shown), seed=seed)
            except CallError:  # fewer than five bad masks among 500 by chance
                yield {**about, "truth": "changed", "outcome": "too few", "reviews": len(shown)}
                continue
            after = found.audit.masks(["quality_score"]).loc[masks.index]["quality_score"]
            before = masks["quality_score"].to_numpy()[~inside]
            measured = describe(after.to_numpy()[~inside], before, bad[~inside], seed)
            yield rows_of(found, {**about, "truth": "changed"}) | measured


# --- COCO with planted errors --------------------------------------------------------------------


@dataclass(frozen=True)
class Planted:
    """COCO's masks with errors of eleven kinds planted in a tenth of them."""

    audit: StoredAudit
    masks: pd.DataFrame
    bad: BoolArray


def coco_planted(study: Study, plantings: int = PLANTINGS) -> list[Planted]:
    """Plant errors a few times over, and audit each."""
    folder = study.data / "coco_val2017"
    document = study.document("coco_val2017/instances.json")
    given = {
        "images": folder / "images",
        "detections": folder / "detections_yolov8n_seg_int8.json",
        "deep": True,
    }
    found = []
    for seed in range(plantings):
        damaged, kinds, originals = plant(document, seed)
        audit = study.audit(f"coco {seed}", damaged, **given)
        masks = audit.masks()
        # Which one of two twins is the wrong one is a matter of taste; crowds are not judged.
        out = masks.index.isin(list(originals.values())) | (masks["iscrowd"].fillna(0) == 1)
        masks = masks[~out]
        found.append(Planted(audit, masks, np.asarray(masks.index.isin(list(kinds)))))
    return found


def judge_held_out(
    plantings: list[Planted], held: IntArray, found: Any
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return learned quality, quality before, and the truth of masks in some images.

    Args:
        plantings: In all of which they are looked at.
        held: The images.
        found: What was learned.
    """
    model = model_in_force(found.audit.path, found.audit.info.quality_model)
    quality, before, bad = [], [], []
    for each in plantings:
        inside = each.masks["image_id"].isin(held).to_numpy()
        reference = each.audit.info.references["quality"]
        judged = compute_quality(each.masks[inside], reference, model).columns
        quality.append(judged["quality_score"])
        before.append(each.masks["quality_score"][inside])
        bad.append(each.bad[inside])
    return np.concatenate(quality), np.concatenate(before), np.concatenate(bad)


def coco_calibration(study: Study) -> Iterator[Row]:
    """Learn from 500 reviews, and look at probabilities in a third of the images, held out.

    These are looked at in every planting, so that there are enough of them.
    """
    plantings = coco_planted(study)
    images = np.unique(plantings[0].masks["image_id"])
    for seed in range(study.draws):
        here = plantings[seed % PLANTINGS]
        random = np.random.default_rng([seed, 5])
        held = random.choice(images, len(images) // 3, replace=False)
        open_to = here.masks[~here.masks["image_id"].isin(held)]
        for queue in QUEUES:
            shown = shown_to_people(here.audit, open_to, queue, REVIEWS, seed)
            found = study.learn(here.audit, labels_of(here.masks, here.bad, shown), seed=seed)
            about = {"study": "calibration", "set": "coco", "queue": queue, "draw": seed}
            arrays = judge_held_out(plantings, held, found)
            yield rows_of(found, {**about, "truth": "planted"}) | describe(*arrays, seed)


# --- starting from another audit, and a million masks --------------------------------------------


def starting(study: Study) -> Iterator[Row]:
    """Learn on half of the nuclei from few reviews, with and without the other half's model."""
    document = study.document("dsb2018/instances_original.json")
    _, masks, truths = nuclei_masks(study)
    everything = pd.Series(truths["changed"], masks.index)
    images = study.data / "dsb2018/images"
    for seed in range(max(1, study.draws // 2)):
        names = np.random.default_rng(seed).permutation(np.unique(masks["image_id"]))
        parts = {}
        for word, ids in (("taught", names[: len(names) // 2]), ("new", names[len(names) // 2 :])):
            cut = {k: v for k, v in document.items() if k not in ("images", "annotations")}
            for key, name in (("images", "id"), ("annotations", "image_id")):
                cut[key] = [x for x in document[key] if x[name] in set(ids.tolist())]
            parts[word] = study.audit(f"{word} {seed}", cut, images=images, deep=True)
        first = parts["taught"].masks(["image_id"])
        bad = everything.loc[first.index].to_numpy()
        model = study.learn(parts["taught"], labels_of(first, bad, first.index.to_numpy()))
        kept = study.work / f"start {seed}.skops"
        shutil.copy(next((model.audit.path / "model").iterdir()), kept)
        new = parts["new"].masks(["image_id", "quality_score", "rank"])
        bad = everything.loc[new.index].to_numpy()
        rest = new["image_id"].isin(names[len(names) // 2 :][::2]).to_numpy()
        for budget in (60, 120, 240):
            shown = shown_to_people(parts["new"], new[~rest], QUEUES[3], budget, seed)
            for word, start in (("without", None), ("with", kept)):
                found = study.learn(parts["new"], labels_of(new, bad, shown), start=start)
                after = found.audit.masks(["quality_score"]).loc[new.index]["quality_score"]
                about = {"study": "start", "set": "nuclei", "queue": word, "draw": seed}
                about["budget"] = budget
                measured = describe(
                    after.to_numpy()[rest], new["quality_score"].to_numpy()[rest], bad[rest], seed
                )
                helped = found.record["start"].get("helped", "")
                yield rows_of(found, {**about, "truth": "changed", "helped": helped}) | measured


def million(study: Study) -> Iterator[Row]:
    """Learn on a million masks in a process of its own."""
    folder = study.work / "million"
    if not folder.exists():
        enlarge(nuclei_audit(study).path, folder)
    for draw in range(3):
        copy = study.work / "million learned"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        took = in_a_process(copy)
        shutil.rmtree(copy)
        yield {"study": "million", "set": "nuclei, enlarged", "draw": draw, **took}


STUDIES = (nuclei_halves, nuclei_calibration, coco_calibration, starting, million)


def main() -> None:
    """Run every study and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the datasets")
    parser.add_argument("--work", type=Path, help="folder for the audits")
    parser.add_argument("--draws", type=int, default=12, help="splits and draws")
    given = parser.parse_args()
    place = nullcontext(str(given.work)) if given.work else tempfile.TemporaryDirectory()
    with place as folder:
        work = Path(folder)
        work.mkdir(exist_ok=True)
        study = Study(given.data.resolve(), work, given.draws)
        rows = []
        for part in STUDIES:
            rows += list(part(study))
            print(f"{part.__name__}: done", flush=True)
            pd.DataFrame(rows).round(4).to_csv(work / "results.csv", index=False)
    results = pd.DataFrame(rows).round(4)
    results.to_csv(HERE / "results.csv", index=False)
    fill(HERE / "README.md", results)


if __name__ == "__main__":
    main()
