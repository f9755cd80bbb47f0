"""Section on people's decisions: calibration, certificate, estimates, gain of more reviews."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from curate.common.ranges import ACTIONS
from curate.people.guarantees.audit_guarantees import MORE_REVIEWS
from curate.people.guarantees.estimate import INTERVAL_TITLES
from curate.people.guarantees.overrides import (
    CHANGES,
    SETTLED,
    compare_with_certificate,
    count_overrides,
    describe_overrides,
)
from curate.people.reviews import Reviews, has_reviews
from curate.people.reviews.current_plan import read_added_masks
from curate.people.reviews.decision_notes import count_tags
from curate.people.reviews.review_settings import DecisionSettings
from curate.policy.certificate_in_force import void_text
from curate.render.formatting import short
from curate.reporting.queries import ReportSource, undecided_sql
from curate.store.audit import StoredAudit
from curate.store.audit_records import CertificateRecord, EstimateRecord, LearningRecord

MOST_TAGS = 20
"""Tags that a page counts, the frequent ones."""

MOST_OPEN = 12
"""Masks that are not settled which a page lists."""

_DID = {"kept": "accepted", "removed": "rejected", "redrawn": "redrew", "relabelled": "relabelled"}
_AGAINST = {
    "accept": ("accepted", ("removed", "redrawn", "relabelled")),
    "reject": ("rejected", ("kept", "redrawn", "relabelled")),
}
"""By the policy's action: how texts call it, and what people did that goes against it."""


@dataclass(frozen=True)
class Row:
    """Masks to which the same happened.

    Attributes:
        name: What happened.
        masks: How many.
        several: Those on which more than one person decided; None where that is not counted.
        policy: By action: what the policy had decided of them; None for added ones.
    """

    name: str
    masks: int
    several: int | None
    policy: Mapping[str, int] | None


@dataclass(frozen=True)
class Open:
    """A mask on which people have not settled, and why."""

    mask_id: int
    file_name: str
    why: str


@dataclass(frozen=True)
class DecisionSummary:
    """People's decisions, counted.

    Attributes:
        masks: On how many masks a decision stands.
        unsettled: On how many people have not settled.
        added: How many they added.
        rows: The same by what happened.
        overrides: What of it goes against the policy, in sentences.
        without_pixels: Masks that people accepted and that have no readable pixel: they stay what
            the policy made of them.
        open: Some of the masks that are not settled.
        rule: How people who disagree are resolved.
        audit: The audit directory, as a shell reads it.
        tags: Tags with which people said why, and on how many masks each stands.
    """

    masks: int
    unsettled: int
    added: int
    rows: Sequence[Row]
    overrides: Sequence[str]
    without_pixels: int
    open: Sequence[Open]
    rule: str
    audit: str
    tags: Sequence[tuple[str, int]] = ()

    @property
    def anything(self) -> bool:
        """Whether people did anything."""
        return bool(self.masks or self.unsettled or self.added or self.without_pixels)

    @property
    def counts(self) -> dict[str, int]:
        """How many masks each thing happened to, by its name."""
        return {row.name: row.masks for row in self.rows}


def decisions(source: ReportSource, added: int) -> DecisionSummary:
    """Gather what people decided."""
    found = count_overrides(source.audit)
    standing = found[found["stands"]]
    rows = [_row(standing, change) for change in CHANGES]
    rows += [Row("added", added, None, None)]
    settled = standing[standing["change"].isin(SETTLED)]
    return DecisionSummary(
        masks=int(settled["masks"].sum()),
        unsettled=int(standing["masks"].sum() - settled["masks"].sum()),
        added=added,
        rows=[row for row in rows if row.masks],
        overrides=[text for action in _AGAINST if (text := _override(standing, action))],
        without_pixels=int(found.loc[~found["stands"], "masks"].sum()),
        open=_list_open(source),
        rule=DecisionSettings.of(source.info).rule,
        audit=shlex.quote(str(source.audit.path)),
        tags=_count_tags(source),
    )


