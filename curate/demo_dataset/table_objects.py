"""Objects on a table: fruit, leaves and pebbles, shaded with NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from curate.common.arrays import BoolArray

FloatArray = npt.NDArray[np.floating[Any]]

Colours = tuple[tuple[int, int, int], tuple[int, int, int]]
"""A dark and a light colour, in [0, 255]."""

LIGHT = np.array([-0.48, -0.56, 0.68], np.float32)
"""Direction of the light: upper left, above the table. Unit length."""


@dataclass(frozen=True)
class Sprite:
    """One drawn thing in a box of its own.

    Attributes:
        alpha: Shape (h, w); share of each pixel that the thing covers, in [0, 1].
        rgb: Shape (h, w, 3); colour in [0, 1], also where alpha is 0.
        outline: Shape (n, 2); x and y of the true outline in pixels of the box.
        size: Half the longest extent in pixels.
        height: How far it stands above the table, in pixels: so far it throws its shadow.
    """

    alpha: FloatArray
    rgb: FloatArray
    outline: FloatArray
    size: float
    height: float


@dataclass(frozen=True)
class Look:
    """Look of a round thing.

    Attributes:
        size: Half its length in pixels, from and to.
        ratio: Its width for its length, from and to.
        colours: Those it may have.
        uneven: How far its outline wanders, as a share of its size.
        nub: Height of the nubs at its ends, as a share of its size.
        rough: Depth of the dimples in its skin.
        gloss: Strength of the highlight, from 0.
        spot: Colour of the place where it hung.
    """

    size: tuple[float, float]
    ratio: tuple[float, float]
    colours: tuple[Colours, ...]
    uneven: float = 0.01
    nub: float = 0.0
    rough: float = 0.0
    gloss: float = 0.3
    spot: tuple[int, int, int] | None = None


ROUND = {
    "orange": Look(
        (38, 54), (0.97, 1), (((240, 128, 18), (250, 160, 40)),), rough=0.7, spot=(74, 92, 36)
    ),
    "lemon": Look((38, 52), (0.68, 0.78), (((244, 206, 36), (252, 226, 84)),), nub=0.14, rough=0.7),
    "plum": Look(
        (25, 36), (0.84, 0.94), (((82, 28, 74), (128, 36, 72)), ((64, 48, 98), (110, 60, 106)))
    ),
    "cherry": Look(
        (14, 20), (0.94, 1), (((150, 10, 24), (196, 26, 34)),), gloss=0.85, spot=(48, 4, 10)
    ),
    "pebble": Look(
        (17, 40),
        (0.62, 0.9),
        (
            ((96, 92, 88), (140, 136, 130)),
            ((132, 120, 104), (176, 164, 148)),
            ((74, 78, 84), (110, 114, 120)),
            ((112, 88, 72), (156, 126, 106)),
        ),
        uneven=0.09,
        rough=0.5,
        gloss=0.08,
    ),
}
"""Round things by category."""

LEAVES: tuple[Colours, ...] = (
    ((62, 112, 44), (104, 152, 62)),
    ((44, 94, 54), (92, 140, 80)),
    ((124, 138, 42), (176, 172, 68)),
    ((186, 112, 34), (222, 158, 62)),
    ((166, 66, 34), (206, 112, 56)),
)


def noise(rng: np.random.Generator, height: int, width: int, cell: float) -> FloatArray:
    """Return smooth noise of about unit deviation whose bumps are ``cell`` pixels wide."""
    rows, columns = max(2, round(height / cell) + 1), max(2, round(width / cell) + 1)
    grid = rng.standard_normal((rows, columns)).astype(np.float32)
    image = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)


def blur(values: FloatArray | BoolArray, radius: float) -> FloatArray:
    """Return values in [0, 1], shape (h, w), blurred by a Gaussian of ``radius`` pixels."""
    image = Image.fromarray((255 * np.clip(values, 0, 1)).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(float(radius))), np.float32) / 255


def mix(a: FloatArray, b: FloatArray, share: FloatArray) -> FloatArray:
    """Return ``a`` where ``share`` is 0 and ``b`` where it is 1, for colours and (h, w) shares."""
    return (a + (b - a) * share[..., None]).astype(np.float32)


def colour(rgb: tuple[int, int, int]) -> FloatArray:
    """Return a colour of three numbers in [0, 255] as floats in [0, 1], shape (3,)."""
    return np.array(rgb, np.float32) / 255


def shade(rgb: FloatArray, slope: FloatArray, gloss: float) -> FloatArray:
    """Light a surface from the upper left.

    Args:
        rgb: Shape (h, w, 3); the surface's own colour.
        slope: Shape (h, w, 2); how far its normal leans to the right and down, of length under 1.
        gloss: Strength of the highlight, from 0.
    """
    up = np.sqrt(np.clip(1 - (slope**2).sum(-1), 0.01, 1))
    normal = np.dstack([slope, up])
    half = LIGHT + np.array([0, 0, 1], np.float32)  # between the light and the viewer
    half /= np.linalg.norm(half)
    diffuse = np.clip((normal @ LIGHT + 0.35) / 1.35, 0, 1)
    highlight = gloss * np.clip(normal @ half, 0, 1) ** 30
    lit = rgb * (0.24 + 0.9 * diffuse)[..., None] + highlight[..., None]
    return np.asarray(np.clip(lit, 0, 1.2), np.float32)


def _cover(field: FloatArray) -> FloatArray:
    """Return which share of each pixel is inside, where a field is over 0."""
    slope = np.hypot(*np.gradient(field))
    return np.asarray(np.clip(0.5 + field / np.clip(slope, 1e-3, 3), 0, 1), np.float32)


def _box(reach: float) -> tuple[FloatArray, FloatArray, float]:
    """Return x and y of the pixels of a box around (0, 0), and where that is in the box."""
    n = int(np.ceil(reach)) + 3
    y, x = np.mgrid[-n : n + 1, -n : n + 1].astype(np.float32)
    return x, y, n + 0.5


def draw_round(look: Look, rng: np.random.Generator, scale: float) -> Sprite:
    """Draw a fruit or a pebble: an ellipse that is a little uneven, lit as the solid it is."""
    size, ratio = float(rng.uniform(*look.size)) * scale, rng.uniform(*look.ratio)
    turn, colours = rng.uniform(0, 6.28), look.colours[rng.integers(len(look.colours))]
    waves = [(k, look.uneven * rng.uniform(-1, 1), rng.uniform(0, 6.28)) for k in (2, 3, 4)]

    def radius(t: FloatArray) -> FloatArray:
        ellipse = ratio / np.hypot(ratio * np.cos(t), np.sin(t))
        uneven = sum(a * np.cos(k * t + p) for k, a, p in waves)
        nub = look.nub * np.exp(-((np.sin(t) / 0.22) ** 2))
        return np.asarray(size * (ellipse * (1 + uneven) + nub))

    turns = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    reach = radius(turns)
    x, y, middle = _box(float(reach.max()))
    away = np.hypot(x, y)
    rho = away / radius(np.arctan2(y, x) - turn)  # 1 on the outline
    h, w = rho.shape
    skin = noise(rng, h, w, max(2.0, size / 15))
    rgb = mix(colour(colours[0]), colour(colours[1]), 0.5 + 0.3 * noise(rng, h, w, size / 2))
    if look.spot:
        u, v = rng.uniform(-0.45, 0.45, 2) * size
        spot = np.exp(-((x - u) ** 2 + (y - v) ** 2) / (0.12 * size) ** 2)
        rgb = mix(rgb, colour(look.spot), spot)
    lean = np.clip(rho, 0, 0.99) ** 2 / np.maximum(away, 1e-3)
    down, right = np.gradient(0.1 * look.rough * skin)
    slope = np.dstack([lean * x - right, lean * y - down])
    lit = shade(rgb * (1 + 0.05 * look.rough * skin)[..., None], slope, look.gloss)
    points = np.column_stack([reach * np.cos(turns + turn), reach * np.sin(turns + turn)])
    return Sprite(_cover(1 - rho), lit, points + middle, size, 0.3 * size)


def draw_leaf(rng: np.random.Generator, scale: float) -> Sprite:
    """Draw a leaf: a bent blade with a midrib, side veins and a short stalk."""
    length, turn = float(rng.uniform(84, 150)) * scale, rng.uniform(0, 6.28)
    width, bend = rng.uniform(0.17, 0.25) * length, rng.uniform(-0.14, 0.14) * length

    def half_width(t: FloatArray) -> FloatArray:
        blade = width * np.sin(np.pi * np.clip(t, 0, 1) ** 0.85)
        return np.asarray(np.maximum(blade, np.where(t < 0.06, 1.6, 0.0)))

    def midrib(t: FloatArray) -> FloatArray:
        return bend * (4 * (t - 0.5) ** 2 - 0.5)

    x, y, middle = _box(0.56 * length + 4)
    c, s = np.cos(turn), np.sin(turn)
    t, away = (x * c + y * s) / length + 0.5, y * c - x * s
    away = away - midrib(t)
    field = np.where((t > -0.05) & (t < 1), half_width(t) - np.abs(away), -5).astype(np.float32)
    dark, light = (colour(one) for one in LEAVES[rng.integers(len(LEAVES))])
    rim = 0.75 * np.clip(field / width, 0, 1) + 0.18 * noise(rng, len(t), len(t), width / 2)
    side = np.mod(9 * t - 1.1 * np.abs(away) / width + 0.2, 1)
    veins = 0.38 * np.exp(-(((side - 0.5) / 0.075) ** 2))
    rib = 0.75 * np.exp(-((away / (0.05 * width + 0.7)) ** 2))
    rgb = mix(mix(dark, light, rim), np.clip(1.22 * light + 0.06, 0, 1), np.maximum(veins, rib))
    tilt = 0.42 * np.clip(away / width, -1, 1) - 0.15 * np.sign(away)  # folded along the midrib
    lit = shade(rgb, np.dstack([-s * tilt, c * tilt]), 0.1)
    along = np.array([-0.05, 0, *np.linspace(0.03, 0.97, 30), 1])
    u = (np.concatenate([along, along[::-1]]) - 0.5) * length
    v = np.concatenate(
        [midrib(along) + half_width(along), (midrib(along) - half_width(along))[::-1]]
    )
    outline = np.column_stack([u * c - v * s, u * s + v * c]) + middle
    return Sprite(_cover(field), lit, outline, 0.5 * length, 0.025 * length)


DRAWERS: dict[str, Callable[[np.random.Generator, float], Sprite]] = {
    **{category: partial(draw_round, look) for category, look in ROUND.items()},
    "leaf": draw_leaf,
}
"""Drawing functions by category."""
