from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_files import (
    HEIGHT,
    WIDTH,
    bomb,
    counts_of,
    load_all,
    mask_at,
    save_png,
    shapes,
    status_at,
    tree,
)
from PIL import Image
from pycocotools import mask as coco_mask
from random_cases import draws

from curate.errors import CallError, CurateError, SourceError
from curate.formats.amg import amg_format
from curate.formats.amg.metadata_csv import Sheet
from curate.formats.edits import Addition, Change, Edits
from curate.formats.reading import detect, read

HEADER = (
    "id,area,bbox_x0,bbox_y0,bbox_w,bbox_h,point_input_x,point_input_y,predicted_iou,"
    "stability_score,crop_box_x0,crop_box_y0,crop_box_w,crop_box_h"
)


def line(i: object, mask: np.ndarray, iou: object = 0.9, stability: object = 0.97) -> str:
    y, x = np.nonzero(mask)
    box = (x.min(), y.min(), np.ptp(x), np.ptp(y)) if len(x) else (0, 0, 0, 0)
    numbers = [mask.sum(), *box, x[0] + 0.5 if len(x) else 0, y[0] + 0.5 if len(y) else 0]
    crop = (0, 0, mask.shape[1], mask.shape[0])
    return ",".join(str(v) for v in (i, *numbers, iou, stability, *crop))


