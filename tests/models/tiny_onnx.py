"""A tiny random SAM, and the ONNX exports of it that users have of the big ones."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import (
    SamConfig,
    SamMaskDecoderConfig,
    SamModel,
    SamPromptEncoderConfig,
    SamVisionConfig,
)

SIDE = 64
LOW = 16
CHANNELS = 16
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


def tiny_sam(seed: int = 0) -> SamModel:
    torch.manual_seed(seed)
    config = SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=32,
            output_channels=CHANNELS,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=16,
            window_size=2,
            global_attn_indexes=[1],
            num_pos_feats=CHANNELS // 2,
            mlp_dim=64,
        ).to_dict(),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=CHANNELS, image_size=SIDE, patch_size=16, mask_input_channels=4
        ).to_dict(),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=CHANNELS,
            mlp_dim=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            iou_head_hidden_dim=16,
        ).to_dict(),
    )
    model = SamModel(config).eval()
    for name, weights in model.named_parameters():
        # As they come, weights are so small that every prompt gets the same answer.
        scale = 1.0 if "embed" in name else 0.5
        weights.data = torch.randn_like(weights) * scale
    return model


class Encoder(nn.Module):  # type: ignore[misc]
    """The image encoder alone, as visheratin's and EdgeSAM's exports have it."""

    def __init__(self, model: SamModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.model.vision_encoder(image).last_hidden_state


class RawEncoder(Encoder):
    """With the normalisation and padding inside, of shape (height, width, 3): samexporter's."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pixels = (image.to(torch.float32) - torch.tensor(MEAN)) / torch.tensor(STD)
        pixels = pixels.permute(2, 0, 1)
        high, wide = pixels.shape[-2:]
        return super().forward(functional.pad(pixels, (0, SIDE - wide, 0, SIDE - high))[None])


