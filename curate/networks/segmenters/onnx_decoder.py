"""Decoder of an ONNX export: inputs and outputs, found by names and one trial run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from curate.common.arrays import AnyArray
from curate.errors import CallError, SourceError
from curate.networks.segmenters.onnx_session import OnnxFile, Session
from curate.networks.segmenters.segmenter import Frame, Prompts

Run = Callable[[Sequence[AnyArray], range], tuple[AnyArray, AnyArray]]

_POINTS = ("point_coords", "point_labels")
_MASKS = ("mask_input", "has_mask_input")
_SCORES = ("iou_predictions", "scores", "iou_scores", "iou_preds", "iou_pred")
_LOW_RES = ("low_res_masks", "low_res_logits", "masks")
_COUNTS = (1, 3, 4)
_IMAGE_SIZE = "orig_im_size"
_NOT_SAM_1 = "use SAM 2 and later by their transformers weights"


@dataclass(frozen=True)
class Decoder:
    """An ONNX decoder, with the roles of its inputs and outputs.

    Attributes:
        session: The model.
        features: The inputs that come from the encoder; the image's embedding first.
        sources: The encoder's outputs that go there.
        logits: The output with the low-res logits.
        scores: The output with the predicted IoU.
        count: Masks a prompt: 1, 3 or 4.
        low_side: Height and width of the low-res logits.
        batched: Whether it answers several prompts at once.
    """

    session: Session
    features: tuple[str, ...]
    sources: tuple[str, ...]
    logits: str
    scores: str
    count: int
    low_side: int
    batched: bool

    @property
    def takes_masks(self) -> bool:
        """Whether a prompt may have a mask."""
        return set(_MASKS) <= self.session.file.inputs.keys()

    def answers_batches(self, prompts: Prompts) -> bool:
        """Return whether such prompts can be answered several at once."""
        one_mask = prompts.masks is not None and self.session.file.inputs[_MASKS[0]][0] is not None
        return self.batched and not one_mask

    def prepare(self, prompts: Prompts, frame: Frame) -> Run:
        """Convert prompts to the decoder's inputs; return a function that answers some of them.

        Returns:
            A function of an embedding's parts and a range of prompts, giving logits
            (n, count, low, low) and predicted IoU (n, count).

        Raises:
            CallError: They have masks and the decoder takes none, or ones of another size, or
                more points than the decoder takes.
        """
        coords, labels = _as_points(prompts, frame)
        coords, labels = self._to_fixed_number(coords, labels)
        masks = prompts.masks
        if masks is not None and not self.takes_masks:
            raise CallError(
                "this decoder takes no masks as prompts",
                str(self.session.file.path),
                "prompt it with points and boxes, or export it with mask_input",
            )
        low = (self.low_side, self.low_side)
        if masks is not None and masks.shape[1:] != low:
            raise CallError(
                f"the masks are of {masks.shape[1:]} and the decoder takes {low}",
                "Prompts",
                "give low-res logits as the segmenter gives them",
            )

        def run(parts: Sequence[AnyArray], rows: range) -> tuple[AnyArray, AnyArray]:
            chosen = slice(rows.start, rows.stop)
            given = None if masks is None else masks[chosen]
            return self._run(parts, coords[chosen], labels[chosen], given)

        return run

    def _to_fixed_number(self, coords: AnyArray, labels: AnyArray) -> tuple[AnyArray, AnyArray]:
        """Pad the points where the export takes a fixed number of them."""
        wanted = self.session.file.inputs[_POINTS[0]][1]
        missing = 0 if wanted is None else wanted - coords.shape[1]
        if missing < 0:
            raise CallError(
                f"this decoder takes {wanted} points a prompt, and here are {coords.shape[1]} "
                "(a box is two, and without a box one is padding)",
                str(self.session.file.path),
                "give fewer, or export it with an open number of points",
            )
        padded = np.pad(coords, ((0, 0), (0, missing), (0, 0)))
        return padded, np.pad(labels, ((0, 0), (0, missing)), constant_values=-1)

    def _run(
        self, parts: Sequence[AnyArray], coords: AnyArray, labels: AnyArray, masks: AnyArray | None
    ) -> tuple[AnyArray, AnyArray]:
        feeds = _feeds(self.session, self.low_side, coords, labels, masks)
        feeds.update(zip(self.features, parts, strict=True))
        logits, scores = self.session.run([self.logits, self.scores], feeds)
        n, low = len(coords), self.low_side
        wanted = ((n, self.count, low, low), (n, self.count))
        if (logits.shape, scores.shape) != wanted:
            raise SourceError(
                f"it gives {logits.shape} and {scores.shape} where it should give {wanted}",
                str(self.session.file.path),
                "export it again",
            )
        return logits.astype(np.float32, copy=False), scores.astype(np.float32, copy=False)


def _as_points(prompts: Prompts, frame: Frame) -> tuple[AnyArray, AnyArray]:
    """Return coordinates (N, P, 2) on the input and labels (N, P), boxes as two points."""
    coords, labels = [], []
    n = len(prompts)
    if prompts.points is not None and prompts.labels is not None:
        padding = prompts.labels[:, :, None] == -1
        # A label of -1 does not hide a NaN: the decoder multiplies by 0.
        coords.append(np.where(padding, 0, frame.to_input(prompts.points)))
        labels.append(prompts.labels)
    if prompts.boxes is not None:
        coords.append(frame.to_input(prompts.boxes.reshape(n, 2, 2)))
        labels.append(np.tile(np.array([2, 3]), (n, 1)))
    else:
        coords.append(np.zeros((n, 1, 2)))
        labels.append(np.full((n, 1), -1))
    together = np.concatenate(coords, axis=1, dtype=np.float32)
    return together, np.concatenate(labels, axis=1, dtype=np.float32)


def _feeds(
    session: Session, low_side: int, coords: AnyArray, labels: AnyArray, masks: AnyArray | None
) -> dict[str, AnyArray]:
    """Return the inputs of a run but for the embedding."""
    feeds = dict(zip(_POINTS, (coords, labels), strict=True))
    inputs = session.file.inputs
    if set(_MASKS) <= inputs.keys():
        if masks is None:
            n = len(coords) if inputs[_MASKS[0]][0] is None else 1
            feeds[_MASKS[0]] = np.zeros((n, 1, low_side, low_side), np.float32)
        else:
            feeds[_MASKS[0]] = masks[:, None]
        feeds[_MASKS[1]] = np.array([masks is not None], np.float32)
    if _IMAGE_SIZE in inputs:
        # The masks on the image are not read: the smallest image costs least.
        feeds[_IMAGE_SIZE] = np.ones(2, np.float32)
    return feeds


def is_decoder(file: OnnxFile) -> bool:
    """Return whether a file takes prompts as SAM's decoders do."""
    return set(_POINTS) <= file.inputs.keys()


