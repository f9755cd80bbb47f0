"""Size of the report, the time it takes beside the audit's, and when its page can be used.

    python reports/performance/report_page.py                  100,000 masks
    python reports/performance/report_page.py 100000 1000000   these numbers of masks

COCO files are drawn by ``shapes.py`` and audited by the real command. The report is then made again
alone, in a process of its own whose imports do not count: its share is of the audit that made it
too. The page is opened in Chromium, from the disk, and searched. For its size the report is
also made with pictures: 24 drawn ones, under the names of all images.

Writes report_page.csv, keeping rows of other numbers of masks, and its table in README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter
from shapes import write_coco

HERE = Path(__file__).resolve().parent
sys.path[2:2] = [str(HERE.parent / "_common"), str(HERE.parents[1] / "tests")]

from browsers import launch_chromium  # noqa: E402
from filling import fill_page, table  # noqa: E402

PICTURES = 24
PER_IMAGE = 20
LOADS = 5
MAKE = """
import json, sys, time
import curate, curate.reporting.report_file, curate.plots.figure_style
start, cpu = time.perf_counter(), time.process_time()
curate.report(sys.argv[1], images=sys.argv[2] if len(sys.argv) > 2 else None)
print(json.dumps([time.perf_counter() - start, time.process_time() - cpu]))
"""
SEARCH = """
() => new Promise((resolve) => {
  const start = performance.now();
  const field = document.getElementById('g-text');
  field.value = '7';
  field.dispatchEvent(new Event('input', { bubbles: true }));
  requestAnimationFrame(() => {
    const after = new MessageChannel();
    after.port1.onmessage = () => resolve([start, performance.now()]);
    after.port2.postMessage(0);
  });
})
"""


def make_audit(source: Path, out: Path) -> tuple[float, float]:
    """Run the audit; return its seconds on the clock and on the processor."""
    command = [sys.executable, "-m", "curate", "audit", str(source), "--out", str(out)]
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user + after.children_system
    return wall, cpu - before.children_user - before.children_system


def make_report(audit: Path, *images: str) -> tuple[float, float]:
    """Make the report again; return its seconds on the clock and on the processor."""
    command = [sys.executable, "-c", MAKE, str(audit), *images]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall, cpu = json.loads(done.stdout.splitlines()[-1])
    return wall, cpu


def draw_pictures(folder: Path, images: int) -> Path:
    """Write JPEGs of noise under the names of all images, most of them links."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(1, images + 1):
        path = folder / f"{number - 1:09d}.jpg"
        if number <= PICTURES:
            noise = Image.fromarray(rng.integers(0, 255, (480, 640, 3), dtype=np.uint8))
            noise.filter(ImageFilter.GaussianBlur(3)).save(path, quality=85)
        else:
            os.link(folder / f"{number % PICTURES:09d}.jpg", path)
    return folder


def open_page(report: Path) -> tuple[float, float]:
    """Load a report in Chromium; return seconds until a search is answered, and of the search.

    The search comes in the first moment in which the page takes one, after it is loaded.
    """
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright)
        for _ in range(LOADS):
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(report.as_uri(), wait_until="load")
            found.append(page.evaluate(SEARCH))
            page.close()
        browser.close()
    answered = [done for _, done in found]  # the clock of a page starts with its loading
    return float(np.median(answered)) / 1e3, float(np.median([b - a for a, b in found])) / 1e3


def measure(masks: int) -> dict[str, Any]:
    """Return a row of the table."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_coco(work / "masks.json", masks, PER_IMAGE)
        audit_s, audit_cpu_s = make_audit(work / "masks.json", work / "audit")
        report_s, report_cpu_s = make_report(work / "audit")
        size = (work / "audit" / "report.html").stat().st_size
        row = {"masks": masks, "audit_s": audit_s, "audit_cpu_s": audit_cpu_s}
        row |= {"report_s": report_s, "report_cpu_s": report_cpu_s, "bytes": size}
        make_report(work / "audit", str(draw_pictures(work / "pictures", masks // PER_IMAGE)))
        page = work / "audit" / "report.html"
        usable_s, search_s = open_page(page)
        row |= {"bytes_with_pictures": page.stat().st_size}
        return row | {"usable_s": usable_s, "search_s": search_s}


def report_page(results: pd.DataFrame) -> str:
    """Return the table."""
    head = ["masks", "audit", "of it the report", "share", "page", "with pictures", "usable after"]
    rows = [
        [
            f"{row['masks']:,}",
            f"{row['audit_cpu_s']:.1f} s",
            f"{row['report_cpu_s']:.1f} s",
            f"{row['report_cpu_s'] / row['audit_cpu_s']:.0%}",
            f"{row['bytes'] / 1e6:.2f} MB",
            f"{row['bytes_with_pictures'] / 1e6:.2f} MB",
            f"{row['usable_s']:.2f} s",
        ]
        for row in results.to_dict("records")
    ]
    return table(head, rows)


def main() -> None:
    """Read the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("masks", type=int, nargs="*", default=[100_000])
    path = HERE / "report_page.csv"
    for masks in parser.parse_args().masks:
        row = measure(masks)
        print(", ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
        known = pd.read_csv(path) if path.exists() else pd.DataFrame()
        if len(known):
            known = known[known["masks"] != masks]
        results = pd.concat([known, pd.DataFrame([row])]).sort_values("masks").round(4)
        results.to_csv(path, index=False)
        fill_page(HERE / "README.md", results, [report_page])


if __name__ == "__main__":
    main()
