"""Earlier decisions that a draw heeds, known answers for its checks, and its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from curate.common.paths import AnyPath
from curate.errors import CallError
from curate.people.queues.draw_queue import QueueDraw
from curate.people.queues.population import PastReviews
from curate.people.queues.sampling import agreed_answers, read_answers
from curate.people.reviews import has_reviews, open_reviews
from curate.store.audit import StoredAudit


def past_reviews(opened: StoredAudit) -> PastReviews:
    """Return the masks that people decided on, or had drawn for them, before."""
    return PastReviews.of(open_reviews(opened)) if has_reviews(opened) else PastReviews()


def known_answers(
    opened: StoredAudit, file: AnyPath | None, honeypots: float
) -> pd.Series[Any] | None:
    """Return known answers for checks of people: "accept" or "reject" by ``mask_id``.

    Args:
        opened: The audit.
        file: A CSV file of them; None takes those on which people agreed.
        honeypots: Share of the rows that are such checks.

    Raises:
        CurateError: The file cannot be used, or is given though there are no checks.
    """
    if not honeypots:
        if file is not None:
            raise CallError("known answers are given, but no honeypots", "queue", "add --honeypots")
        return None
    if file is not None:
        return read_answers(Path(file))
    return agreed_answers(open_reviews(opened).resolve_labels()) if has_reviews(opened) else None


def next_draw(opened: StoredAudit) -> int:
    """Return the number that the next draw of an audit will have."""
    numbers = open_reviews(opened).draws()["draw_id"] if has_reviews(opened) else ()
    return int(max(numbers, default=0)) + 1


def record_drawn(opened: StoredAudit, drawn: QueueDraw, number: int | None = None) -> int:
    """Record a draw, so that decisions know why their mask was shown, and return its number.

    Args:
        opened: The audit.
        drawn: The draw.
        number: The number that it must have; None for the next one.

    Raises:
        CallError: Another draw has that number.
    """
    reviews = open_reviews(opened, create=True)
    return reviews.record_draw(drawn.kind, drawn.record, drawn.settings, draw_id=number)
