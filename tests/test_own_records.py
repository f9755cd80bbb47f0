"""What two runs were asked for, held against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_datasets import build

import curate
from curate.common.own_records import DamagedRecord, describe_differences, read_record
from curate.errors import AuditError

PRINT = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("before", "now", "text"),
    [
        ({"a": 1}, {"a": 1}, ""),
        (
            {"settings": {"deep": False}},
            {"settings": {"deep": True}},
            "deep was false, is true now",
        ),
        ({"settings": {}}, {"settings": {"void": [9]}}, "void was not given, is [9] now"),
        ({"version": "1"}, {"version": "2"}, 'curate\'s version was "1", is "2" now'),
        (
            {"settings": {"stability": {"offset": 1}}},
            {"settings": {"stability": {"offset": 0.5, "kind": "logits"}}},
            'stability offset was 1, is 0.5 now; stability kind was not given, is "logits" now',
        ),
        (
            {"settings": {"stability": {"offset": 1}}},
            {"settings": {}},
            "stability offset was 1, is not given now",
        ),
        (
            {"source": {"path": "a", "fingerprint": PRINT}},
            {"source": {"path": "b", "fingerprint": PRINT[::-1]}},
            'source path was "a", is "b" now; the content of source has changed',
        ),
        ({"inputs": {"images": PRINT}}, {"inputs": {}}, "images was given, is not given now"),
        ({"inputs": {}}, {"inputs": {"images": PRINT}}, "images was not given, is given now"),
        ({}, {"recipe": {"nms": "box"}}, 'nms was not given, is "box" now'),
        (None, {"a": 1}, "a was not given, is 1 now"),
        ([], {"a": 1}, ' was [], is {"a":1} now'),
        ({"a": "x" * 99}, {"a": None}, f'a was "{"x" * 59}..., is not given now'),
    ],
)
def test_what_differs_is_said_old_and_new(before: Any, now: dict[str, Any], text: str) -> None:
    assert describe_differences(before, now) == text


def test_many_differences_are_counted() -> None:
    said = describe_differences({}, {f"s{k}": k for k in range(9)}).split("; ")
    assert len(said) == 7
    assert said[-1] == "and 3 more"


def test_an_audit_with_another_setting_says_which(tmp_path: Path) -> None:
    source = build("amg-json", tmp_path)
    out = curate.audit(source, tmp_path / "out").path
    with pytest.raises(AuditError, match=r"\(deep was false, is true now\); choose another"):
        curate.audit(source, out, deep=True)
    (out / "audit.json").write_bytes(b"")
    with pytest.raises(AuditError, match=r"audit.json: it is damaged or cut short; .* --restart"):
        curate.audit(source, out)
    assert len(curate.audit(source, out, restart=True).masks()) == 7


@pytest.mark.parametrize("content", [b"", b" \n", b"\0\0\0", b'{"schema_version": 2', b"{]"])
def test_a_record_that_is_cut_short(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "it.json").write_bytes(content)
    with pytest.raises(
        DamagedRecord, match=r"damaged or cut short; .* `curate it` again with --re"
    ):
        read_record(tmp_path / "it.json", "its", "curate it")


@pytest.mark.parametrize("content", [b"[1]", b"{}", b"null", b"\xff\xfe", b"text"])
def test_a_record_of_something_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "it.json").write_bytes(content)
    with pytest.raises(AuditError, match="it is not its; choose another directory") as caught:
        read_record(tmp_path / "it.json", "its", "curate it")
    assert type(caught.value) is AuditError
