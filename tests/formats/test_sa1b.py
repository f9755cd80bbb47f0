"""SA-1B: a folder, one JSON, tar archives; nothing that is not asked for changes."""

import contextlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import rle
from curate.errors import CallError, CurateError, SourceError
from curate.formats.edits import Edits
from curate.formats.reading import detect, read
from curate.formats.sa1b import sa1b_format

H, W = 30, 40


def mask(number: int, **fields: Any) -> dict[str, Any]:
    pixels = np.zeros((H, W), bool)
    pixels[number % 20 : number % 20 + 5, number % 30 : number % 30 + 7] = True
    counts = rle.encode_counts(rle.from_dense(pixels))[0].as_py().decode()
    made = {
        "id": 10**8 + number,
        "segmentation": {"size": [H, W], "counts": counts},
        "bbox": [number % 30, number % 20, 6, 4],
        "area": 35,
        "predicted_iou": 1.0103150606155396,
        "stability_score": 0.9712345678901234,
        "crop_box": [0, 0, W, H],
        "point_coords": [[number % 30 + 0.5, 3]],
    }
    return made | fields


def document(image: Any, *masks: Any) -> dict[str, Any]:
    about = {"image_id": image, "width": W, "height": H, "file_name": f"sa_{image}.jpg"}
    return {"image": about, "annotations": list(masks)}


def folder_of(path: Path, images: int = 3, masks: int = 4) -> Path:
    path.mkdir(exist_ok=True)
    for i in range(images):
        made = document(i, *(mask(10 * i + k) for k in range(masks)))
        (path / f"sa_{i}.json").write_text(json.dumps(made))
        (path / f"sa_{i}.jpg").write_bytes(b"\xff\xd8 a picture " + bytes([i]))
    return path


def tar_of(folder: Path, path: Path, form: int = tarfile.GNU_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as made:
        for one in sorted(folder.iterdir()):
            made.add(one, f"./{one.name}")
    return path


def load_all(source: Path, work: Path) -> pd.DataFrame:
    return pd.concat(
        [sa1b_format.load(source, part).masks for part in sa1b_format.plan(source, work)]
    )


def test_all_three_ways_hold_the_same_masks(tmp_path: Path):
    folder = folder_of(tmp_path / "sa")
    shards = tmp_path / "shards"
    shards.mkdir()
    shard = tar_of(folder, shards / "sa_000.tar")
    tables = [read(folder), read(shard), read(shards)]
    for source, table in zip((folder, shard, shards), tables, strict=True):
        assert detect(source).name == "sa1b"
        assert table.masks["area_px"].tolist() == [35] * 12
        assert set(table.masks["status"]) == {"ok"}
        assert table.images["file_name"].tolist() == ["sa_0.jpg", "sa_1.jpg", "sa_2.jpg"]
        columns = [c for c in table.masks if c != "source_key"]
        pd.testing.assert_frame_equal(table.masks[columns], tables[0].masks[columns])
    keys = [table.masks["source_key"].iloc[5] for table in tables]
    assert keys == [
        "sa_1.json#/annotations/1",
        "sa_000.tar!sa_1.json#/annotations/1",
        "sa_000.tar!sa_1.json#/annotations/1",
    ]
    alone = read(folder / "sa_1.json")
    assert alone.masks["source_key"].iloc[1] == "sa_1.json#/annotations/1"
    row = alone.masks.loc[10**8 + 11]
    assert row["predicted_iou"] == 1.0103150606155396
    assert row["stability_score"] == 0.9712345678901234
    assert row[["prompt_x", "prompt_y", "crop_w", "crop_h"]].tolist() == [11.5, 3, W, H]
    assert row[["declared_x", "declared_w", "declared_area"]].tolist() == [11, 6, 35]


def test_quick_and_patient_documents_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sa1b_format, "_BATCH_MASKS", 5)
    folder = folder_of(tmp_path / "sa", images=8)
    for i in (1, 2, 5):
        made = document(i, *(mask(10 * i + k, note=None) for k in range(4)))
        (folder / f"sa_{i}.json").write_text(json.dumps(made, indent=1))
    masks = read(folder).masks
    assert masks["image_id"].tolist() == [i for i in range(8) for _ in range(4)]
    assert masks.index.tolist() == [10**8 + 10 * i + k for i in range(8) for k in range(4)]
    assert masks["source_key"].tolist() == [
        f"sa_{i}.json#/annotations/{k}" for i in range(8) for k in range(4)
    ]
    assert masks["area_px"].tolist() == [35] * 32


