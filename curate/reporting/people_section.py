"""Section on people's decisions: calibration, certificate, estimates, gain of more reviews."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from curate.people.guarantees.audit_guarantees import MORE_REVIEWS
from curate.people.guarantees.certificate_texts import NAMES
from curate.people.guarantees.overrides import compare_with_certificate, describe_overrides
from curate.policy.certificate_in_force import void_text
from curate.reporting.decision_counts import DecisionSummary, decisions
from curate.reporting.queries import ReportSource, undecided_sql
from curate.reporting.svg_figures import short
from curate.store.audit_records import CertificateRecord, EstimateRecord, LearningRecord

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
    """One estimated number: its name, value, interval and how it was found."""

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
    from curate.people.reviews.current_plan import read_added_masks
    from curate.store.audit import Audit

    return len(read_added_masks(source.audit)) if isinstance(source.audit, Audit) else 0


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
        found.append(Fact(NAMES.get(name, name), " to ".join(ends), low, high, one["method"]))
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
    """Describe the model: reviews learned from, calibration, signals."""
    reviews, numbers = model["reviews"], model["model"]
    said = [
        f"The quality was learned from {reviews['masks']:,} of them, {reviews['bad']:,} bad.",
        "On held-out images its calibration error is "
        f"{numbers['calibration_error']:.1%} on average.",
    ]
    names = [str(one["title"]) for one in model["importance"][:5]]
    if names:
        said.append(f"Most important signals: {', '.join(names)}.")
    return said
