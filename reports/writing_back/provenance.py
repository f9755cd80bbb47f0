"""A million masks of which a quarter goes: the share of the provenance in the cost of pruning."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import curate
from curate import rle
from curate.writing import output

Row = dict[str, Any]

_SIZE = (480, 640)
_AN_IMAGE = 100  # masks
_POLICY = {
    "name": "small",
    "rule": [{"when": "area_px < 700", "action": "reject", "reason": "small"}],
}


def write_source(path: Path, masks: int, seed: int = 0) -> None:
    """Write a COCO file of ellipses, 500 different ones again and again."""
    rng, shapes = np.random.default_rng(seed), []
    yy, xx = np.mgrid[: _SIZE[0], : _SIZE[1]]
    for _ in range(500):
        y, x = rng.integers(0, 400), rng.integers(0, 560)
        h, w = rng.integers(10, 80, 2)
        mask = ((yy - y - h / 2) / (h / 2)) ** 2 + ((xx - x - w / 2) / (w / 2)) ** 2 < 1
        runs = rle.from_dense(mask)
        box = [float(side) for side in rle.bbox(runs)[0]]
        counts = rle.encode_counts(runs)[0].as_py().decode("ascii")
        shapes.append({"segmentation": {"size": list(_SIZE), "counts": counts}, "bbox": box})
        shapes[-1]["area"] = int(mask.sum())
    images = [
        {"id": i, "file_name": f"{i}.jpg", "height": _SIZE[0], "width": _SIZE[1]}
        for i in range(1, masks // _AN_IMAGE + 1)
    ]
    with path.open("w") as file:
        file.write('{"images":' + json.dumps(images) + ',"annotations":[')
        for i in range(masks):
            one = {"id": i + 1, "image_id": i // _AN_IMAGE + 1, "category_id": i % 80 + 1}
            one |= shapes[i * 7919 % 500] | {"iscrowd": 0}
            file.write(("," if i else "") + json.dumps(one))
        listed = [{"id": k, "name": f"c{k}"} for k in range(1, 81)]
        file.write('],"categories":' + json.dumps(listed) + "}")


def measured(work: Path, masks: int = 1_000_000, rounds: int = 2) -> list[Row]:
    """Prune, and measure the processor's time of it and of writing the provenance."""
    source, audit = work / "big.json", work / "audit"
    write_source(source, masks)
    curate.audit(source, audit, workers=1, policy=_POLICY)
    write, spent = output.write_provenance, 0.0

    def timed(*told: Any, **named: Any) -> None:
        nonlocal spent
        start = time.process_time()
        write(*told, **named)
        spent += time.process_time() - start

    output.write_provenance = timed
    found = []
    for number in range(rounds):
        start, spent = time.process_time(), 0.0
        result = curate.prune(audit, work / f"out{number}.json", yes=True)
        found.append((100 * spent / (time.process_time() - start), spent))
    output.write_provenance = write
    share, seconds = (median(one[k] for one in found) for k in range(2))
    detail = f"{masks:,} masks, {result.dropped:,} removed with their pixels; {seconds:.1f} s"
    return [
        {
            "study": "provenance",
            "what": "provenance, of pruning's processor time",
            "value": share,
            "unit": "%",
            "goal": "under 20",
            "detail": detail,
        }
    ]
