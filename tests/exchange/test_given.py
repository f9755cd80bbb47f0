"""What people were given: the draws that a file names, and what is made of one that names none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from boxes import box, dataset
from hard_masks import audited, back
from other_tools import TOOLS, Seen

import curate
from curate.errors import SourceError
from curate.people.exchange import import_file, take_back_file, write_queue
from curate.people.exchange.registry import ExportOptions
from curate.people.reviews import open_reviews
from curate.store.audit import StoredAudit
from curate.testing.exchange_contract import draw_all

pytestmark = pytest.mark.filterwarnings(  # pycocotools
    "ignore:__array__ implementation:DeprecationWarning"
)
EVERY = pytest.mark.parametrize("tool", TOOLS)


@pytest.fixture
def pictured(tmp_path: Path) -> StoredAudit:
    """Return an audit of three images with four boxes each, with pictures."""
    return audited(dataset(), tmp_path / "audited")


def drawn(audit: StoredAudit, masks: list[int], kind: str = "errors") -> pd.DataFrame:
    """Return some masks as a queue of a draw that is recorded."""
    rows = everything_of(audit)
    rows = rows[rows["mask_id"].isin(masks)]
    record = rows[["mask_id"]].assign(inclusion_probability=0.5)
    number = open_reviews(audit, create=True).record_draw(kind, record, {})
    return rows.assign(draw_id=number, slot=0, queue_kind=kind)


def everything_of(audit: StoredAudit) -> pd.DataFrame:
    """Return all masks as a queue; nothing is recorded."""
    return curate.queue(audit, actions=("accept", "review", "reject"))


def sent(audit: StoredAudit, rows: pd.DataFrame, folder: Path, name: str) -> Path:
    """Write a queue for a tool."""
    out = folder / f"queue{ {'huggingface': '.parquet', 'coco': '.json'}.get(name, '') }"
    write_queue(audit, rows, out, name)
    return out


def without(*masks: int) -> Any:
    """Return a change: some masks are removed."""

    def change(name: str, seen: list[Seen]) -> list[Seen]:
        return [one for one in seen if int(one.mask_id) not in masks]

    return change


def actions(audit: StoredAudit) -> dict[int, str]:
    kept = open_reviews(audit).decisions()
    return dict(zip(kept["mask_id"].tolist(), kept["action"].tolist(), strict=True))


@EVERY
def test_an_older_draw_is_not_held_against_a_larger_newer_one(
    pictured: StoredAudit, tmp_path: Path, tool: str
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
def test_crops_are_of_the_draw_that_they_name(
    pictured: StoredAudit, tmp_path: Path, tool: str
) -> None:
    """Also one whose mask is gone, which is then rejected for that draw."""
    name, use = TOOLS[tool]
    rows = drawn(pictured, [1, 2, 5, 6])
    out = tmp_path / f"queue{'.parquet' if name == 'huggingface' else ''}"
    write_queue(pictured, rows, out, name, how=ExportOptions(True))
    drawn(pictured, list(range(1, 13)), "estimate")
    back(pictured, use(out, without(2)))
    assert actions(pictured) == {1: "accept", 2: "reject", 5: "accept", 6: "accept"}
    assert set(open_reviews(pictured).decisions()["draw_id"]) == {1}


@EVERY
def test_two_draws_in_one_export(pictured: StoredAudit, tmp_path: Path, tool: str) -> None:
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


def test_draws_of_another_copy_of_the_audit_say_nothing(
    pictured: StoredAudit, tmp_path: Path
) -> None:
    """There, draw 1 holds other masks; what fits is looked for."""
    rows = everything_of(pictured)
    rows = rows[rows["mask_id"].isin([1, 2, 3])].assign(draw_id=1, slot=0)
    drawn(pictured, [9, 10])
    drawn(pictured, [1, 2, 3, 5])
    use = TOOLS["COCO"][1]
    back(pictured, use(sent(pictured, rows, tmp_path, "coco"), without(2)))
    assert actions(pictured) == {1: "accept", 2: "reject", 3: "accept"}


def test_without_a_named_draw_the_smallest_that_fits(pictured: StoredAudit, tmp_path: Path) -> None:
    rows = drawn(pictured, [1, 2, 5, 6]).drop(columns=["draw_id", "slot"])
    draw_all(pictured)  # a larger draw, and later
    back(pictured, TOOLS["COCO"][1](sent(pictured, rows, tmp_path, "coco"), without(2)))
    assert actions(pictured) == {1: "accept", 2: "reject", 5: "accept", 6: "accept"}


@pytest.mark.parametrize("other", [[1, 2, 5, 6, 8], [9, 10]])
def test_two_draws_that_may_both_be_meant_are_asked_about(
    pictured: StoredAudit, tmp_path: Path, other: list[int]
) -> None:
    """Both hold all of it, or one holds the rest of it."""
    masks = [1, 2, 5, 6, 7]
    rows = drawn(pictured, masks)
    drawn(pictured, other)
    every = everything_of(pictured)
    rows = every[every["mask_id"].isin({*masks, *other} - {7, 8})]
    path = sent(pictured, rows, tmp_path, "coco")
    with pytest.raises(SourceError, match=r"it may be of draw \d, of draw \d, or of both; name"):
        back(pictured, path)
    back(pictured, path, exported=1)
    assert actions(pictured)[7] == "reject"


def overlapping(audit: StoredAudit) -> pd.DataFrame:
    """Return a queue of a recorded draw whose masks 1, 2 and 5 a second person gets too."""
    rows = everything_of(audit)
    rows = rows[rows["mask_id"].isin([1, 2, 5, 6])]
    second = rows[rows["mask_id"] != 6]
    both = pd.concat([rows.assign(slot=0), second.assign(slot=1)], ignore_index=True)
    number = open_reviews(audit, create=True).record_draw("errors", both[["mask_id", "slot"]], {})
    return both.assign(draw_id=number)


@EVERY
def test_two_people_without_a_name_are_not_one(
    pictured: StoredAudit, tmp_path: Path, tool: str
) -> None:
    name, use = TOOLS[tool]
    both = overlapping(pictured)
    for slot in (0, 1):
        folder = tmp_path / str(slot)
        folder.mkdir()
        came = use(sent(pictured, both[both["slot"] == slot], folder, name), without(1 + slot))
        with pytest.raises(SourceError, match="does not say whose it is; say who decided: --rev"):
            import_file(pictured, came)
        import_file(pictured, came, reviewer=f"person {slot}")
    kept = open_reviews(pictured).decisions()
    assert kept.groupby("reviewer")["mask_id"].apply(list).to_dict() == {
        "person 0": [1, 2, 5, 6],
        "person 1": [1, 2, 5],
    }
    assert kept.loc[kept["action"] == "reject", "mask_id"].tolist() == [1, 2]


def test_rows_of_two_people_need_a_name_too(pictured: StoredAudit, tmp_path: Path) -> None:
    overlapping(pictured)
    path = tmp_path / "a.csv"
    for text in ("mask_id,decision\n1,accept\n", "mask_id,decision,draw_id\n6,accept,1\n"):
        path.write_text(text)
        with pytest.raises(SourceError, match="two people were given masks of draw 1"):
            import_file(pictured, path)
    path.write_text("mask_id,decision\n9,accept\n")  # only one person can have seen it
    assert import_file(pictured, path).added.decisions == 1


def test_files_without_a_name_count_as_one_persons(pictured: StoredAudit, tmp_path: Path) -> None:
    """Added masks too, as decisions do; the summary says so, and it can be taken back."""
    path = sent(pictured, drawn(pictured, list(range(1, 13))), tmp_path, "cvat")
    use = TOOLS["CVAT for images"][1]

    def adding(name: str, seen: list[Seen]) -> list[Seen]:
        return [*seen, Seen(None, "cat", box(30, 25, 6, 6))]

    import_file(pictured, use(path, adding))
    later = use(path, without(1))
    done = import_file(pictured, later)
    assert (done.added.withdrawn, len(open_reviews(pictured).missing())) == (3, 0)
    assert "(no name)" in done.text()
    take_back_file(pictured, later)
    assert len(open_reviews(pictured).missing()) == 3
