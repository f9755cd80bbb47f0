"""Objects on a table: fruit, leaves and pebbles, shaded with NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

FloatArray = npt.NDArray[np.floating[Any]]

LIGHT = np.array([-0.48, -0.56, 0.68], np.float32)
"""Direction of the light: upper left, above the table. Unit length."""


@dataclass(frozen=True)
class Sprite:
    """One drawn thing in a box of its own.

    Attributes:
        alpha: Shape (h, w); share of each pixel that the thing covers, in [0, 1].
        rgb: Shape (h, w, 3); colour in [0, 1], also where alpha is 0.
        outline: Shape (n, 2); x and y of the true outline in pixels of the box.
        size: Half the longest extent in pixels; how far it stands above the table goes with it.
        flat: True for what lies flat on the table and so throws nearly no shadow.
    """

    alpha: FloatArray
    rgb: FloatArray
    outline: FloatArray
    size: float
    flat: bool


def noise(rng: np.random.Generator, height: int, width: int, cell: float) -> FloatArray:
    """Return smooth noise of about unit deviation whose bumps are ``cell`` pixels wide."""
    rows, columns = max(2, round(height / cell) + 1), max(2, round(width / cell) + 1)
    grid = rng.standard_normal((rows, columns)).astype(np.float32)
    image = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)


def mix(a: FloatArray, b: FloatArray, share: FloatArray) -> FloatArray:
    """Return ``a`` where ``share`` is 0 and ``b`` where it is 1, for colours and (h, w) shares."""
    return (a + (b - a) * share[..., None]).astype(np.float32)


def colour(*rgb: float) -> FloatArray:
    """Return a colour of three numbers in [0, 255] as floats in [0, 1], shape (3,)."""
    return np.array(rgb, np.float32) / 255


def shade(
    rgb: FloatArray, normal: FloatArray, gloss: float, sharpness: float, wrap: float = 0.35
) -> FloatArray:
    """Light a surface from the upper left.

    Args:
        rgb: Shape (h, w, 3); the surface's own colour.
        normal: Shape (h, w, 3); unit normals, z towards the viewer.
        gloss: Strength of the highlight, from 0.
        sharpness: Exponent of the highlight; large is small and hard.
        wrap: How far the light reaches around, in [0, 1]; soft things take more.
    """
    facing = normal @ LIGHT
    diffuse = np.clip((facing + wrap) / (1 + wrap), 0, 1)
    half = LIGHT + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    highlight = gloss * np.clip(normal @ half, 0, 1) ** sharpness
    bounce = 0.10 * np.clip(-facing, 0, 1) + 0.05 * (1 - normal[..., 2])
    lit = rgb * (0.20 + 0.92 * diffuse + bounce)[..., None] + highlight[..., None]
    return np.clip(lit, 0, 1.2).astype(np.float32)


@dataclass(frozen=True)
class Grid:
    """Pixel coordinates of a box around a thing, turned into the thing's own frame.

    Attributes:
        u: Shape (h, w); pixels along the thing's long axis, from its middle.
        v: Shape (h, w); pixels across it.
        angle: Turn of the thing in radians.
        reach: The box is ``2 * reach + 1`` pixels wide and high.
    """

    u: FloatArray
    v: FloatArray
    angle: float
    reach: int

    def outline(self, u: FloatArray, v: FloatArray) -> FloatArray:
        """Return points of the thing's frame as x and y of the box, pixel corners at integers."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.column_stack([u * c - v * s, u * s + v * c]) + self.reach + 0.5

    def turn(self, normal: FloatArray) -> FloatArray:
        """Turn normals of the thing's frame into the picture's."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        x, y = normal[..., 0], normal[..., 1]
        turned = np.stack([x * c - y * s, x * s + y * c, normal[..., 2]], axis=-1)
        return turned.astype(np.float32)


def make_grid(reach: float, angle: float) -> Grid:
    """Return the coordinates of a box that holds a thing of this reach in pixels."""
    n = int(np.ceil(reach)) + 3
    y, x = np.mgrid[-n : n + 1, -n : n + 1].astype(np.float32)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return Grid(x * c + y * s, -x * s + y * c, angle, n)


@dataclass(frozen=True)
class Ball:
    """A solid whose outline is a radius for every direction.

    Attributes:
        grid: Its box.
        rho: Shape (h, w); distance from the middle, 1 on the outline.
        theta: Shape (h, w); direction in radians.
        normal: Shape (h, w, 3); unit normals in the picture's frame.
        alpha: Shape (h, w); coverage.
        outline: Shape (n, 2); x, y.
    """

    grid: Grid
    rho: FloatArray
    theta: FloatArray
    normal: FloatArray
    alpha: FloatArray
    outline: FloatArray


Radius = Callable[[FloatArray], FloatArray]


def make_ball(radius: Radius, size: float, angle: float, roundness: float = 2.0) -> Ball:
    """Return a solid of ``radius(theta)`` times ``size`` pixels; more roundness, flatter top."""
    turns = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    grid = make_grid(size * float(np.max(radius(turns))), angle)
    theta = np.arctan2(grid.v, grid.u)
    limit = (size * radius(theta)).astype(np.float32)
    distance = np.hypot(grid.u, grid.v)
    rho = distance / limit
    inside = np.clip(rho, 0, 1)
    z = np.sqrt(np.clip(1 - inside ** (2 * roundness), 1e-4, 1))
    flat = np.sqrt(np.clip(1 - z**2, 0, 1))
    across = np.where(distance > 0, distance, 1)
    normal = np.stack([flat * grid.u / across, flat * grid.v / across, z], axis=-1)
    dy, dx = np.gradient(rho)
    slope = np.maximum(np.hypot(dx, dy), 1e-3)
    alpha = np.clip(0.5 + (1 - rho) / slope, 0, 1).astype(np.float32)
    reach = size * radius(turns)
    outline = grid.outline(reach * np.cos(turns), reach * np.sin(turns))
    return Ball(grid, rho, theta, grid.turn(normal.astype(np.float32)), alpha, outline)


def _bump(normal: FloatArray, height: FloatArray, strength: float) -> FloatArray:
    """Tilt normals by the slope of a height map in pixels."""
    dy, dx = np.gradient(height)
    tilted = normal - strength * np.stack([dx, dy, np.zeros_like(dx)], axis=-1)
    length = np.linalg.norm(tilted, axis=-1, keepdims=True)
    return np.asarray(tilted / length, np.float32)


def _spot(ball: Ball, u: float, v: float, radius: float) -> FloatArray:
    """Return a soft spot, 1 in its middle, at (u, v) pixels in the frame of the thing."""
    square = ((ball.grid.u - u) ** 2 + (ball.grid.v - v) ** 2) / radius**2
    return np.asarray(np.exp(-square), np.float32)


def draw_orange(rng: np.random.Generator, scale: float) -> Sprite:
    """Draw an orange: dimpled skin, a small green star where it hung."""
    size = float(rng.uniform(38, 54)) * scale
    wave = rng.uniform(-0.012, 0.012, 3)
    ball = make_ball(
        lambda t: 1 + sum(a * np.cos((k + 2) * t) for k, a in enumerate(wave)),
        size,
        rng.uniform(0, 6.28),
    )
    h, w = ball.alpha.shape
    base = mix(colour(240, 128, 18), colour(250, 160, 40), 0.5 + 0.25 * noise(rng, h, w, size / 2))
    normal = _bump(ball.normal, noise(rng, h, w, max(2.0, size / 16)), 0.045)
    off = rng.uniform(-0.45, 0.45, 2) * size
    navel = _spot(ball, off[0], off[1], 0.10 * size)
    around = np.arctan2(ball.grid.v - off[1], ball.grid.u - off[0])
    star = navel * (0.75 + 0.35 * np.cos(5 * around))
    base = mix(base, colour(205, 100, 10), 0.55 * _spot(ball, off[0], off[1], 0.24 * size))
    base = mix(base, colour(74, 92, 36), np.clip(1.6 * star, 0, 1))
    rgb = shade(base, normal, 0.30, 22)
    return Sprite(ball.alpha, rgb, ball.outline, size, False)


def draw_lemon(rng: np.random.Generator, scale: float) -> Sprite:
    """Draw a lemon: an ellipse with a nub at either end."""
    size, ratio = float(rng.uniform(38, 52)) * scale, rng.uniform(0.68, 0.78)
    nub = rng.uniform(0.12, 0.2)

    def radius(t: FloatArray) -> FloatArray:
        ellipse = ratio / np.sqrt((ratio * np.cos(t)) ** 2 + np.sin(t) ** 2)
        end = np.abs(np.mod(t + np.pi / 2, np.pi) - np.pi / 2)
        side = np.where(np.cos(t) > 0, 1.0, 0.6)
        return np.asarray(ellipse + side * nub * np.exp(-((end / 0.22) ** 2)))

    ball = make_ball(radius, size, rng.uniform(0, 6.28))
    h, w = ball.alpha.shape
    base = mix(colour(244, 206, 36), colour(252, 226, 84), 0.5 + 0.3 * noise(rng, h, w, size / 2))
    ends = np.clip(np.abs(ball.grid.u) / size - 0.75, 0, 0.4) * 1.6
    base = mix(base, colour(176, 178, 48), ends.astype(np.float32))
    normal = _bump(ball.normal, noise(rng, h, w, max(2.0, size / 14)), 0.05)
    return Sprite(ball.alpha, shade(base, normal, 0.32, 26), ball.outline, size, False)


def draw_plum(rng: np.random.Generator, scale: float) -> Sprite:
    """Draw a plum: dark, with a cleft and a pale bloom."""
    size, ratio = float(rng.uniform(25, 36)) * scale, rng.uniform(0.84, 0.94)
    ball = make_ball(
        lambda t: ratio / np.sqrt((ratio * np.cos(t)) ** 2 + np.sin(t) ** 2),
        size,
        rng.uniform(0, 6.28),
    )
    h, w = ball.alpha.shape
    base = mix(colour(82, 28, 74), colour(128, 36, 72), 0.5 + 0.35 * noise(rng, h, w, size))
    bloom = np.clip(0.32 + 0.22 * noise(rng, h, w, size / 2), 0, 0.7) * (0.4 + 0.6 * ball.rho)
    base = mix(base, colour(128, 122, 176), np.clip(bloom, 0, 0.6))
    bend = 0.22 * size * (1 - (ball.grid.u / size) ** 2)
    cleft = np.exp(-(((ball.grid.v - bend) / (0.06 * size)) ** 2))
    base = base * (1 - 0.38 * cleft[..., None])
    return Sprite(ball.alpha, shade(base, ball.normal, 0.34, 34), ball.outline, size, False)


def draw_cherry(rng: np.random.Generator, scale: float) -> Sprite:
    """Draw a cherry: small, red, glossy, with a dimple."""
    size = float(rng.uniform(14, 20)) * scale
    ball = make_ball(
        lambda t: 1 - 0.10 * np.exp(-(((np.abs(t) - np.pi) / 0.4) ** 2)), size, rng.uniform(0, 6.28)
    )
    h, w = ball.alpha.shape
    base = mix(colour(150, 10, 24), colour(196, 26, 34), 0.5 + 0.4 * noise(rng, h, w, size))
    dimple = _spot(ball, -0.72 * size, 0, 0.26 * size)
    base = mix(base, colour(48, 4, 10), 0.75 * dimple)
    rgb = shade(base, ball.normal, 0.85, 48)
    rgb = rgb + 0.25 * _glint(ball, size)[..., None]
    return Sprite(ball.alpha, rgb.astype(np.float32), ball.outline, size, False)


def _glint(ball: Ball, size: float) -> FloatArray:
    """Return the small hard reflection of a window."""
    n = ball.grid.reach
    y, x = np.mgrid[-n : n + 1, -n : n + 1].astype(np.float32)
    square = ((x + 0.34 * size) ** 2 + (y + 0.40 * size) ** 2) / (0.15 * size) ** 2
    return np.asarray(np.exp(-square), np.float32)


PEBBLES = (
    (122, 118, 114),
    (158, 146, 130),
    (96, 100, 106),
    (178, 168, 154),
    (136, 108, 90),
    (86, 92, 88),
)


def draw_pebble(rng: np.random.Generator, scale: float) -> Sprite:
    """Draw a pebble: an uneven flat stone with speckles and sometimes a pale vein."""
    size, ratio = float(rng.uniform(17, 40)) * scale, rng.uniform(0.62, 0.9)
    waves = [(k, rng.uniform(-0.16, 0.16) / k, rng.uniform(0, 6.28)) for k in (2, 3, 4)]
    ball = make_ball(
        lambda t: (
            ratio
            / np.sqrt((ratio * np.cos(t)) ** 2 + np.sin(t) ** 2)
            * (1 + sum(a * np.cos(k * t + p) for k, a, p in waves))
        ),
        size,
        rng.uniform(0, 6.28),
        1.5,
    )
    h, w = ball.alpha.shape
    base = np.broadcast_to(colour(*PEBBLES[rng.integers(len(PEBBLES))]), (h, w, 3))
    base = base * (1 + 0.08 * noise(rng, h, w, size / 2) + 0.07 * noise(rng, h, w, 2))[..., None]
    base = mix(base.astype(np.float32), colour(44, 42, 40), 0.5 * (noise(rng, h, w, 2.5) > 1.7))
    if rng.random() < 0.4:
        bend = rng.uniform(-0.4, 0.4) * size + 0.18 * size * noise(rng, h, w, size)
        vein = np.exp(-(((ball.grid.v - bend) / (0.07 * size)) ** 2))
        base = mix(base, colour(222, 216, 204), (0.7 * vein).astype(np.float32))
    normal = _bump(ball.normal, noise(rng, h, w, size / 4), 0.03 * size / 4)
    return Sprite(ball.alpha, shade(base, normal, 0.10, 10, 0.45), ball.outline, size, False)


LEAVES = (
    ((62, 112, 44), (104, 152, 62)),
    ((44, 94, 54), (92, 140, 80)),
    ((124, 138, 42), (176, 172, 68)),
    ((186, 112, 34), (222, 158, 62)),
    ((166, 66, 34), (206, 112, 56)),
)


def draw_leaf(rng: np.random.Generator, scale: float) -> Sprite:
    """Draw a leaf: a bent blade with a midrib, side veins and a short stalk."""
    length = float(rng.uniform(84, 150)) * scale
    width, bend = rng.uniform(0.17, 0.25) * length, rng.uniform(-0.14, 0.14) * length
    tip = rng.uniform(0.75, 1.0)
    grid = make_grid(0.56 * length + 4, rng.uniform(0, 6.28))

    def half_width(t: FloatArray) -> FloatArray:
        blade = width * np.maximum(np.sin(np.pi * np.clip(t, 0, 1) ** tip), 0) ** 0.9
        return np.asarray(np.maximum(blade, np.where(t < 0.06, 1.6, 0.0)))

    def midrib(t: FloatArray) -> FloatArray:
        return bend * (4 * (t - 0.5) ** 2 - 0.5)

    t = grid.u / length + 0.5
    away = grid.v - midrib(t)
    field = np.where((t > -0.05) & (t < 1), half_width(t) - np.abs(away), -5).astype(np.float32)
    dy, dx = np.gradient(field)
    slope = np.clip(np.hypot(dx, dy), 0.5, 3)
    alpha = np.clip(0.5 + field / slope, 0, 1).astype(np.float32)
    rgb = _leaf_colours(rng, t, away, field, width)
    along = np.concatenate([[-0.05, 0], np.linspace(0.03, 0.97, 30), [1]])
    side, middle = half_width(along), midrib(along)
    u = (np.concatenate([along, along[::-1]]) - 0.5) * length
    v = np.concatenate([middle + side, (middle - side)[::-1]])
    normal = np.zeros((*t.shape, 3), np.float32)
    tilt = np.clip(away / width, -1, 1)
    normal[..., 0], normal[..., 1] = -0.35 * (t - 0.5), 0.42 * tilt - 0.5 * np.sign(tilt) * 0.3
    normal[..., 2] = np.sqrt(np.clip(1 - (normal[..., :2] ** 2).sum(-1), 0.1, 1))
    lit = shade(rgb, grid.turn(normal), 0.10, 12, 0.5)
    return Sprite(alpha, lit, grid.outline(u, v), 0.5 * length, True)


def _leaf_colours(
    rng: np.random.Generator, t: FloatArray, away: FloatArray, field: FloatArray, width: float
) -> FloatArray:
    """Return a blade's colours: darker towards the rim, with paler veins."""
    dark, light = LEAVES[rng.integers(len(LEAVES))]
    h, w = t.shape
    rim = np.clip(field / width, 0, 1)
    rgb = mix(colour(*dark), colour(*light), 0.75 * rim + 0.18 * noise(rng, h, w, width / 2))
    side = np.mod(9 * t - 0.55 * np.abs(away) / width * 2 + 0.2, 1)
    veins = np.exp(-(((side - 0.5) / 0.075) ** 2)) * 0.38
    midrib = np.exp(-((away / (0.05 * width + 0.7)) ** 2)) * 0.75
    pale = np.clip(colour(*light) * 1.22 + 0.06, 0, 1)
    return mix(rgb, pale, np.maximum(veins, midrib).astype(np.float32))


DRAWERS: dict[str, Callable[[np.random.Generator, float], Sprite]] = {
    "orange": draw_orange,
    "lemon": draw_lemon,
    "plum": draw_plum,
    "cherry": draw_cherry,
    "pebble": draw_pebble,
    "leaf": draw_leaf,
}
"""Drawing functions by category."""
