from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_files import bomb, load_all, mask_at, save_png, shapes, status_at, tree
from PIL import Image
from pycocotools import mask as coco_mask

from curate.errors import CallError, CurateError, SourceError
from curate.formats import amg, detect, read

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
    table = load_all(amg.FORMAT, source)
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
    table = load_all(amg.FORMAT, data / "sam_amg_truck")
    assert detect(data / "sam_amg_truck").name == "amg"
    assert table.images["file_name"].tolist() == ["displaced", "sound"]
    assert table.masks["source_key"].iloc[0] == "displaced/0.png"
    assert len(table) == 80


def test_real_output_pruned(data: Path, tmp_path: Path) -> None:
    source = data / "sam_amg_truck"
    before = tree(source)
    amg.prune(source, tmp_path / "all", set())
    assert tree(tmp_path / "all") == before
    drop = {"sound/0.png", "sound/46.png", "displaced/3.png"}
    amg.prune(source, tmp_path / "some", drop)
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
    table = load_all(amg.FORMAT, make_folder(tmp_path / "photo", made))
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
    table = load_all(amg.FORMAT, folder)
    assert status_at(table, "0.png") == ("ok", "")
    assert status_at(table, "1.png") == ("wrong_type", "predicted_iou is 'high', not a number")
    assert status_at(table, "2.png") == ("wrong_type", "stability_score is infinite")
    assert (mask_at(table, "1.png") == mask).all()  # its pixels are still there
    assert status_at(table, "3.png")[0] == "undecodable"
    assert status_at(table, "4.png") == ("wrong_type", "metadata.csv line 6 has 3 fields of 14")
    assert status_at(table, "metadata.csv:7")[0] == "wrong_type"
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
    table = load_all(amg.FORMAT, tmp_path / "out")
    assert table.images["file_name"].tolist() == ["a", "b", "c"]
    assert table.images["status"].tolist() == ["ok", "unreadable", "ok"]
    assert (mask_at(table, "b/0.png") == mask).all()


def test_prune_keeps_bytes_quotes_and_line_ends(tmp_path: Path) -> None:
    mask = shapes()["dot"]
    folder = make_folder(tmp_path / "photo", [mask] * 3)
    rows = ["id,area,predicted_iou,note", '0,1,0.9,"two\r\nlines"', "1,1,0.9,שלום", "2,1,0.9,x"]
    (folder / "metadata.csv").write_bytes("\r\n".join([*rows, ""]).encode())
    amg.prune(folder, tmp_path / "kept", {"0.png"})
    after = tree(tmp_path / "kept")
    assert after["metadata.csv"] == "\r\n".join([rows[0], *rows[2:], ""]).encode()
    assert sorted(after) == ["1.png", "2.png", "metadata.csv"]


def test_a_png_stays_while_a_line_names_it(tmp_path: Path) -> None:
    mask = shapes()["dot"]
    folder = make_folder(tmp_path / "photo", [mask], [line(0, mask, 0.1), line(0, mask, 0.2)])
    amg.prune(folder, tmp_path / "a", {"metadata.csv:3"})
    assert sorted(tree(tmp_path / "a")) == ["0.png", "metadata.csv"]
    amg.prune(folder, tmp_path / "b", {"0.png", "metadata.csv:3"})
    assert tree(tmp_path / "b") == {"metadata.csv": HEADER.encode()}


def test_prune_refuses_what_it_would_harm(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photo", [shapes()["dot"]])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("precious")
    with pytest.raises(CallError, match="exists already"):
        amg.prune(folder, tmp_path / "full", set())
    with pytest.raises(CallError, match="inside the source"):
        amg.prune(folder, folder / "out", set())
    assert sorted(os.listdir(folder)) == ["0.png", "metadata.csv"]


def test_links_that_leave_the_source_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    make_folder(tmp_path / "photo", [shapes()["dot"]] * 2)
    shutil.move(tmp_path / "photo" / "metadata.csv", secret)
    (tmp_path / "photo" / "metadata.csv").symlink_to(secret)
    (tmp_path / "photo" / "home").symlink_to(tmp_path)
    amg.prune(tmp_path / "photo", tmp_path / "kept", set())
    assert (tmp_path / "kept" / "home").is_symlink()
    assert (tmp_path / "kept" / "metadata.csv").is_symlink()
    with pytest.raises(SourceError, match="leaves the source"):
        amg.prune(tmp_path / "photo", tmp_path / "other", {"0.png"})
    assert not (tmp_path / "other").exists()


# --- JSON ----------------------------------------------------------------------------------------


def test_json_of_one_image_and_of_several(tmp_path: Path) -> None:
    made = list(shapes().values())
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps([record(mask) for mask in made]))
    (folder / "b.json").write_text("[]")
    (folder / "c.json").write_text(json.dumps([record(made[0].T)]))
    table = load_all(amg.FORMAT, folder)
    assert table.images["file_name"].tolist() == ["a", "b", "c"]
    for i, mask in enumerate(made):
        assert (mask_at(table, f"a.json#/{i}") == mask).all()
    assert (mask_at(table, "c.json#/0") == made[0].T).all()
    assert table.masks["declared_area"].tolist()[: len(made)] == [m.sum() for m in made]
    one = load_all(amg.FORMAT, folder / "a.json")
    assert one.masks["predicted_iou"].eq(1.02).all()
    assert one.masks["prompt_x"].notna().all()


def test_json_pruned_byte_for_byte(tmp_path: Path) -> None:
    made = list(shapes().values())[:4]
    pieces = [json.dumps(record(mask), indent=1) for mask in made]
    source = tmp_path / "a.json"
    source.write_text("[\n" + " ,\n".join(pieces) + "\n]\n")
    amg.prune(source, tmp_path / "all.json", set())
    assert (tmp_path / "all.json").read_bytes() == source.read_bytes()
    amg.prune(source, tmp_path / "some.json", {"a.json#/0", "a.json#/2"})
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
    table = load_all(amg.FORMAT, source)
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
    assert not amg.matches(source)
    assert not amg.matches(tmp_path / "absent")


@given(st.binary(max_size=300))
def test_any_csv_is_a_finding_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes
) -> None:
    folder = make_folder(tmp_path_factory.mktemp("photo"), [shapes()["dot"]])
    for content in (junk, HEADER.encode() + b"\n" + junk):
        (folder / "metadata.csv").write_bytes(content)
        assert amg.matches(folder) in (True, False)
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
    assert amg.matches(source) in (True, False)
    with suppress(CurateError):
        assert len(read(source, "amg")) == 2
