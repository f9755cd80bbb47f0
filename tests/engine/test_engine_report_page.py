"""The page of the engine's report in a real browser: from disk, without a network, any width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hand_ledger import HOSTILE, make_prompts, make_report, make_rows

from curate.engine.engine_report_page import write_engine_report

LOOKS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of a project of some rounds with names of a stranger, and of one just set up."""
    folder = tmp_path_factory.mktemp("pages")
    name = HOSTILE + "x" * 300
    found = {
        "full": make_report(make_rows(), name, make_prompts(name)),
        "empty": make_report([]),
    }
    paths = {kind: folder / f"{kind}.html" for kind in found}
    for kind, values in found.items():
        write_engine_report(values, [paths[kind]])
    return paths


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("kind", ["full", "empty"])
def test_the_page_says_nothing_and_scrolls_one_way(
    browser: Any, pages: dict[str, Path], kind: str, look: str
) -> None:
    context = browser.new_context(offline=True, **LOOKS[look])
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url[:99]))
    page.goto(pages[kind].as_uri())
    assert page.evaluate("window.hacked") is None
    width = LOOKS[look]["viewport"]["width"]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    drawn = page.eval_on_selector_all(".plot svg", "(all) => all.map((one) => one.getBBox().width)")
    assert len(drawn) == (6 if kind == "full" else 0)
    assert all(one > 300 for one in drawn)
    commands = page.locator(".command").all_inner_texts()
    assert commands
    for name in ("#left", "#rounds"):
        assert page.locator(f".rail a[href='{name}']").count() == 1
        assert page.locator(name).count() == 1
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 720, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") == 720
    context.close()
    assert complaints == []
