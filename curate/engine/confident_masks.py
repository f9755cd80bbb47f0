"""Confident masks of stage 2: three lines over which proposals are prefilled, not asked about.

A proposed mask is *confident* where a detector sees an object in its place (box IoU and confidence
of that detection over two lines) and its quality is over a third. The lines are chosen on the
proposals of the validation images, whose truth is known, so that at most ``max_bad`` of the
confident masks are bad, and as many as possible are confident.

**Three lines, few questions.** Each signal becomes the share of proposals with no more of it, so
that signals of any scale compare; a proposal's place on a path is the smallest of its three shares,
each to a power (:data:`PATHS`). All proposals from one place on are then those over three lines,
and along a path all lines grow lenient together, so a path is tested as one score is: Learn then
Test (Angelopoulos et al., 2021) with fallback and images as units, see
:mod:`curate.people.guarantees.certify`. The paths share the risk. Places and paths come from the
proposals alone, never from what is good or bad.

**Two bases.**

- *certified*: with ``confidence`` at most ``max_bad`` of the confident masks are bad, in all images
  that the validation images were drawn from by chance. That takes many images: for 5% at 95% it is
  88 without any bad mask where all hold as many masks, and 166 where they hold 1 to 15.
- *estimated*: the largest acceptance whose share of bad masks on the validation images is at most
  ``max_bad``, with one more image imagined in which all are bad: the correction of conformal risk
  control (Angelopoulos et al., 2024), whose promise is lost here, as this share need not fall with
  the lines. So it is an estimate without a promise.

Nothing is promised of images that were chosen rather than drawn. So prefilled masks are checked in
each round (:mod:`curate.engine.prefill_checks`), and :func:`next_strictness` makes the next round
prefill less where they were worse than ``max_bad``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray
from curate.common.ranges import check_numbers
from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun
from curate.errors import CallError
from curate.people.guarantees.acceptance_tests import ThresholdTests, count_by_threshold
from curate.people.guarantees.certify import allocate_levels
from curate.people.guarantees.reviewed_sample import Population, ReviewedSample

LINE_SIGNALS = ("detector_iou", "detector_confidence", "quality_score")
"""The signals that have a line, as the detector's scorer and the quality room name them."""

PATHS = (((1.0, 1.0, 1.0), 0.5), ((0.25, 0.25, 1.0), 0.25), ((1.0, 1.0, 0.25), 0.25))
"""Powers of the three shares, and each path's part of the risk: all signals alike, mostly the
quality, mostly the detector. Own choice."""

BASES = ("certified", "estimated")
"""What lines are chosen by."""

_TIGHTEST = 0.25
"""The next round's strictness is no less than this share of a round's."""

_EASING = 1.5
_STARTS = 4


@dataclass(frozen=True)
class Strictness:
    """How strictly the lines of a round are chosen.

    Attributes:
        max_bad: Share of bad masks among the confident that they are chosen for, in (0, 1).
        most_share: Share of the proposals that may be confident at most, in (0, 1].
    """

    max_bad: float
    most_share: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(max_bad=self.max_bad)
        if not 0 < self.most_share <= 1:
            what = f"{self.most_share:g} is no share of the proposals"
            raise CallError(what, "most_share", "give a number over 0 and up to 1")


