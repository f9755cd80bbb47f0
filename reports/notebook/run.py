"""Cost of plots and questions on ten million masks, and coverage of the effort curve's interval.

python reports/notebook/run.py [MASKS]
"""

from __future__ import annotations

import csv
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")

import duckdb
import numpy as np
import pandas as pd
from matplotlib import pyplot

import curate
from curate.demo_dataset import make_demo
from curate.reporting.plot_queries.effort_query import binomial_interval, effective_sizes

HERE = Path(__file__).parent
COPIES_A_PART = 200
PLOTS = (
    *("categories", "reasons", "confusion", "co_occurrence", "positions", "mean_masks"),
    *("size_quality", "effort", "score", "scores"),
)


def enlarge(small: Path, big: Path, masks: int) -> int:
    """Write an audit of copies of another's masks, ids and ranks of their own; return how many."""
    info = json.loads((small / "audit.json").read_text())
    copies = max(1, masks // info["counts"]["masks"])
    links = ("duplicate_of", "overlap_with", "nested_in")
    ids = {
        "masks": f"mask_id + k * 1000000 as mask_id, image_id + k * 1000000 as image_id, "
        f"(rank - 1) * {copies} + k + 1 as rank, * exclude (mask_id, image_id, rank, "
        f"{', '.join(links)})",
        "images": "image_id + k * 1000000 as image_id, * exclude (image_id)",
    }
    parts = range(0, copies, COPIES_A_PART)
    with duckdb.connect(config={"threads": 1, "memory_limit": "2GB"}) as connection:
        for kind, columns in ids.items():
            (big / kind).mkdir(parents=True)
            for number, first in enumerate(parts):
                last = min(copies, first + COPIES_A_PART)
                connection.execute(
                    f"copy (select {columns} from read_parquet('{small / kind}/*.parquet'), "
                    f"range({first}, {last}) t(k) order by k) to "
                    f"'{big / kind}/part-{number:06d}.parquet' (format parquet, compression lz4)"
                )
    info["parts"] = len(parts)
    for name in ("masks", "images"):
        info["counts"][name] *= copies
    (big / "audit.json").write_text(json.dumps(info))
    return int(info["counts"]["masks"])


def measure(rows: list[list[str]], what: str, call: Callable[[], object]) -> None:
    """Run something once and note what it took."""
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    call()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    rows.append([what, f"{cpu:.1f}", "s of CPU", f"wall {wall:.1f} s"])
    rows[-1][-1] += f"; peak of the process so far {after.ru_maxrss / 1024:.0f} MB"
    pyplot.close("all")


def cost(masks: int, folder: Path) -> list[list[str]]:
    """Measure every plot, and questions, on an audit of copies of the demo's masks."""
    made = make_demo(folder / "dataset", images=24)
    small = curate.audit(
        made.source, folder / "small", images=made.pictures, detections=made.detections
    )
    for name in PLOTS:  # kernels are compiled, libraries loaded
        getattr(small.plot, name)()
    small.gallery(limit=1)
    count = enlarge(small.path, folder / "big", masks)
    rows: list[list[str]] = [["masks of the audit", f"{count}", "masks", ""]]
    audit = curate.open_audit(folder / "big")
    measure(rows, "repr(audit)", lambda: repr(audit))
    for name in PLOTS:
        measure(rows, f"audit.plot.{name}()", getattr(audit.plot, name))
    where = "area_px < 400 and action != 'reject'"
    measure(
        rows, "audit.masks(one column, where=...)", lambda: audit.masks(["area_px"], where=where)
    )
    measure(rows, "audit.gallery(limit=12)", lambda: audit.gallery(limit=12))
    measure(rows, "audit.gallery(where, limit=12)", lambda: audit.gallery(where, limit=12))
    return rows


def coverage(clustered: bool, sampled: int, repeats: int = 2000) -> list[list[str]]:
    """Count how often the interval of the effort curve holds the truth, at nine points of it."""
    random = np.random.default_rng(0)
    images, each = 2000, 10
    rank = random.permutation(images * each) + 1
    image = np.repeat(np.arange(images), each)
    p = 0.25 * np.exp(-rank / 6000)
    if clustered:  # one image in five holds most errors, all of its masks alike
        p *= np.where(np.arange(images) % 5 == 0, 3.5, 0.375)[image]
        draws = random.random(images)[image] * 0.7 + random.random(images * each) * 0.3
        bad = draws < p
        rank = (np.argsort(np.argsort(rank + 4000 * random.random(images)[image])) + 1).astype(int)
    else:
        bad = random.random(images * each) < p
    looked = np.quantile(rank[bad], np.arange(1, 10) / 10)
    truth = np.array([(rank[bad] <= n).mean() for n in looked])
    held, width = np.zeros(len(looked)), np.zeros(len(looked))
    for _ in range(repeats):
        drawn = random.choice(len(rank), sampled, replace=False)
        drawn = drawn[bad[drawn]]
        found = pd.DataFrame({"image_id": image[drawn], "rank": rank[drawn], "weight": 1.0})
        share = np.array([(found["rank"] <= n).mean() for n in looked])
        low, high = binomial_interval(share, effective_sizes(found, looked))
        held += (low <= truth) & (truth <= high)
        width += high - low
    name = f"coverage, {'clustered' if clustered else 'independent'} errors, {sampled} reviewed"
    few = f"{held.min() / repeats:.3f} to {held.max() / repeats:.3f} by point"
    detail = f"{few}; mean width {(width / repeats).mean():.2f}; bad masks {bad.mean():.1%}"
    return [[name, f"{held.mean() / repeats:.3f}", "share, 0.95 promised", detail]]


def main() -> None:
    masks = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        rows = cost(masks, Path(folder))
    for clustered in (False, True):
        for sampled in (200, 500, 2000):
            rows += coverage(clustered, sampled)
    with (HERE / "results.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["what", "measured", "unit", "detail"], *rows])


if __name__ == "__main__":
    main()
