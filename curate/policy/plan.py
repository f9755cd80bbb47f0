"""Plan of an audit: each mask's action, reasons and priority, from scores and a policy.

1. **Rules** are evaluated column by column over a whole part (no loop over masks), in the policy's
   order; box NMS runs before the first rule that asks for its outcome. Each rule notes its action
   and its reason for the rows that it applies to.
2. **Twins.** A rule with a ``twin`` asks for review instead of rejection where the twin is not here
   or is rejected itself (for whatever reason, a twin of its own included): otherwise a chain of
   doubtful twins could take every mask of an object away.
3. **Quality.** A line through the quality (the policy's, its share of the dataset's lowest, or a
   certificate's) sends what lies under it to review, with a reason where no rule has given one.
4. **Action.** The most severe action wins. A crowd region is no object, so only rules with
   ``crowd = true`` speak of it.
5. **Priority** is P(bad) times the cost of a bad mask of its category. P(bad) starts from
   ``1 - quality_score`` (0.5 where there is no quality, 0 for a crowd region). The rules that apply
   come in as independent evidence (noisy-or), the strongest one alone, since rules look at the same
   signals that the quality is made of: ``1 - (1 - base) * (1 - p_bad)``.

Invariants: the plan of a mask depends on its image and on the dataset's references alone, so that
parts of whole images can be planned in any order. At equal cost no unblemished mask comes before a
doubtful one: an accepted mask keeps its own ``1 - quality``, scaled into [0, 0.5] where a policy
accepts masks that are more likely bad than good, and a mask sent to review or rejected never stands
below that scale's end. So calibrated qualities stay calibrated where the policy's line is 0.5 or
higher.

Time is rules x masks, with a sort for :func:`rank` and, with NMS, the pairs of boxes of an image;
memory a few columns a part, and the text of reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.common.ranges import ACTIONS
from curate.dataset.notes import EXAMPLES
from curate.dataset.table import STRING
from curate.policy.file_findings import Hits
from curate.policy.policy import Policy
from curate.policy.policy_columns import PolicyColumns
from curate.policy.rules import Rule
from curate.quality.explanations import Blame
from curate.rle.nms import Suppression, crop_nms, greedy_nms
from curate.scorers.reason_template import JOINT

ORDER_SQL = "priority desc nulls last, mask_id"
"""What ``rank`` numbers: the most likely and most costly errors first."""

_ACCEPT, _REVIEW, _REJECT = range(3)
_UNKNOWN_P = 0.5
_STEP = 1e-9

Asked: TypeAlias = "Callable[[pd.DataFrame], Blame]"


@dataclass
class _Draft:
    """A plan in the making; every array has a row a mask."""

    columns: PolicyColumns
    crowd: BoolArray
    level: npt.NDArray[np.int8]
    evidence: FloatArray
    spared: BoolArray
    named: BoolArray
    flagged: npt.NDArray[np.object_]
    muted: Collection[int]
    hits: Hits
    said: list[tuple[int, int, IntArray, list[str]]] = field(default_factory=list)

    def say(self, rows: BoolArray, action: int, order: int, reasons: list[str]) -> None:
        """Note an action and its reason for some rows."""
        np.maximum(self.level, np.where(rows, np.int8(action), np.int8(0)), out=self.level)
        if action != _ACCEPT:
            self.named |= rows
        self.said.append((-action, order, np.flatnonzero(rows), reasons))


def decide(
    frame: pd.DataFrame,
    policy: Policy,
    *,
    quality_cut: float | None = None,
    blame: Asked | None = None,
    odd_quality: pd.Series[Any] | None = None,
    certified: float | None = None,
    learned: bool = False,
    muted: Collection[int] = (),
) -> pd.DataFrame:
    """Plan what happens to masks.

    Args:
        frame: Masks with their scores, index ``mask_id``; whole images, in any order. At least
            ``image_id``, and ``quality_score`` where there is one; a rule on a column that is not
            there does not speak (see :meth:`Policy.silent`).
        policy: The policy.
        quality_cut: Masks of lower quality are the policy's ``lowest_share`` of the whole dataset
            (see ``curate.pipeline.deciding.quality_line``); None for no such line.
        blame: Says of some rows of ``frame`` what speaks most against each (see
            :func:`curate.quality.explanations.explain_low_quality`), for masks that quality alone
            sends to review: under the policy's own line with what was measured, else as the
            weakest; None for nothing to tell.
        odd_quality: What is held against the policy's line instead of ``quality_score`` (see
            :class:`curate.quality.model_in_force.Judged`); same index.
        certified: Masks of at least this quality are what people's random sample has shown to be
            good enough; over 1 for none. It takes the place of the policy's own lines: a bound
            holds for exactly what is over the line, not for any part of it. None for no
            certificate.
        muted: Numbers of rules that speak of the file, and so of no mask with pixels (see
            :func:`~curate.policy.file_findings.rules_of_file`).
        learned: Whether the quality comes from a model that was trained on people's decisions.

    Returns:
        Same index; ``action`` ("accept", "review" or "reject"), ``reasons`` (one text, joined by
        "; ", most severe first, empty for none), ``priority`` (float64, at least 0),
        ``rule_action`` (what the rules alone say, whatever the quality), ``flagged_by`` (why it is
        not accepted, most severe first: "rule": it breaks one; "quality": its quality is under the
        policy's line, or could not be computed; "lowest_share": it is only of the policy's share
        of lowest quality; "certificate": no certificate covers it; "" for an accepted one) and
        ``decided_by`` ("policy": a rule, or its line through the label-free quality; "model": its
        line through a learned quality; "certificate": a certified line). Its ``attrs["hits"]``: the
        :class:`~curate.policy.file_findings.Hits` of the rules.

    Raises:
        CallError: A rule compares text with a number, or the like.
    """
    columns = PolicyColumns(frame, policy.small_px)
    rows = len(frame)
    crowd = _column(columns, "crowd_region") == 1
    no = np.zeros(rows, np.bool_)
    draft = _Draft(
        columns,
        crowd,
        np.zeros(rows, np.int8),
        np.zeros(rows),
        no.copy(),
        no.copy(),
        np.full(rows, "", object),
        muted,
        Hits(int((_column(columns, "area_px") > 0).sum())),
    )
    suppressed = policy.nms is None
    for rule in policy.rules:
        if rule.after_nms and not suppressed:
            _suppress(draft, policy)
            suppressed = True
        if not rule.twin:
            _apply(draft, rule)
    _apply_twins(draft, [rule for rule in policy.rules if rule.twin])
    by_rules = draft.level.copy()
    draft.flagged[by_rules > _ACCEPT] = "rule"
    if certified is None:
        _apply_quality(draft, policy, quality_cut, blame, odd_quality)
    else:
        _apply_certificate(draft, policy, certified, (quality_cut, blame, odd_quality))
    line = max(policy.quality_at_least or 0.0, quality_cut or 0.0)
    if certified is not None:
        line = min(certified, 1.0)
    plan = pd.DataFrame(
        {
            "action": pd.Series(np.array(ACTIONS, object)[draft.level], frame.index, STRING),
            "reasons": pd.Series(_join(draft, rows), frame.index, STRING),
            "priority": _priority(draft, policy, line),
            "rule_action": pd.Series(np.array(ACTIONS, object)[by_rules], frame.index, STRING),
            "flagged_by": pd.Series(draft.flagged, frame.index, STRING),
            "decided_by": pd.Series(
                _deciders(draft, by_rules, certified is not None, learned), frame.index, STRING
            ),
        },
        index=frame.index,
    )
    plan.attrs["hits"] = draft.hits
    return plan


def _deciders(
    draft: _Draft, by_rules: npt.NDArray[np.int8], certified: bool, learned: bool
) -> npt.NDArray[np.object_]:
    """Return the decider of each mask: the rules, or else the line through quality."""
    free = ~draft.crowd & (by_rules == _ACCEPT)
    if certified:
        return np.where(free, "certificate", "policy").astype(object)
    by_line = free & ~draft.spared & ~np.isnan(_column(draft.columns, "quality_score"))
    return np.where(by_line & learned, "model", "policy").astype(object)


def rank(plan: pd.DataFrame) -> pd.Series[Any]:
    """Return each mask's place, from 1, by priority and then id; for a whole dataset's plan."""
    priority = plan["priority"].to_numpy(np.float64)
    order = np.lexsort([plan.index.to_numpy(), np.where(np.isnan(priority), np.inf, -priority)])
    places = np.empty(len(plan), np.int64)
    places[order] = np.arange(1, len(plan) + 1)
    return pd.Series(places, index=plan.index, name="rank")


def _column(columns: PolicyColumns, name: str) -> FloatArray:
    """Return a column as floats, NaN where it is not there."""
    values = columns(name)
    return np.full(len(columns), np.nan) if values is None else values.astype(np.float64)


def _applies(draft: _Draft, rule: Rule) -> BoolArray:
    found = rule.when.evaluate(draft.columns, len(draft.columns))
    found = found if rule.crowd else np.asarray(found & ~draft.crowd, np.bool_)
    if rule.action != ACTIONS[_REVIEW]:
        return found
    drawn = found & (_column(draft.columns, "area_px") > 0)
    at = np.flatnonzero(drawn)
    some = np.isin(np.arange(len(found)), at[:EXAMPLES])
    ids = draft.columns.frame.index[some].tolist()
    draft.hits.note(rule, ids, _word(draft, rule, some), len(at))
    return np.asarray(found & ~drawn, np.bool_) if rule.number in draft.muted else found


def _word(draft: _Draft, rule: Rule, rows: BoolArray) -> list[str]:
    at = np.flatnonzero(rows)
    return rule.reason.fill(draft.columns.read_values(rule.reason.columns, at), len(at))


def _apply(draft: _Draft, rule: Rule) -> None:
    rows = _applies(draft, rule)
    if not rows.any():
        return
    action = ACTIONS.index(rule.action)
    draft.say(rows, action, rule.number, _word(draft, rule, rows))
    draft.evidence = np.maximum(draft.evidence, np.where(rows, rule.p_bad, 0.0))
    if action == _ACCEPT:
        draft.spared |= rows


def _apply_twins(draft: _Draft, rules: list[Rule]) -> None:
    """Apply the rules that reject a mask in favour of another, unless that one goes too."""
    applied = [(rule, rows) for rule in rules if (rows := _applies(draft, rule)).any()]
    goes = draft.level == _REJECT
    for rule, rows in applied:
        if rule.action == "reject":
            goes = goes | rows
    for rule, rows in applied:
        action = ACTIONS.index(rule.action)
        reasons = _word(draft, rule, rows)
        twins = draft.columns.series(rule.twin)
        twin = np.full(len(rows), -1) if twins is None else draft.columns.positions(twins)
        alone = rows & ((twin < 0) | goes[twin]) & (action == _REJECT)
        doubt = alone[np.flatnonzero(rows)]
        reasons = [
            f"{r}, but that mask is rejected or missing" if d else r
            for r, d in zip(reasons, doubt, strict=True)
        ]
        draft.say(
            rows & ~alone,
            action,
            rule.number,
            [r for r, d in zip(reasons, doubt, strict=True) if not d],
        )
        draft.say(
            alone, _REVIEW, rule.number, [r for r, d in zip(reasons, doubt, strict=True) if d]
        )
        draft.evidence = np.maximum(draft.evidence, np.where(rows, rule.p_bad, 0.0))


def _suppress(draft: _Draft, policy: Policy) -> None:
    """Run the policy's box NMS among the masks that are not rejected yet."""
    assert policy.nms is not None
    columns, settings = draft.columns, policy.nms
    measured = np.column_stack([_column(columns, f"bbox_{side}") for side in "xywh"])
    boxes = measured
    if settings.boxes == "declared":
        declared = np.column_stack([_column(columns, f"declared_{side}") for side in "xywh"])
        boxes = np.where(np.isfinite(declared).all(axis=1, keepdims=True), declared, measured)
    use = (draft.level != _REJECT) & ~draft.crowd & (_column(columns, "area_px") > 0)
    rows = np.flatnonzero(use & np.isfinite(boxes).all(axis=1))
    rows = rows[np.argsort(columns.frame.index.to_numpy()[rows], kind="stable")]
    images = columns.frame["image_id"].to_numpy(np.int64)[rows]
    predicted = _column(columns, "predicted_iou")[rows]
    quality = _column(columns, "quality_score")[rows]
    if settings.prefer == "crop":
        crops = np.column_stack([_column(columns, f"crop_{side}") for side in "xywh"])[rows]
        found = crop_nms(boxes[rows], images, (predicted, quality), crops, settings.box_iou)
    else:
        found = greedy_nms(boxes[rows], images, (quality, predicted), settings.box_iou)
    _note_suppression(columns, rows, found)


