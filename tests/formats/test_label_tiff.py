"""TIFFs of instance ids as cellpose, StarDist, ImageJ and OpenCV leave them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_files import counts_of, save_png, tree
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile
from random_cases import draws
from tiff_files import tiff

from curate.dataset.table import MaskTable
from curate.errors import CallError, CurateError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.reading import detect, read
from curate.formats.tiff import tiff_samples
from curate.formats.tiff.label_tiff_format import FORMAT
from curate.rle import to_dense

H, W = 60, 90
BOXES = ((5, 5, 20, 30), (30, 10, 20, 20), (10, 50, 40, 15))  # y, x, height, width


def box(k: int) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    y, x, h, w = BOXES[k]
    mask[y : y + h, x : x + w] = True
    return mask


def labels(*ids: int, dtype: Any = np.uint16) -> np.ndarray:
    made = np.zeros((H, W), dtype)
    for k, value in enumerate(ids):
        made[box(k)] = value
    return made


def save(path: Path, values: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tiff(values, **options))
    return path


def photo(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(900, 300, (H, W))
    return np.clip(noise, 0, 65_535).astype(np.uint16)


def masks_of(table: MaskTable) -> dict[str, np.ndarray]:
    keys = table.masks["source_key"]
    return {key: to_dense(table.runs, k) for k, key in enumerate(keys)}


KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"rows": 7},
    {"order": ">", "rows": 16},
    {"packing": 8, "rows": 10},
    {"packing": 8, "predictor": 2, "order": ">"},
    {"tile": (16, 32)},
    {"tile": (32, 16), "packing": 8, "predictor": 2},
    {"big": True, "rows": 9, "packing": 8},
    {"big": True, "order": ">"},
    {"description": "ImageJ=1.54f\nimages=1\nslices=1\n"},
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "i4"])
def test_every_id_is_a_mask_and_edits_touch_nothing_else(
    tmp_path: Path, kind: dict[str, Any], dtype: str
) -> None:
    ids = (3, 17, 120) if dtype == "u1" else (3, 300, 20_000)
    values = labels(*ids, dtype=dtype)
    path = save(tmp_path / "cells.tif", values, **kind)
    assert detect(path).name == "label-tiff"
    table = read(path)
    found = masks_of(table)
    assert [*found] == [f"cells.tif#{value}" for value in ids]
    for value in ids:
        assert (found[f"cells.tif#{value}"] == (values == value)).all()
    new, moved = np.zeros((H, W), bool), np.zeros((H, W), bool)
    new[50:60, 70:90] = True
    moved[0:4, 40:80] = True
    edits = Edits(
        drop=frozenset({f"cells.tif#{ids[1]}"}),
        change={f"cells.tif#{ids[0]}": Change(counts_of(moved))},
        add=[Addition("cells.tif", counts_of(new), H, W)],
    )
    FORMAT.write(path, tmp_path / "out.tif", edits)
    expected = labels(0, 0, ids[2], dtype=dtype)
    expected[moved], expected[new] = ids[0], ids[2] + 1
    if kind.get("order") != ">":  # in which Pillow confuses bytes
        after = np.asarray(Image.open(tmp_path / "out.tif")).astype(np.int64)
        assert (after == expected).all()
    again = masks_of(read(tmp_path / "out.tif"))
    assert [*again] == [f"out.tif#{value}" for value in np.unique(expected)[1:]]
    assert (again[f"out.tif#{ids[0]}"] == moved).all()
    assert FORMAT.check_unedited(path, tmp_path / "out.tif", edits) == ""
    before = path.read_bytes()
    if kind.get("packing", 1) == 1:  # pixels are changed where they stand
        assert len((tmp_path / "out.tif").read_bytes()) == len(before)


@pytest.mark.parametrize("packing", ["tiff_lzw", "packbits", "zstd", "tiff_adobe_deflate"])
@pytest.mark.parametrize("predictor", [1, 2])
def test_what_libtiff_packs_is_packed_so_again(
    tmp_path: Path, packing: str, predictor: int
) -> None:
    """OpenCV packs by LZW with differences; others by PackBits and Zstandard."""
    tags = {317: predictor} if packing != "packbits" else {}
    values = labels(1, 2, 3, dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.tif", compression=packing, tiffinfo=tags)
    assert len(read(tmp_path / "a.tif")) == 3
    FORMAT.prune(tmp_path / "a.tif", tmp_path / "b.tif", {"a.tif#2"})
    with TiffImageFile(tmp_path / "a.tif") as old, TiffImageFile(tmp_path / "b.tif") as new:
        assert (np.asarray(new) == labels(1, 0, 3)).all()
        kept = {k: v for k, v in old.tag_v2.items() if k not in (273, 279)}
        assert kept == {k: v for k, v in new.tag_v2.items() if k not in (273, 279)}


def test_values_below_0_are_void_and_stay(tmp_path: Path) -> None:
    values = labels(5, 9, dtype=np.int32)
    values[50:, 70:] = -3
    path = save(tmp_path / "a.tif", values)
    table = read(path)
    assert table.masks.index.tolist() == [5, 9]
    assert [note.kind for note in table.notes] == ["void"]
    wide = np.zeros((H, W), bool)
    wide[45:, 60:] = True
    edits = Edits(add=[Addition("a.tif", counts_of(wide), H, W)])
    stored = FORMAT.write(path, tmp_path / "b.tif", edits)
    after = np.asarray(Image.open(tmp_path / "b.tif"))
    assert ((after == -3) == (values == -3)).all()
    assert ((after == 10) == (wide & (values != -3))).all()
    assert list(stored.held) == [0]


def test_bits_are_one_mask_whatever_0_means(tmp_path: Path) -> None:
    for white in (False, True):
        path = save(tmp_path / f"{white}.tif", labels(1).astype(bool) ^ white, white=white)
        found = masks_of(read(path))
        assert (found[f"{white}.tif#1"] == box(0)).all()
        out = tmp_path / f"out-{white}.tif"
        FORMAT.prune(path, out, {f"{white}.tif#1"})
        assert len(read(out, "label-tiff")) == 0


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [
        ("{}.tif", "{}_masks.tif"),
        ("{}.tif", "{}_cp_masks.tif"),
        ("images/{}.tif", "masks/{}.tif"),
        ("images/{}.png", "masks/{}.tiff"),
        ("train/images/{}.tif", "train/masks/{}.tif"),
    ],
)
def test_pictures_beside_are_found(tmp_path: Path, pictures: str, masks: str) -> None:
    for k, name in enumerate(("a", "b")):
        own = tmp_path / pictures.format(name)
        if own.suffix == ".png":
            save_png(own, photo(k))
        else:
            save(own, photo(k))
        save(tmp_path / masks.format(name), labels(1, 2, 3))
    source = tmp_path / "train" if pictures.startswith("train") else tmp_path
    assert detect(source).name == "label-tiff"
    table = read(source)
    wanted = [pictures.format(name).removeprefix("train/") for name in ("a", "b")]
    assert table.images["file_name"].tolist() == wanted
    assert len(table) == 6
    assert FORMAT.pictures is not None
    found = FORMAT.pictures(source)
    assert found is not None
    assert found.folder == source


def test_prune_leaves_files_without_edits_alone(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for name in ("a", "b"):
        save(source / f"{name}.tif", photo())
        save(source / f"{name}_masks.tif", labels(1, 2, 3), packing=8)
    (source / "notes.txt").write_text("x")
    before = tree(source)
    FORMAT.prune(source, tmp_path / "out", {"b_masks.tif#2"})
    after = tree(tmp_path / "out")
    assert {name for name in before if before[name] != after[name]} == {"b_masks.tif"}


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (photo(), "no picture of ids"),
        (labels(1).astype(np.uint32) + np.uint32(2**31), "ids end at"),
        (labels(1).astype(np.int64), "has 64 bits a pixel"),
    ],
)
def test_what_is_no_ids_is_refused_in_a_sentence(
    tmp_path: Path, values: np.ndarray, what: str
) -> None:
    path = save(tmp_path / "a.tif", values)
    assert not FORMAT.matches(path)
    image = read(path, "label-tiff").images.iloc[0]
    assert image["status"] == "unreadable"
    assert what in image["status_detail"]


@pytest.mark.parametrize("how", [{"pages": 4}, {"description": "ImageJ=1.54f\nimages=12\n"}])
def test_several_pages_are_named_not_lost(tmp_path: Path, how: dict[str, Any]) -> None:
    path = save(tmp_path / "a.tif", labels(1, 2), **how)
    assert detect(tmp_path).name == "label-tiff"
    image = read(tmp_path).images.iloc[0]
    assert "pages, a volume or a film: save each page as a TIFF" in image["status_detail"]
    with pytest.raises(SourceError, match="pages"):
        FORMAT.prune(path, tmp_path / "b.tif", {"a.tif#1"})


def test_more_ids_than_16_bits_have_are_refused(tmp_path: Path) -> None:
    values = np.zeros((300, 300), np.uint16)
    values[:256, :256] = np.arange(65_536).reshape(256, 256)
    path = save(tmp_path / "a.tif", values)
    new = np.zeros((300, 300), bool)
    new[290:, 290:] = True
    edits = Edits(add=[Addition("a.tif", counts_of(new), 300, 300)])
    with pytest.raises(CallError, match=r"this TIFF holds ids up to 65,535.*more bits a pixel"):
        FORMAT.write(path, tmp_path / "b.tif", edits)
    assert not (tmp_path / "b.tif").exists()


def test_a_strip_that_grows_beyond_its_place_moves(tmp_path: Path) -> None:
    values = np.zeros((H, W), np.uint16)
    values[10:20, 10:20] = 1
    path = save(tmp_path / "a.tif", values, packing=8)
    noise = np.random.default_rng(1).random((H, W)) < 0.5
    edits = Edits(add=[Addition("a.tif", counts_of(noise & (values == 0)), H, W)])
    FORMAT.write(path, tmp_path / "b.tif", edits)
    before, after = path.read_bytes(), (tmp_path / "b.tif").read_bytes()
    assert len(after) > len(before)
    assert (
        np.asarray(Image.open(tmp_path / "b.tif")) == np.where(noise & (values == 0), 2, values)
    ).all()
    assert FORMAT.check_unedited(path, tmp_path / "b.tif", edits) == ""


def test_strips_that_share_bytes_are_not_written(tmp_path: Path) -> None:
    data = bytearray(tiff(labels(1), rows=30))
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    with TiffImageFile(path) as image:
        first, second = (n.to_bytes(4, "little") for n in image.tag_v2[273])
    path.write_bytes(bytes(data).replace(second, first))
    with pytest.raises(SourceError, match="share bytes"):
        FORMAT.prune(path, tmp_path / "b.tif", {"a.tif#1"})


def test_what_a_header_claims_is_not_believed(tmp_path: Path, monkeypatch: Any) -> None:
    for name, values in (("a", labels(1)), ("b", labels(1, dtype=np.uint8))):
        data = tiff(values, packing=8)
        huge = data.replace((W).to_bytes(4, "little"), (20_000).to_bytes(4, "little"))
        huge = huge.replace((H).to_bytes(4, "little"), (20_000).to_bytes(4, "little"))
        (tmp_path / f"{name}.tif").write_bytes(huge)
    statuses = read(tmp_path, "label-tiff").images["status"].tolist()
    assert statuses == ["unreadable"] * 2
    monkeypatch.setattr(tiff_samples, "MAX_BYTES", 1_000)
    path = save(tmp_path / "c" / "c.tif", labels(1), packing=8)
    detail = read(path, "label-tiff").images["status_detail"].iloc[0]
    assert "save it in strips" in detail


@draws(60)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=8), st.sampled_from(KINDS))
def test_any_tiff_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, junk: bytes, kind: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("ids") / "a.tif"
    data = tiff(labels(1, 2, 3), **kind)
    at = at if at < 200 else len(data) - (at - 199)
    path.write_bytes(data[:at] + junk + data[at + len(junk) :])
    with suppress(SourceError):  # it has become one of several pages
        assert len(read(path, "label-tiff").images) == 1
    try:
        FORMAT.prune(path, path.with_name("out.tif"), {"a.tif#1"})
    except CurateError:
        assert not path.with_name("out.tif").exists()
