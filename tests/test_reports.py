"""Every published study is complete, and its script can be read without running."""

from __future__ import annotations

import csv
import os
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


IMPORT_EACH = """
import gc, os, sys
# Once, for all children: half of them need each of these.
import numpy, pandas, pyarrow, duckdb, matplotlib.pyplot, PIL.Image, pycocotools.mask
import scipy.ndimage, scipy.optimize, scipy.stats
import curate.pipeline.deciding, curate.writing.writer
gc.freeze()
for study in sys.argv[1:]:
    print(study, flush=True)
    child = os.fork()
    if not child:
        os.chdir(study)
        sys.path[0] = study
        import run
        run.main
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, study
"""
"""Each in a process of its own: the scripts are all called run, and import what lies beside."""


def test_the_scripts_import_without_running() -> None:
    before = {p: p.stat().st_mtime_ns for study in STUDIES for p in study.iterdir() if p.is_file()}
    names = list(map(str, STUDIES))
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", IMPORT_EACH, *names],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # a fork does not survive its threads
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == names
    for study in STUDIES:
        now = {p: p.stat().st_mtime_ns for p in study.iterdir() if p.is_file()}
        assert now == {p: time for p, time in before.items() if p.parent == study}


@each_study
def test_no_picture_of_the_data_is_published(study: Path) -> None:
    assert not [p for p in study.rglob("*") if p.suffix.lower() in PICTURES]
    assert not [p for p in study.rglob("*.svg") if "<image" in p.read_text()]
