"""What random samples that people reviewed prove of an audit: certificates and estimates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.common.pool import Pool
from curate.errors import AuditError
from curate.people.guarantees.certificate_texts import certificate_dict, estimate_dict
from curate.people.guarantees.certify import Certificate, certify, expected_share
from curate.people.guarantees.estimate import Estimate, estimate, gather_images
from curate.people.guarantees.reviewed_sample import Population, ReviewedSample, gather
from curate.people.reviews import Reviews, open_reviews
from curate.people.reviews.recorded_draws import RecordedDraw, recorded
from curate.people.reviews.review_settings import DecisionSettings
from curate.pipeline.deciding import decide_audit
from curate.policy.certificate_in_force import with_certificate
from curate.policy.policy import Policy
from curate.store.audit import Audit
from curate.store.audit_files import write_json
from curate.store.audit_info import INFO
from curate.store.audit_sql import column_types, population_sql

ESTIMATE = "estimate"
"""Where an estimate stands in ``audit.json``."""

MORE = 100
"""Further reviews whose worth is told."""


@dataclass(frozen=True)
class Question:
    """How people's decisions are read.

    Attributes:
        unit: "mask" or "image", where both were drawn.
        settings: How disagreement is resolved and which fixes are good; None: as the audit has it.
    """

    unit: str | None = None
    settings: DecisionSettings | None = None


@dataclass(frozen=True)
class Material:
    """A sample, and the masks that it stands for.

    Attributes:
        sample: What was reviewed.
        population: All masks of the population.
        draws: All that were recorded.
        reviews: Where they stand.
    """

    sample: ReviewedSample
    population: Population
    draws: tuple[RecordedDraw, ...]
    reviews: Reviews


@dataclass(frozen=True)
class Certified:
    """A certificate, and what more reviews would make of it.

    Attributes:
        certificate: What is certified.
        share_after_more: Share of the masks that is expected to be certified after :data:`MORE`
            more reviews.
    """

    certificate: Certificate
    share_after_more: float


def material(audit: Audit, question: Question, *, by_rules: bool) -> Material:
    """Bring a random sample and its population together.

    Args:
        audit: The audit.
        question: How decisions are read.
        by_rules: Whether quality is NaN for masks that a rule of the policy keeps from being
            accepted, whatever their quality: they are no part of what a threshold accepts.

    Raises:
        CurateError: Nobody has decided yet, or the sample was not random.
    """
    reviews = open_reviews(audit)
    draws = recorded(reviews)
    settings = question.settings or DecisionSettings.of(audit.info)
    labels = reviews.resolved(settings.rule, settings.good_iou)
    masks = _population(audit, by_rules)
    sample = gather(draws, labels, masks, len(masks), unit=question.unit)
    population = Population(
        masks["quality_score"].to_numpy(np.float64), masks["image_id"].to_numpy(np.int64)
    )
    return Material(sample, population, draws, reviews)


def _population(audit: Audit, by_rules: bool) -> pd.DataFrame:
    """Return what could ever be accepted: index ``mask_id``, ``image_id``, ``quality_score``."""
    types = column_types(audit)
    if by_rules and "rule_action" not in types:
        raise AuditError(
            "its plan does not say what rules alone decide", str(audit.path), "run `curate decide`"
        )
    quality = "quality_score"
    if by_rules:
        quality = f"case when rule_action = 'accept' then {quality} else 'nan'::double end"
    found = audit.query(
        f"select mask_id, image_id, {quality} as quality_score "
        f"from masks where {population_sql(types)}"
    )
    return found.set_index("mask_id")


def certify_audit(
    audit: Audit,
    *,
    max_bad: float = 0.05,
    confidence: float = 0.95,
    looks: int = 1,
    question: Question | None = None,
) -> Certified:
    """Certify an acceptance; see :func:`curate.people.guarantees.certify.certify`. Nothing is
    written.

    Raises:
        CurateError: There is no random sample, or it is too small; says how many it takes.
    """
    found = material(audit, question or Question(), by_rules=True)
    asked = {"max_bad": max_bad, "confidence": confidence}
    certificate = certify(found.sample, found.population, looks=looks, **asked)
    after = expected_share(found.sample, found.population, MORE, **asked)
    return Certified(certificate, max(after, certificate.share))


def estimate_audit(
    audit: Audit, *, confidence: float = 0.95, question: Question | None = None
) -> Estimate:
    """Estimate the dataset's quality; see :func:`curate.people.guarantees.estimate.estimate`.

    Missing masks are estimated where images were drawn as a whole. Nothing is written.

    Raises:
        CurateError: There is no random sample.
    """
    found = material(audit, question or Question(), by_rules=False)
    looked = None
    if any(draw.kind == "estimate" and draw.unit == "image" for draw in found.draws):
        images = found.reviews.looked()["image_id"].to_numpy(np.int64)
        if len(images):
            added = found.reviews.missing().groupby("image_id").size()
            looked = gather_images(found.draws, images, added)
    return estimate(found.sample, found.population, confidence=confidence, looked=looked)


def keep_certificate(audit: Audit, found: Certified) -> Audit:
    """Write a certificate into the audit and decide anew: only what it covers is accepted.

    One that certifies nothing is kept too: then nothing is accepted.
    """
    said = certificate_dict(found.certificate) | {"share_after_more": found.share_after_more}
    info = with_certificate(audit.info, said)
    policy = Policy.from_dict(audit.info["policy"])
    with Pool(1) as pool:
        return decide_audit(audit.path, info, policy, pool)


def keep_estimate(audit: Audit, found: Estimate) -> Audit:
    """Write an estimate into ``audit.json``, for the report."""
    info = audit.info | {ESTIMATE: estimate_dict(found)}
    write_json(audit.path / INFO, info)
    return Audit(audit.path, info)
