"""What ``make fuzz`` found: the smallest input of each kind, and what is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from boxes import dataset

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
