from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_files import (
    HEIGHT,
    WIDTH,
    coco_pixels,
    counts_of,
    dense,
    load_all,
    mask_at,
    shapes,
    status_at,
    tree,
)
from PIL import Image
from pycocotools import mask as coco_mask
from random_cases import draws

from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.reading import detect, read
from curate.formats.yolo import yolo_format
from curate.formats.yolo.class_names import class_names, yaml_names

SQUARE = "0.1 0.1 0.6 0.1 0.6 0.9 0.1 0.9"


def make(root: Path, labels: dict[str, str | bytes], pictures: bool = True) -> Path:
    for name, content in labels.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        if pictures:
            folder = root / str(Path(name).parent).replace("labels", "images")
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{path.stem}.jpg")
    return root


def drawn(text: str) -> np.ndarray:
    values = [float(v) for v in text.split()]
    ring = [v * (HEIGHT if i % 2 else WIDTH) for i, v in enumerate(values)]
    return coco_pixels(coco_mask.merge(coco_mask.frPyObjects([ring], HEIGHT, WIDTH)))


def test_polygons_become_cocos_masks(tmp_path: Path) -> None:
    triangle = "0.013 0.5 0.99 0.02 0.71 0.983"
    make(tmp_path, {"labels/train/a.txt": f"0 {SQUARE}\n\n2 {triangle}\n"})
    (tmp_path / "data.yaml").write_text("names:\n  0: cat\n  2: 'dog'\n")
    table = load_all(yolo_format.FORMAT, tmp_path)
    assert detect(tmp_path).name == "yolo"
    assert table.masks["source_key"].tolist() == ["labels/train/a.txt:1", "labels/train/a.txt:3"]
    assert (mask_at(table, "labels/train/a.txt:1") == drawn(SQUARE)).all()
    assert (mask_at(table, "labels/train/a.txt:3") == drawn(triangle)).all()
    assert table.masks["category"].tolist() == ["cat", "dog"]
    assert table.masks["category_id"].tolist() == [0, 2]
    image = table.images.iloc[0]
    assert image["file_name"] == "images/train/a.jpg"
    assert (image["height"], image["width"]) == (HEIGHT, WIDTH)


@pytest.mark.parametrize("layout", ["labels", "train/labels", "a/b/labels"])
def test_layouts(tmp_path: Path, layout: str) -> None:
    make(tmp_path, {f"{layout}/x.txt": f"0 {SQUARE}"})
    table = load_all(yolo_format.FORMAT, tmp_path)
    assert table.masks["status"].tolist() == ["ok"]


def test_the_folder_of_labels_alone_and_labels_beside_pictures(tmp_path: Path) -> None:
    make(tmp_path / "a", {"labels/x.txt": f"0 {SQUARE}", "labels/classes.txt": "cat"})
    table = load_all(yolo_format.FORMAT, tmp_path / "a" / "labels")
    assert table.masks["source_key"].tolist() == ["x.txt:1"]
    assert table.masks["category"].tolist() == ["cat"]
    make(tmp_path / "b", {"x.txt": f"0 {SQUARE}", "notes.txt": "hello"}, pictures=False)
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "b" / "x.png")
    table = load_all(yolo_format.FORMAT, tmp_path / "b")
    assert (mask_at(table, "x.txt:1") == drawn(SQUARE)).all()


def test_images_without_labels_are_images(tmp_path: Path) -> None:
    make(tmp_path, {"labels/x.txt": f"0 {SQUARE}", "labels/y.txt": "", "labels/z.txt": ""})
    (tmp_path / "labels" / "z.txt").unlink()
    table = load_all(yolo_format.FORMAT, tmp_path)
    assert table.images["file_name"].tolist() == ["images/x.jpg", "images/y.jpg", "images/z.jpg"]
    assert len(table) == 1


