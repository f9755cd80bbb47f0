"""PNGs that people bring: ids beside pictures and classes, ids that carry a class, void ids."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mask_files import coco_pixels, counts_of, save_png, tree
from PIL import Image

from curate.dataset.table import MaskTable
from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.format import ReadOptions
from curate.formats.png import label_png_format
from curate.formats.reading import detect, read

HEIGHT, WIDTH = 60, 90
BOXES = ((5, 5, 20, 30), (30, 10, 20, 20), (10, 50, 40, 15))  # y, x, height, width


def block(k: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    y, x, h, w = BOXES[k]
    mask[y : y + h, x : x + w] = True
    return mask


def labels(*ids: int, dtype: Any = np.uint16, background: int = 0) -> np.ndarray:
    made = np.full((HEIGHT, WIDTH), background, dtype)
    for k, value in enumerate(ids):
        made[block(k)] = value
    return made


def photo(kind: str = "RGB", seed: int = 0) -> np.ndarray:
    """Draw a smooth scene with some noise, as photos have it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = [np.sin(x / (9 + k)) * 60 + np.cos(y / (7 + k)) * 50 + 120 for k in range(3)]
    noisy = np.stack(planes, axis=2) + rng.normal(0, 4, (HEIGHT, WIDTH, 3))
    made = np.clip(noisy, 0, 255).astype(np.uint8)
    return made if kind == "RGB" else made[..., 0]


def voc_palette() -> list[int]:
    """The palette of Pascal VOC: bits of the index spread over the channels."""
    colors = []
    for index in range(256):
        color, left = [0, 0, 0], index
        for bit in range(7, -1, -1):
            for channel in range(3):
                color[channel] |= (left >> channel & 1) << bit
            left >>= 3
        colors += color
    return colors


def save_voc(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values.astype(np.uint8), "L")
    picture.putpalette(voc_palette())
    picture.save(path)


def pixels(table: MaskTable, key: str) -> np.ndarray:
    row = table.masks[table.masks["source_key"] == key].iloc[0]
    return coco_pixels({"size": [HEIGHT, WIDTH], "counts": row["segmentation"]})


def notes(table: MaskTable) -> dict[str, int]:
    return {note.kind: note.count for note in table.notes}


# --- each PNG is judged --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["RGB", "L"])
@pytest.mark.parametrize("names", [("a_photo", "b"), ("z_photo", "b"), ("sub/photo", "sub/b")])
def test_photos_among_ids_are_left_alone(tmp_path: Path, kind: str, names: tuple[str, str]) -> None:
    save_png(tmp_path / f"{names[0]}.png", photo(kind))
    for name in (names[1], "c", "d"):
        save_png(tmp_path / f"{name}.png", labels(1, 2, 3, dtype=np.uint8))
    assert label_png_format.FORMAT.matches(tmp_path)
    table = read(tmp_path)
    assert sorted(table.images["file_name"]) == sorted(f"{n}.png" for n in (names[1], "c", "d"))
    assert len(table) == 9
    assert notes(table)["no_ids"] == 1


def diagram() -> np.ndarray:
    """Draw flat areas and a corner in which every pixel has a colour of its own."""
    drawn = np.full((200, 300, 3), 250, np.uint8)
    drawn[20:90, 20:150] = (30, 90, 200)
    y, x = np.mgrid[:100, :200]
    drawn[100:, 100:] = np.stack([x, y, (x + y) % 256], axis=2)
    return drawn


def smooth() -> np.ndarray:
    """Draw a gray gradient in rings, as a microscope's background is."""
    y, x = np.mgrid[:240, :320]
    return np.asarray(np.hypot(y - 120, x - 160), np.uint8)


def dark() -> np.ndarray:
    """Draw faint noise and bright blobs, as fluorescence is."""
    rng = np.random.default_rng(2)
    made = rng.poisson(6, (240, 320)).astype(float)
    for _ in range(20):
        y, x = rng.integers(20, 220), rng.integers(20, 300)
        yy, xx = np.mgrid[:240, :320]
        made += 150 * np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / 60)
    return np.asarray(np.clip(made, 0, 255), np.uint8)


