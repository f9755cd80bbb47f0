"""Pipes and devices among the files of a folder: nothing waits for them or reads them forever."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_datasets import build

from curate.common import files
from curate.formats.edits import Edits
from curate.formats.reading import detect

KINDS = {
    "amg": ("x/0.png", "x/metadata.csv", "a.json"),
    "png-folder": ("a1/masks/0fa1.png", "a1/masks/a.png", "a.json"),
    "sa1b": ("one/a.json", "one/sa_218.jpg", "one/licence.txt", "one/a"),
    "yolo": ("a.json", "images/train/a.txt", "data.yaml"),
}


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail where a block takes longer, as one does that waits for a pipe."""

    def stop(*_: Any) -> None:
        pytest.fail(f"it took over {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def put(path: Path, how: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if how == "pipe":
        os.mkfifo(path)
    elif how == "link to a pipe":
        os.mkfifo(path.parents[3] / "pipe")
        path.symlink_to(path.parents[3] / "pipe")
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("how", ["pipe", "link to a pipe", "link to a device"])
@pytest.mark.parametrize(
    ("kind", "name"), [(k, name) for k, names in KINDS.items() for name in names]
)
def test_what_is_no_file_is_neither_waited_for_nor_read(
    kind: str, name: str, how: str, tmp_path: Path
) -> None:
    source = build(kind, tmp_path / "a" / "b" / "data", 0)
    put(source / name, how)
    work = tmp_path / "work"
    work.mkdir()
    with within(120):  # what is compiled is compiled within it
        found = detect(source, kind)
        tables = [found.load(source, part) for part in found.plan(source, work)]
        keys = [key for table in tables for key in table.masks["source_key"]]
        found.write(source, tmp_path / "out", Edits(drop=frozenset(keys[:1])))
    assert keys
    assert sum(p.stat().st_size for p in (tmp_path / "out").rglob("*") if p.is_file()) < 10**6


def test_a_pipe_is_refused_and_a_file_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"x")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with within(20), pytest.raises(OSError, match="a pipe or a device, not a file"):
            files.open_to_read(path)
    with pytest.raises(IsADirectoryError):
        files.open_to_read(tmp_path)
    with files.open_to_read(tmp_path / "file") as file:
        assert file.read() == b"x"
