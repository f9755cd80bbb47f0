"""First screen of the report: how good the dataset is, and its worst kinds of errors."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from curate.dataset.notes import count_noun
from curate.render.formatting import count, hash_reason, share
from curate.reporting.people_section import Fact, People, certificate_sentences
from curate.reporting.queries import Overview, Reason, ReportSource

MOST_KINDS = 3

SAMPLE = 200
"""Masks of the random sample that is proposed where nothing was measured."""

REVIEW_PAGE = "http://127.0.0.1:8765/"
"""Where ``curate review`` serves its page unless told otherwise."""

NOT_CERTIFIED = "not certified"
"""Begins the reason of masks that no certificate covers, which is no error."""

MISSING = "a detector or verifier sees an object that has no mask"


@dataclass(frozen=True)
class Figure:
    """One number of the first screen.

    Attributes:
        name: What it is the number of.
        value: The number, as people read it.
        basis: What it rests on.
        measured: Whether people's decisions measured it; else it is counted or suspected.
        command: What measures it, where nothing has; "" otherwise.
    """

    name: str
    value: str
    basis: str
    measured: bool = False
    command: str = ""


@dataclass(frozen=True)
class WorstKind:
    """One kind of error.

    Attributes:
        text: What is wrong, without the numbers in which masks differ.
        masks: How many masks (or places without a mask) have it.
        share: These in percent of all masks; "" for places without a mask.
        reason: The reason's index; None for places without a mask.
        examples: Masks that stand for it, the worst first.
        link: The review page, filtered on it; it opens while ``curate review`` runs.
    """

    text: str
    masks: int
    share: str
    reason: int | None
    examples: Sequence[int]
    link: str


def choose_kinds(
    reasons: Iterable[Reason], masks: int, examples: dict[int, list[int]], missing: int
) -> list[WorstKind]:
    """Return the kinds of errors that most masks have, those that reject masks before others.

    Args:
        reasons: All reasons; notes and those of the lowest quality alone are no errors.
        masks: Masks in all.
        examples: By index of a reason: masks that stand for it.
        missing: Objects without a mask.
    """
    faults = [
        reason
        for reason in reasons
        if not (reason.note or reason.weak or reason.kind.startswith(NOT_CERTIFIED))
    ]
    kinds = [
        WorstKind(
            reason.text,
            reason.masks,
            share(reason.masks, masks),
            reason.index,
            examples.get(reason.index, []),
            f"{REVIEW_PAGE}#reason={hash_reason(reason.kind)}" if reason.review else "",
        )
        for reason in sorted(faults, key=lambda one: (not one.reject, -one.masks))
    ]
    if missing:
        at = next((k for k, one in enumerate(kinds) if one.masks < missing), len(kinds))
        kinds.insert(at, WorstKind(MISSING, missing, "", None, [], REVIEW_PAGE))
    return kinds[:MOST_KINDS]


def choose_figures(
    source: ReportSource,
    over: Overview,
    people: People,
    signals: tuple[int, int],
    missing: tuple[int, int] | None,
) -> list[Figure]:
    """Return three numbers that say how good the dataset is.

    Args:
        source: The audit.
        over: Its counts.
        people: What people decided, estimated and certified.
        signals: How many signals were available, and how many there are.
        missing: Objects without a mask and the images that they are in; None where nothing could
            have seen any.
    """
    if not over.masks or not over.decided:
        return []
    return [
        _measure(source, people.facts),
        _count_findings(source, over, signals),
        next(_rest(source, over, people, missing)),
    ]


def _measure(source: ReportSource, facts: Sequence[Fact]) -> Figure:
    good = next((fact for fact in facts if fact.key == "good_share"), None)
    estimate = source.info.estimate
    if good is None or estimate is None:
        words = ["curate", "review", str(source.audit.path), "--kind", "estimate"]
        command = shlex.join([*words, "--budget", str(min(SAMPLE, source.count))])
        why = "nobody has reviewed a random sample; all else on this page is suspicion"
        return Figure("Good masks", "not measured", why, command=command)
    unit = "image" if estimate["unit"].startswith("image") else "mask"
    basis = f"{good.low} to {good.high} with {estimate['confidence']:.0%} confidence, from "
    basis += f"{count_noun(estimate['reviewed'], 'mask')} of a reviewed random sample"
    return Figure("Good masks", good.value, basis + " of images" * (unit == "image"), True)


def _count_findings(source: ReportSource, over: Overview, signals: tuple[int, int]) -> Figure:
    """Return how many masks that nobody decided on have a finding."""
    ran = f"{signals[0]} of {signals[1]} signals were available"
    if not over.flagged:
        found = over.review + over.reject
        value = f"{count(found)} ({share(found, over.masks)})" if found else "0"
        return Figure("Masks not accepted", value, f"by the policy; {ran}")
    found = over.rule + over.odd
    value = f"{count(found)} ({share(found, over.masks)})" if found else "0"
    parts = [f"{count(over.rule)} {'breaks' if over.rule == 1 else 'break'} a rule"]
    parts += [f"{count(over.odd)} {'is' if over.odd == 1 else 'are'} below the quality limit"]
    left = " on which nobody has decided" if people_decided(over) else ""
    what = ", ".join(parts) if found else "none breaks a rule or is below the quality limit"
    basis = f"{what}; suspected, not measured: {ran}"
    return Figure(f"Masks with a finding{left}", value, basis)


def people_decided(over: Overview) -> bool:
    """Whether people have decided on any mask."""
    return any(over.person.values())


def _rest(
    source: ReportSource, over: Overview, people: People, missing: tuple[int, int] | None
) -> Iterator[Figure]:
    """Yield what else says how good the dataset is, the most telling first."""
    certificate = source.info.certificate
    if certificate and certificate["threshold"] is not None and not people.void:
        basis = certificate_sentences(certificate)[0].partition(": ")[2]
        yield Figure("Certified masks", share(certificate["share"], 1), basis.rstrip("."), True)
    if missing is not None:
        masks, images = missing
        where = f"in {count_noun(images, 'image')}: " if masks else ""
        basis = f"{where}detections that no mask explains; suspected, not measured"
        yield Figure("Masks that may be missing", count(masks), basis)
    found = _count_images(source)
    value = f"{count(found)} ({share(found, over.images)})" if found else "0"
    basis = f"of {count_noun(over.images, 'image')}, with a mask to review or rejected"
    yield Figure("Images with a mask to look at", value, basis)


def _count_images(source: ReportSource) -> int:
    sql = "select count(distinct image_id) n from masks where action in ('review', 'reject')"
    return int(source.row(sql)["n"])
