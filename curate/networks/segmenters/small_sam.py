"""Small SAMs with random weights, which a CPU can train."""

from __future__ import annotations

from typing import Any

from curate.errors import CallError
from curate.networks.runtime.devices import Device
from curate.networks.runtime.hub import import_optional
from curate.networks.segmenters.transformers_sam import KINDS, TransformersSegmenter


def build_small_sam(
    *,
    side: int,
    patch: int,
    hidden: int = 128,
    layers: int = 6,
    decoder: int = 64,
    places: bool = True,
    seed: int = 0,
) -> Any:
    """Return a transformers ``SamModel`` with random weights that a CPU can train.

    Args:
        side: Of the square input, in pixels; a multiple of ``patch``.
        patch: Side of a patch, in pixels; a low-res logit covers a quarter of it.
        hidden: Width of the image encoder, a multiple of 32.
        layers: Of the image encoder; every third attends to the whole image, the rest to windows.
        decoder: Width of the prompt encoder and the mask decoder, a multiple of 16.
        places: Whether the image encoder learns a code for each place.
        seed: Of the weights.

    Raises:
        CallError: The sizes do not fit each other, or the packages are missing.
    """
    if side % patch or hidden % 32 or decoder % 16:
        raise CallError(
            f"side {side}, patch {patch}, hidden {hidden}, decoder {decoder} do not fit",
            "small_sam",
            "side must be a multiple of patch, hidden of 32, decoder of 16",
        )
    torch, transformers = (
        import_optional("torch", "a segmenter"),
        import_optional("transformers", "a segmenter"),
    )
    vision = {
        "hidden_size": hidden,
        "output_channels": decoder,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // 32,
        "image_size": side,
        "patch_size": patch,
        "window_size": 8,
        "global_attn_indexes": list(range(2, layers, 3)),
        "num_pos_feats": decoder // 2,
        "use_abs_pos": places,
        "initializer_range": 0.02,  # the default, 1e-10, is for weights that are loaded
    }
    prompts = {"hidden_size": decoder, "image_size": side, "patch_size": patch}
    masks = {
        "hidden_size": decoder,
        "mlp_dim": 4 * decoder,
        "iou_head_hidden_dim": 128,
        # SAM's 16 dimensions a head: with fewer, a place cannot be told from its neighbours.
        "num_attention_heads": decoder // 16,
        "attention_downsample_rate": 1,
    }
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        config = transformers.SamConfig(
            vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=masks
        )
        model = transformers.SamModel(config)
        # Nor are the library's own draws meant for training: with a spread of 0.02 throughout, a
        # narrow decoder answers every prompt alike. torch's defaults are what SAM's code has.
        for module in model.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        # transformers draws these with half the hidden size as spread, since weights are loaded
        # over them; SAM's own code draws them with 1. Objects of many sizes need many frequencies.
        spread = torch.exp(torch.empty(decoder // 2).uniform_(-1.2, 1.2))
        frequencies = torch.randn(2, decoder // 2) * spread
        for part in (model.shared_image_embedding, model.prompt_encoder.shared_embedding):
            part.positional_embedding.copy_(frequencies)
    return model


def wrap_small_sam(
    model: Any, name: str, fingerprint: str, device: Device
) -> TransformersSegmenter:
    """Return a ``SamModel`` in memory as a segmenter, on a device.

    Args:
        model: The model; moved there.
        name: Of it.
        fingerprint: Of its weights.
        device: Where it computes.
    """
    kind = KINDS["sam"]
    return TransformersSegmenter(
        name, model.to(device.name).eval(), kind, kind.normal, fingerprint, device
    )
