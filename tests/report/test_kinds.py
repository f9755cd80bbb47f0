"""Kinds of error that a verifier names, in the report: counts, examples, a filter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scenes import HandMade
from test_browser import Opened

from curate.reporting.error_kinds import find_error_kinds
from curate.reporting.page import write_report
from curate.reporting.queries import ReportSource
from curate.store.audit import open_audit

KINDS = ("too large", "<b>in the wrong place</b>")


@pytest.fixture(scope="module")
def verified(
    scenes: tuple[HandMade, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[HandMade, Path]:
    """The drawn audit with what a verifier says, and its report."""
    folder = tmp_path_factory.mktemp("verified") / "audit"
    shutil.copytree(scenes[0].path, folder)
    part = folder / "masks" / "part-00000.parquet"
    masks = pd.read_parquet(part)
    full = masks.index[masks["area_px"] > 0]
    masks["verifier_score"] = 0.9
    masks.loc[full[:12], "verifier_score"] = [k / 100 for k in range(12)]
    masks["verifier_kind"] = pd.Series(pd.NA, masks.index, dtype="string")
    masks.loc[full[:9], "verifier_kind"] = KINDS[0]
    masks.loc[full[9:12], "verifier_kind"] = KINDS[1]
    masks.to_parquet(part, index=False)
    audit = open_audit(folder)
    path = folder / "report.html"
    write_report(audit, [path, path.with_suffix(".json")], images=scenes[1])
    return audit, path


def test_kinds_are_counted_and_shown_by_their_worst_masks(verified: tuple[HandMade, Path]) -> None:
    audit, page = verified
    first, second = find_error_kinds(ReportSource(audit))
    assert (first.name, first.masks, second.name, second.masks) == (KINDS[0], 9, KINDS[1], 3)
    worst = audit.query(
        "select mask_id, image_id, verifier_score s from masks where verifier_kind = 'too large' "
        "order by s"
    )
    assert first.examples[0] == worst["mask_id"][0]
    assert len(first.examples) == 4
    assert first.filter == "#?kind=too+large"
    assert first.link.endswith("/#kind=too+large")
    values = json.loads(page.with_suffix(".json").read_text())
    assert values["error_kinds"][0]["examples"] == first.examples
    cards = {card["mask_id"] for card in values["cards"]}
    assert {*first.examples, *second.examples} <= cards


def test_without_a_verifier_nothing_is_said_of_kinds(scenes: tuple[HandMade, Path]) -> None:
    assert find_error_kinds(ReportSource(scenes[0])) == []


def test_a_kind_filters_gallery_and_table(browser: Any, verified: tuple[HandMade, Path]) -> None:
    opened = Opened(browser, verified[1])
    page = opened.page
    assert page.locator("#t-kinds tbody tr").count() == 2
    assert page.locator("#t-kinds tbody tr:first-child .thumbs svg").count() == 4
    page.locator("#t-kinds a", has_text=KINDS[0]).press("Enter")
    page.locator("#g-chips button", has_text="kind: too large").wait_for()
    assert page.input_value("#g-kind") == KINDS[0]
    wanted = set(
        verified[0].query(f"select mask_id from masks where verifier_kind = '{KINDS[0]}'")[
            "mask_id"
        ]
    )
    shown = page.locator(".card[data-mask]:visible")
    ids = {int(shown.nth(k).get_attribute("data-mask") or 0) for k in range(shown.count())}
    assert ids
    assert ids <= wanted
    page.select_option("#g-kind", KINDS[1])
    assert "kind=%3Cb%3E" in page.evaluate("location.hash")
    page.select_option("#g-kind", "")
    assert "kind" not in page.evaluate("location.hash")
    assert opened.complaints == []
    opened.context.close()
