"""What people were given: the draws that a file names, and what is made of one that names none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from boxes import dataset
from hard_masks import audited, back, everything
from other_tools import TOOLS, Seen

from curate.decisions import open_reviews
from curate.errors import SourceError
from curate.exchange import write_queue
from curate.store import Audit

pytestmark = pytest.mark.filterwarnings(  # pycocotools
    "ignore:__array__ implementation:DeprecationWarning"
)
EVERY = pytest.mark.parametrize("tool", TOOLS)


@pytest.fixture
def pictured(tmp_path: Path) -> Audit:
    """Return an audit of three images with four boxes each, with pictures."""
    return audited(dataset(), tmp_path / "audited")


def drawn(audit: Audit, masks: list[int], kind: str = "errors") -> pd.DataFrame:
    """Return some masks as a queue of a draw that is recorded."""
    rows = everything_of(audit)
    rows = rows[rows["mask_id"].isin(masks)]
    record = rows[["mask_id"]].assign(inclusion_probability=0.5)
    number = open_reviews(audit, create=True).record_draw(kind, record, {})
    return rows.assign(draw_id=number, slot=0, queue_kind=kind)


def everything_of(audit: Audit) -> pd.DataFrame:
    """Return all masks as a queue; nothing is recorded."""
    from curate.curation.queue import queue

    return queue(audit, actions=("accept", "review", "reject"))


def sent(audit: Audit, rows: pd.DataFrame, folder: Path, name: str) -> Path:
    """Write a queue for a tool."""
    out = folder / f"queue{ {'huggingface': '.parquet', 'coco': '.json'}.get(name, '') }"
    write_queue(audit, rows, out, name)
    return out


def without(*masks: int) -> Any:
    """Return a change: some masks are removed."""

    def change(name: str, seen: list[Seen]) -> list[Seen]:
        return [one for one in seen if int(one.mask_id) not in masks]

    return change


def actions(audit: Audit) -> dict[int, str]:
    kept = open_reviews(audit).decisions()
    return dict(zip(kept["mask_id"].tolist(), kept["action"].tolist(), strict=True))


@EVERY
def test_an_older_draw_is_not_held_against_a_larger_newer_one(
    pictured: Audit, tmp_path: Path, tool: str
) -> None:
    name, use = TOOLS[tool]
    rows = drawn(pictured, [1, 2, 5, 6])
    path = sent(pictured, rows, tmp_path, name)
    drawn(pictured, list(range(1, 13)), "estimate")
    back(pictured, use(path, without(2)))
    assert actions(pictured) == {1: "accept", 2: "reject", 5: "accept", 6: "accept"}
    kept = open_reviews(pictured).decisions()
    assert set(kept["draw_id"]) == {1}
    assert set(kept["queue_kind"]) == {"errors"}


@EVERY
def test_two_draws_in_one_export(pictured: Audit, tmp_path: Path, tool: str) -> None:
    name, use = TOOLS[tool]
    both = pd.concat(
        [drawn(pictured, [1, 2, 3, 5, 6, 7]), drawn(pictured, [9, 10, 11], "learn")],
        ignore_index=True,
    )
    back(pictured, use(sent(pictured, both, tmp_path, name), without(2, 10)))
    rejected = [mask for mask, action in actions(pictured).items() if action == "reject"]
    assert rejected == [2, 10]
    assert len(actions(pictured)) == 9
    kept = open_reviews(pictured).decisions().set_index("mask_id")["draw_id"]
    assert {draw: kept.index[kept == draw].tolist() for draw in (1, 2)} == {
        1: [1, 2, 3, 5, 6, 7],
        2: [9, 10, 11],
    }


def test_draws_of_another_copy_of_the_audit_say_nothing(pictured: Audit, tmp_path: Path) -> None:
    """There, draw 1 holds other masks; what fits is looked for."""
    rows = everything_of(pictured)
    rows = rows[rows["mask_id"].isin([1, 2, 3])].assign(draw_id=1, slot=0)
    drawn(pictured, [9, 10])
    drawn(pictured, [1, 2, 3, 5])
    use = TOOLS["COCO"][1]
    back(pictured, use(sent(pictured, rows, tmp_path, "coco"), without(2)))
    assert actions(pictured) == {1: "accept", 2: "reject", 3: "accept"}


def test_without_a_named_draw_the_smallest_that_fits(pictured: Audit, tmp_path: Path) -> None:
    rows = drawn(pictured, [1, 2, 5, 6]).drop(columns=["draw_id", "slot"])
    everything(pictured)  # a larger draw, and later
    back(pictured, TOOLS["COCO"][1](sent(pictured, rows, tmp_path, "coco"), without(2)))
    assert actions(pictured) == {1: "accept", 2: "reject", 5: "accept", 6: "accept"}


@pytest.mark.parametrize("other", [[1, 2, 5, 6, 8], [9, 10]])
def test_two_draws_that_may_both_be_meant_are_asked_about(
    pictured: Audit, tmp_path: Path, other: list[int]
) -> None:
    """Both hold all of it, or one holds the rest of it."""
    masks = [1, 2, 5, 6, 7]
    rows = drawn(pictured, masks)
    drawn(pictured, other)
    every = everything_of(pictured)
    rows = every[every["mask_id"].isin({*masks, *other} - {7, 8})]
    path = sent(pictured, rows, tmp_path, "coco")
    with pytest.raises(SourceError, match=r"it may be of draw \d, of draw \d, or of both; say"):
        back(pictured, path)
    back(pictured, path, given=1)
    assert actions(pictured)[7] == "reject"