class BytesEncoder(Encoder):
    """Of bytes, (1, 3, side, side), with the normalisation inside: the C++ wrapper's."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
        return super().forward((image.to(torch.float32) - mean) / std)


class Decoder(nn.Module):  # type: ignore[misc]
    """Prompt encoder and mask decoder, with the names and rules of segment-anything's export."""

    def __init__(self, model: SamModel, *, single: bool = False, extra: bool = False) -> None:
        super().__init__()
        self.model = model
        self.single = single
        self.extra = extra

    def embed_points(self, coords: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        encoder = self.model.prompt_encoder
        found = encoder.shared_embedding((coords + 0.5)[None], (SIDE, SIDE))[0]
        labels = labels[..., None].expand_as(found)
        found = found * (labels != -1) + encoder.not_a_point_embed.weight * (labels == -1)
        for kind in range(4):
            found = found + encoder.point_embed[kind].weight * (labels == kind)
        return found

    def masks_of(
        self, image: torch.Tensor, points: torch.Tensor, dense: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        places = self.model.get_image_wide_positional_embeddings()
        parts = [
            self.model.mask_decoder(
                image_embeddings=image.repeat_interleave(points.shape[0], 0),
                image_positional_embeddings=places.repeat_interleave(points.shape[0], 0),
                sparse_prompt_embeddings=points[:, None],
                dense_prompt_embeddings=dense,
                multimask_output=multi,
            )
            for multi in (False, True)
        ]
        masks = torch.cat([part[0][:, 0] for part in parts], dim=1)
        return masks, torch.cat([part[1][:, 0] for part in parts], dim=1)

    def forward(
        self,
        image_embeddings: torch.Tensor,
        point_coords: torch.Tensor,
        point_labels: torch.Tensor,
        mask_input: torch.Tensor,
        has_mask_input: torch.Tensor,
        orig_im_size: torch.Tensor,
    ) -> Any:
        encoder = self.model.prompt_encoder
        points = self.embed_points(point_coords, point_labels)
        none = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        dense = has_mask_input * encoder.mask_embed(mask_input) + (1 - has_mask_input) * none
        masks, scores = self.masks_of(image_embeddings, points, dense)
        if self.single:
            first = torch.tensor([[1000.0, 0, 0, 0]])
            best = (scores + (point_coords.shape[1] - 2.5) * first).argmax(dim=1)
            rows = torch.arange(masks.shape[0])
            masks, scores = masks[rows, best][:, None], scores[rows, best][:, None]
        whole = functional.interpolate(masks, size=(SIDE, SIDE), mode="bilinear")
        size = orig_im_size.to(torch.int64)
        whole = functional.interpolate(whole, size=(size[0], size[1]), mode="bilinear")
        if self.extra:
            return whole, scores, scores * 0 + 0.5, (whole > 0).sum((-1, -2)), masks
        return whole, scores, masks


class EdgeDecoder(Decoder):
    """EdgeSAM's: points only, scores first, no masks on the image."""

    def forward(  # type: ignore[override]
        self, image_embeddings: torch.Tensor, point_coords: torch.Tensor, point_labels: torch.Tensor
    ) -> Any:
        points = self.embed_points(point_coords, point_labels)
        none = self.model.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        masks, scores = self.masks_of(image_embeddings, points, none)
        return scores, masks


class ThreeDecoder(EdgeDecoder):
    """Of the three masks only."""

    def forward(  # type: ignore[override]
        self, image_embeddings: torch.Tensor, point_coords: torch.Tensor, point_labels: torch.Tensor
    ) -> Any:
        scores, masks = super().forward(image_embeddings, point_coords, point_labels)
        return masks[:, 1:], scores[:, 1:]


def export(
    module: nn.Module,
    inputs: dict[str, torch.Tensor],
    outputs: list[str],
    path: Path,
    open_lengths: dict[str, dict[int, str]],
) -> None:
    """Write a module by the exporter that needs no further package, and that those scripts use."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, and that there is a newer exporter
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes=open_lengths,
            opset_version=17,
            dynamo=False,
        )


def export_encoder(module: Encoder, path: Path, *, batched: bool = False) -> None:
    shape = (SIDE, SIDE, 3) if isinstance(module, RawEncoder) else (1, 3, SIDE, SIDE)
    kind = torch.uint8 if isinstance(module, BytesEncoder) else torch.float32
    lengths = {0: "image_height", 1: "image_width"} if isinstance(module, RawEncoder) else {}
    if batched:
        lengths = {0: "batch"}
    name = "input_image" if isinstance(module, RawEncoder) else "x"
    pixels = torch.zeros(shape, dtype=kind)
    export(module, {name: pixels}, ["image_embeddings"], path, {name: lengths} if lengths else {})


def export_decoder(
    module: Decoder, path: Path, *, batched: bool = False, points: int | None = None
) -> None:
    inputs = {
        "image_embeddings": torch.randn(1, CHANNELS, SIDE // 16, SIDE // 16),
        "point_coords": torch.randint(0, SIDE, (1, points or 5, 2)).float(),
        "point_labels": torch.randint(0, 4, (1, points or 5)).float(),
    }
    outputs = ["scores", "masks"]
    if not isinstance(module, EdgeDecoder):
        outputs = ["masks", "iou_predictions", "low_res_masks"]
        inputs["mask_input"] = torch.randn(1, 1, LOW, LOW)
        inputs["has_mask_input"] = torch.tensor([1.0])
        inputs["orig_im_size"] = torch.tensor([48.0, 64.0])
    if isinstance(module, ThreeDecoder):
        outputs = ["low_res_masks", "iou_predictions"]
    lengths: dict[str, dict[int, str]] = {"point_coords": {}, "point_labels": {}}
    if points is None:
        lengths = {name: {1: "num_points"} for name in lengths}
    if batched:
        for name in ("point_coords", "point_labels", "mask_input"):
            if name in inputs:
                lengths.setdefault(name, {})[0] = "batch"
    export(module, inputs, outputs, path, {k: v for k, v in lengths.items() if v})
