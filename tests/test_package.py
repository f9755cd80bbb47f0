"""The wheel and the sdist are built, whole, and work where nothing else of this folder is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import curate

ROOT = Path(__file__).resolve().parents[1]
BESIDE = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")


def run(*words: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [*map(str, words)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sources() -> list[str]:
    """Return the files of the package that git knows, with slashes."""
    return run("git", "ls-files", "curate", cwd=ROOT).splitlines()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Build both from a copy, so that nothing that lies about in this folder gets in."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in (*sources(), *BESIDE):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
    # The wheel is made of the sdist, which therefore holds all that it takes.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, copy, cwd=copy)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel alone into a fresh environment, and return its Python."""
    home = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--quiet", "--no-input"]
    run(*pip, "install", "--no-deps", "--no-index", "--no-compile", built[0], cwd=home)
    return python


def test_both_are_named_as_they_are_published(built: tuple[Path, Path]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == "curate-masks"
    assert project["version"] == curate.__version__
    wheel, sdist = built
    assert wheel.name == f"curate_masks-{curate.__version__}-py3-none-any.whl"
    assert sdist.name == f"curate_masks-{curate.__version__}.tar.gz"


def test_twine_finds_no_fault(built: tuple[Path, Path]) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", *built, cwd=built[0].parent)


def test_every_file_of_the_package_is_in_both(built: tuple[Path, Path]) -> None:
    wheel, sdist = built
    wanted = {name for name in sources() if (ROOT / name).is_file()}
    assert {"curate/py.typed", "curate/__init__.py"} < wanted
    with zipfile.ZipFile(wheel) as file:
        in_wheel = set(file.namelist())
        for name in wanted & in_wheel:
            assert file.read(name) == (ROOT / name).read_bytes(), name
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    assert sorted(wanted - in_wheel) == []
    assert sorted(wanted - in_sdist) == []
    own = f"curate_masks-{curate.__version__}.dist-info/"
    assert {n for n in in_wheel if not n.startswith(own)} == wanted
    assert {"pyproject.toml", "LICENSE", "README.md"} <= in_sdist


def test_the_wheel_works_by_itself(installed: Path, tmp_path: Path) -> None:
    """Its dependencies are those of this environment; curate is not on the way to them."""
    paths = {**sysconfig.get_paths()}
    shared = os.pathsep.join({paths["purelib"], paths["platlib"]})
    script = (
        "import curate, importlib.metadata as m; print(curate.__file__);"
        "print(m.version('curate-masks'));"
        "print(curate.Policy.preset('sa1b').name); curate.audit; curate.report"
    )
    told = run(installed, "-c", script, cwd=tmp_path, PYTHONPATH=shared).split()
    assert Path(told[0]).is_relative_to(installed.parents[1])
    assert told[1:] == [curate.__version__, "sa1b"]
    command = installed.with_name("curate")
    assert "audit" in run(command, "--help", cwd=tmp_path, PYTHONPATH=shared)


def test_contract_suites_run_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """A plug-in author has no tests of ours."""
    paths = {**sysconfig.get_paths()}
    shared = os.pathsep.join({paths["purelib"], paths["platlib"]})
    (tmp_path / "test_plugin.py").write_text(SUITE)
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_plugin.py")
    told = run(installed, *words, cwd=tmp_path, PYTHONPATH=shared, PYTEST_ADDOPTS="")
    assert re.search(r"^[89] passed", told, re.MULTILINE), told


SUITE = """
import pandas as pd

from curate.scorers.scorer import Column, Scorer
from curate.testing import ScorerContract


def left(table):
    x = table.masks["bbox_x"].clip(upper=100) / 100
    return pd.DataFrame({"left_score": x.where(table.masks["area_px"] > 0)})


def move(scene):
    scene.spoilt = scene.spoilt[:, ::-1].copy()
    scene.spoilt[:, :3] = True


class TestLeft(ScorerContract):
    scorer = Scorer("left", left, (Column("left_score", "Room on its left", low_means="x"),))
    defects = {"left_score": move}
"""
