"""Audits with a segmenter and a detector: real model files, whole runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent / "models"))
import tiny_models

import curate
from curate import cli
from curate.errors import CallError, SourceError
from curate.reporting.summary import summary, summary_text

SIZE = (48, 64)


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    return str(tiny_models.saved("sam", tmp_path_factory.mktemp("weights")))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def dataset(tmp_path):
    """Three images of squares as COCO; one annotation is empty, one picture is no picture."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for number in range(3):
        name = f"{number}.png"
        images.append({"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        picture = rng.integers(0, 60, (*SIZE, 3), dtype=np.uint8)
        for k in range(3):
            x, y = 4 + 20 * k, 10 + 3 * number
            picture[y : y + 12, x : x + 12] += 150
            box = [x, y, 12, 12]
            polygon = [x, y, x + 12, y, x + 12, y + 12, x, y + 12]
            annotations.append(
                {"id": 10 * number + k, "image_id": number, "bbox": box, "segmentation": [polygon]}
                | {"area": 144, "iscrowd": 0, "category_id": 1}
            )
        Image.fromarray(picture).save(tmp_path / "images" / name)
    (tmp_path / "images" / "2.png").write_bytes(b"no picture")
    annotations[4]["segmentation"] = []
    annotations[0] |= {"predicted_iou": 0.5, "stability_score": 0.25}
    source = tmp_path / "instances.json"
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "a"}]}
    source.write_text(json.dumps(coco))
    return source


def test_a_segmenter_gives_scores_to_a_dataset_without_any(dataset, sam, tmp_path):
    out = tmp_path / "a.audit"
    done = curate.audit(dataset, out, images=tmp_path / "images", segmenter=sam, device="cpu")
    masks = done.masks().sort_index()
    with_picture = masks.index < 20
    drawn = with_picture & (masks.index != 11)
    for name in (
        "reprompt_score",
        "segmenter_predicted_iou",
        "reprompt_mask_iou",
        "embedding_unity_score",
    ):
        assert masks.loc[drawn, name].notna().all(), name
        assert masks.loc[~drawn, name].isna().all(), name
    assert masks.loc[~with_picture, "reprompt_status"].unique().tolist() == ["no_picture"]
    # What the source stores stays as it is; only what it lacks is filled.
    assert masks.loc[0, "predicted_iou"] == 0.5
    assert masks.loc[0, "stability_score"] == 0.25
    others = drawn & (masks.index != 0)
    for name in ("predicted_iou", "stability_score"):
        computed = {"predicted_iou": "segmenter_predicted_iou"}.get(name, f"segmenter_{name}")
        np.testing.assert_array_equal(masks.loc[others, name], masks.loc[others, computed])
    assert masks.loc[0, "segmenter_predicted_iou"] != 0.5
    images = done.images().sort_index()
    assert images.loc[2, "status"] != "ok"
    model = done.info.models["segmenter"]
    assert model["name"] == sam
    assert (model["device"], model["precision"]) == ("cpu", "float32")
    assert f"segmenter {sam} on cpu, float32" in summary_text(done, summary(done))
    assert not (out / "work" / "prompted").exists()
    assert list((tmp_path / "cache").rglob("*.*")), "embeddings are kept"


def test_two_processes_give_what_one_gives(dataset, sam, tmp_path):
    one = curate.audit(dataset, tmp_path / "1", images=tmp_path / "images", segmenter=sam)
    two = curate.audit(
        dataset, tmp_path / "2", images=tmp_path / "images", segmenter=sam, workers=2
    )
    names = ["reprompt_score", "predicted_iou", "quality_score", "rank"]
    # A worker has other threads than this process: torch adds up in another order.
    np.testing.assert_allclose(one.masks(names), two.masks(names), rtol=1e-5)


