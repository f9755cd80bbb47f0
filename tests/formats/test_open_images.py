"""Open Images: masks of their own size, listed in CSV files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_masks import decoded, encoded, scene
from mask_files import save_png
from PIL import Image
from small_table_datasets import open_images

import curate
from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.open_images.open_images_format import FORMAT, matches
from curate.formats.open_images.scaling import scale_mask
from curate.formats.reading import detect, read
from curate.formats.segmentation import Segmentation

LIST = "annotations/train-annotations-object-segmentation.csv"


def nearest(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale a mask by the rule that the documents state."""
    rows = np.arange(size[0]) * mask.shape[0] // size[0]
    columns = np.arange(size[1]) * mask.shape[1] // size[1]
    return np.asarray(mask[rows][:, columns])


@pytest.mark.parametrize("factor", [0.4, 1.3, 2, 2.5, 3.7])
def test_masks_are_scaled_by_the_nearest_pixel(factor: float) -> None:
    rng = np.random.default_rng(4)
    for size in ((24, 40), (31, 22), (3, 50), (1, 1)):
        shown = max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
        full = np.ones(size, bool)
        masks = [*scene(rng, size, 3), full] if min(size) > 3 else [full]
        for mask in masks:
            made = scale_mask(Segmentation(encoded(mask)), size, shown)
            assert made.status == "ok", made
            assert made.counts is not None
            assert (decoded(made.counts, shown) == nearest(mask, shown)).all()


def test_a_picture_of_another_shape_is_a_finding() -> None:
    made = scale_mask(Segmentation(encoded(np.ones((20, 30), bool))), (20, 30), (60, 40))
    assert (made.counts, made.status) == (None, "size_mismatch")


def test_masks_have_the_frame_of_their_pictures(tmp_path: Path) -> None:
    root = open_images(tmp_path, np.random.default_rng(0))
    assert detect(root).name == "open-images"
    table = read(root)
    assert table.images["file_name"].tolist() == [
        "images/train/00ab.jpg",
        "images/validation/01ab.jpg",
    ]
    assert table.images["subset"].tolist() == ["train", "validation"]
    assert set(table.masks["category"]) == {"Cat", 'R&D, "é"'}
    assert table.masks["predicted_iou"].tolist()[:2] == [0.8, 0.81]
    with Image.open(root / "masks/train/00ab_m01_0f.png") as image:
        mask = np.asarray(image) > 0
    first = table.masks.iloc[0]
    size = int(first["height"]), int(first["width"])
    assert (decoded(first["segmentation"], size) == nearest(mask, size)).all()
    assert {note.kind for note in table.notes} == {"scaled"}
    found = FORMAT.pictures(root) if FORMAT.pictures else None
    assert found is not None
    assert found.folder == root.resolve()


def test_without_pictures_sizes_are_those_of_the_masks(tmp_path: Path) -> None:
    root = open_images(tmp_path, np.random.default_rng(0))
    (root / "images").rename(tmp_path / "images")
    table = read(root)
    assert table.images[["height", "width"]].to_numpy().tolist() == [[24, 40], [31, 22]]
    assert {note.kind for note in table.notes} == {"sizes_of_masks"}
    audit = curate.audit(root, tmp_path / "audit", images=tmp_path / "images")
    assert audit.images()[["height", "width"]].to_numpy().tolist() == [[48, 80], [62, 44]]
    assert (audit.images()["status"] == "ok").all()


def test_broken_rows_are_findings(tmp_path: Path) -> None:
    root = open_images(tmp_path, np.random.default_rng(0))
    path = root / LIST
    lines = path.read_text().splitlines()
    lines += ["gone.png,00ab,/m/01,,,,,,,", "../x.png,00ab,/m/09,,,,,,x,", "short.png,00ab"]
    save_png(root / "masks/train/other.png", np.ones((50, 10), bool))
    lines += ["other.png,00ab,/m/01,,,,,,0.5,"]
    path.write_text("\n".join(lines))
    masks = read(root).masks[4:8]
    assert masks["status"].tolist() == [
        *("no_segmentation", "no_segmentation", "no_segmentation", "size_mismatch")
    ]
    assert masks["category"].fillna("").tolist() == ["Cat", "/m/09", "", "Cat"]


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    root = open_images(tmp_path, np.random.default_rng(0))
    size = (48, 80)
    mask = encoded(np.ones(size, bool))
    image = f"{LIST}#00ab"
    cases = {
        "not among the class descriptions": Edits(change={f"{LIST}:2": Change(category="Dog")}),
        "has no category": Edits(add=[Addition(image, mask, *size)]),
        "names no image": Edits(add=[Addition(f"{LIST}#x", mask, *size, "Cat")]),
        "names no mask": Edits(drop={f"{LIST}:99"}),
    }
    for what, edits in cases.items():
        with pytest.raises(CallError, match=what):
            FORMAT.write(root, None, edits)
    with (root / LIST).open("a") as file:
        file.write("\n" + (root / LIST).read_text().splitlines()[1])
    with pytest.raises(CallError, match="2 rows name the PNG"):
        FORMAT.write(root, None, Edits(change={f"{LIST}:2": Change(mask)}))
    FORMAT.write(root, tmp_path / "out", Edits(drop={f"{LIST}:2"}))
    assert (tmp_path / "out/masks/train/00ab_m01_0f.png").is_file()


def test_a_png_that_another_list_names_stays_and_is_not_redrawn(tmp_path: Path) -> None:
    root = open_images(tmp_path, np.random.default_rng(0))
    twin = LIST.replace("train", "test")
    (root / twin).write_bytes((root / LIST).read_bytes())
    mask = encoded(np.ones((48, 80), bool))
    with pytest.raises(CallError, match="2 rows name the PNG"):
        FORMAT.write(root, None, Edits(change={f"{LIST}:2": Change(mask)}))
    form, png = detect(root), "masks/train/00ab_m01_0f.png"
    for name, keys, there in (("a", {f"{LIST}:2"}, True), ("b", {f"{LIST}:2", f"{twin}:2"}, False)):
        edits = Edits(drop=frozenset(keys))
        form.write(root, tmp_path / name, edits)
        assert (tmp_path / name / png).is_file() is there
        assert form.check_unedited(root, tmp_path / name, edits) == ""
    (tmp_path / "a" / png).unlink()
    assert form.check_unedited(root, tmp_path / "a", Edits(drop=frozenset({f"{LIST}:2"})))


def test_other_folders_are_none(tmp_path: Path) -> None:
    assert not matches(tmp_path)
    (tmp_path / "a.csv").write_text("MaskPath,ImageID\n")
    assert not matches(tmp_path)
    with pytest.raises(SourceError, match="MaskPath"):
        list(FORMAT.plan(tmp_path, tmp_path))