def make_folder(folder: Path, masks: list[np.ndarray], lines: list[str] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, mask in enumerate(masks):
        save_png(folder / f"{i}.png", mask)
    lines = [line(i, mask) for i, mask in enumerate(masks)] if lines is None else lines
    (folder / "metadata.csv").write_text("\n".join([HEADER, *lines]))
    return folder


def record(mask: np.ndarray, **more: object) -> dict[str, object]:
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    y, x = np.nonzero(mask)
    return {
        "segmentation": {"size": list(mask.shape), "counts": rle["counts"].decode()},
        "area": int(mask.sum()),
        "bbox": [int(x.min()), int(y.min()), int(np.ptp(x)), int(np.ptp(y))],
        "predicted_iou": 1.02,
        "point_coords": [[float(x[0]), float(y[0])]],
        "stability_score": 0.96,
        "crop_box": [0, 0, mask.shape[1], mask.shape[0]],
        **more,
    }


# --- the tool's own output -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sound", "displaced"])
def test_real_output_is_read_to_the_pixel(data: Path, name: str) -> None:
    source = data / "sam_amg_truck" / name
    table = load_all(amg_format.FORMAT, source)
    m = table.masks
    assert len(m) == {"sound": 47, "displaced": 33}[name]
    assert (m["status"] == "ok").all()
    assert (m["area_px"] == m["declared_area"]).all()
    # The generator's box uses inclusive maxima, so it is one pixel short of COCO's.
    assert (m["bbox_x"] == m["declared_x"]).all()
    assert (m["bbox_w"] - m["declared_w"]).eq(1).all()
    assert (m["bbox_h"] - m["declared_h"]).eq(1).all()
    for key in ("0.png", "7.png", "31.png"):
        assert (mask_at(table, key) == (np.asarray(Image.open(source / key)) > 0)).all()
    assert m["source_key"].tolist() == [f"{i}.png" for i in m.index]
    assert table.images[["file_name", "height", "width"]].iloc[0].tolist() == [name, 1200, 1800]


def test_a_parent_holds_an_image_a_folder(data: Path) -> None:
    table = load_all(amg_format.FORMAT, data / "sam_amg_truck")
    assert detect(data / "sam_amg_truck").name == "amg"
    assert table.images["file_name"].tolist() == ["displaced", "sound"]
    assert table.masks["source_key"].iloc[0] == "displaced/0.png"
    assert len(table) == 80


def test_real_output_pruned(data: Path, tmp_path: Path) -> None:
    source = data / "sam_amg_truck"
    before = tree(source)
    amg_format.FORMAT.prune(source, tmp_path / "all", set())
    assert tree(tmp_path / "all") == before
    drop = {"sound/0.png", "sound/46.png", "displaced/3.png"}
    amg_format.FORMAT.prune(source, tmp_path / "some", drop)
    after = tree(tmp_path / "some")
    assert set(before) - set(after) == drop
    assert {n for n in after if after[n] != before[n]} == {
        "sound/metadata.csv",
        "displaced/metadata.csv",
    }
    lines = before["sound/metadata.csv"].split(b"\n")
    assert after["sound/metadata.csv"] == b"\n".join([lines[0], *lines[2:-1]])
    read_back = read(tmp_path / "some", "amg")
    whole = read(source, "amg")
    kept = whole.masks[~whole.masks["source_key"].isin(drop)]
    columns = ["source_key", "segmentation", "predicted_iou"]
    for column in columns:
        assert read_back.masks[column].tolist() == kept[column].tolist()


# --- folders -------------------------------------------------------------------------------------


def test_every_shape_to_the_pixel(tmp_path: Path) -> None:
    made = list(shapes().values())
    table = load_all(amg_format.FORMAT, make_folder(tmp_path / "photo", made))
    for i, mask in enumerate(made):
        assert (mask_at(table, f"{i}.png") == mask).all()
    assert table.masks["predicted_iou"].eq(0.9).all()
    assert table.masks["prompt_x"].notna().all()


def test_findings_of_a_folder(tmp_path: Path) -> None:
    mask = shapes()["ring"]
    lines = [
        line(0, mask),
        line(1, mask, "high", "nan"),
        line(2, mask, "", "inf"),
        line(3, mask),
        "4,100,1",
        line("x", mask),
        line(0, mask),
        line(90, mask),
        line(7, mask),
        line(8, mask),
        line(9, mask),
    ]
    folder = make_folder(tmp_path / "photo", [mask] * 8, lines)
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:-40])
    save_png(folder / "7.png", mask.T)
    (folder / "8.png").write_bytes(b"no picture at all, but long enough for a header")
    save_png(folder / "9.png", np.zeros_like(mask))
    save_png(folder / "7matting.png", mask)
    table = load_all(amg_format.FORMAT, folder)
    assert status_at(table, "0.png") == ("ok", "")
    assert status_at(table, "1.png") == ("wrong_type", "predicted_iou is 'high', not a number")
    assert status_at(table, "2.png") == ("wrong_type", "stability_score is infinite")
    assert (mask_at(table, "1.png") == mask).all()  # its pixels are still there
    assert status_at(table, "3.png")[0] == "undecodable"
    assert status_at(table, "4.png") == ("wrong_type", "metadata.csv line 6 has 3 fields of 14")
    assert status_at(table, "metadata.csv:7")[0] == "no_segmentation"
    assert status_at(table, "metadata.csv:8")[0] == "duplicate_id"
    assert status_at(table, "90.png") == ("no_segmentation", "the PNG is missing")
    assert status_at(table, "7.png") == ("size_mismatch", "the PNG is 37 x 53, the image 53 x 37")
    assert status_at(table, "8.png") == ("undecodable", "it is not a PNG")
    assert status_at(table, "9.png") == ("empty", "no pixel is set")
    for extra in ("5.png", "6.png"):
        assert status_at(table, extra)[0] == "ok"
    assert table.images["status_detail"].iloc[0] == "2 PNGs are not in metadata.csv: 5.png, 6.png"
    assert np.isnan(table.masks["stability_score"].iloc[1])