def test_findings(tmp_path: Path) -> None:
    lines = [
        f"0 {SQUARE}",
        "0 0.1 0.1 0.5 0.5",
        f"0 {SQUARE} 0.5",
        "0 0.1 0.1 nan 0.1 0.5 0.5",
        "0 0.1 0.1 900 0.1 0.5 0.5",
        "0 0.1 0.1 1.005 0.1 0.5 0.5",
        f"1.5 {SQUARE}",
        f"-1 {SQUARE}",
        f"cat {SQUARE}",
        f"3.0 {SQUARE}",
        f"9 {SQUARE}",
        "0 a b c d e f",
        "0",
        "0 0.1 0.1 0.1 0.1 0.1 0.1",
        "0 0.1 0.1 inf 0.1 0.5 0.5",
    ]
    make(tmp_path, {"labels/a.txt": "\r\n".join(lines)})
    (tmp_path / "data.yaml").write_text("names: [a, b, c, d]")
    table = load_all(yolo_format.FORMAT, tmp_path)
    statuses = table.masks["status"].tolist()
    assert statuses == [
        "ok",
        "no_segmentation",
        "ok",
        "bad_polygon",
        "bad_polygon",
        "ok",
        "bad_category",
        "bad_category",
        "bad_category",
        "ok",
        "bad_category",
        "wrong_type",
        "no_segmentation",
        "empty",
        "bad_polygon",
    ]
    assert (mask_at(table, "labels/a.txt:9") == drawn(SQUARE)).all()
    assert "box" in status_at(table, "labels/a.txt:2")[1]
    assert status_at(table, "labels/a.txt:5")[1] == "the coordinate 900 lies outside 0 to 1"


def test_pictures_that_tell_no_size(tmp_path: Path) -> None:
    make(tmp_path, {f"labels/{n}.txt": f"0 {SQUARE}" for n in ("gone", "text", "cut", "turned")})
    images = tmp_path / "images"
    (images / "gone.jpg").unlink()
    (images / "text.jpg").write_text("no picture")
    (images / "cut.jpg").write_bytes((images / "cut.jpg").read_bytes()[:10])
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (HEIGHT, WIDTH)).save(images / "turned.jpg", exif=exif)
    table = load_all(yolo_format.FORMAT, tmp_path)
    by_name = dict(zip(table.images["file_name"], table.images["status"], strict=True))
    assert by_name == {
        "images/cut.jpg": "unreadable",
        "labels/gone": "missing",
        "images/text.jpg": "unreadable",
        "images/turned.jpg": "exif_rotated",
    }
    assert status_at(table, "labels/gone.txt:1") == (
        "unknown_image",
        "the image's size is not known: no picture is found for labels/gone.txt",
    )
    # Labels are drawn on the picture as EXIF turns it.
    assert (mask_at(table, "labels/turned.txt:1") == drawn(SQUARE)).all()


def test_a_huge_picture_is_not_decoded(tmp_path: Path) -> None:
    from mask_files import bomb

    make(tmp_path, {"labels/a.txt": f"0 {SQUARE}"}, pictures=False)
    bomb(tmp_path / "images" / "a.png", 20_000, 20_000)
    table = load_all(yolo_format.FORMAT, tmp_path)
    assert table.masks["status"].tolist() == ["ok"]
    assert table.masks["area_px"].iloc[0] == pytest.approx(0.4 * 20_000**2, rel=0.01)


def test_prune_keeps_all_other_bytes(tmp_path: Path) -> None:
    source = tmp_path / "in"
    first = f"0 {SQUARE}\r\n \r\n1  {SQUARE}  \r\n2 {SQUARE}"
    make(source, {"labels/a.txt": first, "labels/b:c.txt": f"0 {SQUARE}\n", "labels/d.txt": "\n"})
    (source / "data.yaml").write_text("names: [a]")
    before = tree(source)
    yolo_format.FORMAT.prune(source, tmp_path / "all", set())
    assert tree(tmp_path / "all") == before
    yolo_format.FORMAT.prune(source, tmp_path / "some", {"labels/a.txt:3", "labels/b:c.txt:1"})
    after = tree(tmp_path / "some")
    assert after["labels/a.txt"] == f"0 {SQUARE}\r\n \r\n2 {SQUARE}".encode()
    assert after["labels/b:c.txt"] == b""
    assert {n for n in before if before[n] != after[n]} == {"labels/a.txt", "labels/b:c.txt"}
    assert len(read(tmp_path / "some", "yolo")) == 2
    for key in ("labels/a.txt:9", "labels/none.txt:1"):
        with pytest.raises(CallError):
            yolo_format.FORMAT.prune(source, tmp_path / "other", {key})
    with pytest.raises(CallError, match="names no mask"):
        yolo_format.FORMAT.prune(source, tmp_path / "other", {"labels/a.txt"})


