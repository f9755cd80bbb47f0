"""Why people rejected or fixed a mask: tags and a comment, beside the decision."""

from __future__ import annotations

import pandas as pd
import pytest

import curate
from curate.errors import CallError, SourceError
from curate.people.reviews import Reviews
from curate.people.reviews.decision_notes import DEFAULT_TAGS, DecisionNote, NewNote, check_tags

pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture
def opened(audit) -> curate.Audit:
    return curate.open_audit(audit.path)


def reject(reviews: Reviews, mask_id: int, key: str) -> None:
    rows = {"mask_id": [mask_id], "action": ["reject"], "reviewer": ["ann"], "key": [key]}
    reviews.add(pd.DataFrame(rows), origin="page")


def test_the_last_note_of_a_decision_is_in_the_reason(
    opened: curate.Audit, reviews: Reviews
) -> None:
    reject(reviews, 1, "d1")
    assert opened.masks(["reasons"]).loc[1, "reasons"] == "rejected by ann"
    first = NewNote("d1", "ann", DecisionNote(("duplicate",)), "n1")
    said = DecisionNote(("several objects", "torn"), "two; cells\ntouch")
    second = NewNote("d1", "ann", said, "n2")
    assert reviews.add_notes([first]) == 1
    assert opened.masks(["reasons"]).loc[1, "reasons"] == "rejected by ann (duplicate)"
    assert reviews.add_notes([second, first]) == 1, "what is sent twice is written once"
    words = "rejected by ann (several objects, torn: two, cells touch)"
    assert opened.masks(["reasons"]).loc[1, "reasons"] == words
    (note,) = reviews.notes().values()
    assert note == second.note


def test_a_note_is_of_the_person_who_decided(reviews: Reviews) -> None:
    reject(reviews, 1, "d1")
    for about in (("d1", "bob"), ("d9", "ann")):
        with pytest.raises(SourceError, match="no such decision of that person"):
            reviews.add_notes([NewNote(*about, DecisionNote(("duplicate",)), "n1")])
    assert not reviews.notes()


def test_a_project_has_its_own_tags(opened: curate.Audit) -> None:
    done = curate.decide(opened, tags=["blurred", "two cells"])
    assert done.info.people is not None
    assert done.info.people["tags"] == ["blurred", "two cells"]
    again = curate.decide(opened, rule="latest")
    assert again.info.people is not None
    assert again.info.people["tags"] == ["blurred", "two cells"]


@pytest.mark.parametrize("tags", [[""], ["a\nb"], ["x" * 61], [f"tag {k}" for k in range(21)]])
def test_tags_are_short_and_few(tags: list[str]) -> None:
    check_tags(DEFAULT_TAGS)
    with pytest.raises(CallError, match="--tags"):
        check_tags(tags)
