"""Methods section: signals, settings, policy, timings, glossary of columns."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import PurePath

from curate.common.json_values import JsonObject
from curate.errors import CallError
from curate.formats import format_by_name, format_names
from curate.policy.policy import Policy
from curate.render.formatting import seconds, title_of
from curate.reporting.queries import ReportSource
from curate.scorers import columns
from curate.scorers.judge import JUDGE_COLUMNS
from curate.store.audit_info import AuditInfo
from curate.store.audit_records import ModelRecord, SignalRecord

STATUS_WORDS: dict[str, str] = {
    "wrong_type": "a value has the wrong type",
    "unknown_image": "its image is not in the dataset",
    "invalid_size": "the declared size is not usable",
    "no_segmentation": "there is no segmentation",
    "bad_polygon": "the polygon cannot be drawn",
    "size_mismatch": "the sizes differ",
    "undecodable": "the run lengths cannot be decoded",
    "empty": "the mask has no pixel",
    "duplicate_id": "the id is used more than once",
    "bad_category": "the category is not declared",
    "missing": "the file is not there",
    "unreadable": "the file cannot be read",
    "truncated": "the file ends too early",
    "too_large": "the picture is over a limit that can be raised",
    "exif_rotated": "the file asks viewers to turn it",
}


@dataclass(frozen=True)
class ColumnTerm:
    """A column in words."""

    column: str
    title: str
    low_means: str = ""
    unit: str = ""
    means: str = ""


@dataclass(frozen=True)
class Signal:
    """One signal: whether it was available, and why not.

    Attributes:
        name: As in the reference.
        columns: What it gives.
        available: Whether it spoke of any mask.
        why: Why it did not; "" where it did.
        silenced: Why it counts for nothing although it spoke; "" where it counts.
    """

    name: str
    columns: Sequence[str]
    available: bool
    why: str = ""
    silenced: str = ""


@dataclass(frozen=True)
class Story:
    """Facts of the methods section."""

    source: str
    format: str
    policy: str
    silent_rules: Sequence[tuple[str, str]] = ()
    facts: Sequence[tuple[str, str]] = field(default_factory=tuple)
    timings: Sequence[tuple[str, str]] = field(default_factory=tuple)


OWN_TERMS = (
    ColumnTerm("quality_score", "quality", "all signals together say the mask is likely wrong"),
    ColumnTerm("predicted_iou", "predicted IoU", "the model that drew the mask doubts it"),
    ColumnTerm(
        "stability_score", "stability", "the mask changes when the threshold moves a little"
    ),
    ColumnTerm("score", "score", "the model that drew the mask doubts it"),
    ColumnTerm(
        "action", "action: accept, review or reject, as the policy says, or people where they did"
    ),
    ColumnTerm("reasons", "why the mask is not simply accepted, or what people decided"),
    ColumnTerm(
        "decided_by",
        "who decided: the policy, the model, the certificate, a person, or a person in bulk",
    ),
    ColumnTerm(
        "priority", "chance that the mask is wrong, times what a wrong one costs; high is sooner"
    ),
    ColumnTerm(
        "flagged_by",
        "why it is not accepted: a rule, its quality, the policy's lowest_share, no certificate",
    ),
    ColumnTerm("rank", "place in the order of priority, from 1"),
    ColumnTerm("status", "ok, or what is wrong with the mask itself"),
    ColumnTerm("source_key", "the mask's position in the source"),
    ColumnTerm("outline_crossings", "how often the rings of its polygon cross themselves"),
    ColumnTerm("area_px", "area, measured", unit="px"),
)
"""Terms of the columns that no scorer writes; the scorers' own say what they mean."""


@cache
def column_terms() -> dict[str, ColumnTerm]:
    """Return the terms of all described columns, by name."""
    terms = list(OWN_TERMS)
    for column in columns().values():
        if column.kind == "score":
            terms.append(ColumnTerm(column.name, column.title, column.low_means, column.unit))
        else:
            unit, means = column.unit, column.low_means
            terms.append(ColumnTerm(column.name, column.title, unit=unit, means=means))
    return {t.column: replace(t, title=t.title[:1].upper() + t.title[1:]) for t in terms}


