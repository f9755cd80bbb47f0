"""The tutorial notebook: its cells run in order, and what ends a cell can be shown."""

from __future__ import annotations

import ast
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from matplotlib import pyplot

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebook.ipynb"


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text())["cells"]
    return found


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; return the value of its last expression, None where it ends with none."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


def show(value: Any) -> str:
    """Return what a notebook shows of a value: HTML where it has some, else its repr."""
    page = value._repr_html_() if hasattr(value, "_repr_html_") else None
    return page or repr(value)


def test_the_cells_run_in_order_and_each_shows_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_report: None
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for cell in cells():
        if cell["cell_type"] == "code":
            with warnings.catch_warnings():
                # pyplot.show() of a notebook; nothing shows figures here.
                warnings.filterwarnings("ignore", ".*non-interactive")
                shown.append(show(run_cell("".join(cell["source"]), names)))
    pyplot.close("all")
    assert all(shown)
    text = "\n".join(shown)
    for words in ("Audit of instances.json", "data:image/webp", "people decided on 10 of them"):
        assert words in text
    assert (tmp_path / "better.json").is_file()
    assert "removed" in shown[-1]


def test_it_is_small_and_holds_no_output() -> None:
    assert NOTEBOOK.stat().st_size < 20_000
    found = cells()
    assert {cell["cell_type"] for cell in found} == {"code", "markdown"}
    assert all(not c["outputs"] and c["execution_count"] is None for c in found if "outputs" in c)
    assert "/home/" not in NOTEBOOK.read_text()
