"""Inputs of a verifier: the picture around a mask at two scales, with the mask as channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from curate.common.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray
from curate.networks.encoders.feature_grids import FeatureGrid
from curate.networks.verifiers.mask_frames import MaskFrame
from curate.rle.outlines import outlines

CHANNELS = 7
"""Red, green, blue, mask, signed distance, whether the pixel lies in the picture, other masks."""

SIDES = (64, 48)
"""Sides of the inputs in pixels: of the close crop, and of the one with surroundings."""

ENCODED_SIDES = tuple(side // 4 for side in SIDES)
"""Sides of the features of an encoder in the two crops."""

LEAST_AREA = 40
"""Area in pixels under which a mask is neither trained on nor judged: there is hardly anything to
see."""

WIDTHS = (1.5, 3.0)
"""Sides of the windows, as multiples of the longest side of the mask's box."""

FARTHEST = 0.25
"""Distance to the outline at which the signed distance ends, as a share of the crop's side."""

SMALLEST_WINDOW = 16.0
"""Shortest side of a window in pixels of the image."""

FLAT = 6.0
"""Added to the standard deviation of the picture's levels, so that no noise is made large."""

STRIP = (64, 33)
"""Places along the outline, and offsets across it, at which the close crop is sampled."""

STRIP_CHANNELS = 6
"""Red, green, blue, mask, whether the point lies in the picture, other masks."""