def test_a_huge_png_is_refused_by_its_header(tmp_path: Path) -> None:
    mask = shapes()["ring"]
    folder = make_folder(tmp_path / "photo", [mask, mask], [line(i, mask) for i in range(4)])
    bomb(folder / "2.png", 2**31 - 1, 2**31 - 1)
    bomb(folder / "3.png", 40_000, 40_000)
    table = read(folder, "amg")
    assert status_at(table, "2.png")[0] == "invalid_size"
    assert status_at(table, "3.png")[0] == "size_mismatch"
    only = make_folder(tmp_path / "only", [], [line(0, mask)])
    bomb(only / "0.png", 40_000, 40_000)
    status, detail = status_at(read(only, "amg"), "0.png")
    assert (status, detail) == (
        "undecodable",
        "a PNG of 40000 x 40000 pixels is too large to decode",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a,b\n1,2", "metadata.csv has no column id"),
        ("", "metadata.csv has no column id"),
        ('id,area\n"0,5', ""),
        ("\x00\xff", "metadata.csv has no column id"),
    ],
)
def test_a_broken_csv_loses_no_mask(tmp_path: Path, text: str, problem: str) -> None:
    mask = shapes()["parts"]
    folder = make_folder(tmp_path / "photo", [mask])
    (folder / "metadata.csv").write_bytes(text.encode("latin-1"))
    table = read(folder, "amg")
    assert (mask_at(table, "0.png") == mask).all()
    assert problem in table.images["status_detail"].iloc[0]
    if problem:
        assert table.images["status"].iloc[0] == "unreadable"


def test_an_unfinished_run_beside_a_finished_one(tmp_path: Path) -> None:
    mask = shapes()["noise"]
    make_folder(tmp_path / "out" / "a", [mask])
    (make_folder(tmp_path / "out" / "b", [mask]) / "metadata.csv").unlink()
    make_folder(tmp_path / "out" / "c", [])
    table = load_all(amg_format.FORMAT, tmp_path / "out")
    assert table.images["file_name"].tolist() == ["a", "b", "c"]
    assert table.images["status"].tolist() == ["ok", "unreadable", "ok"]
    assert (mask_at(table, "b/0.png") == mask).all()


def test_prune_keeps_bytes_quotes_and_line_ends(tmp_path: Path) -> None:
    mask = shapes()["dot"]
    folder = make_folder(tmp_path / "photo", [mask] * 3)
    rows = ["id,area,predicted_iou,note", '0,1,0.9,"two\r\nlines"', "1,1,0.9,שלום", "2,1,0.9,x"]
    (folder / "metadata.csv").write_bytes("\r\n".join([*rows, ""]).encode())
    amg_format.FORMAT.prune(folder, tmp_path / "kept", {"0.png"})
    after = tree(tmp_path / "kept")
    assert after["metadata.csv"] == "\r\n".join([rows[0], *rows[2:], ""]).encode()
    assert sorted(after) == ["1.png", "2.png", "metadata.csv"]


def test_a_png_stays_while_a_line_names_it(tmp_path: Path) -> None:
    mask = shapes()["dot"]
    folder = make_folder(tmp_path / "photo", [mask], [line(0, mask, 0.1), line(0, mask, 0.2)])
    amg_format.FORMAT.prune(folder, tmp_path / "a", {"metadata.csv:3"})
    assert sorted(tree(tmp_path / "a")) == ["0.png", "metadata.csv"]
    amg_format.FORMAT.prune(folder, tmp_path / "b", {"0.png", "metadata.csv:3"})
    assert tree(tmp_path / "b") == {"metadata.csv": HEADER.encode()}


