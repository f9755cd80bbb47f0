"""The registry: what is found from content, and what is said where nothing is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_datasets import build

import curate
from curate.errors import CallError, CurateError, SourceError
from curate.formats import BUILT_IN, all_formats, format_names
from curate.formats.reading import detect, read


def test_every_built_in_format_is_named_as_registered():
    assert [one.name for one in all_formats()][: len(BUILT_IN)] == [name for name, _, _ in BUILT_IN]
    assert len(set(format_names())) == len(format_names())


def test_a_wrong_name_or_path_is_told(tmp_path: Path):
    with pytest.raises(CallError, match="there is no format pascal"):
        detect(tmp_path, "pascal")
    with pytest.raises(SourceError, match="no such file"):
        detect(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(SourceError, match="none of the formats"):
        read(tmp_path / "notes.txt")
    (tmp_path / "empty.json").touch()
    with pytest.raises(SourceError, match="empty"):
        read(tmp_path / "empty.json")
    (tmp_path / "cut.json").write_text('{"name": [1, 2')
    with pytest.raises(SourceError, match="cut off"):
        read(tmp_path / "cut.json")


@given(st.binary(max_size=80), st.sampled_from(["a.json", "a.xml", "a.png", "a.tar", "a.txt"]))
def test_strangers_files_never_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, name: str
):
    path = tmp_path_factory.mktemp("x") / name
    path.write_bytes(raw)
    for one in (path, path.parent):
        try:
            read(one)
        except CurateError:
            continue


@pytest.mark.usefixtures("with_report")
def test_an_audit_does_not_look_at_the_folder_in_which_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its report names the format of the dataset, whatever the present folder looks like."""
    monkeypatch.chdir(build("label-png", tmp_path / "here"))
    source = build("sa1b", tmp_path / "dataset")
    curate.audit(source, tmp_path / "audit")
    assert (tmp_path / "audit" / "report.html").is_file()
