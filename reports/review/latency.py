"""How long after a key press the next mask is seen, in a real browser, on large images.

Draws JPEGs of 2000 x 3000 px, audits them, serves them with ``curate review``, and presses keys in
Chromium: one after another as a quick person does, then in bursts. Two times are taken of each
press: until the frame after the swap was handed over with a decoded picture (our own clock, from
the key's time stamp), and until the browser says that it was on the screen (Event Timing, in steps
of 8 ms).

    python reports/review/latency.py
    python reports/review/latency.py --height 10000 --width 10000 --images 4 --level whole

Writes latency.csv and its table in README.md; of other sizes and levels it prints the times alone.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFilter

import curate
from curate.rle import bbox, encode_counts, from_dense

HERE = Path(__file__).resolve().parent
sys.path.insert(2, str(HERE.parent / "_common"))

from filling import fill_page, table  # noqa: E402

HEIGHT, WIDTH = 2000, 3000
LEVELS = {"window": 0, "near": 1, "whole": 2}
"""How often Z is pressed first."""

Image.MAX_IMAGE_PIXELS = None  # the pictures are our own
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LISTEN = """
window.pressed = []; window.shown = [];
new PerformanceObserver((list) => {
  for (const e of list.getEntries()) if (e.name === 'keydown') window.shown.push(e.duration);
}).observe({ type: 'event', durationThreshold: 16 });
addEventListener('keydown', (event) => {
  if (!'ar'.includes(event.key)) return;
  const stage = document.getElementById('stage'), before = stage.dataset.item;
  const start = event.timeStamp;
  const look = () => {
    const image = document.querySelector('#panel-mine img');
    const here = stage.dataset.item !== before && stage.dataset.ready === 'true';
    if (!here || !image || !image.complete) return requestAnimationFrame(look);
    image.decode().then(() => requestAnimationFrame(() => {
      const after = new MessageChannel();
      after.port1.onmessage = () => window.pressed.push(performance.now() - start);
      after.port2.postMessage(0);
    }));
  };
  setTimeout(look, 0);
}, true);
"""


def draw(
    rng: np.random.Generator, path: Path, masks: int, size: tuple[int, int]
) -> list[dict[str, Any]]:
    """Draw one picture of bright blobs and return an annotation of each."""
    height, width = size
    ground = rng.normal(80, 9, (height // 8, width // 8, 3)).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(ground).resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    found = []
    for _ in range(masks):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 40))
        radius = rng.uniform(70, 380) * rng.uniform(0.85, 1.15, 40)
        x, y = rng.uniform(400, width - 400), rng.uniform(400, height - 400)
        corners = list(zip(x + radius * np.cos(angles), y + radius * np.sin(angles), strict=True))
        pen.polygon(corners, fill=tuple(int(c) for c in rng.integers(90, 240, 3)))
        flat = Image.new("L", (width, height))
        ImageDraw.Draw(flat).polygon(corners, fill=1)
        runs = from_dense(np.asarray(flat))
        counts = encode_counts(runs).to_pylist()[0].decode()
        box = [float(v) for v in bbox(runs)[0]]
        found.append({"counts": counts, "bbox": box, "area": int((runs.ends - runs.starts).sum())})
    picture.filter(ImageFilter.GaussianBlur(1.5)).save(path, quality=90)
    return found


def write_dataset(
    folder: Path, images: int, masks: int, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> Path:
    """Write a COCO file and its pictures."""
    rng = np.random.default_rng(1)
    coco: dict[str, Any] = {"images": [], "annotations": []}
    coco["categories"] = [{"id": 1, "name": "blob"}]
    for number in range(1, images + 1):
        name = f"{number:03}.jpg"
        coco["images"].append(
            {"id": number, "file_name": name, "height": size[0], "width": size[1]}
        )
        for each in draw(rng, folder / name, masks, size):
            segmentation = {"size": list(size), "counts": each.pop("counts")}
            row = each | {"id": len(coco["annotations"]) + 1, "image_id": number}
            row |= {"category_id": 1, "iscrowd": 0, "segmentation": segmentation}
            coco["annotations"].append(row)
    (folder / "instances.json").write_text(json.dumps(coco))
    return folder / "instances.json"


def serve(audit: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    """Start the server; return its process and address."""
    command = [sys.executable, "-m", "curate", "review", str(audit), "--port", "0", *options]
    process = subprocess.Popen(
        [*command, "--no-open", "--reviewer", "clock"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found is not None
    return process, found[0]


def press(page: Any, presses: int, pause_ms: int, burst: int, level: str) -> dict[str, list[float]]:
    """Press keys one by one, then ``burst`` at a time; return milliseconds."""
    ready = "#stage[data-ready='true']"
    page.wait_for_selector(ready)
    page.wait_for_timeout(3000)
    for _ in range(LEVELS[level]):
        page.keyboard.press("z")
        page.wait_for_timeout(3000)
    times: dict[str, list[float]] = {}
    for name, group, wait in (("steady", 1, pause_ms), ("burst", burst, 6000)):
        page.evaluate("pressed.length = 0; shown.length = 0")
        for k in range(presses if group == 1 else 4 * burst):
            page.wait_for_selector(ready)
            page.keyboard.press("ar"[k % 2])
            page.wait_for_timeout(wait if (k + 1) % group == 0 else 30)
        page.wait_for_timeout(1000)
        times[name] = page.evaluate("pressed")
        times[f"{name}, on the screen"] = page.evaluate("shown")
    return times


@contextmanager
def opened_page(audit: Path, script: str, *options: str) -> Iterator[Any]:
    """Serve an audit, and open its page in Chromium with a script that was there before it."""
    from playwright.sync_api import sync_playwright

    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    process, address = serve(audit, *options)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=flags)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.add_init_script("localStorage['curate-reviewer'] = 'clock';" + script)
            page.goto(address)
            yield page
            browser.close()
    finally:
        process.kill()
        process.wait()


def make_audit(folder: Path, images: int, masks: int, size: tuple[int, int]) -> Path:
    """Draw pictures and audit them, all masks to be reviewed."""
    # A rule that speaks of all masks is held for a mistake unless it says so.
    rule = {"when": "area_px > 0", "action": "review", "reason": "shown", "always": True}
    source = write_dataset(folder, images, masks, size)
    return curate.audit(source, folder / "audit", images=folder, policy={"rule": [rule]}).path


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Measure, and return median, 95th percentile and number of each time."""
    with tempfile.TemporaryDirectory() as name:
        size = given.height, given.width
        audit = make_audit(Path(name), given.images, given.masks, size)
        with opened_page(audit, LISTEN) as page:
            times = press(page, given.presses, given.pause_ms, given.burst, given.level)
    return {name: summary(values) for name, values in times.items() if values}


