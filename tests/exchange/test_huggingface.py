"""Hugging Face's Parquet: columns, what is told of them, and files that are not sound."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from boxes import box, dataset, rle
from hard_masks import audited, back, write
from PIL import Image

from curate.errors import CallError, SourceError
from curate.formats.parquet import object_rows
from curate.formats.segmentation import Segmentation, read_segmentation
from curate.people.exchange import huggingface, write_queue
from curate.people.reviews import open_reviews
from curate.store.audit import StoredAudit
from curate.testing.exchange_contract import draw_all


@pytest.fixture
def pictured(tmp_path: Path) -> StoredAudit:
    """Return an audit with pictures."""
    return audited(dataset(), tmp_path)


@pytest.fixture
def parquet(pictured: StoredAudit, tmp_path: Path) -> Path:
    """Return all its masks as Parquet."""
    return write(pictured, draw_all(pictured), tmp_path, "huggingface", False)[0]


def test_columns_and_pictures(parquet: Path, tmp_path: Path) -> None:
    table = pq.read_table(parquet)
    told = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert told["image"] == {"_type": "Image"}
    assert list(told) == table.column_names
    assert list(told["objects"]) == [f.name for f in table.schema.field("objects").type]
    assert told["objects"]["segmentation"][0]["counts"] == {"dtype": "string", "_type": "Value"}
    rows = table.to_pylist()
    assert sorted(row["file_name"] for row in rows) == ["1.png", "2.png", "3.png"]
    for row in rows:
        given = (tmp_path / "pictures" / row["file_name"]).read_bytes()
        assert row["image"]["bytes"] == given
        assert Image.open(io.BytesIO(given)).size == (row["width"], row["height"])
    first = next(row for row in rows if row["image_id"] == 1)["objects"]
    at = first["id"].index(1)
    assert first["bbox"][at] == [1.0, 5.0, 8.0, 11.0]
    assert first["area"][at] == 88
    assert first["category"][at] == "cat"
    assert first["segmentation"][at] == rle(box(1, 5, 8, 11))
    assert first["quality_score"][at] is not None


def changed(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        change(row)
    target = path.with_name("back.parquet")
    pq.write_table(pa.Table.from_pylist(rows), target)
    return target


def test_a_folder_of_shards_and_ids_as_floats(
    pictured: StoredAudit, parquet: Path, tmp_path: Path
) -> None:
    """Pandas makes floats of ids where one is missing."""
    rows = pq.read_table(parquet).to_pylist()
    (tmp_path / "hub" / "data").mkdir(parents=True)
    for k, row in enumerate(rows):
        row["objects"]["id"] = [float(number) for number in row["objects"]["id"]]
        shard = tmp_path / "hub" / "data" / f"train-{k:05d}-of-00003.parquet"
        pq.write_table(pa.Table.from_pylist([row]), shard)
    done = back(pictured, tmp_path / "hub")
    assert done.format == "huggingface"
    assert done.added.actions == {"accept": 12}


def test_categories_as_numbers_with_names(pictured: StoredAudit, parquet: Path) -> None:
    table = pq.read_table(parquet)
    rows = table.to_pylist()
    for row in rows:
        row["objects"]["category"] = [1 if number == 7 else 0 for number in row["objects"]["id"]]
    told = json.loads(table.schema.metadata[b"huggingface"])
    told["info"]["features"]["objects"]["category"] = {
        "feature": {"names": ["cat", "dog"], "_type": "ClassLabel"},
        "_type": "Sequence",
    }
    made = pa.Table.from_pylist(rows).replace_schema_metadata({"huggingface": json.dumps(told)})
    target = parquet.with_name("numbers.parquet")
    pq.write_table(made, target)
    assert back(pictured, target).added.actions == {"accept": 11, "fix": 1}


def test_the_path_of_the_picture_says_the_name_too(pictured: StoredAudit, parquet: Path) -> None:
    path = changed(parquet, lambda row: row.pop("file_name"))
    assert back(pictured, path).added.actions == {"accept": 12}


def test_only_masks_of_the_audits_images_are_drawn_and_none_before_sizes_are_checked(
    pictured: StoredAudit, parquet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, ...]] = []

    def read(value: object, *size: int) -> Segmentation:
        sizes.append(size)
        return read_segmentation(value, *size)

    def stranger(row: dict[str, Any]) -> None:
        if row["image_id"] == 2:
            row.update(file_name="elsewhere.png", height=30_000, width=30_000)

    def enlarged(row: dict[str, Any]) -> None:
        row.update(height=30_000 if row["image_id"] == 2 else row["height"])

    monkeypatch.setattr(huggingface, "read_segmentation", read)
    done = back(pictured, changed(parquet, stranger), assume_reviewed=True)
    assert done.added.actions == {"accept": 8}
    assert sizes == [(40, 50)] * 8
    sizes.clear()
    with pytest.raises(SourceError, match="it is 50 x 30000, in the audit 50 x 40"):
        back(pictured, changed(parquet, enlarged))
    assert not sizes


def spoil(key: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda row: row.update({key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row["objects"]["id"].pop(), "row 1: the lists of its objects differ"),
        (spoil("height", 41), "it is 50 x 41, in the audit 50 x 40"),
        (spoil("height", -1), "row 1: its height and width are no whole numbers over 0"),
        (spoil("file_name", None), "row 1: it has no file_name"),
        (lambda row: row.pop("width"), "there is no column width; keep the columns"),
        (lambda row: row["objects"]["segmentation"][0].update(counts="~"), "cannot be read"),
        (
            lambda row: row["objects"]["segmentation"][0].update(size=[50, 40]),
            "the RLE is 40 x 50, the image 50 x 40",
        ),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(
    pictured: StoredAudit, parquet: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    path = changed(parquet, change)
    with pytest.raises(SourceError, match=message):
        back(pictured, path)
    assert not len(open_reviews(pictured).decisions())


def many(value: Any, count: int) -> pa.ListArray:
    """Return one list with a value again and again, which takes next to no room in a file."""
    return pa.ListArray.from_arrays([0, count], pa.array([value]).take(np.zeros(count, int)))


TOO_MUCH: list[tuple[Callable[[], pa.Array], str]] = [
    (lambda: struct(id=many(1, 200_000)), "row 1: it has 200,000 objects, which no picture has"),
    (lambda: many({"id": 1}, 200_000), "row 1: it has 200,000 objects"),
    (lambda: struct(id=many(1, 300_000)), "row group 1 has 300,000 values .* in objects.id"),
    (
        lambda: struct(
            id=many(1, 1), segmentation=pa.ListArray.from_arrays([0, 1], many(1.5, 150_000))
        ),
        "row 1: its objects take 1,[0-9,]* bytes",
    ),
    (
        lambda: struct(id=many(1, 2000), category=many("a" * 1000, 2000)),
        "row 1: its objects take 2,[0-9,]* bytes",
    ),
]


def struct(**columns: pa.Array) -> pa.Array:
    return pa.StructArray.from_arrays(list(columns.values()), list(columns))


@pytest.mark.parametrize(("objects", "message"), TOO_MUCH, ids=range(len(TOO_MUCH)))
def test_a_small_file_with_far_too_many_objects(
    pictured: StoredAudit,
    tmp_path: Path,
    objects: Callable[[], pa.Array],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Equal values are packed to nothing; they are refused before they become Python's values."""
    monkeypatch.setattr(huggingface, "_to_image", None)
    monkeypatch.setattr(object_rows, "MAX_VALUES", 250_000)
    monkeypatch.setattr(object_rows, "MAX_ROW_BYTES", 1 << 20)
    columns = {
        "file_name": ["1.png"],
        "height": pa.array([40], pa.int32()),
        "width": pa.array([50], pa.int32()),
    }
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({**columns, "objects": objects()}), path)
    assert path.stat().st_size < 10_000
    with pytest.raises(SourceError, match=message):
        back(pictured, path)


