"""Run-length CSV as Kaggle's competitions spell it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_masks import decoded, encoded, scene
from PIL import Image
from small_table_datasets import kaggle_pictures, pairs_of

import curate
from curate.common import files
from curate.errors import CallError, SourceError
from curate.formats.csv.csv_records import read_records
from curate.formats.csv.run_length_csv import FORMAT, matches
from curate.formats.edits import Addition, Change, Edits
from curate.formats.format import ReadOptions
from curate.formats.reading import detect, read
from curate.people.reviews import Reviews

SIZE = (30, 46)
MASKS = scene(np.random.default_rng(5), SIZE, 4)


def put(folder: Path, text: str, name: str = "train.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def picture(path: Path, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size[::-1]).save(path)


def pixels(table: curate.MaskTable) -> list[np.ndarray]:
    masks = table.masks
    return [
        decoded(counts, size)
        for counts, size in zip(
            masks["segmentation"], zip(masks["height"], masks["width"], strict=True), strict=True
        )
    ]


DOWN = [pairs_of(mask.ravel("F")) for mask in MASKS]
ALONG = [pairs_of(mask.ravel()) for mask in MASKS]

HEADERS = {
    "ImageId,EncodedPixels,Height,Width": ("a.jpg,{},30,46", DOWN),
    "ImageId,EncodedPixels,Height,Width,Usage": ("a,{},30,46,Public", DOWN),
    "ImageId,EncodedPixels,Height,Width,ClassId,AttributesIds": ('a,{},30,46,3,"1,2"', DOWN),
    "id,organ,data_source,img_height,img_width,pixel_size,rle": (
        "100,prostate,HPA,30,46,0.4,{}",
        DOWN,
    ),
    "id,annotation,width,height,cell_type,plate_time": ("a,{},46,30,shsy5y,11h", ALONG),
}


@pytest.mark.parametrize("header", HEADERS)
def test_the_spellings_of_competitions(tmp_path: Path, header: str) -> None:
    row, runs = HEADERS[header]
    text = "\n".join([header, *(row.replace("{}", one) for one in runs)])
    path = put(tmp_path, text)
    assert matches(path)
    table = read(path)
    assert all((a == b).all() for a, b in zip(pixels(table), MASKS, strict=True))


PICTURED = {
    "Airbus": ("ImageId,EncodedPixels", "0.jpg", "train_v2/0.jpg"),
    "Severstal": ("ImageId,ClassId,EncodedPixels", "0.jpg,1", "train_images/0.jpg"),
    "Bowl": ("ImageId,EncodedPixels", "0a", "stage1_train/0a/images/0a.png"),
    "Salt": ("id,rle_mask", "0a", "images/0a.png"),
    "Kidneys": ("id,encoding", "0a", "train/0a.tiff"),
    "Carvana": ("img,rle_mask", "0_01.jpg", "train/0_01.jpg"),
}


@pytest.mark.parametrize("name", PICTURED)
def test_sizes_are_those_of_the_pictures(tmp_path: Path, name: str) -> None:
    header, row, where = PICTURED[name]
    runs = ALONG if name == "Carvana" else DOWN
    path = put(tmp_path / "home", "\n".join([header, *(f"{row},{one}" for one in runs)]) + "\n")
    with pytest.raises(SourceError, match="no pictures of its images are found"):
        read(path)
    picture(tmp_path / "home" / where)
    table = read(path)
    assert all((a == b).all() for a, b in zip(pixels(table), MASKS, strict=True))
    assert [note.kind for note in table.notes if note.of == "images"] == ["sizes_from_pictures"]
    assert FORMAT.pictures is not None
    found = FORMAT.pictures(path)
    assert found is not None
    assert (found.folder / table.images["file_name"].iloc[0]).is_file()
    (tmp_path / "home" / where).rename(tmp_path / where.rpartition("/")[2])
    given = detect(path, None, ReadOptions(images=tmp_path))
    again = given.load(path, next(given.plan(path, tmp_path)))
    assert again.masks["segmentation"].equals(table.masks["segmentation"])


def test_an_audit_sees_the_pictures(tmp_path: Path) -> None:
    """Found beside the file, scored, written and read again."""
    path = kaggle_pictures(tmp_path, np.random.default_rng(1))
    audit = curate.audit(path, tmp_path / "audit")
    assert (audit.images()["status"] == "ok").all()
    assert audit.info.settings["pictures"] == "beside the file"
    people = pd.DataFrame([{"mask_id": audit.masks().index[0], "action": "reject"}])
    Reviews(audit).add(people, origin="a test")
    out = tmp_path / "out" / path.name
    curate.write(tmp_path / "audit", out)
    old, new = path.read_text().splitlines(), out.read_text().splitlines()
    assert new == [old[0], *old[2:]]


SIZED = "ImageId,EncodedPixels,Height,Width\n"

BROKEN = {
    "1 2 3": ("undecodable", "no length"),
    "0 2": ("undecodable", "counted from 1"),
    "5 3 4 2": ("undecodable", "not those of the whole image"),
    "1379 3": ("undecodable", "ends at pixel 1381, the image has 1380"),
    "1 x": ("undecodable", "'x'"),
    "1.5 2": ("undecodable", "'1.5'"),
    "3 0": ("empty", ""),
    "9999999999999999999 1": ("undecodable", "no whole number"),
    "999999999999999999 999999999999999999": ("undecodable", "ends at pixel"),
}


@pytest.mark.parametrize("runs", BROKEN)
def test_broken_runs_are_findings(tmp_path: Path, runs: str) -> None:
    path = put(tmp_path, f"{SIZED}a.png,{DOWN[0]},30,46\na.png,{runs},30,46\n")
    table = read(path)
    status, detail = BROKEN[runs]
    assert table.masks["status"].tolist() == ["ok", status]
    assert detail in table.masks["status_detail"].iloc[1]


def test_rows_that_are_not_whole_are_findings(tmp_path: Path) -> None:
    rows = [f"a.png,{DOWN[0]},30,46", "a.png", "a.png,1 2,30,46,more", "a.png,1 2,31,46", "b,1 1,,"]
    table = read(put(tmp_path, SIZED + "\n".join(rows)))
    assert table.masks["status"].tolist() == [
        *("ok", "wrong_type", "wrong_type", "wrong_type", "unknown_image")
    ]
    assert "1 fields of 4" in table.masks["status_detail"].iloc[1]
    assert "46 x 31" in table.masks["status_detail"].iloc[3]
    assert table.images["status"].tolist() == ["ok", "missing"]


@pytest.mark.parametrize("none", ["", "-1", '""'])
def test_an_image_without_masks_has_a_row(tmp_path: Path, none: str) -> None:
    table = read(put(tmp_path, f"{SIZED}a.png,{none},30,46\nb.png,{DOWN[0]},30,46\n"))
    assert table.images["file_name"].tolist() == ["a.png", "b.png"]
    assert table.masks["file_name"].tolist() == ["b.png"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n1,2\n",
        "id,label\n1,2\n",
        "id,annotation\n1,a dog\n",
        'id,segmentation\n1,"[[1, 2]]"\n',
        "id,rle\n",
        "ImageId,EncodedPixels,imageid\n",
        "ImageId,EncodedPixels\na,PbfP1\n",
    ],
)
def test_other_tables_are_none(tmp_path: Path, text: str) -> None:
    assert not matches(put(tmp_path, text))


# --- one row an image and class ------------------------------------------------------------------

JOINED = "ImageId_ClassId,EncodedPixels\n"


def joined(folder: Path, newline: str = "\n") -> Path:
    """Four rows an image, as in Severstal's first file: a.jpg has the classes 1 and 3."""
    picture(folder / "train_images" / "a.jpg")
    picture(folder / "train_images" / "b_b.jpg")
    rows = ["a.jpg_1," + DOWN[0], "a.jpg_2,", "a.jpg_3," + DOWN[1], "a.jpg_4,"]
    rows += [f"b_b.jpg_{k}," for k in (1, 2, 3, 4)]
    return put(folder, JOINED + newline.join(rows) + newline)


