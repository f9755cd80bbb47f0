"""SAM-style encoders and decoders exported to ONNX, as there are for MobileSAM and EdgeSAM.

What is known of the exports in use, and told apart by the names and shapes of what goes in and out,
never by file names:

* **Decoders** take ``point_coords`` (B, P, 2) on the encoder's input and ``point_labels`` (B, P): 1
  and 0 for points on and off the object, 2 and 3 for a box's corners, -1 for padding, which must
  follow the points where there is no box. segment-anything's own export (MobileSAM's, SAM-HQ's and
  samexporter's are the same) takes ``mask_input``, ``has_mask_input`` and ``orig_im_size`` too, and
  gives masks on the image beside the low-res ones; EdgeSAM's takes points only and gives low-res
  ones only. With ``--return-extra-metrics`` the name ``low_res_masks`` is on a wrong output, so
  the low-res logits are known by their shape.
* **Encoders** take pixels normalised by SAM's mean and deviation, then padded, (B, 3, side, side),
  or raw ones: bytes, or an export that holds SAM's mean itself (samexporter's
  ``--use-preprocess``, of shape (height, width, 3)).

Four masks a prompt are SAM's single-mask answer and its three; three are those three; one is the
exporter's choice (``--return-single-mask``: by the number of points, else by predicted IoU).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from curate.common.arrays import AnyArray, ByteArray
from curate.common.fingerprint import fingerprint
from curate.errors import CallError, SourceError
from curate.networks.runtime.devices import AdaptiveBatches
from curate.networks.segmenters.onnx_decoder import Decoder, inspect_decoder, is_decoder
from curate.networks.segmenters.onnx_session import (
    PIXEL_MEAN,
    OnnxFile,
    Session,
    Shape,
    choose_provider,
    open_session,
    read_onnx,
)
from curate.networks.segmenters.segmenter import Answer, Embedding, Frame, Prompts

_PATCH = 16
"""Input pixels to a side of an embedding's cell, in every SAM."""

_WANTS = {"encoder": "an image of 3 colours", "decoder": "point_coords and point_labels"}


def find_onnx_pair(path: str) -> tuple[OnnxFile, OnnxFile]:
    """Return encoder and decoder of a path, told apart by their inputs.

    Args:
        path: A folder with both, or "encoder.onnx:decoder.onnx".

    Raises:
        CallError: There is no such folder, a half is missing, or there is more than one of a kind.
        SourceError: A file is damaged, or its weights are not beside it.
    """
    return _tell_apart([read_onnx(one) for one in _find_files(path)], path)


def _find_files(path: str) -> list[Path]:
    """Return the files of a path: a folder, or "encoder.onnx:decoder.onnx"."""
    pair = re.fullmatch(r"(.+\.onnx):(.+\.onnx)", path, re.I)
    if pair:
        return [Path(part).expanduser() for part in pair.groups()]
    folder = Path(path).expanduser()
    todo = "give a folder with an encoder and a decoder, or encoder.onnx:decoder.onnx"
    if folder.is_file():
        raise CallError("it is one file, and a segmenter has two", path, todo)
    if not folder.is_dir():
        raise CallError("there is no such folder", path, todo)
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".onnx")
    if not found:
        raise CallError("it holds no .onnx file", path, todo)
    return found


def _tell_apart(files: list[OnnxFile], path: str) -> tuple[OnnxFile, OnnxFile]:
    """Return the encoder and the decoder among some files."""
    decoders = [file for file in files if is_decoder(file)]
    encoders = [file for file in files if file not in decoders and _is_encoder(file)]
    seen = ", ".join(
        f"{file.path.name} ({' '.join(file.inputs)} -> {' '.join(file.outputs)})" for file in files
    )
    for kind, found in (("encoder", encoders), ("decoder", decoders)):
        if not found:
            raise CallError(
                f"none of these is a SAM-style {kind}, which takes {_WANTS[kind]}: {seen}",
                path,
                "export both halves, with segment-anything's names",
            )
        if len(found) > 1:
            names = ", ".join(file.path.name for file in found)
            raise CallError(
                f"it holds {len(found)} {kind}s: {names}", path, "give encoder.onnx:decoder.onnx"
            )
    return encoders[0], decoders[0]


def _is_encoder(file: OnnxFile) -> bool:
    if len(file.inputs) != 1:
        return False
    (shape,) = file.inputs.values()
    colours = (shape[1:2], shape[3:]) if len(shape) == 4 else (shape[:1], shape[2:])
    return len(shape) in (3, 4) and (3,) in colours