def test_another_segmenter_is_another_audit(dataset, sam, tmp_path):
    out = tmp_path / "a.audit"
    curate.audit(dataset, out, images=tmp_path / "images", segmenter=sam)
    other = str(tiny_models.saved("sam", tmp_path, seed=3))
    with pytest.raises(curate.CurateError, match="the content of segmenter has changed"):
        curate.audit(dataset, out, images=tmp_path / "images", segmenter=other)


def test_wrong_calls(dataset, sam, tmp_path, capsys):
    for option in ("segmenter", "detector"):
        with pytest.raises(CallError, match="needs pictures; give --images DIR"):
            curate.audit(dataset, tmp_path / "a", images="none", **{option: sam})
    with pytest.raises(CallError, match="--detector and --detections are both given"):
        curate.audit(dataset, tmp_path / "a", images=tmp_path, detector=sam, detections=dataset)
    with pytest.raises(SourceError):
        curate.audit(dataset, tmp_path / "a", images=tmp_path / "images", detector=sam)
    assert not (tmp_path / "a").exists()
    arguments = [
        "audit",
        str(dataset),
        "--images",
        str(tmp_path),
        "--segmenter",
        "facebook/nothing",
    ]
    sys.argv = ["curate", *arguments]
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: a segmenter: facebook/nothing is no folder here")
    assert said.count("\n") == 1


def test_without_the_extra_one_line_says_what_to_install(dataset, sam, tmp_path, monkeypatch):
    from curate.networks.runtime import hub

    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(hub, "import_module", missing)
    told = r"torch is not installed; .*'.\[models\]'`; where .*'curate-masks\[models\]'`"
    with pytest.raises(CallError, match=told):
        curate.audit(
            dataset, tmp_path / "a", images=tmp_path / "images", segmenter=sam, device="cpu:0"
        )


def run(capsys, *arguments):
    """Run the command line; return exit code and what it printed."""
    sys.argv = ["curate", *map(str, arguments)]
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code or 0
    return code, capsys.readouterr()


def test_generate_audit_and_choose_again(dataset, sam, tmp_path, capsys):
    """Masks of a network without training are anything; all of them must be counted and read."""
    out, settings = tmp_path / "generated", []
    for setting in ("points_per_side=4", "crop_layers=1", "keep_pred_iou=0", "pred_iou=0"):
        settings += ["--set", setting]
    for setting in ("keep_stability=0", "stability=0", "min_region_px=4", "nms=mask"):
        settings += ["--set", setting]
    images = tmp_path / "images"
    code, said = run(capsys, "generate", images, "--segmenter", sam, "--out", out, *settings)
    assert code == 0, said.err
    assert "2 images, 1 could not be opened" in said.out
    about = json.loads((out / "generation.json").read_text())
    # 4 x 4 points on the image and 2 x 2 on each of four crops, three masks a point, two images.
    assert sum(about["counts"].values()) == 2 * 3 * (16 + 4 * 4)
    documents = sorted(out.glob("*.json"))
    masks = sum(len(json.loads(p.read_text()).get("annotations", ())) for p in documents)
    assert masks == about["counts"]["kept"] > 0
    done = curate.audit(out, tmp_path / "g.audit", images=images)
    assert len(done.masks()) == masks
    assert done.masks(["predicted_iou"]).notna().all(axis=None)
    code, said = run(capsys, "generate", "--again", out, "--set", "stability=0.99", "--json")
    assert code == 0, said.err
    again = json.loads(said.out)["counts"]
    assert sum(again.values()) == sum(about["counts"].values())
    assert again["kept"] <= masks


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["images"], "--out DIR and --segmenter NAME not given"),
        (["--again", "x", "--segmenter", "y"], "--again selects from stored candidates"),
        (["images", "--out", "o", "--segmenter", "s", "--set", "nms"], "is not NAME=VALUE"),
        (["images", "--out", "o", "--segmenter", "s", "--set", "nms=1"], "nms"),
    ],
)
def test_wrong_generations(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    code, said = run(capsys, "generate", *arguments)
    assert code == 2
    assert said.err.startswith("error: ")
    assert words in said.err
