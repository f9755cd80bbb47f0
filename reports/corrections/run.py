"""Measure what the corrections gain that the review page suggests for masks planted wrong.

    python reports/corrections/run.py [--data FOLDER] [--work FOLDER] [--set NAME ...] [--seeds N]
    python reports/corrections/run.py --set neurons --set "dsb2018 by people" [--data FOLDER]

It takes the sets, the verifiers (trained where the work folder holds none) and the planting of
reports/verification, merges further masks with others that then have no mask of their own, audits
each planted dataset, asks for what the page would suggest of each mask, and writes results.csv and
the table of README.md beside this file. Rows of sets that are not asked for stay. One set is COCO
again with a detector's masks as another set's. The nuclei as first published are held against the
masks as people corrected them, and neurons as people and programs drew them against the consensus:
there nothing is planted.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pycocotools import mask as coco_mask
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "_common"))

from planted import KINDS, as_rle, plant  # noqa: E402

import curate  # noqa: E402
from curate.people.reviews.mechanical_fixes import drop_islands  # noqa: E402
from curate.people.reviews.suggested_fixes import (  # noqa: E402
    find_faults,
    suggest_fix,
)
from curate.people.webapp.filters import is_low, read_usual  # noqa: E402
from curate.pipeline.inputs import Inputs  # noqa: E402
from curate.pipeline.likely_corrections import UNLIKE, find_corrections  # noqa: E402
from curate.pipeline.scoring import audit  # noqa: E402
from curate.quality import label_free  # noqa: E402
from curate.rle import decode_counts, encode_counts  # noqa: E402
from curate.scorers import score  # noqa: E402
from curate.store.mask_corrections import MaskCorrection, read_corrections  # noqa: E402

MOVED, TAKEN_OUT, SPLIT = "outline moved", "another mask taken out", "split"
THEIRS, HOLES = "another set's mask", "holes filled"
SUGGESTIONS = (MOVED, TAKEN_OUT, SPLIT, THEIRS, HOLES)
"""What is suggested: by the verifier, by other sets, and mechanically."""

ALONE = "merged with one that has no mask"
PLANTED = (*KINDS, ALONE)
"""Kinds of planted errors: those of reports/verification, and one."""

WITH_OTHERS = {"coco_val2017 with a detector's masks": "coco_val2017"}
"""Sets that are audited with another set of masks, and the set that they are."""

DETECTOR = ("yolov8n", "coco_val2017/detections_yolov8n_seg_int8.json", 0.3)
"""Name, file and least confidence of the other set's masks."""

PEOPLE = ("Allen", "Grader3", "Grader4")
PROGRAMS = ("alg_CaImAn_Batch", "alg_STNeuroNet", "alg_SUNS", "alg_Suite2p")
CONSENSUS = "FinalGT"
FAR = 0.7
"""IoU with the consensus under which a neuron counts as wrong."""

DROPPED, SMALL_SHARE, OF_AN_OBJECT = "islands dropped", 0.05, 0.5
"""What is no longer suggested; the share of a mask under which an island was small; the IoU with an
object from which on a detector's mask is of it."""

SCORES = ("hole_score",)

LEAST_SHOWN = 5
"""Suggestions that a row of the README's table is of, at least; results.csv has all."""

SMALL = 100
"""Masks under this area are not merged, px."""

NEAR_PX = 20
"""How near another mask has to lie to be merged."""

DRAWS = 400
"""Resamples of images for an interval."""


