"""What ``make fuzz`` found: the smallest input of each kind, and what is right."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from boxes import dataset

from curate.audit_info import SCHEMA_VERSION, read_info
from curate.errors import AuditError, SourceError
from curate.exchange.archives import head_of, names_in
from curate.exchange.huggingface import TOOL
from curate.formats import read


@pytest.mark.parametrize("name", ["\ud800.jpg", "a\udfffb.png"])
def test_half_a_surrogate_pair_in_a_name_is_written_as_its_escape(
    tmp_path: Path, name: str
) -> None:
    """NaN in the file makes Python's parser read it, which takes what no table can hold."""
    content = dataset()
    content["images"][0] |= {"file_name": name, "own": float("nan")}
    content["categories"][0]["name"] = name
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    table = read(path)
    plain = name.encode("utf-8", "backslashreplace").decode()
    assert table.images["file_name"].tolist()[0] == plain
    assert set(table.masks["category"]) == {plain}


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        (
            "notes",
            [{"kind": "finding", "text": "x", "count": None, "of": "masks"}],
            "notes[0].count",
        ),
        ("source", [1], "source"),
        ("signals", [{"name": "shape"}], "signals[0].columns"),
        ("models", {"segmenter": 7}, "models.segmenter"),
        ("rules_of_file", [True], "rules_of_file[0]"),
        (
            "references",
            {"quality": {"a_score": {"value": "1"}}},
            "references.quality.a_score.value",
        ),
        ("counts", {"masks": 2.5, "images": 1, "actions": {}, "status": {}}, "counts.masks"),
    ],
)
def test_an_audit_json_with_values_of_other_types_is_refused_with_the_place(
    tmp_path: Path, key: str, value: object, place: str
) -> None:
    info = {"schema_version": SCHEMA_VERSION, "state": "complete", "source": {}}
    (tmp_path / "audit.json").write_text(json.dumps(info))
    assert read_info(tmp_path) == info
    (tmp_path / "audit.json").write_text(json.dumps(info | {key: value}))
    with pytest.raises(AuditError, match=f"not as curate writes it: {re.escape(place)} is"):
        read_info(tmp_path)
    assert read_info(tmp_path, any_version=True) is not None  # what --restart throws away


def test_a_parquet_in_which_a_column_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    objects = [{"id": [1], "segmentation": [{"size": [1, 1], "counts": "01"}]}]
    names = ["file_name", "height", "width", "objects", "objects"]
    columns = [pa.array(one) for one in (["a.png"], [1], [1], objects, objects)]
    pq.write_table(pa.Table.from_arrays(columns, names), path)
    with pytest.raises(SourceError, match="stands twice"):
        list(TOOL.pictures(path, None))


def test_names_and_heads_of_a_damaged_zip_are_no_errors(tmp_path: Path) -> None:
    """Every byte of its lists of members is put to values that lead anywhere."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", "<annotations/>" * 9)
    whole = path.read_bytes()
    assert names_in(path) == ["annotations.xml"]
    assert head_of(path, "annotations.xml").startswith(b"<annotations/>")
    seen = set()
    for k in range(len(whole)):
        for value in (0, 1, 9, 255):
            path.write_bytes(whole[:k] + bytes([value]) + whole[k + 1 :])
            seen |= {head_of(path, name)[:14] for name in names_in(path)}
    assert {b"", b"<annotations/>"} <= seen