def _note_suppression(columns: PolicyColumns, rows: IntArray, found: Suppression) -> None:
    index = columns.frame.index
    by, iou = np.full(len(index), -1, np.int64), np.full(len(index), np.nan)
    by[rows] = np.where(found.by >= 0, index.to_numpy()[rows[found.by]], -1) if len(rows) else -1
    iou[rows] = found.iou
    lost = np.zeros(len(index), np.bool_)
    lost[rows] = found.by >= 0
    columns.add(
        {
            "nms_by": pd.Series(pd.array(np.where(lost, by, 0), dtype="Int64"), index).where(lost),
            "nms_box_iou": pd.Series(iou, index),
        }
    )


def _apply_quality(
    draft: _Draft,
    policy: Policy,
    cut: float | None,
    blame: Asked | None,
    odd_quality: pd.Series[Any] | None,
) -> None:
    """Send masks of low quality to review, and those that should have a quality and have none."""
    if draft.columns("quality_score") is None:
        return
    quality = _column(draft.columns, "quality_score")
    odd, lowest = _find_low(draft, policy, cut, odd_quality)
    if policy.quality_at_least is None and cut is None:
        return
    draft.level = np.maximum(draft.level, np.where(odd | lowest, np.int8(_REVIEW), np.int8(0)))
    # A rule that speaks of the mask already says what is wrong; the quality would only repeat it.
    order = len(policy.rules) + 1
    low_words = partial(_low_words, share=policy.lowest_share)
    for rows, cause, words in ((odd, "quality", _odd_words), (lowest, "lowest_share", low_words)):
        rows = rows & ~draft.named
        at = np.flatnonzero(rows)
        found = blame(draft.columns.frame.iloc[at]) if blame and len(at) else None
        draft.flagged[rows] = cause
        draft.say(rows, _REVIEW, order, words(found, quality[at]))
    blank = ~draft.crowd & ~draft.spared & np.isnan(quality) & (draft.level == _ACCEPT)
    draft.flagged[blank] = "quality"
    draft.say(blank, _REVIEW, order + 1, ["its quality could not be computed"] * int(blank.sum()))


