"""Folders of one TIFF a mask, and label images of the same layout, which are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mask_files import counts_of, save_png
from PIL import Image
from tiff_files import tiff

from curate.formats.edits import Addition, Change, Edits
from curate.formats.png.png_folder_format import FORMAT
from curate.formats.reading import detect, read

H, W = 40, 60


def box(k: int) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[5 + 8 * k : 12 + 8 * k, 10 : 30 + 5 * k] = True
    return mask


def dataset(root: Path, layout: str) -> Path:
    """Write two images of three masks each."""
    for name in ("a", "b"):
        folder = root / layout.format(name)
        folder.mkdir(parents=True)
        for k in range(3):
            (folder / f"{k}.tif").write_bytes(tiff(box(k).astype(np.uint8) * 255))
        picture = root / f"{name}/images/{name}.png" if layout[0] == "{" else None
        save_png(picture or root / f"images/{name}.png", np.zeros((H, W), np.uint8))
    return root


def test_both_layouts_are_read_and_new_masks_are_tiffs(tmp_path: Path) -> None:
    for number, layout in enumerate(("{}/masks", "masks/{}")):
        source = dataset(tmp_path / f"in{number}", layout)
        assert detect(source).name == "png-folder"
        table = read(source)
        assert table.masks["status"].tolist() == ["ok"] * 6
        folder = layout.format("a")
        edits = Edits(
            drop=frozenset({f"{folder}/0.tif"}),
            change={f"{folder}/1.tif": Change(counts_of(box(0)))},
            add=[Addition(folder, counts_of(box(0)), H, W)],
        )
        out = tmp_path / f"out{number}"
        FORMAT.write(source, out, edits)
        assert FORMAT.check_unedited(source, out, edits) == ""
        assert sorted(path.name for path in (out / folder).iterdir()) == ["1.tif", "2.tif", "3.tif"]
        for name in ("1.tif", "3.tif"):
            with Image.open(out / folder / name) as image:
                assert (np.asarray(image) == box(0) * 255).all()


def test_label_images_of_one_image_are_no_masks(tmp_path: Path) -> None:
    ids = np.zeros((H, W), np.uint16)
    for k in range(3):
        ids[box(k)] = k + 1
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/a.tif").write_bytes(tiff(ids))
    save_png(tmp_path / "images/a.png", np.zeros((H, W), np.uint8))
    assert detect(tmp_path).name == "label-tiff"
    assert len(read(tmp_path)) == 3


def test_broken_tiffs_are_findings(tmp_path: Path) -> None:
    source = dataset(tmp_path / "in", "masks/{}")
    folder = source / "masks/a"
    (folder / "0.tif").write_bytes((folder / "0.tif").read_bytes()[:90])
    (folder / "1.tif").write_bytes(tiff(np.ones((3, 5), np.uint8)))
    (folder / "2.tif").write_bytes(tiff(box(0).astype(np.uint8), pages=3))
    masks = read(source).masks
    assert masks["status"].tolist()[:3] == ["undecodable", "size_mismatch", "undecodable"]
    assert "save each mask as a TIFF of its own" in masks["status_detail"].iloc[2]