STRIP_REACH = 0.4
"""Farthest offset from the outline, as a share of the side that the mask had as a square."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class CropJitter:
    """A change of a crop's window and colours, for training.

    Attributes:
        zoom: Factor of the window's side.
        right: Displacement of its centre as a share of its side.
        down: The same downwards.
        flip: Whether it is mirrored left to right.
        turn: Quarter turns.
        gains: Factor of each colour.
        gray: Whether colours are left out.
    """

    zoom: float = 1.0
    right: float = 0.0
    down: float = 0.0
    flip: bool = False
    turn: int = 0
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gray: bool = False


@dataclass(frozen=True)
class MaskCrops:
    """Inputs of a verifier for one mask.

    Colours are standardised over a crop; the mask is in [0, 1]; the signed distance is in [-1, 1],
    positive inside.

    Attributes:
        close: Shape (:data:`CHANNELS`, side, side), of the first of :data:`SIDES`.
        wide: The same with more surroundings, of the second.
        strip: The close crop along the outline, shape (:data:`STRIP_CHANNELS`, *:data:`STRIP`):
            places along it, then offsets across it from inside to outside.
        encoded: Features of an image encoder in the close and in the wide crop, shapes (channels,
            side, side), of :data:`ENCODED_SIDES`; None without an encoder.
    """

    close: Float32Array
    wide: Float32Array
    strip: Float32Array
    encoded: tuple[Float32Array, Float32Array] | None = None


def make_crops(
    picture: Image.Image,
    mask: MaskFrame,
    jitter: CropJitter | None = None,
    grid: FeatureGrid | None = None,
) -> MaskCrops:
    """Return the inputs of a verifier for one mask.

    Args:
        picture: RGB, of the size of the mask's image.
        mask: The mask.
        jitter: A change for training; None for none. Colours of the picture alone are changed, not
            the features of an encoder.
        grid: Features of the picture; None without an encoder.
    """
    jitter = jitter or CropJitter()
    close, wide = (
        _crop(picture, mask, side, width, jitter) for side, width in zip(SIDES, WIDTHS, strict=True)
    )
    encoded = None if grid is None else _sample(grid, mask, jitter)
    return MaskCrops(close, wide, unroll_outline(close), encoded)


def _sample(
    grid: FeatureGrid, mask: MaskFrame, jitter: CropJitter
) -> tuple[Float32Array, Float32Array]:
    """Return the features of a picture in the close and in the wide crop of a mask."""
    close, wide = (
        _turn(grid.sample(_window(mask, width, jitter), side), jitter)
        for side, width in zip(ENCODED_SIDES, WIDTHS, strict=True)
    )
    return close, wide


def unroll_outline(crop: Float32Array) -> Float32Array:
    """Return a crop along the outline of its mask: a straight band of the picture.

    A mask whose outline lies off the object's shows it as an edge beside the middle of the band,
    at the same offset everywhere, to and fro, or along a stretch.

    Args:
        crop: Shape (:data:`CHANNELS`, side, side).

    Returns:
        Shape (:data:`STRIP_CHANNELS`, *:data:`STRIP`); all 0 for a mask without an outline.
    """
    result = np.zeros((STRIP_CHANNELS, *STRIP), np.float32)
    mask = crop[3] >= 0.5
    if mask.all() or not mask.any():
        return result
    points = _points_along(outlines(mask))
    smooth = ndimage.gaussian_filter(crop[4], 1.5, mode="nearest")
    slopes = [
        ndimage.map_coordinates(slope, points[:, ::-1].T - 0.5, order=1, mode="nearest")
        for slope in np.gradient(smooth)
    ]
    outward = -np.stack(slopes[::-1], 1)  # x, y
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6)
    reach = STRIP_REACH * np.sqrt(mask.sum())
    offsets = np.linspace(-reach, reach, STRIP[1])
    at = points[:, None] + offsets[None, :, None] * outward[:, None]
    where = np.moveaxis(at[..., ::-1], -1, 0) - 0.5
    for k, channel in enumerate((0, 1, 2, 3, 5, 6)):
        result[k] = ndimage.map_coordinates(crop[channel], where, order=1, cval=0.0)
    return result


def _points_along(rings: list[IntArray]) -> FloatArray:
    """Return points (x, y) at equal distances along outlines, as many as a strip has places."""
    lengths = [float(np.abs(np.diff(ring, axis=0, append=ring[:1])).sum()) for ring in rings]
    order = np.argsort(lengths)[::-1]
    left, waiting, found = STRIP[0], sum(lengths), []
    for k in order.tolist():
        count = min(left, max(1, round(left * lengths[k] / max(waiting, 1e-9))))
        if count:
            found.append(_smooth_ring(rings[k], count))
        left, waiting = left - count, waiting - lengths[k]
    return np.concatenate(found)


def _smooth_ring(ring: IntArray, count: int) -> FloatArray:
    """Return points at equal distances along a ring of pixels' edges, without its stairs."""
    closed = np.concatenate([ring, ring[:1]]).astype(np.float64)
    walked = np.concatenate([[0], np.cumsum(np.abs(np.diff(closed, axis=0)).sum(1))])
    fine = 8 * count
    places = np.arange(fine) / fine * walked[-1]
    dense = np.stack([np.interp(places, walked, closed[:, axis]) for axis in (0, 1)], 1)
    smooth = ndimage.gaussian_filter1d(dense, 1.5 * fine / walked[-1], axis=0, mode="wrap")
    return np.asarray(smooth[::8], np.float64)


