"""Contour tracing on run lengths, first half: masks cut into bars, edges linked to outlines.

A mask is cut into column segments, and these into *bars*: a stretch of neighbouring columns with
one segment each, touching the next, is one bar; any other segment is a bar of its own. Most of a
smooth mask lies in a few long bars, where plain loops over two rows a column find all there is to
find.

Bar k has a top edge, number 2k, walked to the right, and a bottom edge, number 2k + 1, walked to
the left, so that the mask is always on the right-hand side. Where bars meet, the ends of their
segments sorted from top to bottom pair up, and each pair is one vertical step of an outline:
``following`` links an edge to the next one. So the closed outlines come out of one sweep from left
to right (a plane sweep) and one walk (:mod:`curate.scorers.kernels.outline`).

``rows`` holds the top of every segment from its front and the bottom of every segment from its back
(``rows[-1 - k]`` belongs to ``rows[k]``), so that each edge is walked along ascending places.

Invariants:

- ``following`` is a permutation of the edges; its cycles are the outlines. One whose first edge in
  order is a top edge encloses an 8-connected fragment, any other a 4-connected hole.
- Where ends have equal rows, tops come before bottoms: corners that touch are connected.
- A *thick* pixel lies in a fully set square of 2 x 2. Each is counted once: a pair of columns adds
  its common rows in both columns, less those that the pair before has covered in the first.

Time is linear in the segments; memory is what :mod:`curate.scorers.geometry` allocates once a
batch, about 200 bytes a segment of the largest mask. The method is ours; its measures are tested
against labelling and plain loops over pixels.
"""

from __future__ import annotations

from numpy import int32

from curate.common.arrays import Int32Array
from curate.rle.runs import inner_kernel, kernel

BEGIN, STOP, LEFT, RIGHT = range(4)
"""Columns of ``spans``, a row an edge: its stretch of ``rows``, and the image rows at its left and
its right end."""

SHARED_TOP, SHARED_BOTTOM, BEGINS_BAR = range(3)
"""Rows of ``shared``; see :func:`cut_bars`."""

# Loops over many columns count from a number and keep to 32 bits: where no place can be negative
# and nothing grows wider, the compiler makes vector instructions of them.


@kernel
def cut_bars(
    columns: Int32Array,
    lows: Int32Array,
    highs: Int32Array,
    n: int,
    shared: Int32Array,
    bars: Int32Array,
) -> int:
    """Write the first segment of each bar, and ``n`` behind the last; return how many there are.

    ``shared`` is filled with the rows that a segment shares with the one before it in its bar, none
    if they are fewer than 2: tops in the row :data:`SHARED_TOP`, bottoms in :data:`SHARED_BOTTOM`;
    the row :data:`BEGINS_BAR` tells which segments begin a bar. ``columns`` must have room for one
    more behind its ``n``.
    """
    columns[n] = -2
    tops, bottoms, begins = shared[SHARED_TOP], shared[SHARED_BOTTOM], shared[BEGINS_BAR]
    begins[0] = 1
    tops[0] = bottoms[0] = 0
    for k in range(1, n):
        top, bottom = max(lows[k - 1], lows[k]), min(highs[k - 1], highs[k])
        alone = (columns[k] == int32(columns[k - 1] + 1)) & (columns[k] != columns[k + 1])
        begins[k] = int32(0) if alone & (bottom >= top) else int32(1)
        tops[k] = top
        bottoms[k] = bottom
    for k in range(2, n):  # nor may the segment before have another one in its column
        begins[k] |= int32(1) if columns[k - 1] == columns[k - 2] else int32(0)
    count = 0
    for k in range(n):
        bars[count] = k
        count += int(begins[k])
    for k in range(n):
        thick = int32(bottoms[k] - tops[k]) >= int32(2)
        bottoms[k] = bottoms[k] if thick & (begins[k] == int32(0)) else tops[k]
    bars[count] = n
    return count


@kernel
def thick_in_bars(shared: Int32Array, n: int) -> int:
    """Thick pixels, as far as pairs of columns within bars make them."""
    tops, bottoms = shared[SHARED_TOP], shared[SHARED_BOTTOM]
    thick = 0
    for k in range(1, n):  # what two pairs of columns both cover counts once
        common = int32(min(bottoms[k - 1], bottoms[k]) - max(tops[k - 1], tops[k]))
        thick += int(int32(2 * int32(bottoms[k] - tops[k]))) - int(max(common, int32(0)))
    return thick


@kernel
def lay_out(
    lows: Int32Array,
    highs: Int32Array,
    bars: Int32Array,
    n_bars: int,
    rows: Int32Array,
    spans: Int32Array,
) -> None:
    """Fill both sides of ``rows``, and the places and the end rows of every edge.

    ``spans`` columns: :data:`BEGIN`, :data:`STOP`, :data:`LEFT` and :data:`RIGHT`.
    """
    back = len(rows) - 1
    for k in range(bars[n_bars]):
        rows[k] = lows[k]
        rows[back - k] = highs[k]
    for b in range(n_bars):
        first, stop = bars[b], bars[b + 1]
        spans[2 * b, BEGIN] = first
        spans[2 * b, STOP] = stop
        spans[2 * b, LEFT] = lows[first]
        spans[2 * b, RIGHT] = lows[stop - 1]
        spans[2 * b + 1, BEGIN] = back + 1 - stop
        spans[2 * b + 1, STOP] = back + 1 - first
        spans[2 * b + 1, LEFT] = highs[first]
        spans[2 * b + 1, RIGHT] = highs[stop - 1]


