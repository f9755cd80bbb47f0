"""Cityscapes, KITTI, Mapillary, MOTS and Pascal VOC written back: objects alone change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mask_files import counts_of, save_png, tree
from PIL import Image
from test_label_png_habits import HEIGHT, WIDTH, block, cityscapes, kitti, labels, photo, voc

from curate.formats.edits import Addition, Change, Edits
from curate.formats.reading import detect, read


def of_kitti(root: Path) -> None:
    beside = {"training/semantic": labels(26, 26, 24, dtype=np.uint8), "training/image_2": photo()}
    kitti(root, "training/instance", beside)


def of_mapillary(root: Path) -> None:
    beside = {"training/labels": labels(26, 26, 24, dtype=np.uint8), "training/images": photo()}
    kitti(root, "training/instances", beside)


def of_mots(root: Path) -> None:
    for frame in ("000001", "000002"):
        save_png(root / "train/instances" / f"{frame}.png", labels(1000, 2003, 10_000))
        save_png(root / "train/images" / f"{frame}.png", photo())


LAYOUTS: dict[str, tuple[Callable[[Path], None], str, str, int]] = {
    "cityscapes": (cityscapes, "", "car", 26002),
    "kitti": (of_kitti, "", "car", 26 * 256 + 3),
    "mapillary": (of_mapillary, "", "26", 26 * 256 + 3),
    "mots": (of_mots, "train", "car", 1001),
}
"""What writes each, the part that is given, a class, and the id that its next object gets."""


@pytest.mark.parametrize("name", LAYOUTS)
def test_objects_change_and_regions_and_void_stay(tmp_path: Path, name: str) -> None:
    build, part, category, number = LAYOUTS[name]
    build(tmp_path / "in")
    source, out = tmp_path / "in" / part, tmp_path / "out"
    table = read(source)
    gone, moved = table.masks["source_key"].iloc[:2]
    png = gone.rpartition("#")[0]
    corner, smaller = np.zeros((HEIGHT, WIDTH), bool), np.zeros((HEIGHT, WIDTH), bool)
    corner[52:58, 70:88], smaller[31:40, 12:20] = True, True
    smaller &= read_ids(source / png) == int(moved.rpartition("#")[2])
    if not smaller.any():
        smaller = read_ids(source / png) == int(moved.rpartition("#")[2])
        smaller[:, : WIDTH // 5] = False
    edits = Edits(
        drop=frozenset({gone}),
        change={moved: Change(counts_of(smaller))},
        add=[Addition(png, counts_of(corner), HEIGHT, WIDTH, category)],
    )
    form = detect(source)
    form.write(source, out, edits)
    assert form.check_unedited(source, out, edits) == ""
    before, after = tree(source), tree(out)
    changed = [one for one in before if before[one] != after[one] and one not in beside(png)]
    assert changed == [png]
    was, now = read_ids(source / png), read_ids(out / png)
    meant = np.where(np.isin(was, [int(key.rpartition("#")[2]) for key in (gone, moved)]), 0, was)
    meant[smaller], meant[corner] = int(moved.rpartition("#")[2]), number
    assert (now == meant).all()
    again = read(out)
    assert len(again) == len(table)
    assert f"{png}#{number}" in set(again.masks["source_key"])


def beside(png: str) -> set[str]:
    """The files of classes that follow a file of ids."""
    folder, _, name = png.rpartition("/")
    if "instanceIds" in name:
        return {png.replace("instanceIds", kind) for kind in ("labelIds", "color")}
    if folder.endswith("SegmentationObject"):
        return {png.replace("SegmentationObject", "SegmentationClass")}
    return (
        {f"{folder[: -len('instance')]}semantic/{name}"} if folder.endswith("/instance") else set()
    )


def read_ids(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(np.int64)


def test_voc_is_pruned_without_its_void(tmp_path: Path) -> None:
    voc(tmp_path / "in")
    sets = tmp_path / "in" / "ImageSets" / "Segmentation"
    sets.mkdir(parents=True)
    for name, stems in (("train", ["2007_01"]), ("val", ["2007_02"])):
        (sets / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in stems))
    (sets / "trainval.txt").write_text("2007_01\n2007_02\n")
    source = tmp_path / "in"
    table = read(source)
    assert table.images["subset"].tolist() == ["train", "val"]
    form, key = detect(source), table.masks["source_key"].iloc[0]
    form.prune(source, tmp_path / "out", {key})
    png = key.rpartition("#")[0]
    was, now = read_ids(source / png), read_ids(tmp_path / "out" / png)
    assert (now == np.where(block(0) & (was == 1), 0, was)).all()
    assert (was == 255).any()
    before, after = tree(source), tree(tmp_path / "out")
    assert {one for one in before if before[one] != after[one]} == {png, *beside(png)}
