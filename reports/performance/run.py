"""Measure speed and memory, each beside what it is compared with, and write results.csv.

    python reports/performance/run.py            everything, about 20 minutes
    python reports/performance/run.py kernels    some of: kernels, audit, memory, start, small,
                                                 stability, generation

Times are medians of several rounds in which the two sides take turns, so that a machine whose speed
drifts drifts for both; what counts is the ratio.
"""

from __future__ import annotations

import csv
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import generation
import orjson
import pycocotools.mask as coco_mask
import stability
from shapes import HEIGHT, WIDTH, draw_image, write_coco, write_folder

HERE = Path(__file__).parent
Row = dict[str, Any]


def in_turns(first: Callable[[], object], second: Callable[[], object], rounds: int = 9) -> Row:
    """Time two functions in turns after a warm-up; medians in seconds, median ratio of pairs."""
    first(), second()
    a, b = [], []
    for _ in range(rounds):
        for function, times in ((first, a), (second, b)):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    ratios = [y / x for x, y in zip(a, b, strict=True)]
    return {"first_s": median(a), "second_s": median(b), "ratio": median(ratios)}


def kernels() -> list[Row]:
    """Decode, area, box and every overlapping pair, against pycocotools on the same strings."""
    import numpy as np

    from curate import rle
    from curate.rle.codec import as_large_binary

    images = [draw_image(seed) for seed in range(20)]
    coded = [
        [
            {"size": [HEIGHT, WIDTH], "counts": a["segmentation"]["counts"].encode()}
            for a in image["annotations"]
        ]
        for image in images
    ]
    counts = as_large_binary([c["counts"] for image in coded for c in image])
    n = len(counts)
    heights, widths = np.full(n, HEIGHT), np.full(n, WIDTH)
    groups = np.repeat(np.arange(len(coded)), [len(image) for image in coded])

    def ours() -> object:
        runs, _ = rle.decode_counts(counts, heights, widths)
        _, boxes = rle.measure(runs)
        return rle.overlaps(runs, groups, boxes)

    def theirs() -> object:
        return [
            (coco_mask.area(i), coco_mask.toBbox(i), coco_mask.iou(i, i, [0] * len(i)))
            for i in coded
        ]

    found = in_turns(ours, theirs)
    return [
        {
            "what": "kernels: decode, area, box, all overlapping pairs",
            "unit": "times faster than pycocotools area + toBbox + iou",
            "value": found["ratio"],
            "goal": "at least 5, aim 8",
            "detail": f"{found['first_s'] / n * 1e6:.2f} against {found['second_s'] / n * 1e6:.2f} "
            f"microseconds a mask, {n} masks",
        }
    ]


def run_audit(source: Path, out: Path, *options: str) -> tuple[float, float]:
    """Run `curate audit` in a process of its own; return seconds and peak memory in MB."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "curate", "audit", str(source), "--out", str(out)]
    start = time.perf_counter()
    # Memory of the process and its workers, from the operating system's own account.
    code = (
        "import resource, subprocess, sys; "
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done.returncode)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command, *options], capture_output=True, text=True, check=True
    )
    return time.perf_counter() - start, int(done.stdout) / 1024


def audit() -> list[Row]:
    """A whole audit of SA-1B-shaped JSON, start-up aside, against orjson.loads of its bytes.

    Start-up (the interpreter's, the workers', and what every report costs) is put aside by taking
    the difference of two audits, of many and of few images, and parsing what they differ in.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        few, images = 400, 2000
        write_folder(work / "few", few)
        write_folder(work / "many", images)
        contents = [(work / "many" / f"sa_{k}.json").read_bytes() for k in range(few, images)]
        run_audit(work / "few", work / "out")
        one, two, parse, start, start_two = [], [], [], [], []
        for _ in range(3):
            start.append(run_audit(work / "few", work / "out")[0])
            start_two.append(run_audit(work / "few", work / "out", "--workers", "2")[0])
            one.append(run_audit(work / "many", work / "out")[0])
            two.append(run_audit(work / "many", work / "out", "--workers", "2")[0])
            begin = time.perf_counter()
            for content in contents:
                orjson.loads(content)
            parse.append(time.perf_counter() - begin)
        alone = [o - s for o, s in zip(one, start, strict=True)]
        pair = [t - s for t, s in zip(two, start_two, strict=True)]  # workers start up as well
        return [
            {
                "what": "whole audit of SA-1B-shaped JSON, one process, start-up aside",
                "unit": "times orjson.loads of the same bytes",
                "value": median(a / p for a, p in zip(alone, parse, strict=True)),
                "goal": "at most 10, aim 6",
                "detail": f"{median(alone):.1f} s against {median(parse):.2f} s for "
                f"{len(contents) * 100} masks in {sum(map(len, contents)) / 1e6:.0f} MB; "
                f"with start-up and report {median(one):.1f} s for {images * 100} masks",
            },
            {
                "what": "the same with two workers",
                "unit": "times as fast as one, start-up aside",
                "value": median(a / b for a, b in zip(alone, pair, strict=True)),
                "goal": "at least 1.7",
                "detail": f"{median(two):.1f} s against {median(one):.1f} s in all, on "
                f"{os.cpu_count()} cores",
            },
        ]