def input_side(encoder: OnnxFile, low_side: int) -> int:
    """Return the side of an encoder's square input, in pixels.

    Raises:
        SourceError: Its input is not square.
    """
    (shape,) = encoder.inputs.values()
    lengths = shape[-3:-1] if shape[-1] == 3 else shape[-2:]
    if None in lengths:
        return low_side * _PATCH // 4  # low-res logits are four to a cell of the embedding
    if lengths[0] != lengths[1]:
        raise SourceError(
            f"its input of {lengths[1]} x {lengths[0]} px is not square",
            str(encoder.path),
            "export it for a square input, as SAM's are",
        )
    return int(lengths[0])  # type: ignore[arg-type]


_PIXEL_STD = (58.395, 57.12, 57.375)
_PROMPT_BATCH = 64
_IMAGE_BATCH = 4


@dataclass(frozen=True)
class OnnxSegmenter:
    """A pair of ONNX models behind the protocol of
    :class:`curate.networks.segmenters.segmenter.Segmenter`.

    A decoder that gives one mask a prompt gives one with ``multimask`` too; one that gives only
    the three gives the one of highest predicted IoU without it. Logits that are NaN or infinite
    are passed on as they are.

    Attributes:
        name: Name given by the user.
        fingerprint: Of both files and their weights.
        encoder: The half that embeds images.
        decoder: The half that answers prompts.
        side: Of the square input, in pixels.
    """

    name: str
    fingerprint: str
    encoder: Session
    decoder: Decoder
    side: int
    _images: AdaptiveBatches = field(
        default_factory=lambda: AdaptiveBatches(_IMAGE_BATCH), repr=False
    )
    _prompts: AdaptiveBatches = field(
        default_factory=lambda: AdaptiveBatches(_PROMPT_BATCH), repr=False
    )

    @property
    def device(self) -> str:
        """Device it runs on: "cpu", "cuda:0"."""
        return self.encoder.device

    @property
    def precision(self) -> str:
        """Type of the embeddings: "float32", or "float16" in exports of that type."""
        return np.dtype(self.decoder.session.types[self.decoder.features[0]]).name

    @property
    def low_side(self) -> int:
        """Height and width of its low-res logits."""
        return self.decoder.low_side

    @property
    def takes_masks(self) -> bool:
        """Whether a prompt may have a mask; EdgeSAM's export takes none."""
        return self.decoder.takes_masks

    def embed(self, images: Sequence[ByteArray]) -> list[Embedding]:
        """Embed RGB images, each of shape (height, width, 3), uint8.

        Raises:
            SourceError: The encoder fails, or does not give what the decoder takes.
            CallError: A single image does not fit into the memory.
        """
        return [one for batch in self._images.run(self._embed, images) for one in batch]

    def _embed(self, images: Sequence[ByteArray]) -> list[Embedding]:
        frames = [Frame.longest_side(len(i), i.shape[1], self.side) for i in images]
        ready = [self._prepare(image, frame) for image, frame in zip(images, frames, strict=True)]
        (name,) = self.encoder.file.inputs
        if self._embeds_batches():
            together = self.encoder.run(self.decoder.sources, {name: np.stack(ready)})
            parts = [[part[k : k + 1] for part in together] for k in range(len(images))]
        else:
            rank = len(self.encoder.file.inputs[name])
            alone = [one[None] if rank == 4 else one for one in ready]
            parts = [self.encoder.run(self.decoder.sources, {name: one}) for one in alone]
        return [Embedding(f, self._check_inputs(p)) for f, p in zip(frames, parts, strict=True)]

    def _embeds_batches(self) -> bool:
        (shape,) = self.encoder.file.inputs.values()
        alone = len(self.decoder.sources) == 1  # SAM-HQ's second part has its images elsewhere
        return len(shape) == 4 and shape[0] is None and alone

    def _prepare(self, image: ByteArray, frame: Frame) -> AnyArray:
        """Return an image as the encoder takes it: (3, side, side) or (side, side, 3)."""
        ((name, shape),) = self.encoder.file.inputs.items()
        size = (frame.resized_width, frame.resized_height)
        small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        mean, std = np.array(PIXEL_MEAN, np.float32), np.array(_PIXEL_STD, np.float32)
        raw = takes_raw_pixels(self.encoder)
        pixels = np.empty((self.side, self.side, 3), np.float32)
        # What is padding must be zero once it is normalised, here or in the model.
        pixels[:] = mean if raw else 0
        part = pixels[: frame.resized_height, : frame.resized_width]
        part[:] = small if raw else (small - mean) / std
        if np.issubdtype(self.encoder.types[name], np.integer):
            pixels = np.rint(pixels)
        return pixels if shape[-1] == 3 else pixels.transpose(2, 0, 1)

    def _check_inputs(self, parts: Sequence[AnyArray]) -> tuple[AnyArray, ...]:
        """Return embeddings in the types that the decoder takes, after a check of shapes."""
        inputs, types = self.decoder.session.file.inputs, self.decoder.session.types
        for name, part in zip(self.decoder.features, parts, strict=True):
            shape = inputs[name]
            if not _fits(part.shape, shape):
                raise SourceError(
                    f"it takes {name} of shape {shape}, and the encoder gives {part.shape}",
                    str(self.decoder.session.file.path),
                    "use an encoder and a decoder of the same model",
                )
        named = zip(self.decoder.features, parts, strict=True)
        return tuple(np.ascontiguousarray(part, types[name]) for name, part in named)

    def segment(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Answer:
        """Answer prompts on an image.

        Args:
            embedding: Of that image.
            prompts: N of them.
            multimask: Three masks each, else one; a decoder that gives one gives one.

        Raises:
            CallError: A prompt does not lie on the image, or has what the decoder does not take.
            SourceError: The decoder fails.
        """
        frame = embedding.frame
        prompts.check(frame.height, frame.width)
        run = self.decoder.prepare(prompts, frame)
        batches = self._prompts if self.decoder.answers_batches(prompts) else AdaptiveBatches(1)
        answers = batches.run(lambda rows: run(embedding.parts, rows), range(len(prompts)))
        low, count = self.low_side, self.decoder.count
        logits = np.concatenate(
            [np.zeros((0, count, low, low), np.float32)] + [a[0] for a in answers]
        )
        scores = np.concatenate([np.zeros((0, count), np.float32)] + [a[1] for a in answers])
        return Answer(*_select(logits, scores, multimask), frame)

    def pack(self, embedding: Embedding) -> dict[str, AnyArray]:
        """Return an embedding's parts as plain arrays, without loss, for a file."""
        return dict(zip(self.decoder.features, embedding.parts, strict=True))

    def unpack(self, arrays: dict[str, AnyArray], frame: Frame) -> Embedding:
        """Undo :meth:`pack`.

        Raises:
            CallError: The arrays are not what this segmenter packs.
        """
        inputs, types = self.decoder.session.file.inputs, self.decoder.session.types
        right = arrays.keys() == set(self.decoder.features) and all(
            _fits(array.shape, inputs[name]) and array.dtype == types[name]
            for name, array in arrays.items()
        )
        if not right:
            raise CallError("the arrays are of another model", self.name, "embed the image again")
        return Embedding(frame, tuple(arrays[name] for name in self.decoder.features))


def _fits(shape: tuple[int, ...], wanted: Shape) -> bool:
    same = (have == want or want is None for have, want in zip(shape, wanted, strict=False))
    return len(shape) == len(wanted) and all(same)


def _select(logits: AnyArray, scores: AnyArray, multimask: bool) -> tuple[AnyArray, AnyArray]:
    """Select the masks of the requested number from the decoder's."""
    count = scores.shape[1]
    if count == 4:
        chosen = slice(1, 4) if multimask else slice(0, 1)
        return logits[:, chosen], scores[:, chosen]
    if count == 1 or multimask:
        return logits, scores
    best = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1)[:, None]
    chosen_logits = np.take_along_axis(logits, best[:, :, None, None], axis=1)
    return chosen_logits, np.take_along_axis(scores, best, axis=1)


