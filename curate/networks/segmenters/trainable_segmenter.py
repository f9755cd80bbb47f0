"""Segmenters whose weights are trained: what is trained of them, and passes that keep gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.common.arrays import IntArray
from curate.errors import CallError
from curate.networks.segmenters.segmenter import Embedding
from curate.networks.segmenters.transformers_sam import TransformersSegmenter

Tensor = Any

TRAINABLE = ("SamModel", "SamHQModel", "Sam2Model")
"""Classes of the library that are trained here."""

_PLACES = ("shared_image_embedding.", "prompt_encoder.shared_embedding.")
"""Parameters that encode places, drawn once and never trained."""

_DECODING = ("mask_decoder.", "prompt_encoder.")

_EMBEDDING = ("mask_decoder.conv_s0.", "mask_decoder.conv_s1.")
"""Parameters of SAM 2's decoder that an image's embedding is already made with."""


@dataclass(frozen=True)
class TrainableSegmenter:
    """A segmenter of the transformers library whose weights are trained.

    Attributes:
        segmenter: With the weights as they are now.
        encoder: Whether its image encoder is trained too, not only mask decoder, IoU head and
            prompt encoder.
        is_new: Whether its weights are random.
    """

    segmenter: TransformersSegmenter
    encoder: bool
    is_new: bool = False

    @property
    def model(self) -> Any:
        """The library's model."""
        return self.segmenter.model

    def parameters(self) -> Mapping[str, Any]:
        """Return the parameters that are trained, by name."""
        return {name: p for name, p in self.model.named_parameters() if self._is_trained(name)}

    def _is_trained(self, name: str) -> bool:
        if name.startswith(_PLACES):
            return False
        return self.encoder or (name.startswith(_DECODING) and not name.startswith(_EMBEDDING))

    def split_by_rate(self) -> tuple[list[Any], list[Any]]:
        """Return the parameters that learn slowly (an encoder that has learnt) and all others."""
        slow: list[Any] = []
        fast: list[Any] = []
        for name, values in self.parameters().items():
            is_slow = not self.is_new and name.startswith("vision_encoder.")
            (slow if is_slow else fast).append(values)
        return slow, fast

    def encode(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return features of images as :meth:`TransformersSegmenter.embed` does, with gradients.

        Args:
            pixels: Shape (n, 3, side, side), prepared.
        """
        if self.segmenter.kind.model == "SamHQModel":
            found = self.model.vision_encoder(pixels)
            return found[0], found[1][0]
        if not self.segmenter.kind.squashed:
            return (self.model.vision_encoder(pixels).last_hidden_state,)
        maps = list(self.model.get_image_features(pixels, return_dict=True).fpn_hidden_states)
        maps[-1] = maps[-1] + self.model.no_memory_embedding
        sizes = self.model.backbone_feature_sizes
        return tuple(
            one.permute(1, 2, 0).reshape(len(pixels), -1, *size)
            for one, size in zip(maps, sizes, strict=True)
        )

    def stack(self, embeddings: Sequence[Embedding], torch: Any) -> tuple[Tensor, ...]:
        """Return features of images that were embedded before, on the model's device."""
        parts = zip(*(one.parts for one in embeddings), strict=True)
        return tuple(torch.cat(list(part)).to(self.segmenter.device) for part in parts)

    def decode(
        self,
        features: tuple[Tensor, ...],
        rows: Tensor | IntArray,
        prompts: Mapping[str, Tensor],
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return low-res logits, shape (n, m, h, w), and predicted IoU, shape (n, m).

        Args:
            features: Of images.
            rows: Shape (n,): the image that each prompt is on.
            prompts: The library's inputs, one prompt a row.
            multimask: Whether m is 3, else 1.
        """
        given = self.segmenter.decoder_inputs([part[rows] for part in features])
        answer = self.model(multimask_output=multimask, **given, **prompts)
        return answer.pred_masks[:, 0].float(), answer.iou_scores[:, 0].float()


def make_trainable(segmenter: TransformersSegmenter, *, encoder: bool) -> TrainableSegmenter:
    """Return a segmenter to train.

    Raises:
        CallError: It is of an architecture that is not trained here.
    """
    if segmenter.kind.model not in TRAINABLE:
        raise CallError(
            f"it is a {segmenter.kind.model}, which curate cannot train",
            segmenter.name,
            "give a SAM, a SAM-HQ or a SAM 2, or no --from",
        )
    if segmenter.side % (2 * segmenter.low_side):
        raise CallError(
            f"its input of {segmenter.side} px does not divide into twice its {segmenter.low_side} "
            "logits a side",
            segmenter.name,
            "give a model with patches of 8 or 16 px",
        )
    return TrainableSegmenter(segmenter, encoder)
