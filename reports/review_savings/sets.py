"""The sets of the study: masks as the product audited them, and which of them are wrong."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from noise import Injected, inject

import curate

sys.path.append(str(Path(__file__).resolve().parents[1] / "_common"))
from dsb2018 import judged, truths

from curate.common.arrays import BoolArray
from curate.quality import label_free

DETECTIONS = "detections_yolov8n_seg_int8.json"
SHARE = 0.03
"""Share of COCO's masks that get each kind of error."""


@dataclass(frozen=True)
class Masks:
    """Masks that people look at one after the other.

    Attributes:
        frame: Columns of the audit, a row a mask; ``kind`` of error where there is one.
        images: Columns of the audit about images.
        audit: Where the audit is.
        all_ids: Every mask of the audit.
        injected: What was put in, for COCO.
    """

    frame: pd.DataFrame
    images: pd.DataFrame
    audit: Path
    all_ids: npt.NDArray[np.int64]
    injected: Injected | None = None

    def truth(self, kind: str = "any kind") -> BoolArray:
        """Return which masks have an error, of one kind or of any."""
        kinds = self.frame["kind"]
        return np.asarray(kinds.notna() if kind == "any kind" else kinds == kind, bool)

    def alone(self, kind: str) -> Masks:
        """Return the masks with one kind of error and those that were not touched."""
        kinds = self.frame["kind"]
        kept = (kinds.isna() | (kinds == kind)).to_numpy(bool)
        return replace(self, frame=self.frame[kept])


def audited(source: Path, out: Path, **inputs: Any) -> curate.Audit:
    """Audit as a user would, with all signals; an audit that is there already is used."""
    return curate.audit(source, out, deep=True, **inputs)


def columns_of(audit: curate.Audit) -> pd.DataFrame:
    """Return everything about the masks but the masks."""
    frame = audit.masks()
    return frame.drop(columns=["segmentation", "stability_curve"], errors="ignore")


def nuclei(data: Path, work: Path) -> Masks:
    """Return the nuclei as first published; wrong are those that people changed later.

    The images that people removed whole are left out: nobody judged their masks.
    """
    folder = data / "dsb2018"
    audit = audited(
        folder / "instances_original.json", work / "nuclei.audit", images=folder / "images"
    )
    frame = columns_of(audit)
    ids = frame.index.to_numpy(np.int64)
    frame = judged(data, frame)
    found = truths(data, frame)
    kind = pd.Series(np.where(found["hard"], "hard", "slight"), frame.index, dtype=object)
    frame = frame.assign(kind=kind.where(found["changed"], None))
    return Masks(frame, audit.images(), audit.path, ids)


def coco(
    data: Path, work: Path, seed: int, level: str = "medium", *, name: str = "", **given: Any
) -> Masks:
    """Return COCO's masks with errors put in, without crowd regions.

    Args:
        data: Folder of the datasets.
        work: Where the audit goes.
        seed: Of the errors.
        level: Of noise.
        name: What the audit is called beside the ones that are given nothing.
        given: What it gets beside pictures and detections.
    """
    folder = data / "coco_val2017"
    document = json.loads((folder / "instances.json").read_text())
    found = inject(document, seed, level, SHARE)
    source = work / f"coco_{level}_{seed}.json"
    source.write_text(json.dumps(found.document))
    audit = audited(
        source,
        source.with_name(f"{source.stem}{name}.audit"),
        images=folder / "images",
        detections=folder / DETECTIONS,
        **given,
    )
    frame = with_less(columns_of(audit)) if given else columns_of(audit)
    ids = frame.index.to_numpy(np.int64)
    kinds = pd.Series(frame.index.map(found.kinds), frame.index, dtype=object)
    frame = frame.assign(kind=kinds.where(kinds.notna(), None))
    frame = one_of_each_pair(frame, found.originals)
    frame = frame[frame["iscrowd"] != 1]
    return Masks(frame, audit.images(), audit.path, ids, found)


LEFT_OUT = {
    "default_score": ("verifier_score", "category_score"),
    "without_encoder_score": ("category_score",),
}
"""By a quality: the signals that it goes without."""


def with_less(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the qualities that the same audit gives without a verifier, or without an encoder."""
    found = {}
    for name, left_out in LEFT_OUT.items():
        some = frame.drop(columns=[column for column in left_out if column in frame])
        found[name] = label_free.apply(some, label_free.fit(some))
    return frame.assign(**found)


def one_of_each_pair(frame: pd.DataFrame, originals: dict[int, int]) -> pd.DataFrame:
    """Let the more suspicious of two twins stand for both: either leads a person to the pair."""
    frame = frame.copy()
    scores = [name for name in frame.columns if name.endswith("_score")]
    for copy, original in originals.items():
        pair = frame.loc[[copy, original]]
        frame.loc[copy, scores] = pair[scores].min()
        frame.loc[copy, "priority"] = pair["priority"].max()
    return frame.drop(index=list(originals.values()))
