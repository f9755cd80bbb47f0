"""Tiny random segmenters of every architecture, saved as real ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

SIDE = 64
PATCH = 16
GRID = SIDE // PATCH
DECODER = {
    "hidden_size": 32,
    "mlp_dim": 32,
    "num_attention_heads": 2,
    "iou_head_hidden_dim": 32,
    "num_hidden_layers": 2,
}
NAMES = ("sam", "sam_hq", "sam2", "edgetam", "sam3_tracker")


def tiny(name: str, seed: int = 0) -> Any:
    """Return a tiny random model of an architecture."""
    torch.manual_seed(seed)
    model = _make(name).eval()
    for parameter in model.parameters():  # masks of a fresh model are all but flat
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.15)
    return model


def _make(name: str) -> Any:
    if name in ("sam", "sam_hq"):
        family = {"sam": "Sam", "sam_hq": "SamHQ"}[name]
        vision = {
            "hidden_size": 32,
            "output_channels": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": SIDE,
            "patch_size": PATCH,
            "mlp_dim": 64,
            "window_size": 2,
            "global_attn_indexes": [1],
            "num_pos_feats": 16,
        }
        prompt = {
            "hidden_size": 32,
            "image_size": SIDE,
            "patch_size": PATCH,
            "image_embedding_size": GRID,
        }
        decoder = DECODER | ({"vit_dim": 32} if name == "sam_hq" else {})
        config = getattr(transformers, f"{family}Config")(
            vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder
        )
        return getattr(transformers, f"{family}Model")(config)
    sizes = [[4 * GRID, 4 * GRID], [2 * GRID, 2 * GRID], [GRID, GRID]]
    prompt = {"hidden_size": 32, "image_size": SIDE, "patch_size": PATCH}
    if name == "sam2":
        backbone = transformers.Sam2HieraDetConfig(
            hidden_size=16,
            image_size=[SIDE, SIDE],
            embed_dim_per_stage=[16, 32, 64, 128],
            num_attention_heads_per_stage=[1, 2, 4, 8],
            blocks_per_stage=[1, 1, 2, 1],
            window_size_per_stage=[8, 4, 4, 2],
            global_attention_blocks=[3],
            window_positional_embedding_background_size=[4, 4],
        )
        vision = transformers.Sam2VisionConfig(
            backbone_config=backbone,
            backbone_channel_list=[128, 64, 32, 16],
            backbone_feature_sizes=sizes,
            fpn_hidden_size=32,
        )
        config = transformers.Sam2Config(
            vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=DECODER
        )
        return transformers.Sam2Model(config)
    if name == "edgetam":
        config = transformers.EdgeTamConfig(
            vision_config=_edgetam_vision(sizes),
            prompt_encoder_config=prompt,
            mask_decoder_config=DECODER,
        )
        return transformers.EdgeTamModel(config)
    vit = transformers.Sam3ViTConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
        window_size=2,
        global_attn_indexes=[1],
        pretrain_image_size=SIDE,
    )
    vision = transformers.Sam3VisionConfig(
        backbone_config=vit, fpn_hidden_size=32, backbone_feature_sizes=sizes
    )
    config = transformers.Sam3TrackerConfig(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=DECODER
    )
    return transformers.Sam3TrackerModel(config)


class StandInConfig(transformers.PreTrainedConfig):  # type: ignore[misc]
    """Stands in for EdgeTAM's encoder, which comes from timm and so cannot run here."""

    model_type = "stand_in_backbone"


class StandIn(transformers.PreTrainedModel):  # type: ignore[misc]
    """Four strided convolutions with the shapes that EdgeTAM's neck takes."""

    config_class = StandInConfig
    base_model_prefix = "stand_in"

    def __init__(self, config: StandInConfig) -> None:
        super().__init__(config)
        widths = (3, 16, 32, 64, 128)
        steps = (4, 2, 2, 2)
        self.stages = nn.ModuleList(
            nn.Conv2d(a, b, step, step)
            for a, b, step in zip(widths[:-1], widths[1:], steps, strict=True)
        )
        self.post_init()

    def forward(self, pixel_values: Any, **_: Any) -> Any:
        found = []
        for stage in self.stages:
            pixel_values = stage(pixel_values).relu()
            found.append(pixel_values)
        return transformers.modeling_outputs.BaseModelOutput(last_hidden_state=found)


transformers.AutoConfig.register("stand_in_backbone", StandInConfig)
transformers.AutoModel.register(StandInConfig, StandIn)


def _edgetam_vision(sizes: list[list[int]]) -> Any:
    return transformers.EdgeTamVisionConfig(
        backbone_config=StandInConfig(),
        backbone_channel_list=[128, 64, 32, 16],
        backbone_feature_sizes=sizes,
        fpn_hidden_size=32,
    )


def saved(name: str, folder: Path, seed: int = 0) -> Path:
    """Save a tiny model of an architecture as ``save_pretrained`` does, and return its folder."""
    tiny(name, seed).save_pretrained(folder / name)
    return folder / name