def test_parts_hold_whole_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = folder_of(tmp_path / "sa", images=6)
    monkeypatch.setattr(sa1b_format, "PART_BYTES", 3000)
    parts = list(sa1b_format.plan(folder, tmp_path))
    assert len(parts) > 2
    assert [part.index for part in parts] == list(range(len(parts)))
    assert len(load_all(folder, tmp_path)) == 24
    assert len(load_all(tar_of(folder, tmp_path / "a.tar"), tmp_path)) == 24


def test_findings_in_a_folder(tmp_path: Path):
    folder = folder_of(tmp_path / "sa", images=2)
    whole = (folder / "sa_0.json").read_bytes()
    (folder / "sa_2.json").write_bytes(whole[:300])
    (folder / "sa_3.json").write_text("[1]")
    (folder / "sa_4.json").write_text(json.dumps({"image": 5, "annotations": [mask(1)]}))
    (folder / "sa_5.json").write_text(json.dumps({"image": {}, "annotations": None}))
    (folder / "sa_6.json").write_bytes(whole)
    (folder / "sa_7.json").write_bytes(b"")
    table = read(folder)
    status = dict(zip(table.images["status_detail"], table.images["status"], strict=True))
    assert len(table.images) == 8
    named = {detail.partition(":")[0].partition(",")[0]: word for detail, word in status.items()}
    assert named["sa_2.json"] == "truncated"
    assert any("byte 300" in detail for detail in status)
    assert {named["sa_3.json"], named["sa_5.json"], named["sa_7.json"]} == {"unreadable"}
    assert "duplicate_id" in set(status.values())
    assert len(table) == 2 * 4 + 1 + 4
    assert table.masks["area_px"].tolist() == [35] * 13
    with pytest.raises(SourceError, match="byte 300"):
        read(folder / "sa_2.json", "sa1b")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"id": "seven"}, "ok"),
        ({"id": 10**8}, "duplicate_id"),
        ({"segmentation": {"size": [W, H], "counts": "P1"}}, "size_mismatch"),
        ({"segmentation": {"size": [H, W], "counts": "P1"}}, "undecodable"),
        ({"segmentation": 3}, "wrong_type"),
        ({"segmentation": None}, "no_segmentation"),
        ({"predicted_iou": None, "point_coords": [], "bbox": [], "crop_box": None}, "ok"),
        ({"bbox": "x", "crop_box": [1]}, "wrong_type"),
        ({"predicted_iou": 7.5}, "ok"),
    ],
)
def test_findings_in_a_file(tmp_path: Path, change: dict[str, Any], status: str):
    path = tmp_path / "sa_1.json"
    path.write_text(json.dumps(document(1, mask(0), mask(1, **change), mask(2))))
    masks = read(path).masks
    assert masks["status"].iloc[1] == status
    assert masks["status"].iloc[2] == "ok"
    assert (masks["status_detail"] == "").tolist() == (masks["status"] == "ok").tolist()
    if change.get("predicted_iou") == 7.5:
        assert masks["predicted_iou"].iloc[1] == 7.5
    elif "predicted_iou" in change:
        assert masks[["predicted_iou", "prompt_x", "declared_x", "crop_x"]].iloc[1].isna().all()


def test_python_writers_nan_is_read(tmp_path: Path):
    path = tmp_path / "sa_1.json"
    path.write_text(json.dumps(document(1, mask(0, predicted_iou=float("nan")), mask(1))))
    assert read(path).masks["predicted_iou"].isna().tolist() == [True, False]


def test_a_compressed_archive_is_read_alone_and_refused_among_others(tmp_path: Path):
    folder = folder_of(tmp_path / "sa")
    packed = tmp_path / "tars" / "sa.tar.gz"
    packed.parent.mkdir()
    with tarfile.open(packed, "w:gz") as made:
        made.add(folder / "sa_0.json", "sa_0.json")
    assert read(packed).masks["source_key"].str.startswith("sa.tar!sa_0.json#").all()
    with pytest.raises(SourceError, match="compressed tar archive"):
        read(packed.parent)


def test_a_broken_archive_says_where(tmp_path: Path):
    shard = tar_of(folder_of(tmp_path / "sa"), tmp_path / "a.tar")
    shard.write_bytes(shard.read_bytes()[:3000])
    with pytest.raises(SourceError, match="cut off"):
        read(shard)
    (tmp_path / "none").mkdir()
    with pytest.raises(SourceError, match="no JSON file"):
        read(tmp_path / "none", "sa1b")
    with pytest.raises(SourceError, match="no such file"):
        read(tmp_path / "nowhere", "sa1b")