@dataclass(frozen=True, repr=False)
class ConfidentLines(ReadableResult):
    """Lines over which masks are confident, or why there are none.

    Attributes:
        lines: The smallest confident value of each of :data:`LINE_SIGNALS`; None for no lines: then
            nothing is prefilled.
        basis: One of :data:`BASES`.
        strictness: What they were chosen for.
        confidence: Of a certificate.
        images: Validation images with proposals.
        proposals: Their proposals.
        confident: Those over the lines.
        bad: Bad ones among them.
        share: Share of all proposals that are confident; 0 without lines.
        images_needed: Where nothing can be certified for want of images: how many with proposals,
            all good, it takes; else None.
        reason: Why there are no lines, as a clause; empty where there are some.
    """

    lines: tuple[float, float, float] | None
    basis: str
    strictness: Strictness
    confidence: float
    images: int
    proposals: int
    confident: int = 0
    bad: int = 0
    share: float = 0.0
    images_needed: int | None = None
    reason: str = ""

    def apply(self, proposals: pd.DataFrame) -> BoolArray:
        """Return which proposals are confident, shape (n,); none without lines.

        Args:
            proposals: The columns of :data:`LINE_SIGNALS`. One with a NaN is not confident.
        """
        if self.lines is None:
            return np.zeros(len(proposals), np.bool_)
        return np.asarray((_values(proposals) >= np.array(self.lines)).all(axis=1), np.bool_)

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        lines = None if self.lines is None else dict(zip(LINE_SIGNALS, self.lines, strict=True))
        return {**vars(self), "lines": lines, "strictness": {**vars(self.strictness)}}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ConfidentLines:
        """Return lines from their plain values; :meth:`as_dict` gives these."""
        named = plain["lines"]
        lines = None if named is None else tuple(named[name] for name in LINE_SIGNALS)
        strictness = Strictness(**plain["strictness"])
        return cls(**{**plain, "lines": lines, "strictness": strictness})

    def text(self) -> str:
        """Return the lines, and what they are worth, in a sentence."""
        if self.lines is None:
            return f"no masks are prefilled: {self.reason}"
        pairs = zip(LINE_SIGNALS, self.lines, strict=True)
        over = ", ".join(f"{name} from {line:.4g}" for name, line in pairs)
        found = f"{self.bad:,} of {count_noun(self.confident, 'confident mask')} bad"
        sure = "an estimate, without a promise"
        if self.basis == "certified":
            sure = f"at most {self.strictness.max_bad:.2%} with {self.confidence:.0%} confidence"
        on = count_noun(self.images, "validation image")
        return f"confident masks have {over}; on {on} {found} ({sure})"


def choose_lines(
    proposals: pd.DataFrame,
    *,
    strictness: Strictness,
    basis: str = "certified",
    confidence: float = 0.95,
    population: pd.DataFrame | None = None,
) -> ConfidentLines:
    """Choose the lines that make as many masks confident as the bound on bad ones allows.

    Args:
        proposals: A row a proposal of a validation image: ``image_id``, ``good`` (whether it is as
            good as people's own mask) and :data:`LINE_SIGNALS`, higher is better, NaN where not
            known.
        strictness: The bound, and the largest share that may be confident.
        basis: One of :data:`BASES`.
        confidence: Of a certificate, in (0.5, 1).
        population: ``image_id`` and :data:`LINE_SIGNALS` of the proposals of all images that the
            validation images were drawn from, theirs too. None where those are not known: then
            numbers of masks an image, and signals, are taken to be spread as on the validation
            images.

    Returns:
        Lines; without any where none can be had, and why.

    Raises:
        CallError: A column is missing, or a number is out of its range.
    """
    _check_call(proposals, population, basis, confidence)
    everything = proposals if population is None else population
    count = int(proposals["image_id"].nunique())
    none = ConfidentLines(None, basis, strictness, confidence, count, len(proposals))
    if not np.isfinite(_values(proposals)).all(axis=1).any():
        some = "no proposal of a validation image has all three signals"
        return replace(
            none, reason=some if len(proposals) else "validation images have no proposal"
        )
    risk, found = 1 - confidence, []
    for powers, weight in PATHS:
        path = _lay_path(proposals, everything, powers, strictness.max_bad)
        certified = basis == "certified"
        passed = _certify(path, risk * weight) if certified else _estimate(path, proposals)
        rows = np.flatnonzero(passed & (path.tests.share <= strictness.most_share + 1e-12))
        last = int(rows[-1]) if len(rows) else -1
        found.append((int(path.tests.accepted[last]) if len(rows) else 0, path, last, passed))
    most, path, last, _ = max(found, key=lambda one: one[0])  # of equals the first path's
    if not most:
        allowed = any(passed.any() for *_, passed in found)
        return _explain(none, [path for _, path, *_ in found], allowed=allowed)
    inside = path.everywhere >= path.tests.threshold[last]
    low = _values(everything)[inside].min(axis=0).tolist()
    chosen = replace(none, lines=(low[0], low[1], low[2]), share=float(path.tests.share[last]))
    confident = chosen.apply(proposals)
    bad = int((confident & ~proposals["good"].to_numpy(np.bool_)).sum())
    return replace(chosen, confident=int(confident.sum()), bad=bad)