def _count_tags(source: ReportSource) -> list[tuple[str, int]]:
    """Return the most frequent tags of people's notes."""
    audit = source.audit
    if not isinstance(audit, StoredAudit) or not has_reviews(audit):
        return []
    with Reviews(audit).connect() as connection:
        return count_tags(connection).most_common(MOST_TAGS)


def _row(found: pd.DataFrame, change: str) -> Row:
    these = found[found["change"] == change]
    masks = these.groupby("policy_action")["masks"].sum()
    return Row(
        name=CHANGES[change],
        masks=int(these["masks"].sum()),
        several=int(these.loc[these["several"], "masks"].sum()),
        policy={action: int(masks.get(action, 0)) for action in ACTIONS},
    )


def _override(found: pd.DataFrame, action: str) -> str:
    """Say what people did against one action of the policy; "" for nothing."""
    name, against = _AGAINST[action]
    masks = found[found["policy_action"] == action].groupby("change")["masks"].sum()
    did = [f"{_DID[change]} {int(masks[change]):,}" for change in against if change in masks]
    if not did:
        return ""
    listed = did[0] if len(did) == 1 else f"{', '.join(did[:-1])} and {did[-1]}"
    return f"Of the masks that the policy {name}, people {listed}."


def _list_open(source: ReportSource) -> list[Open]:
    if not source.has_people:
        return []
    rows = source.rows(
        "select p.mask_id, m.file_name, p.reasons from people p "
        "join masks m on m.mask_id = p.mask_id "
        f"where p.change = 'unsettled' order by p.mask_id limit {MOST_OPEN}"
    )
    return [Open(int(row["mask_id"]), row["file_name"] or "", row["reasons"]) for row in rows]


WIDTH, HEIGHT = 320.0, 220.0
"""The box of a chart."""


@dataclass(frozen=True)
class Chart:
    """A line chart, ready to draw in a box of :data:`WIDTH` by :data:`HEIGHT`.

    Attributes:
        title: Over it.
        x_title: Under it.
        y_title: Beside it.
        lines: (class, path data).
        dots: (x, y, radius).
        x_ticks: (x, label).
        y_ticks: (y, label).
        head: Names of the table's columns.
        rows: The same as a table.
    """

    title: str
    x_title: str
    y_title: str
    lines: Sequence[tuple[str, str]]
    dots: Sequence[tuple[float, float, float]]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Fact:
    """One estimated number: its key in ``audit.json``, name, value, interval and method."""

    key: str
    name: str
    value: str
    low: str
    high: str
    method: str


@dataclass(frozen=True)
class People:
    """The section on people's decisions.

    Attributes:
        decided: What people decided on single masks.
        reliability: Chart of what the quality promises against what people said; None without a
            learned quality.
        learned: Sentences on the quality model: reviews, calibration, signals.
        acceptance: Chart of acceptance against the share of bad masks; None without a certificate.
        certificate: Sentences on the certificate.
        standing: Sentences on people's decisions against the certificate.
        void: Which certificate does not hold any more and why; "" for none.
        facts: Estimates with their intervals.
        more: What more reviews are expected to give, in sentences.
    """

    decided: DecisionSummary
    reliability: Chart | None
    learned: Sequence[str]
    acceptance: Chart | None
    certificate: Sequence[str]
    standing: Sequence[str]
    void: str
    facts: Sequence[Fact]
    more: Sequence[str]

    @property
    def anything(self) -> bool:
        """Whether there is something to show."""
        others = (self.facts, self.certificate, self.learned, self.void)
        return self.decided.anything or any(others)