def test_other_folders_are_not_taken(tmp_path: Path) -> None:
    make(tmp_path / "boxes", {"labels/a.txt": "0 0.5 0.5 0.2 0.2\n"})
    make(tmp_path / "empty", {"labels/a.txt": ""})
    (tmp_path / "void").mkdir()
    for name in ("boxes", "empty", "void", "absent"):
        assert not yolo_format.matches(tmp_path / name)
    with pytest.raises(SourceError, match="no label file"):
        read(tmp_path / "void", "yolo")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [a, 'b c', \"d,e\"]", {0: "a", 1: "b c", 2: "d,e"}),
        ("nc: 1\nnames: [\n  a,\n  b, # last\n]\nx: 1", {0: "a", 1: "b"}),
        ("names: {0: a, 3: 'b'}", {0: "a", 3: "b"}),
        ('names:\n- a\n- "b"\ntrain: x', {0: "a", 1: "b"}),
        ("names:\n  # all\n  0: a # first\n  1: it's\n\nnc: 2", {0: "a", 1: "it's"}),
        ("path: x\n", {}),
        ("names: []", {}),
        ("names: a", {}),
        ("names: ['', a]", {0: "", 1: "a"}),
        ("names: [a", {}),
    ],
)
def test_names_of_classes(text: str, names: dict[int, str]) -> None:
    assert yaml_names(text) == names


def test_names_from_a_list(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\n<b>שלום</b>\n")
    assert class_names(tmp_path).names == {0: "cat", 1: "<b>שלום</b>"}


@given(st.text(alphabet="names:[]{}'\"#,- \n01ab\\", max_size=40))
def test_any_yaml_gives_names_or_none(text: str) -> None:
    assert isinstance(yaml_names("names: " + text), dict)
    assert isinstance(yaml_names("names:\n" + text), dict)


@given(
    st.binary(max_size=80) | st.text(alphabet="0123456789.- \n\rnaife", max_size=80).map(str.encode)
)
def test_any_label_is_a_finding(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    root = make(tmp_path_factory.mktemp("yolo"), {"labels/a.txt": f"0 {SQUARE}\n".encode() + junk})
    table = load_all(yolo_format.FORMAT, root)
    lines = [line for line in junk.splitlines() if line.strip()]
    assert len(table) == 1 + len(lines)
    drop = set(table.masks["source_key"].tolist()[1:])
    yolo_format.FORMAT.prune(root, root.parent / f"{root.name}-out", drop)
    assert len(read(root.parent / f"{root.name}-out", "yolo")) == 1


# --- edits ---------------------------------------------------------------------------------------

NAMES = ("cat", "dog", "bird")
ENDS = ("\n", "\r\n", "  \n", "\n \n")


def added(key: str, shape: str, category: str | None = "dog") -> Addition:
    return Addition(key, counts_of(shapes()[shape]), HEIGHT, WIDTH, category)


@draws(30)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["{} {}", "{}  {}", " {}\t{}"]),
            st.sampled_from(["", "drop", "pixels", "class", "both"]),
            st.sampled_from([*shapes()]),
            st.sampled_from(ENDS),
        ),
        max_size=5,
    ),
    st.lists(st.sampled_from([*shapes()]), max_size=2),
    st.booleans(),
)
def test_any_edits_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[str, str, str, str]],
    new: list[str],
    open_end: bool,
) -> None:
    root = tmp_path_factory.mktemp("yolo") / "in"
    text, pattern, number = "", "", 1
    drop, change, meant = set[str](), dict[str, Change](), list[tuple[str, np.ndarray]]()
    for i, (style, edit, shape, end) in enumerate(lines):
        end = "" if open_end and i == len(lines) - 1 else end
        line, key = style.format("1", SQUARE) + end, f"labels/a.txt:{number}"
        number += line.count("\n")
        text += line
        if edit == "drop":
            drop.add(key)
            pattern += re.escape(end[end.find("\n") + 1 :])  # the blank line behind it stays
            continue
        pixels = counts_of(shapes()[shape]) if edit in ("pixels", "both") else None
        category = "bird" if edit in ("class", "both") else None
        if edit:
            change[key] = Change(pixels, category)
        told = "[0-9. ]*[0-9]" if pixels else re.escape(SQUARE)
        spelled = re.escape(style).replace(r"\{\}", "{}").format("2" if category else "1", told)
        pattern += spelled + re.escape(end)
        meant.append((category or "dog", shapes()[shape] if pixels else drawn(SQUARE)))
    kept_open = bool(pattern) and not pattern.endswith("\n")
    end = "\r\n" if re.match("[^\n]*\r\n", text) else "\n"
    for shape in new:
        pattern += (end if kept_open else "") + "1 [0-9. ]*[0-9]" + ("" if kept_open else end)
        meant.append(("dog", shapes()[shape]))
    if new and open_end and lines and not kept_open:
        pattern = pattern[: -len(end)]
    make(root, {"labels/a.txt": text, "labels/b.txt": f"0 {SQUARE}"})
    (root / "data.yaml").write_text("names: [cat, dog, bird]")
    out = root.with_name("out")
    edits = Edits(frozenset(drop), change, [added("labels/a.txt", shape) for shape in new])
    stored = yolo_format.FORMAT.write(root, out, edits)
    pixels = [one.counts for one in change.values() if one.counts]
    assert (stored.polygons, stored.runs, stored.held) == (len(pixels) + len(new), 0, {})
    before, after = tree(root), tree(out)
    assert re.fullmatch(pattern, after["labels/a.txt"].decode())
    assert before | {"labels/a.txt": after["labels/a.txt"]} == after
    table = read(out, "yolo")
    assert table.masks["status"].eq("ok").all()
    found = [(c, dense(table, i)) for i, c in enumerate(table.masks["category"])]
    assert len(found) == len(meant) + 1
    for (category, mask), (wanted, pixels_meant) in zip(found, meant, strict=False):
        assert category == wanted
        assert (mask == pixels_meant).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (1, 30_011), (30_011, 3), (1201, 1999)])
