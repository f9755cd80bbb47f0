"""Generation with real model files: every candidate is what the model itself would draw there."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
import tiny_models

from curate import cli, rle
from curate.networks.generation import generate, open_generation
from curate.networks.loading import load_segmenter
from curate.networks.segmenters.segmenter import Embedding, Prompts

HEIGHT, WIDTH = 70, 110
ALL = {
    "points_per_side": 4,
    "crop_layers": 1,
    "pred_iou": -10.0,
    "stability": 0.0,
    "crop_margin_px": 0,
    "nms_iou": 1.0,
    "coverage": 1.0,
    "min_region_px": 0,
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    return folder


def upsampled(low: np.ndarray, height: int, width: int, frame: Any) -> np.ndarray:
    """The models' own way back: torch's bilinear steps, SAM's by way of its padded input."""
    field = torch.from_numpy(low)[None, None]

    def resize(value: Any, size: tuple[int, int]) -> Any:
        return torch.nn.functional.interpolate(value, size, mode="bilinear", align_corners=False)

    if frame.upsampling == "through_input":
        field = resize(field, (frame.side, frame.side))
        field = field[..., : frame.resized_height, : frame.resized_width]
    return resize(field, (height, width))[0, 0].numpy()


@pytest.mark.parametrize("name", ["sam", "sam2"])
def test_each_candidate_is_what_the_model_draws_there(
    name: str, images: Path, tmp_path: Path
) -> None:
    weights = str(tiny_models.saved(name, tmp_path / "weights"))
    out = tmp_path / "out"
    done = generate(images, out, segmenter=weights, settings=ALL, device="cpu")
    assert sum(done.counts.values()) == 3 * (16 + 4 * 4)
    (table,) = open_generation(out).candidates()
    rows = table.to_pylist()
    model = load_segmenter(weights, device="cpu")
    picture = np.asarray(Image.open(images / "noise.png"))

    @cache
    def embedded(x: int, y: int, w: int, h: int) -> Embedding:
        return model.embed([np.ascontiguousarray(picture[y : y + h, x : x + w])])[0]

    compared = 0
    for row in rows[:: len(rows) // 24]:
        x, y, w, h = (row[f"crop_{side}"] for side in "xywh")
        embedding = embedded(x, y, w, h)
        point = np.array([[[row["point_x"] - x, row["point_y"] - y]]], np.float32)
        prompts = Prompts(points=point, labels=np.ones((1, 1), np.int8))
        answer = model.segment(embedding, prompts, multimask=True)
        score = answer.predicted_iou[0, row["mask"]]
        assert row["predicted_iou"] == pytest.approx(score, abs=1e-4)
        field = upsampled(answer.logits[0, row["mask"]], h, w, answer.frame)
        over, under = (field > 1).sum(), (field > -1).sum()
        assert row["area_px"] == pytest.approx((field > 0).sum(), abs=2)
        if under:
            assert row["stability_score"] == pytest.approx(over / under, abs=2 / under)
        if row["segmentation"] is None:
            assert row["area_px"] == 0
            continue
        runs, codes = rle.decode_counts([row["segmentation"]], [HEIGHT], [WIDTH])
        assert not codes.any()
        whole = np.zeros((HEIGHT, WIDTH), bool)
        whole[y : y + h, x : x + w] = field > 0
        assert (rle.to_dense(runs, 0) != whole).sum() <= 2  # values within rounding of the cut
        compared += 1
    assert compared >= 5


def test_the_command_generates_and_chooses_again(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    weights, out = tiny_models.saved("sam", tmp_path / "weights"), tmp_path / "out"
    settings = [f"--set={name}={value}" for name, value in ALL.items()]
    given = [str(images), "--segmenter", str(weights), "--out", str(out), "--device", "cpu"]
    for arguments in ([*given, *settings], ["--again", str(out), "--set", "nms_iou=0.5", "--json"]):
        monkeypatch.setattr(sys, "argv", ["curate", "generate", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "on cpu, float32" in printed
    assert "candidates" in printed
    about = json.loads(printed[printed.index('{"schema_version"') :])
    assert about["recipe"]["nms_iou"] == 0.5
    assert about["counts"]["twin_in_crop"] + about["counts"]["twin_across_crops"] > 0
    assert sum(about["counts"].values()) == 3 * (16 + 4 * 4)
