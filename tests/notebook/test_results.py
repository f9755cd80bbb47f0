"""Results of verbs say what they hold: in a terminal by their text, in a notebook with tables."""

from __future__ import annotations

import ast
import html
import json
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from boxes import dataset
from counted_audit import boxes

import curate
from curate.common.readable_result import MOST_ROWS, ReadableResult
from curate.store.audit import StoredAudit

PACKAGE = Path(curate.__file__).parent


def classes_with_a_text() -> list[tuple[str, str]]:
    """Return module and name of the results: public classes that derive from ReadableResult."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and "ReadableResult" in map(ast.unparse, node.bases):
                found.append((module, node.name))
    return found


@pytest.mark.parametrize(("module", "name"), classes_with_a_text())
def test_a_result_has_its_text_for_its_repr(module: str, name: str) -> None:
    assert getattr(import_module(module), name).__repr__ is ReadableResult.__repr__


def test_there_are_results_of_all_verbs_that_measure_or_write() -> None:
    names = {name for _, name in classes_with_a_text()}
    assert {"Difference", "Comparison", "Estimate", "Agreement", "Certificate"} <= names
    assert {"PruneResult", "WriteResult", "LearningResult", "ImportResult"} <= names


def test_a_difference_shows_its_masks_as_a_table_and_escapes_them(tmp_path: Path) -> None:
    first, second = dataset(), dataset()
    del second["annotations"][0]
    for one in (first, second):
        one["images"][0]["file_name"] = "<script>.png"
    for name, one in (("a", first), ("b", second)):
        (tmp_path / f"{name}.json").write_text(json.dumps(one))
    found = curate.diff(tmp_path / "a.json", tmp_path / "b.json")
    assert repr(found) == found.text()
    page = found._repr_html_()
    assert page is not None
    assert "<p>changed masks</p><table" in page
    assert "&lt;script&gt;.png" in page
    assert "<script>" not in page
    same = curate.diff(tmp_path / "a.json", tmp_path / "a.json")
    assert same._repr_html_() is None


def test_people_who_agree_or_not_are_tables(counted: StoredAudit) -> None:
    found = curate.agreement(counted)
    page = found._repr_html_()
    assert page is not None
    assert "ann &lt;b&gt;" in page
    assert page.count("<table") == 2


def test_of_a_long_table_the_first_rows_are_shown_and_all_are_counted() -> None:
    class Long(ReadableResult):
        def text(self) -> str:
            return "a & b"

        def _tables(self) -> dict[str, pd.DataFrame]:
            return {"rows": pd.DataFrame({"n": range(1234)}), "none": pd.DataFrame()}

    page = Long()._repr_html_()
    assert page is not None
    assert page.startswith("<pre>a &amp; b</pre><p>rows, 20 of 1,234</p>")
    assert page.count("<tr") == 1 + MOST_ROWS
    assert "none" not in page


def test_a_dry_run_says_what_it_would_do(tmp_path: Path) -> None:
    (tmp_path / "source.json").write_text(json.dumps(boxes()))
    audit = curate.audit(tmp_path / "source.json", tmp_path / "audit")
    assert repr(curate.prune(audit)).startswith("would drop 2 of 14 masks")


def test_a_report_stands_in_a_frame_that_holds_it_whole(counted: StoredAudit) -> None:
    audit = curate.open_audit(counted.path)
    view = audit.report(height=300)
    frame = view._repr_html_()
    assert frame.startswith('<iframe title="report of audit" srcdoc="&lt;!doctype html&gt;')
    assert html.unescape(frame.split('srcdoc="')[1].split('"')[0]) == view.page
    assert 'height="300"' in frame
    assert "People decided on <b>6</b> masks" in view.page
