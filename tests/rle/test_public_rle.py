"""The public ``curate.rle``: its examples, and its functions beside pycocotools, scipy, NumPy."""

from __future__ import annotations

import doctest
import inspect
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from scipy import ndimage

import curate
from curate import rle
from curate.rle.runs import kernel

pytestmark = pytest.mark.filterwarnings(  # pycocotools
    "ignore:__array__ implementation:DeprecationWarning"
)

Mask = np.ndarray[Any, np.dtype[np.bool_]]
FUNCTIONS = [name for name in rle.__all__ if inspect.isfunction(getattr(rle, name))]


@st.composite
def batches(draw: st.DrawFn) -> list[Mask]:
    """Draw masks of one image: noise of any density, with bars, and maybe none."""
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    seeds = draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
    share = draw(st.sampled_from([0.0, 0.2, 0.6, 0.9, 1.0]))
    masks = [np.random.default_rng(s).random((height, width)) < share for s in seeds]
    if draw(st.booleans()):
        masks[0][:, : width // 2 + 1] = True
    return masks


def coded(masks: list[Mask]) -> list[dict[str, Any]]:
    return [coco_mask.encode(np.asfortranarray(m.astype(np.uint8))) for m in masks]


def run_lengths(mask: Mask) -> list[int]:
    flat = np.concatenate([[False], mask.ravel(order="F"), [not mask.ravel(order="F")[-1]]])
    edges = np.flatnonzero(np.diff(flat.astype(np.int8)))
    return [int(n) for n in np.diff(np.append(0, edges))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_its_facts_and_an_example_that_runs(name: str) -> None:
    function = getattr(rle, name)
    text = inspect.getdoc(function) or ""
    for section in ("Args:\n", "Returns:\n", "Example:\n"):
        assert section in text, f"{name} lacks {section}"
    names = {**vars(rle), "np": np}
    found = doctest.DocTestFinder(recurse=False).find(function, name, globs=names)
    assert any(test.examples for test in found)
    for test in found:
        assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def test_nothing_but_what_is_public_is_named() -> None:
    assert len(set(rle.__all__)) == len(rle.__all__)
    for name in rle.__all__:
        assert not name.startswith("_")
        assert hasattr(rle, name)
    assert kernel.__name__ not in rle.__all__


def test_it_is_found_from_the_package_and_stands_alone() -> None:
    assert curate.rle is rle
    script = (
        "import curate, sys; assert 'curate.rle' not in sys.modules; curate.rle.encode;"
        "print([m for m in sys.modules if m.startswith('curate.')"
        " and not m.startswith(('curate.rle', 'curate.common'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@given(batches())
def test_every_form_is_the_same_mask(masks: list[Mask]) -> None:
    expected = rle.encode_counts(rle.concat([rle.from_dense(m) for m in masks])).to_pylist()
    size = list(masks[0].shape)
    dictionaries = coded(masks)
    texts = [{"size": size, "counts": d["counts"].decode()} for d in dictionaries]
    lists = [{"size": size, "counts": run_lengths(m)} for m in masks]
    arrays = [{"size": size, "counts": np.array(run_lengths(m))} for m in masks]
    mixed = [(texts[k], lists[k], masks[k], dictionaries[k])[k % 4] for k in range(len(masks))]
    stack = np.stack(masks)
    forms = (dictionaries, texts, lists, arrays, masks, mixed, stack, stack * 7, stack * 0.5)
    for form in forms:
        assert rle.encode_counts(rle.as_runs(form)).to_pylist() == expected
    assert rle.encode(texts) == texts == json.loads(json.dumps(rle.encode(masks)))
    assert rle.encode(masks[0]) == [texts[0]] == rle.encode(lists[0])
    for pixels, mask in zip(rle.decode(texts), masks, strict=True):
        assert pixels.dtype == np.bool_
        assert (pixels == mask).all()


@given(batches(), st.lists(st.integers(0, 5), max_size=12))
def test_zero_run_lengths_are_read_as_pycocotools_reads_them(
    masks: list[Mask], lengths: list[int]
) -> None:
    height, width = masks[0].shape
    left = height * width - sum(lengths)
    if left < 0:
        return
    one = {"size": [height, width], "counts": [*lengths, left]}
    runs = rle.as_runs(one)
    assert (runs.starts < runs.ends).all()
    assert (runs.starts[1:] > runs.ends[:-1]).all()
    pixels = coco_mask.decode(coco_mask.frPyObjects(one, height, width)) > 0
    assert (rle.decode(one)[0] == pixels).all()


@given(batches(), st.data())
def test_iou_and_merge_equal_pycocotools(masks: list[Mask], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(masks)))
    a, b = coded(masks[:cut]), coded(masks[cut:] or masks[:1])
    crowd = data.draw(st.lists(st.booleans(), min_size=len(b), max_size=len(b)))
    expected = np.asarray(coco_mask.iou(a, b, [int(c) for c in crowd]))
    assert rle.iou(a, b, crowd).tolist() == expected.tolist()
    for intersect in (False, True):
        theirs = coco_mask.merge(coded(masks), intersect)
        assert rle.encode(rle.merge(masks, intersect))[0]["counts"].encode() == theirs["counts"]


@given(batches(), st.integers(1, 5))
def test_the_boundary_equals_an_erosion(masks: list[Mask], width: int) -> None:
    found = rle.decode(rle.boundary(masks, width))
    for band, mask in zip(found, masks, strict=True):
        inner = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=width, border_value=0)
        assert (band == (mask & ~inner)).all()


@given(batches())
def test_holes_and_parts_equal_scipy(masks: list[Mask]) -> None:
    for hole, mask in zip(rle.decode(rle.holes(masks)), masks, strict=True):
        assert (hole == (ndimage.binary_fill_holes(mask) & ~mask)).all()
    for found, square in ((rle.parts(masks, 4), None), (rle.parts(masks), np.ones((3, 3)))):
        assert len(found) == len(found.masks) == len(found.rows)
        assert (np.diff(found.rows) >= 0).all()
        drawn = rle.decode(found.masks)
        for row, mask in enumerate(masks):
            ours = [drawn[k] for k in np.flatnonzero(found.rows == row)]
            labels, count = ndimage.label(mask.T, square)  # by columns, as ours are ordered
            assert len(ours) == count
            for k, part in enumerate(ours, 1):
                assert (part == (labels == k).T).all()


@given(batches(), st.sampled_from([0.0, 0.3, 0.7]), st.data())
def test_nms_equals_a_plain_loop(masks: list[Mask], threshold: float, data: st.DataObject) -> None:
    n = len(masks)
    score = st.sampled_from([0.1, 0.5, 0.9, float("nan")])
    scores = data.draw(st.lists(score, min_size=n, max_size=n))
    groups = data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    overlap = rle.iou(masks, masks)
    order = sorted(range(n), key=lambda k: (-scores[k] if scores[k] == scores[k] else 1, k))
    kept: list[int] = []
    for k in order:
        if not any(groups[k] == groups[j] and overlap[k, j] > threshold for j in kept):
            kept.append(k)
    assert rle.nms(masks, scores, threshold, groups).tolist() == kept


def test_no_mask_at_all() -> None:
    assert rle.encode([]) == rle.decode([]) == []
    assert rle.iou([], []).shape == (0, 0)
    assert rle.iou(np.ones((2, 2)), []).shape == (1, 0)
    for function in (rle.boundary, rle.holes):
        assert len(function([])) == 0
    assert len(rle.parts([])) == 0
    assert len(rle.nms([], [])) == 0
    assert len(rle.area(np.zeros((0, 3, 3)))) == 0


@pytest.mark.parametrize(
    ("masks", "error", "what"),
    [
        (
            [{"size": [2, 2], "counts": "13"}, {"size": [2, 2], "counts": "9"}],
            ValueError,
            "mask 1: ",
        ),
        ({"size": [2, 2], "counts": [1, 1]}, ValueError, "mask 0: its runs end before the image"),
        ({"size": [2, 2], "counts": [1, 9]}, ValueError, "mask 0: its runs are longer"),
        ({"size": [2, 2], "counts": [5, -1]}, ValueError, "mask 0: a run length is negative"),
        ({"size": [2, 2], "counts": [1.5, 2.5]}, ValueError, "list of whole numbers"),
        ({"size": [2, 2]}, ValueError, "list of whole numbers"),
        ({"size": [2], "counts": "4"}, ValueError, r"its size is \[height, width\]"),
        ({"counts": "4"}, ValueError, r"its size is \[height, width\]"),
        ({"size": [0, 2], "counts": ""}, ValueError, "0 x 2 pixels is not usable"),
        ({"size": [2, 2], "counts": "4\u00fc"}, ValueError, "holds a character"),
        (np.ones(4), ValueError, "1 dimensions"),
        ([[1, 2], [3, 4]], TypeError, "mask 0: .* not a list"),
        ([np.ones(3)], TypeError, "mask 0: .* not a 1-D array"),
        ("44", TypeError, "not str"),
        (None, TypeError, "not NoneType"),
    ],
)
def test_what_is_no_mask_is_refused(masks: Any, error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=what):
        rle.area(masks)


def test_images_that_are_none_or_too_large_are_refused() -> None:
    huge = np.broadcast_to(np.zeros(1, np.uint8), (2**16, 2**16))  # one byte of memory
    for read in (rle.from_dense, rle.from_label_image, rle.area):
        with pytest.raises(ValueError, match="65536 x 65536 pixels is too large"):
            read(huge)
    for read in (rle.from_dense, rle.from_label_image):
        with pytest.raises(ValueError, match="2 dimensions, not 3"):
            read(np.zeros((1, 2, 3), np.uint8))
    with pytest.raises(ValueError, match="too large"):
        rle.paste(np.ones((2, 2)), [(0, 0)], heights=[2**16], widths=[2**16])


def test_wrong_calls_are_refused() -> None:
    small, large = np.ones((2, 2)), np.ones((3, 3))
    for call in (lambda: rle.iou(small, large), lambda: rle.merge([small, large])):
        with pytest.raises(ValueError, match="not all of one image size"):
            call()
    with pytest.raises(ValueError, match="no mask to merge"):
        rle.merge([])
    with pytest.raises(ValueError, match="crowd has shape"):
        rle.iou(small, small, [True, False])
    with pytest.raises(ValueError, match="at least 1 pixel"):
        rle.boundary(small, 0)
    with pytest.raises(ValueError, match="connectivity is 4 or 8"):
        rle.parts(small, 6)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="scores has shape"):
        rle.nms(small, [1, 2])
    with pytest.raises(ValueError, match="groups has shape"):
        rle.nms(small, [1], groups=[1, 2])