def takes_raw_pixels(encoder: Session) -> bool:
    """Return whether an encoder normalises itself: it takes bytes or (h, w, 3), or holds SAM's
    mean.
    """
    ((name, shape),) = encoder.file.inputs.items()
    whole = np.issubdtype(encoder.types[name], np.integer)
    return bool(whole) or encoder.file.normalises or (len(shape) == 3 and shape[-1] == 3)


def load_onnx_segmenter(path: str | Path, device: str | None = None) -> OnnxSegmenter:
    """Load a SAM-style encoder and decoder from ONNX files.

    Args:
        path: A folder with both, or "encoder.onnx:decoder.onnx".
        device: "cpu", "cuda", "cuda:1"; None takes a GPU where this onnxruntime can.

    Raises:
        CallError: There is no such folder, a half is missing, or there is more than one of a kind;
            or this onnxruntime cannot use the device.
        SourceError: A file is damaged, is no SAM, or needs what is not there.
    """
    where = choose_provider(device)
    encoder_file, decoder_file = find_onnx_pair(str(path))
    encoder = open_session(encoder_file, where)
    decoder = inspect_decoder(open_session(decoder_file, where), encoder_file.outputs)
    digest = hashlib.sha256()
    for file in (encoder_file, decoder_file):
        for part in (file.path, *file.data_files):
            digest.update(f"{fingerprint(part.resolve())};".encode())
    side = input_side(encoder_file, decoder.low_side)
    return OnnxSegmenter(str(path), digest.hexdigest()[:16], encoder, decoder, side)