def test_coordinates_have_as_many_digits_as_it_takes(tmp_path: Path, size: tuple[int, int]) -> None:
    height, width = size
    make(tmp_path / "in", {"labels/a.txt": f"0 {SQUARE}"}, pictures=False)
    (tmp_path / "in" / "images").mkdir()
    Image.new("1", (width, height)).save(tmp_path / "in" / "images" / "a.png")
    rng = np.random.default_rng(3)
    mask = np.zeros(size, bool)
    for _ in range(20):
        y, x = rng.integers(0, height), rng.integers(0, width)
        mask[y : y + 1 + height // 9, x : x + 1 + width // 9] ^= True
    mask[-1, -1] = True
    change = {"labels/a.txt:1": Change(counts_of(mask))}
    yolo_format.FORMAT.write(tmp_path / "in", tmp_path / "out", Edits(change=change))
    assert (mask_at(read(tmp_path / "out", "yolo"), "labels/a.txt:1") == mask).all()


def test_images_without_labels_get_some(tmp_path: Path) -> None:
    root = make(tmp_path / "in", {"train/labels/a.txt": f"0 {SQUARE}\n"})
    for name in ("sub/x.jpg", "notes.jpg"):
        (root / "train" / "images" / "sub").mkdir(exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / "train" / "images" / name)
    table = read(root, "yolo")
    assert dict(zip(table.images["file_name"], table.images["source_key"], strict=True)) == {
        "train/images/a.jpg": "train/labels/a.txt",
        "train/images/sub/x.jpg": "train/labels/sub/x.txt",
        "train/images/notes.jpg": "",
    }
    key = "train/labels/sub/x.txt"
    edits = Edits(add=[added(key, "ring", "7"), added(key, "parts", "0")])
    stored = yolo_format.FORMAT.write(root, tmp_path / "out", edits)
    assert (stored.polygons, stored.seams) == (2, 2)
    table = read(tmp_path / "out", "yolo")
    assert (mask_at(table, f"{key}:1") == shapes()["ring"]).all()
    assert (mask_at(table, f"{key}:2") == shapes()["parts"]).all()
    assert table.masks["category_id"].tolist() == [0, 7, 0]
    new = tree(tmp_path / "out")
    assert new.pop(key).count(b"\n") == 2
    assert new == tree(root)


def test_nothing_is_added_behind_a_link(tmp_path: Path) -> None:
    root = make(tmp_path / "in", {"labels/a.txt": f"0 {SQUARE}\n"})
    (root / "images" / "b").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "images" / "b" / "x.jpg")
    (tmp_path / "outside").mkdir()
    (root / "labels" / "b").symlink_to(tmp_path / "outside")
    with pytest.raises(SourceError, match="nothing is added behind it"):
        yolo_format.FORMAT.write(
            root, tmp_path / "out", Edits(add=[added("labels/b/x.txt", "dot", "0")])
        )
    assert not list((tmp_path / "outside").iterdir())
    assert not (tmp_path / "out").exists()