def test_prune_refuses_what_it_would_harm(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photo", [shapes()["dot"]])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("precious")
    with pytest.raises(CallError, match="exists already"):
        amg_format.FORMAT.prune(folder, tmp_path / "full", set())
    with pytest.raises(CallError, match="inside the source"):
        amg_format.FORMAT.prune(folder, folder / "out", set())
    assert sorted(os.listdir(folder)) == ["0.png", "metadata.csv"]


def test_links_that_leave_the_source_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    make_folder(tmp_path / "photo", [shapes()["dot"]] * 2)
    shutil.move(tmp_path / "photo" / "metadata.csv", secret)
    (tmp_path / "photo" / "metadata.csv").symlink_to(secret)
    (tmp_path / "photo" / "home").symlink_to(tmp_path)
    amg_format.FORMAT.prune(tmp_path / "photo", tmp_path / "kept", set())
    assert (tmp_path / "kept" / "home").is_symlink()
    assert (tmp_path / "kept" / "metadata.csv").is_symlink()
    with pytest.raises(SourceError, match="leaves the source"):
        amg_format.FORMAT.prune(tmp_path / "photo", tmp_path / "other", {"0.png"})
    assert not (tmp_path / "other").exists()


# --- JSON ----------------------------------------------------------------------------------------


def test_json_of_one_image_and_of_several(tmp_path: Path) -> None:
    made = list(shapes().values())
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps([record(mask) for mask in made]))
    (folder / "b.json").write_text("[]")
    (folder / "c.json").write_text(json.dumps([record(made[0].T)]))
    table = load_all(amg_format.FORMAT, folder)
    assert table.images["file_name"].tolist() == ["a", "b", "c"]
    for i, mask in enumerate(made):
        assert (mask_at(table, f"a.json#/{i}") == mask).all()
    assert (mask_at(table, "c.json#/0") == made[0].T).all()
    assert table.masks["declared_area"].tolist()[: len(made)] == [m.sum() for m in made]
    one = load_all(amg_format.FORMAT, folder / "a.json")
    assert one.masks["predicted_iou"].eq(1.02).all()
    assert one.masks["prompt_x"].notna().all()


def test_json_pruned_byte_for_byte(tmp_path: Path) -> None:
    made = list(shapes().values())[:4]
    pieces = [json.dumps(record(mask), indent=1) for mask in made]
    source = tmp_path / "a.json"
    source.write_text("[\n" + " ,\n".join(pieces) + "\n]\n")
    amg_format.FORMAT.prune(source, tmp_path / "all.json", set())
    assert (tmp_path / "all.json").read_bytes() == source.read_bytes()
    amg_format.FORMAT.prune(source, tmp_path / "some.json", {"a.json#/0", "a.json#/2"})
    kept = "[\n" + " ,\n".join([pieces[1], pieces[3]]) + "\n]\n"
    assert (tmp_path / "some.json").read_text() == kept


def test_findings_of_json(tmp_path: Path) -> None:
    mask = shapes()["ring"]
    source = tmp_path / "a.json"
    records = [
        record(mask),
        "text",
        record(mask, segmentation=None),
        record(mask.T),
        record(mask, predicted_iou="x"),
        record(mask, bbox=[1, 2]),
        record(mask, point_coords=[[float("nan"), 3]]),
        record(mask, segmentation={"size": list(mask.shape), "counts": "!!"}),
    ]
    source.write_text(json.dumps(records))
    table = load_all(amg_format.FORMAT, source)
    statuses = table.masks["status"].tolist()
    assert statuses == [
        "ok",
        "wrong_type",
        "no_segmentation",
        "size_mismatch",
        "wrong_type",
        "wrong_type",
        "ok",
        "undecodable",
    ]


def test_json_cut_off_says_where(tmp_path: Path) -> None:
    source = tmp_path / "a.json"
    text = json.dumps([record(shapes()["ring"])] * 2)
    source.write_text(text[:-30])
    with pytest.raises(SourceError, match=rf"byte {len(text) - 30}"):
        read(source, "amg")


def test_a_detectors_results_are_not_taken(tmp_path: Path) -> None:
    source = tmp_path / "a.json"
    source.write_text(json.dumps([record(shapes()["ring"], image_id=1, category_id=1)]))
    assert not amg_format.matches(source)
    assert not amg_format.matches(tmp_path / "absent")


