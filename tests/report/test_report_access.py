"""Reports and comparisons for everybody: axe-core, nothing that jumps, a phone's width, paper."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scenes import HandMade
from test_browser import DESKTOP, PHONE, Opened, scroll_through

import curate
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.reporting.page import write_report
from curate.store.audit_files import write_info
from curate.store.audit_records import SourceRecord

LOOKS = [
    pytest.param({"color_scheme": "light", "viewport": DESKTOP}, id="light"),
    pytest.param({"color_scheme": "dark", "viewport": PHONE}, id="dark-phone"),
]

WATCH_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    const moved = entry.sources.map(({ node }) => (node?.outerHTML ?? "").slice(0, 80));
    if (!entry.hadRecentInput) window.shifts.push(`${entry.value}: ${moved}`);
  }
}).observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture(scope="module")
def worked(scenes: tuple[HandMade, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the drawn audit on which people decided in every way, with its report."""
    audit, pictures = scenes
    path = tmp_path_factory.mktemp("worked") / "audit"
    shutil.copytree(audit.path, path)
    source: SourceRecord = {**audit.info.source, "fingerprint": "0123456789abcdef" * 2}
    write_info(path, replace(audit.info, source=source))
    masks = audit.query("select mask_id, segmentation from masks order by rank limit 12")
    actions = ["accept", "reject", "fix"] * 4
    decided = pd.DataFrame({"mask_id": masks["mask_id"], "action": actions, "reviewer": "ann"})
    drawn = [bytes(counts) for counts in masks["segmentation"]]
    fixes = [x if action == "fix" else None for x, action in zip(drawn, actions, strict=True)]
    decided["segmentation"] = pd.Series(fixes, dtype=object)
    decided["category"] = ["blob 1" if action == "fix" else None for action in actions]
    decided["seconds"] = 2.5
    open_reviews(open_audit(path), create=True).add(decided, origin="by hand")
    write_report(open_audit(path), path / "report.html", images=pictures)
    return path


@pytest.fixture(scope="module")
def pages(
    scenes: tuple[HandMade, Path], report: Path, worked: Path, tmp_path_factory: Any
) -> dict[str, Path]:
    """Every page that is written to a file."""
    compared = tmp_path_factory.mktemp("compared") / "compare.html"
    curate.compare(scenes[0].path, worked, html=compared, images=scenes[1])
    return {"new": report, "worked": worked / "report.html", "compared": compared}


def serious(opened: Opened) -> list[str]:
    """Return what axe-core finds serious."""
    opened.page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = opened.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", ["new", "worked", "compared"])
def test_nothing_is_serious_jumps_or_complains(
    browser: Any, pages: dict[str, Path], name: str, look: dict[str, Any]
) -> None:
    opened = Opened(browser, pages[name], script=WATCH_SHIFTS, **look)
    scroll_through(opened.page)
    assert opened.page.evaluate("window.shifts") == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= look["viewport"]["width"]
    assert serious(opened) == []
    if name != "compared":
        opened.page.locator(".card[data-mask] .mat").first.click()
        assert serious(opened) == []
    assert opened.complaints == []
    assert opened.page.evaluate("window.hacked") is None
    opened.context.close()


def test_no_command_is_cut_off(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, viewport=PHONE)
    commands = opened.page.locator("code.command")
    widths = commands.evaluate_all("(all) => all.map((e) => [e.scrollWidth, e.clientWidth])")
    assert widths
    assert [pair for pair in widths if pair[0] > pair[1]] == []
    opened.context.close()


def test_filters_are_cleared_once_there_are_some(browser: Any, report: Path) -> None:
    opened = Opened(browser, report)
    clear = opened.page.locator("#m-clear")
    assert not clear.is_visible()
    opened.page.select_option("#g-reason", label="falls into 2 pieces")
    clear.click()
    assert not clear.is_visible()
    assert opened.page.input_value("#g-reason") == ""
    opened.context.close()
