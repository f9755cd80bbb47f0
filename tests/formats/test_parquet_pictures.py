"""Masks that are pictures inside a Parquet: a picture an object, or in columns of their own."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mask_files import coco_pixels, counts_of
from PIL import Image

from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.reading import detect, read
from curate.writing.written_check import check_written

SIZE = (20, 30)
PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def block(k: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[2 : 5 + k, 3 : 9 + k] = True
    return mask


def packed(pixels: Any, mode: str = "L") -> bytes:
    made = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8) * 255).convert(mode).save(made, "PNG")
    return made.getvalue()


def picture(mask: Any, path: str | None = None, mode: str = "L") -> dict[str, Any]:
    return {"bytes": packed(mask, mode), "path": path}


def put(folder: Path, *objects: Any, listed: bool = False) -> Path:
    """Write a row with masks as pictures, in a list of objects or as lists of fields."""
    one = {"id": pa.int64(), "category": pa.string(), "mask": PICTURE}
    fields = [{"id": 5 + k, "category": "cat", "mask": mask} for k, mask in enumerate(objects)]
    kind = pa.list_(pa.struct([*one.items()]))
    value: Any = fields
    if not listed:
        kind = pa.struct([(name, pa.list_(own)) for name, own in one.items()])
        value = {name: [field[name] for field in fields] for name in one}
    table = pa.Table.from_pylist(
        [{"image": {"bytes": packed(np.ones(SIZE), "RGB"), "path": "a.png"}, "objects": value}],
        schema=pa.schema({"image": PICTURE, "objects": kind}),
    )
    pq.write_table(table, folder / "train.parquet")
    return folder / "train.parquet"


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("mode", ["L", "1", "RGB"])
def test_a_picture_an_object_is_read_and_written_back(
    tmp_path: Path, listed: bool, mode: str
) -> None:
    masks = [picture(block(k), f"{k}.png", mode) for k in range(3)]
    source, out = put(tmp_path, *masks, listed=listed), tmp_path / "out" / "train.parquet"
    table = read(source)
    assert detect(source).name == "huggingface"
    assert table.images[["height", "width"]].values.tolist() == [list(SIZE)]
    found = table.masks
    assert found.index.tolist() == [5, 6, 7]
    for k, counts in enumerate(found["segmentation"]):
        assert (coco_pixels({"size": list(SIZE), "counts": counts}) == block(k)).all()
    keys = found["source_key"].tolist()
    edits = Edits(
        drop=frozenset(keys[:1]),
        change={keys[1]: Change(counts_of(block(8)), "dog")},
        add=[Addition("train.parquet#0", counts_of(block(9)), *SIZE, "cow")],
    )
    form = detect(source)
    stored = form.write(source, out, edits)
    assert stored.runs == 2
    assert form.check_unedited(source, out, edits) == ""
    assert check_written(form, source, out, edits, stored).problem == ""
    value = pq.read_table(out).to_pylist()[0]["objects"]
    rows = (
        value
        if listed
        else [dict(zip(value, one, strict=True)) for one in zip(*value.values(), strict=True)]
    )
    assert [(one["id"], one["category"], one["mask"]["path"]) for one in rows] == [
        (6, "dog", "1.png"),
        (7, "cat", "2.png"),
        (8, "cow", None),
    ]
    assert rows[1]["mask"] == masks[2]
    for one, mask in ((rows[0], block(8)), (rows[2], block(9))):
        with Image.open(io.BytesIO(one["mask"]["bytes"])) as image:
            assert (np.asarray(image) == mask * 255).all()


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (None, "no_segmentation"),
        ({"bytes": None, "path": "elsewhere.png"}, "no_segmentation"),
        ({"bytes": b"", "path": None}, "no_segmentation"),
        ({"bytes": b"no picture", "path": None}, "undecodable"),
        (picture(np.ones((5, 5))), "size_mismatch"),
        (picture(np.ones((50, 5))), "size_mismatch"),
        (picture(np.zeros(SIZE)), "empty"),
    ],
)
def test_a_broken_picture_of_a_mask_is_a_finding(tmp_path: Path, value: Any, status: str) -> None:
    found = read(put(tmp_path, picture(block(0)), value)).masks
    assert found["status"].tolist() == ["ok", status]


def test_polygons_are_refused_where_masks_are_pictures(tmp_path: Path) -> None:
    source = put(tmp_path, picture(block(0)))
    key = read(source).masks["source_key"].iloc[0]
    edits = Edits(change={key: Change(counts_of(block(1)))}, masks="polygon")
    with pytest.raises(CallError, match="holds pictures; use --masks same"):
        detect(source).write(source, None, edits)


@pytest.mark.parametrize("name", ["label", "masks"])
def test_pictures_of_ids_in_a_column_of_their_own_are_refused_by_name(
    tmp_path: Path, name: str
) -> None:
    kind = PICTURE if name == "label" else pa.list_(PICTURE)
    one = picture(block(0))
    row = {"image": picture(np.ones(SIZE)), name: one if name == "label" else [one]}
    schema = pa.schema({"image": PICTURE, name: kind})
    pq.write_table(pa.Table.from_pylist([row], schema=schema), tmp_path / "a.parquet")
    for source in (tmp_path, tmp_path / "a.parquet"):
        with pytest.raises(SourceError, match=rf"pictures in a column of their own \({name}\)"):
            read(source)


@pytest.mark.parametrize("name", [b"element", b"bytes"])
def test_columns_stay_packed_whatever_row_groups_call_them(tmp_path: Path, name: bytes) -> None:
    """Names stand in the schema and in each row group; only the former count."""
    path = put(tmp_path, picture(block(0)), picture(block(1)))
    table = pq.read_table(path)
    pq.write_table(table, path, compression={"image.bytes": "SNAPPY", "image.path": "ZSTD"})
    data = path.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    odd = name[:-1] + b"w"
    path.write_bytes(data[:footer] + data[footer:].replace(name, odd, 1))
    out, edits = tmp_path / "out.parquet", Edits(drop=frozenset({"train.parquet#0/0"}))
    form = detect(path)
    form.write(path, out, edits)
    assert form.check_unedited(path, out, edits) == ""
    groups = [pq.ParquetFile(one).metadata.row_group(0) for one in (path, out)]
    codecs = [[one.column(k).compression for k in range(one.num_columns)] for one in groups]
    assert codecs[0] == codecs[1]
    assert len(set(codecs[0])) > 1
