"""Scores on a card: which, and whether one is low."""

from __future__ import annotations

from curate.people.webapp.shown_queue import ShownQueue
from curate.render.formatting import title_of
from curate.reporting.methods import ColumnTerm, column_terms
from curate.store.audit_records import References

_PLAIN = ("predicted_iou", "score")


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


def score_columns(queue: ShownQueue) -> list[ColumnTerm]:
    """Return the scores that people may see of a queue's masks, the quality first if it is one."""
    wanted = [
        name
        for name in queue.files.names
        if (name.endswith("_score") or name in _PLAIN) and name in queue.columns
    ]
    wanted.sort(key=lambda name: name != "quality_score")
    return [column_terms().get(name) or ColumnTerm(name, title_of(name)) for name in wanted]