def people(source: ReportSource) -> People:
    """Gather what people's decisions say of an audit."""
    info = source.info
    certificate, estimate = info.certificate, info.estimate
    model = info.learning if info.quality_model else None
    added = count_added(source)
    stands = compare_with_certificate(source.audit, added=added)
    void = void_text(info)
    return People(
        decided=decisions(source, added),
        reliability=reliability(model) if model else None,
        learned=model_sentences(model) if model else (),
        acceptance=acceptance(certificate) if certificate else None,
        certificate=certificate_sentences(certificate) if certificate else (),
        standing=describe_overrides(stands) if stands else (),
        void=f"{void[:1].upper()}{void[1:]}." if void else "",
        facts=facts(estimate) if estimate else (),
        more=[*(next_of_queue(source) if model else ()), *gain_sentences(certificate, estimate)],
    )


def count_added(source: ReportSource) -> int:
    """Count the masks that people added."""
    return len(read_added_masks(source.audit)) if isinstance(source.audit, StoredAudit) else 0


def acceptance(certificate: CertificateRecord) -> Chart | None:
    """Draw the share of bad masks among the accepted against how much is accepted."""
    tested = [(row, row["bad_share"]) for row in certificate["tested"]]
    rows = [(row, bad) for row, bad in tested if bad is not None]
    if not rows:
        return None
    top = max([*(bad for _, bad in rows), 2 * certificate["max_bad"]])
    top = math.ceil(20 * top) / 20
    points = [(row["share"], bad / top) for row, bad in rows]
    limit = certificate["max_bad"] / top
    done = [(row["share"], bad / top) for row, bad in rows if row["certified"]]
    return Chart(
        title="Acceptance against error",
        x_title="share of the masks accepted",
        y_title="share of bad masks among them",
        lines=[
            ("limit", path([(0, limit), (1, limit)])),
            ("mean", path(points)),
            *([("sure", path(done))] if len(done) > 1 else []),
        ],
        dots=[(done[-1][0] * WIDTH, (1 - done[-1][1]) * HEIGHT, 5.0)] if done else [],
        x_ticks=[(k / 4 * WIDTH, f"{k / 4:.0%}") for k in range(5)],
        y_ticks=[((1 - k / 4) * HEIGHT, f"{100 * top * k / 4:.3g}%") for k in range(5)],
        head=("quality from", "accepted", "bad", "certified"),
        rows=[
            (
                short(row["threshold"]),
                f"{row['share']:.1%}",
                f"{bad:.2%}",
                "yes" if row["certified"] else "no",
            )
            for row, bad in rows
        ],
    )


def reliability(model: LearningRecord) -> Chart | None:
    """Draw the share of good masks against the probability that the quality promised."""
    diagram = model["reliability"]
    masks = diagram.get("masks", [])
    if not masks:
        return None
    points = list(zip(diagram["predicted"], diagram["good"], strict=True))
    return Chart(
        title="Calibration of the quality",
        x_title="predicted probability of being good",
        y_title="share that people judged good",
        lines=[("limit", path([(0, 0), (1, 1)])), ("mean", path(points))],
        dots=[
            (x * WIDTH, (1 - y) * HEIGHT, 2 + 4 * math.sqrt(n / max(masks)))
            for (x, y), n in zip(points, masks, strict=True)
        ],
        x_ticks=[(k / 4 * WIDTH, f"{k / 4:.0%}") for k in range(5)],
        y_ticks=[((1 - k / 4) * HEIGHT, f"{k / 4:.0%}") for k in range(5)],
        head=("predicted", "observed", "masks"),
        rows=[(f"{x:.1%}", f"{y:.1%}", f"{n:,}") for (x, y), n in zip(points, masks, strict=True)],
    )


def path(points: Sequence[tuple[float, float]]) -> str:
    """Return SVG path data of points given in shares of the box, y upwards."""
    return "M" + "L".join(f"{x * WIDTH:.1f} {(1 - y) * HEIGHT:.1f}" for x, y in points)


