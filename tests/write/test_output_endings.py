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


@pytest.mark.parametrize("there", [True, False], ids=["an empty folder", "a slash"])
@pytest.mark.parametrize(
    ("to", "file"),
    [
        ("coco", "annotations/instances.json"),
        ("lvis", "annotations/lvis.json"),
        ("cvat", "annotations.xml"),
        ("kaggle-csv", "train.csv"),
    ],
)
def test_formats_of_one_file_make_a_folder_where_it_is_asked_for(
    to: str, file: str, there: bool, source: Path, audit: Path, tmp_path: Path
) -> None:
    out: Path | str = f"{tmp_path}/out/"
    if there:
        out = tmp_path / "out"
        out.mkdir()
    made = curate.write(audit, out, to=to)
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert tmp_path / "out" / file in written
    if to == "coco":  # the source's own format: all that is in it stays
        assert made.out == tmp_path / "out" / file
        assert made.out.read_bytes() == source.read_bytes()
    else:
        assert written == [tmp_path / "out" / file]
        assert made.out == tmp_path / "out"
        assert made.provenance == tmp_path / "out.provenance.parquet"
    assert curate.version(made.readable) == curate.version(tmp_path / "out" / file)
    if to != "kaggle-csv":  # a folder of CSV files may be of many datasets
        assert curate.version(tmp_path / "out") == curate.version(made.readable)


def test_a_file_in_its_own_format_has_the_name_of_the_source_in_a_folder(
    audit: Path, source: Path, tmp_path: Path
) -> None:
    for verb, name in ((curate.write, "a"), (curate.prune, "b")):
        made = verb(audit, f"{tmp_path}/{name}/")
        assert made.out == tmp_path / name / "source.json"
        assert made.out.read_bytes() == source.read_bytes()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "other").touch()
    assert curate.write(audit, tmp_path / "c").out == tmp_path / "c" / "source.json"


def test_a_named_format_is_no_archive_unless_the_output_is_called_one(
    source: Path, tmp_path: Path
) -> None:
    for kind, ending in (("zip", ".zip"), ("gztar", ".tar.gz")):
        packed = Path(shutil.make_archive(str(tmp_path / "set"), kind, source.parent))
        curate.audit(packed, tmp_path / kind, policy={"name": "all"})
        curate.write(tmp_path / kind, tmp_path / f"{kind}.json", to="coco")
        assert curate.version(tmp_path / f"{kind}.json") == curate.version(source)
        assert json.loads((tmp_path / f"{kind}.json").read_text())["annotations"]
        archive = curate.write(tmp_path / kind, tmp_path / f"again{ending}", to="coco")
        assert archive.export is None
        with (tmp_path / f"again{ending}").open("rb") as file:
            assert file.read(2) in (b"PK", b"\x1f\x8b")
