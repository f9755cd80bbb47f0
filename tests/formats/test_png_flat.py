"""Folders of one PNG a mask whose names say the image, the class and the number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_files import HEIGHT, WIDTH, counts_of, load_all, mask_at, save_png, shapes, tree
from random_cases import draws

from curate.errors import CallError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.png import png_flat_format
from curate.formats.reading import detect, read

SHAPES = ("ring", "dot", "parts", "corner")

LABEL_STUDIO = [
    "task-12-annotation-3-by-1-tag-Car-0.png",
    "task-12-annotation-3-by-1-tag-Car-1.png",
    "task-12-annotation-3-by-1-tag-big dog-0.png",
    "task-7-annotation-4-by-a@b.c-brush-Car-0.png",
]
TASK, OTHER = "task-12-annotation-3", "task-7-annotation-4"
THROUGH = ["img_01_car_0.png", "img_01_dog_1.png", "img_01_car_2.png", "img_02_dog_0.png"]
CLASSES = ["img_01_car_0.png", "img_01_car_1.png", "img_01_dog_0.png", "img_02_car_0.png"]


def put(root: Path, names: list[str]) -> Path:
    for name, shape in zip(names, SHAPES, strict=False):
        save_png(root / name, shapes()[shape])
    return root


@pytest.mark.parametrize("folder", ["", "masks", "labels"])
@pytest.mark.parametrize(
    ("names", "images", "categories"),
    [
        (LABEL_STUDIO, [TASK] * 3 + [OTHER], ["Car", "Car", "big dog", "Car"]),
        (CLASSES, ["img_01"] * 3 + ["img_02"], ["car", "car", "dog", "car"]),
        (THROUGH, ["img_01"] * 3 + ["img_02"], ["car", "dog", "car", "dog"]),
        (
            [f"x_cell_{n}.png" for n in (1, 2)] + [f"y z_cell_{n}.png" for n in (1, 2)],
            ["x", "x", "y z", "y z"],
            ["cell"] * 4,
        ),
    ],
)
def test_masks_are_grouped_by_image(
    tmp_path: Path, folder: str, names: list[str], images: list[str], categories: list[str]
) -> None:
    put(tmp_path / folder, names)
    table = load_all(png_flat_format.FORMAT, tmp_path)
    assert detect(tmp_path).name == "png-flat"
    found = table.masks.set_index("source_key")
    for name, shape, image, category in zip(names, SHAPES, images, categories, strict=True):
        key = f"{folder}/{name}".lstrip("/")
        assert (mask_at(table, key) == shapes()[shape]).all()
        assert (found.at[key, "file_name"], found.at[key, "category"]) == (image, category)
    assert len(table.images) == 2


@pytest.mark.parametrize("place", ["images/{}.jpg", "masks/{}.png", "masks/images/{}.bmp"])
@pytest.mark.parametrize("end", ["_{}", "_big_dog_{}", "_cat{}"])
def test_names_behind_those_of_pictures(tmp_path: Path, place: str, end: str) -> None:
    stems = ("frame_0001", "frame_0002", "frame_0001_b")
    for stem in stems[:2]:
        name = tmp_path / place.format(stem)
        name.parent.mkdir(parents=True, exist_ok=True)
        from PIL import Image

        Image.new("RGB", (WIDTH, HEIGHT)).save(name)
    names = [f"{stem}{end.format(n)}.png" for stem in stems[:2] for n in (0, 1)]
    put(tmp_path / "masks", names)
    table = load_all(png_flat_format.FORMAT, tmp_path)
    assert len(table) == 4
    assert set(table.images["file_name"]) == {place.format(stem) for stem in stems[:2]}
    meant = {"_{}": "", "_big_dog_{}": "big_dog"}.get(end, "cat0")
    assert table.masks["category"].fillna("").iloc[0] == meant


def test_annotations_of_two_people_are_images_each(tmp_path: Path) -> None:
    names = [n.replace("annotation-3", "annotation-9") for n in LABEL_STUDIO[:2]]
    put(tmp_path, [*LABEL_STUDIO[:2], *names])
    table = read(tmp_path)
    assert set(table.images["file_name"]) == {"task-12-annotation-3", "task-12-annotation-9"}


@pytest.mark.parametrize(
    "names",
    [
        ["video_frame_0001.png", "video_frame_0002.png", "video_frame_0003.png"],
        ["video_frame_0.png", "video_frame_1.png", "video_frame_2.png"],
        ["a_car_0.png", "b.png", "c_car_0.png"],
        ["a_car_3.png", "a_car_9.png", "b_dog_0.png"],
        ["a_car_0.png", "a_dog_7.png", "b_dog_0.png"],
        ["a_car_0.png", "b_car_0.png", "c_car_0.png"],
        ["0.png", "1.png"],
    ],
)
def test_other_names_are_left_alone(tmp_path: Path, names: list[str]) -> None:
    put(tmp_path, names)
    assert not png_flat_format.matches(tmp_path)


def test_ids_are_not_single_masks(tmp_path: Path) -> None:
    ids = np.where(shapes()["ring"], 1, np.where(shapes()["dot"], 2, 0)).astype(np.uint8)
    for name in CLASSES:
        save_png(tmp_path / name, ids)
    assert not png_flat_format.matches(tmp_path)
    for name in ("a", "b"):
        save_png(tmp_path / "pairs" / f"{name}_masks.png", shapes()["ring"])
        save_png(tmp_path / "pairs" / f"{name}.png", shapes()["full"])
    assert not png_flat_format.matches(tmp_path / "pairs")


@pytest.mark.parametrize(
    ("names", "image", "category", "new"),
    [
        (CLASSES, "img_01", "car", "img_01_car_2.png"),
        (CLASSES, "img_02", "dog", "img_02_dog_0.png"),
        (THROUGH, "img_02", "car", "img_02_car_1.png"),
        (CLASSES, "img_02", "fox", "img_02_fox_0.png"),
        (LABEL_STUDIO, TASK, "Car", "task-12-annotation-3-by-1-tag-Car-2.png"),
        (LABEL_STUDIO, OTHER, "fox", "task-7-annotation-4-by-a@b.c-brush-fox-0.png"),
    ],
)
def test_edits_and_nothing_else(
    tmp_path: Path, names: list[str], image: str, category: str, new: str
) -> None:
    root = put(tmp_path / "in" / "masks", names).parent
    (root / "notes.txt").write_text("x")
    dot, full = counts_of(shapes()["dot"]), counts_of(shapes()["full"])
    edits = Edits(
        frozenset({f"masks/{names[0]}"}),
        {f"masks/{names[1]}": Change(full)},
        [Addition(f"masks/{image}", dot, HEIGHT, WIDTH, category)],
    )
    form = detect(root)
    assert form.write(root, tmp_path / "out", edits).runs == 2
    before, after = tree(root), tree(tmp_path / "out")
    assert after.keys() == (before.keys() - {f"masks/{names[0]}"}) | {f"masks/{new}"}
    assert {n for n in before if n in after and before[n] != after[n]} == {f"masks/{names[1]}"}
    assert form.check_unedited(root, tmp_path / "out", edits) == ""
    table = read(tmp_path / "out", "png-flat")
    found = table.masks.set_index("source_key")
    assert found.at[f"masks/{new}", "segmentation"] == dot
    assert found.at[f"masks/{new}", "category"] == category
    assert found.at[f"masks/{new}", "file_name"] == image
    assert found.at[f"masks/{names[1]}", "segmentation"] == full


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"drop": frozenset({"z.png"})}, "names no mask"),
        ({"change": {"z.png": Change(b"0")}}, "names no mask"),
        ({"change": {CLASSES[0]: Change(category="dog")}}, "no categories"),
        ({"add": [Addition("z", b"0", HEIGHT, WIDTH, "car")]}, "names no image"),
        ({"add": [Addition("img_01", b"0", HEIGHT, WIDTH, None)]}, "with --category"),
        ({"add": [Addition("img_01", b"0", HEIGHT, WIDTH, "a/b")]}, "choose another category"),
        ({"add": [Addition("img_01", b"0", HEIGHT, WIDTH, "a_b")]}, "choose another category"),
        ({"add": [Addition("img_01", b"0", 1, 1, "car")]}, "its image 53 x 37"),
    ],
)
def test_edits_that_are_refused(tmp_path: Path, edits: dict[str, object], message: str) -> None:
    root = put(tmp_path / "in", CLASSES)
    with pytest.raises(CallError, match=message):
        png_flat_format.FORMAT.write(root, tmp_path / "out", Edits(**edits))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_what_is_left_has_gaps_in_its_numbers(tmp_path: Path, gone: int) -> None:
    root = put(tmp_path / "in", [f"a_car_{n}.png" for n in range(4)])
    save_png(root / "b_car_0.png", shapes()["dot"])
    drop = frozenset({f"a_car_{gone}.png", "b_car_0.png"})
    png_flat_format.FORMAT.write(root, tmp_path / "out", Edits(drop))
    left = read(tmp_path / "out", "png-flat").masks["source_key"].tolist()
    assert left == [f"a_car_{n}.png" for n in range(4) if n != gone]
    png_flat_format.FORMAT.write(tmp_path / "out", tmp_path / "none", Edits(frozenset(left)))
    assert len(read(tmp_path / "none", "png-flat")) == 0


@draws(15)
@given(st.binary(max_size=60))
def test_any_file_is_a_finding(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    root = put(tmp_path_factory.mktemp("flat"), CLASSES)
    (root / CLASSES[2]).write_bytes(junk)
    table = read(root, "png-flat")
    assert len(table) == 4
    assert (table.masks["status"] == "ok").sum() == 3