@inner_kernel
def _count_uncovered(
    covered: Int32Array, side: int, s: int, n_before: int, top: int, bottom: int
) -> tuple[int, int]:
    """Return which stretch reaches below ``top`` first, and twice the rows less those covered."""
    while s < n_before and covered[s, side + 1] <= top:
        s += 1
    thick, t = 2 * (bottom - top), s
    while t < n_before and covered[t, side] < bottom:
        thick -= min(bottom, covered[t, side + 1]) - max(top, covered[t, side])
        t += 1
    return s, thick


@inner_kernel
def _pair_alike(
    spans: Int32Array,
    p: int,
    r: int,
    count: int,
    following: Int32Array,
    covered: Int32Array,
    side: int,
    n_before: int,
) -> tuple[int, int]:
    """Do what :func:`_pair` does where each bar touches one, in order; else return -1 at once.

    So it is on both sides of a hole, and between two pieces side by side.
    """
    shared, thick, s, reached = 0, 0, 0, -1
    for k in range(0, count, 2):
        top, bottom = spans[p + k, RIGHT], spans[p + k + 1, RIGHT]
        top_on, bottom_on = spans[r + k, LEFT], spans[r + k + 1, LEFT]
        if min(top, top_on) <= reached or max(top, top_on) > min(bottom, bottom_on):
            return -1, 0
        reached = max(bottom, bottom_on)
        top, bottom = max(top, top_on), min(bottom, bottom_on)
        following[p + k] = r + k
        following[r + k + 1] = p + k + 1
        if bottom - top >= 2:
            covered[shared, 2 - side] = top
            covered[shared, 3 - side] = bottom
            shared += 1
            s, more = _count_uncovered(covered, side, s, n_before, top, bottom)
            thick += more
    return shared, thick


@kernel
def _pair(
    spans: Int32Array,
    p: int,
    p_stop: int,
    r: int,
    r_stop: int,
    following: Int32Array,
    covered: Int32Array,
    side: int,
    n_before: int,
) -> tuple[int, int]:
    """Join the edges p:p_stop, where their bars end, and r:r_stop, where theirs begin.

    Either may be empty. ``covered``: columns ``side`` and ``side + 1`` hold the rows that the last
    column before the joint shares with the one before it, ``n_before`` stretches; the two others
    are filled with those that the columns share across the joint, if at least 2 rows.

    Returns:
        How many stretches were filled, and how many thick pixels they add: 2 x 2 squares cover
        their rows in both columns, less what is covered in the first column already.
    """
    shared, thick, s = 0, 0, 0
    while p < p_stop or r < r_stop:
        # Tops before bottoms where rows are equal: corners that touch are connected.
        if r >= r_stop or (
            p < p_stop and 2 * spans[p, RIGHT] + (p & 1) <= 2 * spans[r, LEFT] + (r & 1)
        ):
            first, arrives = p, 1 - (p & 1)
            p += 1
        else:
            first, arrives = r, r & 1
            r += 1
        if r >= r_stop or (
            p < p_stop and 2 * spans[p, RIGHT] + (p & 1) <= 2 * spans[r, LEFT] + (r & 1)
        ):
            second, top = p, spans[p, RIGHT]
            p += 1
        else:
            second, top = r, spans[r, LEFT]
            r += 1
        if arrives:
            following[first] = second
        else:
            following[second] = first
        # An odd edge next means that its segment is open: its top has passed, not its bottom.
        if p & r & 1:
            bottom = min(spans[p, RIGHT], spans[r, LEFT])
            if bottom - top >= 2:
                covered[shared, 2 - side] = top
                covered[shared, 3 - side] = bottom
                shared += 1
                s, more = _count_uncovered(covered, side, s, n_before, top, bottom)
                thick += more
    return shared, thick


@kernel
def join(
    columns: Int32Array,
    bars: Int32Array,
    n_bars: int,
    spans: Int32Array,
    following: Int32Array,
    covered: Int32Array,
    shared: Int32Array,
) -> int:
    """Find for each edge the one that follows it on its outline; return the thick pixels."""
    total, side, n_before = thick_in_bars(shared, bars[n_bars]), 0, 0
    previous, current = 0, 0
    while current < n_bars:
        first, last = bars[current], bars[current + 1] - 1
        stop = current + 1
        while stop < n_bars and columns[bars[stop]] == columns[first]:
            stop += 1
        if previous < current and columns[first - 1] < columns[first] - 1:  # an empty column
            _pair(spans, 2 * previous, 2 * current, 0, 0, following, covered, 0, 0)
            previous, n_before = current, 0
        p, r, r_stop = 2 * previous, 2 * current, 2 * stop
        paired = -1
        if r - p == r_stop - r:
            paired, thick = _pair_alike(spans, p, r, r - p, following, covered, side, n_before)
        if paired < 0:
            paired, thick = _pair(spans, p, r, r, r_stop, following, covered, side, n_before)
        n_before = paired
        total += thick
        side = 2 - side  # what was filled at this joint is what is read at the next one
        if last > first:
            # In a longer bar the next pair of columns covers rows of the first column again.
            for s in range(n_before):
                low, high = (
                    max(shared[SHARED_TOP, first + 1], covered[s, side]),
                    covered[s, side + 1],
                )
                total -= max(min(shared[SHARED_BOTTOM, first + 1], high) - low, 0)
            covered[0, side] = shared[SHARED_TOP, last]
            covered[0, side + 1] = shared[SHARED_BOTTOM, last]
            n_before = 1
        previous, current = current, stop
    _pair(spans, 2 * previous, 2 * n_bars, 0, 0, following, covered, 0, 0)
    return total
