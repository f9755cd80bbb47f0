"""Whatever goes, pruning is never faulty for what readers inferred from the masks that go."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from drawn_masks import encoded
from inferred_datasets import cases

import curate
from curate.errors import SourceError
from curate.formats.edits import Change, Edits
from curate.formats.reading import detect
from curate.writing.checked_write import Expected, write_checked

CASES = {name: build for name, (_, build) in cases().items()}
NOT_READ = {"results-image-absent", "results-image-ids-absent", "results-image-ids-none"}
NOT_READ |= {"sa1b-no-image"}


def check(name: str, folder: Path, some: Iterable[Sequence[int]] | None = None) -> int:
    """Prune a dataset of some masks, or of every subset of them; returns how often."""
    source = CASES[name](folder)
    form, keys = detect(source), curate.read(source).masks["source_key"].tolist()
    n = len(keys)
    done = 0
    for drop in some or itertools.chain(
        *(itertools.combinations(range(n), k) for k in range(n + 1))
    ):
        gone = frozenset(keys[k] for k in drop if k < n)
        out = folder / f"out{done}"
        out.mkdir()
        meant = Expected(n - len(gone), None)
        made = write_checked(form, source, out / source.name, Edits(drop=gone), meant, out)
        assert made.version
        done += 1
    return done


QUICK = [
    *(name for name in CASES if "size" in name or name.startswith("amg")),
    *(f"{kind}-{ids}" for kind in ("coco-ids", "sa1b-ids") for ids in ("text-last", "absent-amid")),
    *("results-image-ids-text", "png-ids", "cvat-no-ids", "yolo-no-names", "coco-images-unlisted"),
]


@pytest.mark.parametrize("name", QUICK)
def test_the_first_mask_goes_and_all_go(tmp_path: Path, name: str) -> None:
    check(name, tmp_path, [[0], range(9)])


@pytest.mark.parametrize("ids", ["text", "absent"])
def test_the_mask_of_the_highest_id_goes_beside_one_without_an_id(tmp_path: Path, ids: str) -> None:
    assert check(f"coco-ids-{ids}", tmp_path, [[2]]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CASES.keys() - NOT_READ))
def test_every_subset_of_masks_goes(tmp_path: Path, name: str) -> None:
    assert check(name, tmp_path) > 1


def test_a_new_mask_in_an_image_whose_masks_have_several_sizes(tmp_path: Path) -> None:
    source = CASES["sa1b-sizes-of-masks-differ"](tmp_path)
    masks = curate.read(source).masks
    row = masks.iloc[2]
    pixels = np.zeros((row["height"], row["width"]), bool)
    pixels[1:4, 2:6] = True
    first, key = masks["source_key"].iloc[0], row["source_key"]
    edits = Edits(drop=frozenset([first]), change={key: Change(counts=encoded(pixels))})
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / source.name
    with pytest.raises(SourceError, match="masks of its image have other sizes"):
        write_checked(detect(source), source, out, edits, Expected(len(masks) - 1, None), out)