def summary(values: list[float]) -> dict[str, float]:
    """Return median, 95th percentile, maximum and number."""
    median, p95 = np.percentile(values, [50, 95])
    return {
        "median_ms": round(float(median), 1),
        "p95_ms": round(float(p95), 1),
        "max_ms": round(max(values), 1),
        "n": len(values),
    }


def latency(results: pd.DataFrame) -> str:
    """Return the table of key presses."""
    return times_table(results, "presses")


def times_table(results: pd.DataFrame, what: str) -> str:
    """Return a table of times, a row a kind; ``what`` is the column of the kinds."""
    head = [what, "median", "95th percentile", "slowest", "number"]
    rows = [
        [
            row[what],
            *(f"{row[name]:.0f} ms" for name in ("median_ms", "p95_ms", "max_ms")),
            row["n"],
        ]
        for row in results.astype({"n": str}).to_dict("records")
    ]
    return table(head, rows)


def main() -> None:
    """Read the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=26)
    parser.add_argument("--masks", type=int, default=10, help="of each image")
    parser.add_argument("--presses", type=int, default=210)
    parser.add_argument("--pause-ms", type=int, default=500, help="between two presses")
    parser.add_argument("--burst", type=int, default=8, help="presses of a burst, 30 ms apart")
    parser.add_argument("--height", type=int, default=HEIGHT, help="of each image, in pixels")
    parser.add_argument("--width", type=int, default=WIDTH, help="of each image, in pixels")
    parser.add_argument("--level", choices=LEVELS, default="window", help="of the zoom")
    given = parser.parse_args()
    found = run(given)
    for name, row in found.items():
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    if (given.height, given.width, given.level) != (HEIGHT, WIDTH, "window"):
        return
    results = pd.DataFrame([{"presses": name, **row} for name, row in found.items()])
    results.to_csv(HERE / "latency.csv", index=False)
    fill_page(HERE / "README.md", results, [latency])


if __name__ == "__main__":
    main()
