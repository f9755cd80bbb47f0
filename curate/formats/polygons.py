"""Masks to polygons that COCO's rasteriser draws back to exactly the same pixels.

Rings follow the edges of the pixels, so all their corners are whole numbers. COCO draws a ring by
the even-odd rule and samples it where columns have their centres, so that such a ring gives exactly
the pixels that it goes around; several rings are united.

A polygon of that kind has no holes. Where a mask has some, or where it has several parts and only
one ring is allowed, rings are joined into one by seams of no width: along a straight line there,
around the other ring, and back along the same line. Both ways cross the same columns at the same
heights, which cancels out under the even-odd rule. Rings that touch at a corner need no seam.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import numpy as np

from curate import rle
from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.formats.segmentation import draw_polygons
from curate.rle.outlines import outlines
from curate.rle.runs import kernel

MAX_BOX_PIXELS = 1 << 28
"""Masks whose box is larger are not traced: that takes a few bytes a pixel."""

MAX_CORNERS = 50_000
"""Masks with more corners are not joined by seams: that takes time by the square of their number,
a few seconds for this many. No tool shows such a ring."""

INSET = 0.25
"""How far inside the edges rings run that OpenCV is to draw, in pixels: pixels are sampled at their
centres, half a pixel away, and float32 of a share of the image must not cross an edge."""

Point = tuple[int, int]


class _Join(NamedTuple):
    """Bridge from one ring to another.

    Attributes:
        edge: Number of the ring's corner at which the edge begins that it leaves from.
        point: Where on that edge.
        ring: The other ring.
        corner: Number of its corner that the join leads to.
    """

    edge: int
    point: Point
    ring: int
    corner: int


class TracedRings(NamedTuple):
    """Polygon rings of a mask.

    Attributes:
        rings: Alternating x and y in pixels.
        seamed: Whether some of them run along a seam.
    """

    rings: list[list[float]]
    seamed: bool


def trace_rings(
    counts: bytes,
    size: tuple[int, int],
    *,
    single: bool = False,
    seams: bool = False,
    inset: bool = False,
) -> TracedRings | None:
    """Return polygon rings that rasterise to exactly a mask.

    Args:
        counts: The mask as COCO compressed counts.
        size: Height and width of its image in pixels.
        single: Whether there may be one ring only, for formats that have no more.
        seams: Whether rings may be joined by seams, where they have to be. Without them a mask with
            a hole has no polygon, and with ``single`` one of several parts has none either.
        inset: Whether rings run :data:`INSET` inside the edges of the pixels instead of along them,
            where that draws the same pixels. OpenCV's ``fillPoly``, with which trainers of YOLO
            draw, truncates coordinates and draws the border too: rings along the edges grow by a
            pixel to the right and downwards, these do not.

    Returns:
        One ring a part of the mask (or one in all). Drawn by
        :func:`curate.formats.segmentation.read_polygons`, their union is the mask; that is checked
        here. None where there are none under these conditions: so for a mask without a pixel, with
        counts that do not decode, or too large or too ragged (:data:`MAX_BOX_PIXELS`,
        :data:`MAX_CORNERS`).
    """
    height, width = size
    runs, _ = rle.decode_counts([counts], [height], [width])
    x, y, w, h = (int(side) for side in rle.bbox(runs)[0])
    if not len(runs.starts) or w * h > MAX_BOX_PIXELS:
        return None
    plane = _Plane(
        [ring + np.array([x, y]) for ring in outlines(rle.to_dense(runs, 0, (x, y, w, h)))]
    )
    if not plane.join(single, seams):
        return None
    rings = [plane.walk(part) for part in plane.parts(single)]
    wanted = rle.encode_counts(runs)[0].as_py()
    tried = ([_inset(ring, height, width) for ring in rings], rings) if inset else (rings,)
    exact = next((one for one in tried if draw_polygons(one, height, width) == wanted), None)
    return None if exact is None else TracedRings(exact, plane.seamed)


def rings_of(
    counts: bytes,
    height: int,
    width: int,
    *,
    single: bool = False,
    seams: bool = False,
    inset: bool = False,
) -> list[list[float]] | None:
    """Return the rings of :func:`trace_rings` alone."""
    found = trace_rings(counts, (height, width), single=single, seams=seams, inset=inset)
    return None if found is None else found.rings


class _Plane:
    """The rings of a mask, and which of them are joined to one.

    Attributes:
        rings: Corners (x, y) of each, outer rings clockwise.
        joins: Of each ring, where it leads over to others. Every ring can be reached from the
            outer ring of its part.
        seamed: Whether some joins are seams; else joined rings share a corner.
    """

    def __init__(self, rings: list[IntArray]) -> None:
        self.rings = rings
        self.joins: list[list[_Join]] = [[] for _ in rings]
        self.seamed = False
        self._group = list(range(len(rings)))
        self._outer = [_is_outer(ring) for ring in rings] if len(rings) > 1 else [True]
        self._parts = [i for i, outer in enumerate(self._outer) if outer]

    def join(self, single: bool, seams: bool) -> bool:
        """Join what has to be one ring; return whether that was possible."""
        if len(self.rings) == 1:
            return True
        self._join_touching()
        parts = {self._group_of(i) for i in self._parts}
        inner = [i for i in range(len(self.rings)) if self._group_of(i) not in parts]
        several = single and len(self._parts) > 1
        if not inner and not several:
            return True
        if not seams or sum(map(len, self.rings)) > MAX_CORNERS:
            return False
        self.seamed = True
        self._join_holes(inner)
        if several:
            self._join_parts()
        return True

    def parts(self, single: bool) -> list[int]:
        """Return the outer rings to walk along."""
        return self._parts[:1] if single else self._parts

    def walk(self, part: int) -> list[float]:
        """Return the ring that goes around a part and all that is joined to it."""
        if not self.joins[part]:
            return cast(list[float], self.rings[part].astype(float).ravel().tolist())
        path: list[Point] = []
        seen = {part}
        todo = [self._along(part, 0, seen)]
        while todo:  # a stack of its own: joins can nest deeper than calls may
            step = next(todo[-1], None)
            if step is None:
                todo.pop()
            elif isinstance(step, _Join):
                todo.append(self._along(step.ring, step.corner, seen))
            else:
                path.append(step)
        return _without_needless_corners(path)

    def _along(self, ring: int, first: int, seen: set[int]) -> Iterator[Point | _Join]:
        """Walk along a ring from one of its corners back to it, leading over where it is joined."""
        seen.add(ring)
        corners: list[Point] = [(x, y) for x, y in self.rings[ring].tolist()]
        joins: dict[int, list[_Join]] = {}
        for join in self.joins[ring]:
            joins.setdefault(join.edge, []).append(join)
        for k in range(len(corners)):
            edge = (first + k) % len(corners)
            start = corners[edge]
            yield start
            for join in sorted(
                joins.get(edge, ()), key=lambda j: _manhattan_distance(start, j.point)
            ):
                if join.ring not in seen:
                    yield from (join.point, join, join.point)
        yield corners[first]

    def _join_touching(self) -> None:
        """Join rings that share a corner, as far as they are not joined yet: no seam is needed."""
        first: dict[Point, tuple[int, int]] = {}
        for ring, corners in enumerate(self.rings):
            for corner, (x, y) in enumerate(corners.tolist()):
                other, at = first.setdefault((x, y), (ring, corner))
                if self._group_of(other) != self._group_of(ring):
                    self._group[self._group_of(ring)] = self._group_of(other)
                    self.joins[other].append(_Join(at, (x, y), ring, corner))
                    self.joins[ring].append(_Join(corner, (x, y), other, at))

    def _group_of(self, ring: int) -> int:
        while self._group[ring] != ring:
            self._group[ring] = self._group[self._group[ring]]
            ring = self._group[ring]
        return ring

    def _join_holes(self, inner: list[int]) -> None:
        """Join holes to what is straight above them, which belongs to the same part.

        Such a seam lies inside the part. It leads to a higher ring, so there is never a circle.
        """
        tops: dict[int, tuple[int, int, int]] = {}  # (y, ring, corner), by group
        for ring in inner:
            corner = _top_edge(self.rings[ring])
            top = (int(self.rings[ring][corner, 1]), ring, corner)
            group = self._group_of(ring)
            tops[group] = min(tops.get(group, top), top)
        if not tops:
            return
        points, nexts, rings, places = self._corners()
        for y, ring, corner in tops.values():
            # The edge runs to the left, as a hole's rings run the other way: its column ends here.
            x = int(self.rings[ring][corner, 0])
            above = _edge_above(points, nexts, x - 1, y)
            join = _Join(int(places[above]), (x, int(points[above, 1])), ring, corner)
            self.joins[int(rings[above])].append(join)

    def _join_parts(self) -> None:
        """Join the parts from corner to corner, each to the nearest, so that seams are short."""
        points, _, rings, places = self._corners()
        part_of = self._part_of_ring()
        joined = _nearest(points, part_of[rings], np.array(self._outer)[rings], len(self._parts))
        for a, b in joined.tolist():
            x, y = points[a].tolist()
            join = _Join(int(places[a]), (x, y), int(rings[b]), int(places[b]))
            self.joins[int(rings[a])].append(join)

    def _part_of_ring(self) -> IntArray:
        """Return which part each ring belongs to, counted from 0."""
        part_of = np.full(len(self.rings), -1, np.int64)
        for number, part in enumerate(self._parts):
            todo = [part]
            while todo:
                ring = todo.pop()
                if part_of[ring] < 0:
                    part_of[ring] = number
                    todo.extend(join.ring for join in self.joins[ring])
        return part_of

    def _corners(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """Return all corners, the number of each next one, and its ring and place in the ring."""
        lengths = np.array([len(ring) for ring in self.rings])
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
        nexts = np.arange(1, ends[-1] + 1)
        nexts[ends - 1] = ends - lengths
        rings = np.repeat(np.arange(len(lengths)), lengths)
        return np.concatenate(self.rings), nexts, rings, places


def _is_outer(ring: IntArray) -> bool:
    x, y = ring[:, 0], ring[:, 1]
    return bool((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() > 0)


def _top_edge(ring: IntArray) -> int:
    """Return the corner of a ring at which its first topmost edge begins."""
    y = ring[:, 1]
    return int(np.flatnonzero((y == y.min()) & (np.roll(y, -1) == y))[0])


def _manhattan_distance(a: Point, b: Point) -> int:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _without_needless_corners(path: list[Point]) -> list[float]:
    """Return x and y without repeated points, and without those between edges on one line.

    Where such edges go there and back, as a seam does that runs along an edge, what they have in
    common goes with the point.
    """
    at = np.array(path, np.int64)
    while True:
        at = at[(at != np.roll(at, -1, axis=0)).any(axis=1)]
        before, after = at - np.roll(at, 1, axis=0), np.roll(at, -1, axis=0) - at
        on_line = before[:, 0] * after[:, 1] == before[:, 1] * after[:, 0]
        if not on_line.any():
            return cast(list[float], at.astype(float).ravel().tolist())
        at = at[~on_line]


def _inset(ring: list[float], height: int, width: int) -> list[float]:
    """Return a ring moved to the inside by :data:`INSET`; what is inside lies on its right.

    A corner moves to where the moved edges meet, with two exceptions. Where the ring turns left at
    a corner that it passes twice, the pixel there is not inside (two pixels touch at that corner):
    the ring goes straight from the one to the other. Where an edge is slanted, which only seams
    between parts are, it stays, since there and back it must be the same line.
    """
    corners = np.array(ring, np.int64).reshape(-1, 2)
    order = np.lexsort((corners[:, 1], corners[:, 0]))
    # A seam between parts may run along the border of the image, outside to its right.
    points = np.clip(_moved(corners, order), 0, (width, height))
    points = points[(points != np.concatenate([points[1:], points[:1]])).any(axis=1)]
    return cast(list[float], points.ravel().tolist())


@kernel
def _moved(corners: IntArray, order: IntArray) -> FloatArray:
    """Return where the corners of a ring move to, each one to three points; ``order`` sorts them.

    Edges go along an axis or are slanted; only those along an axis move, to their right.
    """
    n = len(corners)
    twice = np.zeros(n, np.bool_)
    for k in range(1, n):
        i, j = order[k - 1], order[k]
        if corners[i, 0] == corners[j, 0] and corners[i, 1] == corners[j, 1]:
            twice[i] = twice[j] = True
    made = np.empty((3 * n, 2), np.float64)
    count = 0
    for i in range(n):
        last, following = corners[i - 1], corners[(i + 1) % n]
        x, y = corners[i]
        bx, by = np.sign(x - last[0]), np.sign(y - last[1])
        ax, ay = np.sign(following[0] - x), np.sign(following[1] - y)
        before_moves, after_moves = bx * by == 0, ax * ay == 0
        side = bx * ay - by * ax
        stays = not (before_moves and after_moves) or side == 0  # between the moved ends of edges
        pinched = not stays and side < 0 and twice[i]
        to_x, to_y = (-by, bx) if before_moves else (0, 0)
        then_x, then_y = (-ay, ax) if after_moves else (0, 0)
        if pinched:
            made[count] = x + INSET * (to_x - bx), y + INSET * (to_y - by)
            made[count + 1] = x + INSET * (then_x + ax), y + INSET * (then_y + ay)
            count += 2
        elif stays:
            made[count] = x + INSET * to_x, y + INSET * to_y
            made[count + 1] = x, y
            made[count + 2] = x + INSET * then_x, y + INSET * then_y
            count += 3
        else:
            made[count] = x + INSET * (to_x + then_x), y + INSET * (to_y + then_y)
            count += 1
    return made[:count]


@kernel
def _edge_above(points: IntArray, nexts: IntArray, column: int, y: int) -> int:
    """Return the corner at which the lowest edge begins that covers a column above ``y``."""
    best, found = -1, -1
    for i in range(len(points)):
        a, b = points[i], points[nexts[i]]
        if a[1] == b[1] and best < a[1] < y and min(a[0], b[0]) <= column < max(a[0], b[0]):
            best, found = a[1], i
    return found


@kernel
def _nearest(points: IntArray, parts: IntArray, outer: BoolArray, count: int) -> IntArray:
    """Join parts to a tree by the shortest lines between corners (Prim's algorithm).

    A line leads from any corner of what is joined to one of the outer ring of what is not.

    Returns:
        Shape (count - 1, 2): the corners from and to which each line leads.
    """
    gaps = np.full(count, np.iinfo(np.int64).max, np.int64)
    ends = np.zeros((count, 2), np.int64)
    done = np.zeros(count, np.bool_)
    lines = np.zeros((count - 1, 2), np.int64)
    newest = 0
    for k in range(count - 1):
        done[newest] = True
        mine = np.flatnonzero(parts == newest)
        for v in range(len(points)):
            part = parts[v]
            if done[part] or not outer[v]:
                continue
            for u in mine:
                dx, dy = points[u, 0] - points[v, 0], points[u, 1] - points[v, 1]
                if dx * dx + dy * dy < gaps[part]:
                    gaps[part] = dx * dx + dy * dy
                    ends[part, 0], ends[part, 1] = u, v
        best = np.int64(np.iinfo(np.int64).max)
        for part in range(count):
            if not done[part] and gaps[part] < best:
                best, newest = gaps[part], part
        lines[k] = ends[newest]
    return lines
