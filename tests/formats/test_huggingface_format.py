"""Hugging Face Parquet as a source, in the spellings of its columns."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn_masks import box_of, decoded, encoded, rasterised, ring, rle_of, runs_of, scene, stars
from PIL import Image
from small_table_datasets import huggingface

import curate
from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.parquet.huggingface_format import FORMAT, matches
from curate.formats.reading import detect, read

SIZE = (30, 46)
MASKS = scene(np.random.default_rng(5), SIZE, 3)
RINGS = stars(np.random.default_rng(6), SIZE, 3)


def picture(size: tuple[int, int] = SIZE) -> dict[str, Any]:
    packed = io.BytesIO()
    Image.new("L", size[::-1]).save(packed, "PNG")
    return {"bytes": packed.getvalue(), "path": "a.png"}


def put(folder: Path, rows: list[dict[str, Any]], name: str = "a.parquet", **more: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, **more), path)
    return path


def pixels(table: curate.MaskTable) -> list[np.ndarray]:
    masks = table.masks
    sizes = zip(masks["height"], masks["width"], strict=True)
    return [
        decoded(counts, size) for counts, size in zip(masks["segmentation"], sizes, strict=True)
    ]


def points(rings: list[list[float]]) -> list[list[list[float]]]:
    return [[[x, y] for x, y in zip(one[::2], one[1::2], strict=True)] for one in rings]


SPELLINGS: dict[str, list[Any]] = {
    "rle": [rle_of(mask) for mask in MASKS],
    "runs": [{"size": list(SIZE), "counts": runs_of(mask.ravel("F"))} for mask in MASKS],
    "bytes": [{"size": list(SIZE), "counts": encoded(mask)} for mask in MASKS],
    "json": [json.dumps(rle_of(mask)) for mask in MASKS],
    "rings": RINGS,
    "ring": [rings[0] for rings in RINGS],
    "points": [points(rings) for rings in RINGS],
    "json rings": [json.dumps(rings) for rings in RINGS],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("listed", [False, True])
def test_masks_are_read_and_written_in_their_spelling(
    tmp_path: Path, spelling: str, listed: bool
) -> None:
    values = SPELLINGS[spelling]
    objects: Any = [{"segmentation": one, "category": "x"} for one in values]
    if not listed:
        objects = {"segmentation": values, "category": ["x"] * 3}
    path = put(tmp_path, [{"image": picture(), "objects": objects}])
    assert matches(path)
    table = read(path)
    of_rings = "ring" in spelling or spelling == "points"
    meant = [rasterised(rings, SIZE) for rings in RINGS] if of_rings else MASKS
    assert all((a == b).all() for a, b in zip(pixels(table), meant, strict=True))
    assert table.masks["source_key"].tolist() == [f"a.parquet#0/{k}" for k in range(3)]
    assert table.images["file_name"].tolist() == ["a.png"]

    new = np.zeros(SIZE, bool)
    new[4:9, 5:20] = True
    edits = Edits(
        drop={"a.parquet#0/0"},
        change={"a.parquet#0/1": Change(encoded(new))},
        add=[Addition("a.parquet#0", encoded(new), *SIZE, "y")],
    )
    out = tmp_path / "out" / "a.parquet"
    FORMAT.write(path, out, edits)
    assert FORMAT.check_unedited(path, out, edits) == ""
    again = read(out)
    assert all((a == b).all() for a, b in zip(pixels(again), [new, meant[2], new], strict=True))
    assert again.masks["category"].tolist() == ["x", "x", "y"]
    value = pq.read_table(out).to_pylist()[0]["objects"]
    kept = value[1]["segmentation"] if listed else value["segmentation"][1]
    assert kept == values[2]


def test_a_column_of_polygons_holds_what_polygons_can(tmp_path: Path) -> None:
    """A mask with a hole becomes a ring with a seam."""
    objects = [{"segmentation": one} for one in RINGS]
    path = put(tmp_path, [{"image": picture(), "objects": objects}])
    new = ring(np.random.default_rng(3), SIZE)
    edits = Edits(change={"a.parquet#0/1": Change(encoded(new))})
    stored = FORMAT.write(path, tmp_path / "out.parquet", edits)
    assert (stored.polygons, stored.seams, stored.runs) == (1, 1, 0)
    assert (pixels(read(tmp_path / "out.parquet"))[1] == new).all()


@pytest.mark.parametrize("form", ["xywh", "xyxy", "share"])
def test_boxes_are_renewed_as_they_are_written(tmp_path: Path, form: str) -> None:
    def spell(mask: np.ndarray) -> list[float]:
        x, y, w, h = box_of(mask)
        if form == "share":
            return [x / SIZE[1], y / SIZE[0], w / SIZE[1], h / SIZE[0]]
        return [float(one) for one in ([x, y, w, h] if form == "xywh" else [x, y, x + w, y + h])]

    objects = [{"segmentation": rle_of(m), "bbox": spell(m), "area": float(m.sum())} for m in MASKS]
    path = put(tmp_path, [{"image": picture(), "objects": objects}])
    new = np.zeros(SIZE, bool)
    new[4:9, 5:20] = True
    edits = Edits(change={"a.parquet#0/1": Change(encoded(new))})
    FORMAT.write(path, tmp_path / "out.parquet", edits)
    made = pq.read_table(tmp_path / "out.parquet").to_pylist()[0]["objects"][1]
    assert made["bbox"] == spell(new)
    assert made["area"] == 75.0


def test_sizes_come_from_columns_pictures_or_run_lengths(tmp_path: Path) -> None:
    objects = [{"segmentation": rle_of(MASKS[0])}]
    for row in (
        {"height": SIZE[0], "width": SIZE[1], "file_name": "x.jpg"},
        {"image": picture()},
        {"image": "x.jpg"},
        {"image": {"bytes": b"broken", "path": None}},
    ):
        table = read(put(tmp_path, [row | {"objects": objects}]))
        assert (pixels(table)[0] == MASKS[0]).all()
    table = read(put(tmp_path, [{"image": "x.jpg", "objects": [{"segmentation": RINGS[0]}]}]))
    assert table.masks["status"].tolist() == ["unknown_image"]


def test_broken_rows_are_findings(tmp_path: Path) -> None:
    good = {"segmentation": [rle_of(MASKS[0])], "category": ["x"]}
    uneven = {"segmentation": [rle_of(MASKS[0])], "category": ["x", "y"]}
    rows = [{"image": picture(), "objects": one} for one in (uneven, good, None)]
    table = read(put(tmp_path, rows))
    assert table.images["status"].tolist() == ["unreadable", "ok", "ok"]
    assert len(table) == 1
    items = [None, {"segmentation": {"size": [3, 3], "counts": "~"}}, {"segmentation": None}]
    table = read(put(tmp_path, [{"image": picture(), "objects": items}]))
    assert table.masks["status"].tolist() == ["wrong_type", "size_mismatch", "no_segmentation"]


def test_numbers_of_categories_have_names(tmp_path: Path) -> None:
    told = {"info": {"features": {"objects": {"feature": {"label": {"names": ["a", "b"]}}}}}}
    objects = {"segmentation": [rle_of(m) for m in MASKS], "label": [1, 0, 5]}
    path = put(tmp_path, [{"image": picture(), "objects": objects}])
    table = pq.read_table(path).replace_schema_metadata({"huggingface": json.dumps(told)})
    pq.write_table(table, path)
    masks = read(path).masks
    assert masks["category"].fillna("-").tolist() == ["b", "a", "-"]
    assert masks["category_id"].tolist() == [1, 0, 5]
    with pytest.raises(CallError, match="not among the names"):
        FORMAT.write(path, None, Edits(change={"a.parquet#0/0": Change(category="c")}))
    FORMAT.write(path, tmp_path / "b", Edits(change={"a.parquet#0/0": Change(category="a")}))
    assert pq.read_table(tmp_path / "b").to_pylist()[0]["objects"]["label"] == [0, 0, 5]


def test_shards_are_one_dataset(tmp_path: Path) -> None:
    root = huggingface(tmp_path, np.random.default_rng(0))
    assert detect(root).name == "huggingface"
    table = read(root)
    assert table.images.index.tolist() == [7, 6, 5]
    assert table.images["subset"].tolist() == ["train"] * 3
    assert table.masks.index.tolist() == [100, 99, 98, 97, 90, 89, 88]
    edits = Edits(drop={"data/train-00000-of-00002.parquet#1/2"})
    FORMAT.write(root, tmp_path / "out", edits)
    for name in ("README.md", "data/train-00001-of-00002.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (root / name).read_bytes()


@pytest.mark.parametrize(
    "key", ["x", "a.parquet#0", "a.parquet#0/9", "a.parquet#9/0", "b.parquet#0/0", "a.parquet#x/0"]
)
def test_keys_that_name_nothing_are_refused(tmp_path: Path, key: str) -> None:
    path = put(tmp_path, [{"image": picture(), "objects": [{"segmentation": rle_of(MASKS[0])}]}])
    with pytest.raises(CallError, match="names no"):
        FORMAT.write(path, tmp_path / "out.parquet", Edits(drop={key}))
    assert not (tmp_path / "out.parquet").exists()


def test_other_tables_and_broken_files_are_none(tmp_path: Path) -> None:
    assert not matches(put(tmp_path, [{"a": 1}]))
    assert not matches(put(tmp_path, [{"image": picture(), "objects": [{"bbox": [1.0]}]}]))
    path = tmp_path / "cut.parquet"
    whole = put(tmp_path, [{"image": picture(), "objects": [{"segmentation": rle_of(MASKS[0])}]}])
    path.write_bytes(whole.read_bytes()[:-20])
    assert not matches(path)
    with pytest.raises(SourceError, match="broken"):
        read(path, "huggingface")


def test_large_row_groups_are_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.formats.parquet.huggingface_format._MOST_ROWS", 7)
    monkeypatch.setattr("curate.formats.parquet.huggingface_format.PART_BYTES", 60)
    objects = [{"segmentation": rle_of(MASKS[0])}]
    rows = [
        {"file_name": f"{k}.png", "height": 30, "width": 46, "objects": objects} for k in range(40)
    ]
    path = put(tmp_path, rows)
    parts = list(FORMAT.plan(path, tmp_path))
    tables = [FORMAT.load(path, part) for part in parts]
    assert len(parts) > 3
    names = [name for table in tables for name in table.images["file_name"]]
    assert names == [f"{k}.png" for k in range(40)]
    assert sum(map(len, tables)) == 40