def depth() -> np.ndarray:
    """Measure noisy distances in 16 bits."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:240, :320]
    return np.asarray(3000 + 5 * x + 11 * y + rng.normal(0, 20, y.shape), np.uint16)


@pytest.mark.parametrize("draw", [photo, diagram, smooth, dark, depth])
def test_pictures_of_any_kind_are_none_of_ids(tmp_path: Path, draw: Any) -> None:
    save_png(tmp_path / "a.png", draw())
    assert not label_png_format.FORMAT.matches(tmp_path)
    assert not label_png_format.FORMAT.matches(tmp_path / "a.png")
    assert len(read(tmp_path, "label-png")) == 0


def test_many_colours_are_refused_quickly(tmp_path: Path) -> None:
    values = np.arange(600 * 800, dtype=np.int64).reshape(600, 800) // 8
    values[:200] = 7
    drawn = np.stack([values % 256, values // 256 % 256, values // 65536], axis=2)
    save_png(tmp_path / "a.png", drawn.astype(np.uint8))
    started = time.perf_counter()
    assert not label_png_format.FORMAT.matches(tmp_path)
    assert len(read(tmp_path, "label-png")) == 0
    assert time.perf_counter() - started < 3


def cells(across: int, space: int, dtype: Any) -> np.ndarray:
    made = np.zeros((240, 320), dtype)
    value = 0
    for y in range(0, 240 - across, space):
        for x in range(0, 320 - across, space):
            value += 1
            made[y : y + across, x : x + across] = value
    return made


@pytest.mark.parametrize(("across", "space"), [(4, 5), (8, 9), (20, 20), (60, 80)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_ids_of_any_size_are_ids(tmp_path: Path, across: int, space: int, dtype: Any) -> None:
    made = cells(across, space, np.int64)
    made = made % 255 + (made > 0) if dtype == np.uint8 and made.max() > 255 else made
    if dtype == np.uint8 and made.max() < len(np.unique(made)) - 1:
        pytest.fail("the scene is wrong")
    save_png(tmp_path / "a.png", made.astype(dtype))
    if dtype == np.uint8 and across < 20:
        return  # one id here is many cells far apart, which no object is
    table = read(tmp_path)
    assert len(table) == len(np.unique(made)) - 1


def test_the_format_is_found_behind_many_empty_pngs(tmp_path: Path) -> None:
    for k in range(80):
        save_png(tmp_path / f"{k:03d}.png", labels())
    assert not label_png_format.FORMAT.matches(tmp_path)
    save_png(tmp_path / "999.png", labels(1))
    assert detect(tmp_path).name == "label-png"


# --- folders side by side ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"), [("masks", "labels"), ("instance", "semantic"), ("a/gt", "b/gt")]
)
@pytest.mark.parametrize("names", [("a", "b"), ("001", "002")])
def test_twin_folders_are_refused_by_name(
    tmp_path: Path, one: str, other: str, names: tuple[str, str]
) -> None:
    for folder in (one, other):
        for name in names:
            save_png(tmp_path / folder / f"{name}.png", labels(1, 2, dtype=np.uint8))
    if names[0] == "001" and one == "a/gt":
        assert len(read(tmp_path)) == 8  # two recordings
        return
    with pytest.raises(SourceError, match=f"{min(one, other)} and {max(one, other)} have PNGs"):
        read(tmp_path)
    assert len(read(tmp_path / one)) == 4


@pytest.mark.parametrize("folders", [("train", "val"), ("bear", "dog"), ("480p/bear", "480p/dog")])
def test_splits_and_recordings_are_read_together(tmp_path: Path, folders: tuple[str, str]) -> None:
    for k, folder in enumerate(folders):
        for name in range(2):
            stem = f"{name:05d}" if "bear" in folder or "dog" in folder else f"{k}_{name}"
            save_png(tmp_path / folder / f"{stem}.png", labels(1, 2))
    table = read(tmp_path)
    assert len(table.images) == 4
    assert len(table) == 8


@pytest.mark.parametrize("split", ["train", "val", "x"])
def test_splits_of_masks_beside_splits_of_images(tmp_path: Path, split: str) -> None:
    for part in (split, "test"):
        for name in ("a", "b", "c"):
            save_png(tmp_path / "images" / part / f"{part}{name}.png", photo())
            save_png(tmp_path / "masks" / part / f"{part}{name}.png", labels(1, 2))
    assert detect(tmp_path).name == "label-png"
    table = read(tmp_path)
    assert len(table.images) == 6
    assert len(table) == 12
    assert set(table.images["file_name"]) == {
        f"images/{part}/{part}{name}.png" for part in (split, "test") for name in "abc"
    }


@pytest.mark.parametrize("suffix", ["_masks", "_cp_masks", "_label", "_instances"])
@pytest.mark.parametrize("picture", ["png", "jpg"])
def test_ids_named_after_the_picture_beside(tmp_path: Path, suffix: str, picture: str) -> None:
    for name in ("a", "b_1"):
        save_png(tmp_path / f"{name}{suffix}.png", labels(1, 2, 3))
        Image.fromarray(labels(9, dtype=np.uint8)).save(tmp_path / f"{name}.{picture}")
    table = read(tmp_path)
    assert table.images["file_name"].tolist() == [f"a.{picture}", f"b_1.{picture}"]
    assert len(table) == 6


# --- known layouts -------------------------------------------------------------------------------


def voc(root: Path, where: str = "") -> None:
    for name in ("2007_01", "2007_02"):
        objects = labels(1, 2, 255, dtype=np.uint8)
        classes = labels(15, 9, 255, dtype=np.uint8)
        objects[30:32, 10:30] = classes[30:32, 10:30] = 255
        save_voc(root / where / "SegmentationObject" / f"{name}.png", objects)
        save_voc(root / where / "SegmentationClass" / f"{name}.png", classes)
        (root / where / "JPEGImages").mkdir(exist_ok=True)
        Image.fromarray(photo()).save(root / where / "JPEGImages" / f"{name}.jpg")


@pytest.mark.parametrize("where", ["", "VOC2012", "VOCdevkit/VOC2012"])
@pytest.mark.parametrize("part", ["", "SegmentationObject"])
def test_pascal_voc(tmp_path: Path, where: str, part: str) -> None:
    voc(tmp_path, where)
    source = tmp_path / where / part if part else tmp_path
    table = read(source)
    assert detect(source).name == "label-png"
    assert len(table.images) == 2
    assert table.masks["category"].tolist() == ["person", "chair"] * 2
    assert [Path(name).name for name in table.images["file_name"]] == ["2007_01.jpg", "2007_02.jpg"]
    second = block(1)
    second[30:32] = False
    keys = table.masks["source_key"].tolist()
    assert (pixels(table, keys[0]) == block(0)).all()
    assert (pixels(table, keys[1]) == second).all()
    assert notes(table)["layout"] == 2


def test_pascal_voc_of_a_tool_is_in_colours(tmp_path: Path) -> None:
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:128,0,0::\nbig dog:0,128,0::\n"
    colors = {1: (128, 0, 0), 2: (0, 128, 0)}
    for folder in ("SegmentationObject", "SegmentationClass"):
        drawn = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for k, color in colors.items():
            drawn[block(k)] = color if folder == "SegmentationClass" else (k, 9, 0)
        save_png(tmp_path / folder / "a.png", drawn)
    (tmp_path / "labelmap.txt").write_text(text)
    table = read(tmp_path)
    assert table.masks["category"].tolist() == ["car", "big dog"]


def test_voc_classes_are_never_ids(tmp_path: Path) -> None:
    voc(tmp_path)
    with pytest.raises(SourceError, match="the ids are classes, not objects; give Segmentation"):
        read(tmp_path / "SegmentationClass")


def cityscapes(root: Path) -> None:
    for split, name in (("train", "aachen_0_1"), ("val", "bonn_2_3")):
        folder = root / "gtFine" / split / name.partition("_")[0]
        ids = labels(26000, 26001, 24000, background=7)
        ids[:3] = 11
        ids[3:5] = 26  # a group of cars, which is no single one
        save_png(folder / f"{name}_gtFine_instanceIds.png", ids)
        classes = np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8)
        save_png(folder / f"{name}_gtFine_labelIds.png", classes)
        save_png(folder / f"{name}_gtFine_color.png", np.stack([classes * 9] * 4, axis=2))
        (folder / f"{name}_gtFine_polygons.json").write_text("{}")
        city = root / "leftImg8bit" / split / name.partition("_")[0]
        save_png(city / f"{name}_leftImg8bit.png", photo())


@pytest.mark.parametrize("part", ["", "gtFine", "gtFine/train", "gtFine/train/aachen"])
def test_cityscapes(tmp_path: Path, part: str) -> None:
    cityscapes(tmp_path)
    table = read(tmp_path / part)
    images = 1 if "train" in part else 2
    assert len(table.images) == images
    assert table.masks["category"].tolist() == ["person", "car", "car"] * images
    assert table.masks["category_id"].tolist() == [24, 26, 26] * images
    assert Path(table.images["file_name"].iloc[0]).name == "aachen_0_1_leftImg8bit.png"
    if not part:
        assert (tmp_path / table.images["file_name"].iloc[0]).is_file()
    key = table.masks["source_key"].iloc[2]
    assert key.endswith("#26001")
    assert (pixels(table, key) == block(1)).all()
    assert notes(table) == {"layout": images, "stuff": images}


def kitti(root: Path, ids: str, beside: dict[str, np.ndarray]) -> None:
    for name in ("000000_10", "000001_10"):
        coded = labels(26 * 256 + 1, 26 * 256 + 2, 24 * 256 + 1, background=7 * 256)
        save_png(root / ids / f"{name}.png", coded)
        for folder, values in beside.items():
            save_png(root / folder / f"{name}.png", values)


@pytest.mark.parametrize("part", ["", "training", "training/instance"])
def test_kitti(tmp_path: Path, part: str) -> None:
    beside = {"training/semantic": labels(26, 26, 24, dtype=np.uint8), "training/image_2": photo()}
    kitti(tmp_path, "training/instance", beside)
    table = read(tmp_path / part)
    assert table.masks["category"].tolist() == ["person", "car", "car"] * 2
    assert {Path(name).parent.name for name in table.images["file_name"]} == {"image_2"}


@pytest.mark.parametrize("version", ["", "v1.2/"])
@pytest.mark.parametrize("part", ["", "training"])
def test_mapillary(tmp_path: Path, version: str, part: str) -> None:
    place = f"training/{version}"
    beside = {f"{place}labels": labels(26, 26, 24, dtype=np.uint8), "training/images": photo()}
    kitti(tmp_path, f"{place}instances", beside)
    table = read(tmp_path / part)
    assert table.masks["category"].tolist() == ["24", "26", "26"] * 2
    assert {Path(name).parent.name for name in table.images["file_name"]} == {"images"}


@pytest.mark.parametrize("names", ["", "cat\ndog\n"])
@pytest.mark.parametrize("sequence", ["", "0002/"])
def test_mots(tmp_path: Path, names: str, sequence: str) -> None:
    for frame in ("000001", "000002"):
        save_png(
            tmp_path / "train/instances" / f"{sequence}{frame}.png", labels(1000, 2003, 10_000)
        )
        save_png(tmp_path / "train/images" / f"{sequence}{frame}.png", photo())
    if names:
        (tmp_path / "train/instances/labels.txt").write_text(names)
    table = read(tmp_path / "train")
    meant = ["cat", "dog"] if names else ["car", "pedestrian"]
    assert table.masks["category"].tolist() == meant * 2
    assert notes(table)["void"] == 2
    assert table.images["file_name"].tolist()[0] == f"images/{sequence}000001.png"


def test_codes_and_void_can_be_told(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", labels(26000, 26001, 7))
    assert len(read(tmp_path)) == 3
    told = read(tmp_path, options=ReadOptions(class_code="cityscapes"))
    assert told.masks["category"].tolist() == ["car", "car"]
    told = read(tmp_path, options=ReadOptions(void=(7, 26000)))
    assert [key.rpartition("#")[2] for key in told.masks["source_key"]] == ["26001"]
    with pytest.raises(CallError, match="there is no class code x"):
        read(tmp_path, options=ReadOptions(class_code="x"))
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(CallError, match="--void is not for"):
        detect(tmp_path / "a.json", "coco", ReadOptions(void=(1,)))


@pytest.mark.parametrize("void", [None, (0,), (255,)])
def test_the_void_of_voc_is_known_by_its_palette(tmp_path: Path, void: Any) -> None:
    save_voc(tmp_path / "a.png", labels(1, 255, dtype=np.uint8))
    table = read(tmp_path, options=ReadOptions(void=void))
    assert len(table) == (2 if void == (0,) else 1)


# --- writing -------------------------------------------------------------------------------------


def write(source: Path, out: Path, edits: Edits) -> MaskTable:
    detect(source).write(source, out, edits)
    return read(out)


def test_added_masks_get_an_id_of_their_class(tmp_path: Path) -> None:
    cityscapes(tmp_path / "in")
    name = "gtFine/train/aachen/aachen_0_1_gtFine_instanceIds.png"
    corner = np.zeros((HEIGHT, WIDTH), bool)
    corner[50:58, 70:88] = True  # over a region of a class, which gives way
    add = [Addition(name, counts_of(corner), HEIGHT, WIDTH, "car")]
    table = write(tmp_path / "in", tmp_path / "out", Edits(add=add))
    assert (pixels(table, f"{name}#26002") == corner).all()
    before, after = tree(tmp_path / "in"), tree(tmp_path / "out")
    beside = [name.replace("instanceIds", kind) for kind in ("color", "instanceIds", "labelIds")]
    assert [n for n in before if before[n] != after[n]] == beside
    was = np.asarray(Image.open(tmp_path / "in" / name))
    now = np.asarray(Image.open(tmp_path / "out" / name))
    assert (np.where(corner, 26002, was) == now).all()


@pytest.mark.parametrize(
    ("category", "message"),
    [
        (None, "say which one it gets with --category"),
        ("fox", "there is no class 'fox' in these ids; use person, rider, car"),
        ("26", "there is no class '26' in these ids"),
    ],
)
def test_an_added_mask_without_a_class_is_refused(
    tmp_path: Path, category: str | None, message: str
) -> None:
    cityscapes(tmp_path / "in")
    name = "gtFine/train/aachen/aachen_0_1_gtFine_instanceIds.png"
    add = [Addition(name, counts_of(block(2)), HEIGHT, WIDTH, category)]
    with pytest.raises(CallError, match=message):
        detect(tmp_path / "in").write(tmp_path / "in", tmp_path / "out", Edits(add=add))


def test_a_class_beyond_the_depth_is_refused(tmp_path: Path) -> None:
    save_png(tmp_path / "in" / "a.png", labels(1, dtype=np.uint8))
    form = detect(tmp_path / "in", options=ReadOptions(class_code="kitti"))
    add = [Addition("a.png", counts_of(block(2)), HEIGHT, WIDTH, "car")]
    with pytest.raises(CallError, match="its class takes ids from 6657 on, and this PNG holds"):
        form.write(tmp_path / "in", tmp_path / "out", Edits(add=add))


@pytest.mark.parametrize("overlap", [None, "new", "old"])
def test_void_pixels_are_never_painted(tmp_path: Path, overlap: str | None) -> None:
    voc(tmp_path / "in")
    key = "SegmentationObject/2007_01.png"
    was = np.asarray(Image.open(tmp_path / "in" / key))
    wide = block(1)  # its upper rows are void
    wide[50:55, 10:30] = True
    change = {f"{key}#2": Change(counts_of(wide))}
    form = detect(tmp_path / "in")
    stored = form.write(tmp_path / "in", tmp_path / "out", Edits(change=change, overlap=overlap))
    now = np.asarray(Image.open(tmp_path / "out" / key))
    assert ((was == 255) == (now == 255)).all()
    kept = wide & (was != 255)
    assert ((now == 2) == kept).all()
    assert dict(stored.held) == {f"{key}#2": counts_of(kept)}


def test_dropped_objects_leave_void_and_classes(tmp_path: Path) -> None:
    voc(tmp_path / "in")
    key = "SegmentationObject/2007_01.png"
    table = write(tmp_path / "in", tmp_path / "out", Edits(drop=frozenset({f"{key}#1"})))
    assert len(table) == 3
    now = np.asarray(Image.open(tmp_path / "out" / key))
    was = np.asarray(Image.open(tmp_path / "in" / key))
    assert (now == np.where(was == 1, 0, was)).all()
