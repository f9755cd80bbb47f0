"""Segmenters of the transformers library: SAM, SAM-HQ, SAM 2 and 2.1, EdgeTAM, SAM 3's tracker.

Images are prepared here, not by the library's processors, of which most need torchvision. SAM and
SAM-HQ resize as ``ResizeLongestSide`` does (on bytes, with Pillow's bilinear filter) and pad; SAM 2
and later squash the image to a square (on floats, bilinear with antialiasing).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from curate.common.arrays import AnyArray, ByteArray
from curate.errors import CallError, SourceError
from curate.networks.runtime.devices import (
    IMAGENET,
    AdaptiveBatches,
    Device,
    Normalisation,
    check_rgb,
    is_normalisation,
    refuse_output,
    translate_network_errors,
)
from curate.networks.runtime.hub import import_optional, model_fingerprint, read_config
from curate.networks.segmenters.sam_decoder import SamDecoder
from curate.networks.segmenters.segmenter import Answer, Embedding, Frame, Prompts

MAX_SIDE = 1 << 14
"""Largest side of an input in pixels: a configuration can say anything."""

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class _Architecture:
    """One architecture: the library's class, how images enter, and how images are normalised."""

    model: str
    squashed: bool
    normal: Normalisation = IMAGENET


KINDS = {
    "sam": _Architecture("SamModel", squashed=False),
    "sam_hq": _Architecture("SamHQModel", squashed=False),
    "sam2": _Architecture("Sam2Model", squashed=True),
    "sam2_video": _Architecture("Sam2Model", squashed=True),
    "edgetam": _Architecture("EdgeTamModel", squashed=True),
    "edgetam_video": _Architecture("EdgeTamModel", squashed=True),
    "sam3_tracker": _Architecture("Sam3TrackerModel", squashed=True, normal=HALF),
    "sam3_tracker_video": _Architecture("Sam3TrackerModel", squashed=True, normal=HALF),
    "sam3_video": _Architecture("Sam3TrackerModel", squashed=True, normal=HALF),
}
"""By the ``model_type`` of config.json; published SAM 2 weights are those of the video model."""


