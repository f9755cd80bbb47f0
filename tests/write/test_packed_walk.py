"""An audit of an archive: pictures, report, prune and write, with the cache gone in between."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import packed_datasets
import pytest
import small_datasets
from PIL import Image

import curate
from curate.common.cache_folder import cache_folder
from curate.errors import SourceError
from curate.formats.edits import Addition, Edits
from curate.formats.reading import detect
from curate.store.known_pictures import open_pictures


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """A zip as CVAT and others export COCO: pictures and annotations in folders of their own."""
    plain = tmp_path / "plain"
    made = small_datasets.build("coco-polygons", plain / "annotations")
    for image in json.loads(made.read_bytes())["images"]:
        path = plain / "images" / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(1).integers(0, 255, (image["height"], image["width"], 3))
        Image.fromarray(pixels.astype(np.uint8)).save(path, quality=90)
    path = packed_datasets.pack(plain, "zip", tmp_path)
    shutil.rmtree(plain)
    return path


def test_an_archive_goes_through_all_verbs(coco: Path, tmp_path: Path) -> None:
    audit = curate.audit(coco, tmp_path / "A")
    info = audit.info
    assert info.source["path"] == str(coco)
    assert info.inputs["images"] == str(coco)
    assert not [name for name in audit.images()["status"] if name == "missing"]
    assert str(cache_folder()) not in (audit.path / "audit.json").read_text()
    shutil.rmtree(cache_folder())
    folder = open_pictures(audit, Path(info.inputs["images"]))
    assert all(folder.load(name) is not None for name in audit.images()["file_name"])
    moved = tmp_path / "elsewhere" / "other.zip"
    moved.parent.mkdir()
    shutil.move(coco, moved)
    with pytest.raises(SourceError, match="not there any more"):
        curate.prune(audit, tmp_path / "out.zip")
    result = curate.write(audit, tmp_path / "out.zip", source=moved, yes=True)
    assert result.out == tmp_path / "out.zip"
    removed = curate.diff(moved, tmp_path / "out.zip")
    assert removed.counts == curate.diff(audit.path, tmp_path / "out.zip").counts
    _check_list(moved, tmp_path / "out.zip")
    assert list(tmp_path.glob(".out*")) == []


def _check_list(before: Path, after: Path) -> None:
    """Files stand in the same order, packed in the same way and at the same times."""
    with zipfile.ZipFile(before) as old, zipfile.ZipFile(after) as new:
        for was, now in zip(old.infolist(), new.infolist(), strict=True):
            for name in ("filename", "compress_type", "date_time", "external_attr", "comment"):
                assert getattr(was, name) == getattr(now, name)
        assert new.testzip() is None
        assert new.comment == old.comment


def test_what_an_archive_holds_is_given_to_options(coco: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(coco) as archive:
        name = next(one for one in archive.namelist() if one.endswith(".json"))
        alone = tmp_path / "alone.json"
        alone.write_bytes(archive.read(name))
    audit = curate.audit(
        alone, tmp_path / "A", images=coco, compare={"again": coco}, detections=f"{coco}/{name}"
    )
    assert audit.info.inputs["images"] == str(coco)
    assert (audit.masks()["agreement_score"].dropna() == 1).all()
    assert "missing" not in audit.images()["status"].tolist()
    assert curate.version(coco) == curate.version(alone) == curate.version(f"{coco}/{name}")
    through = curate.audit(f"{coco}/{name}", tmp_path / "B")
    assert through.info.source["path"] == f"{coco}/{name}"
    assert curate.prune(through, tmp_path / "pruned.zip", yes=True).kept == len(through.masks())
    _check_list(coco, tmp_path / "pruned.zip")


def test_several_datasets_in_an_archive_are_named(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    for name in ("train", "val"):
        small_datasets.build("coco-polygons", plain / name)
    path = packed_datasets.pack(plain, "zip-stored", tmp_path)
    with pytest.raises(SourceError, match=r"give one of them: .*data\.zip/train/\w+\.json"):
        curate.read(path)
    with pytest.raises(SourceError, match="no such file"):
        curate.read(f"{path}/train/none.json")


def test_a_changed_archive_is_noticed(coco: Path, tmp_path: Path) -> None:
    audit = curate.audit(coco, tmp_path / "A")
    with zipfile.ZipFile(coco, "a") as archive:
        archive.writestr("more.txt", "more")
    with pytest.raises(SourceError, match="it has changed since it was audited"):
        curate.prune(audit, tmp_path / "out.zip")


def test_added_masks_of_png_folders_are_new_files(tmp_path: Path) -> None:

    source = packed_datasets.build("png-folder", "zip-folder", tmp_path)
    form = detect(source)
    table = curate.read(source)
    image = table.images.iloc[0]
    counts: Any = table.masks["segmentation"].iloc[0]
    mask = table.masks.iloc[0]
    add = Addition(str(image["source_key"]), bytes(counts), int(mask["height"]), int(mask["width"]))
    out = tmp_path / "out.zip"
    gone = str(table.masks["source_key"].iloc[1])
    form.write(source, out, Edits(drop=frozenset({gone}), add=[add]))
    assert form.check_unedited(source, out, Edits(drop=frozenset({gone}), add=[add])) == ""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out) as new:
        before, after = old.namelist(), new.namelist()
    assert after[: len(before) - 1] == [name for name in before if not name.endswith(gone)]
    assert len(after) == len(before)


def test_keys_of_a_gzip_file_begin_with_the_name_of_its_content(tmp_path: Path) -> None:
    source = packed_datasets.build("coco", "gz", tmp_path)
    assert source.name.endswith(".json.gz")
    audit = curate.audit(source, tmp_path / "A")
    name = source.name.removesuffix(".gz")
    assert audit.masks()["source_key"].str.startswith(f"{name}#").all()
    moved = source.rename(tmp_path / "other.json.gz")
    with pytest.raises(SourceError, match=f"rename it to {source.name}"):
        curate.write(audit, tmp_path / "new.json.gz", source=moved)
    moved.rename(source)
    curate.write(audit, tmp_path / "new.json.gz", yes=True)
    assert curate.read(tmp_path / "new.json.gz").masks["source_key"].iloc[0].startswith("new.json#")
    curate.write(audit, tmp_path / "plain.json", to="coco", yes=True)  # exported, not packed
    assert (
        curate.read(tmp_path / "plain.json").masks["source_key"].iloc[0].startswith("plain.json#")
    )


def test_an_archive_is_exported_to_other_formats(coco: Path, tmp_path: Path) -> None:
    audit = curate.audit(coco, tmp_path / "A")
    curate.write(audit, tmp_path / "cvat", to="cvat", yes=True)
    assert len(curate.read(tmp_path / "cvat")) == len(audit.masks())
