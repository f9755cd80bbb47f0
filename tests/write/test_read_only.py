"""A disk that is read-only: one sentence names what was asked for, and no temporary file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from random_cases import some_of
from small_datasets import build

import curate
from curate.common import files
from curate.errors import CurateError
from curate.pipeline.scoring import audit as score_audit

FIRST = [0, 3, 9, 20, 31, 40]
"""Operations on files that fail, one a try."""


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("read_only")
    score_audit(build("coco", folder / "source"), folder / "audit")
    return folder / "audit"


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES], ids=errno.errorcode.get)
@pytest.mark.parametrize("fails", some_of(FIRST, 3))
@pytest.mark.parametrize("verb", [curate.prune, curate.write], ids=lambda verb: verb.__name__)
def test_what_was_asked_for_is_named(
    audited: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    fails: int,
    verb: object,
) -> None:
    done = 0

    def hook(operation: str, path: Path) -> None:
        nonlocal done
        done += 1
        if done == fails + 1:
            raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(files, "_hook", hook)
    said = ""
    try:
        verb(audited, tmp_path / "out.json")  # type: ignore[operator]
    except (CurateError, OSError) as error:
        said = str(error)
    monkeypatch.undo()
    assert ".partial" not in said
    assert ".tmp" not in said
    assert "make room" not in said
    if said and (tmp_path / "out.json").exists():
        assert curate.version(tmp_path / "out.json"), "what stands there is whole"
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".partial")]
    assert fails > 3 or said
