"""One dataset of all masks of an engine, with the origin of each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from engine_project import Stand, make_engine, masks_of, open_round, truth_of, write_pictures
from hand_clock import HandClock
from PIL import Image
from test_stage_three import AUTOMATIC, answer, automatic, certificate_of, third

import curate
from curate.cli.exit_codes import run
from curate.common import files
from curate.engine.engine_dataset import ORIGIN_TYPES
from curate.errors import AuditError, CallError, SourceError
from curate.rle import encode_counts, from_dense

__all__ = ["automatic", "third"]  # fixtures


def origin_of(out: Path) -> pd.DataFrame:
    found = pd.read_parquet(out.with_name(f"{out.name}.provenance.parquet"))
    assert list(found.columns) == list(ORIGIN_TYPES)
    return found.set_index("mask_id")


def test_the_finished_engine_is_one_dataset(third: Stand, tmp_path: Path) -> None:
    """People's masks and certified ones, each with stage, round, segmenter and who decided."""
    while third.next().needs:
        answer(third)
    out = tmp_path / "all.json"
    done = third.engine.write(out)
    table = curate.read(out)
    origin = origin_of(out)
    parts = ("validation", "rounds/01", AUTOMATIC)
    assert masks_of(out) == set().union(
        *(masks_of(third.project / part / "masks.json") for part in parts)
    )
    assert table.masks.index.is_unique
    assert sorted(origin.index) == sorted(table.masks.index)
    assert (origin["image_id"] == table.masks.loc[origin.index, "image_id"]).all()
    assert set(table.masks["category"]) == {"object"}
    assert done.masks == origin["decided_by"].value_counts().to_dict()
    assert set(done.masks) == {"person", "certificate"}
    assert origin.groupby("part")["stage"].agg(["min", "max"]).values.tolist() == [
        [1, 1],
        [3, 3],
        [0, 0],
    ]
    certified = origin["decided_by"] == "certificate"
    assert certified.sum() == certificate_of(third)["certified"]
    assert set(origin.loc[certified, "max_bad"]) == {0.3}
    assert set(origin.loc[certified, "confidence"]) == {0.95}
    assert set(origin.loc[certified, "round"]) == {2}
    assert origin.loc[~certified, "max_bad"].isna().all()
    assert {tuple(one) for one in origin.loc[certified, "reviewers"]} == {()}
    assert {tuple(one) for one in origin.loc[origin["round"] == 1, "reviewers"]} == {("ann",)}
    assert origin.loc[origin["change"] == "added", "segmenter"].isna().all()
    used = json.loads((third.project / AUTOMATIC / "round.json").read_text())["segmenter"]
    assert set(origin.loc[certified, "segmenter"]) == {used["fingerprint"]}
    source = curate.read(third.project / "rounds/01/masks.json").masks
    first = origin[origin["round"] == 1]
    assert sorted(first["round_mask_id"]) == sorted(source.index)
    assert done.out == out
    assert f"{len(origin):,} masks of {done.images} images" in done.text()
    assert not [one for one in third.project.iterdir() if one.name.startswith(".dataset")]
    with pytest.raises(CallError, match="exists"):
        third.engine.write(out)


def test_before_the_end_what_is_settled_is_written(third: Stand, tmp_path: Path) -> None:
    """Open rounds are left out; of the automatic stage what is certified or decided is in."""
    out = tmp_path / "early.json"
    done = third.engine.write(out)
    assert masks_of(out) == truth_of(
        third.truth, third.names("validation") + third.names("rounds/01")
    )
    assert done.left_out == {"in which nothing is settled": 20}
    assert "left out: 20 images in which nothing is settled" in done.text()

    answer(third)
    assert third.next().needs == "people"
    later = third.engine.write(tmp_path / "later.json")
    assert later.masks["certificate"] > 0
    assert later.undecided == certificate_of(third)["rest"]
    assert f"left out: {later.undecided} masks nobody decided on" in later.text()
    assert not (third.project / AUTOMATIC / "masks.json").exists()
    assert third.engine.status().now.needs == "people"  # nothing has changed


def write_rings(path: Path, pictures: Path, count: int) -> set[tuple[str, bytes]]:
    """Write a dataset of one ring with a hole for each of some pictures, of two categories."""
    found: set[tuple[str, bytes]] = set()
    images, annotations = [], []
    for k, place in enumerate(sorted(pictures.iterdir())[:count]):
        with Image.open(place) as picture:
            ring = np.zeros((picture.height, picture.width), bool)
        ring[4:24, 4:24] = True
        ring[10:18, 10:18] = False
        counts = encode_counts(from_dense(ring))[0].as_py()
        found.add((place.name, bytes(counts)))
        size = list(ring.shape)
        images.append({"id": k + 7, "file_name": place.name, "height": size[0], "width": size[1]})
        one = {"id": 50 + k, "image_id": k + 7, "category_id": 3 if k % 2 else 9, "iscrowd": 0}
        one |= {"segmentation": {"size": size, "counts": counts.decode()}}
        annotations.append(one | {"area": int(ring.sum()), "bbox": [4, 4, 20, 20]})
    named = [{"id": 3, "name": "ring"}, {"id": 9, "name": "disc"}]
    path.write_text(json.dumps({"images": images, "categories": named, "annotations": annotations}))
    return found


