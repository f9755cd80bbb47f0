"""People's work on a round of the automatic stage: a random sample first, then what it leaves open.

The certificate is that of :mod:`curate.people.guarantees.certify`: once the sample is reviewed,
masks over its line are accepted without a look at each, and all others that no rule rejects go to
people in the plan's order, the most likely errors first. Nothing is a mask at the end that neither
a certificate covers nor people decided on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from curate.common.clock import Clock
from curate.common.locks import hold_directory
from curate.dataset.notes import count_noun
from curate.engine.coco_writing import ListedImage, no_masks, write_coco
from curate.engine.people_work import PeopleWork, measure_people_work
from curate.engine.round_record import AutomaticRecord, RoundPeople, RoundRecord
from curate.engine.settings import EngineSettings
from curate.errors import CallError
from curate.people.guarantees.audit_guarantees import (
    CertificationResult,
    certify_audit,
    store_certificate,
)
from curate.people.guarantees.certify import Certificate
from curate.people.guarantees.tail_bounds import zero_failures
from curate.people.queues.draw_queue import draw_queue
from curate.people.reviews import has_reviews, open_reviews
from curate.people.reviews.current_plan import open_audit, read_added_masks
from curate.people.reviews.recorded_draws import DrawSettings, RecordedDraw, read_recorded_draws
from curate.pipeline.deciding import finish_deciding
from curate.policy.plan import ORDER_SQL
from curate.reporting.report_file import renew_report
from curate.store.audit import StoredAudit
from curate.store.audit_info import read_info
from curate.store.audit_sql import column_types, population_sql
from curate.store.engine_folder import AUDIT, PROPOSALS
from curate.writing.writer import write

SAMPLE, REST = "estimate", "errors"
"""Kinds of the two draws."""

CONFIDENCE = 0.95
"""Of the certificate."""

SAMPLE_FACTOR = 2.5
"""Masks of the sample, as a multiple of the fewest that certify anything if all are good: with so
many some may be bad."""

CERTIFIED = "action = 'accept' and decided_by = 'certificate'"
REFUSED = "action = 'reject'"


@dataclass(frozen=True)
class AutomaticWork(PeopleWork):
    """How far people are in a round of the automatic stage.

    Attributes:
        left: Masks that they are asked about and have not decided on.
        asked: Masks of the sample; 0 once it is about the rest.
    """

    left: int
    asked: int

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to decide on; nobody is asked to search images."""
        return not self.left

    def text(self) -> str:
        """Return the work that is left, as a clause."""
        if self.asked:
            return f"{count_noun(self.left, 'mask')} of {self.asked:,} of a random sample to review"
        again = f" ({self.unsettled:,} not settled)" if self.unsettled else ""
        return f"{count_noun(self.left, 'mask')} to decide on that nothing certifies{again}"


def choose_sample_size(settings: EngineSettings) -> int:
    """Return how many masks people review at random, at most.

    >>> from curate.engine.settings import MAX_BAD
    >>> zero_failures(MAX_BAD, CONFIDENCE)
    59
    """
    if settings.sample:
        return settings.sample
    return math.ceil(SAMPLE_FACTOR * zero_failures(settings.max_bad, CONFIDENCE))


def begin_automatic(settings: EngineSettings, detector: str | None) -> AutomaticRecord:
    """Return the record of a round whose masks were audited.

    Args:
        settings: Of the engine.
        detector: Fingerprint of the detector that saw the images; None for none.
    """
    return {
        "detector": detector,
        "quality": "label-free",
        "unlearned": "",
        "sample": 0,
        "reviewed": 0,
        "bad_found": 0,
        "max_bad": settings.max_bad,
        "confidence": CONFIDENCE,
        "threshold": None,
        "reason": "",
        "rest": 0,
        "certified": 0,
        "refused": 0,
    }


def draw_sample(
    folder: Path,
    classes: Sequence[str],
    count: int,
    *,
    seed: int,
    clock: Clock,
) -> int:
    """Draw and record the random sample of a round; once.

    Args:
        folder: The round's folder, with an audit.
        classes: Names that people can give masks.
        count: How many masks; all where there are no more.
        seed: Of the draw.
        clock: What time it is.

    Returns:
        How many were drawn; 0 where no mask could ever be accepted.
    """
    audit = open_audit(folder / AUDIT)
    reviews = open_reviews(audit, create=True, clock=clock)
    for draw in read_recorded_draws(reviews):
        if draw.kind == SAMPLE:
            return len(draw.rows)
    population = "false"
    if audit.info.mask_count:
        population = population_sql(column_types(audit))
    size = int(audit.query(f"select count(*) as n from masks where {population}")["n"].iloc[0])
    if not size:
        return 0
    drawn = draw_queue(audit, kind=SAMPLE, budget=min(count, size), seed=seed)
    settings: DrawSettings = {**drawn.settings, "categories": list(classes)}
    reviews.record_draw(SAMPLE, drawn.record, settings)
    return len(drawn.record)


def find_draw(audit: StoredAudit, kind: str) -> RecordedDraw | None:
    """Return the engine's own draw of a kind; None where there is none yet.

    People may have drawn others; only the engine's name the categories that the page offers.
    """
    if has_reviews(audit):
        for draw in read_recorded_draws(open_reviews(audit)):
            if draw.kind == kind and "categories" in draw.settings:
                return draw
    return None


