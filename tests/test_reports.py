"""Every published study is complete, and its script can be read without running."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

REPORTS = Path(__file__).resolve().parents[1] / "reports"
STUDIES = sorted(p for p in REPORTS.iterdir() if p.is_dir() and not p.name.startswith((".", "_")))
PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".webp"}

each_study = pytest.mark.parametrize("study", STUDIES, ids=lambda p: p.name)


@each_study
@pytest.mark.parametrize("name", ["README.md", "run.py", "results.csv"])
def test_a_study_has_its_text_its_script_and_its_numbers(study: Path, name: str) -> None:
    assert (study / name).stat().st_size > 0


@each_study
def test_results_are_a_table(study: Path) -> None:
    with (study / "results.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert rows
    assert {len(row) for row in rows} == {len(head)}


@each_study
def test_the_script_imports_without_running(study: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in study.iterdir() if p.is_file()}
    # A process of its own: the scripts are all called run, and import what lies beside them.
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", "import run; run.main"],
        cwd=study,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert {p.name: p.stat().st_mtime_ns for p in study.iterdir() if p.is_file()} == before


@each_study
def test_no_picture_of_the_data_is_published(study: Path) -> None:
    assert not [p for p in study.rglob("*") if p.suffix.lower() in PICTURES]
    assert not [p for p in study.rglob("*.svg") if "<image" in p.read_text()]
