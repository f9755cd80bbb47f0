"""Fingerprints change with content and with nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curate.common import fingerprint as module
from curate.common.fingerprint import fingerprint
from curate.errors import SourceError


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"content")
    first = fingerprint(path)
    os.utime(path, (1, 1))
    copy = tmp_path / "b.json"
    copy.write_bytes(b"content")
    assert fingerprint(path) == fingerprint(copy) == first
    path.write_bytes(b"c0ntent")
    assert fingerprint(path) != first


def test_a_large_file_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE", 1 << 10)
    path = tmp_path / "large"
    path.write_bytes(bytes(1 << 20))
    first = fingerprint(path)
    path.write_bytes(bytes((1 << 20) - 1) + b"x")
    assert fingerprint(path) != first
    path.write_bytes(bytes((1 << 20) + 1))
    assert fingerprint(path) != first


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "1.png").write_bytes(b"one")
    (tmp_path / "d" / "2.png").write_bytes(b"two")
    first = fingerprint(tmp_path / "d")
    (tmp_path / "d" / "2.png").write_bytes(b"tw0")
    second = fingerprint(tmp_path / "d")
    (tmp_path / "d" / "2.png").rename(tmp_path / "d" / "3.png")
    third = fingerprint(tmp_path / "d")
    assert len({first, second, third}) == 3


def test_both_ends_of_files_in_a_folder(tmp_path: Path) -> None:
    made = set()
    for at in (0, module.EDGE + 5, 3 * module.EDGE - 1):  # the middle one is like all zeros
        content = bytearray(3 * module.EDGE)
        content[at] = 1
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / "1.json").write_bytes(content)
        made.add(fingerprint(tmp_path / "d"))
    assert len(made) == 3


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "loop").symlink_to(folder)
    (folder / "gone").symlink_to(tmp_path / "nothing")
    assert len(fingerprint(folder)) == 32


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such file or folder; check the path"):
        fingerprint(tmp_path / "nothing")
