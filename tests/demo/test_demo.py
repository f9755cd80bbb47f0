"""The demo: what it writes, that its truth is true, and how an audit is held against it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import orjson
import pandas as pd
import pytest
from PIL import Image

from curate import rle
from curate.demo_dataset import as_text, evaluate_defects, load_truth, make_demo
from curate.demo_dataset.annotation import grow, iou, logits, stability, wobble
from curate.demo_dataset.defects import BY_NAME, HTML_CATEGORY, KINDS, ODD_NAME
from curate.demo_dataset.planted_truth import DemoTruth
from curate.demo_dataset.scenes import HEIGHT, WIDTH, draw_scene
from curate.errors import CallError, SourceError


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> DemoTruth:
    return make_demo(tmp_path_factory.mktemp("demo") / "small", seed=3, images=10)


@pytest.fixture(scope="module")
def written(truth: DemoTruth) -> dict:
    return orjson.loads(truth.source.read_bytes())


def record(written: dict, key: str) -> dict:
    return written["annotations"][int(key.rsplit("/", 1)[1])]


def of_kind(truth: DemoTruth, kind: str) -> pd.DataFrame:
    return truth.masks[truth.masks["kind"] == kind]


def decoded(segmentation: dict) -> np.ndarray:
    size = np.array([segmentation["size"]])
    runs, codes = rle.decode_counts([segmentation["counts"].encode()], size[:, 0], size[:, 1])
    assert codes[0] == 0
    return rle.to_dense(runs, 0)


def test_same_seed_same_files(truth: DemoTruth, tmp_path: Path) -> None:
    again = make_demo(tmp_path / "again", seed=3, images=10)
    for file in sorted(p for p in truth.path.rglob("*") if p.is_file()):
        assert (again.path / file.relative_to(truth.path)).read_bytes() == file.read_bytes(), file


def test_every_kind_is_planted(truth: DemoTruth) -> None:
    planted = {*truth.masks["kind"], *truth.images["kind"]} - {""}
    planted |= {"missing"} if len(truth.missing) else set()
    assert planted == {k.name for k in KINDS} | {ODD_NAME}


def test_sound_masks_are_sound(truth: DemoTruth) -> None:
    sound = of_kind(truth, "")
    assert sound["true_iou"].min() > 0.8
    assert sound["true_iou"].mean() > 0.96
    assert len(sound) > 0.6 * len(truth.masks)


@pytest.mark.parametrize(
    ("kind", "highest"),
    [("shifted", 0.75), ("cut", 0.8), ("eroded", 0.8), ("odd_shape", 0.5), ("whole_image", 0.0)],
)
def test_spoilt_shapes_are_off(truth: DemoTruth, kind: str, highest: float) -> None:
    assert of_kind(truth, kind)["true_iou"].max() <= highest


def test_truth_names_the_masks_of_the_file(truth: DemoTruth, written: dict) -> None:
    assert len(truth.masks) == len(written["annotations"])
    ids = [record(written, key)["id"] for key in truth.masks.index]
    assert ids == truth.masks["mask_id"].tolist()
    twice = of_kind(truth, "duplicate_id")["mask_id"]
    assert all(ids.count(number) == 2 for number in twice)


def test_partners_share_pixels(truth: DemoTruth, written: dict) -> None:
    for key in of_kind(truth, "part_of").index:
        own, partner = record(written, key), record(written, truth.masks.loc[key, "partner"])
        assert own["image_id"] == partner["image_id"]
        if isinstance(partner["segmentation"], dict):
            part, whole = decoded(own["segmentation"]), decoded(partner["segmentation"])
            assert (part & whole).sum() == part.sum() < 0.75 * whole.sum()


def test_broken_in_the_file(truth: DemoTruth, written: dict) -> None:
    first = {
        kind: record(written, of_kind(truth, kind).index[0])
        for kind in BY_NAME
        if len(of_kind(truth, kind))
    }
    assert first["category_0"]["category_id"] == 0
    assert first["rle_size"]["segmentation"]["size"] == [WIDTH, HEIGHT]
    assert len(first["two_point_polygon"]["segmentation"][0]) == 4
    assert not decoded(first["empty"]["segmentation"]).any()
    assert first["unknown_image"]["image_id"] not in [i["id"] for i in written["images"]]
    assert first["predicted_iou_over_1"]["predicted_iou"] > 1
    counts = first["undecodable"]["segmentation"]["counts"].encode()
    assert rle.decode_counts([counts], np.array([HEIGHT]), np.array([WIDTH]))[1][0] != 0
    assert HTML_CATEGORY in [c["name"] for c in written["categories"]]


def test_boxes_and_areas_fit_unless_planted(truth: DemoTruth, written: dict) -> None:
    for key in truth.masks.index[truth.masks["kind"].isin(["", "holes", "dilated", "merged"])]:
        stored = record(written, key)
        if isinstance(stored["segmentation"], dict):
            mask = rle.from_dense(decoded(stored["segmentation"]))
            assert stored["bbox"] == rle.bbox(mask)[0].tolist()
            assert stored["area"] == rle.area(mask)[0]


def test_prompts_lie_inside_unless_planted(truth: DemoTruth, written: dict) -> None:
    for key, kind in truth.masks["kind"].items():
        segmentation = record(written, key)["segmentation"]
        if kind in ("", "shifted", "cut", "holes", "prompt_outside") and isinstance(
            segmentation, dict
        ):
            ((x, y),) = record(written, key)["point_coords"]
            inside = decoded(segmentation)[int(y), int(x)]
            assert inside == (kind != "prompt_outside")


def test_soft_masks_cut_at_zero_are_the_masks(truth: DemoTruth, written: dict) -> None:
    for key in of_kind(truth, "unstable").index.append(of_kind(truth, "").index[::9]):
        stored = record(written, key)
        if isinstance(stored["segmentation"], dict):
            with np.load(truth.soft_masks / f"table_{stored['image_id']:03d}.npz") as soft:
                values = soft[str(stored["id"])]
            assert np.array_equal(values > 0, decoded(stored["segmentation"]))
            assert abs(stability(values) - stored["stability_score"]) < 1e-3


def test_stability_tells_unsure_from_sure() -> None:
    mask = draw_scene(np.random.default_rng(1)).things[-1].visible
    assert stability(logits(mask, 8.0)) > 0.94
    assert stability(logits(mask, 0.2)) < 0.8


def test_spoilt_pictures(truth: DemoTruth) -> None:
    by_kind = {row.kind: truth.pictures / row.file_name for row in truth.images.itertuples()}
    assert not by_kind["image_missing"].exists()
    with Image.open(by_kind["image_exif_rotated"]) as picture:
        assert picture.getexif()[0x0112] == 6
        assert picture.size == (HEIGHT, WIDTH)
    with Image.open(by_kind["image_size"]) as picture:
        assert picture.size != (WIDTH, HEIGHT)
    with Image.open(by_kind["image_truncated"]) as picture, pytest.raises(OSError, match="trunc"):
        picture.load()


def test_scene_masks_do_not_overlap() -> None:
    scene = draw_scene(np.random.default_rng([0, 5]))
    assert 8 <= len(scene.things) <= 24
    assert sum(thing.visible.astype(int) for thing in scene.things).max() == 1
    assert all(thing.visible.sum() > 100 for thing in scene.things)


def test_wobble_and_grow_are_small_and_signed() -> None:
    rng = np.random.default_rng(0)
    mask = draw_scene(rng).things[-1].visible
    assert 0.9 < iou(wobble(rng, mask, 0.6, 18), mask) < 1
    assert grow(mask, 4).sum() > mask.sum() > grow(mask, -4).sum()


def fake_audit(truth: DemoTruth, flagged: set[str]) -> SimpleNamespace:
    """Return an audit that flags whole kinds, for a reason that only holes have."""
    masks = truth.masks
    hit = masks["kind"].isin(flagged).to_numpy()
    frame = pd.DataFrame(
        {
            "source_key": masks.index,
            "status": "ok",
            "action": np.where(hit, "review", "accept"),
            "reasons": np.where(hit, "has 3 holes", None),
            "rank": np.where(hit, 1, 500),
        },
        index=pd.RangeIndex(1000, 1000 + len(masks), name="mask_id"),
    )
    lost = truth.missing.iloc[0]
    said = orjson.dumps([{"bbox": [int(lost[c]) for c in "xywh"], "score": 0.9}]).decode()
    images = truth.images.assign(status="ok", missing_detections=0, missing_detections_json=None)
    images["missing_detections_json"] = images["missing_detections_json"].astype(object)
    images.loc[lost["image_id"], ["missing_detections", "missing_detections_json"]] = [1, said]
    images.loc[images["kind"] == "image_missing", "status"] = "missing"
    images["near_duplicate_of"] = pd.array([pd.NA] * len(images), dtype="Int64")
    alike = images.index[images["kind"] == "image_near_duplicate"][0]
    images.loc[images.index[0], "near_duplicate_of"] = alike
    return SimpleNamespace(masks=lambda columns: frame[columns], images=lambda: images)


def test_found_against_planted(truth: DemoTruth) -> None:
    frame = evaluate_defects(fake_audit(truth, {"holes", "ragged"}), truth)
    rows = frame.set_index("kind")
    assert rows["found"]["holes"] == rows["planted"]["holes"] == rows["explained"]["holes"]
    assert rows["found"]["ragged"] == rows["planted"]["ragged"]
    assert rows["explained"]["ragged"] == 0
    assert rows["found"][["shifted", "sound", "empty", "image_size"]].sum() == 0
    assert rows["found"][["missing", "image_missing", "image_near_duplicate"]].tolist() == [1, 1, 1]
    assert rows["rank"]["holes"] == 1
    counted = rows.loc[["sound", "sound_beside", "sound_spoilt_picture"], "planted"].sum()
    assert counted == len(of_kind(truth, ""))
    text = as_text(frame)
    assert "holes punched" in text
    assert "Not found: " in text


def test_either_twin_counts(truth: DemoTruth) -> None:
    audit = fake_audit(truth, set())
    frame = audit.masks(["source_key", "status", "action", "reasons", "rank"])
    partners = of_kind(truth, "duplicate_twin")["partner"]
    hit = frame["source_key"].isin(partners)
    frame = frame.assign(action=frame["action"].mask(hit, "reject"), reasons="same object as 1")
    audit.masks = lambda columns: frame[columns]
    rows = evaluate_defects(audit, truth).set_index("kind")
    assert rows["found"]["duplicate_twin"] == rows["planted"]["duplicate_twin"]
    assert rows["explained"]["duplicate_twin"] == rows["planted"]["duplicate_twin"]


def test_it_replaces_only_a_demo(truth: DemoTruth, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(CallError, match="something else"):
        make_demo(tmp_path, images=8)
    assert (tmp_path / "holiday.jpg").read_bytes() == b"mine"
    with pytest.raises(CallError, match="--images is 3; give a whole number from 8"):
        make_demo(tmp_path / "new", images=3)
    with pytest.raises(SourceError, match=r"truth\.json"):
        load_truth(tmp_path)
