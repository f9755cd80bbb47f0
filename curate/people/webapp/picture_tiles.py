"""Tiles of a picture's pyramid: which pixels a tile shows, and which tiles one decoding serves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from curate.images import Box
from curate.people.webapp.request_parsing import RequestError

TILE_PX = 512
"""Side of a tile, in pixels."""

MAX_LEVEL = 12
"""Coarsest level: one pixel of a tile stands for 4,096 x 4,096 of the picture."""

MAX_TOGETHER = 12
"""Most tiles that are cut out of one decoded piece, so that it stays small."""


class Tile(NamedTuple):
    """A tile: its level, of which each halves the one before it, its column and its row."""

    level: int
    x: int
    y: int


def tile_box(size: tuple[int, int], tile: Tile) -> Box:
    """Return the pixels of a picture that a tile shows; tiles at its ends are smaller.

    Args:
        size: Height and width of the picture.
        tile: The tile.

    Raises:
        RequestError: The picture has no such tile.
    """
    side = TILE_PX << tile.level if 0 <= tile.level <= MAX_LEVEL else 0
    left, top = tile.x * side, tile.y * side
    if not side or min(tile.x, tile.y) < 0 or left >= size[1] or top >= size[0]:
        raise RequestError(404, "the picture has no such tile")
    return Box(left, top, min(side, size[1] - left), min(side, size[0] - top))


def choose_together(tile: Tile, waiting: Iterable[Tile]) -> list[Tile]:
    """Return the tiles that are rendered with one that is due: neighbours of its level.

    Args:
        tile: The tile that is due.
        waiting: Tiles of the same picture that are asked for.

    Returns:
        Itself first; what they span has at most :data:`MAX_TOGETHER` tiles.
    """
    chosen = [tile]
    near = sorted(
        (one for one in waiting if one.level == tile.level and one != tile),
        key=lambda one: (max(abs(one.x - tile.x), abs(one.y - tile.y)), one),
    )
    for one in near:
        columns, rows = ({t[k] for t in (*chosen, one)} for k in (1, 2))
        spans = [max(places) - min(places) + 1 for places in (columns, rows)]
        if spans[0] * spans[1] <= MAX_TOGETHER:
            chosen.append(one)
    return chosen


def span(boxes: Iterable[Box]) -> Box:
    """Return the smallest window that holds some others."""
    some = list(boxes)
    left, top = min(b.x for b in some), min(b.y for b in some)
    right, bottom = max(b.x + b.w for b in some), max(b.y + b.h for b in some)
    return Box(left, top, right - left, bottom - top)
