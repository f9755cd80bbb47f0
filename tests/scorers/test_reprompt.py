"""Re-prompting: what a segmenter that is right says of masks that are not."""

import numpy as np
import pytest
from PIL import Image

from curate.images import ImageFolder
from curate.rle import concat, from_dense
from curate.scorers.reprompt import MEASURES, Prompter, reprompt, robustness
from curate.testing.bright_segmenter import BrightSegmenter
from curate.testing.scene import HEIGHT, WIDTH, disc, table_of

BODIES = [disc(30, 32, 16), disc(80, 32, 17), disc(130, 87, 16)]


@pytest.fixture
def pictures(tmp_path):
    shown = np.where(np.any(BODIES, axis=0), 200, 40).astype(np.uint8)
    Image.fromarray(shown).save(tmp_path / "1.png")
    return ImageFolder(tmp_path)


def run(table, pictures, **options):
    prompter = Prompter(BrightSegmenter(), **options)
    return reprompt(table, images=pictures, segmenter=prompter), prompter.segmenter


def test_a_mask_that_is_right_is_drawn_again(pictures):
    found, _ = run(table_of(BODIES), pictures)
    assert (found["reprompt_score"] > 0.97).all()
    assert (found["prompt_robustness_score"] > 0.85).all()
    assert (found["reprompt_status"] == "ok").all()
    np.testing.assert_allclose(found["segmenter_predicted_iou"], 0.95)
    # 4 logits a pixel: the cuts at -1 and +1 are half a pixel apart, which no pixel notices.
    assert (found["segmenter_stability_score"] > 0.95).all()
    assert (found["segmenter_edge_band_px"] < 0.3).all()


def test_each_fault_lowers_the_score(pictures):
    shifted = np.roll(BODIES[0], (6, 8), axis=(0, 1))
    half = BODIES[1] & (np.arange(WIDTH) < 80)
    wide = disc(130, 87, 24)
    found, _ = run(table_of([shifted, half, wide, BODIES[2]]), pictures)
    scores = found["reprompt_score"].to_numpy()
    assert (scores[:3] < 0.8).all()
    assert scores[3] > 0.97
    # Half a body: its box cuts the body there too, its points and itself ask for the whole.
    assert found["reprompt_box_iou"].iloc[1] > 0.9
    assert found["reprompt_point_iou"].iloc[1] == pytest.approx(0.5, abs=0.06)
    assert found["prompt_robustness_score"].iloc[1] < 0.8


def test_a_mask_on_nothing(pictures):
    found, _ = run(table_of([disc(60, 100, 9)]), pictures)
    assert found["reprompt_score"].iloc[0] == 0
    assert np.isnan(found["prompt_robustness_score"].iloc[0])
    assert np.isnan(found["segmenter_stability_score"].iloc[0])


def test_masks_of_a_pixel_and_of_a_line(pictures):
    dot, line = np.zeros((2, HEIGHT, WIDTH), bool)
    dot[32, 30], line[32, 20:40] = True, True
    found, _ = run(table_of([dot, line]), pictures)
    assert found["reprompt_score"].between(0, 0.5).all()
    assert (found["reprompt_status"] == "ok").all()


def test_without_a_picture_nothing_is_said(pictures):
    table = table_of([BODIES[0], BODIES[1]], images=[1, 2])
    found, _ = run(table, pictures)
    assert found["reprompt_status"].tolist() == ["ok", "no_picture"]
    assert found[list(MEASURES)].iloc[1].isna().all()
    small = table_of([np.ones((9, 9), bool)])  # the picture has another size
    found, _ = run(small, pictures)
    assert found["reprompt_status"].tolist() == ["no_picture"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite(pictures, monkeypatch, value):
    draw = BrightSegmenter.segment

    def spoilt(self, embedding, prompts, *, multimask):
        answer = draw(self, embedding, prompts, multimask=multimask)
        if prompts.masks is not None:
            answer.logits[1, 0, 3, 3] = value
        return answer

    monkeypatch.setattr(BrightSegmenter, "segment", spoilt)
    found, _ = run(table_of(BODIES), pictures)
    assert found["reprompt_status"].tolist() == ["ok", "not_finite", "ok"]
    assert np.isnan(found["segmenter_predicted_iou"].iloc[1])
    assert found["reprompt_score"].iloc[1] == pytest.approx(2 / 3, abs=0.02)


def test_a_killed_run_does_not_ask_again(pictures, tmp_path):
    kept, seen = tmp_path / "kept", []
    first, segmenter = run(table_of(BODIES), pictures, kept=kept, seen=seen.append)
    assert segmenter.prompts_seen
    again, segmenter = run(table_of(BODIES), pictures, kept=kept, seen=seen.append)
    assert segmenter.prompts_seen == segmenter.images_seen == 0
    assert again.equals(first)
    assert seen == [3, 3]
    other, segmenter = run(table_of(BODIES[:2]), pictures, kept=kept)  # not what was kept
    assert segmenter.prompts_seen
    assert len(other) == 2


def test_robustness_is_the_mean_iou_of_all_pairs():
    rng = np.random.default_rng(0)
    answers = rng.random((4, 3, 9, 8)) < 0.4
    answers[:, 2] = False
    found = robustness([concat([from_dense(m) for m in way]) for way in answers])
    for k in range(2):
        ious = [
            (answers[a, k] & answers[b, k]).sum() / (answers[a, k] | answers[b, k]).sum()
            for a in range(4)
            for b in range(a)
        ]
        assert found[k] == pytest.approx(np.mean(ious))
    assert np.isnan(found[2])