def memory() -> list[Row]:
    """Peak memory of auditing one COCO file of one and of four million masks."""
    rows = []
    peaks = {}
    for millions in (1, 4):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "instances.json"
            write_coco(file, millions * 1_000_000)
            seconds, peaks[millions] = run_audit(file, Path(folder) / "out")
            rows.append(
                {
                    "what": f"one COCO file of {millions} million masks, any order",
                    "unit": "MB at the peak",
                    "value": peaks[millions],
                    "goal": "under 1500",
                    "detail": f"{seconds:.0f} s, file of {file.stat().st_size / 1e6:.0f} MB",
                }
            )
    growth = {
        "what": "growth of the peak from one to four million masks",
        "unit": "times",
        "value": peaks[4] / peaks[1],
        "goal": "flat",
        "detail": "",
    }
    return [*rows, growth]


def start() -> list[Row]:
    """Start-up of the command line and of the package."""
    rows = []
    for what, command in (
        ("curate --help", ["-m", "curate", "--help"]),
        ("import curate", ["-c", "import curate"]),
    ):
        times = []
        for _ in range(11):
            begin = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - begin)
        rows.append(
            {
                "what": what,
                "unit": "s",
                "value": median(times),
                "goal": "under 0.3",
                "detail": f"{min(times):.2f} to {max(times):.2f}",
            }
        )
    return rows


def cpu_of(*words: str, status: int = 0) -> float:
    """Run curate in a process of its own; return the processor's seconds, the system's aside."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    command = [sys.executable, "-m", "curate", *words]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == status, done.stderr
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def small() -> list[Row]:
    """What a command costs where there is little to do, on the demo's 24 images and 421 masks."""
    import curate

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        cpu_of("demo", "--out", str(home / "demo"))
        source, seen = home / "demo" / "dataset" / "instances.json", str(home / "demo" / "audit")
        page = str(home / "report.html")

        def audit_of() -> float:
            shutil.rmtree(home / "out", ignore_errors=True)
            return cpu_of("audit", str(source), "--images", "none", "--out", str(home / "out"))

        def report_of() -> float:
            begin = time.process_time()
            curate.report(seen, page)
            return time.process_time() - begin

        measured: list[tuple[str, str, Callable[[], float]]] = [
            ("a small audit without pictures", "at most 2.5", audit_of),
            ("curate status", "at most 1.5", lambda: cpu_of("status", seen)),
            ("a refusal", "at most 0.5", lambda: cpu_of("status", page, status=2)),
            ("curate report, with pictures", "", lambda: cpu_of("report", seen, "--out", page)),
            ("the same report, in a process that has written it before", "", report_of),
        ]
        times: dict[str, list[float]] = {what: [] for what, _, _ in measured}
        for round_number in range(6):
            for what, _, measure in measured:
                spent = measure()
                if round_number:  # the first one is the warm-up
                    times[what].append(spent)
    return [
        {
            "what": f"{what}: time of the processor",
            "unit": "s",
            "value": median(times[what]),
            "goal": goal,
            "detail": f"{min(times[what]):.2f} to {max(times[what]):.2f}",
        }
        for what, goal, _ in measured
    ]


STUDIES = {
    "kernels": kernels,
    "audit": audit,
    "memory": memory,
    "start": start,
    "small": small,
    "stability": stability.rows,
    "generation": generation.rows,
}


def main(names: list[str]) -> None:
    """Run the named studies, print their rows and keep those of the others in results.csv."""
    path = HERE / "results.csv"
    known = list(csv.DictReader(path.open())) if path.exists() else []
    for name in names or list(STUDIES):
        fresh = [{"study": name, **row, "value": f"{row['value']:.3g}"} for row in STUDIES[name]()]
        for row in fresh:
            print(
                f"{row['what']}: {row['value']} {row['unit']} (goal {row['goal']}; {row['detail']})"
            )
        known = [row for row in known if row["study"] != name] + fresh
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["study", "what", "value", "unit", "goal", "detail"])
            writer.writeheader()
            writer.writerows(known)


if __name__ == "__main__":
    main(sys.argv[1:])
