"""The command line end to end: what a stranger types, what is printed, and the exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

import curate as audits
from curate import cli
from curate.cli.exit_codes import describe_stop
from curate.cli.styles import style, style_summary

HEIGHT, WIDTH = 90, 120

Curate = Callable[..., tuple[int, str, str]]


def square(x: int, y: int, side: int) -> list[list[int]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def annotation(number: int, image: int = 1, at: tuple[int, int, int] = (10, 10, 30), **more: Any):
    x, y, side = at
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "segmentation": square(x, y, side),
        "bbox": [x, y, side, side],
        "area": side * side,
        "iscrowd": 0,
    } | more


def dataset(annotations: list[dict[str, Any]]) -> dict[str, Any]:
    names = {1: "a.png", 2: "b.png"}
    return {
        "info": {"kept": [1.50, "as it is"]},
        "images": [
            {"id": k, "file_name": name, "height": HEIGHT, "width": WIDTH}
            for k, name in names.items()
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cell"}],
    }


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a dataset of five masks, one of them a copy and one without pixels."""
    masks = [
        annotation(1),
        annotation(2, extra="<b>"),
        annotation(3, at=(60, 20, 25)),
        annotation(4, 2, (5, 5, 40), segmentation=square(200, 200, 9)),
        annotation(5, 2, (50, 30, 20)),
    ]
    (tmp_path / "cells.json").write_text(json.dumps(dataset(masks)))
    (tmp_path / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        pixels = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def curate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Curate:
    """Run the command line in this process; gives exit code, output and errors."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["curate", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return int(stop.value.code or 0), said.out, said.err

    return run


def one_error(result: tuple[int, str, str]) -> str:
    """Check that a call failed as a wrong call should; return its one sentence."""
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_as_a_program_it_prints_its_version_and_its_verbs():
    code = "import sys; from curate.cli import main; sys.argv = ['curate', sys.argv[1]]; main()"
    environment = os.environ | {"COLUMNS": "80"}

    def said(word: str) -> str:
        command = [sys.executable, "-c", code, word]
        return subprocess.check_output(command, text=True, env=environment)

    assert said("--version").startswith("curate 0.")
    verbs = [line for line in said("--help").splitlines() if line.startswith("  ")]
    for verb in ("audit", "decide", "report", "queue", "prune", "compare", "demo"):
        assert [line.split()[0] for line in verbs].count(verb) == 1
    assert not [line for line in verbs if "..." in line], "a summary cut off says nothing"
    assert "Review masks:" in said("--help").splitlines()
    assert "Other commands:" not in said("--help").splitlines()


def asked_by_shell(line: str, shell: str) -> dict[str, str]:
    """Return the variables by which a shell's script asks what could end a line."""
    return {
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_CURATE_COMPLETE": f"complete_{shell}",
    }


def test_a_shell_completes_commands_options_choices_formats_and_audits(
    place: Path, curate: Curate, monkeypatch: pytest.MonkeyPatch
):
    for name in ("cells.audit", "other.audit", "inner/deep.audit"):
        (place / name).mkdir(parents=True)
        (place / name / "audit.json").write_text("{}")

    def complete(line: str, shell: str = "bash") -> list[str]:
        for name, value in asked_by_shell(line, shell).items():
            monkeypatch.setenv(name, value)
        code, out, err = curate()
        assert (code, err) == (0, "")
        return out.split()

    assert complete("curate qu") == ["queue"]
    assert complete("curate queue --ki") == ["--kind"]
    assert complete("curate queue --kind ") == ["errors", "learn", "estimate", "missing"]
    assert complete("curate write --to y") == ["yolo"]
    assert complete("curate audit --format cvat") == ["cvat", "cvat-video"]
    assert complete("curate report ") == ["cells.audit", "other.audit"]
    assert complete("curate report inner/") == ["inner/deep.audit"]
    assert complete("curate audit ") == [], "files are the shell's own to list"
    assert complete("curate decide cells.audit --policy ") == ["default", "sa1b"]
    assert "errors" in " ".join(complete("curate queue --kind ", "zsh"))


def test_a_completion_loads_nothing_that_computes():
    heavy = ("numpy", "pandas", "rich", "duckdb", "pyarrow", "pydantic")
    code = (
        "import sys; from curate.cli import main; sys.argv = ['curate']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    asked = os.environ | asked_by_shell("curate queue my.audit --kind e", "zsh")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=asked, capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert "estimate" in done.stdout


@pytest.mark.usefixtures("with_report")
def test_an_audit_is_summed_up_for_people(place: Path, curate: Curate):
    code, out, _ = curate("audit", "cells.json", "--images", "pictures")
    assert code == 0
    first, *rest = out.splitlines()
    assert first == "5 masks in 2 images: 3 accepted, 0 to review, 2 rejected"
    assert any("no usable mask: no pixel is set" in line for line in rest)
    assert any("same object as mask" in line for line in rest)
    assert "…" not in out
    assert rest[-1] == "report: cells.audit/report.html"
    assert (place / "cells.audit" / "report.html").is_file()
    assert "<b>" not in (place / "cells.audit" / "report.html").read_text().split("cells.json")[-1]


def test_an_audit_is_summed_up_for_machines(place: Path, curate: Curate):
    code, out, _ = curate("audit", "cells.json", "--json")
    numbers = json.loads(out)
    assert code == 0
    assert numbers["mask_count"] == 5
    assert numbers["reject_count"] == numbers["duplicate_count"] + numbers["empty_count"] == 2
    assert numbers["reject_rate"] == pytest.approx(0.4)


def test_gates(place: Path, curate: Curate):
    code, _, err = curate("audit", "cells.json", "--fail-on", "reject_rate > 0.1")
    assert code == 1
    assert "gate failed: reject_rate > 0.1" in err
    passed = ("--fail-on", "reject_rate > 0.9", "--fail-on", "undecodable_count > 0")
    assert curate("decide", "cells.audit", *passed)[0] == 0
    said = one_error(curate("audit", "cells.json", "--out", "new", "--fail-on", "reject_rate >"))
    assert "--fail-on" in said
    assert not (place / "new").exists(), "a gate that cannot be read stops nothing half-way"
    assert curate("decide", "cells.audit", "--fail-on", "no_such > 1")[0] == 2


def test_another_policy_decides_anew(place: Path, curate: Curate):
    curate("audit", "cells.json")
    rule = '[[rule]]\nwhen = "area_px > 600"\naction = "{}"\nreason = "{{area_px}} px <i>"\n'
    (place / "own.toml").write_text('name = "own"\n' + rule.format("review"))
    code, out, _ = curate("decide", "cells.audit", "--policy", "own.toml")
    assert code == 0
    assert "5 masks in 2 images: 2 accepted, 3 to review, 0 rejected" in out
    (place / "own.toml").write_text('name = "own"\n' + rule.format("delete"))
    said = one_error(curate("decide", "cells.audit", "--policy", "own.toml"))
    assert "own.toml, rule 1: action is 'delete'; choose from accept, review, reject" in said
    assert "no such policy" in one_error(curate("decide", "cells.audit", "--policy", "strict"))


def test_a_queue_in_every_form(place: Path, curate: Curate):
    curate("audit", "cells.json")
    (place / "all.toml").write_text(
        'name = "all"\n[[rule]]\nwhen = "area_px > 0"\naction = "review"\nreason = "look, twice"\n'
    )
    curate("decide", "cells.audit", "--policy", "all.toml")
    code, out, err = curate("queue", "cells.audit", "--budget", 3, "--order", "seconds")
    assert "  curate queue cells.audit --budget 3 --order seconds --out queue.csv" in err
    code, out, _ = curate("queue", "cells.audit", "--budget", 3)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [row["reasons"] for row in rows] == ["look, twice"] * 3
    assert [int(row["rank"]) for row in rows] == sorted(int(row["rank"]) for row in rows)
    assert curate("queue", "cells.audit", "--minutes", 0.5, "--out", "q.json")[0] == 0
    listed = json.loads((place / "q.json").read_text())
    assert len(listed["masks"]) == 2
    assert curate("queue", "cells.audit", "--out", "q.coco.json", "--to", "coco")[0] == 0
    assert len(COCO(place / "q.coco.json").anns) == 4
    for wrong in (("--budget", -1), ("--minutes", "nan"), ("--to", "json"), ("--out", "q.xml")):
        one_error(curate("queue", "cells.audit", *wrong))


@pytest.mark.parametrize("kind", ["errors", "estimate"])
def test_a_printed_queue_has_ten_columns_and_comes_back_with_decisions(
    place: Path, curate: Curate, kind: str
):
    curate("audit", "cells.json")
    asked = ("queue", "cells.audit", "--kind", kind, "--budget", 2)
    if kind == "errors":
        curate("decide", "cells.audit", "--policy", "sa1b")  # which asks for review of all
    code, out, _ = curate(*asked)
    rows = list(csv.DictReader(io.StringIO(out)))
    names = list(rows[0])
    assert code == 0
    assert names[:3] == ["decision", "mask_id", "file_name"]
    assert len(names) == 11
    assert ("draw_id" in names) == (kind == "estimate"), "a random sample is always recorded"
    assert not {row["decision"] for row in rows} - {""}
    for row, said in zip(rows, ("accept", "reject"), strict=True):
        row["decision"] = said
    with (place / "back.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    code, out, _ = curate("import", "back.csv", "--json")
    assert (code, json.loads(out)["decisions_added"]) == (0, 2)
    kept = audits.open_audit("cells.audit").decisions()
    decided = dict(zip(kept["mask_id"].tolist(), kept["action"].tolist(), strict=True))
    assert decided == {int(row["mask_id"]): row["decision"] for row in rows}
    assert kept["queue_kind"].tolist() == [kind] * 2
    assert kept["draw_id"].notna().all() == (kind == "estimate")


def test_columns_of_a_queue_are_chosen_by_name(place: Path, curate: Curate):
    curate("audit", "cells.json")
    curate("decide", "cells.audit", "--policy", "sa1b")

    def names(*more: object) -> list[str]:
        code, out, _ = curate("queue", "cells.audit", "--budget", 2, *more)
        assert code == 0
        return next(csv.reader(io.StringIO(out)))

    back = ["queue_kind", "dataset_version"]
    assert names("--columns", "area_px, solidity_score") == [
        *("decision", "mask_id", "area_px", "solidity_score"),
        *back,
    ]
    assert len(names("--columns", "all")) > 30
    said = one_error(curate("queue", "cells.audit", "--columns", "area"))
    assert "the queue has no column area; did you mean area_px" in said
    sample = ("--kind", "estimate", "--budget", 2, "--columns", "quality_score")
    assert "has no column quality_score" in one_error(curate("queue", "cells.audit", *sample))
    curate("queue", "cells.audit", "--out", "few.csv", "--columns", "area_px")
    with (place / "few.csv").open() as file:
        assert {"decision", "mask_id", "area_px", *back} < set(next(csv.reader(file)))
    tool = ("--out", "q.coco.json", "--to", "coco", "--columns", "area_px")
    assert "columns of its own" in one_error(curate("queue", "cells.audit", *tool))


def test_prune_is_a_dry_run_until_told_where(place: Path, curate: Curate):
    curate("audit", "cells.json")
    before = set(place.rglob("*"))
    code, out, _ = curate("prune", "cells.audit")
    assert (code, set(place.rglob("*"))) == (0, before)
    assert "would drop 2 of 5 masks" in out
    code, out, _ = curate("prune", "cells.audit", "--out", "kept.json", "--json")
    assert code == 0
    assert json.loads(out)["dropped"] == 2
    source, kept = (json.loads((place / name).read_text()) for name in ("cells.json", "kept.json"))
    rows = {one["id"]: one for one in source["annotations"]}
    assert kept == source | {"annotations": [rows[one["id"]] for one in kept["annotations"]]}
    assert len(COCO(place / "kept.json").anns) == 3
    assert "it exists already" in one_error(curate("prune", "cells.audit", "--out", "kept.json"))
    assert "source" in one_error(curate("prune", "cells.audit", "--out", "cells.json"))
    assert "no action 'bad'" in one_error(curate("prune", "cells.audit", "--drop", "bad"))


def test_two_audits_are_compared(place: Path, curate: Curate):
    curate("audit", "cells.json")
    changed = json.loads((place / "cells.json").read_text())
    changed["annotations"][4]["segmentation"] = square(50, 30, 24)
    del changed["annotations"][2]
    (place / "other.json").write_text(json.dumps(changed))
    curate("audit", "other.json")
    code, out, _ = curate("compare", "cells.audit", "other.audit", "--json")
    assert code == 0
    found = json.loads(out)
    assert [one["mask_id"] for one in found["dropped"]] == [3]
    assert [one["mask_id"] for one in found["changed"]] == [5]
    assert "dropped    1" in curate("compare", "cells.audit", "other.audit")[1]


@pytest.mark.usefixtures("with_report")
def test_a_report_elsewhere(place: Path, curate: Curate):
    curate("audit", "cells.json")
    code, out, _ = curate("report", "cells.audit", "--out", "page.html")
    assert (code, out) == (0, "page.html\n")
    assert (place / "page.html").read_text().startswith("<!doctype html>")


def test_other_annotations_and_detections(place: Path, curate: Curate):
    found = [
        {"image_id": 1, "category_id": 1, "bbox": [60, 20, 25, 25], "score": 0.9},
        {"image_id": 2, "category_id": 1, "bbox": [80, 60, 20, 20], "score": 0.95},
    ]
    (place / "found.json").write_text(json.dumps(found))
    second = [annotation(9), annotation(8, at=(60, 20, 10)), annotation(7, 2, (100, 60, 15))]
    (place / "second.json").write_text(json.dumps(dataset(second)))
    words = ("--detections", "found.json", "--compare", "second=second.json")
    code, out, _ = curate("audit", "cells.json", *words)
    assert code == 0
    assert "others draw it differently" in out
    assert "no mask of the others matches it" in out
    assert "objects seen without a matching mask" in out
    assert "are of none of these images" not in out
    strangers = [one | {"image_id": one["image_id"] + 100} for one in found]
    (place / "found.json").write_text(json.dumps(strangers))
    _, out, _ = curate("audit", "cells.json", "--detections", "found.json", "--out", "other")
    assert "the detections are of none of these images: check their image ids" in out


def test_wrong_calls(place: Path, curate: Curate):
    (place / "full").mkdir()
    (place / "full" / "notes.txt").write_text("mine")
    for words, said in (
        (("nothing.json",), "nothing.json: there is no such file or folder"),
        (("cells.json", "--format", "voc"), "there is no format voc; use one of coco"),
        (
            ("cells.json", "--format", "cvat"),
            "it looks like COCO instances, not like CVAT",
        ),
        (("cells.json", "--images", "nowhere"), "nowhere: there is no such folder of images"),
        (("cells.json", "--soft-masks", "nowhere"), "nowhere: there is no such folder of soft"),
        (("cells.json", "--detections", "no.json"), "no.json: there is no such file"),
        (("cells.json", "--compare", "no.json"), "is not NAME=FILE"),
        (("cells.json", "--compare", "a=no.json"), "no.json: there is no such file"),
        (("cells.json", "--threshold", "0.4"), "give --soft-masks DIR"),
        (("cells.json", "--workers", "0"), "give a whole number from 1 to"),
        (("cells.json", "--policy", "no.toml"), "no.toml: there is no such policy"),
        (("cells.json", "--out", "full"), "full: it holds something else (notes.txt)"),
        (("cells.json", "--out", "cells.json"), "cells.json: it is a file"),
        ((".",), "but files in it are; give one of them: cells.json"),
    ):
        assert said in one_error(curate("audit", *words)), words
        assert not (place / "cells.audit").exists(), words
    assert (place / "full" / "notes.txt").read_text() == "mine"
    for verb in ("queue", "prune", "report", "decide"):
        assert "there is no audit here" in one_error(curate(verb, "full"))
    assert curate("audit", "--no-such-option")[0] == 2
    assert curate("audit", "cells.json")[0] == 0, "a mended call finds its place free"


def test_a_demo_that_is_too_small(place: Path, curate: Curate):
    assert "--images is 2; give a whole number from 8" in one_error(
        curate("demo", "--out", "show", "--images", 2)
    )
    assert not (place / "show").exists()


def test_next_steps_stand_on_stderr_work_as_they_are_and_not_beside_json(
    place: Path, curate: Curate
):
    """A newcomer goes from the report to a corrected file by what is printed alone."""

    def proposed(said: str) -> list[list[str]]:
        return [shlex.split(line) for line in said.splitlines() if line.startswith("  curate ")]

    _, out, err = curate("audit", "cells.json", "--images", "pictures")
    assert "curate" not in out.splitlines()[-1]
    (prune,) = [words for words in proposed(err) if words[1] == "prune"]
    assert prune == ["curate", "prune", "cells.audit", "--out", "cells.curated.json"]
    code, _, err = curate(*prune[1:])
    assert code == 0
    assert [one["id"] for one in json.loads(Path("cells.curated.json").read_text())["annotations"]]
    differ, again = proposed(err)
    assert differ[:2] == ["curate", "diff"]
    assert again[-2:] == ["--out", "cells.curated.audit"], "the other place is taken"
    assert curate(*differ[1:])[0] == curate(*again[1:])[0] == 0
    (again,) = proposed(curate("diff", "cells.audit", "cells.curated.json")[2])
    assert again[:3] == ["curate", "audit", "cells.curated.json"]
    assert "--images" in again, "the audit knows them"
    assert curate("decide", "cells.audit", "--json")[2] == ""
    _, _, err = curate("write", "cells.audit", "--drop", "review")
    (write,) = proposed(err)
    assert write[1:4] == ["write", "cells.audit", "--drop"]
    assert curate(*write[1:])[0] == 0
    asked = ["queue", "cells.audit", "--kind", "estimate", "--budget", "3"]
    _, out, err = curate(*asked)
    assert proposed(err) == [["curate", *asked, "--out", "queue.csv"]]
    _, _, err = curate("status", "cells.audit")
    assert ["curate", "review", "cells.audit", "--draw", "1"] in proposed(err)
    assert json.loads(curate("status", "cells.audit", "--json")[1])["draws"][0]["masks"] == 3
    _, _, err = curate(
        "queue", "cells.audit", "--kind", "estimate", "--budget", 2, "--out", "q.csv"
    )
    ((_, *back),) = proposed(err)
    assert back == ["import", "q.csv", "--audit", "cells.audit"]
    rows = Path("q.csv").read_text().splitlines()
    Path("q.csv").write_text("\n".join([rows[0], *(f"reject{row}" for row in rows[1:])]))
    _, _, err = curate(*back)
    write = next(words for words in proposed(err) if words[1] == "write")
    assert curate(*write[1:])[0] == 0
    left = json.loads(Path(write[-1]).read_text())["annotations"]
    assert len(left) < 3, "what people rejected is gone, by what was printed alone"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("audit", "a.json"), "the same command goes on from there"),
        (("audit", "a.json", "--restart"), "the same command without --restart goes on"),
        (("write", "my.audit"), "the same command starts over"),
        (("learn", "my.audit"), "people's decisions are kept: the same command starts over"),
        (("diff", "a", "b"), "nothing was changed"),
        ((), "starts over"),
    ],
)
def test_ctrl_c_says_what_is_true_of_the_same_command(words: tuple[str, ...], said: str):
    assert said in describe_stop(words)


def test_colours_are_for_terminals_whose_user_wants_them(monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    text = "5 masks: 3 accepted, 0 to review, 1,204 rejected\n2 rejected"
    red, green = "\x1b[31m1,204 rejected\x1b[0m", "\x1b[32m3 accepted\x1b[0m"
    shown = style_summary(text, Terminal())
    assert shown == f"5 masks: {green}, 0 to review, {red}\n2 rejected"
    assert style("error:", "red", io.StringIO()) == "error:", "a pipe gets none"
    monkeypatch.setenv("NO_COLOR", "1")
    assert style("error:", "red", Terminal()) == "error:"
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("TERM", "dumb")
    assert style("error:", "red", Terminal()) == "error:"