def test_a_list_of_classes_grows(tmp_path: Path) -> None:
    root = make(tmp_path / "in", {"labels/a.txt": f"0 {SQUARE}\n1 {SQUARE}\n"})
    (root / "classes.txt").write_bytes(b"cat\r\ndog\r\n\r\n")
    change = {f"labels/a.txt:{i}": Change(category=name) for i, name in ((1, "fox"), (2, "שועל"))}
    edits = Edits(change=change, add=[added("labels/a.txt", "dot", "fox")])
    yolo_format.FORMAT.write(root, tmp_path / "out", edits)
    names = "cat\r\ndog\r\nfox\r\nשועל\r\n\r\n"
    assert (tmp_path / "out" / "classes.txt").read_bytes() == names.encode()
    table = read(tmp_path / "out", "yolo")
    assert table.masks["category_id"].tolist() == [2, 3, 2]
    assert table.masks["category"].tolist() == ["fox", "שועל", "fox"]


def test_the_only_class_is_taken(tmp_path: Path) -> None:
    root = make(tmp_path / "in", {"labels/a.txt": ""})
    (root / "obj.names").write_text("cell")
    edits = Edits(add=[added("labels/a.txt", "corner", None)])
    yolo_format.FORMAT.write(root, tmp_path / "out", edits)
    assert read(tmp_path / "out", "yolo").masks["category"].tolist() == ["cell"]


def test_a_redrawn_prediction_loses_the_number_without_a_partner(tmp_path: Path) -> None:
    root = make(tmp_path / "in", {"labels/a.txt": f"0 {SQUARE} 0.87\n"})
    change = {"labels/a.txt:1": Change(counts_of(shapes()["dot"]))}
    yolo_format.FORMAT.write(root, tmp_path / "out", Edits(change=change))
    assert (mask_at(read(tmp_path / "out"), "labels/a.txt:1") == shapes()["dot"]).all()


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"change": {"labels/a.txt:2": Change(category="cat")}}, "no mask in line 2"),
        ({"change": {"labels/z.txt:1": Change(category="cat")}}, "names no mask"),
        ({"change": {"labels/a.txt:1": Change(category="c\nw")}}, "data.yaml: .* --to coco"),
        ({"change": {"labels/a.txt:1": Change(b"01")}}, "does not fit the image"),
        ({"change": {"labels/a.txt:1": Change(attributes={"a": "b"})}}, "no place for attributes"),
        ({"add": [added("labels/a.txt", "dot")], "masks": "rle"}, "polygons only"),
        ({"add": [added("labels/a.txt", "dot", None)]}, "2 are declared; .*--category"),
        ({"add": [added("labels/z.txt", "dot")]}, "names no image"),
        ({"add": [added("labels/gone.txt", "dot")]}, "size is not known: no picture is found"),
        ({"add": [Addition("labels/a.txt", b"0", 1, 1, "cat")]}, "its image 53 x 37"),
    ],
)
def test_edits_that_are_refused(tmp_path: Path, edits: dict[str, Any], message: str) -> None:
    root = make(tmp_path / "in", {"labels/a.txt": f"0 {SQUARE}\n\n", "labels/gone.txt": ""})
    (root / "images" / "gone.jpg").unlink()
    (root / "data.yaml").write_text("names: [cat, dog]")
    with pytest.raises(CallError, match=message):
        yolo_format.FORMAT.write(root, tmp_path / "out", Edits(**edits))
    assert not (tmp_path / "out").exists()