@given(st.binary(max_size=300))
def test_any_csv_is_a_finding_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes
) -> None:
    folder = make_folder(tmp_path_factory.mktemp("photo"), [shapes()["dot"]])
    for content in (junk, HEADER.encode() + b"\n" + junk):
        (folder / "metadata.csv").write_bytes(content)
        assert amg_format.matches(folder) in (True, False)
        table = read(folder, "amg")
        assert table.masks["source_key"].is_unique
        assert table.masks["area_px"].sum() >= 1


@given(st.integers(0, 400), st.binary(max_size=8))
def test_any_png_is_a_finding(
    tmp_path_factory: pytest.TempPathFactory, at: int, junk: bytes
) -> None:
    folder = make_folder(tmp_path_factory.mktemp("photo"), [shapes()["noise"]] * 2)
    png = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(png[:at] + junk + png[at + len(junk) :])
    table = read(folder, "amg")
    assert len(table) == 2


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=4),
        lambda c: (
            st.lists(c, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["segmentation", "size", "counts", "bbox", "point_coords", "area", "crop_box"]
                ),
                c,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_list_is_a_finding_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    source = tmp_path_factory.mktemp("photo") / "a.json"
    source.write_text(json.dumps([value, value]))
    assert amg_format.matches(source) in (True, False)
    with suppress(CurateError):
        assert len(read(source, "amg")) == 2


# --- edits of folders ----------------------------------------------------------------------------

STYLES = {
    "plain": "{}",
    "float": "{}.0",
    "quoted": '"{}"',
    "blank": " {}",
}
NOTES = ("", "x", '"a, ""b"""', '"two\r\nlines"', "שלום", '0"5')


def fields_of(number: int, mask: np.ndarray, style: str, note: str) -> dict[str, str]:
    y, x = np.nonzero(mask)
    box = (x.min(), y.min(), np.ptp(x), np.ptp(y))
    names = ("area", "bbox_x0", "bbox_y0", "bbox_w", "bbox_h")
    told = {k: style.format(v) for k, v in zip(names, (mask.sum(), *box), strict=True)}
    return {"id": style.format(number), **told, "predicted_iou": "0.90", "note": note}


def sheet_of(columns: list[str], rows: list[dict[str, str]], end: str, last: bool) -> bytes:
    lines = [",".join(columns), *(",".join(row.get(c, "") for c in columns) for row in rows)]
    return (end.join(lines) + (end if last else "")).encode()


@draws(15)
@given(
    st.permutations(["id", "area", "bbox_x0", "note", "bbox_w", "bbox_h", "predicted_iou"]),
    st.lists(
        st.tuples(
            st.sampled_from([*shapes()]),
            st.sampled_from(["", "drop", *shapes()]),
            st.sampled_from([*STYLES]),
            st.sampled_from(NOTES),
        ),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.sampled_from([*shapes()]), max_size=2),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
)
def test_any_edits_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    columns: list[str],
    masks: list[tuple[str, str, str, str]],
    new: list[str],
    end: str,
    last: bool,
    alone: bool,
) -> None:
    source = tmp_path_factory.mktemp("amg") / "in"
    folder, below = (source, "") if alone else (source / "photo", "photo/")
    before, after, drop, change = [], [], set[str](), dict[str, Change]()
    meant: dict[str, np.ndarray] = {}
    for i, (shape, edit, style, note) in enumerate(masks):
        key, mask = f"{below}{2 * i}.png", shapes()[edit if edit in shapes() else shape]
        save_png(folder / f"{2 * i}.png", shapes()[shape])
        before.append(fields_of(2 * i, shapes()[shape], STYLES[style], note))
        if edit == "drop":
            drop.add(key)
            continue
        meant[key] = mask
        after.append(fields_of(2 * i, mask, STYLES[style], note))
        if edit:
            change[key] = Change(counts_of(mask))
    for i, shape in enumerate(new, 2 * len(masks) - 1):
        meant[f"{below}{i}.png"] = shapes()[shape]
        made = fields_of(i, shapes()[shape], STYLES[masks[-1][2]], "")
        after.append(made | {"predicted_iou": "", "note": ""})
    (folder / "metadata.csv").write_bytes(sheet_of(columns, before, end, last))
    make_folder(source / "other", [shapes()["ring"]])
    add = [
        Addition("." if alone else "photo", counts_of(shapes()[shape]), HEIGHT, WIDTH)
        for shape in new
    ]
    out = source.with_name("out")
    stored = amg_format.FORMAT.write(source, out, Edits(frozenset(drop), change, add))
    assert stored.runs == len(change) + len(new)
    old, found = tree(source), tree(out)
    touched = {f"{below}metadata.csv", *drop, *change, *meant}
    assert found[f"{below}metadata.csv"] == sheet_of(columns, after, end, last)
    assert {k: v for k, v in found.items() if k not in touched} == {
        k: v for k, v in old.items() if k not in touched
    }
    assert all(found[k] == old[k] for k in meant.keys() & old.keys() - change.keys())
    assert not drop & found.keys()
    table = read(out, "amg")
    for key, mask in meant.items():
        assert (np.asarray(Image.open(out / key)) == mask * np.uint8(255)).all()
        assert (mask_at(table, key) == mask).all()


