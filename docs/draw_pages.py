"""Draw the pictures of the report and of the review page, of the demo's own audit.

    python docs/draw_pages.py

Makes the demo, opens its report and its review page in a Chromium, and saves ``docs/report.jpg``
and ``docs/review.jpg``. The demo draws its scenes itself, so nobody else's picture is published.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

import curate
from curate.demo_dataset import make_demo

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
REASON = "Does not contain the point it was prompted with"
"""Why the mask that the picture of the review page shows is shown."""

MOST_SKIPPED = 60
"""Masks that are skipped at most to find it."""

IN_GALLERY = "it has holes (… px in all, quality …)"
"""The reason of the masks of the gallery on the picture of the report."""

SHOWN = '#stage[data-ready="true"]'


@contextmanager
def serve(audit: Path) -> Iterator[str]:
    """Run ``curate review`` on a free port, and give its address."""
    command = [sys.executable, "-m", "curate", "review", str(audit), "--no-open", "--port", "0"]
    environment = os.environ | {"XDG_STATE_HOME": str(audit.parent / "state")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout
        try:
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()


def take_picture(page: Page) -> Image.Image:
    """Return what the window shows."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def save(picture: Image.Image, name: str) -> None:
    """Save a picture as a JPEG of good quality."""
    picture.save(HERE / name, quality=84, optimize=True)
    print(HERE / name, picture.size)


def draw_report(page: Page, audit: Path) -> None:
    """Draw the top of the report, and below it the top of its gallery."""
    page.goto((audit / "report.html").as_uri())
    page.select_option("#gallery select", label=IN_GALLERY)
    parts = []
    for name, height in (("header", 510), ("#gallery h2", 760)):
        page.set_viewport_size({"width": 1180, "height": height})
        page.locator(name).first.evaluate(
            "(node) => scrollTo(0, node.getBoundingClientRect().top + scrollY - 40)"
        )
        page.wait_for_load_state("networkidle")
        parts.append(take_picture(page))
        page.add_style_tag(content="nav { display: none }")
    whole = Image.new("RGB", (parts[0].width, sum(part.height for part in parts)))
    for k, part in enumerate(parts):
        whole.paste(part, (0, k * parts[0].height))
    save(whole, "report.jpg")


def draw_review(page: Page, address: str) -> None:
    """Draw a mask on the review page."""
    page.set_viewport_size({"width": 1360, "height": 850})
    page.add_init_script("localStorage['curate-reviewer'] ??= 'Ann'")
    page.goto(address)
    page.wait_for_selector(SHOWN)
    for _ in range(MOST_SKIPPED):
        if REASON in page.inner_text("body"):
            break
        page.keyboard.press("s")
        page.wait_for_selector(SHOWN)
    save(take_picture(page), "review.jpg")


def main() -> None:
    """Make the demo and draw its pages."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    with tempfile.TemporaryDirectory() as work:
        data = make_demo(Path(work) / "demo")
        audit = curate.audit(
            data.source,
            Path(work) / "audit",
            images=data.pictures,
            detections=data.detections,
            compare={"second": data.second_annotator},
            soft_masks=data.soft_masks,
            deep=True,
        ).path
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
            page = browser.new_page(reduced_motion="reduce", bypass_csp=True)
            draw_report(page, audit)
            with serve(audit) as address:
                draw_review(page, address)
            browser.close()


if __name__ == "__main__":
    main()
