"""An engine that is killed on its way ends as one that is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from engine_project import Stand

from curate.common import files

MACHINE = ["machine_s", "ended", "trained"]
"""Columns of the ledger that differ from run to run: times, and a hash of a record with times."""

FIRST, MORE = 3, 2
"""A run is killed when it would name this file, counted from its start; the next one comes so many
files further, as some steps name the same files again."""


class Killed(BaseException):
    """A process that ends here."""


def result(project: Path) -> dict[str, Any]:
    """Return all of an engine that must be the same however it came to be."""
    found: dict[str, Any] = {}
    for path in sorted(project.rglob("*")):
        name = path.relative_to(project).as_posix()
        if path.name in ("masks.json", "proposals.json", "images.txt", "model.safetensors"):
            found[name] = path.read_bytes()
        if path.name == "round.json":
            record = json.loads(path.read_text())
            found[name] = {key: record[key] for key in ("number", "people", "closed_early")}
            found[name]["kept"] = record["result"] and record["result"]["kept"]
    ledger = pq.read_table(project / "ledger.parquet").to_pandas()
    found["ledger"] = ledger.drop(columns=MACHINE).to_json()
    return found


def finish(stand: Stand) -> None:
    """Go on to the end of the second round; people do their work when they are asked."""
    while stand.next(another=not (stand.project / "rounds/02").exists()).needs:
        stand.work()


def finish_with_kills(stand: Stand) -> int:
    """Do the same, but be killed again and again; return how often that was."""
    kills, most = 0, FIRST
    while True:
        left = most

        def kill(operation: str, path: Path) -> int | None:
            nonlocal left
            if operation == "replace" and stand.project in path.parents:
                left -= 1
                if not left:
                    raise Killed(path)
            return None

        files._hook = kill
        try:
            done = stand.next(another=not (stand.project / "rounds/02").exists())
        except Killed:
            kills, most = kills + 1, most + MORE
            continue
        finally:
            files._hook = None
        if not done.needs:
            return kills
        stand.work()
        most = FIRST


@pytest.mark.slow  # some twenty runs
def test_killed_again_and_again_it_ends_the_same(stand: Stand, tmp_path: Path) -> None:
    other = tmp_path / "killed"
    shutil.copytree(stand.folder, other)
    finish(stand)
    wanted = result(stand.project)
    shutil.rmtree(stand.project)
    shutil.copytree(other / "project", stand.project)  # at the same place: paths are recorded
    assert finish_with_kills(stand) > 5
    assert result(stand.project) == wanted
    hidden = [path for path in stand.project.rglob("*") if path.name.startswith(".")]
    assert hidden == []
    assert not list(stand.project.rglob("*.tmp"))