def written(path: Path, edits: Edits) -> list[str]:
    out = path.parent / "out.csv"
    FORMAT.write(path, None, edits)
    FORMAT.write(path, out, edits)
    named = path.parent / "copy" / path.name
    files.mkdir(named.parent)
    shutil.copyfile(out, named)
    assert FORMAT.check_unedited(path, named, edits) == ""
    return out.read_text().splitlines()[1:]


def test_the_class_stands_behind_the_name(tmp_path: Path) -> None:
    table = read(joined(tmp_path))
    assert table.images["file_name"].tolist() == ["a.jpg", "b_b.jpg"]
    assert table.masks["category"].tolist() == ["1", "3"]
    assert table.masks["category_id"].tolist() == [1, 3]


def test_rows_of_a_class_stay_and_are_filled(tmp_path: Path) -> None:
    path = joined(tmp_path)
    old = path.read_text().splitlines()[1:]
    new = Addition("b_b.jpg", encoded(MASKS[2]), *SIZE, "2")
    edits = Edits(
        drop={"train.csv:2"},
        change={"train.csv:4": Change(encoded(MASKS[3]), "4")},
        add=[new],
    )
    made = written(path, edits)
    assert made == [
        *("a.jpg_1,", old[1], "a.jpg_3,", f"a.jpg_4,{DOWN[3]}"),
        *(old[4], f"b_b.jpg_2,{DOWN[2]}", old[6], old[7]),
    ]


