"""Names of outputs: none has the ending of another kind of file than what is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from boxes import annotation, box

import curate
from curate.errors import CallError


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("endings")
    images = [{"id": 1, "file_name": "1.png", "height": 40, "width": 50}]
    document = {
        "images": images,
        "annotations": [annotation(k, 1, box(5 * k, 4, 4, 6)) for k in range(1, 4)],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (folder / "set").mkdir()
    (folder / "set/source.json").write_text(json.dumps(document))
    return folder / "set/source.json"


@pytest.fixture(scope="module")
def audit(source: Path) -> Path:
    out = source.parent.parent / "audit"
    curate.audit(source, out, policy={"name": "all"})
    return out


@pytest.mark.parametrize(
    ("name", "told", "do"),
    [
        ("a.zip", {}, r"end it in \.json"),
        ("a.csv", {"to": "coco", "only": None, "masks": "rle", "split": {"a": 1}}, "ending out"),
        ("a.tar", {"to": "cvat"}, r"end it in \.xml"),
        ("a.json", {"to": "kaggle-csv", "lossy": True}, r"end it in \.csv"),
        ("a.zip", {"to": "label-png", "lossy": True}, "python -m zipfile -c a.zip a/"),
        ("a.json", {"to": "labelme", "lossy": True}, "leave the ending out"),
    ],
)
def test_an_ending_of_another_kind_is_refused(
    name: str, told: dict[str, Any], do: str, audit: Path, tmp_path: Path
) -> None:
    with pytest.raises(CallError, match="--out ends in") as refused:
        curate.write(audit, tmp_path / name, **told)
    assert do.replace("\\", "") in refused.value.do
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.v2", "plain", "a.JSON"])
def test_other_names_are_taken(name: str, audit: Path, tmp_path: Path) -> None:
    curate.write(audit, tmp_path / name, to="coco")
    assert json.loads((tmp_path / name).read_text())["images"]


def test_an_archive_is_written_as_such(source: Path, tmp_path: Path) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "set"), "zip", source.parent))
    curate.audit(packed, tmp_path / "audit", policy={"name": "all"})
    for verb in (curate.write, curate.prune):
        with pytest.raises(CallError, match=r"kind \.zip, and --out ends in \.json"):
            verb(tmp_path / "audit", tmp_path / "a.json")
    curate.write(tmp_path / "audit", tmp_path / "a.zip")
    assert (tmp_path / "a.zip").is_file()