def inspect_decoder(session: Session, given: Sequence[str]) -> Decoder:
    """Find the roles of a decoder's inputs and outputs, by name and by one run on zeros.

    Raises:
        SourceError: It is not of SAM 1's form; says what it takes.
    """
    file = session.file
    features = tuple(n for n in file.inputs if n not in (*_POINTS, *_MASKS, _IMAGE_SIZE))
    sources = _match_features(file, features, given)
    known = [shape for shape in (file.inputs[features[0]],) if len(shape) == 4]
    if not known or known[0][2] is None or known[0][1] is None or known[0][2] != known[0][3]:
        raise SourceError(
            f"its {features[0]} is of shape {file.inputs[features[0]]}",
            str(file.path),
            "export it with the lengths of the embedding fixed, as (1, channels, n, n)",
        )
    low_side = 4 * known[0][2]
    outputs, batched = _run_on_zeros(session, features, low_side)
    logits = _find_output(
        outputs, _LOW_RES, lambda a: a.ndim == 4 and a.shape[2:] == (low_side, low_side)
    )
    scores = _find_output(outputs, _SCORES, lambda a: a.ndim == 2 and a.dtype.kind == "f")
    if logits is None or scores is None or outputs[logits].shape[1] not in _COUNTS:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in outputs.items())
        raise SourceError(
            f"it gives {shapes}, and not the predicted IoU and the low-res logits "
            f"({low_side} x {low_side}) of 1, 3 or 4 masks",
            str(file.path),
            "export it with segment-anything's script",
        )
    count = outputs[logits].shape[1]
    return Decoder(session, features, sources, logits, scores, count, low_side, batched)


def _match_features(
    file: OnnxFile, features: Sequence[str], given: Sequence[str]
) -> tuple[str, ...]:
    """Return the encoder's outputs that feed the decoder's inputs."""
    sam2 = any("high_res" in name for name in features)
    if features and set(features) <= set(given) and not sam2:
        return tuple(features)
    if len(features) == 1 and given:
        return (given[0],)
    raise SourceError(
        f"it takes {' '.join(features) or 'no embedding'}, and the encoder gives {' '.join(given)}",
        str(file.path),
        f"use an encoder and a decoder of the same model; {_NOT_SAM_1}",
    )


def _run_on_zeros(
    session: Session, features: Sequence[str], low_side: int
) -> tuple[dict[str, AnyArray], bool]:
    """Run a decoder on zeros; return all outputs, and whether it answers two prompts at once."""
    inputs = session.file.inputs
    points = inputs[_POINTS[0]][1] or 2
    parts = {name: np.zeros([n or 1 for n in inputs[name]], np.float32) for name in features}

    def run(prompts: int) -> dict[str, AnyArray]:
        coords = np.zeros((prompts, points, 2), np.float32)
        labels = np.full((prompts, points), -1, np.float32)
        feeds = _feeds(session, low_side, coords, labels, None) | parts
        return dict(
            zip(session.file.outputs, session.run(session.file.outputs, feeds), strict=True)
        )

    outputs = run(1)
    if inputs[_POINTS[0]][0] is not None:
        return outputs, False
    try:
        pair = run(2)
    except SourceError:  # the length is open in name only
        return outputs, False
    return outputs, all(len(array) == 2 for array in pair.values() if array.ndim in (2, 4))


def _find_output(
    outputs: dict[str, AnyArray], names: Sequence[str], right: Callable[[AnyArray], bool]
) -> str | None:
    """Return the output of the right shape, by name where there are several."""
    formed = [name for name, array in outputs.items() if right(array)]
    return next((n for n in names if n in formed), formed[0] if len(formed) == 1 else None)
