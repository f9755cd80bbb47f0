"""Learning on a million masks: time and memory of a process of its own.

    python million.py FOLDER AUDIT

makes a large audit in FOLDER from a small one; ``python million.py FOLDER`` learns on it and prints
what it took.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from curate.common.pool import Pool
from curate.people.learning import learn
from curate.pipeline.deciding import decide_audit
from curate.policy.policy import Policy
from curate.store.audit import open_audit
from curate.store.audit_files import scored_path, write_info, write_scored
from curate.store.audit_info import SCORING, AuditInfo

MASKS, REVIEWS, PART = 1_000_000, 10_000, 50_000


def enlarge(small: Path, folder: Path, masks: int = MASKS) -> None:
    """Write an audit of many masks: those of a small one again and again, scores slightly moved."""
    source = open_audit(small)
    frame = source.masks().reset_index(drop=True)
    late = ("quality_score", "action", "reasons", "priority", "rank", "rule_action")
    frame = frame.drop(columns=[name for name in late if name in frame])
    images = source.images().reset_index(drop=True)
    times = max(1, PART // len(frame))
    random = np.random.default_rng(0)
    scores = [name for name in frame if name.endswith("_score")]
    written = part = 0
    while written < masks:
        copies = [frame.assign(image_id=frame["image_id"] + k * 10_000) for k in range(times)]
        here = pd.concat(copies, ignore_index=True)[: masks - written]
        for name in scores:
            moved = here[name] * (1 - 0.02 * random.uniform(size=len(here)))
            here[name] = moved.where(here[name] < 1, here[name])
        here["image_id"] += part * 1_000_000
        here["file_name"] = here["file_name"].astype(str) + "#" + here["image_id"].astype(str)
        here.index = pd.RangeIndex(written, written + len(here), name="mask_id")
        ids = np.unique(here["image_id"])
        pictures = images.iloc[np.zeros(len(ids), int)].set_axis(pd.Index(ids, name="image_id"))
        for kind, table in (("masks", here), ("images", pictures)):
            arrow = pa.Table.from_pandas(table, preserve_index=True)
            write_scored(scored_path(folder, kind, part), arrow)
        written, part = written + len(here), part + 1
    was = source.info
    info = AuditInfo(
        SCORING,
        identity=was.identity,
        source=was.source,
        inputs=was.inputs,
        settings=was.settings,
        models=was.models,
        signals=was.signals,
        tool=was.tool,
        tool_version=was.tool_version,
    )
    write_info(folder, info)
    with Pool(1) as pool:
        decide_audit(folder, info, Policy.preset("default"), pool)


def reviews(folder: Path) -> pd.DataFrame:
    """Play people who reject masks with holes and lines, with slips, on what queues show."""
    masks = open_audit(folder).masks(["hole_area_px", "hairline_score", "rank"])
    random = np.random.default_rng(1)
    shown = np.concatenate(
        [
            masks["rank"].nsmallest(REVIEWS // 2).index,
            random.choice(masks.index, REVIEWS // 2 + 1_000, replace=False),
        ]
    )
    masks = masks.loc[random.permutation(np.unique(shown))[:REVIEWS]]
    bad = (masks["hole_area_px"] > 0) | (masks["hairline_score"] < 0.5)
    slip = random.uniform(size=len(masks)) < 0.02
    return pd.DataFrame(
        {"good": ~bad ^ slip, "queue_kind": "none", "inclusion_probability": np.nan},
        index=masks.index,
    )


def measure(folder: Path) -> dict[str, Any]:
    """Learn on a large audit, deciding it anew, and return what it took."""
    labels = reviews(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    found = learn(open_audit(folder), labels)
    return {
        "masks": found.audit.info.counts["masks"],
        "reviews": found.record["reviews"]["masks"],
        "outcome": found.outcome,
        "learning_s": found.record["seconds"],
        "deciding_s": found.audit.info.timings["deciding_s"],
        "total_s": time.monotonic() - started,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "peak_before_mb": before / 1024,
    }


def in_a_process(folder: Path) -> dict[str, Any]:
    """Return :func:`measure` of a fresh process."""
    call = [sys.executable, __file__, str(folder)]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    if len(sys.argv) > 2:
        enlarge(Path(sys.argv[2]), Path(sys.argv[1]))
    else:
        print(json.dumps(measure(Path(sys.argv[1]))))