@dataclass
class TransformersSegmenter:
    """A model of the transformers library behind the protocol of a segmenter.

    The encoder computes in bfloat16 where the device has it. The decoder always computes in
    float32: it is cheap, and scores in steps of 1/256 would be no scores.
    """

    name: str
    model: Any
    kind: _Architecture
    normal: tuple[tuple[float, ...], tuple[float, ...]]
    fingerprint: str
    where: Device
    images_at_once: AdaptiveBatches = field(default_factory=lambda: AdaptiveBatches(4))
    prompts_at_once: AdaptiveBatches = field(default_factory=lambda: AdaptiveBatches(64))

    @property
    def device(self) -> str:
        """torch's name of the device."""
        return self.where.name

    @property
    def precision(self) -> str:
        """Type the encoder computes in."""
        return self.where.precision

    @property
    def side(self) -> int:
        """Height and width of the square input, in pixels."""
        size = self.model.config.prompt_encoder_config.image_size
        return int(size if isinstance(size, int) else size[0])

    @property
    def low_side(self) -> int:
        """Height and width of the low-res logits."""
        config = self.model.config.prompt_encoder_config
        patch = config.patch_size if isinstance(config.patch_size, int) else config.patch_size[0]
        return 4 * (self.side // int(patch))

    def frame(self, height: int, width: int) -> Frame:
        """Return the placement of an image of this size in the input."""
        lay = Frame.stretch if self.kind.squashed else Frame.longest_side
        return lay(height, width, self.side)

    def embed(self, images: Sequence[ByteArray]) -> list[Embedding]:
        """Embed RGB images, each of shape (height, width, 3), uint8."""
        parts = self.images_at_once.run(self._embed, list(images))
        return [embedding for batch in parts for embedding in batch]

    def _embed(self, images: Sequence[ByteArray]) -> list[Embedding]:
        torch = import_optional("torch", "a segmenter")
        frames = [self.frame(*image.shape[:2]) for image in images]
        pixels = torch.stack([self.prepare(image) for image in images]).to(self.device)
        with translate_network_errors(self.name), torch.inference_mode(), self._encoding():
            found = self.model.get_image_embeddings(pixels)
            if self.kind.model == "SamHQModel":
                found = [found[0], found[1][0]]  # the decoder reads the first of the inner ones
        features = found if isinstance(found, list) else [found]
        return [
            Embedding(frame, tuple(f[k : k + 1].float() for f in features))
            for k, frame in enumerate(frames)
        ]

    def prepare(self, image: ByteArray) -> Any:
        """Return the preprocessed input of an image: a float32 tensor of shape (3, side, side).

        Raises:
            CallError: The image is no array of bytes in RGB.
        """
        check_rgb(image, "embed")
        torch = import_optional("torch", "a segmenter")
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in self.normal)
        frame = self.frame(*image.shape[:2])
        if not self.kind.squashed:
            size = (frame.resized_width, frame.resized_height)
            resized = np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
            values = (torch.from_numpy(resized).permute(2, 0, 1).float() / 255 - mean) / std
            right, below = self.side - frame.resized_width, self.side - frame.resized_height
            return torch.nn.functional.pad(values, (0, right, 0, below))
        values = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        values = torch.nn.functional.interpolate(
            values[None],
            size=(self.side, self.side),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )[0]
        return (values - mean) / std

    @contextmanager
    def _encoding(self) -> Iterator[None]:
        torch = import_optional("torch", "a segmenter")
        if self.precision == "bfloat16":
            with torch.autocast(self.device.partition(":")[0], dtype=torch.bfloat16):
                yield
        else:
            yield

    def segment(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Answer:
        """Answer prompts on an image: three masks each if ``multimask``, else one.

        Raises:
            CallError: A prompt does not lie on the image.
        """
        frame = embedding.frame
        prompts.check(frame.height, frame.width)
        found = self.prompts_at_once.run(lambda p: self._segment(embedding, p, multimask), prompts)
        if not found:
            masks = 3 if multimask else 1
            low = np.zeros((0, masks, self.low_side, self.low_side), np.float32)
            return Answer(low, np.zeros((0, masks), np.float32), frame)
        return Answer(
            np.concatenate([logits for logits, _ in found]),
            np.concatenate([iou for _, iou in found]),
            frame,
        )

    def decoder_inputs(self, features: list[Any]) -> dict[str, object]:
        """Return the features of images as the library's model takes them.

        Args:
            features: In the order of an embedding's parts, images along the first axis.
        """
        if self.kind.model == "SamHQModel":
            return {"image_embeddings": features[0], "intermediate_embeddings": [features[1]]}
        return {"image_embeddings": features if self.kind.squashed else features[0]}

    def _segment(self, embedding: Embedding, prompts: Prompts, multimask: bool) -> tuple[Any, Any]:
        torch = import_optional("torch", "a segmenter")
        n, frame = len(prompts), embedding.frame
        # A mask prompt changes the image's side of the decoder, so there each prompt takes the
        # place of an image; without masks, prompts share the image.
        lead = (n, 1) if prompts.masks is not None else (1, n)

        def tensor(values: Any, *shape: int) -> Any:
            array = np.ascontiguousarray(values)
            return torch.from_numpy(array).to(self.device).reshape(*shape)

        inputs: dict[str, object] = {"multimask_output": multimask}
        if prompts.points is not None and prompts.labels is not None:
            count = prompts.points.shape[1]
            inputs["input_points"] = tensor(frame.to_input(prompts.points), *lead, count, 2)
            inputs["input_labels"] = tensor(prompts.labels.astype(np.int32), *lead, count)
        if prompts.boxes is not None:
            corners = frame.to_input(prompts.boxes.reshape(-1, 2, 2))
            inputs["input_boxes"] = tensor(corners, *lead, 4)
        if prompts.masks is not None:
            low = np.asarray(prompts.masks, np.float32)
            inputs["input_masks"] = tensor(low, n, 1, *low.shape[1:])
        with translate_network_errors(self.name), torch.inference_mode():
            found = self._decode(embedding, inputs, lead)
            logits, iou = (values.float().cpu().numpy() for values in found)
        wanted = (n, 3 if multimask else 1)
        if logits.shape != (*wanted, self.low_side, self.low_side) or iou.shape != wanted:
            refuse_output(self.name, f"it answers {n} prompts with masks of {logits.shape}")
        if not (np.isfinite(logits).all() and np.isfinite(iou).all()):
            refuse_output(self.name, "its answer is not finite (NaN or infinite)")
        return logits, iou

    def _decode(
        self, embedding: Embedding, inputs: dict[str, object], lead: tuple[int, int]
    ) -> tuple[Any, Any]:
        """Return logits (n, m, low, low) and predicted IoU (n, m) of the library's inputs."""
        if lead == (1, 1) and self._quick is not None:
            low = inputs.get("input_masks")
            names = ("input_points", "input_labels", "input_boxes")
            asked, _ = self.model.prompt_encoder(*(inputs.get(name) for name in names), None)
            if self._quick.answers(asked[0, 0]):
                multimask = bool(inputs["multimask_output"])
                return self._quick.decode(embedding.parts[0], asked[0, 0], low, multimask=multimask)
        features = [f.expand(lead[0], *f.shape[1:]) for f in embedding.parts]
        found = self.model(**inputs, **self.decoder_inputs(features))
        return found.pred_masks.flatten(0, 1), found.iou_scores.flatten(0, 1)

    @cached_property
    def _quick(self) -> SamDecoder | None:
        decodes = self.kind.model == "SamModel" and self.device == "cpu"
        return SamDecoder(self.model) if decodes else None

    def pack(self, embedding: Embedding) -> dict[str, AnyArray]:
        """Return an embedding's parts as float32 arrays."""
        return {f"part{k}": part.cpu().numpy() for k, part in enumerate(embedding.parts)}

    def unpack(self, arrays: dict[str, AnyArray], frame: Frame) -> Embedding:
        """Undo :meth:`pack`.

        Raises:
            CallError: The arrays are not what this segmenter packs.
        """
        torch = import_optional("torch", "a segmenter")
        if not arrays or sorted(arrays) != [f"part{k}" for k in range(len(arrays))]:
            raise CallError(f"the parts are {sorted(arrays)}", "an embedding", "embed again")
        parts = [torch.from_numpy(np.array(arrays[f"part{k}"])) for k in range(len(arrays))]
        return Embedding(frame, tuple(part.to(self.device) for part in parts))


def load_transformers_segmenter(folder: Path, name: str, device: Device) -> TransformersSegmenter:
    """Load a segmenter from a folder that ``save_pretrained`` has written.

    Raises:
        SourceError: It is another kind of model, or its weights do not fit its configuration.
    """
    config = read_config(folder)
    found = str(config.get("model_type"))
    if found not in KINDS:
        raise SourceError(
            f"it is a model of type {found}, no segmenter",
            str(folder),
            f"give one of {', '.join(sorted(KINDS))}",
        )
    if "timm_wrapper" in json.dumps(config) and find_spec("timm") is None:
        raise SourceError(
            "its encoder comes from the package timm, which curate does not install",
            str(folder),
            "install timm yourself (it brings torchvision), or use another segmenter",
        )
    kind = KINDS[found]
    model = load_weights(kind.model, folder)
    normal = _read_normalisation(folder) or kind.normal
    made = TransformersSegmenter(
        name, model.to(device.name).eval(), kind, normal, model_fingerprint(folder), device
    )
    try:
        sensible = 1 <= made.side <= MAX_SIDE and made.low_side >= 1
    except (TypeError, ValueError, ArithmeticError, LookupError):
        sensible = False
    if not sensible:
        what = "its config.json does not say the size of its input"
        raise SourceError(what, str(folder), "save the model again")
    return made


def load_weights(class_name: str, folder: Path, spare: tuple[str, ...] = ()) -> Any:
    """Load a model of the transformers library; refuse weights that do not fill it.

    Args:
        class_name: The library's class.
        folder: The files.
        spare: Beginnings of names of weights that may be missing, since their answer is not used.

    Raises:
        SourceError: The weights are of another architecture, or damaged.
    """
    transformers = import_optional("transformers", "a model")
    try:
        with warnings.catch_warnings(), silence_library():
            warnings.simplefilter("ignore")
            model, info = getattr(transformers, class_name).from_pretrained(
                folder,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                dtype="float32",
            )
    except Exception as error:  # the library wraps what is wrong with a file in many ways
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SourceError(
            f"it cannot be loaded as {class_name} ({first})", str(folder), "save the model again"
        ) from None
    missing = [str(key) for key in info["missing_keys"] if not str(key).startswith(spare)]
    wrong = sorted(missing) + sorted(
        str(key[0] if isinstance(key, tuple) else key) for key in info["mismatched_keys"]
    )
    if wrong:
        raise SourceError(
            f"its weights do not fit {class_name}: {len(wrong)} are missing or of another shape, "
            f"{wrong[0]} first",
            str(folder),
            "give the weights that belong to its config.json",
        )
    return model


@contextmanager
def silence_library() -> Iterator[None]:
    """Keep the library from printing tables and progress bars."""
    logging = import_optional("transformers.utils.logging", "a model")
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _read_normalisation(folder: Path) -> Normalisation | None:
    """Return mean and deviation of ``preprocessor_config.json``; None where it has none."""
    try:
        config = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
        pair = tuple(tuple(float(v) for v in config[name]) for name in ("image_mean", "image_std"))
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    mean, std = pair
    return (mean, std) if is_normalisation(mean, std) else None