def certificate_sentences(certificate: CertificateRecord) -> list[str]:
    """Describe the certificate."""
    sure = (
        f"at most {certificate['max_bad']:.1%} of them are bad, "
        f"with {certificate['confidence']:.0%} confidence"
    )
    if certificate["threshold"] is None:
        said = f"Nothing is certified: no threshold was found above which {sure}."
        needed = certificate["reviews_needed"]
        do = f"About {needed:,} more reviews of a random sample may do." if needed else ""
        return [f"{said} {do}".strip()]
    return [
        f"{certificate['accepted']:,} masks ({certificate['share']:.1%}) are certified: {sure}.",
        f"{certificate['reviewed']:,} masks of a random sample were reviewed for that; about "
        f"{certificate['bad_share']:.1%} of the accepted are bad.",
    ]


def facts(estimate: EstimateRecord) -> list[Fact]:
    """Return the estimates as people read them."""
    found = []
    for name, one in estimate["intervals"].items():
        form = "{:.3g}" if name == "missing_per_image" else "{:.1%}"
        ends = dict.fromkeys((form.format(one["value_low"]), form.format(one["value_high"])))
        low, high = form.format(one["low"]), form.format(one["high"])
        found.append(
            Fact(name, INTERVAL_TITLES.get(name, name), " to ".join(ends), low, high, one["method"])
        )
    return found


def next_of_queue(source: ReportSource) -> list[str]:
    """Say how many bad masks the next of the queue hold, by a quality that is a probability."""
    if not {"quality_score", "priority"} <= set(source.masks):
        return []
    bad, known = "1 - least(greatest(quality_score, 0), 1)", "isfinite(quality_score)"
    rows = source.rows(
        f"select {bad} as bad, (select avg({bad}) from masks where {known}) as chance from "
        f"{undecided_sql(source)} where action = 'review' and {known} "
        f"order by priority desc, mask_id limit {MORE_REVIEWS}"
    )
    if not rows:
        return []
    found, n = sum(row["bad"] for row in rows), len(rows)
    return [
        f"The next {n:,} masks of the queue are expected to hold {found:.0f} bad ones; as many at "
        f"random {n * rows[0]['chance']:.0f}."
    ]


def gain_sentences(
    certificate: CertificateRecord | None, estimate: EstimateRecord | None
) -> list[str]:
    """Say what more reviews of a random sample are expected to give."""
    said = []
    after_more = certificate.get("share_after_more", 0.0) if certificate else 0.0
    if certificate and after_more > certificate["share"]:
        said.append(
            f"{MORE_REVIEWS} more masks of a random sample are expected to certify "
            f"{after_more:.1%} of the masks instead of "
            f"{certificate['share']:.1%}."
        )
    if certificate and certificate["reviews_for_next"] and certificate["share"] < 1:
        said.append(
            f"About {certificate['reviews_for_next']:,} more masks of a random sample would "
            "certify another 10% of the masks."
        )
    good = estimate["intervals"].get("good_share") if estimate else None
    if estimate and good:
        before, n = good["high"] - good["low"], estimate["reviewed"]
        after = before * math.sqrt(n / (n + MORE_REVIEWS))
        said.append(
            f"{MORE_REVIEWS} more masks of a random sample would narrow the interval of the good "
            f"share from {100 * before:.2f} to about {100 * after:.2f} percentage points."
        )
    return said


def model_sentences(model: LearningRecord) -> list[str]:
    """Describe the model: reviews learned from, calibration, signals, what a judge added."""
    reviews, numbers = model["reviews"], model["model"]
    said = [
        f"The quality was learned from {reviews['masks']:,} of them, {reviews['bad']:,} bad.",
        "On held-out images its calibration error is "
        f"{numbers['calibration_error']:.1%} on average.",
    ]
    names = [str(one["title"]) for one in model["importance"][:5]]
    if names:
        said.append(f"Most important signals: {', '.join(names)}.")
    judge = model.get("judge")
    if judge and "why" in judge:
        why = judge["why"]
        said.append(f"{why[:1].upper()}{why[1:]}.")
    return said