def _find_low(
    draft: _Draft, policy: Policy, cut: float | None, odd_quality: pd.Series[Any] | None
) -> tuple[BoolArray, BoolArray]:
    """Return the masks under the policy's line, and those that are only its lowest share."""
    quality, line = _column(draft.columns, "quality_score"), policy.quality_at_least
    judged = ~draft.crowd & ~draft.spared
    held = quality if odd_quality is None else odd_quality.to_numpy(np.float64)
    odd = judged & (held < (-np.inf if line is None else line))
    return odd, judged & ~odd & (quality < (-np.inf if cut is None else cut))


def _odd_words(found: Blame | None, quality: FloatArray) -> list[str]:
    """Return the reasons of masks under the policy's line: what was measured, and the quality."""
    stated = found.stated if found else [""] * len(quality)
    return [
        f"{text.removesuffix(')')}{', ' if text.endswith(')') else ' ('}quality {value:.2f})"
        if text
        else f"low quality: {value:.2f}"
        for text, value in zip(stated, quality, strict=True)
    ]


def _low_words(found: Blame | None, quality: FloatArray, share: float) -> list[str]:
    """Return the reasons of masks that are only the lowest of their dataset."""
    weakest = found.weakest if found else [""] * len(quality)
    lowest = f"only in the lowest {100 * share:.3g}% by quality"
    return [
        f"weakest signal: {text}" if text else f"{lowest} ({value:.2f})"
        for text, value in zip(weakest, quality, strict=True)
    ]