def load_verification() -> Any:
    """Return the study whose sets, verifiers and halves are used."""
    path = HERE.parent / "verification" / "run.py"
    spec = importlib.util.spec_from_file_location("verification_study", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["verification_study"] = module
    spec.loader.exec_module(module)
    return module


def find_verifier(study: Any, name: str, data: Path, work: Path) -> Path:
    """Return a set's verifier, trained where there is none."""
    found = work / f"{name}_verifier"
    if not (found / "config.json").is_file():
        study.train(name, study.SETS[name], data, work)
    return found


def merge_alone(
    damaged: dict[str, Any], kinds: dict[int, str], seed: int, share: float
) -> dict[int, int]:
    """Merge a share of the masks that are right with the nearest other, which loses its own.

    Changes ``damaged`` and ``kinds``.

    Returns:
        By annotation the one that was drawn into it.
    """
    random = np.random.default_rng([seed, 17])
    sizes = {one["id"]: (one["height"], one["width"]) for one in damaged["images"]}
    by_image: dict[int, list[dict[str, Any]]] = {}
    for one in damaged["annotations"]:
        if not one.get("iscrowd") and one["id"] not in kinds:
            by_image.setdefault(one["image_id"], []).append(one)
    gone: dict[int, int] = {}
    for image, intact in sorted(by_image.items()):
        runs = [as_rle(one, *sizes[image]) for one in intact]
        for k, one in enumerate(intact):
            taken = set(gone.values())
            if random.random() >= share or one["id"] in taken or coco_mask.area(runs[k]) < SMALL:
                continue
            own = coco_mask.decode(runs[k]).astype(bool)
            away = ndimage.distance_transform_edt(~own)
            near = [
                (float(away[coco_mask.decode(runs[j]).astype(bool)].min()), j)
                for j in range(len(intact))
                if j != k
                and intact[j]["id"] not in taken | set(gone)
                and coco_mask.area(runs[j]) >= SMALL
            ]
            if not near or min(near)[0] > NEAR_PX:
                continue
            j = min(near)[1]
            rle = coco_mask.merge([runs[k], runs[j]])
            one["area"] = float(coco_mask.area(rle))
            one["bbox"] = coco_mask.toBbox(rle).tolist()
            one["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode()}
            kinds[one["id"]] = ALONE
            gone[one["id"]] = intact[j]["id"]
    lost = set(gone.values())
    damaged["annotations"] = [one for one in damaged["annotations"] if one["id"] not in lost]
    return gone


def mean_iou(masks: list[dict[str, Any]], right: list[dict[str, Any]]) -> float:
    """Return the mean IoU of masks with the right ones, paired one to one; 0 for those left over.

    Args:
        masks: pycocotools' RLE of what a mask has become.
        right: The same of the objects.
    """
    ious = np.asarray(coco_mask.iou(masks, right, [0] * len(right)))
    pairs = linear_sum_assignment(-ious)
    return float(ious[pairs].sum() / max(len(masks), len(right)))


def name_correction(one: MaskCorrection) -> str:
    """Return which of :data:`SUGGESTIONS` a correction is."""
    if one.kind == UNLIKE:
        return THEIRS
    if one.split_off:
        return SPLIT
    return TAKEN_OUT if one.taken_out else MOVED


def write_others(data: Path, work: Path) -> dict[str, Path]:
    """Write the confident masks of the detector; return them as another set's."""
    name, file, least = DETECTOR
    found = json.loads((data / file).read_text())
    path = work / f"{name}.json"
    path.write_text(json.dumps([one for one in found if one["score"] >= least]))
    return {name: path}


def suggest(study: Any, name: str, data: Path, work: Path, seed: int) -> pd.DataFrame:
    """Return a row for each mask of a planted dataset: its kind, what is suggested, both IoUs."""
    compare = write_others(data, work) if name in WITH_OTHERS else {}
    name = WITH_OTHERS.get(name, name)
    place = study.SETS[name]
    clean = study.read_document(place, data)
    damaged, kinds, originals = plant(clean, seed, study.EACH * len(KINDS))
    drawn_in = merge_alone(damaged, kinds, seed, study.EACH)
    path = work / f"{name}_planted.json"
    path.write_text(json.dumps(damaged))
    inputs = Inputs(
        images=data / place["images"],
        verifier=str(find_verifier(study, name, data, work)),
        compare=compare,
    )
    done = audit(path, work / f"{name}_audit", inputs=inputs, restart=True)
    usual = read_usual(done.info.references)
    corrections = read_corrections(done.path)
    columns = ["mask_id", "file_name", "verifier_kind", "segmentation", "height", "width", *SCORES]
    frame = done.query(f"select {', '.join(columns)} from masks where area_px > 0 order by 1")
    twins = set(originals.values()) - set(kinds)  # neither right nor wrong: drawn twice
    before = {one["id"]: one for one in clean["annotations"]}
    crowds = {one["id"] for one in clean["annotations"] if one.get("iscrowd")}
    rows = []
    for row in frame.to_dict("records"):
        mask_id, size = int(row["mask_id"]), (int(row["height"]), int(row["width"]))
        if mask_id in twins | crowds or not study.is_reported(row["file_name"]):
            continue
        counts, source = [bytes(row["segmentation"])], ""
        if mask_id in corrections:
            one = corrections[mask_id]
            counts, source = [one.segmentation, *one.split_off], name_correction(one)
        else:
            runs, _ = decode_counts(counts, [size[0]], [size[1]])
            low = {c: is_low(row[c], usual.get(c)) for c in SCORES if np.isfinite(row[c])}
            if fix := suggest_fix(runs, find_faults(low, declared=False)):
                counts, source = [bytes(encode_counts(fix.mask).to_pylist()[0])], HOLES
        objects = [originals.get(mask_id, mask_id)]
        objects += [drawn_in[mask_id]] if mask_id in drawn_in else []
        right = [as_rle(before[one], *size) for one in objects]
        mine = {"size": size, "counts": bytes(row["segmentation"])}
        rows.append(
            {
                "file_name": row["file_name"],
                "planted": kinds.get(mask_id, ""),
                "named": row["verifier_kind"],
                "source": source,
                "before": mean_iou([mine], right),
                "after": mean_iou([{"size": size, "counts": one} for one in counts], right),
            }
        )
    return pd.DataFrame(rows).assign(seed=seed)


def measure(
    found: pd.DataFrame, name: str, sources: Sequence[str] = SUGGESTIONS
) -> list[dict[str, Any]]:
    """Return gains by source and by what was planted, with intervals by image."""
    rows = []
    random = np.random.default_rng(0)
    for source in sources:
        offered = found[found["source"] == source]
        groups = {kind: offered[offered["planted"] == kind] for kind in PLANTED}
        groups["any planted error"] = offered[offered["planted"] != ""]
        groups["nothing planted"] = offered[offered["planted"] == ""]
        groups["every mask"] = offered
        for what, some in groups.items():
            if what in PLANTED and len(some) < LEAST_SHOWN:
                continue
            of = found if what == "every mask" else None
            if of is None:
                planted = what if what in PLANTED else ""
                of = found[found["planted"] == planted]
                of = found[found["planted"] != ""] if what == "any planted error" else of
            gain = (some["after"] - some["before"]).to_numpy(float)
            images, codes = np.unique(some["file_name"].to_numpy(str), return_inverse=True)
            draws = []
            for _ in range(DRAWS if len(images) else 0):
                times = np.bincount(
                    random.integers(len(images), size=len(images)), minlength=len(images)
                )
                weights = times[codes]
                if weights.sum():
                    draws.append(float(np.average(gain, weights=weights)))
            low, high = np.quantile(draws, [0.025, 0.975]) if draws else (np.nan, np.nan)
            rows.append(
                {"set": name, "source": source, "of": what, "masks": len(of), "offered": len(some)}
                | {"iou_before": some["before"].mean(), "iou_after": some["after"].mean()}
                | {"gain_low": low, "gain_high": high}
                | {"improved": (gain > 0).mean() if len(gain) else np.nan}
                | {"worse": (gain < 0).mean() if len(gain) else np.nan}
                | {"seeds": found["seed"].nunique()}
            )
    return rows


def against_people(study: Any, data: Path) -> list[dict[str, Any]]:
    """Return the gains of mechanical suggestions against nuclei as people corrected them."""
    folder = data / "dsb2018"
    fixed = json.loads((folder / "instances_fixed.json").read_text())
    right = {one["id"]: one for one in fixed["annotations"]}
    images = {one["id"]: one for one in fixed["images"]}
    table = curate.read(folder / "instances_original.json")
    scores = score(table, inputs={})
    frame = pd.concat([table.masks, scores], axis=1)
    frame = frame.loc[:, ~frame.columns.duplicated()]
    usual = {name: float(one["usual"]) for name, one in label_free.fit(frame).items()}
    counts = encode_counts(table.runs).to_pylist()
    rows = []
    for k, mask_id in enumerate(table.masks.index):
        after = right.get(int(mask_id))
        image = images[after["image_id"]] if after else None
        if after is None or image is None or not study.is_reported(image["file_name"]):
            continue
        size = (image["height"], image["width"])
        if (int(table.runs.heights[k]), int(table.runs.widths[k])) != size:
            continue
        low = {
            c: is_low(scores[c].iloc[k], usual.get(c))
            for c in SCORES
            if np.isfinite(scores[c].iloc[k])
        }
        fix = suggest_fix(table.runs[k : k + 1], find_faults(low, declared=False))
        true = as_rle(after, *size)
        mine = {"size": size, "counts": bytes(counts[k])}
        new, source = mine, ""
        if fix is not None:
            new = {"size": size, "counts": bytes(encode_counts(fix.mask).to_pylist()[0])}
            source = HOLES
        before = float(coco_mask.iou([mine], [true], [0])[0, 0])
        rows.append(
            {
                "file_name": image["file_name"],
                "planted": "corrected by people" if before < 1 else "",
                "source": source,
                "before": before,
                "after": float(coco_mask.iou([new], [true], [0])[0, 0]),
                "seed": 0,
            }
        )
    made = measure(pd.DataFrame(rows), "dsb2018 by people")
    words = {"any planted error": "a correction by people", "nothing planted": "none"}
    return [row | {"of": words.get(row["of"], row["of"])} for row in made]


def by_others(study: Any, data: Path) -> list[dict[str, Any]]:
    """Return the gains of neurons' masks that others agree on, against the consensus."""
    folder = data / "neurons"
    tables = {
        name: curate.read(folder / f"{name}.json") for name in (*PEOPLE, *PROGRAMS, CONSENSUS)
    }
    right = {
        file: encode_counts(tables[CONSENSUS].runs[rows]).to_pylist()
        for file, rows in tables[CONSENSUS].masks.reset_index().groupby("file_name").indices.items()
    }
    rows = []
    for what, mine, others in (
        ("programs by programs", PROGRAMS, PROGRAMS),
        ("programs by programs and people", PROGRAMS, (*PROGRAMS, *PEOPLE)),
        ("people by people and programs", PEOPLE, (*PROGRAMS, *PEOPLE)),
        ("people by programs", PEOPLE, PROGRAMS),
    ):
        found = []
        for name in mine:
            table = tables[name]
            compare = {one: tables[one] for one in others if one != name}
            scores = pd.DataFrame(index=table.masks.index)
            made = {one.mask_id: one for one in find_corrections(table, scores, compare=compare)}
            counts = encode_counts(table.runs).to_pylist()
            for k, (mask_id, file) in enumerate(table.masks["file_name"].items()):
                if file not in right or not study.is_reported(file):
                    continue
                size = (int(table.runs.heights[k]), int(table.runs.widths[k]))
                true = [{"size": size, "counts": bytes(one)} for one in right[file]]
                own = {"size": size, "counts": bytes(counts[k])}
                ious = np.asarray(coco_mask.iou([own], true, [0] * len(true)))[0]
                if not ious.max(initial=0) > 0:
                    continue
                best, one = int(ious.argmax()), made.get(int(mask_id))
                new = own if one is None else {"size": size, "counts": one.segmentation}
                after = float(coco_mask.iou([new], [true[best]], [0])[0, 0])
                found.append(
                    {
                        "file_name": file,
                        "planted": "far" if ious[best] < FAR else "",
                        "source": "" if one is None else THEIRS,
                        "before": float(ious[best]),
                        "after": after,
                        "seed": 0,
                    }
                )
        measured = measure(pd.DataFrame(found), f"neurons, {what}")
        words = {"any planted error": "an IoU under 0.7", "nothing planted": "0.7 or more"}
        rows += [
            row | {"of": words.get(row["of"], row["of"])}
            for row in measured
            if row["source"] == THEIRS
        ]
    return rows


def drop_from_detected(study: Any, data: Path) -> list[dict[str, Any]]:
    """Return the gains of small islands dropped from a detector's masks, against COCO's."""
    document = study.read_document(study.SETS["coco_val2017"], data)
    detected = json.loads((data / DETECTOR[1]).read_text())
    rows = []
    for image in document["images"]:
        if not study.is_reported(image["file_name"]):
            continue
        size = (image["height"], image["width"])
        right = [
            as_rle(one, *size)
            for one in document["annotations"]
            if one["image_id"] == image["id"] and not one.get("iscrowd")
        ]
        for found in (one for one in detected if one["image_id"] == image["id"]):
            counts = found["segmentation"]["counts"].encode()
            runs, _ = decode_counts([counts], [size[0]], [size[1]])
            fixed = drop_islands(
                runs,
                min(SMALL, int(SMALL_SHARE * coco_mask.area({"size": size, "counts": counts}))),
            )
            new = bytes(encode_counts(fixed).to_pylist()[0])
            pair = [{"size": size, "counts": one} for one in (counts, new)]
            ious = np.asarray(coco_mask.iou(pair, right, [0] * len(right))) if right else None
            if ious is None or ious[0].max() < OF_AN_OBJECT:
                continue
            best = int(ious[0].argmax())
            rows.append(
                {
                    "file_name": image["file_name"],
                    "planted": "",
                    "source": "" if new == counts else DROPPED,
                    "before": ious[0, best],
                    "after": ious[1, best],
                    "seed": 0,
                }
            )
    found = measure(pd.DataFrame(rows), "a detector's masks of COCO", (DROPPED,))
    return [row for row in found if row["of"] == "every mask"]


def table(results: pd.DataFrame) -> str:
    """Return the table of the README."""
    lines = [
        "| set | suggestion | of masks with | masks | offered | mean IoU before | after "
        "| gain | better | worse |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in results.to_dict("records"):
        if row["offered"] < LEAST_SHOWN:
            continue
        gain = row["iou_after"] - row["iou_before"]
        cells = [
            f"`{row['set']}`",
            row["source"],
            row["of"],
            f"{row['masks']:,.0f}",
            f"{row['offered']:,.0f}",
            f"{row['iou_before']:.2f}",
            f"{row['iou_after']:.2f}",
            f"{gain:+.2f} [{row['gain_low']:+.2f}, {row['gain_high']:+.2f}]",
            f"{100 * row['improved']:.0f}%",
            f"{100 * row['worse']:.0f}%",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Plant, audit, measure, and write the numbers."""
    study = load_verification()
    without = {
        "dsb2018 by people": against_people,
        "neurons": by_others,
        "islands": drop_from_detected,
    }
    sets = ("coco_val2017", *WITH_OTHERS, "dsb2018", *without)
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=study.DATA)
    parser.add_argument("--work", type=Path, default=Path("corrections_work"))
    parser.add_argument("--set", action="append", choices=sets, dest="sets")
    parser.add_argument("--seeds", type=int, default=6, help="of planting")
    parser.add_argument("--named", default="", help="added to the names of the sets in the tables")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    path = HERE / "results.csv"
    results = pd.read_csv(path) if path.exists() else pd.DataFrame({"set": []})
    for name in chosen.sets or sets:
        title = name + chosen.named
        if name in without:
            rows = pd.DataFrame(without[name](study, chosen.data))
        else:
            found = []
            for seed in range(chosen.seeds):
                found.append(suggest(study, name, chosen.data, chosen.work, seed))
                print(title, "seed", seed, len(found[-1]), flush=True)
            made = measure(pd.concat(found), title)
            asked = (THEIRS,) if name in WITH_OTHERS else SUGGESTIONS
            rows = pd.DataFrame([row for row in made if row["source"] in asked])
        results = pd.concat([results[~results["set"].isin(rows["set"])], rows])
        results.to_csv(path, index=False, float_format="%.4f")
    readme = HERE / "README.md"
    text = readme.read_text()
    before, _, rest = text.partition("<!-- gains -->")
    _, _, after = rest.partition("<!-- end of gains -->")
    readme.write_text(f"{before}<!-- gains -->\n\n{table(results)}\n\n<!-- end of gains -->{after}")


if __name__ == "__main__":
    main()
