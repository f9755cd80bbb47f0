"""Measure what an image encoder without any knowledge does to a verifier, and what it costs.

    python reports/verification/encoder.py [--data FOLDER] [--work FOLDER]

No weights of a trained encoder can be had here. One of DINOv2-small's form with random weights
stands for an encoder that knows nothing: it should do no harm. Networks are trained on one part of
the images of COCO's half for choosing, and tried on the other, with and without the encoder. Writes
encoder.csv and its table in README.md.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from run import DATA, HERE, is_reported  # puts the folder of shared helpers on the path

from curate.networks.encoders.encoder_loading import load_grid_encoder
from curate.networks.runtime.devices import Device
from curate.networks.runtime.hub import import_optional
from curate.networks.segmenter_training.training_masks import read_training_masks
from curate.networks.training.image_split import split_into_folds
from curate.networks.verifier_training.corruptions import KINDS, WRONG_CATEGORY
from curate.networks.verifier_training.dropped_masks import typical_side
from curate.networks.verifier_training.encoded_pictures import encode_pictures, measure_encoder
from curate.networks.verifier_training.train_on_dataset import measure_trials, number_categories
from curate.networks.verifier_training.training_examples import collect_objects
from curate.networks.verifier_training.verifier_fitting import (
    VerifierSchedule,
    fit_verifier,
    try_verifier,
)
from curate.networks.verifiers.verifier_network import VerifierShape

from filling import fill_page, table  # isort: skip

ROUNDS = 6
SEEDS = (0, 1)
TIMED = 10
"""Pictures by which the cost of encoding one is measured."""

CPU = Device("cpu", "float32")


def save_random_encoder(folder: Path) -> Path:
    """Save a network of DINOv2-small's form with random weights, as the hub has it."""
    if not (folder / "model.safetensors").is_file():
        torch = import_optional("torch", "the study")
        library = import_optional("transformers", "the study")
        torch.manual_seed(0)
        sizes = {"hidden_size": 384, "num_attention_heads": 6, "patch_size": 14, "image_size": 518}
        library.Dinov2Model(library.Dinov2Config(**sizes)).save_pretrained(folder)
        prepared = {"crop_size": {"height": 224, "width": 224}, "do_center_crop": True}
        (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    return folder


def read_half(data: Path, work: Path) -> Path:
    """Write the annotations of the images for choosing."""
    found = json.loads((data / "coco_val2017/instances.json").read_text())
    found["images"] = [one for one in found["images"] if not is_reported(one["file_name"])]
    kept = {one["id"] for one in found["images"]}
    found["annotations"] = [one for one in found["annotations"] if one["image_id"] in kept]
    path = work / "choosing.json"
    path.write_text(json.dumps(found))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    arguments = parser.parse_args()
    data, work = arguments.data, arguments.work
    work.mkdir(parents=True, exist_ok=True)
    import_optional("torch", "the study").set_num_threads(1)
    pictures = data / "coco_val2017/images"
    images = read_training_masks([read_half(data, work)], [pictures], None, None).images
    names, numbers = number_categories(images)
    objects = collect_objects(images, numbers)
    kinds = (*KINDS, WRONG_CATEGORY) if names else KINDS
    encoder = load_grid_encoder(str(save_random_encoder(work / "random_dinov2")), device="cpu")
    encoded = encode_pictures(encoder, objects, typical_side(images))
    seen = [np.asarray(one) for one in {o.image: o.picture for o in objects}.values()][:TIMED]
    began = time.process_time()
    for picture in seen:
        encoded.encoder.see(picture)  # past the cache
    encoding = (time.process_time() - began) / len(seen)
    windows = [len(p.tops) * len(p.lefts) for p in map(encoded.encoder.plan, shapes(seen))]
    print(f"{encoding:.2f} s a picture, {np.mean(windows):.1f} windows", flush=True)
    seeing = {one.image: encoded.grids for one in objects}
    rows: list[dict[str, Any]] = []
    for seed in SEEDS:
        dealt = split_into_folds(images, 2, seed=seed)
        here = {id(image) for image in dealt[0]}
        for fold in (0, 1):
            held = [one for one in objects if (id(images[one.image]) in here) == (fold == 0)]
            learnt = [one for one in objects if (id(images[one.image]) in here) != (fold == 0)]
            for aided in (False, True):
                shape = VerifierShape(
                    kinds=len(kinds),
                    categories=len(names),
                    encoded=encoder.channels if aided else 0,
                )
                row = measure((learnt, held), shape, seeing if aided else {}, encoded, kinds, seed)
                rows.append({"seed": seed, "fold": fold, "encoder": aided, **row})
                rows[-1] |= {"encoding_s": encoding if aided else 0.0}
                rows[-1] |= {"windows": np.mean(windows) if aided else 0.0}
                print(rows[-1], flush=True)
    results = pd.DataFrame(rows)
    results.to_csv(HERE / "encoder.csv", index=False, float_format="%.4f")
    fill_page(HERE / "README.md", results, [encoder_costs])


def shapes(pictures: list[Any]) -> list[tuple[int, int]]:
    """Return height and width of each picture."""
    return [(one.shape[0], one.shape[1]) for one in pictures]


def measure(
    parts: Any, shape: VerifierShape, seeing: Any, encoded: Any, kinds: Any, seed: int
) -> dict[str, Any]:
    """Train a network on some masks, and try it on others; return its AUC and its cost."""
    learnt, held = ([replace(o, grids=seeing.get(o.image)) for o in part] for part in parts)
    statistics = encoded.statistics({one.image for one in learnt}) if shape.encoded else None
    began = time.process_time()
    schedule = VerifierSchedule(ROUNDS, seed=seed)
    fitted = fit_verifier(learnt, shape, schedule, CPU, statistics=statistics)
    trained = time.process_time()
    order = np.random.default_rng(seed).permutation(len(held))
    trial = try_verifier(fitted.network, [held[k] for k in order], shape, CPU, seed)
    found = measure_trials([trial], kinds)
    row = {
        "masks": found["masks"],
        "auc": found["mean_auc"],
        "iou_r": found["iou_correlation"],
        "step_s": (trained - began) / fitted.steps,
    }
    if shape.encoded:
        added = measure_encoder(encoded, [trial], seed)
        low, gain, high = added["gain"] or [float("nan")] * 3
        row |= {"auc_without": added["auc_without"], "gain": gain, "low": low, "high": high}
        row |= {"used": added["used"]}
    return row


def encoder_costs(results: pd.DataFrame) -> str:
    """Return the table of AUC and cost."""
    cells = []
    for aided, rows in results.groupby("encoder"):
        means = rows[["auc", "iou_r", "step_s", "encoding_s"]].mean()
        apart = rows["auc"].std()
        left_out = f"{rows['auc_without'].mean():.3f}" if aided else ""
        used = f"{int(rows['used'].sum())} of {len(rows)}" if aided else ""
        about = "random weights" if aided else "none"
        cost = [f"{means['step_s']:.2f}", f"{means['encoding_s']:.1f}" if aided else ""]
        found = [f"{means['auc']:.3f} ({apart:.3f})", left_out, used, f"{means['iou_r']:.2f}"]
        cells.append([about, *found, *cost])
    head = ["encoder", "AUC (deviation)", "features left out", "used by the rule", "r of the IoU"]
    return table([*head, "s a step", "s a picture"], cells)


if __name__ == "__main__":
    main()
