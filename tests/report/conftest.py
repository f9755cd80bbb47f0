from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curate.report import write_report

sys.path.insert(0, str(Path(__file__).parent))

from scenes import HandMade, write_scenes


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> tuple[HandMade, Path]:
    """A drawn audit and the folder of its pictures."""
    return write_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="session")
def report(scenes: tuple[HandMade, Path]) -> Path:
    """The report of the drawn audit."""
    audit, pictures = scenes
    path = audit.path / "report.html"
    write_report(audit, path, images=pictures)
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real browser; the tests that need one fail where there is none, they are not skipped."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.fail("the report's tests need a browser: install one, `apt-get install chromium`")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()
