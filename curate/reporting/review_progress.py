"""Progress of the review: what is decided of the queue, what is left over time, and the pace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.common.arrays import IntArray
from curate.people.reviews import has_reviews, open_reviews
from curate.render.formatting import count, seconds
from curate.reporting.people_section import HEIGHT, WIDTH, Chart, path
from curate.reporting.queries import ReportSource

POINTS = 120
"""Steps of the burn-down, at most."""

_FIRST = "select mask_id, min(time) as time from standing group by mask_id"
_PACE = "select seconds from looks where seconds is not null order by decision_id desc limit 2001"


@dataclass(frozen=True)
class ReviewProgress:
    """How far people are with the masks that the policy sends to review.

    Attributes:
        done: Of these, masks that people have settled.
        left: Masks to review now, those that people have not settled included.
        total: Both.
        pace: The median time of a decision, for people; "" where it is not known.
        remaining: How long the rest takes at that pace; "" where it is not known.
        burn_down: Chart of what is left over time; None before the second decision.
    """

    done: int
    left: int
    total: int
    pace: str
    remaining: str
    burn_down: Chart | None


def measure_progress(source: ReportSource, left: int) -> ReviewProgress | None:
    """Return how far people are, or None where nobody has decided on a mask of the queue.

    Args:
        source: The audit.
        left: Masks to review now.
    """
    if not source.has_people or not has_reviews(source.audit):
        return None
    reviews = open_reviews(source.audit)
    settled = source.audit.query(
        "select mask_id from people where policy_action = 'review' and change <> 'unsettled'"
    )
    if not len(settled):
        return None
    with reviews.connect() as connection:
        rows = connection.execute(_FIRST).fetchall()
        took = [row[0] for row in connection.execute(_PACE)]
    times = pd.Series({int(mask): int(time) for mask, time in rows}, dtype="int64")
    when = np.sort(times.reindex(settled["mask_id"]).dropna().to_numpy(np.int64)).astype(np.int64)
    median = float(np.median(took)) if took else None
    return ReviewProgress(
        done=len(settled),
        left=left,
        total=left + len(settled),
        pace="" if median is None else seconds(median),
        remaining="" if median is None or not left else seconds(left * median),
        burn_down=_draw_burn_down(when, left + len(settled)),
    )


def _draw_burn_down(when: IntArray, total: int) -> Chart | None:
    """Draw how many masks of the queue were left after each decision.

    Args:
        when: When each settled mask was first decided, ascending, in microseconds since 1970.
        total: Masks of the queue before the first.
    """
    if len(when) < 2 or when[-1] == when[0]:
        return None
    steps = np.unique(np.linspace(0, len(when) - 1, min(len(when), POINTS)).astype(np.int64))
    across = (when[steps] - when[0]) / (when[-1] - when[0])
    left = total - steps - 1
    corners = [(0.0, 1.0)]
    for x, y in zip(across.tolist(), (left / total).tolist(), strict=True):
        corners += [(x, corners[-1][1]), (x, y)]
    moments = [_name_moment(int(when[k])) for k in (0, -1)]
    return Chart(
        title="Left to review, over time",
        x_title="time of the decision, UTC",
        y_title="masks left",
        lines=[("mean", path(corners))],
        dots=[(WIDTH, (1 - float(left[-1]) / total) * HEIGHT, 4.0)],
        x_ticks=[(40.0, moments[0]), (WIDTH - 40, moments[1])],
        y_ticks=[((1 - k / 4) * HEIGHT, count(round(total * k / 4))) for k in range(5)],
        head=("time", "masks left"),
        rows=[
            (_name_moment(int(when[k])), count(total - k - 1))
            for k in np.unique(np.linspace(0, len(when) - 1, 12).astype(int)).tolist()
        ],
    )


def _name_moment(microseconds: int) -> str:
    return pd.Timestamp(microseconds, unit="us").strftime("%Y-%m-%d %H:%M")
