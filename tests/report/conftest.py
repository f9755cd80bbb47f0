from __future__ import annotations

import sys
from pathlib import Path

import pytest

from curate.reporting.page import write_report

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
