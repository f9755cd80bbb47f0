"""Segmenter protocol, and its values: frames, prompts, answers, embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from curate.common.arrays import AnyArray, ByteArray, Float32Array
from curate.errors import CallError
from curate.networks.runtime.devices import Network
from curate.rle.logits import Taps, bilinear_taps


@dataclass(frozen=True)
class Frame:
    """Placement of an image in a segmenter's square input, and of its low-res logits on the image.

    Attributes:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        side: Of the square input, in pixels.
        resized_height: What the image's height becomes in the input; below it is padding.
        resized_width: What its width becomes; right of it is padding.
        upsampling: How the model's own code brings low-res logits back: "through_input" resizes
            them to the input, cuts the padding off and resizes to the image (SAM, SAM-HQ);
            "direct" resizes them to the image at once (SAM 2 and later). Both bilinear.
    """

    height: int
    width: int
    side: int
    resized_height: int
    resized_width: int
    upsampling: Literal["through_input", "direct"]

    @classmethod
    def longest_side(cls, height: int, width: int, side: int) -> Frame:
        """Return SAM's frame: the longest side fills the input, the rest is padding."""
        scale = side / max(height, width)
        rows, columns = (max(1, int(length * scale + 0.5)) for length in (height, width))
        return cls(height, width, side, rows, columns, "through_input")

    @classmethod
    def stretch(cls, height: int, width: int, side: int) -> Frame:
        """Return SAM 2's frame: both sides fill the input, whatever the proportions."""
        return cls(height, width, side, side, side, "direct")

    def to_input(self, points: npt.ArrayLike) -> Float32Array:
        """Convert pixel coordinates of the image, shape (..., 2), x then y, to the input's."""
        scale = (self.resized_width / self.width, self.resized_height / self.height)
        return np.asarray(np.asarray(points, np.float64) * scale, np.float32)

    def taps(self, low_side: int) -> tuple[Taps, Taps]:
        """Return interpolation taps from ``low_side`` squared logits to the image's rows and
        columns."""
        if self.upsampling == "direct":
            return bilinear_taps(low_side, self.height), bilinear_taps(low_side, self.width)
        return (
            bilinear_taps(low_side, self.height, self.side, self.resized_height),
            bilinear_taps(low_side, self.width, self.side, self.resized_width),
        )


@dataclass(frozen=True)
class Prompts:
    """N prompts on one image; each may have points, a box and a mask.

    Coordinates are SAM's: pixels of the image, x then y, where (0, 0) is the middle of the first
    pixel, and a box reaches from its left and top pixel to one past its last ones (XYXY).

    Attributes:
        points: Shape (N, P, 2), or None.
        labels: Shape (N, P): 1 on the object, 0 off it, -1 for a point that is only padding.
        boxes: Shape (N, 4), XYXY, or None.
        masks: Shape (N, h, w), low-res logits as the segmenter gives them, or None.
    """

    points: Float32Array | None = None
    labels: npt.NDArray[np.int8] | None = None
    boxes: Float32Array | None = None
    masks: Float32Array | None = None

    def __post_init__(self) -> None:
        if (self.points is None) != (self.labels is None):
            raise CallError("points and labels come together", "Prompts", "give both or none")
        if self.points is None and self.boxes is None:
            raise CallError("a prompt has a point or a box", "Prompts", "give points or boxes")
        given = (self.points, self.labels, self.boxes, self.masks)
        if len({len(values) for values in given if values is not None}) > 1:
            raise CallError("points, boxes and masks differ in number", "Prompts", "give N of each")

    def __len__(self) -> int:
        return len(self.points) if self.points is not None else len(self.boxes)  # type: ignore[arg-type]

    def __getitem__(self, rows: slice) -> Prompts:
        """Return some of the prompts."""
        given = {name: values for name, values in vars(self).items() if values is not None}
        return replace(self, **{name: values[rows] for name, values in given.items()})

    def check(self, height: int, width: int) -> None:
        """Check that every prompt lies on an image of this size.

        Raises:
            CallError: A point or box does not, or a coordinate is not finite; names the first.
        """
        corners = [] if self.boxes is None else [self.boxes.reshape(-1, 2, 2)]
        points = [] if self.points is None or self.labels is None else [self.points]
        for what, values in [("box", v) for v in corners] + [("point", v) for v in points]:
            beyond = np.array([width + 0.5, height + 0.5])
            inside = np.all((values >= -0.5) & (values <= beyond), axis=2)
            if what == "point":
                inside |= self.labels == -1
            bad = np.flatnonzero(~inside.all(axis=1))
            if len(bad):
                spot = values[bad[0]].reshape(-1).tolist()
                raise CallError(
                    f"the {what} {spot} is not on the image of {width} x {height} px",
                    f"prompt {bad[0]}",
                    "give pixel coordinates of the image, x then y",
                )


@dataclass(frozen=True)
class Answer:
    """A segmenter's masks for N prompts, M masks each.

    Attributes:
        logits: Shape (N, M, h, w), float32, low-res, over the segmenter's whole square input.
        predicted_iou: Shape (N, M), float32: the model's own estimate; SAM 1's can pass 1.
        frame: How the logits lie on the image.
    """

    logits: Float32Array
    predicted_iou: Float32Array
    frame: Frame

    def __len__(self) -> int:
        return len(self.logits)


@dataclass(frozen=True)
class Embedding:
    """An encoder's features of one image.

    Attributes:
        frame: How the image lies in the input.
        parts: The features, arrays or tensors, in the segmenter's own order.
    """

    frame: Frame
    parts: tuple[Any, ...]


class Segmenter(Network, Protocol):
    """A promptable model: an image is embedded once, then prompted as often as needed."""

    @property
    def low_side(self) -> int:
        """Height and width of its low-res logits (256 for SAM at 1024 px)."""

    def embed(self, images: Sequence[ByteArray]) -> list[Embedding]:
        """Embed RGB images, each of shape (height, width, 3), uint8."""

    def segment(self, embedding: Embedding, prompts: Prompts, *, multimask: bool) -> Answer:
        """Answer prompts on an image: three masks each if ``multimask``, else one.

        Raises:
            CallError: A prompt does not lie on the image.
        """

    def pack(self, embedding: Embedding) -> dict[str, AnyArray]:
        """Return an embedding's parts as plain arrays, without loss, for a file."""

    def unpack(self, arrays: dict[str, AnyArray], frame: Frame) -> Embedding:
        """Undo :meth:`pack`.

        Raises:
            CallError: The arrays are not what this segmenter packs.
        """


def deepest_grid(parts: Iterable[AnyArray]) -> AnyArray | None:
    """Return the features of an image over the whole square input, of the parts of an embedding.

    Args:
        parts: Of :meth:`Segmenter.pack`.

    Returns:
        Shape (channels, h, h), those with the most channels; None where there is no such grid.
    """
    grids = [a[0] for a in parts if a.ndim == 4 and a.shape[0] == 1 and a.shape[2] == a.shape[3]]
    return max(grids, key=len) if grids else None
