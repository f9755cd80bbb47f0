"""A few mutated inputs of every reader, the same each time; ``make fuzz`` reads many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from curate.dataset.table import MaskTable
from curate.errors import SourceError
from curate.formats.reading import read
from fuzz.checks import WrongSuccess, check_coco, check_tables
from fuzz.guards import Watch
from fuzz.inputs import make_input, make_seed
from fuzz.readers import BY_NAME, Input, Reader
from fuzz.worker import Tally, run_one

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # pycocotools
    pytest.mark.filterwarnings("ignore::curate.errors.ReportWarning"),
]
INPUTS = 8


def tally_of(reader: Reader, folder: Path, count: int) -> Tally:
    tally, watch = Tally(), Watch(folder)
    for number in range(count):
        tally.add(number, run_one(reader, number, folder, watch))
    return tally


@pytest.mark.parametrize("name", BY_NAME)
def test_every_input_is_read_or_refused_in_a_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))  # archives set their own: undone
    tally = tally_of(BY_NAME[name], tmp_path, INPUTS)
    assert not tally.finds
    assert tally.read + tally.refused == INPUTS
    assert tally.passed >= 0.3 * INPUTS


def test_what_reads_wrongly_is_found(tmp_path: Path) -> None:
    def lose_a_mask(given: Input) -> None:
        raise WrongSuccess("1 masks of 2 annotations")

    def fail(given: Input) -> None:
        raise ZeroDivisionError

    def refuse(given: Input) -> None:
        raise SourceError("it is broken")

    coco, kinds = BY_NAME["coco"], []
    for reading in (lose_a_mask, fail, refuse):
        tally = tally_of(replace(coco, read=reading), tmp_path, 2)
        assert tally.inputs == 2
        kinds.append([what.split(" at ")[0] for _, what, _ in tally.finds])
    assert kinds == [["wrong: # masks of # annotations"] * 2, ["ZeroDivisionError"] * 2, []]


def test_an_input_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("coco", "cvat", "yolo", "import-huggingface", "reviews.sqlite"):
        made = [make_input(BY_NAME[name], 7, tmp_path / str(k))[0] for k in (1, 2)]
        assert made[0].files == made[1].files


def test_every_change_leaves_most_files_to_the_parser(tmp_path: Path) -> None:
    """At least a quarter of the changed files of each kind is taken by a plain parser."""
    for name, reader in BY_NAME.items():
        passed = [make_input(reader, k, tmp_path)[1] for k in range(24)]
        assert sum(passed) >= 6, name


def test_a_wrong_area_or_pixel_is_seen(tmp_path: Path) -> None:
    given = make_seed(BY_NAME["coco"], 0, tmp_path)
    table = read(given.path)
    for check in (check_tables, check_coco):
        check(given.files, [table])
    masks = table.masks.copy()
    masks.loc[masks.index[0], "area_px"] += 1
    with pytest.raises(WrongSuccess, match="area or box is not that of its counts"):
        check_tables(given.files, [MaskTable(masks, table.images)])
    masks = table.masks.copy()
    first, second = masks.index[:2]
    masks.loc[first, "segmentation"] = table.masks.loc[second, "segmentation"]
    with pytest.raises(WrongSuccess, match="other pixels than the reference"):
        check_coco(given.files, [MaskTable(masks, table.images)])
    with pytest.raises(WrongSuccess, match="masks of"):
        check_coco(given.files, [table[1:]])