@given(st.lists(st.text('a",\n\r', max_size=6), min_size=1, max_size=4))
def test_fields_are_told_apart_as_pythons_csv_does(
    tmp_path_factory: pytest.TempPathFactory, fields: list[str]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "metadata.csv"
    header = ",".join(["id", *(f"c{i}" for i in range(len(fields)))])
    told = ",".join(["7", *('"' + field.replace('"', '""') + '"' for field in fields)])
    path.write_bytes(f"{header}\n{told}".encode())
    sheet = Sheet(path)
    for i, field in enumerate(fields):
        (start, end, new), *rest = sheet.replace_fields(0, {f"c{i}": 5})
        assert not rest
        assert path.read_bytes()[start:end].decode()[1:-1].replace('""', '"') == field
        assert new == (b'"5"' if not field else b"5")


def test_real_output_edited(data: Path, tmp_path: Path) -> None:
    source = data / "sam_amg_truck" / "sound"
    table = read(source, "amg")
    height, width = table.images[["height", "width"]].iloc[0].tolist()
    mask = mask_at(table, "3.png") | mask_at(table, "5.png")
    edits = Edits(
        change={"3.png": Change(counts_of(mask))},
        add=[Addition(".", counts_of(mask), height, width)],
    )
    amg_format.FORMAT.write(source, tmp_path / "out", edits)
    old, new = ((p / "metadata.csv").read_text().split("\n") for p in (source, tmp_path / "out"))
    y, x = np.nonzero(mask)
    numbers = [mask.sum(), x.min(), y.min(), np.ptp(x), np.ptp(y)]
    told = ",".join(map(str, numbers))
    assert new[:4] == old[:4]
    assert new[4] == ",".join(["3", told, *old[4].split(",")[6:]])
    assert new[5:] == [*old[5:], f"{len(old) - 1},{told},,,,,0,0,{width},{height}"]
    after = load_all(amg_format.FORMAT, tmp_path / "out")
    assert (after.masks["area_px"] == after.masks["declared_area"]).all()
    assert (after.masks["status"] == "ok").all()


def test_masks_beside_a_csv_that_lacks_them(tmp_path: Path) -> None:
    dot, ring = shapes()["dot"], shapes()["ring"]
    make_folder(tmp_path / "in" / "a", [ring, ring], [line(0, ring), line(5, ring)])
    (make_folder(tmp_path / "in" / "b", [ring]) / "metadata.csv").unlink()
    change = {key: Change(counts_of(dot)) for key in ("a/1.png", "a/5.png", "b/0.png")}
    add = [Addition("b", counts_of(dot), HEIGHT, WIDTH)]
    amg_format.FORMAT.write(tmp_path / "in", tmp_path / "out", Edits(change=change, add=add))
    expected = "\n".join([HEADER, line(0, ring), ",".join(["5", *measured_and_rest(dot, ring)])])
    assert (tmp_path / "out" / "a" / "metadata.csv").read_text() == expected
    table = read(tmp_path / "out", "amg")
    keys = ["a/0.png", "a/5.png", "a/1.png", "b/0.png", "b/1.png"]
    assert table.masks["source_key"].tolist() == keys
    assert all((mask_at(table, key) == dot).all() for key in keys[1:])


def measured_and_rest(mask: np.ndarray, old: np.ndarray) -> list[str]:
    return [*line(0, mask).split(",")[1:6], *line(0, old).split(",")[6:]]


def test_json_beside_folders_is_edited_too(tmp_path: Path) -> None:
    ring, dot = shapes()["ring"], shapes()["dot"]
    make_folder(tmp_path / "in" / "a", [ring])
    (tmp_path / "in" / "b.json").write_text(json.dumps([record(ring), record(ring)]))
    edits = Edits(
        frozenset({"b.json#/0"}),
        {"a/0.png": Change(counts_of(dot)), "b.json#/1": Change(counts_of(dot))},
        [Addition(key, counts_of(ring), HEIGHT, WIDTH) for key in ("b.json", "a")],
    )
    stored = amg_format.FORMAT.write(tmp_path / "in", tmp_path / "out", edits)
    assert stored.runs == 4
    table = read(tmp_path / "out", "amg")
    keys = {"a/0.png": dot, "a/1.png": ring, "b.json#/0": dot, "b.json#/1": ring}
    assert table.masks["source_key"].tolist() == list(keys)
    assert all((mask_at(table, key) == mask).all() for key, mask in keys.items())


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"drop": frozenset({"a/9.png"})}, "names no mask"),
        ({"drop": frozenset({"z/0.png"})}, "names no mask"),
        ({"change": {"a/9.png": Change(b"0")}}, "names no mask"),
        ({"change": {"a/1.png": Change(b"0")}}, "2 lines of metadata.csv name its PNG"),
        ({"change": {"a/metadata.csv:5": Change(b"0")}}, "names no PNG"),
        ({"change": {"a/0.png": Change(b"0")}}, "does not fit the image"),
        (
            {"change": {"a/0.png": Change(category="cat")}},
            "no categories; write COCO with --to coco",
        ),
        ({"change": {"a/0.png": Change(attributes={"a": "b"})}}, "no place for attributes"),
        ({"change": {"a/0.png": Change(b"0")}, "masks": "polygon"}, "no polygons"),
        ({"add": [Addition("z", b"0", HEIGHT, WIDTH)]}, "names no image"),
        ({"add": [Addition("a", b"0", 1, 1)]}, "its image 53 x 37"),
    ],
)
def test_edits_that_are_refused(tmp_path: Path, edits: dict[str, Any], message: str) -> None:
    dot = shapes()["dot"]
    counts = counts_of(dot)
    if message in ("2 lines of metadata.csv name its PNG", "names no PNG"):
        edits = {"change": {key: Change(counts) for key in edits["change"]}}
    lines = [line(0, dot), line(1, dot), line(1, dot), line("x", dot)]
    make_folder(tmp_path / "in" / "a", [dot, dot], lines)
    with pytest.raises(CallError, match=message):
        amg_format.FORMAT.write(tmp_path / "in", tmp_path / "out", Edits(**edits))
    assert not (tmp_path / "out").exists()


def test_a_byte_order_mark_before_a_quoted_column(tmp_path: Path) -> None:
    save_png(tmp_path / "1.png", np.ones((HEIGHT, WIDTH), bool))
    (tmp_path / "metadata.csv").write_bytes(b'\xef\xbb\xbf"id","area","bbox_x0"\r\n1,9,2\r\n')
    table = read(tmp_path, "amg")
    assert table.masks["declared_area"].tolist() == [9]
    assert table.images["status"].tolist() == ["ok"]
