"""The scores that people see of a mask, in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from curate.report.words import title_of
from curate.review.queues import Queue

_PLAIN = ("predicted_iou", "score")


@dataclass(frozen=True)
class Term:
    """A score: its column, its title, and what a low value says."""

    column: str
    title: str
    words: str


@cache
def described() -> dict[str, Term]:
    """Return what is known of every score, by column."""
    from curate.report.made import OWN_TERMS
    from curate.scorers import columns

    terms = {t.column: Term(t.column, t.title, t.low_means) for t in OWN_TERMS}
    own = columns().values()
    terms |= {c.name: Term(c.name, c.title, c.low_means) for c in own if c.kind == "score"}
    return {
        name: Term(name, t.title[:1].upper() + t.title[1:], t.words) for name, t in terms.items()
    }


def score_columns(queue: Queue) -> list[Term]:
    """Return the scores that people may see of a queue's masks, the quality first if it is one."""
    wanted = [
        name
        for name in queue.files.names
        if (name.endswith("_score") or name in _PLAIN) and name in queue.columns
    ]
    wanted.sort(key=lambda name: name != "quality_score")
    return [described().get(name) or Term(name, title_of(name), "") for name in wanted]
