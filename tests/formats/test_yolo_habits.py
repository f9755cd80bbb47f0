"""What tools and people do to YOLO's labels: layouts, names, scores, boxes among polygons."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from mask_files import HEIGHT, WIDTH, coco_pixels, counts_of, shapes, tree
from PIL import Image
from pycocotools import mask as coco_mask

from curate.dataset.table import MaskTable
from curate.errors import SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.format import ReadOptions
from curate.formats.reading import detect, read

SQUARE = "0.1 0.1 0.6 0.1 0.6 0.9 0.1 0.9"
TRIANGLE = "0.2 0.2 0.8 0.2 0.5 0.7"
BOX = "0.5 0.5 0.2 0.2"


def drawn(text: str) -> np.ndarray:
    values = [float(v) for v in text.split()]
    ring = [v * (HEIGHT if i % 2 else WIDTH) for i, v in enumerate(values)]
    return coco_pixels(coco_mask.merge(coco_mask.frPyObjects([ring], HEIGHT, WIDTH)))


def put(root: Path, *names: str, text: str = f"0 {SQUARE}\n") -> Path:
    """Write pictures, labels, and other files as ``name::content`` says."""
    for name in names:
        name, _, content = name.partition("::")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".jpg", ".png", ".JPG"):
            Image.new("RGB", (WIDTH, HEIGHT)).save(path)
        else:
            path.write_text(content or text)
    return root


def is_square(table: MaskTable) -> bool:
    assert table.masks["status"].eq("ok").all(), table.masks[["status", "status_detail"]]
    masks = (coco_pixels({"size": [HEIGHT, WIDTH], "counts": c}) for c in table.masks.segmentation)
    return all((mask == drawn(SQUARE)).all() for mask in masks)


# --- lines ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "shape", "score", "track"),
    [
        (f"0 {SQUARE} 0.87", SQUARE, 0.87, None),
        (f"0 {SQUARE} 1", SQUARE, 1.0, None),
        (f"0 {SQUARE} 0", SQUARE, 0.0, None),
        (f"0 {TRIANGLE} 8.7e-01", TRIANGLE, 0.87, None),
        (f"0 {SQUARE} 0.87 12", SQUARE, 0.87, 12),
        (f"0 {SQUARE} 7", SQUARE, None, 7),
        (f"0 {BOX} 0.5", None, 0.5, None),
        (f"0 {BOX} 0.5 3", None, 0.5, 3),
        (f"0 {BOX}", None, None, None),
        ("0 0.4", None, 0.4, None),
        ("0", None, None, None),
    ],
)
def test_what_stands_behind_the_coordinates(
    tmp_path: Path, line: str, shape: str | None, score: float | None, track: int | None
) -> None:
    put(tmp_path, "images/a.jpg", "images/b.jpg", "labels/a.txt")
    put(tmp_path, "labels/b.txt", text=line)
    masks = read(tmp_path, "yolo").masks
    row = masks[masks["source_key"] == "labels/b.txt:1"].iloc[0]
    if shape is None:
        assert row["status"] == "no_segmentation"
    else:
        pixels = coco_pixels({"size": [HEIGHT, WIDTH], "counts": row["segmentation"]})
        assert row["status"] == "ok"
        assert (pixels == drawn(shape)).all()
    for name, value in (("score", score), ("track_id", track)):
        stored = row.get(name)
        assert (
            stored == value
            if value is not None
            else stored is None or stored != stored or (str(stored) == "<NA>")
        )


@pytest.mark.parametrize("end", ["1.2", "-0.5", "0.3 0.4 0.5", "nan"])
def test_what_is_no_score(tmp_path: Path, end: str) -> None:
    put(tmp_path, "images/a.jpg")
    put(tmp_path, "labels/a.txt", text=f"0 {SQUARE} {end}")
    masks = read(tmp_path, "yolo").masks
    assert masks["status"].isin(["bad_polygon", "ok"]).all()
    assert "score" not in masks or end.count(" ") == 2  # two points more and a score


def test_habits_are_noted_once(tmp_path: Path) -> None:
    lines = f"0 {SQUARE} 0.5\n" * 3 + f"0 {BOX}\n" * 2
    put(tmp_path, *(f"images/{n}.jpg" for n in "abc"))
    put(tmp_path, *(f"labels/{n}.txt" for n in "abc"), text=lines)
    notes = {note.kind: (note.count, note.examples[0]) for note in read(tmp_path).notes}
    assert notes["score_at_end"] == (9, "labels/a.txt:1")
    assert notes["no_polygon"] == (6, "labels/a.txt:4")


@pytest.mark.parametrize("end", [" 0.87", " 0.87 12", "  0.870\t5 ", ""])
def test_a_redrawn_line_keeps_its_score(tmp_path: Path, end: str) -> None:
    root = put(tmp_path / "in", "images/a.jpg")
    put(root, "labels/a.txt", text=f"0 {SQUARE}{end}\n")
    change = {"labels/a.txt:1": Change(counts_of(shapes()["dot"]))}
    detect(root).write(root, tmp_path / "out", Edits(change=change))
    before, after = read(root), read(tmp_path / "out")
    for name in ("score", "track_id"):
        assert (name in after.masks) == (name in before.masks)
        if name in after.masks:
            assert after.masks[name].tolist() == before.masks[name].tolist()
    counts = after.masks["segmentation"].iloc[0]
    pixels = coco_pixels({"size": [HEIGHT, WIDTH], "counts": counts})
    assert (pixels == shapes()["dot"]).all()


@pytest.mark.parametrize("first", [" ", "\n", f"0 {BOX}\n"])
def test_the_format_is_found_behind_many_labels_without_polygons(
    tmp_path: Path, first: str
) -> None:
    put(tmp_path, *(f"labels/{i:03d}.txt" for i in range(60)), text=first)
    (tmp_path / "labels" / "000.txt").write_bytes(b"")
    assert not read(tmp_path, "yolo").masks["status"].eq("ok").any()
    put(tmp_path, "labels/999.txt", text=f"0 {BOX}\n" * 50 + f"0 {SQUARE}\n")
    assert detect(tmp_path).name == "yolo"


# --- layouts -------------------------------------------------------------------------------------

NAMES_LIST = "names: [cat, 'big dog''s']\nnc: 2\ntrain: ../train/images\n"
NAMES_MAP = "path: .\ntrain: images/train\nnames:\n  0: cat\n  1: dog\n"

LAYOUTS = {
    "roboflow": (
        [
            "train/images/a_jpg.rf.0a1b.jpg",
            "train/labels/a_jpg.rf.0a1b.txt",
            "valid/images/b_png.rf.77.jpg",
            "valid/labels/b_png.rf.77.txt",
            f"data.yaml::{NAMES_LIST}",
        ],
        ["", "train", "valid", "train/labels"],
    ),
    "ultralytics": (
        [
            "images/train/a.jpg",
            "images/val/b.png",
            "labels/train/a.txt",
            "labels/val/b.txt",
            f"data.yaml::{NAMES_MAP}",
        ],
        ["", "labels", "labels/train", "labels/val"],
    ),
    "cvat": (
        [
            "obj_train_data/sub/a.jpg",
            "obj_train_data/sub/a.txt",
            "obj.names::cat\n",
            "obj.data::classes = 1\nnames = obj.names\n",
            "train.txt::obj_train_data/sub/a.jpg\n",
        ],
        ["", "obj_train_data", "obj_train_data/sub"],
    ),
    "darknet": (
        [
            "train/a.jpg",
            "train/a.txt",
            "valid/b.jpg",
            "valid/b.txt",
            "train/_darknet.labels::cat\n",
            "README.roboflow.txt::hello\n",
        ],
        ["", "train"],
    ),
    "deep": (
        ["x/y/z/v/images/a.jpg", "x/y/z/v/labels/a.txt", f"x/y/z/dataset.yaml::{NAMES_MAP}"],
        ["x/y/z", "x/y/z/v", "x/y/z/v/labels"],
    ),
    "label studio": (
        [
            "images/frame 0.png",
            "labels/%3Fd%3Dkc01%5Cframe%200.txt",
            "classes.txt::cat\n",
            "notes.json::{}",
        ],
        ["", "labels"],
    ),
    "beside": (["a.jpg", "a.txt", "classes.txt::cat\n"], [""]),
}


@pytest.mark.parametrize(
    ("layout", "part"), [(name, part) for name, (_, parts) in LAYOUTS.items() for part in parts]
)
def test_layouts(tmp_path: Path, layout: str, part: str) -> None:
    put(tmp_path / "d", *LAYOUTS[layout][0])
    table = read(tmp_path / "d" / part)
    assert len(table) >= 1
    assert is_square(table)
    assert table.images["status"].eq("ok").all()
    assert table.masks["category"].eq("cat").all()


@pytest.mark.parametrize("root", ["", "runs", "runs/segment", "runs/segment/predict2"])
@pytest.mark.parametrize("given", [True, False])
def test_predictions_take_the_pictures_that_are_given(
    tmp_path: Path, root: str, given: bool
) -> None:
    place = "runs/segment/predict2"
    put(tmp_path / "d", *(f"{place}/labels/{n}.txt" for n in "ab"), text=f"0 {SQUARE} 0.5\n")
    put(tmp_path / "d", *(f"{place}/{n}.jpg" for n in "ab"), f"{place}/results.png")
    put(tmp_path / "pictures", "train/a.png", "train/b.png")
    images = tmp_path / "pictures" if given else None
    table = read(tmp_path / "d" / root, options=ReadOptions(images=images))
    assert is_square(table)
    assert table.masks["score"].tolist() == [0.5, 0.5]
    assert len(table.images) == 2
    names = [Path(name) for name in table.images["file_name"]]
    assert [name.name for name in names] == (["a.png", "b.png"] if given else ["a.jpg", "b.jpg"])
    assert ("drawn_over" in {note.kind for note in table.notes}) is not given
    if given:
        assert all((tmp_path / "pictures" / name).is_file() for name in names)


def test_predictions_beside_a_datasets_labels_are_not_among_them(tmp_path: Path) -> None:
    put(tmp_path, "images/a.jpg", "labels/a.txt", "predict/labels/a.txt", "runs/x/labels/a.txt")
    assert read(tmp_path).masks["source_key"].tolist() == ["labels/a.txt:1"]
    assert read(tmp_path / "predict").masks["source_key"].tolist() == ["labels/a.txt:1"]


@pytest.mark.parametrize("layout", ["labels/{}.txt", "{}.txt", "train/labels/{}.txt"])
@pytest.mark.parametrize("place", ["{}.png", "sub/{}.jpg", "train/images/{}.JPG"])
def test_labels_without_pictures_take_the_pictures_that_are_given(
    tmp_path: Path, layout: str, place: str
) -> None:
    names = ["a", "b.c", "d%20e"]
    put(tmp_path / "d", *(layout.format(name) for name in names))
    put(tmp_path / "pictures", *(place.format(n.replace("%20", " ")) for n in names))
    bare = read(tmp_path / "d")
    assert bare.masks["status"].eq("unknown_image").all()
    assert bare.images["status"].eq("missing").all()
    options = ReadOptions(images=tmp_path / "pictures")
    table = read(tmp_path / "d", options=options)
    assert is_square(table)
    assert table.images["status"].eq("ok").all()
    assert all((tmp_path / "pictures" / name).is_file() for name in table.images["file_name"])


def test_what_is_drawn_on_given_pictures_is_written_back(tmp_path: Path) -> None:
    root = put(tmp_path / "in", "labels/a.txt", "labels/b.txt")
    put(tmp_path / "pictures", "a.png", "b.png")
    form = detect(root, options=ReadOptions(images=tmp_path / "pictures"))
    dot, corner = counts_of(shapes()["dot"]), counts_of(shapes()["corner"])
    add = [Addition("labels/b.txt", corner, HEIGHT, WIDTH, "0")]
    edits = Edits(change={"labels/a.txt:1": Change(dot)}, add=add)
    form.write(root, tmp_path / "out", edits)
    table = read(tmp_path / "out", options=ReadOptions(images=tmp_path / "pictures"))
    found = dict(zip(table.masks["source_key"], table.masks["segmentation"], strict=True))
    assert found["labels/a.txt:1"] == dot
    assert found["labels/b.txt:2"] == corner
    assert tree(tmp_path / "out").keys() == tree(root).keys()


# --- names ---------------------------------------------------------------------------------------

SPELLINGS = [
    ("?d=kc01%5Cframe_0", "frame_0"),
    ("%3Fd%3Dkc01%2Fframe_0", "frame_0"),
    ("ab12-img%202", "ab12-img 2"),
    ("Capture_d%C3%A9cran 1", "Capture_décran 1"),
    (unicodedata.normalize("NFD", "Straße_é"), unicodedata.normalize("NFC", "Straße_é")),
    (quote("写真 1"), "写真 1"),
    ("0a1b2c3d-photo%20x", "photo x"),
    ("a%2525b", "a%b"),
]


@pytest.mark.parametrize(("label", "picture"), SPELLINGS)
@pytest.mark.parametrize("given", [True, False])
def test_names_are_compared_in_one_spelling(
    tmp_path: Path, label: str, picture: str, given: bool
) -> None:
    put(tmp_path / "d", f"labels/{label}.txt", "labels/other.txt")
    pictures = tmp_path / "pictures" if given else tmp_path / "d" / "images"
    put(pictures, f"{picture}.png", "other.png")
    table = read(tmp_path / "d", options=ReadOptions(images=pictures if given else None))
    assert is_square(table)
    assert {Path(name).stem for name in table.images["file_name"]} == {picture, "other"}


@pytest.mark.parametrize(
    ("labels", "pictures"),
    [
        (["train/x", "val/y"], ["val/x", "train/y"]),  # a split does not lend to another
        (["a%20b", "a%2520b"], ["a b"]),  # both mean it
        (["A"], ["b"]),
        (["0a1b2c3d-x", "ffffffff-x"], ["x"]),
    ],
)
def test_no_name_is_guessed(tmp_path: Path, labels: list[str], pictures: list[str]) -> None:
    put(tmp_path, *(f"labels/{name}.txt" for name in labels))
    put(tmp_path, *(f"images/{name}.png" for name in pictures))
    table = read(tmp_path, "yolo")
    assert table.masks["status"].eq("unknown_image").all()


def test_case_is_the_last_resort(tmp_path: Path) -> None:
    put(tmp_path / "d", "labels/IMG_7.txt", "labels/b.txt", "images/img_7.png", "images/B.png")
    assert is_square(read(tmp_path / "d"))
    put(tmp_path / "d", "images/Img_7.png", "labels/img_7.txt")
    missing = read(tmp_path / "d").images["status"].eq("missing")
    assert missing.sum() == 0  # IMG_7 takes what img_7 leaves


def test_an_exact_name_goes_before_a_decoded_one(tmp_path: Path) -> None:
    put(tmp_path, "labels/a%20b.txt", "labels/a b.txt", "images/a%20b.png", "images/a b.png")
    table = read(tmp_path)
    pairs = dict(zip(table.images["source_key"], table.images["file_name"], strict=True))
    assert pairs == {
        "labels/a%20b.txt": "images/a%20b.png",
        "labels/a b.txt": "images/a b.png",
    }


@pytest.mark.parametrize("text", [NAMES_LIST, NAMES_MAP, "nc: 1\nnames:\n- cat\n"])
@pytest.mark.parametrize("part", ["train", "train/labels", "train/labels/sub"])
def test_names_of_classes_are_looked_for_above(tmp_path: Path, text: str, part: str) -> None:
    put(tmp_path, "train/images/sub/a.jpg", "train/labels/sub/a.txt", f"data.yaml::{text}")
    assert read(tmp_path / part).masks["category"].tolist() == ["cat"]


def test_a_stranger_above_declares_no_names(tmp_path: Path) -> None:
    put(tmp_path, "d/images/a.jpg", "d/labels/a.txt", "data.yaml::names: [x]\n", "classes.txt::y\n")
    assert read(tmp_path / "d").masks["category"].isna().all()


@pytest.mark.parametrize("line", [BOX, f"{BOX} 0.9", f"{BOX} 0.9 7"])
@pytest.mark.parametrize("layout", ["labels/train", "obj_train_data", "."])
def test_boxes_are_named_for_what_they_are(tmp_path: Path, line: str, layout: str) -> None:
    put(tmp_path, f"{layout}/a.txt", f"{layout}/b.txt", text=f"0 {line}\n3 {line}\n")
    put(tmp_path, f"{layout}/a.jpg", f"{layout}/b.jpg")
    with pytest.raises(SourceError, match="it has YOLO labels for detection: boxes"):
        detect(tmp_path)


@pytest.mark.parametrize("names", ["names: [cat]", "names:\n  0: cat"])
@pytest.mark.parametrize("part", ["", "labels"])
def test_poses_are_named_for_what_they_are(tmp_path: Path, names: str, part: str) -> None:
    put(tmp_path, "images/a.jpg", f"data.yaml::train: x\nkpt_shape: [3, 3]\n{names}\n")
    put(tmp_path, "labels/a.txt", text=f"0 {BOX} 0.1 0.1 2 0.2 0.2 1 0.3 0.3 0\n")
    with pytest.raises(SourceError, match="its labels are poses"):
        read(tmp_path / part)
