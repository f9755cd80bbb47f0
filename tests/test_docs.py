"""The documentation: its code runs, its links lead somewhere, nothing of the code is left out."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import reference_pages
import typer.main
import yaml
from pycocotools import mask as coco_mask

import curate
from curate import rle
from curate.cli import app, main
from curate.cli.command_groups import GROUPS, flatten_commands
from curate.dataset.table import (
    IMAGE_COLUMNS,
    MASK_COLUMNS,
    OPTIONAL_IMAGE_COLUMNS,
    OPTIONAL_MASK_COLUMNS,
)
from curate.demo_dataset import make_demo
from curate.formats import format_names
from curate.reporting import reference
from curate.scorers import columns

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w+)(?:[ \t]+(\S[^\n]*))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?![a-z]+:)([^)\s#]+)")

WHY_NOT = {"network": 2, "server": 5, "model": 10, "file-of-people": 1, "make": 1}
"""Why a block does not run here, and how many may say so."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    info: str
    text: str

    @property
    def why_not(self) -> str:
        """Why it does not run here, "" where it does."""
        return self.info.removeprefix("no-run=") if self.info.startswith("no-run=") else ""

    @property
    def file_name(self) -> str:
        """The file that it shows, "" where it is none."""
        return self.info.removeprefix("file=") if self.info.startswith("file=") else ""

    @property
    def exit_code(self) -> int:
        """What its last command ends with."""
        return int(self.info.removeprefix("exits=")) if self.info.startswith("exits=") else 0


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page that hold Python, commands, or a file to save."""
    found = [Block(*match.groups(default="")) for match in BLOCK.finditer(page.read_text())]
    return [block for block in found if block.language in ("python", "sh") or block.file_name]


def commands(text: str) -> list[list[str]]:
    """Return the words of each command, comments left out and lines joined."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def runs(page: Path) -> bool:
    return any(not block.why_not for block in blocks(page))