def crop_mask(mask: MaskFrame, around: MaskFrame, jitter: CropJitter | None = None) -> Float32Array:
    """Return a mask in the close crop around another one, at half the resolution.

    Args:
        mask: The mask.
        around: The mask that the crop lies around.
        jitter: The same as of the crop.

    Returns:
        Shape (side / 2, side / 2), shares in [0, 1].
    """
    jitter = jitter or CropJitter()
    side = SIDES[0]
    window = _window(around, WIDTHS[0], jitter)
    shares = _mask_shares(mask, mask.pixels, window, side).astype(np.float32) / 255
    halves = np.asarray(shares.reshape(side // 2, 2, side // 2, 2).mean((1, 3)), np.float32)
    turned: Float32Array = _turn(halves[None], jitter)[0]
    return turned


def _window(mask: MaskFrame, width: float, jitter: CropJitter) -> Box:
    """Return the window of a crop in the image: left, top, right, bottom."""
    left, top, right, bottom = mask.box()
    size = max(SMALLEST_WINDOW, width * max(right - left, bottom - top)) * jitter.zoom
    x = (left + right) / 2 - size / 2 + jitter.right * size
    y = (top + bottom) / 2 - size / 2 + jitter.down * size
    return x, y, x + size, y + size


def _mask_shares(mask: MaskFrame, pixels: BoolArray, window: Box, side: int) -> ByteArray:
    """Return pixels of a frame in a window of the image, shape (side, side), 0 to 255."""
    own = (
        (window[0] - mask.left) * mask.scale,
        (window[1] - mask.top) * mask.scale,
        (window[2] - mask.left) * mask.scale,
        (window[3] - mask.top) * mask.scale,
    )
    return _resample(Image.fromarray(pixels.astype(np.uint8) * 255), own, side)[0]


def _turn(planes: Float32Array, jitter: CropJitter) -> Float32Array:
    """Mirror and turn planes, shape (n, side, side)."""
    flipped = planes[:, :, ::-1] if jitter.flip else planes
    return np.ascontiguousarray(np.rot90(flipped, jitter.turn, (1, 2)))


def _crop(
    picture: Image.Image, mask: MaskFrame, side: int, width: float, jitter: CropJitter
) -> Float32Array:
    window = _window(mask, width, jitter)
    result = np.zeros((CHANNELS, side, side), np.float32)
    colours, seen = _resample(picture, window, side)
    levels = colours.astype(np.float32) * np.array(jitter.gains, np.float32)
    if jitter.gray:
        levels[:] = levels.mean(-1, keepdims=True)
    known = levels[seen]
    if len(known):
        levels = (levels - known.mean()) / (known.std() + FLAT)
    result[:3] = np.where(seen, levels.transpose(2, 0, 1), 0)
    result[5] = seen
    shares = _mask_shares(mask, mask.pixels, window, side)
    result[3] = shares.astype(np.float32) / 255
    result[4] = signed_distance(shares >= 128) / (FARTHEST * side)
    np.clip(result[4], -1, 1, out=result[4])
    result[6] = _mask_shares(mask, mask.others, window, side).astype(np.float32) / 255
    return _turn(result, jitter)


def _resample(
    image: Image.Image, window: Box, side: int
) -> tuple[ByteArray, npt.NDArray[np.bool_]]:
    """Return a window as (side, side) pixels, and which of them lie in the image; others are 0."""
    step = (window[2] - window[0]) / side
    bounds = []
    for first, length in ((window[0], image.width), (window[1], image.height)):
        low = min(max(0, int(np.ceil(-first / step - 1e-9))), side)
        bounds.append((low, max(low, min(side, int(np.floor((length - first) / step + 1e-9))))))
    (left, right), (top, bottom) = bounds
    shape = (side, side) if image.mode == "L" else (side, side, 3)
    result, seen = np.zeros(shape, np.uint8), np.zeros((side, side), np.bool_)
    if right > left and bottom > top:
        box = (
            max(0.0, window[0] + left * step),
            max(0.0, window[1] + top * step),
            min(float(image.width), window[0] + right * step),
            min(float(image.height), window[1] + bottom * step),
        )
        part = image.resize(
            (right - left, bottom - top), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0
        )
        result[top:bottom, left:right] = np.asarray(part)
        seen[top:bottom, left:right] = True
    return result, seen


def signed_distance(mask: npt.NDArray[np.bool_]) -> Float32Array:
    """Return each pixel's distance to the outline in pixels, positive inside, about 0.5 beside it.

    Args:
        mask: Shape (height, width). One without an outline has distances of its longest side.
    """
    if mask.all() or not mask.any():
        return np.full(mask.shape, max(mask.shape) * (1.0 if mask.any() else -1.0), np.float32)
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    return np.asarray(np.where(mask, inside - 0.5, 0.5 - outside), np.float32)
