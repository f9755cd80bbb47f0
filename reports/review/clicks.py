"""How long after a click the redrawn mask is seen, in a real browser, with a SAM of ViT-B's size.

The weights are random: they take the time of trained ones, and draw nonsense. A JPEG of
2000 x 3000 px is audited and served with ``curate review --segmenter``; a mask is opened in the
editor, and clicked again and again. The first clicks, while the segmenter is loaded and the picture
embedded, do not count; of the others the time is taken from the pointer's time stamp until the
frame after the mask was painted.

    python reports/review/clicks.py

It needs the models extra. Writes clicks.csv and its table in README.md.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from latency import BROWSERS, HEIGHT, WIDTH, summary, write_dataset

import curate

HERE = Path(__file__).resolve().parent
sys.path.insert(2, str(HERE.parent / "_common"))

from filling import fill_page, table  # noqa: E402

GOAL_MS = 300
WARM_UP = 4
LISTEN = """
window.clicked = [];
window.timeClick = () => new Promise((resolve) => {
  const words = document.getElementById('editor-words');
  let asked = false;
  addEventListener('pointerdown', (event) => {
    const watch = new MutationObserver(() => {
      if (!words.textContent.endsWith('px')) { asked = true; return; }
      if (!asked) return;
      watch.disconnect();
      requestAnimationFrame(() => {
        const after = new MessageChannel();
        after.port1.onmessage = () => resolve(performance.now() - event.timeStamp);
        after.port2.postMessage(0);
      });
    });
    watch.observe(words, { childList: true, characterData: true, subtree: true });
  }, { once: true, capture: true });
}).then((ms) => window.clicked.push(ms));
"""


def save_segmenter(folder: Path) -> Path:
    """Save a SAM of the size of ViT-B, with random weights."""
    import torch
    import transformers

    torch.manual_seed(0)
    transformers.SamModel(transformers.SamConfig()).save_pretrained(folder)
    transformers.SamProcessor(transformers.SamImageProcessor()).save_pretrained(folder)
    return folder


def serve(audit: Path, segmenter: Path) -> tuple[subprocess.Popen[str], str]:
    """Start the server with a segmenter on the CPU; return its process and address."""
    command = [sys.executable, "-m", "curate", "review", str(audit), "--port", "0", "--no-open"]
    command += ["--reviewer", "clock", "--segmenter", str(segmenter), "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found is not None
    return process, found[0]


def click(page: Any, clicks: int) -> list[float]:
    """Open a mask in the editor and click on it; return milliseconds, without those to warm up."""
    page.wait_for_selector("#stage[data-ready='true']")
    page.keyboard.press("f")
    page.wait_for_selector("body[data-view='editor']")
    page.wait_for_timeout(15000)  # the segmenter is loaded beside the page
    box = page.locator("#canvas").bounding_box()
    page.keyboard.press("c")
    for k in range(WARM_UP + clicks):
        page.evaluate("void timeClick()")
        at = [box["x"] + box["width"] / 2 + 7 * (k % 5), box["y"] + box["height"] / 2 + 5 * (k % 7)]
        page.mouse.click(*at)
        for _ in range(3000):
            if page.evaluate("clicked.length") > k:
                break
            page.wait_for_timeout(100)
        page.wait_for_timeout(200)
        page.keyboard.press("c")  # the next click is one alone
    return list(page.evaluate("clicked"))[WARM_UP:]


def run(given: argparse.Namespace) -> list[float]:
    """Measure the clicks."""
    from playwright.sync_api import sync_playwright

    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    rule = {"when": "area_px > 0", "action": "review", "reason": "shown", "always": True}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = write_dataset(folder, 1, 10, (given.height, given.width))
        audit = curate.audit(source, folder / "audit", images=folder, policy={"rule": [rule]})
        process, address = serve(audit.path, save_segmenter(folder / "sam"))
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=program, args=flags)
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                page.add_init_script("localStorage['curate-reviewer'] = 'clock';" + LISTEN)
                page.goto(address)
                times = click(page, given.clicks)
                browser.close()
        finally:
            process.kill()
            process.wait()
    return times


def clicks(results: pd.DataFrame) -> str:
    """Return the table of clicks."""
    head = ["clicks", "median", "95th percentile", "slowest", "number"]
    rows = [
        [row.clicks, *(f"{ms:,.0f} ms" for ms in (row.median_ms, row.p95_ms, row.max_ms)), row.n]
        for row in results.astype({"n": str}).itertuples()
    ]
    return table(head, rows)


def main() -> None:
    """Read the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--height", type=int, default=HEIGHT, help="of the image, in pixels")
    parser.add_argument("--width", type=int, default=WIDTH, help="of the image, in pixels")
    given = parser.parse_args()
    times = run(given)
    if len(times) < given.clicks:
        sys.exit(f"only {len(times)} of {given.clicks} clicks were answered")
    found = {"with the embedding there": summary(times)}
    for name, row in found.items():
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    print(f"goal: a median under {GOAL_MS} ms")
    results = pd.DataFrame([{"clicks": name, **row} for name, row in found.items()])
    results.to_csv(HERE / "clicks.csv", index=False)
    fill_page(HERE / "README.md", results, [clicks])


if __name__ == "__main__":
    main()
