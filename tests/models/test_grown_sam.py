"""A small SAM for a larger input: what it knew of distances in pixels holds there too."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from tiny_sam import drawings

from curate.errors import CallError
from curate.models.segmenter_training import Schedule, train_segmenter
from curate.models.small_sam import grown, low_side, small_sam

SIDE, PATCH, TOKENS = 64, 8, 8
PLACES = "shared_image_embedding.positional_embedding"


def small(layers: int = 3, **changes):
    """A model whose every weight is something, as if it had been trained."""
    model = small_sam(
        **{"side": SIDE, "patch": PATCH, "hidden": 32, "layers": layers, "decoder": 32}
        | {"places": False}
        | changes
    )
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "rel_pos" in name:  # zero in a new model
                weight.copy_(torch.randn(weight.shape, generator=noise))
    return model.eval()


def same(one, other) -> None:
    theirs = other.state_dict()
    assert theirs.keys() == one.state_dict().keys()
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, theirs[name]), name


def test_the_same_side_is_the_same_model() -> None:
    model = small()
    copied = grown(model, SIDE)
    same(model, copied)
    assert copied.config.to_dict() == model.config.to_dict()
    with torch.no_grad():
        copied.mask_decoder.iou_token.weight.zero_()
    assert model.mask_decoder.iou_token.weight.any()


@pytest.mark.parametrize("side", [96, 128, 320])
def test_there_and_back(side: int) -> None:
    model = small()
    there = grown(model, side)
    assert there.config.vision_config.image_size == side
    assert low_side(there) == 4 * side // PATCH
    back = grown(there, SIDE).state_dict()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(back[name], weight, rtol=1e-6, atol=0)


def test_the_model_itself_and_the_global_generator_are_left_alone() -> None:
    model, random = small(), torch.get_rng_state()
    grown(model, 128)
    same(model, small())
    assert torch.equal(random, torch.get_rng_state())
    assert not grown(model, 128).training
    assert grown(small().train(), 128).training


@pytest.mark.parametrize("side", [40, 96, 200])
def test_places_keep_the_code_that_they_have_from_the_middle(side: int) -> None:
    """So a piece cut from the middle of a larger input has the codes that it had alone."""
    model = small()
    larger = grown(model, side)
    pixels = torch.tensor([[0.0, 0.0], [13.0, 50.5], [64.0, 31.0]])[None, None]
    codes = model.shared_image_embedding(pixels, (SIDE, SIDE))
    moved = pixels + (side - SIDE) / 2
    for part in (larger.shared_image_embedding, larger.prompt_encoder.shared_embedding):
        torch.testing.assert_close(part(moved, (side, side)), codes, rtol=0, atol=1e-4)


def test_two_places_keep_the_angle_between_their_codes() -> None:
    model = small()
    shift = torch.tensor([9.0, -4.0])
    angles = []
    for part, side in ((model, SIDE), (grown(model, 192), 192)):
        here = torch.tensor([[20.0, 30.0]])[None, None]
        codes = [
            torch.complex(cosine, sine)
            for sine, cosine in (
                part.shared_image_embedding(place, (side, side)).chunk(2, dim=-1)
                for place in (here, here + shift)
            )
        ]
        angles.append(codes[1] * codes[0].conj())
    torch.testing.assert_close(angles[0], angles[1], rtol=0, atol=1e-4)


def test_bias_goes_on_with_its_outermost_value() -> None:
    """The bias between two patches depends on their distance alone, as before where it reached."""
    model = small()
    larger = grown(model, 128)
    within, over = model.vision_encoder.layers[0].attn, model.vision_encoder.layers[2].attn
    beyond = larger.vision_encoder.layers[2].attn
    assert torch.equal(larger.vision_encoder.layers[0].attn.rel_pos_h, within.rel_pos_h)
    for name in ("rel_pos_h", "rel_pos_w"):
        before = over.get_rel_pos(TOKENS, TOKENS, getattr(over, name))
        after = beyond.get_rel_pos(16, 16, getattr(beyond, name))
        for query in range(16):
            for key in range(16):
                far = max(-7, min(7, query - key))
                known = before[max(far, 0), max(-far, 0)]
                assert torch.equal(after[query, key], known), (query, key)
    smaller = grown(model, 40).vision_encoder.layers[2].attn
    assert torch.equal(smaller.rel_pos_h, over.rel_pos_h[3:-3])


def embedded(model, pixels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.vision_encoder(pixels).last_hidden_state


def test_windows_see_what_they_saw() -> None:
    """Layers that attend to windows give the same pixels the same code, in every window.

    Only at a window's rim do the last convolutions look over to the next one.
    """
    model = small(layers=2)
    pixels = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    alone = embedded(model, pixels)
    among = embedded(grown(model, 2 * SIDE), pixels.repeat(1, 1, 2, 2))
    inner = alone[..., 1:-1, 1:-1]
    for row in (0, TOKENS):
        for column in (0, TOKENS):
            window = among[..., row + 1 : row + TOKENS - 1, column + 1 : column + TOKENS - 1]
            torch.testing.assert_close(window, inner, rtol=1e-4, atol=1e-5)
    corner = among[..., : TOKENS - 1, : TOKENS - 1]
    torch.testing.assert_close(corner, alone[..., :-1, :-1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(among[..., TOKENS - 1, :TOKENS], alone[..., -1, :], atol=1e-3)


def test_a_side_that_cuts_a_window_is_padded() -> None:
    """Where windows do not fit, those that are whole are as they were."""
    model = small(layers=2)
    pixels = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    among = embedded(grown(model, 96), pixels)
    alone = embedded(model, pixels[..., :SIDE, :SIDE])
    torch.testing.assert_close(
        among[..., : TOKENS - 1, : TOKENS - 1], alone[..., :-1, :-1], rtol=1e-4, atol=1e-5
    )
    assert among.shape[-2:] == (12, 12)


def test_what_has_grown_answers_and_learns() -> None:
    model = grown(small(), 128)
    boxes = torch.tensor([[[10.0, 10.0, 90.0, 60.0]]])
    answer = model(pixel_values=torch.zeros(1, 3, 128, 128), input_boxes=boxes)
    assert answer.pred_masks.shape[-2:] == (64, 64)
    told = []
    scenes = [(drawn.image, drawn.masks) for drawn in drawings(2, seed=0)]
    train_segmenter(model, scenes, Schedule(2, images=2, prompts=2), seed=0, report=told.append)
    assert all(progress.loss > 0 for progress in told)


@pytest.mark.parametrize("side", [100, 4, 0, -64])
def test_sides_that_do_not_fit_are_refused(side: int) -> None:
    with pytest.raises(CallError, match=f"side is {side}.*multiple of the patch, 8"):
        grown(small(layers=1), side)


def test_a_model_of_places_is_refused() -> None:
    with pytest.raises(CallError, match="a code for each place"):
        grown(small(layers=1, places=True), 128)


def test_growing_in_steps_is_growing_at_once() -> None:
    model = small()
    steps = [model]
    for side in (96, 128):
        steps.append(grown(steps[-1], side))
    once = grown(model, 128).state_dict()
    for name, weight in steps[-1].state_dict().items():
        torch.testing.assert_close(once[name], weight, rtol=1e-6, atol=0)
    frequencies = [part.state_dict()[PLACES][0, 0].abs().item() for part in steps]
    assert all(one < other for one, other in pairwise(frequencies))