def measure_automatic_work(folder: Path, record: RoundRecord) -> AutomaticWork:
    """Return how far people are with the sample of a round, or with the rest.

    Args:
        folder: The round's folder, with an audit.
        record: Its record.
    """
    base = measure_people_work(folder, CERTIFIED, REFUSED)
    audit = open_audit(folder / AUDIT)
    if "certify" in record.steps:
        found = audit.query("select count(*) as n from masks where action = 'review'")
        return AutomaticWork(base.record, base.unsettled, base.nameless, int(found["n"].iloc[0]), 0)
    draw = find_draw(audit, SAMPLE)
    asked = set() if draw is None else set(draw.rows["mask_id"].tolist())
    decided = set()
    if audit.has_people():
        decided = set(audit.query("select mask_id from people")["mask_id"].tolist())
    return AutomaticWork(
        base.record, base.unsettled, base.nameless, len(asked - decided), len(asked)
    )


def is_half_certified(folder: Path) -> bool:
    """Return whether a run was killed while it put a certificate in force."""
    info = read_info(folder / AUDIT)
    return info is not None and info.is_undecided


def finish_certifying(folder: Path) -> None:
    """Bring the plan of a round's audit to its end where a run was killed on the way."""
    if is_half_certified(folder):
        with hold_directory(folder / AUDIT, "certify"):
            finish_deciding(folder / AUDIT)


def certify_round(
    folder: Path, classes: Sequence[str], record: AutomaticRecord, pictures: Path, clock: Clock
) -> AutomaticRecord:
    """Certify on the reviewed sample, accept what is covered, and queue the rest for people.

    Args:
        folder: The round's folder, with an audit.
        classes: Names that people can give masks.
        record: What is known so far.
        pictures: Folder of the pictures, for the report.
        clock: What time it is.

    Returns:
        The record, with what was certified; ``reason`` says why nothing could be.
    """
    path, reason = folder / AUDIT, ""
    with hold_directory(path, "certify"):
        finish_deciding(path)
        audit = open_audit(path)
        try:
            found = certify_audit(audit, max_bad=record["max_bad"], confidence=record["confidence"])
        except CallError as error:  # too few reviews, or no mask at all: then nobody vouches
            reason = error.what if record["sample"] else "the segmenter drew no mask"
            found = _certify_nothing(record, reason)
        audit = store_certificate(audit, found)
    renew_report(audit, pictures)
    done = found.certificate
    if done.threshold is None and not reason:
        reason = done.text().splitlines()[0].partition(": ")[2]
    return {
        **record,
        "reviewed": done.reviewed,
        "bad_found": done.bad_found,
        "threshold": done.threshold,
        "reason": reason,
        "rest": _queue_rest(folder, classes, clock),
    }


def _certify_nothing(record: AutomaticRecord, reason: str) -> CertificationResult:
    """Return a certificate of nothing: with it in force no mask is accepted unseen."""
    names = ["threshold", "accepted", "share", "bad_share", "p_value", "level", "certified"]
    tested = pd.DataFrame({name: pd.Series(dtype="float64") for name in names})
    nothing = Certificate(
        None,
        *(0, 0.0, record["max_bad"], record["confidence"], 0, 0, math.nan, None, None, "count"),
        tested,
        (reason,),
    )
    return CertificationResult(nothing, 0.0)


def _queue_rest(folder: Path, classes: Sequence[str], clock: Clock) -> int:
    """Record that people are asked for all that is not certified, in order of worth; once.

    Returns:
        How many masks that is.
    """
    audit = open_audit(folder / AUDIT)
    drawn = find_draw(audit, REST)
    if drawn is not None:
        return len(drawn.rows)
    masks = audit.query(f"select mask_id from masks where action = 'review' order by {ORDER_SQL}")
    if len(masks):
        settings: DrawSettings = {"kind": REST, "unit": "", "categories": list(classes)}
        reviews = open_reviews(audit, create=True, clock=clock)
        reviews.record_draw(REST, masks.astype({"mask_id": "int64"}), settings)
    return len(masks)


def count_outcomes(record: AutomaticRecord, people: RoundPeople) -> AutomaticRecord:
    """Return the record of a round with the masks that nobody decided on, by who did instead.

    Args:
        record: What is known so far.
        people: What people did.
    """
    asked = people["accepted"] + people["fixed"] + people["rejected"] + people["undecided"]
    refused = people["proposals"] - asked - people["prefilled"]
    return {**record, "certified": people["prefilled"], "refused": refused}


def write_automatic_masks(
    folder: Path, images: Sequence[ListedImage], classes: Sequence[str], out: Path
) -> None:
    """Write the masks of a round that are certified, or that people accepted and made.

    Args:
        folder: The round's folder, with an audit.
        images: The round's images.
        classes: Names of the classes: an added mask without one is of the only one.
        out: The file.
    """
    audit = open_audit(folder / AUDIT)
    # Somebody may have voided the certificate: then what the policy accepts nobody vouches for.
    only = None if audit.info.certificate is not None else "certified"
    people = "action = 'accept' and decided_by = 'person'"
    found = audit.query(f"select count(*) as n from masks where {people}")
    if only and not int(found["n"].iloc[0]) and not len(read_added_masks(audit)):
        write_coco(out, images, no_masks(), classes)
        return
    write(
        audit,
        out,
        drop=("review",),
        duplicates="drop",
        only=only,
        category=classes[0] if len(classes) == 1 else None,
        source=folder / PROPOSALS,
        yes=True,
    )


def describe_automatic(record: AutomaticRecord) -> str:
    """Describe the certificate of a round in words, or say why nothing is certified."""
    why = f" ({record['unlearned']})" if record["unlearned"] else ""
    by = f"a {record['quality']} quality ranks the masks{why}"
    if not record["reviewed"] and not record["reason"]:
        return by
    if record["threshold"] is None:
        return f"no mask is certified: {record['reason']}; {by}"
    sure = f"with {record['confidence']:.0%} confidence at most {record['max_bad']:.1%} of"
    seen = f"{record['bad_found']:,} bad among {record['reviewed']:,} reviewed by chance"
    return f"{sure} the masks that are certified are bad ({seen}); {by}"
