"""Detectors of every architecture with random weights, small enough to make on the spot."""

from __future__ import annotations

import re
from typing import Any

import torch
import transformers as t

from curate.networks.segmenters.transformers_sam import silence_library

SQUARE = ("rt_detr", "rt_detr_v2", "d_fine", "deimv2", "lw_detr", "rf_detr")
"""Those that are used on inputs of one size."""

LIVELY = "class|score|bbox|box_head|quer|refpoint|token|decoder.layers.*(self|encoder)_attn"
"""Weights that decide how much answers differ."""

KINDS = (
    *SQUARE,
    "detr",
    "table-transformer",
    "conditional_detr",
    "dab-detr",
    "deformable_detr",
    "yolos",
)


def _resnet(out_indices: tuple[int, ...] = (2, 3, 4)) -> Any:
    return t.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 12, 16, 24],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_indices=list(out_indices),
    )


DETR = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_queries": 12,
    "use_timm_backbone": False,
}


def _rt_backbone() -> Any:
    return t.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 12, 16, 24],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_indices=[2, 3, 4],
    )


RT = {
    "encoder_hidden_dim": 32,
    "d_model": 32,
    "decoder_in_channels": [32, 32, 32],
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "decoder_layers": 2,
    "num_queries": 12,
    "num_denoising": 4,
    "hidden_expansion": 0.5,
    "freeze_backbone_batch_norms": False,
}


def _hg() -> Any:
    return t.HGNetV2Config(
        embedding_size=16,
        stem_channels=[3, 8, 8],
        hidden_sizes=[16, 24, 32, 32],
        depths=[1, 1, 1, 1],
        stage_in_channels=[8, 16, 24, 32],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[16, 24, 32, 32],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[2, 2, 2, 2],
        out_indices=[2, 3, 4],
    )


def _vit(kind: str) -> Any:
    config = t.LwDetrViTConfig if kind == "lw" else t.RfDetrDinov2Config
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "mlp_ratio": 2,
        "image_size": 64,
        "patch_size": 16,
    }
    if kind == "lw":
        sizes |= {"window_block_indices": [0], "num_windows": 4, "out_indices": [1, 2]}
    else:
        sizes |= {"num_windows": 2, "out_indices": [1, 2]}
    return config(**sizes)


def config_of(kind: str, labels: int = 3) -> Any:
    """Return the configuration of a tiny detector."""
    id2label = {k: f"kind {k}" for k in range(labels)}
    label2id = {name: k for k, name in id2label.items()}
    names = {"num_labels": labels, "id2label": id2label, "label2id": label2id}
    rt = RT | {"encoder_in_channels": [12, 16, 24]}
    hg = RT | {"encoder_in_channels": [24, 32, 32], "feat_strides": [8, 16, 32]}
    vit = {
        "d_model": 32,
        "decoder_ffn_dim": 32,
        "decoder_layers": 2,
        "decoder_self_attention_heads": 4,
        "decoder_cross_attention_heads": 4,
        "num_queries": 12,
        "group_detr": 2,
    }
    made = {
        "rt_detr": lambda: t.RTDetrConfig(backbone_config=_rt_backbone(), **rt, **names),
        "rt_detr_v2": lambda: t.RTDetrV2Config(backbone_config=_rt_backbone(), **rt, **names),
        "d_fine": lambda: t.DFineConfig(
            backbone_config=_hg(), decoder_n_points=[2, 2, 2], **hg, **names
        ),
        "deimv2": lambda: t.Deimv2Config(
            backbone_config=_hg(), decoder_n_points=[2, 2, 2], **hg, **names
        ),
        "detr": lambda: t.DetrConfig(backbone_config=_resnet((1, 2, 3, 4)), **DETR, **names),
        "table-transformer": lambda: t.TableTransformerConfig(
            backbone_config=_resnet((1, 2, 3, 4)), backbone=None, **DETR, **names
        ),
        "conditional_detr": lambda: t.ConditionalDetrConfig(
            backbone_config=_resnet((1, 2, 3, 4)), **DETR, **names
        ),
        "dab-detr": lambda: t.DabDetrConfig(
            backbone_config=_resnet((1, 2, 3, 4)),
            hidden_size=32,
            encoder_layers=1,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            num_queries=12,
            **names,
        ),
        "deformable_detr": lambda: t.DeformableDetrConfig(
            backbone_config=_resnet((2, 3, 4)), num_feature_levels=4, **DETR, **names
        ),
        "yolos": lambda: t.YolosConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=32,
            image_size=[64, 96],
            num_detection_tokens=12,
            **names,
        ),
        "lw_detr": lambda: t.LwDetrConfig(
            backbone_config=_vit("lw"), projector_scale_factors=[1.0], **vit, **names
        ),
        "rf_detr": lambda: t.RfDetrConfig(backbone_config=_vit("rf"), **vit, **names),
    }
    return made[kind]()


def make(kind: str, folder: Any, *, labels: int = 3, seed: int = 0) -> Any:
    """Make a tiny detector with random weights, save it and return it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = t.AutoModelForObjectDetection.from_config(config_of(kind, labels))
        with torch.no_grad():  # the answers of fresh weights are all alike
            for name, values in model.named_parameters():
                if values.dim() > 1 and re.search(LIVELY, name):
                    values.normal_(0, 0.3)
    with silence_library():
        model.eval().save_pretrained(folder)
    return model