def test_a_row_that_lost_its_mask_is_filled_again(tmp_path: Path) -> None:
    path = joined(tmp_path)
    edits = Edits(drop={"train.csv:2"}, add=[Addition("a.jpg", encoded(MASKS[2]), *SIZE, "1")])
    assert written(path, edits)[:2] == [f"a.jpg_1,{DOWN[2]}", "a.jpg_2,"]


def test_two_masks_of_one_class_are_refused(tmp_path: Path) -> None:
    path = joined(tmp_path)
    for edits in (
        Edits(change={"train.csv:2": Change(category="3")}),
        Edits(add=[Addition("a.jpg", encoded(MASKS[2]), *SIZE, "3")]),
    ):
        with pytest.raises(CallError, match="has a mask of the class '3'"):
            FORMAT.write(path, None, edits)
    with pytest.raises(CallError, match="cannot stand in its column"):
        FORMAT.write(path, None, Edits(change={"train.csv:2": Change(category="a_b")}))
    with pytest.raises(CallError, match="has no category"):
        FORMAT.write(path, None, Edits(add=[Addition("a.jpg", encoded(MASKS[2]), *SIZE)]))


def test_the_last_mask_of_an_image_leaves_its_row(tmp_path: Path) -> None:
    text = f'{SIZED}a.png,"{DOWN[0]}",30,46\nb.png,{DOWN[1]},30,46\na.png,{DOWN[2]},30,46'
    path = put(tmp_path, text)
    edits = Edits(drop={"train.csv:2", "train.csv:4"})
    assert written(path, edits) == ['a.png,"",30,46', f"b.png,{DOWN[1]},30,46"]


@pytest.mark.parametrize("row", ["a.png", "a.png,1 2,30,46,more"])
def test_a_row_that_is_not_whole_leaves_a_whole_one(tmp_path: Path, row: str) -> None:
    path = put(tmp_path, f"{SIZED}b.png,{DOWN[0]},30,46\n{row}\n")
    made = written(path, Edits(drop={"train.csv:3"}))
    assert made[1] == ("a.png,,30,46" if "30" in row else "a.png,,,")


def test_attributes_behind_a_class_stay(tmp_path: Path) -> None:
    path = put(tmp_path, f"ImageId,EncodedPixels,Height,Width,ClassId\na,{DOWN[0]},30,46,6_12_3\n")
    assert read(path).masks["category"].tolist() == ["6"]
    edits = Edits(change={"train.csv:2": Change(category="33")})
    assert written(path, edits) == [f"a,{DOWN[0]},30,46,33_12_3"]
    with pytest.raises(CallError, match="cannot stand in its column"):
        FORMAT.write(path, None, Edits(change={"train.csv:2": Change(category="1_2")}))


def test_without_its_picture_a_mask_is_not_redrawn(tmp_path: Path) -> None:
    path = joined(tmp_path)
    shutil.rmtree(tmp_path / "train_images")
    edits = Edits(change={"train.csv:2": Change(encoded(MASKS[2]))})
    with pytest.raises(CallError, match="size is not known"):
        FORMAT.write(path, None, edits)
    assert written(path, Edits(drop={"train.csv:2"}))[0] == "a.jpg_1,"


def test_records_with_quotes_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,"b\n""c"",\r\n",d\r\n\n"e""",f"g,"h"i,\nlast,"open\nquote\n')
    with path.open("rb") as file:
        found = list(read_records(file, "x"))
    assert [one.line for one in found] == [1, 5, 6]
    assert [[one.value(k) for k in range(len(one.fields))] for one in found[:2]] == [
        [b"a", b'b\n"c",\r\n', b"d"],
        [b'e"', b'f"g', b'"h"i', b""],
    ]
    data = path.read_bytes()
    for one in found:
        assert data[one.start : one.end] == b",".join(one.fields)
        for k, field in enumerate(one.fields):
            begin, end = one.place(k)
            assert data[begin:end] == field


def test_many_images_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in any order; each image whole in one part."""
    monkeypatch.setattr("curate.formats.csv.run_length_csv.PART_BYTES", 2_000)
    rng = np.random.default_rng(2)
    order = rng.permutation(60)
    rows = [f"{k % 20}.png,{DOWN[k % 4]},30,46" for k in order]
    path = put(tmp_path, SIZED + "\n".join(rows))
    parts = list(FORMAT.plan(path, tmp_path))
    tables = [FORMAT.load(path, part) for part in parts]
    assert len(parts) > 3
    names = [name for table in tables for name in table.images["file_name"]]
    assert sorted(names) == sorted({f"{k % 20}.png" for k in order})
    assert sum(map(len, tables)) == 60