def next_strictness(lines: ConfidentLines, bad_share: float, *, max_bad: float) -> Strictness:
    """Return how strictly the next round chooses, from how bad this round's prefilled masks were.

    Where more than ``max_bad`` of them were bad, the next lines are chosen for a bound as much
    smaller, and for as much smaller a share of the proposals (a quarter at least), so that less is
    prefilled whatever the validation images say. Else, and after a round without lines, both ease
    by half, up to ``max_bad`` and all. Own definition.

    Args:
        lines: This round's.
        bad_share: Share of bad masks among the prefilled, as measured; NaN where nothing was.
        max_bad: What the engine asks for.
    """
    check_numbers(max_bad=max_bad)
    now = lines.strictness
    if math.isnan(bad_share) and lines.lines is not None:
        return now
    if lines.lines is None or bad_share <= max_bad:
        eased = min(max_bad, now.max_bad * _EASING)
        return Strictness(eased, min(1.0, now.most_share * _EASING))
    factor = max(max_bad / bad_share, _TIGHTEST)
    most = min(now.most_share, lines.share)
    return Strictness(min(now.max_bad, max_bad) * factor, most * factor)


@dataclass(frozen=True)
class _Path:
    """Places of proposals on a path, of the validation images and of all, and its thresholds."""

    places: FloatArray
    everywhere: FloatArray
    tests: ThresholdTests


def _check_call(
    proposals: pd.DataFrame, population: pd.DataFrame | None, basis: str, confidence: float
) -> None:
    check_numbers(confidence=confidence)
    if basis not in BASES:
        raise CallError(f"{basis!r:.40} is no basis", "basis", f"give one of {', '.join(BASES)}")
    for name, frame, needed in (
        ("proposals", proposals, {"image_id", "good", *LINE_SIGNALS}),
        ("population", population, {"image_id", *LINE_SIGNALS}),
    ):
        missing = set() if frame is None else needed - set(frame.columns)
        if missing:
            what = f"there is no column {', '.join(sorted(missing))}"
            raise CallError(what, name, "score the proposals, and compare them with the truth")
    if population is not None and not proposals["image_id"].isin(population["image_id"]).all():
        do = "give the proposals of all images that they were drawn from"
        raise CallError("it lacks images of the validation set", "population", do)


def _values(proposals: pd.DataFrame) -> FloatArray:
    """Return the three signals, shape (n, 3)."""
    return proposals[list(LINE_SIGNALS)].to_numpy(np.float64)


def find_places(
    proposals: pd.DataFrame, among: pd.DataFrame, powers: tuple[float, ...] = PATHS[0][0]
) -> FloatArray:
    """Return the place of proposals on a path through the three signals: how confident they are.

    It is the smallest of the three shares of other proposals that have no more of a signal.

    Args:
        proposals: The columns of :data:`LINE_SIGNALS`.
        among: The same of the proposals that they are compared with.
        powers: Of the shares, see :data:`PATHS`; by default all signals count alike.

    Returns:
        Shape (n,), in [0, 1], higher is more confident; NaN where a signal is not known.
    """
    values, others = _values(proposals), _values(among)
    places = np.ones(len(values))
    for k, power in enumerate(powers):
        column = np.sort(others[np.isfinite(others[:, k]), k])
        share = np.searchsorted(column, values[:, k], side="right") / max(len(column), 1)
        np.minimum(places, share**power, out=places)
    places[~np.isfinite(values).all(axis=1)] = np.nan
    return places


