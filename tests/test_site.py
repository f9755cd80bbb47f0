"""The site of the docs, as people open it: from a disk, without a network, its search included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(out)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_the_site_works_from_a_disk(site: Path, browser: Any) -> None:
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))

    page.goto((site / "index.html").as_uri())
    page.wait_for_function("[...document.images].every((i) => i.complete && i.naturalWidth)")
    page.keyboard.press("/")
    page.keyboard.type("honeypot")
    page.wait_for_selector(".md-search-result__item")
    assert "matching documents" in page.locator(".md-search-result__meta").inner_text()

    page.goto((site / "reference" / "signals.html").as_uri() + "#hole_score")
    assert page.locator("#hole_score").is_visible()
    assert page.locator("h3").count() > 30
    page.locator("a", has_text="Changes").first.click()
    page.wait_for_selector("h1:has-text('Changelog')")
    assert not complaints
    assert [address for address in asked if not address.startswith(("file:", "data:"))] == []
    context.close()
