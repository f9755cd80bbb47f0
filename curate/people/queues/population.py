"""The masks of an audit that a queue can be drawn from, and each kind's draw of them.

Only the columns that a draw needs are read: of random samples and of masks to learn from 24 bytes
a mask, of errors the ids of those that are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd

from curate.common.arrays import IntArray
from curate.common.ranges import MOST, check_numbers
from curate.errors import AuditError, CallError
from curate.people.queues import sampling
from curate.people.queues.look_times import LookTimes, finds_per_second
from curate.people.queues.sampling import POOL_FACTOR, draw_learn
from curate.people.reviews.current_plan import open_audit
from curate.people.reviews.recorded_draws import (
    DrawRegistry,
    DrawSettings,
    RecordedDraw,
    read_recorded_draws,
)
from curate.policy.grammar import check_actions
from curate.policy.plan import ORDER_SQL
from curate.store.audit import AnyAudit, StoredAudit
from curate.store.audit_sql import (
    column_types,
    has_people,
    is_number,
    population_sql,
    quote_name,
    quote_text,
)

SECONDS_PER_MASK = 14.0
"""What a person needs for one mask: the time that the makers of SA-1B measured at the end."""

_LEADING_COLUMNS = (
    *("rank", "mask_id", "image_id", "file_name", "category", "action", "reasons", "priority"),
    *("quality_score", "area_px", "bbox_x", "bbox_y", "bbox_w", "bbox_h", "source_key"),
)


def queue(
    audit: AnyAudit,
    *,
    budget: int | None = None,
    minutes: float | None = None,
    seconds_per_mask: float = SECONDS_PER_MASK,
    actions: Sequence[str] = ("review",),
) -> pd.DataFrame:
    """Return the masks to review, in the plan's order.

    Args:
        audit: The audit, or its directory.
        budget: How many masks at most.
        minutes: How much time people have; with ``budget``, the smaller of both counts.
        seconds_per_mask: How long one mask takes.
        actions: Whose masks: "review", "reject", "accept".

    Returns:
        A row a mask, every column of the audit but the masks themselves, ``rank`` first. ``rank``
        is the place among all masks of the audit.

    Raises:
        CallError: An argument is out of range.
        AuditError: The audit has no plan.
    """
    most = queue_size(budget, minutes, seconds_per_mask)
    audit = open_audit(audit)
    types = column_types(audit)
    if "action" not in types:
        raise AuditError("no mask has an action yet", str(audit.path), "run `curate decide` first")
    names = queue_columns(types)
    limit = "" if most is None else f" limit {most}"
    found = audit.query(
        f"select {', '.join(map(quote_name, names))} from masks where {actions_sql(actions)} "
        f"order by {ORDER_SQL}{limit}"
    )
    return found.astype({name: "Int64" for name in names if "INT" in types[name]})


def queue_columns(types: Mapping[str, str]) -> list[str]:
    """Return the columns of a queue: all but the masks, the most useful first."""
    names = [name for name in types if name != "segmentation"]
    return sorted(
        names,
        key=lambda name: (
            _LEADING_COLUMNS.index(name) if name in _LEADING_COLUMNS else len(_LEADING_COLUMNS)
        ),
    )


def queue_size(budget: int | None, minutes: float | None, seconds_per_mask: float) -> int | None:
    """Return the number of masks for a budget; None for all.

    Raises:
        CallError: An argument is out of range.
    """
    check_numbers(budget=budget, minutes=minutes, seconds_per_mask=seconds_per_mask)
    if minutes is None:
        return budget
    affordable = int(min(60 * minutes / seconds_per_mask, MOST) + 1e-9)
    if affordable < 1:
        what = f"{minutes:g} minutes are less than one mask takes ({seconds_per_mask:g} s)"
        raise CallError(what, "queue", "give more time")
    return affordable if budget is None else min(budget, affordable)


def actions_sql(actions: Sequence[str]) -> str:
    """Return SQL of the masks with one of some actions.

    Raises:
        CallError: There is no such action, or none is given.
    """
    check_actions(actions, "actions")
    return f"action in ({', '.join(map(quote_text, actions))})"


def include_reject(actions: Sequence[str]) -> tuple[str, ...]:
    """Return actions with "reject" among them: whatever is worse than an action goes with it.

    Raises:
        CallError: There is no such action, or none is given.
    """
    actions_sql(actions)
    return tuple(dict.fromkeys(("reject", *actions)))


_TIMED_COLUMNS = (
    *("mask_id", "priority", "quality_score", "duplicate_of"),
    *("bbox_w", "bbox_h", "height", "width"),
)
"""Columns that an order by finds per second needs, as far as an audit has them."""

MAX_PER_IMAGE = 5
"""Most masks of one image in a queue to learn from."""

POPULATION = "masks with status ok that are no crowd regions, whatever their action"

_NOT_SHOWN = ("missing", "unreadable", "too_large", "invalid_size", "duplicate_id")
DrawnMasks = tuple[pd.DataFrame, DrawSettings]
"""A draw, and what is recorded of how it was made."""


class History(DrawRegistry, Protocol):
    """Decisions and draws so far; ``curate.people.reviews.Reviews`` has them."""

    def resolve_labels(self) -> pd.DataFrame:
        """Return one label a mask, index ``mask_id``."""


def _no_ids() -> IntArray:
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class PastReviews:
    """Masks that people decided on, and all draws in order."""

    decided: IntArray = field(default_factory=_no_ids)
    draws: tuple[RecordedDraw, ...] = ()

    @classmethod
    def of(cls, history: History) -> PastReviews:
        """Read them from the recorded decisions and draws."""
        return cls(history.resolve_labels().index.to_numpy(np.int64), read_recorded_draws(history))

    def sampled_masks(self, unit: str | None = None) -> IntArray:
        """Return the masks of random samples, of one unit or of both."""
        ids = [
            draw.sample()["mask_id"].to_numpy(np.int64)
            for draw in self.draws
            if draw.unit and unit in (None, draw.unit)
        ]
        return np.unique(np.concatenate([_no_ids(), *ids]))

    def images(self) -> IntArray:
        """Return the images that were drawn as a whole."""
        ids = [d.settings["images"]["ids"] for d in self.draws if d.unit == "image"]
        return np.unique(np.concatenate([_no_ids(), *map(np.asarray, ids)])).astype(np.int64)


@dataclass(frozen=True)
class QueueCandidates:
    """Masks that a queue can be drawn from."""

    audit: StoredAudit
    types: dict[str, str]
    already: PastReviews
    seed: int

    @property
    def population(self) -> str:
        """SQL of the masks that could ever be accepted."""
        return population_sql(self.types)

    def errors(
        self, n: int | None, actions: Sequence[str], times: LookTimes | None = None
    ) -> DrawnMasks:
        """Draw the first of the plan's order; unsettled masks are drawn again.

        Args:
            n: How many at most; None for all.
            actions: Whose masks.
            times: What people take: the masks with most expected finds a second come first. None
                for the order of the plan.
        """
        out = np.union1d(self.already.decided, self.already.sampled_masks())
        if has_people(self.audit):
            again = self.audit.query("select mask_id from people where change = 'unsettled'")
            out = np.setdiff1d(out, again["mask_id"].to_numpy(np.int64))
        limit = "" if n is None or times is not None else f" limit {n + len(out)}"
        known = [name for name in _TIMED_COLUMNS if name in self.types] if times else ["mask_id"]
        found = self.audit.query(
            f"select {', '.join(known)} from masks where {actions_sql(actions)} "
            f"order by {ORDER_SQL}{limit}"
        )
        if times is not None:
            rate = finds_per_second(self.audit, found, times)
            found = found.iloc[np.argsort(np.where(np.isnan(rate), np.inf, -rate), kind="stable")]
        ids = found["mask_id"].to_numpy(np.int64)
        ids = ids[~np.isin(ids, out)][:n]
        return sampling.make_ordered_draw(ids), {"actions": list(actions)}

    def learn(self, n: int, actions: Sequence[str] | None) -> DrawnMasks:
        """Draw doubtful masks that differ."""
        signals = [
            quote_name(name)
            for name, kind in self.types.items()
            if is_number(kind) and _is_signal(name)
        ]
        line = self._line()
        masks = self._all(f" and {actions_sql(actions)}" if actions is not None else "")
        masks = masks[masks["quality_score"].notna()]
        out = np.union1d(self.already.decided, self.already.sampled_masks())
        masks = masks[~masks.index.isin(out)]
        self._need(len(masks))
        near = _pick_near_line(masks, line, n)
        names = ", ".join(["mask_id", "image_id", "quality_score", *signals])
        found = self.audit.query(
            f"select {names} from masks where mask_id in ({ids_sql(near.to_numpy(np.int64))})"
        )
        masks = found.set_index("mask_id")
        drawn = draw_learn(masks, n, seed=self.seed, line=line, per_image=MAX_PER_IMAGE)
        return drawn, {"line": line, "actions": None if actions is None else list(actions)}

    def _line(self) -> float:
        """Return the quality between good and bad masks.

        A half where quality is a calibrated probability; else where the plan's share of doubtful
        masks ends.
        """
        if self.audit.info.quality_model:
            return 0.5
        found = self.audit.query(
            "select avg(case when action = 'accept' then 0.0 else 1.0 end) as doubtful "
            f"from masks where {self.population}"
        )
        share = float(np.clip(np.nan_to_num(found["doubtful"].to_numpy(np.float64)[0]), 0.01, 0.5))
        found = self.audit.query(
            f"select quantile_disc(quality_score, {share!r}) as line from masks "
            f"where {self.population} and not isnan(quality_score)"
        )
        line = float(found["line"].to_numpy(np.float64)[0])
        return line if np.isfinite(line) else 0.5

    def masks(self, n: int) -> DrawnMasks:
        """Draw masks at random."""
        masks = self._all()
        left = masks[~masks.index.isin(self.already.sampled_masks("mask"))]
        self._need(len(left))
        drawn = sampling.draw_estimate(left, n, seed=self.seed)
        return drawn, {
            "unit": "mask",
            "population": len(masks),
            "of": POPULATION,
            "before": len(masks) - len(left),
            "strata": sampling.count_strata(drawn),
        }

    def images(self, n: int) -> DrawnMasks:
        """Draw images at random, with all their masks; also images without masks."""
        masks = self._all()
        words = ", ".join(map(quote_text, _NOT_SHOWN))
        found = self.audit.query(f"select image_id from images where status not in ({words})")
        images = np.union1d(found["image_id"].to_numpy(np.int64), masks["image_id"].to_numpy())
        left = np.setdiff1d(images, self.already.images())
        held = int(masks["image_id"].isin(left).sum())
        self._need(len(left))
        picked = sampling.choose_images(left, held, n, seed=self.seed)
        drawn = sampling.draw_images(masks, picked, len(left), self.seed)
        return drawn, {
            "unit": "image",
            "population": len(masks),
            "of": POPULATION,
            "before": len(images) - len(left),
            "images": {"population": len(left), "drawn": len(picked), "ids": picked.tolist()},
        }

    def _all(self, where: str = "") -> pd.DataFrame:
        found = self.audit.query(
            f"select mask_id, image_id, quality_score from masks where {self.population}{where}"
        )
        return found.set_index("mask_id")

    def _need(self, left: int) -> None:
        if not left:
            do = "all have been drawn or decided already, or the audit holds none"
            raise AuditError("no mask is left to draw", str(self.audit.path), do)

    def eligible_honeypots(
        self, known: pd.Series[Any], actions: Sequence[str] | None
    ) -> pd.Series[Any]:
        """Drop known answers outside the population, so that a honeypot looks like any drawn
        mask."""
        where = f" and {actions_sql(actions)}" if actions is not None else ""
        found = self.audit.query(
            f"select mask_id from masks where {self.population}{where} and mask_id in "
            f"({ids_sql(known.index.to_numpy(np.int64))})"
        )
        return known[known.index.isin(found["mask_id"])]


def _pick_near_line(masks: pd.DataFrame, line: float, n: int) -> pd.Index[Any]:
    """Return masks near the line on both sides of it, not too many of one image."""
    masks = masks.sort_index()
    away = (masks["quality_score"] - line).abs().sort_values(kind="stable")
    masks = masks.reindex(away.index)
    masks = masks[masks.groupby("image_id").cumcount() < 3 * MAX_PER_IMAGE]
    below = masks["quality_score"] < line
    sides = [masks.index[side.to_numpy()][: POOL_FACTOR * n] for side in (below, ~below)]
    return sides[0].append(sides[1])


def _is_signal(name: str) -> bool:
    return name == "predicted_iou" or (name.endswith("_score") and name != "quality_score")


def ids_sql(ids: IntArray) -> str:
    """Return ids as SQL lists them."""
    return ", ".join(map(str, ids.tolist()))