def _lay_path(
    proposals: pd.DataFrame, everything: pd.DataFrame, powers: tuple[float, ...], max_bad: float
) -> _Path:
    """Lay a path through the three signals, and count what each place on it accepts."""
    places, everywhere = (find_places(some, everything, powers) for some in (proposals, everything))
    images = everything["image_id"].to_numpy(np.int64)
    n, mine = len(proposals), proposals["image_id"].to_numpy(np.int64)
    fraction = len(np.unique(mine)) / len(np.unique(images))
    sample = ReviewedSample(
        unit="image",
        population=len(everything),
        mask_id=np.arange(n),
        image_id=mine,
        quality=places,
        bad=~proposals["good"].to_numpy(np.bool_),
        decided=np.ones(n, np.bool_),
        iou=np.full(n, np.nan),
        probability=np.full(n, fraction),
        stratum=np.zeros(n, np.int64),
        strata=np.array([len(everything)], np.int64),
        fraction=fraction,
        exact=True,
    )
    tests = count_by_threshold(sample, Population(everywhere, images), max_bad)
    return _Path(places, everywhere, tests)


def _certify(path: _Path, risk: float) -> BoolArray:
    """Return which thresholds of a path are certified at a risk.

    The risk starts at :data:`_STARTS` thresholds spread over those that could pass with their part
    of it if no mask were bad, or, where none could, at the strictest that could with all of it.
    That depends on numbers of masks alone. Strict thresholds show too little with few images, so a
    test that began there would end there.
    """
    clean = path.tests.p_values_without_errors()
    starts = np.zeros(len(clean))
    able = np.flatnonzero(clean <= risk / _STARTS)
    if len(able):
        at = able[np.linspace(0, len(able) - 1, _STARTS).astype(np.int64)]
        np.add.at(starts, at, risk / _STARTS)
    elif (clean <= risk).any():
        starts[np.argmax(clean <= risk)] = risk
    p_value, level = allocate_levels(path.tests, risk, starts)
    return (p_value <= level) & (level > 0)


def _estimate(path: _Path, proposals: pd.DataFrame) -> BoolArray:
    """Return which thresholds accept few bad masks, with one more image of bad ones imagined."""
    tests = path.tests
    accepted = (path.places[:, None] >= tests.threshold).sum(axis=0)
    another = accepted / proposals["image_id"].nunique()
    return np.asarray(
        (accepted > 0) & (tests.found + another <= tests.max_bad * (accepted + another)), np.bool_
    )


def _explain(none: ConfidentLines, paths: list[_Path], *, allowed: bool) -> ConfidentLines:
    """Return why there are no lines."""
    bound = f"at most {none.strictness.max_bad:.2%} of the confident masks are bad"
    if allowed:
        share = none.strictness.most_share
        return replace(
            none, reason=f"no lines leave {share:.2%} of the proposals or fewer over them"
        )
    on = count_noun(none.images, "validation image")
    risk = 1 - none.confidence
    if none.basis == "certified":
        levels = [risk * weight for _, weight in PATHS]
        clean = [path.tests.p_values_without_errors().min() for path in paths]
        if all(p > level for p, level in zip(clean, levels, strict=True)):
            needs = [p.tests.smallest(level) for p, level in zip(paths, levels, strict=True)]
            need = min((n for n in needs if n is not None), default=None)
            more = f"; {need:,} are needed even if all are good" if need else ""
            return replace(none, images_needed=need, reason=f"{on} cannot show that {bound}{more}")
    return replace(none, reason=f"on {on} no lines were found over which {bound}")
