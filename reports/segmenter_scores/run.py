"""What a segmenter's scores are worth, on nuclei of images that it never saw.

    python reports/segmenter_scores/train.py --out MODEL
    python reports/segmenter_scores/run.py --model MODEL [--data FOLDER] [--draws 1000]

Writes results.csv, the figures and the tables of README.md; takes half an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from drawn import draw_set
from fusing import FUSED, SIGNALS, WITHOUT, deflated, fused, quality_without
from nuclei import halves, part_of
from plots import calibration
from score_tables import fill
from tiles import Tiled, cut, scales
from worth import correlations, ranking

import curate
from curate.networks.loading import load_segmenter
from curate.quality import label_free

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from dsb2018 import judged, truths

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
MOST = 16
"""Nuclei of an image that the segmenter draws; some images have hundreds."""


@dataclass(frozen=True)
class Study:
    """Where everything is.

    Attributes:
        data: Folder of the datasets.
        model: Folder of the segmenter that saw the first half.
        work: Where datasets and audits go.
        draws: Datasets resampled an interval.
    """

    data: Path
    model: Path
    work: Path
    draws: int

    @property
    def pictures(self) -> Path:
        """Folder of the pictures."""
        return self.data / "dsb2018/images"

    def document(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the nuclei."""
        return json.loads((self.data / "dsb2018" / name).read_text())

    def audit(self, name: str, document: dict[str, Any], **inputs: Any) -> pd.DataFrame:
        """Audit a COCO document as the product does, and return its masks."""
        source = self.work / f"{name}.json"
        source.write_text(json.dumps(document))
        return curate.audit(source, self.work / f"{name}.audit", **inputs).masks()

    def tiles(self, name: str, document: dict[str, Any], most: int = 0) -> Tiled:
        """Cut a document's images into tiles at the segmenter's scale."""
        scale = scales(self.document("instances_original.json"))
        return cut(document, self.pictures, self.work / f"{name} tiles", scale, most)


def drawn(study: Study, name: str, truth: dict[str, Any], seed: int) -> pd.DataFrame:
    """Let the segmenter draw a half's nuclei and audit what it drew; with its true IoU."""
    segmenter = load_segmenter(str(study.model), device="cpu")
    tiles = study.tiles(name, truth, MOST)
    made = draw_set(segmenter, tiles.document, tiles.folder, seed)
    masks = study.audit(
        name, made.document, images=tiles.folder, deep=True, segmenter=str(study.model)
    )
    masks["true_iou"] = masks.index.map(made.true_iou).astype(float)
    masks["way"] = masks.index.map(made.way)
    masks["image_id"] = masks.index.map(tiles.image_of)
    return masks


def asked_again(study: Study, document: dict[str, Any]) -> pd.DataFrame:
    """Audit stored masks as a whole, and let the segmenter draw each again in its tile."""
    masks = study.audit("stored", document, images=study.pictures, deep=True)
    tiles = study.tiles("stored", document)
    found = study.audit(
        "stored in tiles", tiles.document, images=tiles.folder, segmenter=str(study.model)
    )
    names = [name for name in SIGNALS if name in found]
    return masks.drop(columns=[n for n in names if n in masks]).join(found[names])


def main() -> None:
    """Run the study and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the datasets")
    parser.add_argument("--model", type=Path, required=True, help="what train.py has written")
    parser.add_argument("--draws", type=int, default=1000, help="datasets resampled an interval")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = Study(given.data.resolve(), given.model.resolve(), Path(folder), given.draws)
        seen, unseen = halves(study.data)
        published, fixed = map(study.document, ("instances_original.json", "instances_fixed.json"))
        learned_on = drawn(study, "drawn seen", part_of(published, seen), seed=0)
        held_out = drawn(study, "drawn unseen", part_of(fixed, unseen), seed=1)
        held_out[FUSED] = fused(learned_on, held_out)
        held_out["stability without size"] = deflated(learned_on, held_out)
        rows = correlations(held_out, study.draws)
        calibration(HERE / "calibration.svg", held_out)
        stored = judged(study.data, asked_again(study, part_of(published, unseen)))
        stored[WITHOUT] = quality_without(stored)
        stored["quality_score"] = label_free.apply(stored, label_free.fit(stored))
        for word, truth in truths(study.data, stored).items():
            rows += ranking(stored, truth, word, study.draws)
    results = pd.DataFrame(rows).round(4)
    results.to_csv(HERE / "results.csv", index=False)
    fill(HERE / "README.md", results)


if __name__ == "__main__":
    main()
