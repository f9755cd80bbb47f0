"""A million masks with 10,000 decisions: the plan brought up to date, writing against pruning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

import curate
from curate import rle
from curate.people.reviews import Reviews

sys.path.append(str(Path(__file__).resolve().parents[1] / "performance"))
from shapes import write_coco

Row = dict[str, Any]


def decisions(audit: Any, n: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw decisions: 40% accept, 30% reject, 30% redraw, and 2% as many masks to add."""
    rng = np.random.default_rng(seed)
    masks = audit.query("select mask_id from masks where area_px > 0 order by mask_id")["mask_id"]
    ids = rng.choice(masks.to_numpy(np.int64), n, replace=False)
    action = rng.choice(["accept", "reject", "fix"], n, p=[0.4, 0.3, 0.3])
    size = audit.query("select height, width from images limit 1").iloc[0]
    height, width = int(size["height"]), int(size["width"])  # all images of the file have one size
    yy, xx = np.ogrid[:height, :width]
    discs = []
    for _ in range(50):
        y, x, r = rng.integers(height), rng.integers(width), rng.integers(3, height // 4)
        disc = rle.from_dense((yy - y) ** 2 + (xx - x) ** 2 <= r**2)
        discs.append(bytes(rle.encode_counts(disc)[0].as_py()))
    new = [
        discs[int(k)] if a == "fix" else None
        for a, k in zip(action, rng.integers(50, size=n), strict=True)
    ]
    frame = pd.DataFrame({"mask_id": ids, "action": action, "segmentation": new, "reviewer": "a"})
    images = audit.query("select image_id from images order by image_id")["image_id"].to_numpy(
        np.int64
    )
    some = rng.choice(images, n // 50, replace=False)
    added = [discs[int(k)] for k in rng.integers(50, size=len(some))]
    return frame, pd.DataFrame({"image_id": some, "segmentation": added, "reviewer": "a"})


def timed(code: str, *arguments: str) -> tuple[float, float]:
    """Run Python code in a process of its own; return its own seconds and its peak memory in MB.

    The code prints its seconds; start-up and imports are not in them.
    """
    code += "\nimport resource\nprint(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    seconds, kilobytes = done.stdout.split()[-2:]
    return float(seconds), int(kilobytes) / 1024


PLAN = """
import sys, time
import curate
audit = curate.open_audit(sys.argv[1])
start = time.perf_counter()
found = audit.query("select decided_by, action, count(*) n from masks group by all")
took = time.perf_counter() - start
"""

WRITE = """
import sys, time
import curate, curate.writing, pandas
start = time.perf_counter()
result = {call}
took = time.perf_counter() - start
"""


def measured(work: Path, masks: int = 1_000_000, rounds: int = 3) -> list[Row]:
    """Return the rows of the study."""
    source, out = work / "instances.json", work / "audit"
    write_coco(source, masks)
    audit = curate.audit(source, out)
    frame, missing = decisions(audit, 10_000, 0)
    Reviews(audit.pin()).add(frame, origin="study", missing=missing)
    first, memory = timed(PLAN, str(out))
    again, _ = timed(PLAN, str(out))
    later, _ = decisions(audit, 100, 1)
    Reviews(audit.pin()).add(later, origin="study, later")
    some, _ = timed(PLAN, str(out))
    prunes, writes, peaks = [], [], []
    for k in range(rounds):
        for name, calls, times in (
            ("pruned", "curate.prune(sys.argv[1], sys.argv[2])", prunes),
            ("written", "curate.write(sys.argv[1], sys.argv[2], duplicates='keep')", writes),
        ):
            target = work / f"{name}-{k}.json"
            seconds, peak = timed(WRITE.format(call=calls), str(out), str(target))
            times.append(seconds)
            peaks.append((name, peak))
            target.unlink()
    ratio = median(w / p for w, p in zip(writes, prunes, strict=True))
    peak = max(size for name, size in peaks if name == "written")
    of = f"{masks:,} masks, 10,000 decisions, 200 added masks"
    return [
        _row(
            "plan brought up to date, first query with it",
            first,
            "s",
            "under 5",
            f"{of}; {memory:.0f} MB",
        ),
        _row("the same query again", again, "s", "", "nothing has changed"),
        _row("after 100 more decisions", some, "s", "", "only these are resolved"),
        _row(
            "written, against pruned",
            ratio,
            "times",
            "at most 2",
            f"{median(writes):.1f} s against {median(prunes):.1f} s, both read back and compared",
        ),
        _row(
            "peak memory of writing",
            peak,
            "MB",
            "under 1500",
            f"file of {source.stat().st_size / 1e6:.0f} MB",
        ),
    ]


def _row(what: str, value: float, unit: str, goal: str, detail: str) -> Row:
    return {
        "study": "large",
        "what": what,
        "value": f"{value:.3g}",
        "unit": unit,
        "goal": goal,
        "detail": detail,
    }
