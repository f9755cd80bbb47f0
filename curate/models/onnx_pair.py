"""Which two of a user's ONNX files are a segmenter's encoder and decoder."""

from __future__ import annotations

import re
from pathlib import Path

from curate.errors import CallError, SourceError
from curate.models.onnx_decoder import is_decoder
from curate.models.onnx_file import OnnxFile, read_onnx

_PATCH = 16
"""Input pixels to a side of an embedding's cell, in every SAM."""

_WANTS = {"encoder": "an image of 3 colours", "decoder": "point_coords and point_labels"}


def find_pair(path: str) -> tuple[OnnxFile, OnnxFile]:
    """Return the encoder and the decoder that a user means, told apart by what they take.

    Args:
        path: A folder with both, or "encoder.onnx:decoder.onnx".

    Raises:
        CallError: There is no such folder, a half is missing, or there is more than one of a kind.
        SourceError: A file is damaged, or its weights are not beside it.
    """
    return _halves([read_onnx(one) for one in _find(path)], path)


def _find(path: str) -> list[Path]:
    """Return the files that a user's words mean."""
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


def _halves(files: list[OnnxFile], path: str) -> tuple[OnnxFile, OnnxFile]:
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

    Args:
        encoder: As read.
        low_side: Of the decoder's low-res logits.

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
