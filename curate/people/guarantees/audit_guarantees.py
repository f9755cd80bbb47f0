"""Certificates and estimates of an audit, from its reviewed random samples."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from curate.common.pool import Pool
from curate.errors import AuditError
from curate.people.guarantees.certify import Certificate, certify, project_share
from curate.people.guarantees.estimate import Estimate, estimate, gather_images
from curate.people.guarantees.reviewed_sample import Population, ReviewedSample, gather_sample
from curate.people.reviews import Reviews, open_reviews
from curate.people.reviews.recorded_draws import RecordedDraw, read_recorded_draws
from curate.people.reviews.review_file import has_reviews
from curate.people.reviews.review_settings import DecisionSettings
from curate.pipeline.deciding import decide_audit
from curate.policy.certificate_in_force import with_certificate
from curate.policy.policy import Policy
from curate.store.audit import StoredAudit
from curate.store.audit_files import write_info
from curate.store.audit_sql import column_types, population_sql

_FIRST_SAMPLE = 150
"""Masks of the random sample that is proposed: 59 good ones certify 5% at best."""

MORE_REVIEWS = 100
"""Further reviews whose worth is told."""


@dataclass(frozen=True)
class AuditSample:
    """A reviewed sample of an audit, and its population.

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
class CertificationResult:
    """A certificate, and the effect of further reviews on it.

    Attributes:
        certificate: What is certified.
        share_after_more: Share of the masks that is expected to be certified after
            :data:`MORE_REVIEWS` more reviews.
    """

    certificate: Certificate
    share_after_more: float


def read_sample(audit: StoredAudit, unit: str | None, *, by_rules: bool) -> AuditSample:
    """Read a reviewed random sample of an audit, and its population.

    Args:
        audit: The audit.
        unit: "mask" or "image", where both were drawn; None where one was.
        by_rules: Whether quality is NaN for masks that a rule of the policy keeps from being
            accepted, whatever their quality: they are no part of what a threshold accepts.

    Raises:
        CurateError: Nobody has decided yet, or the sample was not random.
    """
    if not has_reviews(audit):
        raise _no_sample_error(audit)
    reviews = open_reviews(audit)
    draws = read_recorded_draws(reviews)
    settings = DecisionSettings.of(audit.info)
    labels = reviews.resolve_labels(settings.rule, settings.good_iou)
    masks = _read_population(audit, by_rules)
    sample = gather_sample(draws, labels, masks, len(masks), unit=unit)
    population = Population(
        masks["quality_score"].to_numpy(np.float64), masks["image_id"].to_numpy(np.int64)
    )
    return AuditSample(sample, population, draws, reviews)


def _no_sample_error(audit: StoredAudit) -> AuditError:
    """Return the error for an audit that nobody has decided on, with the commands that help."""
    path = shlex.quote(str(audit.path))
    asked = f"--kind estimate --budget {_FIRST_SAMPLE}"
    do = f"review a random sample first: `curate review {path} {asked}` in the browser, or "
    do += f"`curate queue {path} {asked} --out sample.csv` for a table or another tool"
    return AuditError("there are no decisions of people yet", str(audit.path), do)


def _read_population(audit: StoredAudit, by_rules: bool) -> pd.DataFrame:
    """Return all masks that could ever be accepted: index ``mask_id``, ``image_id``,
    ``quality_score``."""
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
    audit: StoredAudit,
    *,
    max_bad: float = 0.05,
    confidence: float = 0.95,
    looks: int = 1,
    unit: str | None = None,
) -> CertificationResult:
    """Certify an acceptance; see :func:`curate.people.guarantees.certify.certify`. Nothing is
    written.

    Raises:
        CurateError: There is no random sample, or it is too small; gives the size needed.
    """
    found = read_sample(audit, unit, by_rules=True)
    asked = {"max_bad": max_bad, "confidence": confidence}
    certificate = certify(found.sample, found.population, looks=looks, **asked)
    after = project_share(found.sample, found.population, MORE_REVIEWS, **asked)
    return CertificationResult(certificate, max(after, certificate.share))


def estimate_audit(
    audit: StoredAudit, *, confidence: float = 0.95, unit: str | None = None
) -> Estimate:
    """Estimate the dataset's quality; see :func:`curate.people.guarantees.estimate.estimate`.

    Missing masks are estimated where images were drawn as a whole. Nothing is written.

    Raises:
        CurateError: There is no random sample.
    """
    found = read_sample(audit, unit, by_rules=False)
    reviewed_images = None
    if any(draw.kind == "estimate" and draw.unit == "image" for draw in found.draws):
        images = found.reviews.reviewed_images()["image_id"].to_numpy(np.int64)
        if len(images):
            added = found.reviews.missing().groupby("image_id").size()
            reviewed_images = gather_images(found.draws, images, added)
    return estimate(
        found.sample, found.population, confidence=confidence, reviewed_images=reviewed_images
    )


def store_certificate(audit: StoredAudit, found: CertificationResult) -> StoredAudit:
    """Write a certificate into the audit and decide again: only masks it covers are accepted.

    One that certifies nothing is kept too: then nothing is accepted.
    """
    stated = found.certificate.as_record()
    stated["share_after_more"] = found.share_after_more
    info = with_certificate(audit.info, stated)
    policy = Policy.from_dict(info.policy or {})
    with Pool(1) as pool:
        return decide_audit(audit.path, info, policy, pool)


def store_estimate(audit: StoredAudit, found: Estimate) -> StoredAudit:
    """Write an estimate into ``audit.json``, for the report."""
    info = replace(audit.info, estimate=found.as_record())
    write_info(audit.path, info)
    return StoredAudit(audit.path, info)
