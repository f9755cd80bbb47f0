"""The examples run, and are short; :mod:`test_docs` runs the code of the README and the docs."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from curate.demo_dataset import DemoTruth, make_demo

ROOT = Path(__file__).resolve().parents[1]
SLOW = {"06_engine.py": pytest.mark.slow}  # two trainings
EXAMPLES = [
    pytest.param(path, marks=SLOW.get(path.name, ()), id=path.name)
    for path in sorted((ROOT / "examples").glob("*.py"))
]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DemoTruth:
    """The dataset that most examples start from, drawn once."""
    return make_demo(tmp_path_factory.mktemp("drawn") / "demo", images=8)


@pytest.mark.usefixtures("with_report")
@pytest.mark.parametrize("path", EXAMPLES)
def test_example(
    path: Path,
    drawn: DemoTruth,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def copy_demo(there: Path, images: int) -> DemoTruth:
        if images != 8:
            return make_demo(there, images=images)
        return replace(drawn, path=Path(shutil.copytree(drawn.path, there)))

    monkeypatch.setattr("curate.demo_dataset.make_demo", copy_demo)
    assert len(path.read_text().splitlines()) <= 45
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(tmp_path)
    assert capsys.readouterr().out
