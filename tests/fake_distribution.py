"""Distributions that add scorers, formats or tools, installed for the length of a test."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from curate import formats, scorers
from curate.reporting import methods

Install = Callable[[str, str, Mapping[str, Mapping[str, str]]], Path]
"""(module, its code, entry points by group and name) to what makes it a distribution."""


def forget_plugins() -> None:
    """Let entry points be looked up anew."""
    importlib.invalidate_caches()
    scorers.all_scorers.cache_clear()
    formats._load_plugin_formats.cache_clear()
    formats.format_by_name.cache_clear()
    methods.column_terms.cache_clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that installs a distribution of one module; gone after the test."""
    site = tmp_path / "site-packages"

    def add(module: str, code: str, groups: Mapping[str, Mapping[str, str]]) -> Path:
        info = site / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = []
        for group, points in groups.items():
            lines += [f"[{group}]", *(f"{name} = {where}" for name, where in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(str(site))
        forget_plugins()
        added.append(module)
        return info

    added: list[str] = []
    yield add
    monkeypatch.undo()
    for module in added:
        sys.modules.pop(module, None)
    forget_plugins()
