"""What becomes of a mask when several people decide on it, by each rule."""

from __future__ import annotations

import pytest

from curate.people.reviews.outcomes import Vote, describe_outcome, resolve_votes

ACCEPT = Vote("accept", None, None)
REJECT = Vote("reject", None, None)
FIX = Vote("fix", b"new", None)
OTHER = Vote("fix", b"other", None)
LABEL = Vote("fix", None, "cat")
UNDRAWN = Vote("fix", None, None)


@pytest.mark.parametrize(
    ("votes", "majority", "strictest", "latest"),
    [
        ([ACCEPT], ("kept", 0), ("kept", 0), ("kept", 0)),
        ([REJECT], ("removed", 0), ("removed", 0), ("removed", 0)),
        ([FIX], ("redrawn", 0), ("redrawn", 0), ("redrawn", 0)),
        ([LABEL], ("relabelled", 0), ("relabelled", 0), ("relabelled", 0)),
        ([UNDRAWN], ("unsettled", -1), ("unsettled", -1), ("unsettled", -1)),
        ([ACCEPT, REJECT], ("unsettled", -1), ("removed", 1), ("removed", 1)),
        ([REJECT, ACCEPT], ("unsettled", -1), ("removed", 0), ("kept", 1)),
        ([ACCEPT, REJECT, ACCEPT], ("kept", 2), ("removed", 1), ("kept", 2)),
        ([ACCEPT, FIX, REJECT], ("unsettled", -1), ("removed", 2), ("removed", 2)),
        ([FIX, OTHER], ("unsettled", -1), ("unsettled", -1), ("redrawn", 1)),
        ([FIX, FIX, OTHER], ("redrawn", 1), ("unsettled", -1), ("redrawn", 2)),
        ([FIX, OTHER, ACCEPT], ("unsettled", -1), ("unsettled", -1), ("kept", 2)),
        ([FIX, FIX, ACCEPT], ("redrawn", 1), ("redrawn", 1), ("kept", 2)),
        ([LABEL, FIX, ACCEPT], ("unsettled", -1), ("unsettled", -1), ("kept", 2)),
    ],
)
def test_what_each_rule_makes_of_the_votes(votes, majority, strictest, latest) -> None:
    for rule, expected in (("majority", majority), ("strictest", strictest), ("latest", latest)):
        found = resolve_votes(votes, rule)
        assert (found.change, found.vote) == expected, rule
        assert bool(found.reason) == (found.change == "unsettled")


def test_the_reason_names_who_decided_and_how_many_did_not_agree() -> None:
    votes, names = [ACCEPT, REJECT, ACCEPT], ["ann", "bob", "cid"]
    said = describe_outcome(resolve_votes(votes, "majority"), votes, names, float("nan"))
    assert said == "accepted by 2 of 3 people (ann and cid)"
    assert describe_outcome(resolve_votes([FIX], "latest"), [FIX], ["ann"], 0.934) == (
        "redrawn by ann (IoU 0.93 with the mask before)"
    )
    both = Vote("fix", b"new", "a; b")
    said = describe_outcome(resolve_votes([both], "latest"), [both], [""], 0.5)
    assert said == (
        "redrawn by a person without a name (IoU 0.50 with the mask before), relabelled: a, b"
    )
    votes = [ACCEPT, REJECT]
    said = describe_outcome(resolve_votes(votes, "majority"), votes, ["ann", "bob"], float("nan"))
    assert said == "people disagree: 1 accept, 1 reject (ann and bob)"