@pytest.mark.parametrize("way", ["folder", "file", "tar", "pax", "shards"])
def test_prune_changes_nothing_else(tmp_path: Path, way: str):
    folder = folder_of(tmp_path / "sa")
    (folder / "more").mkdir()
    (folder / "more" / "notes.txt").write_text("kept")
    (folder / "empty").mkdir()
    form = tarfile.PAX_FORMAT if way == "pax" else tarfile.GNU_FORMAT
    shard = tar_of(folder, tmp_path / "a.tar", form)
    (tmp_path / "shards").mkdir()
    os.link(shard, tmp_path / "shards" / "a.tar")
    source = {"folder": folder, "file": folder / "sa_1.json", "shards": tmp_path / "shards"}.get(
        way, shard
    )
    same, out = tmp_path / "same", tmp_path / "out"
    sa1b_format.FORMAT.prune(source, same, set())
    assert contents(same) == contents(source)
    before = read(source).masks
    drop = before["source_key"].iloc[[0, 2]]
    sa1b_format.FORMAT.prune(source, out, set(drop))
    if way == "file":
        assert len(json.loads(out.read_bytes())["annotations"]) == len(before) - 2
        return
    after = read(out).masks
    kept = before[~before["source_key"].isin(drop)]
    columns = [c for c in before if c not in ("source_key",)]
    pd.testing.assert_frame_equal(
        after[columns].reset_index(drop=True), kept[columns].reset_index(drop=True)
    )
    changed = {k for k, v in contents(source).items() if contents(out)[k] != v}
    assert contents(out).keys() == contents(source).keys()
    assert len(changed) == 1
    if way in ("tar", "pax"):
        with tarfile.open(out) as made, tarfile.open(source) as given:
            for one, two in zip(made, given, strict=True):
                assert (one.name, one.mode, one.mtime, one.type) == (
                    two.name, two.mode, two.mtime, two.type
                )  # fmt: skip
                if one.isfile() and "sa_0.json" not in one.name:
                    assert made.extractfile(one).read() == given.extractfile(two).read()


def contents(path: Path) -> dict[str, bytes | None]:
    if path.is_file():
        return {"": path.read_bytes()}
    return {
        str(one.relative_to(path)): one.read_bytes() if one.is_file() else None
        for one in sorted(path.rglob("*"))
    }


def test_a_linked_folder_stays_a_link(tmp_path: Path):
    source, written = folder_of(tmp_path / "sa1b"), tmp_path / "written"
    (tmp_path / "pictures").mkdir()
    (source / "pictures").symlink_to(tmp_path / "pictures")
    edits = Edits(drop=frozenset({"sa_0.json#/annotations/1"}))
    sa1b_format.FORMAT.write(source, written, edits)
    assert (written / "pictures").readlink() == tmp_path / "pictures"
    assert sa1b_format.FORMAT.check_unedited(source, written, edits) == ""


def test_prune_refuses_what_it_cannot_do(tmp_path: Path):
    folder = folder_of(tmp_path / "sa")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(CallError, match="exists already"):
        sa1b_format.FORMAT.prune(folder, tmp_path / "full", set())
    with pytest.raises(CallError, match="inside the source"):
        sa1b_format.FORMAT.prune(folder, folder / "out", set())
    with pytest.raises(CallError, match=r"no file other\.json"):
        sa1b_format.FORMAT.prune(folder, tmp_path / "out", {"other.json#/annotations/0"})
    with pytest.raises(CallError, match="none with the number 9"):
        sa1b_format.FORMAT.prune(folder, tmp_path / "out", {"sa_0.json#/annotations/9"})
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".partial")]


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import errno

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    source = folder_of(tmp_path / "sa") / "sa_0.json"
    with pytest.raises(CurateError, match="no space left on device"):
        sa1b_format.FORMAT.prune(source, tmp_path / "out.json", set())
    assert not (tmp_path / "out.json").exists()


@given(st.data())
def test_changed_bytes_give_an_error_or_findings(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    folder = tmp_path_factory.mktemp("fuzz")
    raw = json.dumps(document(1, mask(0), mask(1))).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as made:
        info = tarfile.TarInfo("sa_1.json")
        info.size = len(raw)
        made.addfile(info, io.BytesIO(raw))
    for name, whole in (("sa_1.json", raw), ("a.tar", packed.getvalue()[:2048])):
        changed = bytearray(whole)
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(changed) - 1))
            changed[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        (folder / name).write_bytes(changed)
        for format in ("sa1b", None):
            with contextlib.suppress(CurateError):
                read(folder / name, format)
    with contextlib.suppress(CurateError):
        read(folder, "sa1b")
