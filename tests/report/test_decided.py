"""What people decided, in the report: apart from the policy, and no finding of it."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from boxes import dataset
from counted_audit import ANN, counted

import curate
from curate.people.reviews import open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.render.formatting import with_code
from curate.reporting import gallery, mask_selection, queries
from curate.reporting.page import render
from curate.reporting.people_section import decisions
from curate.reporting.queries import ReportSource
from curate.reporting.review_progress import measure_progress
from curate.store.audit import StoredAudit

__all__ = ["counted"]


@pytest.fixture(scope="module")
def source(counted: StoredAudit) -> ReportSource:
    return ReportSource(counted.pin())


def test_decisions_are_counted_by_what_the_policy_had_decided(source: ReportSource) -> None:
    found = decisions(source, added=1)
    assert (found.masks, found.unsettled, found.added, found.without_pixels) == (6, 1, 1, 1)
    rows = {row.name: (row.masks, row.several, row.policy) for row in found.rows}
    assert rows == {
        "accepted": (2, 0, {"accept": 1, "review": 0, "reject": 1}),
        "rejected": (2, 1, {"accept": 2, "review": 0, "reject": 0}),
        "redrawn": (1, 0, {"accept": 1, "review": 0, "reject": 0}),
        "relabelled": (1, 0, {"accept": 1, "review": 0, "reject": 0}),
        "not settled": (1, 1, {"accept": 1, "review": 0, "reject": 0}),
        "added": (1, None, None),
    }
    assert found.overrides == [
        "Of the masks that the policy accepted, people rejected 2, redrew 1 and relabelled 1.",
        "Of the masks that the policy rejected, people accepted 1.",
    ]
    (open_,) = found.open
    assert (open_.mask_id, open_.file_name) == (5, "2.png")
    assert open_.why.startswith("people disagree: 1 accept, 1 reject")


def test_what_people_decided_is_no_finding(source: ReportSource) -> None:
    found, rarer = queries.reasons(source)
    assert rarer == 0
    assert [(reason.masks, reason.reject) for reason in found] == [(1, 1)]
    assert found[0].text.startswith("no usable mask")
    over = queries.overview(source)
    assert dict(over.actions()) == {"accept": 10, "review": 1, "reject": 3}
    assert over.person == {"accept": 4, "review": 1, "reject": 2}


def test_the_gallery_shows_what_people_changed_beside_what_was(source: ReportSource) -> None:
    reasons, _ = queries.reasons(source)
    cards = {card.pick.mask_id: card for card in gallery.cards(source, reasons, None, {})}
    groups = {mask_id: card.pick.group for mask_id, card in cards.items()}
    assert groups.pop(13) == reasons[0].index
    assert {i for i, group in groups.items() if group == mask_selection.NOT_SETTLED} == {5}
    assert {i for i, group in groups.items() if group == mask_selection.CHANGED} == {2, 3, 4, 9}
    assert {i for i, group in groups.items() if group == mask_selection.ACCEPTED} == {
        6,
        7,
        8,
        10,
        11,
        12,
    }
    redrawn = cards[3]
    assert redrawn.twin == gallery.REDRAWN
    assert redrawn.drawing is not None
    assert redrawn.drawing.twin
    assert redrawn.drawing.twin != redrawn.drawing.mine
    assert redrawn.reasons[0].startswith("redrawn by bob (IoU ")
    assert cards[4].reasons == ["relabelled by bob: dog"]
    assert cards[4].twin == ""
    assert gallery.kinds_of_marks(list(cards.values())) == {"redrawn", "overlap"}


def test_the_page_says_what_people_decided_and_how_to_go_on(source: ReportSource) -> None:
    page = render(source.audit)
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())
    for words in (
        "People decided on 6 masks: 2 accepted, 2 rejected, 1 redrawn, 1 relabelled; "
        "1 is not settled; 1 mask was added. People's decisions",
        "1 mask that people accepted has no readable pixels and keeps the policy's action.",
        f"curate write '{source.audit.path}' --out OUT writes this dataset",
        f"curate decide '{source.audit.path}' --rule latest uses the last decision",
        f"rejected by {ANN}",
        "the redrawn mask",
    ):
        assert words in text, words
    assert ANN not in page, "a name is text"
    assert page.count('<span class="key"><i class="k-twin">') == 1, "one line each in the legend"


def test_backticks_become_code_and_all_else_is_escaped() -> None:
    assert str(with_code("run `a <b>` & go")) == "run <code>a &lt;b&gt;</code> &amp; go"


def test_progress_counts_the_queue_and_burns_down(tmp_path: Path) -> None:
    audit = queue_audit(tmp_path)
    times = pd.to_datetime(["2026-01-01 10:00", "2026-01-01 11:00", "2026-01-02 10:00"], utc=True)
    frame = pd.DataFrame({"mask_id": [1, 2, 3], "action": ["reject", "accept", "accept"]})
    frame = frame.assign(reviewer="ann", seconds=[10.0, 20.0, 90.0], time=times)
    open_reviews(audit, create=True).add(frame, origin="test")
    source = ReportSource(open_audit(audit.path).pin())
    left = queries.overview(source).review
    found = measure_progress(source, left)
    assert found is not None
    assert (found.done, found.left, found.total) == (3, 9, 12)
    assert (found.pace, found.remaining) == ("20.0 s", "3 min 0 s")
    assert found.burn_down is not None
    assert [row[1] for row in found.burn_down.rows] == ["11", "10", "9"]
    page = render(open_audit(audit.path))
    assert "<b>3</b> of 12 masks to review are decided (25.0%), <b>9</b> are left." in page
    assert "Left to review, over time" in page
    assert "What to do next</h2>\n<ol><li>decide on 9 masks to review" in page
    assert f'<code class="command">curate review {audit.path}</code>' in page
    assert 'class="badge reject">reject by people' in page


def queue_audit(folder: Path) -> StoredAudit:
    """Return an audit whose policy sends twelve masks to review, and one without decisions."""
    (folder / "source.json").write_text(json.dumps(dataset()))
    audit = curate.audit(folder / "source.json", folder / "audit")
    rule = {"when": "area_px >= 0", "action": "review", "always": True, "reason": "see it"}
    return curate.decide(audit.path, policy={"name": "own", "rule": [rule]})


def test_nothing_is_said_of_progress_before_the_first_decision(tmp_path: Path) -> None:
    audit = queue_audit(tmp_path)
    assert measure_progress(ReportSource(audit), 12) is None
    assert "Progress of the review" not in render(audit)
