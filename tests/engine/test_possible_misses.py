"""Proposals on validation images that may be of objects which people missed: which are asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import curate
from curate.dataset.table import MaskTable
from curate.engine.coco_writing import MASK_COLUMNS, ListedImage, write_coco
from curate.engine.confident_masks import (
    LINE_SIGNALS,
    Strictness,
    choose_lines,
    find_places,
)
from curate.engine.possible_misses import (
    FEWEST_MOST,
    LEAST_CONFIDENT,
    MOST_ASKED,
    find_possible_misses,
)
from curate.rle import encode_counts, from_dense

SIDE = 120
Box = tuple[int, int, int, int]


def table(folder: Path, name: str, boxes: list[tuple[int, Box]], first: int = 1) -> MaskTable:
    """Return rectangles as masks: image, top, left, height, width."""
    rows = []
    for image, (top, left, height, width) in boxes:
        mask = np.zeros((SIDE, SIDE), bool)
        mask[top : top + height, left : left + width] = True
        rows.append((image, encode_counts(from_dense(mask))[0].as_py(), "cell", np.nan, np.nan))
    images = [ListedImage(k, f"{k}.png", SIDE, SIDE) for k in (1, 2)]
    write_coco(
        folder / name, images, pd.DataFrame(rows, columns=list(MASK_COLUMNS)), ["cell"], first
    )
    return curate.read(folder / name)


def signals(proposals: MaskTable, values: list[float]) -> pd.DataFrame:
    """Return all three signals as one value, in the order of the ids."""
    columns = dict.fromkeys(LINE_SIGNALS, np.array(values, np.float64))
    return pd.DataFrame(columns, np.sort(proposals.masks.index))


TRUE = [(1, (10, 10, 20, 20)), (1, (10, 50, 20, 20)), (2, (10, 10, 20, 20)), (2, (50, 50, 20, 20))]
MISSED = (1, (60, 60, 20, 20))


def test_confident_proposals_without_a_mask_are_asked_about(tmp_path: Path) -> None:
    truth = table(tmp_path, "truth.json", TRUE)
    other, weak = (2, (90, 10, 20, 20)), (2, (90, 90, 20, 20))
    part, whole = (1, (10, 10, 10, 20)), (2, (40, 40, 45, 45))
    proposals = table(tmp_path, "made.json", [*TRUE, MISSED, other, weak, part, whole], 10)
    known = signals(proposals, [0.6, 0.7, 0.8, 0.9, 0.7, 0.95, 0.1, 0.9, 0.9])
    assert find_possible_misses(proposals, truth, known) == [15, 14]  # the surest first
    known.loc[15, LINE_SIGNALS[0]] = np.nan
    assert find_possible_misses(proposals, truth, known) == [14]


def test_each_object_is_asked_about_once(tmp_path: Path) -> None:
    truth = table(tmp_path, "truth.json", TRUE)
    near, inside = (1, (61, 60, 20, 20)), (1, (62, 62, 10, 10))
    proposals = table(tmp_path, "made.json", [*TRUE, MISSED, near, inside], 10)
    known = signals(proposals, [0.6, 0.7, 0.8, 0.9, 0.7, 0.8, 0.75])
    assert find_possible_misses(proposals, truth, known) == [15]
    earlier = table(tmp_path, "asked.json", [MISSED], 3)
    assert find_possible_misses(proposals, truth, known, [earlier]) == [16]  # no part of it was
    other = table(tmp_path, "other.json", [(2, MISSED[1])], 3)
    assert find_possible_misses(proposals, truth, known, [other]) == [15]


def test_few_are_asked_about(tmp_path: Path) -> None:
    places = [(k // 10 * 12, k % 10 * 12, 5, 5) for k in range(100)]
    truth = table(tmp_path, "truth.json", [(1, one) for one in places])
    proposals = table(tmp_path, "made.json", [(k, one) for k in (1, 2) for one in places])
    known = signals(proposals, np.linspace(0, 1, 200).tolist())
    found = find_possible_misses(proposals, truth, known)
    assert len(found) == max(FEWEST_MOST, MOST_ASKED * len(truth)) == 10
    assert found == list(range(200, 190, -1))
    few = find_possible_misses(proposals, truth[np.arange(100) < 40], known)
    assert len(few) == FEWEST_MOST


def test_nothing_is_asked_about_without_anything_to_compare_with(tmp_path: Path) -> None:
    truth, nothing = (table(tmp_path, f"{n}.json", TRUE[:n]) for n in (4, 0))
    proposals = table(tmp_path, "made.json", [MISSED])
    known = signals(proposals, [0.9])
    assert find_possible_misses(proposals, truth, known) == []  # none matches a mask
    assert find_possible_misses(proposals, nothing, known) == []
    assert find_possible_misses(nothing, truth, signals(nothing, [])) == []
    both = table(tmp_path, "both.json", [MISSED, TRUE[0]])
    unknown = signals(both, [0.9, np.nan])
    assert find_possible_misses(both, truth, unknown) == []


def test_places_are_shares_of_what_they_are_compared_with() -> None:
    frame = pd.DataFrame({name: [0.1, 0.4, 0.3, np.nan] for name in LINE_SIGNALS})
    frame[LINE_SIGNALS[0]] = [5.0, 6.0, 7.0, 8.0]
    assert find_places(frame, frame)[:3].tolist() == pytest.approx([0.25, 0.5, 2 / 3])
    assert np.isnan(find_places(frame, frame)[3])
    assert 0 < LEAST_CONFIDENT < 1


def test_lines_are_found_again_and_their_promise_holds() -> None:
    """On 300 images people miss one object in twenty; asking about a few brings the lines back.

    A certificate for the labels as they are after some were asked about is one for those that all
    questions would give: fewer of these are bad, so its test passes whenever the other does.
    """
    lost = found = wrong = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        images = np.repeat(np.arange(300), 5)
        real = rng.random(len(images)) < 0.7  # a good proposal of an object
        score = rng.normal(np.where(real, 3.0, 0.0))
        missed = real & (rng.random(len(images)) < 0.05)
        frame = pd.DataFrame({"image_id": images, "good": real & ~missed})
        frame = frame.assign(**dict.fromkeys(LINE_SIGNALS, score))
        strict = Strictness(0.05)
        before = choose_lines(frame, strictness=strict)
        unmatched = np.flatnonzero(~frame["good"])
        asked = unmatched[np.argsort(-score[unmatched])][:105]
        frame.loc[asked, "good"] = real[asked]
        after = choose_lines(frame, strictness=strict)
        lost += before.lines is None
        found += after.lines is not None
        assert after.share >= before.share
        if after.lines is not None:
            # Of all images there are, 0.7 of the proposals are good: the share over the line.
            more = rng.normal(np.where(some := rng.random(200_000) < 0.7, 3.0, 0.0))
            wrong += (~some[more >= after.lines[0]]).mean() > 0.05
    assert (lost, found) == (12, 12)
    assert wrong == 0
