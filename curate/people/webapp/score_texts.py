"""Titles and explanations of the scores on a card."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from curate.people.webapp.shown_queue import ShownQueue
from curate.render.formatting import title_of
from curate.store.audit_records import References

_PLAIN = ("predicted_iou", "score")


@dataclass(frozen=True)
class ScoreTerm:
    """A score: its column, its title, and the meaning of a low value."""

    column: str
    title: str
    words: str


HALF = 0.5
"""A score is low below this where nothing says what is usual in the dataset."""

_PERFECT = 0.995
"""What is shown as 1.00, or nearly so, is never called low."""


def read_usual(references: References | None) -> dict[str, float]:
    """Return, by score, the value that nine masks in ten of an audit's dataset reach.

    Args:
        references: Of the audit; None: nothing is known.
    """
    reference = references["quality"] if references else {}
    return {name: float(one["usual"]) for name, one in reference.items()}


def is_low(value: float, usual: float | None) -> bool:
    """Return whether a score is below the usual value of its dataset, where that is known."""
    return value < _PERFECT and value < (HALF if usual is None else usual)


@cache
def describe_scores() -> dict[str, ScoreTerm]:
    """Return the terms of all scores, by column."""
    from curate.reporting.methods import OWN_TERMS
    from curate.scorers import columns

    terms = {t.column: ScoreTerm(t.column, t.title, t.low_means) for t in OWN_TERMS}
    own = columns().values()
    terms |= {c.name: ScoreTerm(c.name, c.title, c.low_means) for c in own if c.kind == "score"}
    return {
        name: ScoreTerm(name, t.title[:1].upper() + t.title[1:], t.words)
        for name, t in terms.items()
    }


def score_columns(queue: ShownQueue) -> list[ScoreTerm]:
    """Return the scores that people may see of a queue's masks, the quality first if it is one."""
    wanted = [
        name
        for name in queue.files.names
        if (name.endswith("_score") or name in _PLAIN) and name in queue.columns
    ]
    wanted.sort(key=lambda name: name != "quality_score")
    return [describe_scores().get(name) or ScoreTerm(name, title_of(name), "") for name in wanted]
