"""Mask encoders: the protocol, the one of handcrafted features alone, and the cache of vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from curate.common.arrays import AnyArray, ByteArray, Float32Array
from curate.errors import CallError
from curate.networks.runtime.devices import Network
from curate.networks.segmenters.embedding_cache import EmbeddingCache
from curate.networks.segmenters.segmenter import Embedding, Frame
from curate.rle import Runs

HANDCRAFTED = "handcrafted"
"""Name of the encoder that is no network."""


def embedding_of(picture: ByteArray, array: AnyArray) -> Embedding:
    """Return an encoder's answer for a whole picture as the cache of embeddings keeps it."""
    height, width = picture.shape[:2]
    return Embedding(Frame.stretch(height, width, max(height, width)), (array,))


class MaskEncoder(Network, Protocol):
    """A model that turns what a picture shows inside a mask into a vector."""

    def encode(self, picture: ByteArray, runs: Runs) -> Float32Array:
        """Encode the masks of one picture.

        Args:
            picture: Shape (height, width, 3), uint8, RGB, of the masks' size.
            runs: The masks, each with a pixel at least.

        Returns:
            Shape (masks, numbers); as many numbers for each picture.
        """


@dataclass(frozen=True)
class HandcraftedEncoder:
    """No network at all: a classifier then has the handcrafted features of a mask alone.

    Attributes:
        name: Name that the user gives.
        fingerprint: Of the features.
        device: The CPU.
        precision: Of the features.
    """

    name: str = HANDCRAFTED
    fingerprint: str = "handcrafted-1"
    device: str = "cpu"
    precision: str = "float32"

    def encode(self, picture: ByteArray, runs: Runs) -> Float32Array:
        """Return no numbers, shape (masks, 0)."""
        del picture
        return np.zeros((len(runs), 0), np.float32)


@dataclass(frozen=True)
class CachedEncoder:
    """An encoder whose vectors are kept in the cache of embeddings, by picture, masks and model.

    Attributes:
        encoder: The model.
        cache: The cache.
    """

    encoder: MaskEncoder
    cache: EmbeddingCache

    @property
    def name(self) -> str:
        """Name given by the user."""
        return self.encoder.name

    @property
    def fingerprint(self) -> str:
        """Hash of the model's weights and settings."""
        return self.encoder.fingerprint

    @property
    def device(self) -> str:
        """torch's name of the device."""
        return self.encoder.device

    @property
    def precision(self) -> str:
        """Type that it computes in."""
        return self.encoder.precision

    def encode(self, picture: ByteArray, runs: Runs) -> Float32Array:
        """Encode the masks of one picture; see :meth:`MaskEncoder.encode`."""
        (found,) = self.cache.embed(_MasksOfPicture(self.encoder, runs), [picture])
        vectors: Float32Array = found.parts[0]
        return vectors


@dataclass(frozen=True)
class _MasksOfPicture:
    """The masks of one picture as what the cache asks: their vectors are its embedding."""

    encoder: MaskEncoder
    runs: Runs

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.encoder.fingerprint.encode())
        for values in (self.runs.starts, self.runs.ends, self.runs.offsets):
            digest.update(f"{values.dtype} {values.shape}\n".encode())
            digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()

    @property
    def precision(self) -> str:
        return self.encoder.precision

    def embed(self, images: Sequence[ByteArray]) -> list[Embedding]:
        return [embedding_of(image, self.encoder.encode(image, self.runs)) for image in images]

    def pack(self, embedding: Embedding) -> dict[str, AnyArray]:
        return {"vectors": embedding.parts[0]}

    def unpack(self, arrays: dict[str, AnyArray], frame: Frame) -> Embedding:
        vectors = arrays.get("vectors")
        if vectors is None or vectors.ndim != 2 or len(vectors) != len(self.runs):
            raise CallError("no vectors of these masks", "the cache of embeddings", "drop it")
        return Embedding(frame, (vectors,))
