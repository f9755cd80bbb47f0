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
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from latency import HEIGHT, WIDTH, make_audit, opened_page, summary, times_table

HERE = Path(__file__).resolve().parent
sys.path.insert(2, str(HERE.parent / "_common"))

from filling import fill_page  # noqa: E402

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
    with tempfile.TemporaryDirectory() as name:
        audit = make_audit(Path(name), 1, 10, (given.height, given.width))
        segmenter = save_segmenter(Path(name) / "sam")
        options = ["--segmenter", str(segmenter), "--device", "cpu"]
        with opened_page(audit, LISTEN, *options) as page:
            return click(page, given.clicks)


def clicks(results: pd.DataFrame) -> str:
    """Return the table of clicks."""
    return times_table(results, "clicks")


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
