"""Table tops seen from above, with the exact visible mask of every object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from curate import rle
from curate.common.arrays import BoolArray, ByteArray, Int32Array, IntArray
from curate.demo_dataset.table_objects import DRAWERS, FloatArray, Sprite, blur, colour, mix, noise

WIDTH, HEIGHT = 640, 480
"""Size of every picture in pixels."""

SHADOW = np.array([0.56, 0.53, 0.48], np.float32)
"""How much of the table's red, green and blue a shadow takes: the blue sky still lights it."""

SURFACES = {
    "wood": ((176, 130, 84), (136, 92, 62), (206, 180, 148)),
    "linen": ((206, 196, 180), (132, 152, 170), (186, 160, 152), (146, 160, 140)),
    "slate": ((74, 80, 88),),
}
PLATES = ((232, 230, 224), (196, 206, 208), (222, 208, 190), (92, 112, 124))


@dataclass(frozen=True)
class Thing:
    """One object of a scene.

    Attributes:
        category: What it is.
        visible: Shape (480, 640); the pixels that show it.
        outline: Shape (n, 2); x, y of its outline if nothing hides any of it, else None.
        size: Half its longest extent in pixels.
    """

    category: str
    visible: BoolArray
    outline: FloatArray | None
    size: float


@dataclass(frozen=True)
class DemoScene:
    """A picture and all that is in it.

    Attributes:
        picture: Shape (480, 640, 3), uint8.
        things: The objects, from the bottom to the top.
    """

    picture: ByteArray
    things: tuple[Thing, ...]


def around(mask: BoolArray, pad: int) -> tuple[slice, slice]:
    """Return the rows and columns of a mask's box, ``pad`` pixels wider, within the picture."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        slice(max(int(ys[0]) - pad, 0), min(int(ys[-1]) + pad + 1, HEIGHT)),
        slice(max(int(xs[0]) - pad, 0), min(int(xs[-1]) + pad + 1, WIDTH)),
    )


def draw_scene(rng: np.random.Generator) -> DemoScene:
    """Draw a photo of a table top with 12 to 20 things on it, which may overlap."""
    canvas = _table(rng)
    owner = np.zeros((HEIGHT, WIDTH), np.int32)
    scale = rng.uniform(0.92, 1.25)
    placed: list[tuple[str, Sprite, int, int]] = []
    full: list[int] = [0]
    for category in _choose(rng):
        sprite = DRAWERS[category](rng, scale)
        spot = _find_place(rng, sprite, owner, full)
        if spot is None:
            continue
        left, top = spot
        _put(canvas, sprite, left, top)
        y, x, cover = _clip(sprite.alpha, left, top)
        placed.append((category, sprite, left, top))
        owner[y, x][cover >= 0.5] = len(placed)
        full.append(int((sprite.alpha >= 0.5).sum()))
    things = []
    for number, (category, sprite, left, top) in enumerate(placed, 1):
        visible = owner == number
        whole = int(visible.sum()) == full[number]
        outline = sprite.outline + np.array([left, top]) if whole else None
        things.append(Thing(category, visible, outline, sprite.size))
    return DemoScene(_photograph(rng, canvas), tuple(things))


def _choose(rng: np.random.Generator) -> list[str]:
    """Return the things on the table, bottom first: leaves, then stones, then fruit."""
    ranges = {"leaf": (2, 5), "pebble": (3, 6), "orange": (1, 4), "lemon": (1, 4), "plum": (2, 5)}
    chosen = [c for c, (low, high) in ranges.items() for _ in range(rng.integers(low, high))]
    chosen += ["cherry"] * int(rng.integers(2, 5))
    flat = [c for c in chosen if c == "leaf"]
    others = [c for c in chosen if c != "leaf"]
    order = rng.permutation(len(others))
    return flat + [others[i] for i in order]


def _clip(values: FloatArray, left: int, top: int) -> tuple[slice, slice, FloatArray]:
    """Clip a box at (left, top) to the picture: rows, columns, and the values inside."""
    h, w = values.shape[:2]
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + h, HEIGHT), min(left + w, WIDTH)
    return slice(y0, y1), slice(x0, x1), values[y0 - top : y1 - top, x0 - left : x1 - left]


def _find_place(
    rng: np.random.Generator, sprite: Sprite, owner: Int32Array, full: list[int]
) -> tuple[int, int] | None:
    """Return (left, top) where the thing hides nothing too much, or None after 60 tries."""
    h, w = sprite.alpha.shape
    area = int((sprite.alpha >= 0.5).sum())
    for attempt in range(60):
        left = int(rng.integers(-w // 6, WIDTH - w + w // 6))
        top = int(rng.integers(-h // 6, HEIGHT - h + h // 6))
        y, x, cover = _clip(sprite.alpha, left, top)
        solid = cover >= 0.5
        if solid.sum() < 0.8 * area:
            continue
        under = owner[y, x]
        hidden = np.bincount(under[solid], minlength=len(full))
        if attempt < 25 and hidden[1:].sum() > 0.12 * area:
            continue
        if _leaves_enough(hidden, owner, full, (y, x), solid):
            return left, top
    return None


def _leaves_enough(
    hidden: IntArray,
    owner: Int32Array,
    full: list[int],
    place: tuple[slice, slice],
    solid: BoolArray,
) -> bool:
    """Return whether all that is partly covered stays recognisable and in one piece."""
    for number in np.flatnonzero(hidden[1:]) + 1:
        visible = owner == number
        visible[place] &= ~solid
        if visible.sum() < 0.55 * full[number]:
            return False
        pieces = rle.components(rle.from_dense(visible[around(visible, 0)]))
        if pieces.largest_px[0] < 0.999 * visible.sum():
            return False
    return True


def _put(canvas: FloatArray, sprite: Sprite, left: int, top: int) -> None:
    """Draw a thing and the shadow it throws onto what is drawn already."""
    lift = round(sprite.height / 2)
    pad = 3 * lift + 10
    shadow = np.roll(np.pad(sprite.alpha, pad), (lift + 2, lift + 1), axis=(0, 1))
    y, x, dark = _clip(blur(shadow, 0.8 * lift + 1.5), left - pad, top - pad)
    canvas[y, x] *= 1 - dark[..., None] * SHADOW
    y, x, cover = _clip(sprite.alpha, left, top)
    canvas[y, x] = mix(canvas[y, x], _clip(sprite.rgb, left, top)[2], cover)


def _table(rng: np.random.Generator) -> FloatArray:
    """Return an empty table, wood, linen or slate; on every other one a plate."""
    surface = (_wood, _linen, _slate)[rng.integers(3)]
    colours = SURFACES[surface.__name__[1:]]
    light = surface(rng)[..., None]
    canvas = (colour(colours[rng.integers(len(colours))]) * light).astype(np.float32)
    if rng.random() < 0.5:
        _put_plate(canvas, rng)
    return canvas


def _wood(rng: np.random.Generator) -> FloatArray:
    """Return the light and dark of planks with grain that runs along them, shape (480, 640)."""
    plank = (np.arange(HEIGHT) + rng.integers(110)) // 110
    y = np.arange(HEIGHT, dtype=np.float32)[:, None] + 9 * rng.normal(size=6)[plank, None]
    rings = np.sin(0.42 * y + 8 * noise(rng, HEIGHT, WIDTH // 4, 90).repeat(4, axis=1))
    grain = noise(rng, HEIGHT, WIDTH // 40, 1.5).repeat(40, axis=1)
    tone = rng.uniform(-0.08, 0.08, 6)[plank, None]
    gap = np.abs(np.diff(plank, prepend=plank[0]))[:, None]
    return np.asarray(1 + tone + 0.07 * rings + 0.05 * grain - 0.5 * blur(gap * 1.0, 1) * 3)


def _linen(rng: np.random.Generator) -> FloatArray:
    """Return the light and dark of woven cloth with slubs and a few soft folds."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    weave = np.sin(1.85 * x) + np.sin(1.85 * y)
    slub = noise(rng, HEIGHT, 1, 1) * noise(rng, HEIGHT, WIDTH, 60)
    folds = np.sin(x / rng.uniform(40, 70) + y / 90 + 0.5 * noise(rng, HEIGHT, WIDTH, 220)) ** 3
    return np.asarray(1 + 0.018 * weave + 0.025 * slub + 0.055 * folds)


