"""The contract suites as plug-in authors run them: the page about plug-ins, and faulty plug-ins."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from fake_distribution import Install, install

import curate
from curate.demo_dataset import make_demo
from curate.formats import format_names
from curate.people.exchange.registry import REGISTRY
from curate.scorers import all_scorers

__all__ = ["install"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "plugins.md"

FAULTY = '''
import numpy as np
import pandas as pd
import pytest

from curate.formats.coco.coco_format import FORMAT
from curate.scorers.scorer import Column, Scorer
from curate.testing import ExchangeContract, FormatContract, ScorerContract
from dataclasses import replace

from test_page import IDS, TestFormat as Sound


def rank(table):
    """Return a number of the row, which depends on the order of rows and on other images."""
    n = max(len(table) - 1, 1)
    return pd.DataFrame({"rank_score": np.arange(len(table)) / n}, index=table.masks.index)


class TestRank(ScorerContract):
    scorer = Scorer("rank", rank, (Column("rank_score", "Rank", evidence="form"),))


def write_all(source, out, edits):
    return FORMAT.write(source, out, replace(edits, drop=frozenset()))


class TestNeverDrops(FormatContract):
    format = replace(FORMAT, name="never", write=write_all)
    write_dataset = Sound.write_dataset


def write_half(audit, rows, out, how):
    return IDS.writer.write(audit, rows.iloc[::2], out, how)


class TestHalf(ExchangeContract):
    tool = replace(IDS, name="half", writer=replace(IDS.writer, write=write_half))
    ending = ".ids"
    assume_reviewed = False
'''


def fences(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def page_module() -> str:
    """Return the Python of the page as one module; what it prints is not what is tested."""
    blocks = [re.sub(r"^print\(.*\n", "", block, flags=re.MULTILINE) for block in fences("python")]
    return "\n\n".join(blocks)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run the suites of the page, and those of faulty plug-ins; return each test's outcome."""
    folder = tmp_path_factory.mktemp("author")
    (folder / "test_page.py").write_text(page_module())
    (folder / "test_faulty.py").write_text(FAULTY)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--tb=line", "."],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^(PASSED|FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return {test: outcome for outcome, test in found}


def test_the_suites_of_the_page_pass(outcomes: dict[str, str]) -> None:
    of_page = {test: what for test, what in outcomes.items() if test.startswith("test_page.py")}
    assert not [test for test, what in of_page.items() if what != "PASSED"]
    suites = {test.split("::")[1] for test in of_page}
    assert suites == {"TestBorder", "TestFormat", "TestIds"}
    assert len(of_page) > 20


def test_faulty_plugins_fail_by_name(outcomes: dict[str, str]) -> None:
    failed = {
        tuple(test.split("::")[1:]) for test, what in outcomes.items()
        if what != "PASSED" and test.startswith("test_faulty.py")
    }  # fmt: skip
    assert failed >= {
        ("TestRank", "test_columns_are_described"),
        ("TestRank", "test_masks_without_pixels_have_no_score"),
        ("TestRank", "test_row_order_does_not_matter"),
        ("TestRank", "test_a_part_of_whole_images_gives_the_same"),
        ("TestRank", "test_a_planted_defect_lowers_the_score"),
        ("TestNeverDrops", "test_a_dropped_mask_goes_and_nothing_else"),
        ("TestNeverDrops", "test_what_cannot_be_written_is_refused"),
        ("TestHalf", "test_nothing_changes_on_the_way"),
    }
    assert ("TestRank", "test_index_types_and_range") not in failed
    assert ("TestNeverDrops", "test_without_edits_it_is_copied") not in failed


def test_the_entry_points_of_the_page_are_found(
    monkeypatch: pytest.MonkeyPatch, install: Install
) -> None:
    monkeypatch.setattr(REGISTRY, "_added", {})
    groups: dict[str, dict[str, str]] = {}
    for block in fences("toml"):
        groups |= tomllib.loads(block)["project"]["entry-points"]
    install("my_package", page_module(), groups)
    REGISTRY.__dict__.pop("_added", None)
    assert all_scorers()[-1].name == "border"
    assert REGISTRY.writer_names()[-1] == "ids"


def test_a_format_of_another_package_is_read(tmp_path: Path, install: Install) -> None:
    code = """
from dataclasses import replace

from curate.formats.coco.coco_format import FORMAT

MINE = replace(FORMAT, name="mine", title="Mine", matches=lambda path: path.suffix == ".mine")
"""
    install("my_format", code, {"curate.formats": {"mine": "my_format:MINE"}})
    assert format_names()[-1] == "mine"
    demo = make_demo(tmp_path / "demo", images=8)
    source = demo.source.rename(tmp_path / "masks.mine")
    assert len(curate.read(source, "mine")) > 20


def test_without_pytest_it_says_what_is_missing() -> None:
    script = "import sys; sys.modules['pytest'] = None; import curate.testing"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "ImportError: curate.testing needs pytest: pip install pytest" in done.stderr
