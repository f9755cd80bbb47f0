"""What people did in a round that is repeated with other settings: kept, or asked about again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from engine_project import Stand, masks_of, open_round

import curate
from curate.common import files
from curate.engine import carrying, rounds
from curate.engine.coco_writing import ListedImage, no_masks, write_coco
from curate.engine.round_record import RoundRecord, read_round
from curate.people.reviews import Reviews
from curate.people.reviews.current_plan import open_audit
from curate.people.reviews.decision_notes import DecisionNote
from curate.rle import encode_counts, from_dense
from curate.store.engine_folder import find_open_audit

Box = tuple[int, int, int, int]


def box(image: ListedImage, place: Box) -> bytes:
    """Return the compressed counts of a rectangle: top, left, height, width."""
    mask = np.zeros((image.height, image.width), bool)
    top, left, height, width = place
    mask[top : top + height, left : left + width] = True
    counts: bytes = encode_counts(from_dense(mask))[0].as_py()
    return counts


SAME, MOVED, GONE, NEW = (2, 2, 10, 10), (2, 16, 10, 10), (16, 2, 8, 8), (16, 16, 9, 9)
NEAR = (2, 17, 10, 10)
"""``MOVED`` a pixel to the right: an IoU of 0.82."""


def propose(places: Callable[[int], list[Box]]) -> Callable[..., None]:
    """Return a proposer in the place of a segmenter: rectangles, by the number of the image."""

    def write(folder: Path, _: Path, images: list[ListedImage], *given: Any, **rest: Any) -> None:
        rows = [
            (one.image_id, box(one, place), "object", 0.9, 0.9)
            for k, one in enumerate(images)
            for place in places(k)
        ]
        frame = pd.DataFrame(rows, columns=list(no_masks().columns))
        write_coco(folder / "proposals.json", images, frame, given[0], rest["first_id"])

    return write


def repeat(stand: Stand, points: int = 3, **options: Any) -> Any:
    return stand.engine.repeat(settings={"points_per_side": points}, device="cpu", **options)


def record_of(stand: Stand, number: int) -> RoundRecord:
    record = read_round(stand.project / "rounds" / f"{number:02d}")
    assert record is not None
    return record


@pytest.fixture
def squares(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """The open round proposes three rectangles an image; the next ones others."""
    monkeypatch.setattr(rounds, "write_proposals_of", propose(lambda k: [SAME, MOVED, GONE]))
    repeat(stand)
    monkeypatch.setattr(rounds, "write_proposals_of", propose(lambda k: [SAME, NEAR, NEW]))
    return stand


def images_of(stand: Stand) -> list[ListedImage]:
    """Return the images of the open round."""
    audit = open_audit(find_open_audit(stand.project))
    found = audit.images(["file_name", "height", "width"]).sort_index()
    return [
        ListedImage(int(str(k)), row["file_name"], int(row["height"]), int(row["width"]))
        for k, row in found.iterrows()
    ]


def ids_of(reviews: Reviews, image: ListedImage) -> list[int]:
    """Return the proposals of an image, in their order."""
    sql = "select mask_id from masks where image_id = ? order by mask_id"
    return [int(k) for k in reviews.audit.query(sql, [image.image_id])["mask_id"]]


def decide(reviews: Reviews, actions: dict[int, str], who: str = "ann", **columns: Any) -> None:
    frame = pd.DataFrame({"mask_id": list(actions), "action": list(actions.values())})
    frame = frame.assign(reviewer=who, seconds=2.0, **columns).astype({"mask_id": "int64"})
    reviews.add(frame, origin="test")


def none() -> pd.DataFrame:
    return pd.DataFrame({"mask_id": pd.Series([], dtype="int64"), "action": []})


def people_of(stand: Stand) -> pd.DataFrame:
    """Return what became of the proposals of the open round."""
    audit = open_audit(find_open_audit(stand.project))
    if not audit.has_people():
        return pd.DataFrame({"change": []})
    sql = "select mask_id, change, segmentation, reviewers, iou from people order by mask_id"
    return audit.query(sql).set_index("mask_id")


def test_each_decision_is_carried_where_it_still_fits(squares: Stand) -> None:
    one, two, three, four = images_of(squares)
    reviews = open_round(squares.project, squares.clock)
    for image in (one, two):
        same, moved, gone = ids_of(reviews, image)
        decide(reviews, {same: "accept", moved: "accept", gone: "accept"})
    same, moved, gone = ids_of(reviews, three)
    decide(reviews, {same: "reject", moved: "reject", gone: "reject"}, note=None)
    looked = pd.DataFrame({"image_id": [k.image_id for k in (one, two, three, four)]})
    drawn = pd.DataFrame(
        {
            "image_id": [two.image_id, four.image_id],
            "segmentation": [box(two, NEW), box(four, (28, 28, 6, 6))],
        }
    )
    reviews.add(
        none(),
        origin="test",
        missing=drawn.assign(reviewer="bob", seconds=20.0),
        reviewed_images=looked.assign(reviewer="bob", seconds=3.0),
    )
    asked = repeat(squares, 4)
    assert asked.round == 3
    record, old = record_of(squares, 3), record_of(squares, 2)
    # Accepted: the same, one that is redrawn to what was taken; of the third nothing is proposed.
    # NEW is proposed where bob drew it. Rejected: the same; the moved one is asked about again.
    assert record.carried == {
        "decided": 2 * 2 + 1 + 1,
        "redrawn": 2,
        "added": 2 + 1,
        "searched": 3,
        "asked_again": 1,
        "searched_again": 1,
        "seconds": 7 * 2.0 + 2 * 20 + 3 * 3.0,
        "untimed": 0,
    }
    assert "carried over: decisions on 6 masks (2 drawn otherwise now" in asked.text()
    assert "3 masks that people made and nothing proposes, searches of 3 images" in asked.text()
    assert "asked again: 1 mask that was rejected or not settled" in asked.text()
    assert "to be searched again: 1 image, where an undecided mask" in asked.text()
    found, reviews = people_of(squares), open_round(squares.project, squares.clock)
    for image, changes in (
        (one, ["kept", "redrawn", None]),
        (two, ["kept", "redrawn", "kept"]),
        (three, ["removed", None, None]),
        (four, [None, None, None]),
    ):
        got = [found["change"].get(k) for k in ids_of(reviews, image)]
        assert got == changes, image
    near = ids_of(reviews, one)[1]
    assert bytes(found.loc[near, "segmentation"]) == box(one, MOVED)
    assert found.loc[near, "iou"] == pytest.approx(9 / 11)
    assert list(found.loc[ids_of(reviews, two)[2], "reviewers"]) == ["bob"]
    searched = set(reviews.reviewed_images()["image_id"].tolist())
    assert searched == {k.image_id for k in (one, two, three)}  # MOVED of four is gone

    work = squares.engine.status().now
    assert "6 masks of 12 to decide on, 1 image of 4 to search" in work.text()
    squares.engine.close_round()
    masks = masks_of(squares.project / "rounds/03/masks.json")
    wanted = {(k.file_name, box(k, place)) for k in (one, two) for place in (SAME, MOVED, GONE)}
    wanted |= {(two.file_name, box(two, NEW)), (four.file_name, box(four, (28, 28, 6, 6)))}
    assert masks == wanted  # all that people took, made and added, and nothing else
    ledger = squares.engine.status().rounds.set_index("round")
    total = 9 * 2.0 + 2 * 20 + 4 * 3.0
    assert ledger.loc[3, "people_s"] == 63.0
    assert ledger.loc[2, "people_s"] == pytest.approx(total - 63.0)
    assert old.people is not None
    assert old.people["accepted"] == 0
    origin = squares.project / "rounds/03/masks.json.provenance.parquet"
    by = pd.read_parquet(origin)
    assert {name for names in by["reviewers"] for name in names} == {"ann", "bob"}


def test_people_who_disagree_go_on_disagreeing(squares: Stand) -> None:
    image = images_of(squares)[0]
    reviews = open_round(squares.project, squares.clock)
    same, moved, gone = ids_of(reviews, image)
    decide(reviews, {same: "accept", moved: "fix", gone: "fix"})
    decide(reviews, {same: "reject", moved: "reject"}, "bob")
    decide(reviews, {same: "fix"}, "cy", segmentation=[box(image, NEAR)])
    tag = DecisionNote(("wrong outline",), "too small")
    decide(reviews, {gone: "reject"}, "dee", note=[tag])
    before = people_of(squares)
    repeat(squares, 4)
    reviews = open_round(squares.project, squares.clock)
    after, first = people_of(squares), ids_of(reviews, image)[0]
    assert before.loc[same, "change"] == after.loc[first, "change"] == "unsettled"
    kept = reviews.decisions().set_index("reviewer")
    assert kept["mask_id"].eq(first).all()
    assert kept["action"].to_dict() == {"ann": "accept", "bob": "reject", "cy": "fix"}
    record = record_of(squares, 3)
    assert record.carried is not None
    assert (record.carried["decided"], record.carried["asked_again"]) == (1, 1)


def test_notes_and_changed_minds_are_carried(squares: Stand) -> None:
    image = images_of(squares)[0]
    reviews = open_round(squares.project, squares.clock)
    same = ids_of(reviews, image)[0]
    decide(reviews, {same: "accept"})
    decide(reviews, {same: "reject"}, note=[DecisionNote(("duplicate",), "see above")])
    repeat(squares, 4)
    reviews = open_round(squares.project, squares.clock)
    only = reviews.decisions()
    assert only["action"].tolist() == ["reject"]  # what ann said last
    assert only["seconds"].tolist() == [4.0]  # of all that she did with it
    assert [note.comment for note in reviews.notes().values()] == ["see above"]
    assert record_of(squares, 2).people is not None


def test_a_round_is_repeated_again_and_again(squares: Stand, monkeypatch: Any) -> None:
    """Nothing is lost over several; what fits again comes back as it was."""
    image = images_of(squares)[0]
    reviews = open_round(squares.project, squares.clock)
    decide(reviews, dict.fromkeys(ids_of(reviews, image), "accept"))
    taken = {(image.file_name, box(image, place)) for place in (SAME, MOVED, GONE)}
    repeat(squares, 4)
    monkeypatch.setattr(rounds, "write_proposals_of", propose(lambda k: [GONE]))
    repeat(squares, 5)
    monkeypatch.setattr(rounds, "write_proposals_of", propose(lambda k: [SAME, MOVED, GONE]))
    asked = repeat(squares, 6)
    assert asked.round == 5
    found = people_of(squares)
    assert found["change"].tolist() == ["kept"] * 3
    squares.engine.close_round()
    assert masks_of(squares.project / "rounds/05/masks.json") == taken
    ledger = squares.engine.status().rounds.set_index("round")
    assert ledger["people_s"].tolist()[2:] == [0, 0, 0, 6]


def test_killed_at_any_file_it_carries_the_same(
    squares: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = images_of(squares)[0]
    reviews = open_round(squares.project, squares.clock)
    decide(reviews, dict.fromkeys(ids_of(reviews, image), "accept"))
    kills = 0
    while True:
        left = 2 + kills

        def kill(operation: str, path: Path) -> int | None:
            nonlocal left
            if operation == "replace" and squares.project in path.parents:
                left -= 1
                if not left:
                    raise KeyboardInterrupt
            return None

        monkeypatch.setattr(files, "_hook", kill)
        try:
            repeat(squares, 4)
            break
        except KeyboardInterrupt:
            kills += 1
        finally:
            monkeypatch.setattr(files, "_hook", None)
    assert kills > 2
    with monkeypatch.context() as patched:
        patched.setattr(carrying, "measure_uncarried", None)  # once is enough
        squares.next()
    found = people_of(squares)
    assert found["change"].tolist() == ["kept", "redrawn"]
    assert len(open_round(squares.project, squares.clock).missing()) == 1
    record = record_of(squares, 3)
    assert record.carried is not None
    assert (record.carried["decided"], record.carried["added"]) == (2, 1)
    assert record_of(squares, 2).people["seconds"] == 0  # type: ignore[index]


def test_killed_behind_the_writing_it_is_written_once(
    squares: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People may have gone on by then: what they said in the new round stands."""
    image = images_of(squares)[0]
    reviews = open_round(squares.project, squares.clock)
    decide(reviews, dict.fromkeys(ids_of(reviews, image), "accept"))
    with monkeypatch.context() as patched:

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(carrying, "measure_uncarried", die)
        with pytest.raises(KeyboardInterrupt):
            repeat(squares, 4)
    assert squares.engine.status().now.needs == "machine"
    reviews = open_round(squares.project, squares.clock)
    same, _, new = ids_of(reviews, image)
    decide(reviews, {same: "reject", new: "reject"}, "bob")
    count = len(reviews.decisions())
    assert squares.next().needs == "people"
    assert len(reviews.decisions()) == count
    found = people_of(squares)
    assert found.loc[new, "change"] == "removed"
    record = record_of(squares, 3)
    assert record.carried is not None
    assert record.carried["decided"] == 1  # the other one was decided on since


def test_a_killed_round_that_is_repeated_carries_from_the_one_before(
    squares: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = images_of(squares)[0]
    reviews = open_round(squares.project, squares.clock)
    decide(reviews, dict.fromkeys(ids_of(reviews, image), "accept"))
    with monkeypatch.context() as patched:

        def die(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(rounds, "audit_proposals", die)
        with pytest.raises(KeyboardInterrupt):
            repeat(squares, 4)
    assert repeat(squares, 5).round == 4
    record = record_of(squares, 4)
    assert record.carried is not None
    assert record.carried["decided"] == 2
    assert record_of(squares, 3).people is not None
    assert len(curate.read(squares.project / "rounds/04/proposals.json")) == 12