def glossary(source: ReportSource) -> list[ColumnTerm]:
    """Return a term for every column that the audit has and somebody described."""
    return [term for column, term in column_terms().items() if column in source.masks]


def signals(source: ReportSource, spoken: Container[str]) -> list[Signal]:
    """Return which signals spoke, and why the others did not.

    Args:
        source: The audit.
        spoken: Score columns that have a value for at least one mask. A signal that ran but never
            had what it needs (a prompt, a crop) did not speak.
    """
    if not source.info.signals:
        return [
            Signal(title_of(c), [c], c in spoken, "" if c in spoken else "no mask has it")
            for c in source.score_columns()
            if c != "quality_score"
        ]
    return [
        replace(found, silenced=_why_silenced(found.name, source.info))
        if found.available
        else found
        for found in (_signal(listed, spoken) for listed in source.info.signals)
    ]


def _why_silenced(name: str, info: AuditInfo) -> str:
    """Return why a signal that spoke has no say in quality and plan; "" where it has."""
    if name == "judge":
        trial = info.learning.get("judge") if info.learning else None
        named = any(column in str(info.policy) for column in JUDGE_COLUMNS)
        if named or (trial and trial["helped"]):
            return ""
        shown = "reviews did not show that it helps" if trial else "no reviews show that it helps"
        return f"{shown} (`curate learn`), and the policy names none of its columns"
    if name == "verifier" and "verifier" in info.models and _weight(info.models["verifier"]) == 0:
        return "on held-out images it told masks from wrong ones hardly better than chance"
    return ""


def _weight(model: ModelRecord) -> float:
    """Return how far a verifier's score counts; fully where an earlier curate did not say."""
    return model.get("weight", 1.0)


def _signal(listed: SignalRecord, spoken: Container[str]) -> Signal:
    columns, available, why = listed["columns"], listed["available"], listed["why"]
    scores = [c for c in columns if c.endswith("_score")]
    if available and scores and not any(c in spoken for c in scores):
        available, why = False, "no mask of the source has what it looks at"
    return Signal(listed["name"], columns, available, why)


def story(source: ReportSource) -> Story:
    """Return how the audit was made, as far as ``audit.json`` says."""
    info = source.info
    return Story(
        source=_source_name(info.source.get("path", "")),
        format=_format_title(info.source.get("format", "")),
        policy=_policy_text(info.policy),
        silent_rules=[(rule["when"], ", ".join(rule["lacks"])) for rule in info.silent_rules or ()],
        facts=list(_facts(info.as_dict())),
        timings=[(name.removesuffix("_s"), seconds(took)) for name, took in info.timings.items()],
    )


def _policy_text(policy: JsonObject | None) -> str:
    """Return a policy as TOML, "" where it cannot be told."""
    try:
        return "" if policy is None else Policy.from_dict(policy).to_toml()
    except CallError:  # written by another version: the facts beside it still stand
        return ""


_TELL_NOTHING = (
    *("_annotations.coco", "annotations", "data", "default", "instances", "labels", "panoptic"),
    *("result", "results", "tasks", "test", "train", "val", "valid"),
)
"""Names of files that many datasets have."""


def _source_name(path: str) -> str:
    """Return the name of a dataset's file or folder, with its folder where it tells nothing."""
    named = PurePath(path)
    if named.stem in _TELL_NOTHING and named.parent.name:
        return f"{named.parent.name}/{named.name}"
    return named.name or path or "this dataset"


def _format_title(name: str) -> str:
    """Return a format's title for people, or its name where nobody knows it any more."""
    return format_by_name(name).title if name in format_names() else name


SHOWN_ELSEWHERE = frozenset(
    (
        "policy",
        "signals",
        "stability_curve",
        "timings",
        "counts",
        "references",
        "identity",
        "state",
        "silent_rules",
        "void_certificate",
    )
)


def _facts(info: JsonObject, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield every small fact of ``audit.json`` with a dotted name."""
    for name, value in info.items():
        if not prefix and name in SHOWN_ELSEWHERE:
            continue
        label = f"{prefix}{name}"
        if isinstance(value, Mapping) and depth < 2:
            yield from _facts(value, f"{label}.", depth + 1)
        elif isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
            if value:
                yield label, " ".join(value)
        elif isinstance(value, str | int | float | bool) and value != "":
            yield label, str(value)