def _apply_certificate(
    draft: _Draft,
    policy: Policy,
    certified: float,
    low: tuple[float | None, Asked | None, pd.Series[Any] | None],
) -> None:
    """Send to review what no certificate covers, even what a rule would accept.

    Of a mask that the policy's own line would have sent there, what was measured is said too.
    """
    quality = _column(draft.columns, "quality_score")
    rows = ~draft.crowd & (draft.level == _ACCEPT) & ~(quality >= certified)
    cut, blame, odd_quality = low
    found = np.logical_or(*_find_low(draft, policy, cut, odd_quality)) & rows & ~draft.named
    at = np.flatnonzero(found)
    found_at = draft.columns.frame.iloc[at]
    stated = blame(found_at).stated if blame and len(at) else [""] * len(at)
    measured = np.zeros(len(rows), np.bool_)
    measured[at] = [bool(text) for text in stated]
    draft.say(measured, _REVIEW, len(policy.rules) + 1, [text for text in stated if text])
    words = [
        "not certified: its quality could not be computed"
        if np.isnan(value)
        else f"not certified: quality {value:.2f}"
        for value in quality[rows]
    ]
    draft.flagged[rows] = "certificate"
    draft.say(rows, _REVIEW, len(policy.rules) + 2, words)


def _join(draft: _Draft, rows: int) -> npt.NDArray[np.object_]:
    """Join each mask's reasons, most severe action first, then in the policy's order."""
    joined = np.full(rows, "", object)
    for *_, at, reasons in sorted(draft.said, key=lambda said: said[:2]):
        old = joined[at]
        joined[at] = [f"{o}{JOINT}{r}" if o else r for o, r in zip(old, reasons, strict=True)]
    return joined


def _priority(draft: _Draft, policy: Policy, line: float) -> FloatArray:
    quality = np.clip(_column(draft.columns, "quality_score"), 0, 1)
    base = np.where(np.isnan(quality), _UNKNOWN_P, 1 - quality)
    base[draft.crowd] = 0.0
    highest = 1 - line
    ceiling = min(0.5, highest)
    calm = np.minimum(base * (ceiling / highest if highest > 0 else 0.0), ceiling)
    doubtful = 1 - (1 - base) * (1 - draft.evidence)
    doubtful = np.maximum(doubtful, ceiling + _STEP * (1 + doubtful))
    bad = np.where(draft.level == _ACCEPT, calm, doubtful)
    return np.asarray(bad * _costs(draft.columns, policy), np.float64)


def _costs(columns: PolicyColumns, policy: Policy) -> FloatArray:
    cost = np.full(len(columns), policy.cost)
    category = columns("category")
    if category is not None and policy.category_cost:
        for name, value in policy.category_cost.items():
            cost[category == name] = value
    return cost
