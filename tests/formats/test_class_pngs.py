"""PNGs of classes follow those of ids: Pascal VOC, Cityscapes, KITTI, by the rules of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datumaro_samples import mvtec_segmentation
from mask_files import counts_of, save_png, tree
from PIL import Image
from test_label_png_habits import (
    HEIGHT,
    WIDTH,
    block,
    cityscapes,
    kitti,
    labels,
    notes,
    photo,
    save_voc,
    voc,
    voc_palette,
)

from curate.errors import CallError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.format import ReadOptions
from curate.formats.reading import detect, read
from curate.writing.written_check import check_written

OBJECTS, CLASSES = "SegmentationObject/2007_01.png", "SegmentationClass/2007_01.png"
FREE = np.s_[50:58, 70:88]
"""Rows and columns that no mask has."""


def region(where: Any) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[where] = True
    return mask


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(np.int64)


def write(source: Path, out: Path, edits: Edits, **options: Any) -> None:
    form = detect(source, options=ReadOptions(**options))
    form.write(source, None, edits)
    stored = form.write(source, out, edits)
    assert check_written(form, source, out, edits, stored).problem == ""
    assert form.check_unedited(source, out, edits) == ""


# --- Pascal VOC ----------------------------------------------------------------------------------


def test_classes_of_a_mask_that_goes_become_background_and_void_stays(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    voc(source)
    write(source, out, Edits(drop=frozenset({f"{OBJECTS}#2"})))
    objects, was, now = (
        pixels(source / OBJECTS),
        pixels(source / CLASSES),
        pixels(out / CLASSES),
    )
    assert (now == np.where(objects == 2, 0, was)).all()
    assert (now == 255).any()
    with Image.open(out / CLASSES) as image:
        assert image.mode == "P"
        assert image.getpalette() == voc_palette()


def test_classes_follow_masks_that_are_redrawn_added_and_renamed(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    voc(source)  # 1 is a person (15), 2 a chair (9)
    new, smaller = region(FREE), block(0) & region(np.s_[:, :20])
    edits = Edits(
        change={
            f"{OBJECTS}#1": Change(counts_of(smaller)),
            f"{OBJECTS}#2": Change(category="dog"),
        },
        add=[Addition(OBJECTS, counts_of(new), HEIGHT, WIDTH, "bicycle")],
    )
    write(source, out, edits)
    objects, meant = pixels(source / OBJECTS), pixels(source / CLASSES)
    meant[(objects == 1) & ~smaller] = 0
    meant[objects == 2], meant[new] = 12, 2
    assert (pixels(out / CLASSES) == meant).all()
    again = read(out).masks.set_index("source_key")["category"]
    assert [again[f"{OBJECTS}#{k}"] for k in (1, 2, 3)] == ["person", "dog", "bicycle"]


def test_a_new_name_alone_leaves_the_ids_byte_for_byte(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    voc(source)
    write(source, out, Edits(change={f"{OBJECTS}#2": Change(category="dog")}))
    before, after = tree(source), tree(out)
    assert [one for one in before if before[one] != after[one]] == [CLASSES]


def test_a_redrawn_mask_has_one_class_where_it_had_pixels_of_two(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    voc(source)
    classes = pixels(source / CLASSES)
    classes[5:8] = np.where(classes[5:8] == 15, 12, classes[5:8])
    save_voc(source / CLASSES, classes)
    smaller = block(0) & region(np.s_[5:8, :])
    write(source, out, Edits(change={f"{OBJECTS}#1": Change(counts_of(smaller))}))
    assert set(pixels(out / CLASSES)[smaller]) == {15}


def test_an_ignored_mask_is_void_among_the_classes_too(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    voc(source)
    write(source, out, Edits(change={f"{OBJECTS}#1": Change(ignore=True)}))
    objects, was = pixels(source / OBJECTS), pixels(source / CLASSES)
    for name, before in ((OBJECTS, objects), (CLASSES, was)):
        assert (pixels(out / name) == np.where(objects == 1, 255, before)).all()


def in_colours(root: Path, palette: list[int] | None) -> None:
    """Write what a tool exports: colours of its own, by a palette or as they are."""
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:10,20,30::\ndog:40,50,60::\n"
    colors = {1: (10, 20, 30), 2: (40, 50, 60)}
    objects, classes = labels(1, 2, dtype=np.uint8), np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for k, color in colors.items():
        classes[objects == k] = color
    save_voc(root / "SegmentationObject" / "a.png", objects)
    if palette is None:
        save_png(root / "SegmentationClass" / "a.png", classes)
    else:
        picture = Image.fromarray(objects, "L")
        picture.putpalette(palette)
        (root / "SegmentationClass").mkdir()
        picture.save(root / "SegmentationClass" / "a.png")
    (root / "labelmap.txt").write_text(text)


@pytest.mark.parametrize("palette", [None, [0, 0, 0, 10, 20, 30, 40, 50, 60]])
def test_colours_of_a_label_map_are_written(tmp_path: Path, palette: list[int] | None) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    in_colours(source, palette)
    name, new = "SegmentationObject/a.png", region(FREE)
    edits = Edits(
        drop=frozenset({f"{name}#1"}),
        add=[Addition(name, counts_of(new), HEIGHT, WIDTH, "dog")],
    )
    write(source, out, edits)
    with Image.open(out / "SegmentationClass/a.png") as image:
        assert image.mode == ("RGB" if palette is None else "P")
        now = np.asarray(image.convert("RGB"))
    assert (now[new] == (40, 50, 60)).all()
    assert (now[block(1)] == (40, 50, 60)).all()
    assert (now[block(0)] == 0).all()


@pytest.mark.parametrize(
    ("category", "message"),
    [
        (None, "every object of Pascal VOC has a class"),
        ("fox", "no class 'fox' in these ids; use aeroplane, bicycle"),
        ("255", "'255' is void among these classes"),
    ],
)
def test_an_added_mask_of_no_known_class_is_refused(
    tmp_path: Path, category: str | None, message: str
) -> None:
    voc(tmp_path / "in")
    add = [Addition(OBJECTS, counts_of(region(FREE)), HEIGHT, WIDTH, category)]
    form = detect(tmp_path / "in")
    for out in (None, tmp_path / "out"):
        with pytest.raises(CallError, match=message):
            form.write(tmp_path / "in", out, Edits(add=add))
    assert not (tmp_path / "out").exists()


def test_a_colour_that_the_palette_lacks_is_refused(tmp_path: Path) -> None:
    in_colours(tmp_path / "in", [0, 0, 0, 10, 20, 30, 1, 1, 1])
    name = "SegmentationObject/a.png"
    add = [Addition(name, counts_of(region(FREE)), HEIGHT, WIDTH, "dog")]
    with pytest.raises(CallError, match="the palette of this PNG lacks the colour of 'dog'"):
        detect(tmp_path / "in").write(tmp_path / "in", tmp_path / "out", Edits(add=add))


def test_classes_outside_of_the_source_stay_and_a_note_says_so(tmp_path: Path) -> None:
    voc(tmp_path / "in")
    source = tmp_path / "in" / "SegmentationObject"
    table = read(source)
    assert notes(table)["classes_elsewhere"] == 2
    key = "2007_01.png#1"
    with pytest.raises(CallError, match="give the folder of both"):
        detect(source).write(source, None, Edits(change={key: Change(category="dog")}))
    before = tree(tmp_path / "in")
    detect(source).prune(source, tmp_path / "out", {key})
    assert tree(tmp_path / "in") == before
    assert len(read(tmp_path / "out")) == 3


def test_classes_that_cannot_be_read_are_left_alone(tmp_path: Path) -> None:
    voc(tmp_path / "in")
    (tmp_path / "in" / CLASSES).write_bytes(b"no PNG")
    write(tmp_path / "in", tmp_path / "out", Edits(drop=frozenset({f"{OBJECTS}#2"})))
    assert (tmp_path / "out" / CLASSES).read_bytes() == b"no PNG"


# --- ids that carry the class --------------------------------------------------------------------

_TRAIN = {24: 11, 26: 13}
_COLOURS = {0: (0, 0, 0), 24: (220, 20, 60), 26: (0, 0, 142)}


def of_cityscapes(root: Path) -> str:
    cityscapes(root)
    stem = "gtFine/train/aachen/aachen_0_1_gtFine_"
    ids = pixels(root / f"{stem}instanceIds.png")
    classes = np.where(ids >= 1000, ids // 1000, ids)
    train = np.vectorize(lambda one: _TRAIN.get(one, 255))(classes)
    save_png(root / f"{stem}labelTrainIds.png", train.astype(np.uint8))
    both = np.where(ids >= 1000, train * 1000 + ids % 1000, train)
    save_png(root / f"{stem}instanceTrainIds.png", both.astype(np.uint16))
    return stem


def test_every_file_of_cityscapes_follows(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    stem = of_cityscapes(source)
    png, new = f"{stem}instanceIds.png", region(FREE)
    edits = Edits(
        drop=frozenset({f"{png}#26001"}),
        add=[Addition(png, counts_of(new), HEIGHT, WIDTH, "car")],
    )
    write(source, out, edits)
    gone = pixels(source / png) == 26001
    for kind, nothing, value in (
        ("instanceIds", 0, 26002),
        ("labelIds", 0, 26),
        ("labelTrainIds", 255, 13),
        ("instanceTrainIds", 255, 13002),
        ("color", (0, 0, 0), (0, 0, 142)),
    ):
        was, now = (pixels(root / f"{stem}{kind}.png") for root in (source, out))
        meant = was.copy()
        (meant if meant.ndim == 2 else meant[..., :3])[gone] = nothing
        (meant if meant.ndim == 2 else meant[..., :3])[new] = value
        assert (now == meant).all(), kind  # and the opacity of colours stays


def test_the_classes_of_kitti_follow(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    beside = {
        "training/semantic": labels(26, 26, 24, dtype=np.uint8, background=7),
        "training/semantic_rgb": np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        "training/image_2": photo(),
    }
    kitti(source, "training/instance", beside)
    png, new = "training/instance/000000_10.png", region(FREE)
    edits = Edits(
        drop=frozenset({f"{png}#{26 * 256 + 1}"}),
        add=[Addition(png, counts_of(new), HEIGHT, WIDTH, "person")],
    )
    write(source, out, edits)
    meant = beside["training/semantic"].astype(np.int64)
    meant[block(0)], meant[new] = 0, 24
    assert (pixels(out / "training/semantic/000000_10.png") == meant).all()
    assert (pixels(out / "training/semantic_rgb/000000_10.png")[new] == _COLOURS[24]).all()


def test_a_class_that_is_part_of_the_id_is_not_renamed(tmp_path: Path) -> None:
    stem = of_cityscapes(tmp_path / "in")
    change = {f"{stem}instanceIds.png#26001": Change(category="person")}
    with pytest.raises(CallError, match="its class is part of its id"):
        detect(tmp_path / "in").write(tmp_path / "in", None, Edits(change=change))


@pytest.mark.parametrize("wrong", ["class", "elsewhere", "opacity", "text"])
def test_the_check_finds_classes_that_are_not_as_they_should_be(tmp_path: Path, wrong: str) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    stem = of_cityscapes(source)
    edits = Edits(drop=frozenset({f"{stem}instanceIds.png#26001"}))
    write(source, out, edits)
    kind = "color" if wrong == "opacity" else "labelIds"
    path = out / f"{stem}{kind}.png"
    now = pixels(path)
    if wrong == "class":
        now[pixels(source / f"{stem}instanceIds.png") == 26001] = 3
    elif wrong == "elsewhere":
        now[-1, -1] = 3
    elif wrong == "opacity":
        now[-1, -1, 3] ^= 1
    more: dict[str, Any] = {"dpi": (9, 9)} if wrong == "text" else {}
    save_png(path, now.astype(np.uint8), **more)
    assert detect(source).check_unedited(source, out, edits) != ""


def test_a_link_to_classes_that_are_not_there_stays_a_link(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    voc(source)
    (source / CLASSES).unlink()
    (source / CLASSES).symlink_to("nowhere")
    write(source, out, Edits(drop=frozenset({f"{OBJECTS}#2"})))
    assert (out / CLASSES).readlink() == Path("nowhere")
    (out / CLASSES).unlink()
    (out / CLASSES).symlink_to("elsewhere")
    problem = detect(source).check_unedited(source, out, Edits(drop=frozenset({f"{OBJECTS}#2"})))
    assert problem.endswith("leads elsewhere")


def test_masks_have_the_category_that_their_folder_says(tmp_path: Path) -> None:
    """As in MVTec AD, where defects of a kind are in its folder."""
    source = mvtec_segmentation(tmp_path / "in")
    masks = read(source).masks
    key, (height, width) = masks["source_key"].iloc[0], masks.iloc[0][["height", "width"]]
    image = key.rpartition("#")[0]
    added = np.zeros((height, width), bool)
    added[-2:, -2:] = True
    form = detect(source)
    for category, words in ((None, "has no category"), ("other", "has the category 'other'")):
        edits = Edits(add=[Addition(image, counts_of(added), height, width, category)])
        with pytest.raises(CallError, match=f"{words}, but the folder of its image says 'broken'"):
            form.write(source, None, edits)
    with pytest.raises(CallError, match="but its folder says 'broken'"):
        form.write(source, None, Edits(change={key: Change(category="other")}))
    one = Addition(image, counts_of(added), height, width, "broken")
    edits = Edits(add=[one], change={key: Change(category="broken")})
    write(source, tmp_path / "out", edits)
    found = read(tmp_path / "out").masks
    assert len(found) == len(masks) + 1
    assert set(found["category"]) == {"broken"}