def test_objects_as_a_list_and_columns_that_are_not_read(
    pictured: StoredAudit, parquet: Path
) -> None:
    def listed(row: dict[str, Any]) -> None:
        columns = row["objects"] | {"note": ["a" * 100_000] * len(row["objects"]["id"])}
        rows = zip(*columns.values(), strict=True)
        row["objects"] = [dict(zip(columns, values, strict=True)) for values in rows]

    assert back(pictured, changed(parquet, listed)).added.actions == {"accept": 12}


def test_a_broken_parquet(pictured: StoredAudit, parquet: Path, tmp_path: Path) -> None:
    data = bytearray(parquet.read_bytes())
    at = data.index(b"1.png")
    data[at - 200 : at + 400] = bytes(np.random.default_rng(0).integers(0, 255, 600, np.uint8))
    (tmp_path / "broken.parquet").write_bytes(data)
    with pytest.raises(SourceError):
        back(pictured, tmp_path / "broken.parquet")


def test_there_must_be_pictures(audit: StoredAudit, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="Hugging Face shows people pictures"):
        write_queue(audit, draw_all(audit), tmp_path / "a.parquet", "huggingface")
    assert not (tmp_path / "a.parquet").exists()


def test_row_groups_have_dictionaries_of_their_own(pictured: StoredAudit, parquet: Path) -> None:
    table = pq.read_table(parquet)
    groups = parquet.with_name("groups.parquet")
    pq.write_table(table, groups, row_group_size=1)
    assert pq.read_metadata(groups).num_row_groups > 1
    done = back(pictured, groups)
    assert set(done.added.actions) == {"accept"}


def test_texts_that_are_dictionaries_in_parts(pictured: StoredAudit, parquet: Path) -> None:
    """Writers give a dictionary up in the middle of a column once it is too large."""
    mixed = parquet.with_name("mixed.parquet")
    small: dict[str, Any] = {"dictionary_pagesize_limit": 40, "data_page_size": 1}
    pq.write_table(pq.read_table(parquet), mixed, write_batch_size=1, **small)
    columns = pq.read_metadata(mixed).row_group(0)
    kinds = [columns.column(k).encodings for k in range(columns.num_columns)]
    assert any({"PLAIN", "RLE_DICTIONARY"} <= set(found) for found in kinds)
    done = back(pictured, mixed)
    assert set(done.added.actions) == {"accept"}
