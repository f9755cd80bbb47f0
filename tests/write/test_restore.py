"""``restore``: one mask comes back into a pruned dataset, to the pixel."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow.parquet as pq
import pytest
from mask_files import counts_of
from PIL import Image
from small_datasets import build
from test_prune_ignore import coco, reject, voc_ids

import curate
from curate.cli import main
from curate.errors import CallError, CurateError, SourceError
from curate.formats.edits import Addition, Edits
from curate.formats.reading import detect
from curate.writing.written_check import check_written

__all__ = ["coco"]


def masks_of(path: Path) -> set[tuple[str, bytes, str, int]]:
    """Return image, pixels, category and crowd flag of each mask."""
    masks = curate.read(path).masks
    crowd = masks["iscrowd"].fillna(0) if "iscrowd" in masks else 0
    rows = masks[["file_name", "segmentation", "category"]].astype(object).assign(crowd=crowd)
    rows = rows.where(rows.notna(), "")
    return set(rows.itertuples(index=False, name=None))


@pytest.mark.parametrize("kind", ["coco", "lvis", "cvat", "label-png", "png-folder", "sa1b"])
def test_a_removed_mask_comes_back(tmp_path: Path, kind: str) -> None:
    source = build(kind, tmp_path / "source", 0)
    curate.audit(source, tmp_path / "audit", policy={"name": "all"})
    masks = curate.open_audit(tmp_path / "audit").masks(["status", "source_key"])
    gone = masks.index[masks["status"] == "ok"][[1, 2]].tolist()
    reject(tmp_path / "audit", *gone)
    pruned, out = tmp_path / f"pruned{source.suffix}", tmp_path / f"out{source.suffix}"
    curate.prune(tmp_path / "audit", pruned, yes=True)
    dry = curate.restore(pruned, gone[0])
    assert (dry.out, dry.change) == (None, "removed")
    result = curate.restore(pruned, gone[0], out)
    assert result.as_dict()["dry_run"] is False
    before, after = masks_of(pruned), masks_of(out)
    assert len(after - before) == 1
    assert before < after <= masks_of(source)
    assert len(curate.read(out).masks) == len(curate.read(pruned).masks) + 1
    rows = pd.read_parquet(result.provenance).set_index("mask_id")
    assert rows["change"].loc[gone].tolist() == ["restored", "removed"]
    found = curate.read(out).masks
    if kind in ("coco", "lvis", "sa1b"):
        assert result.new_mask_id == gone[0]  # its own id is free again
    if kind == "label-png":
        assert result.new_source_key == masks.at[gone[0], "source_key"]
    assert rows.at[gone[0], "new_mask_id"] == result.new_mask_id
    assert found.at[result.new_mask_id, "source_key"] == result.new_source_key
    again = curate.restore(out, gone[1], tmp_path / f"both{source.suffix}")
    assert masks_of(tmp_path / f"both{source.suffix}") == masks_of(source)
    facts = orjson.loads(pq.read_schema(again.provenance).metadata[b"curate provenance"])
    assert facts["restored"] == gone
    assert facts["version"] == again.version == curate.version(again.out)


def test_restore_says_that_the_dataset_was_changed(tmp_path: Path) -> None:
    source = build("coco", tmp_path / "source", 0)
    curate.audit(source, tmp_path / "audit", policy={"name": "all"})
    masks = curate.open_audit(tmp_path / "audit").masks(["status"])
    gone, other = masks.index[masks["status"] == "ok"][1:3].tolist()
    reject(tmp_path / "audit", gone)
    pruned = tmp_path / "pruned.json"
    result = curate.prune(tmp_path / "audit", pruned, yes=True)
    assert not curate.restore(pruned, gone).dataset_changed
    document = json.loads(pruned.read_text())
    document["annotations"] = [one for one in document["annotations"] if one["id"] != other]
    pruned.write_text(json.dumps(document))
    found = curate.restore(pruned, gone, tmp_path / "out.json", provenance=result.provenance)
    assert found.dataset_changed
    assert "note: the dataset was changed" in found.text()


# Where a pixel has one id only, 46 of the mask's pixels are those of another one.
BACK = {
    "png-folder": ("R&D \\ é", None),
    "label-png": ("R&D \\ é", "new"),
    "sa1b": ("R&D \\ é", None),
    "voc": (None, "new"),
    "panoptic": (None, "new"),
    "kaggle-csv": (None, None),
    "labelme": (None, None),
}


@pytest.mark.parametrize("target", BACK)
def test_a_mask_comes_back_into_what_was_written_as_another_format(
    tmp_path: Path, target: str
) -> None:
    source = build("coco", tmp_path / "source", 0)
    curate.audit(source, tmp_path / "audit", policy={"name": "all"})
    masks = curate.open_audit(tmp_path / "audit").masks(["status", "category", "segmentation"])
    gone, *others = masks.index[masks["status"] == "ok"][1:3].tolist()
    reject(tmp_path / "audit", gone, *others)
    written = tmp_path / "written"
    curate.write(tmp_path / "audit", written, to=target, lossy=True, yes=True)
    category, overlap = BACK[target]
    if overlap:
        with pytest.raises(CallError, match="--overlap new or --overlap old"):
            curate.restore(written, gone)
        kept = curate.restore(written, gone, tmp_path / "kept", overlap="old")
        left = curate.read(kept.out).masks["segmentation"]
        assert set(curate.read(written).masks["segmentation"]) < set(left)
        shared = curate.restore(written, gone, overlap="old").shared
        assert shared == kept.shared
        assert re.fullmatch(r"other masks have \d+ of its \d+ pixels \(IoU 0\.\d+\)", shared)
        assert f"note: {shared}" in kept.text()
    result = curate.restore(written, gone, tmp_path / "out", overlap=overlap)
    cut = set(curate.read(written).masks["segmentation"])
    cut -= set(curate.read(result.out).masks["segmentation"])
    assert result.shared == (f"{len(cut)} other masks lost pixels to it" if overlap else "")
    rows = pd.read_parquet(result.provenance)
    cut_rows = rows[rows["change"] == "cut"]
    assert len(cut_rows) == (len(cut) if overlap else 0)
    assert cut_rows["stored_iou"].between(0, 1, inclusive="neither").all()
    assert cut_rows["reason"].str.contains("other masks have").all()
    assert result.lost_category == category
    assert ("without its category" in result.text()) == bool(category)
    now = curate.read(tmp_path / "out").masks
    back = now.loc[now["source_key"] == result.new_source_key].iloc[0]
    assert back["segmentation"] == masks["segmentation"].loc[gone]
    assert len(now) == len(curate.read(written).masks) + 1
    if not category:
        assert back["category"] == masks["category"].loc[gone]


@pytest.mark.parametrize("target", ["coco", "labelme", "label-png"])
def test_a_duplicate_comes_back_beside_the_mask_that_stayed(tmp_path: Path, target: str) -> None:
    source = build("coco", tmp_path / "source", 0)
    document = json.loads(source.read_text())
    first = next(one for one in document["annotations"] if not one.get("iscrowd"))
    document["annotations"].append({**first, "id": 990})
    source.write_text(json.dumps(document))
    curate.audit(source, tmp_path / "audit", policy={"name": "all"})
    reject(tmp_path / "audit", 990)
    written = tmp_path / ("written.json" if target == "coco" else "written")
    curate.write(tmp_path / "audit", written, to=target, lossy=True, yes=True)
    before = curate.read(written).masks
    if target == "label-png":  # one id a pixel: the mask that stayed would have none left
        with pytest.raises(CallError, match="--overlap"):
            curate.restore(written, 990)
        return
    result = curate.restore(written, 990, tmp_path / f"back{written.suffix}")
    after = curate.read(result.out).masks
    assert len(after) == len(before) + 1
    (twin,) = result.twins
    assert twin in set(before["source_key"])
    same = after["segmentation"] == before.set_index("source_key").at[twin, "segmentation"]
    assert same.sum() == 2
    assert f"note: {twin} has the same pixels, and stays" in result.text()
    assert result.new_source_key in set(after["source_key"][same]) - {twin}
    with pytest.raises(CallError, match="is in the dataset"):
        curate.restore(result.out, 990)


def test_restore_refuses_a_word_that_is_none(coco: Path) -> None:
    with pytest.raises(CallError, match="'mine' is not one of new, old"):
        curate.restore(coco, 1, overlap="mine")


def test_a_crowd_region_is_a_mask_again(coco: Path, tmp_path: Path) -> None:
    reject(coco, 3, 5)
    pruned, out = tmp_path / "pruned.json", tmp_path / "out.json"
    curate.prune(coco, pruned, ignore=True)
    result = curate.restore(pruned, 3, out)
    assert (result.change, result.new_mask_id) == ("ignored", 3)
    meant = json.loads((tmp_path / "source.json").read_text())
    for one in meant["annotations"]:
        if one["id"] == 5:
            one["iscrowd"] = 1
    assert json.loads(out.read_text()) == meant


def test_a_crowd_region_of_a_file_whose_ids_occur_in_another(tmp_path: Path) -> None:
    source = build("coco-splits", tmp_path / "source", 0)
    audit = curate.audit(source, tmp_path / "audit", policy={"name": "all"})
    masks = audit.masks(["status", "source_key", "iscrowd"])
    good = masks[(masks["status"] == "ok") & (masks["iscrowd"].fillna(0) == 0)]
    gone = int(good.index[good["source_key"].str.contains("val2017")][0])
    reject(tmp_path / "audit", gone)
    curate.prune(tmp_path / "audit", tmp_path / "pruned", ignore=True, yes=True)
    curate.restore(tmp_path / "pruned", gone, tmp_path / "out")
    assert masks_of(tmp_path / "out") == masks_of(source)


def test_the_new_id_is_that_of_the_whole_dataset_and_not_of_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = build("yolo", tmp_path / "source", 0)
    monkeypatch.setattr("curate.formats.yolo.yolo_format.PART_BYTES", 1)  # an image a part
    table = curate.read(source)
    image = table.images.iloc[-1]
    mask = np.zeros((int(image["height"]), int(image["width"])), bool)
    mask[3:9, 4:12] = True
    one = Addition(str(image["source_key"]), counts_of(mask), *mask.shape, "cat")
    form, edits = detect(source), Edits(add=[one])
    stored = form.write(source, tmp_path / "out", edits)
    found = check_written(form, source, tmp_path / "out", edits, stored)
    assert found.problem == ""
    masks = curate.read(tmp_path / "out").masks
    assert len(masks) == len(table.masks) + 1
    assert masks.at[found.places[0].mask_id, "source_key"] == found.places[0].source_key


def test_void_is_a_mask_again(tmp_path: Path) -> None:
    (tmp_path / "ids").mkdir()
    Image.fromarray(voc_ids()).save(tmp_path / "ids" / "a.png")
    audit = curate.audit(tmp_path / "ids", tmp_path / "audit", policy={"name": "all"}, void=[255])
    masks = audit.masks(["source_key"])
    gone = masks.index[masks["source_key"].isin(["a.png#2", "a.png#4"])].tolist()
    reject(tmp_path / "audit", *gone)
    curate.prune(tmp_path / "audit", tmp_path / "pruned", ignore=True)
    curate.restore(tmp_path / "pruned", gone[0], tmp_path / "out")
    meant = voc_ids()
    meant[meant == 4] = 255
    assert (np.asarray(Image.open(tmp_path / "out" / "a.png")) == meant).all()


def test_from_json_and_from_the_command_line(
    coco: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reject(coco, 3)
    curate.prune(coco, tmp_path / "pruned.json", provenance=tmp_path / "why.json")
    words = ["restore", str(tmp_path / "pruned.json"), "--mask", "3"]
    words += ["--from", str(tmp_path / "why.json"), "--out", str(tmp_path / "out.json"), "--json"]
    monkeypatch.setattr(sys, "argv", ["curate", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["mask_id"], found["change"]) == (3, "removed")
    rows = json.loads(Path(found["provenance"]).read_text())["masks"]
    assert [row["change"] for row in rows if row["mask_id"] == 3] == ["restored"]
    assert masks_of(tmp_path / "out.json") == masks_of(tmp_path / "source.json")


def test_what_cannot_be_restored(coco: Path, tmp_path: Path) -> None:
    reject(coco, 3, 10)
    pruned = tmp_path / "pruned.json"
    curate.prune(coco, pruned)
    known = tmp_path / "pruned.json.provenance.parquet"
    for mask, why in ((99, "no mask 99"), (1, "is in the dataset")):
        with pytest.raises(CallError, match=why):
            curate.restore(pruned, mask)
    curate.restore(pruned, 3, tmp_path / "out.json")
    with pytest.raises(CallError, match=r"is in it already .* has changed since"):
        curate.restore(tmp_path / "out.json", 3, provenance=known)
    with pytest.raises(CallError, match="is in the dataset"):
        curate.restore(tmp_path / "out.json", 3)
    with pytest.raises(CallError, match="exists already"):
        curate.restore(pruned, 3, tmp_path / "out.json")
    with pytest.raises(SourceError, match="no provenance of the dataset"):
        curate.restore(tmp_path / "source.json", 3)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"{}", b'{"about":{"tool":"curate ', b"\0" * 99])
@pytest.mark.parametrize("name", ["why.json", "why.parquet"])
def test_what_is_no_provenance(coco: Path, tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CurateError, match="no provenance"):
        curate.restore(tmp_path / "source.json", 3, provenance=tmp_path / name)


def test_another_table_is_no_provenance(coco: Path, tmp_path: Path) -> None:
    pd.DataFrame({"mask_id": [3], "change": ["removed"]}).to_parquet(tmp_path / "why.parquet")
    with pytest.raises(SourceError, match="no provenance"):
        curate.restore(tmp_path / "source.json", 3, provenance=tmp_path / "why.parquet")