def test_given_masks_holes_names_and_empty_images_are_kept(tmp_path: Path) -> None:
    """A ring with a hole, two names, and images that people searched in vain."""
    write_pictures(tmp_path / "drawn")
    rings = write_rings(tmp_path / "start.json", tmp_path / "drawn", 30)
    clock = HandClock().clock
    engine, _ = make_engine(tmp_path, masks=tmp_path / "start.json", clock=clock)
    given = tmp_path / "given.json"
    first = engine.write(given)
    assert first.masks == {"start": 30}
    assert masks_of(given) == rings
    assert curate.read(given).masks["category"].value_counts().to_dict() == {"ring": 15, "disc": 15}
    origin = origin_of(given)
    assert set(origin["part"]) == {"start", "validation/start"}
    assert origin["round"].isna().all()

    engine.next(device="cpu")
    reviews = open_round(engine.path, clock)
    masks = reviews.audit.query("select mask_id from masks")
    images = reviews.audit.query("select image_id from images")
    reviews.add(masks.assign(action="reject"), origin="test", reviewed_images=images)
    engine.close_round()
    out = tmp_path / "yolo"
    done = engine.write(f"{out}/", to="yolo", split="train=0.5,val=0.5", lossy=True)
    assert done.images > 30
    assert done.empty == done.images - 30
    assert set(pd.read_parquet(f"{out}.provenance.parquet")["split"]) == {"train", "val"}
    assert "without objects" in done.text()


def test_nothing_settled_is_said(stand: Stand, tmp_path: Path) -> None:
    shutil.rmtree(stand.project / "rounds")
    (stand.project / "validation/masks.json").unlink()
    with pytest.raises(CallError, match="no mask is settled yet"):
        stand.engine.write(tmp_path / "none.json")


def test_pictures_that_changed_are_left_out_and_named(stand: Stand, tmp_path: Path) -> None:
    name = stand.names("validation")[0]
    (stand.pictures / name).unlink()
    done = stand.engine.write(tmp_path / "all.json")
    assert list(done.changed) == [name]
    assert done.left_out["whose file has gone or changed"] == 1
    assert f"  {name}: cannot be read" in done.text()
    for path in stand.pictures.iterdir():
        path.unlink()
    with pytest.raises(SourceError, match="is as it was"):
        stand.engine.write(tmp_path / "none.json")


def test_masks_without_their_provenance_are_refused(stand: Stand, tmp_path: Path) -> None:
    path = stand.project / "validation/masks.json.provenance.parquet"
    rows = pd.read_parquet(path)
    rows.iloc[:1].to_parquet(path)
    with pytest.raises(AuditError, match="its provenance does not know"):
        stand.engine.write(tmp_path / "all.json")
    path.unlink()
    with pytest.raises(AuditError, match="it cannot be read"):
        stand.engine.write(tmp_path / "all.json")


def test_the_command_writes_and_says_what_is_left_out(
    stand: Stand, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "all.json"
    words = ["engine", "write", str(stand.project)]
    assert run(words) == 0
    said = capfd.readouterr()
    assert "nothing is written without --out" in said.out
    assert "--out project.json" in said.err
    assert run([*words, "--out", str(out), "--provenance", str(tmp_path / "o.json"), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["decided_by"] == {"person": found["masks"]}
    note = json.loads((tmp_path / "o.json").read_text())
    assert len(note["masks"]) == found["masks"]
    assert note["about"]["engine"] == str(stand.project)
    assert run([*words, "--to", "png", "--out", str(tmp_path / "no")]) == 2
    assert "--to" in capfd.readouterr().err


def test_killed_at_any_file_it_leaves_nothing_or_both(stand: Stand, tmp_path: Path) -> None:
    """Never a dataset without its provenance, and the next run writes both."""
    out = tmp_path / "all.json"

    class Killed(BaseException):
        pass

    def kill(operation: str, path: Path) -> int | None:
        if operation in ("rename", "replace", "link") and path.name == out.name:
            raise Killed
        return None

    files._hook = kill
    try:
        with pytest.raises(Killed):
            stand.engine.write(out)
    finally:
        files._hook = None
    assert not out.exists()
    stand.engine.write(out)
    assert len(origin_of(out)) == len(curate.read(out))
