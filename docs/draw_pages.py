"""Draw the pictures of the report and of the review page, of the demo's own audit.

    python docs/draw_pages.py

Makes the demo, opens its report and its review page in a Chromium, and saves ``docs/report.jpg``
and ``docs/review.jpg``. The demo draws its scenes itself, so nobody else's picture is published.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

from draw_pictures import audit_demo
from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
sys.path.insert(1, str(HERE.parent / "reports" / "review"))

from latency import BROWSERS  # noqa: E402
from server import Server  # noqa: E402

REASON = "Does not contain the point it was prompted with"
"""Why the mask that the picture of the review page shows is shown."""

MOST_SKIPPED = 60
"""Masks that are skipped at most to find it."""

IN_GALLERY = "it has holes (… px in all, quality …)"
"""The reason of the masks of the gallery on the picture of the report."""

SHOWN = '#stage[data-ready="true"]'


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
        _, audit = audit_demo(Path(work))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
            page = browser.new_page(reduced_motion="reduce", bypass_csp=True)
            draw_report(page, audit.path)
            server = Server(audit.path)
            server.start()
            draw_review(page, f"http://127.0.0.1:{server.port}")
            server.kill()
            browser.close()


if __name__ == "__main__":
    main()
