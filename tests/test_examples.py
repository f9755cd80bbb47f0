"""The examples run, are short, and the README's code is theirs or works as it stands."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_example(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(path.read_text().splitlines()) <= 45
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(tmp_path)
    assert capsys.readouterr().out


def test_the_readme_names_only_options_that_exist() -> None:
    from typer.main import get_command

    from curate.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    text = (ROOT / "README.md").read_text()
    lines = re.findall(r"^(?:\.venv/bin/)?curate ([\w-]+)((?:.|\\\n)*?)$", text, re.MULTILINE)
    assert len(lines) > 4
    for verb, rest in lines:
        assert verb in commands, f"the README calls curate {verb}"
        known = {option for p in commands[verb].params for option in p.opts}
        for option in re.findall(r"--[\w-]+", rest):
            assert option in known, f"the README gives curate {verb} {option}"
