"""``write`` of a part of the masks: the best, the certified, ignore regions, weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn_masks import decoded, encoded
from PIL import Image
from pycocotools.coco import COCO
from test_prune_subsets import CROWD, EMPTY, HEIGHT, WIDTH, dataset, ids_of
from typer.testing import CliRunner

import curate
from curate.cli.commands import app
from curate.errors import CallError
from curate.people.reviews import open_reviews


@pytest.fixture(scope="module")
def source_audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("subset-writes")
    (folder / "pictures").mkdir()
    for k in range(1, 9):
        picture = np.random.default_rng(k).integers(0, 255, (HEIGHT, WIDTH), np.uint8)
        Image.fromarray(picture).save(folder / "pictures" / f"{k}.jpg")
    (folder / "source.json").write_text(json.dumps(dataset()))
    curate.audit(folder / "source.json", folder / "audit", images=folder / "pictures")
    return folder / "audit"


@pytest.fixture
def audited(source_audit: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source_audit, tmp_path / "audit"))


def annotations(path: Path) -> dict[int, dict[str, Any]]:
    return {one["id"]: one for one in json.loads(path.read_text())["annotations"]}


def decide(audit: Path, action: str, *ids: int, **more: Any) -> None:
    rows = pd.DataFrame({"mask_id": list(ids), "action": action, "reviewer": "ann", **more})
    open_reviews(curate.open_audit(audit), create=True).add(rows, origin="test")


def test_the_best_half_in_one_command(source_audit: Path, tmp_path: Path) -> None:
    """What ``prune`` keeps is what ``write`` writes, split, in another format."""
    chosen = curate.prune(source_audit, tmp_path / "pruned.json", keep="50%", floor=4)
    words = ["write", str(source_audit), "--keep", "50%", "--floor", "4", "--to", "yolo"]
    words += ["--split", "train=0.5,val=0.5", "--out", str(tmp_path / "yolo"), "--lossy"]
    made = CliRunner().invoke(app, words)
    assert made.exit_code == 0, made.output
    table, _, rest = made.output.partition("removed: ")
    assert table.startswith(chosen.effect.text())  # before anything is written
    assert "that are not chosen" in rest
    lines = [p.read_text().splitlines() for p in (tmp_path / "yolo" / "labels").rglob("*.txt")]
    assert sum(map(len, lines)) == chosen.kept
    assert {p.parent.name for p in (tmp_path / "yolo" / "labels").rglob("*.txt")} == {
        *("train", "val")
    }
    assert len(curate.read(tmp_path / "yolo").masks) == chosen.kept


def test_the_own_format_keeps_all_but_what_leaves(source_audit: Path, tmp_path: Path) -> None:
    curate.prune(source_audit, tmp_path / "pruned.json", keep=30, ignore=True)
    curate.write(source_audit, tmp_path / "written.json", keep=30, ignore=True)
    assert (tmp_path / "pruned.json").read_bytes() == (tmp_path / "written.json").read_bytes()


def test_doubtful_masks_become_crowd_regions_of_coco(source_audit: Path, tmp_path: Path) -> None:
    out = tmp_path / "half.json"
    dry = curate.write(source_audit, to="coco", images="none", keep=20, ignore=True, split=None)
    made = curate.write(
        *(source_audit, tmp_path / "half"), to="coco", images="copy", keep=20, ignore=True
    )
    assert made.counts() == dry.counts()
    out = tmp_path / "half" / "annotations" / "instances.json"
    found = COCO(str(out))
    assert len(found.getAnnIds(iscrowd=False)) == 20
    assert EMPTY not in ids_of(out)
    crowds = set(found.getAnnIds(iscrowd=True))
    assert CROWD in crowds
    assert len(crowds) == 1 + made.counts()["ignored"] == 1 + dry.counts()["ignored"]
    rows = pd.read_parquet(made.provenance).set_index("mask_id")["change"]
    assert set(rows.index[rows == "ignored"]) == crowds - {CROWD}
    back = curate.restore(tmp_path / "half", next(iter(crowds - {CROWD})), tmp_path / "back")
    assert back.change == "ignored"


@pytest.mark.parametrize("to", ["lvis", "kaggle-csv", "sa1b", "labelme"])
def test_formats_without_ignore_regions_say_what_they_would_leave_out(
    source_audit: Path, tmp_path: Path, to: str
) -> None:
    dry = curate.write(source_audit, to=to, keep=20, ignore=True)
    assert dry.losses is not None
    regions = dry.losses.refused["ignored"]
    assert regions == curate.prune(source_audit, keep=20, ignore=True).effect.ignored
    with pytest.raises(CallError, match=f"no ignore regions .the format has none.: {regions} mas"):
        curate.write(source_audit, tmp_path / "out", to=to, keep=20, ignore=True)
    made = curate.write(source_audit, tmp_path / "out", to=to, keep=20, ignore=True, lossy=True)
    assert made.counts() == dry.counts()
    assert made.counts()["ignored"] == 0
    assert len(curate.read(tmp_path / "out").masks) == 20 + 1  # the source's crowd region
    rows = pd.read_parquet(made.provenance).set_index("mask_id")
    assert not (rows["change"] == "ignored").any()
    assert (rows["lost"] == "ignored").sum() == regions


def test_ignore_regions_are_void_in_voc(source_audit: Path, tmp_path: Path) -> None:
    made = curate.write(source_audit, tmp_path / "voc", to="voc", keep=20, ignore=True, lossy=True)
    assert made.losses is not None
    assert made.losses.refused == {"void": 1}
    assert made.losses.counts["void mask"] == made.counts()["ignored"] > 30
    table = curate.open_audit(source_audit).masks(["image_id", "segmentation"])
    kept = curate.read(tmp_path / "voc")
    assert len(kept.masks) == 20
    for k in range(1, 9):
        ids = np.asarray(Image.open(tmp_path / "voc" / "SegmentationObject" / f"{k}.png"))
        classes = np.asarray(Image.open(tmp_path / "voc" / "SegmentationClass" / f"{k}.png"))
        mine = table[table["image_id"] == k]["segmentation"]
        every = np.zeros((HEIGHT, WIDTH), bool)
        for counts in mine:
            every |= decoded(bytes(counts), (HEIGHT, WIDTH))
        assert ((ids > 0) == every).all()
        assert ((ids == 255) == (classes == 255)).all()


def test_masks_of_people_have_their_pixels_in_what_is_written(
    audited: Path, tmp_path: Path
) -> None:
    """A redrawn mask that stays is redrawn; one that becomes a region has the new pixels, too."""
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[50:58, 70:79] = True
    new = {"segmentation": encoded(pixels)}
    order = curate.prune(audited, keep=1.0, floor=0).subset
    assert order is not None
    last = int(order.order.index[-1])
    decide(audited, "reject", last)
    curate.write(audited, tmp_path / "a.json", ignore=True, to="coco", images="none")
    assert annotations(tmp_path / "a.json")[last]["iscrowd"] == 1
    decide(audited, "fix", last, **{name: [value] for name, value in new.items()})
    made = curate.write(audited, tmp_path / "b.json", keep=1, floor=0, ignore=True)
    found = annotations(tmp_path / "b.json")
    objects = [number for number, one in found.items() if not one["iscrowd"]]
    assert objects == [last]  # what a person drew is the best there is
    assert found[last]["bbox"] == [70, 50, 9, 8]
    assert made.counts()["redrawn"] == 1


def test_what_nobody_vouches_for_can_be_ignored(audited: Path, tmp_path: Path) -> None:
    decide(audited, "accept", 1, 2, 3)
    made = curate.write(audited, tmp_path / "a.json", only="certified", ignore=True)
    found = annotations(tmp_path / "a.json")
    assert {number for number, one in found.items() if not one["iscrowd"]} == {1, 2, 3}
    assert len(found) == 65
    assert "as ignore regions where they show an object" in made.text()
    rows = pd.read_parquet(made.provenance).set_index("mask_id")
    assert rows.loc[10, "reason"].endswith("neither certified nor accepted by people")
    assert rows.loc[1, "change"] == "kept"


def test_weights_beside_the_dataset_have_its_ids(audited: Path, tmp_path: Path) -> None:
    decide(audited, "reject", 7)
    place = tmp_path / "w.csv"
    made = curate.write(
        *(audited, tmp_path / "a.json"), to="coco", images="none", keep=0.5, weights=place
    )
    assert made.weights == place
    weights = pd.read_csv(place).set_index("mask_id")["weight"]
    written = ids_of(tmp_path / "a.json")
    assert written <= set(weights.index)
    assert 7 not in weights.index
    assert weights.sum() == pytest.approx(33)
    assert weights.between(0, 1).all()
    assert len(written) == 64  # all but 7 and what has no pixels


def test_weights_need_ids(audited: Path, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="weights name masks by their ids, which Pascal VOC"):
        curate.write(audited, tmp_path / "voc", to="voc", weights=tmp_path / "w.csv", lossy=True)
    assert not list(tmp_path.glob("w*"))


def test_a_refused_name_leaves_no_weights(audited: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("mine")
    with pytest.raises(CallError, match="exists already"):
        curate.write(audited, tmp_path / "a.json", weights=tmp_path / "w.csv")
    assert not (tmp_path / "w.csv").exists()


def test_added_masks_stay_beside_the_number(audited: Path, tmp_path: Path) -> None:
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[52:58, 60:70] = True
    missing = pd.DataFrame([{"image_id": 8, "segmentation": encoded(pixels), "category": "cat"}])
    none = pd.DataFrame({"mask_id": [], "action": []})
    open_reviews(curate.open_audit(audited), create=True).add(none, origin="t", missing=missing)
    place = tmp_path / "w.parquet"
    made = curate.write(audited, tmp_path / "a.json", keep=5, floor=0)
    assert made.counts()["masks_after"] == 5 + 1 + 1  # the crowd region and the added one
    curate.write(audited, tmp_path / "b.json", weights=place)
    weights = pd.read_parquet(place).set_index("mask_id")["weight"]
    new = max(ids_of(tmp_path / "b.json"))
    assert weights[new] == 1.0