def _slate(rng: np.random.Generator) -> FloatArray:
    """Return the light and dark of stone, split along its layers."""
    rough = sum(noise(rng, HEIGHT, WIDTH, cell) * cell**0.25 for cell in (2.5, 6, 16, 50, 210))
    ledges = np.tanh(4 * noise(rng, HEIGHT, WIDTH, 130))
    dy, dx = np.gradient(rough + 3.5 * ledges)
    return np.asarray(np.clip(1 + 0.012 * rough + 0.05 * (dx + dy) + 0.025 * ledges, 0.6, 1.5))


def _put_plate(canvas: FloatArray, rng: np.random.Generator) -> None:
    """Put a glazed plate on the table; it is part of the table, so nothing masks it."""
    radius = rng.uniform(125, 170)
    cx, cy = rng.uniform(200, 440), rng.uniform(170, 310)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    dx, dy = (x - cx) / radius, (y - cy) / radius
    rho = np.hypot(dx, dy)
    canvas *= 1 - 0.42 * np.clip((1.06 - np.hypot(dx - 0.06, dy - 0.07)) / 0.14, 0, 1)[..., None]
    towards = -(dx * 0.65 + dy * 0.76) / np.maximum(rho, 1e-3)  # the light
    lip, well = (np.exp(-(((rho - at) / 0.03) ** 2)) for at in (0.96, 0.66))
    light = 0.93 + towards * (0.16 * lip - 0.2 * well - 0.09 * np.clip((rho - 0.66) / 0.3, 0, 1))
    glaze = colour(PLATES[rng.integers(len(PLATES))]) * light[..., None]
    canvas[:] = mix(canvas, glaze, np.clip((1 - rho) * radius + 0.5, 0, 1))


def _photograph(rng: np.random.Generator, canvas: FloatArray) -> ByteArray:
    """Return the scene as a camera would: uneven light, a lens, a sensor."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    away = ((x / WIDTH - 0.4) ** 2 + (y / HEIGHT - 0.36) ** 2) ** 0.5
    light = 1.10 - 0.34 * away**1.4
    warm = np.array([1.035, 1.0, 0.955], np.float32)
    lit = np.clip(canvas * light[..., None] * warm, 0, 1.25)
    lit = np.where(lit > 0.8, 0.8 + 0.2 * np.tanh((lit - 0.8) / 0.2), lit)  # highlights roll off
    lit = lit + rng.normal(0, 0.008, (HEIGHT, WIDTH, 1)) + rng.normal(0, 0.004, lit.shape)
    image = Image.fromarray((255 * np.clip(lit, 0, 1) + 0.5).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.45)))
