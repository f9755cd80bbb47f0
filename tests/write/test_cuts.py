"""Nothing but the masks that are meant goes, however a file is written."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from cut_cases import cases, check_case

from curate.formats.edits import Edits
from curate.formats.reading import detect, read


@pytest.mark.parametrize("kind", cases())
def test_nothing_but_the_masks_that_are_meant_is_gone(tmp_path: Path, kind: str) -> None:
    for seed in range(6):
        folder = tmp_path / str(seed)
        folder.mkdir()
        found = check_case(kind, seed, folder, reads=seed == 0)
        assert found[2] == [], f"{kind} {seed}"


@pytest.mark.parametrize("kind", cases())
def test_the_judge_sees_another_mask_gone_and_one_that_is_left(tmp_path: Path, kind: str) -> None:
    seen = 0
    for seed in range(8):
        case = cases()[kind](random.Random(f"{kind} {seed}"))
        source, written = case.build(tmp_path / str(seed)), tmp_path / f"{seed} out" / case.name
        keys = read(source, kind.removesuffix("-json")).masks["source_key"]
        wrong = case.drop ^ {keys.iloc[-1]} if len(keys) else case.drop
        form = detect(source, kind.removesuffix("-json"))
        form.write(source, written, Edits(drop=frozenset(wrong)))
        seen += len(keys) > 0
        assert bool([*case.differences(written)]) == (len(keys) > 0)
    assert seen > 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", cases())
def test_nothing_but_the_masks_that_are_meant_is_gone_many_times(tmp_path: Path, kind: str) -> None:
    """Ten thousand in all; ``reports/writing_back/run.py cuts`` counts them."""
    for seed in range(1_112):
        folder = tmp_path / str(seed)
        folder.mkdir()
        found = check_case(kind, seed, folder, reads=seed % 10 == 0)
        assert found[2] == [], f"{kind} {seed}"