@pytest.fixture(scope="module")
def beginning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make what the pages take for given: a dataset, all that may come with it, and its audit."""
    folder = tmp_path_factory.mktemp("docs")
    data = make_demo(folder / "demo", images=8)
    shutil.copy(data.source, folder / "instances.json")
    shutil.copy(data.detections, folder / "results.json")
    shutil.copy(data.second_annotator, folder / "other_annotator.json")
    shutil.copytree(data.pictures, folder / "images")
    shutil.copytree(data.path / "soft_masks", folder / "logits")
    for name, root, inside in (
        ("export", data.path, data.source.name),
        ("images", data.pictures, "."),
        ("annotations", data.path.parent, "annotations"),
    ):
        if inside == "annotations":
            (root / inside).mkdir()
            shutil.copy(data.source, root / inside / "instances.json")
        shutil.make_archive(str(folder / name), "zip", root, inside)
    shutil.rmtree(data.path)
    curate.audit(folder / "instances.json", folder / "my.audit", images=folder / "images")
    return folder


@pytest.mark.parametrize("page", list(filter(runs, PAGES)), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_code_of_a_page_runs_from_its_top_to_its_end(
    page: Path, beginning: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = shutil.copytree(beginning, tmp_path / "work")
    if re.search(r"^curate audit .*--out my\.audit", page.read_text(), re.MULTILINE):
        shutil.rmtree(work / "my.audit")
    monkeypatch.chdir(work)
    # As where the environment is activated: "python" in a command is the one that runs this.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if block.why_not:
            continue
        if block.file_name:
            (work / block.file_name).write_text(block.text)
            if block.language == "python":
                compile(block.text, block.file_name, "exec")
            continue
        if block.language == "python":
            exec(compile(block.text, str(page), "exec"), names)
            continue
        given = commands(block.text)
        for k, words in enumerate(given):
            wanted = block.exit_code if k == len(given) - 1 else 0
            monkeypatch.setattr(sys, "argv", words)
            assert words[0] == "curate", f"only curate's commands run here, not {words}"
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code == wanted, f"{shlex.join(words)}: {ended.value.code}"


def test_few_blocks_do_not_run_and_say_why() -> None:
    found = Counter(block.why_not for page in PAGES for block in blocks(page) if block.why_not)
    infos = {block.info.partition("=")[0] for page in PAGES for block in blocks(page)}
    assert infos == {"", "no-run", "exits", "file"}
    assert set(found) <= set(WHY_NOT)
    for why, most in WHY_NOT.items():
        assert found[why] <= most, f"{why}: more blocks than {most} do not run"
    assert not [b for page in PAGES for b in blocks(page) if b.language == "python" and b.why_not]
    assert sum(not block.why_not for page in PAGES for block in blocks(page)) > 25


@each_page
def test_a_page_gives_only_options_that_exist(page: Path) -> None:
    known = flatten_commands(typer.main.get_command(app))
    for block in blocks(page):
        for words in commands(block.text) if block.language == "sh" else ():
            if words[0] != "curate":
                continue
            name = " ".join(words[1:3]) if " ".join(words[1:3]) in known else words[1]
            assert name in known, f"there is no command {name}"
            options = {o for p in known[name].params for o in (*p.opts, *p.secondary_opts)}
            given = {word for word in words if word.startswith("--")}
            assert given <= options, f"curate {name} has no {sorted(given - options)}"


@each_page
def test_links_lead_to_files(page: Path) -> None:
    made = {f"docs/reference/{name}.md" for name in reference_pages.PAGES}
    for link in LINK.findall(page.read_text()):
        there = posixpath.normpath(f"{page.parent.relative_to(ROOT).as_posix()}/{link}")
        assert there in made or (ROOT / there).exists(), f"{link} leads nowhere"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_version_is_one_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    head = f"## [{curate.__version__}] - {citation['date-released']}"
    assert citation["version"] == curate.__version__
    assert head in (ROOT / "CHANGELOG.md").read_text()
    assert {"cff-version", "message", "title", "authors", "license"} <= set(citation)


def test_issue_forms_ask_for_something() -> None:
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    read = {form.stem: yaml.safe_load(form.read_text()) for form in forms}
    assert read.pop("config")["blank_issues_enabled"] is True
    assert len(read) == 3
    for name, form in read.items():
        assert {"name", "description", "body"} <= set(form), name
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        assert len({field["id"] for field in fields}) == len(fields) >= 2
        assert all(field["attributes"]["label"] for field in fields)
        assert any(field.get("validations", {}).get("required") for field in fields)


def test_every_signal_and_reason_says_why_it_matters_and_when_it_is_wrong() -> None:
    texts = reference_pages.texts()
    assert sorted(texts["signal"]) == sorted(reference.signal_names())
    assert sorted(texts["reason"]) == sorted(reference.rules_by_subject())
    for kind in ("signal", "reason"):
        for name, text in texts[kind].items():
            for heading in ("why", "false_alarms"):
                assert len(text[heading].split()) > 3, f"{kind} {name}: {heading} says nothing"
    page = reference_pages.signals_page()
    for name in reference.signal_names():
        section = page.split(f"\n### {name}\n")[1].split("\n### ")[0]
        for heading in ("What it measures", "Why it matters", "Known false alarms", "Options"):
            assert re.search(rf"^\*\*{heading}\.\*\* \w|^\*\*{heading}\.\*\* `", section, re.M), (
                name
            )


def test_every_picture_of_a_signal_stands_on_its_section() -> None:
    page = reference_pages.signals_page()
    drawn = sorted(path.stem for path in (ROOT / "docs" / "pictures").iterdir())
    assert len(drawn) > 10
    for name in drawn:
        section = page.split(f"\n### {name}\n")[1].split("\n### ")[0]
        assert f"](../pictures/{name}.jpg)" in section


def test_every_format_and_column_is_described() -> None:
    texts = reference_pages.texts()
    assert sorted(texts["format"]) == sorted(format_names())
    assert set(MASK_COLUMNS) | set(OPTIONAL_MASK_COLUMNS) <= set(texts["column"])
    assert set(IMAGE_COLUMNS) | set(OPTIONAL_IMAGE_COLUMNS) <= set(texts["image"])


def test_every_column_of_an_audit_stands_on_the_page(beginning: Path) -> None:
    audit = curate.open_audit(beginning / "my.audit")
    page = reference_pages.columns_page()
    for table in ("masks", "images"):
        found = audit.query(f"describe select * from {table}")["column_name"]
        assert len(found) > 10
        missing = [name for name in found if f"`{name}`" not in page]
        assert not missing, f"the page of columns lacks {missing}"
    for name in (*columns("mask"), *columns("image")):
        assert f"`{name}`" in page


def test_every_command_stands_in_one_group_and_has_examples_whose_options_exist() -> None:
    known = flatten_commands(typer.main.get_command(app))
    grouped = Counter(name for names in GROUPS.values() for name in names)
    assert {name.split()[0] for name in known} <= set(grouped)
    assert set(grouped.values()) == {1}
    for name, command in known.items():
        head, *lines = command.epilog.removeprefix("\b\n").splitlines()
        given = commands("\n".join(lines))
        assert head == "Examples:"
        assert given, f"curate {name} has no example"
        for words in given:
            assert " ".join(words).startswith(f"curate {name} ")
            options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
            assert {word for word in words if word.startswith("--")} <= options, words
        assert max(map(len, lines)) < 78, "an example fits a line of 80 columns"


def test_every_command_and_public_name_has_a_section() -> None:
    known = flatten_commands(typer.main.get_command(app))
    commands_page, python_page = reference_pages.commands_page(), reference_pages.python_page()
    for name, command in known.items():
        section = commands_page.split(f"\n## curate {name}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            if not getattr(parameter, "hidden", False) and parameter.name != "help":
                option = parameter.param_type_name == "option"
                shown = max(parameter.opts, key=len) if option else parameter.metavar
                assert (shown or parameter.name) in section, f"curate {name}: {shown}"
    for name in curate.__all__:
        assert f"\n## curate.{name}\n" in python_page


def test_the_page_of_run_lengths_is_whole_and_its_code_runs() -> None:
    page = reference_pages.rle_page()
    ours = [name for name in rle.__all__ if f"\n## rle.{name}\n" not in page]
    assert all(f"`rle.{name}`" in page for name in ours), ours
    beside = reference_pages.texts()["page"]["rle"]["pycocotools"]
    theirs = {name for name, one in vars(coco_mask).items() if name[0] != "_" and callable(one)}
    assert set(beside) == theirs
    for name, _ in beside.values():
        assert name.strip("`") in rle.__all__
    names: dict[str, Any] = {}
    tour = [block[2] for block in BLOCK.findall(page) if block[:2] == ("python", "")]
    assert len(tour) == 2
    for block in tour:
        exec(compile(block, "rle.md", "exec"), names)
    assert rle.area([names["mask"], names["coco"]]).tolist() == [11600, 100]
    assert rle.area(rle.holes(names["masks"])).tolist() == [400, 0]
    assert rle.area(names["filled"]).tolist() == [12000]


def test_the_glossary_has_each_term_once_in_order_and_by_a_name_of_the_code() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| `([^`]+)` \| (.+) \|$", text, re.MULTILINE)
    terms = [term for term, _, _ in rows]
    assert 60 <= len(terms) <= 90
    assert terms == sorted(set(terms), key=str.lower)
    code = "\n".join(path.read_text() for path in (ROOT / "curate").rglob("*.py"))
    assert not [name for _, name, _ in rows if not re.search(rf"\b{name}\b|{name}\b", code)]
