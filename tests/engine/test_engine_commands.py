"""The engine on the command line: what it prints, as text and for machines, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from engine_project import Stand, write_pictures

from curate.cli.exit_codes import describe_stop, run

Capture = pytest.CaptureFixture[str]


def test_an_engine_is_set_up_and_asks_for_people(tmp_path: Path, capfd: Capture) -> None:
    write_pictures(tmp_path / "pictures", 33)
    project = str(tmp_path / "cells")
    words = ["engine", "new", project, "--images", str(tmp_path / "pictures"), "--classes", "cell"]
    assert run([*words, "--round-images", "5", "--size", "64", "--device", "cpu"]) == 0
    said = capfd.readouterr()
    assert "33 pictures: 16 set aside to validate on, 17 to annotate, 5 a round" in said.out
    assert f"curate engine next {project}" in said.err
    assert run(words) == 2
    assert "there is an engine here already" in capfd.readouterr().err
    assert run(["engine", "next", project, "--device", "cpu"]) == 0
    said = capfd.readouterr()
    assert "people are needed for the validation images: 16 images of 16 to draw" in said.out
    assert f"curate review {project}" in said.err
    assert run(["engine", "next", project, "--to", "cvat"]) == 2
    assert "no mask is proposed in this round" in capfd.readouterr().err


def test_states_are_printed_for_people_and_machines(stand: Stand, capfd: Capture) -> None:
    project = str(stand.project)
    assert run(["engine", "status", project]) == 0
    said = capfd.readouterr()
    assert "people are needed for round 1" in said.out
    assert "validation" in said.out
    assert run(["engine", "status", project, "--json"]) == 0
    said = capfd.readouterr()
    status = json.loads(said.out)
    assert said.err == ""
    assert [row["round"] for row in status["rounds"]] == [0]
    assert status["now"]["needs"] == "people"
    assert status["now"]["steps"][0]["command"] == f"curate review {project}"
    assert run(["engine", "train", project]) == 2
    assert "a round is open" in capfd.readouterr().err
    assert run(["status", project]) == 0
    assert f"curate engine next {project}" in capfd.readouterr().err
    assert run(["engine", "close", project, "--json"]) == 0
    done = json.loads(capfd.readouterr().out)
    assert done["undecided"] == done["proposals"] > 0
    assert run(["engine", "close", project]) == 2
    assert "no round is open for people now" in capfd.readouterr().err
    assert run(["engine"]) == 2
    assert "Do what the machine can do" in capfd.readouterr().err


def test_stopping_says_what_the_same_command_does() -> None:
    assert "goes on from there" in describe_stop(["engine", "next", "cells"])
    assert "nothing was changed" in describe_stop(["engine", "status", "cells"])
    assert "the same command starts over" in describe_stop(["engine", "new", "cells"])
