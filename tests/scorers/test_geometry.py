"""The walk along the outlines against slow, direct definitions on pixels."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from scipy.spatial import ConvexHull

from curate import rle
from curate.scorers import kernels
from curate.scorers.geometry import SHALLOW_PX, SHALLOW_SHARE, Geometry, measure_outlines
from curate.testing.scene import disc, table_of

masks = arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.booleans())
noisy = st.builds(
    lambda seed, share: np.random.default_rng(seed).random((24, 31)) < share,
    st.integers(0, 10**6),
    st.floats(0.05, 0.98),
)
EIGHT = np.ones((3, 3))


def test_every_field_has_its_column() -> None:
    columns = {name: k for name, k in vars(kernels).items() if name.isupper()}
    assert columns == {field.name.upper(): k for k, field in enumerate(fields(Geometry))}


def measured(*pixels) -> Geometry:
    runs = rle.concat([rle.from_dense(m) for m in pixels])
    areas, boxes = rle.measure(runs)
    return measure_outlines(runs, areas, boxes)


def outlines(mask):
    """Walk every outer outline by its pixel edges, mask on the right: lists of (dx, dy) steps."""
    m = np.pad(mask, 1)
    steps = {}
    for y, x in zip(*np.nonzero(m), strict=True):
        for a, b, outside in (
            ((x, y), (x + 1, y), (y - 1, x)),
            ((x + 1, y), (x + 1, y + 1), (y, x + 1)),
            ((x + 1, y + 1), (x, y + 1), (y + 1, x)),
            ((x, y + 1), (x, y), (y, x - 1)),
        ):
            if not m[outside]:
                steps.setdefault(a, []).append(b)
    while steps:
        start = min(steps)  # leftmost, then topmost
        at, walk = start, []
        here = steps[at].pop()
        while True:
            if not steps[at]:
                del steps[at]
            walk.append((here[0] - at[0], here[1] - at[1]))
            at = here
            if at == start and at not in steps:
                break
            if at == start and walk[-1] == (0, -1) and walk[0] == (1, 0):
                break
            ways = steps[at]
            dx, dy = walk[-1]
            left = (at[0] + dy, at[1] - dx)  # corners that touch are connected: turn left there
            here = left if left in ways else ways[0]
            ways.remove(here)
        area = sum(
            dx * -y for (dx, _), y in zip(walk, np.cumsum([s[1] for s in walk]), strict=True)
        )
        if area > 0:
            yield walk


def ragged(walk, shallow):
    total = 0
    for axis in (0, 1):
        moves = [(k, step[axis]) for k, step in enumerate(walk) if step[axis]]
        flips = [i for i in range(len(moves)) if moves[i][1] != moves[(i + 1) % len(moves)][1]]
        sizes = np.diff([*flips, flips[0] + len(moves)])
        for j, i in enumerate(flips):
            k, way = moves[i]
            across = walk[(k + 1) % len(walk)][1 - axis]
            # Mask on the right: a right turn is outward, a left turn inward.
            left_turn = way * across < 0 if axis == 0 else way * across > 0
            depth = min(sizes[j], sizes[j - 1])
            total += 2 * depth if left_turn and depth <= shallow else 0
    return total


@given(st.one_of(masks, noisy))
def test_pieces_holes_and_lengths(mask):
    g = measured(mask)
    labels, count = ndimage.label(mask, EIGHT)
    sizes = np.bincount(labels.ravel())[1:]
    ground, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    holes = np.bincount(ground.ravel())[2:] if ground.max() > 1 else np.zeros(0, int)
    largest = sizes.max(initial=0)
    assert g.fragment_count[0] == count
    assert g.largest_px[0] == largest
    small = sizes[sizes < 100].sum() - (largest if largest < 100 else 0)
    assert g.small_island_px[0] == small
    assert g.hole_count[0] == len(holes)
    assert g.hole_px[0] == holes.sum()
    assert g.largest_hole_px[0] == holes.max(initial=0)
    assert g.small_hole_px[0] == holes[holes < 100].sum()
    padded = np.pad(mask, 1).astype(int)
    assert g.perimeter_px[0] == sum(np.abs(np.diff(padded, axis=a)).sum() for a in (0, 1))
    frame = [mask[0].sum(), mask[-1].sum(), mask[:, 0].sum(), mask[:, -1].sum()]
    assert g.border_px[0] == sum(frame)


@given(st.one_of(masks, noisy))
def test_outlines_thickness_hull_and_moments(mask):
    g = measured(mask)
    walks = list(outlines(mask))
    area = mask.sum()
    shallow = max(SHALLOW_PX, SHALLOW_SHARE * np.sqrt(area))
    assert g.outline_px[0] == sum(map(len, walks))
    assert g.ragged_px[0] == sum(ragged(walk, shallow) for walk in walks)
    squares = ndimage.binary_opening(mask, np.ones((2, 2)))
    assert g.thick_px[0] == squares.sum()
    if not area:
        return
    y, x = np.nonzero(mask)
    corners = np.concatenate([np.column_stack([x + a, y + b]) for a in (0, 1) for b in (0, 1)])
    assert g.hull_px2[0] == pytest.approx(2 * ConvexHull(corners).volume)
    assert g.mean_x[0] == pytest.approx((x + 0.5).mean())
    assert g.mean_y[0] == pytest.approx((y + 0.5).mean())
    assert g.var_xx[0] == pytest.approx(x.var() + 1 / 12)
    assert g.var_yy[0] == pytest.approx(y.var() + 1 / 12)
    assert g.var_xy[0] == pytest.approx(((x - x.mean()) * (y - y.mean())).mean(), abs=1e-9)


@given(noisy)
def test_turning_and_mirroring_change_nothing(mask):
    names = ("fragment_count", "hole_px", "outline_px", "ragged_px", "thick_px", "hull_px2")
    g = measured(mask, mask.T, mask[::-1], mask[:, ::-1])
    straight = measured(mask[::-1].T)
    for name in names:
        values = getattr(g, name)
        assert (values == values[0]).all(), name
        assert getattr(straight, name)[0] == values[0]


def test_a_batch_gives_what_each_gives_alone():
    rng = np.random.default_rng(3)
    pixels = [rng.random((40, 50)) < share for share in (0.0, 0.3, 0.6, 0.9, 1.0)]
    together = measured(*pixels)
    for k, mask in enumerate(pixels):
        alone = measured(mask)
        for name in vars(alone):
            assert getattr(together, name)[k] == getattr(alone, name)[0], name


@pytest.mark.parametrize("angle", [0, 10, 26.6, 45, 77])
@pytest.mark.parametrize("size", [5, 20, 60])
def test_straight_and_round_outlines_are_not_ragged(angle, size):
    y, x = np.mgrid[-90:90, -90:90] + 0.3
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    box = (np.abs(c * x + s * y) < size) & (np.abs(c * y - s * x) < size / 2)
    assert (measured(box, disc(60, 60, size)).ragged_px == 0).all()


def test_straight_edges_leave_the_image_border_out():
    mask = np.zeros((60, 80), bool)
    mask[:30, 10:50] = True
    assert measured(mask).straight_px[0] == 40
    mask = np.zeros((60, 80), bool)
    mask[:, 10:50] = True
    assert measured(mask).straight_px[0] == 60
    mask[:] = True
    assert measured(mask).straight_px[0] == 0


def test_lengths_on_a_crop_border():
    mask = np.zeros((100, 100), bool)
    mask[30:60, 40:50] = True
    crop = {"crop_x": [0.0] * 3, "crop_y": [0.0] * 3, "crop_h": [100.0, 100.0, np.nan]}
    from curate.scorers.integrity import integrity

    table = table_of([mask] * 3, crop_w=[50.0, 80.0, 50.0], **crop)
    score = integrity(table)["crop_score"]
    assert score.iloc[0] == pytest.approx(1 - 30 / 80)
    assert score.iloc[1] == 1
    assert np.isnan(score.iloc[2])
    # Within 20 px of the image border a crop border is none.
    near = table_of(
        [np.roll(mask, 40, axis=1)], crop_x=[0.0], crop_y=[0.0], crop_w=[90.0], crop_h=[100.0]
    )
    assert integrity(near)["crop_score"].iloc[0] == 1
    assert integrity(near, image_margin_px=5.0)["crop_score"].iloc[0] < 1
