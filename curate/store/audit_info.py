"""``audit.json``: the state and facts of an audit, read and checked.

Nothing heavy is loaded for it, so a directory that holds no audit is refused at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import get_type_hints

from curate.common.json_values import JsonObject
from curate.common.locks import refuse_locked
from curate.common.own_records import DamagedRecord, read_record
from curate.dataset.notes import NoteRecord
from curate.errors import AuditError
from curate.store.audit_records import (
    CertificateRecord,
    CountsRecord,
    CurveRecord,
    EstimateRecord,
    JoinRecord,
    JudgeRecord,
    LearningRecord,
    ModelRecord,
    PeopleRecord,
    QualityModelRecord,
    References,
    SignalRecord,
    SilentRule,
    SourceRecord,
    VoidCertificate,
)
from curate.store.audit_shape import Members, OrNull, misfit, shape_of

SCHEMA_VERSION = 2
"""Version of the audit directory's layout; a directory of another version is refused."""

INFO = "audit.json"

SCORING, DECIDING, COMPLETE = "scoring", "deciding", "complete"
"""States of an audit: parts are being scored; plans are being written; all is there."""

_AGAIN = "run the same `curate audit` command again"

_NULL_WITH = {
    "judged_by": "policy",
    "certified_line": "policy",
    "version": "references",
    "stability_curve": "silent_rules",
}
"""Keys that are null, not absent, where they have no value and this other key is there."""


@dataclass(frozen=True)
class AuditInfo:
    """The content of ``audit.json``.

    None stands for what an audit does not have (yet). Fields are in the order in which an audit
    gets them; a file that is read and written again keeps the order of its keys.

    Attributes:
        state: :data:`SCORING`, :data:`DECIDING` or :data:`COMPLETE`.
        identity: What must be equal for an interrupted run to be continued: fingerprints of the
            source and the inputs, settings, version of curate.
        source: What was audited.
        inputs: Absolute paths of what was given beside it, by name.
        settings: Options that scores depend on, by name; parameters of scorers by scorer.
        models: Networks that scored masks: "segmenter", "detector".
        timings: Seconds of each stage: ``scoring_s``, ``deciding_s``.
        crowd: Whether crowd masks are judged as "objects", or are "regions".
        signals: Every scorer, and whether it could run.
        joins: Joins of the inputs with the images, by input.
        notes: Findings for the whole file.
        policy: The policy that made the plan, as TOML has it, and its ``marks``.
        judged_by: Checksum of the quality model that made the plan; None for none.
        certified_line: The quality from which on masks are certified in the plan; see
            :func:`curate.policy.certificate_in_force.certified_line`.
        version: The content id of the dataset; None where parts of an earlier curate lack theirs.
        references: What is usual in the dataset; from then on all masks are scored.
        rules_of_file: Numbers of rules that apply to nearly every mask: findings of the file.
        parts: Number of parts; None in an audit of an earlier curate.
        counts: How many masks, images, and masks of each action and status.
        stability_curve: Stability by offset; None where there were no soft masks.
        silent_rules: Rules that cannot apply.
        people: Settings for reading people's decisions.
        judge: The judge whose answers stand in the plan; None where none was asked.
        quality_model: The model in force; None for none.
        learning: What came of learning: of the model in force, if there is one.
        certificate: The certificate in force.
        void_certificate: The last certificate that was voided.
        estimate: The last estimate.
        schema_version: That of the directory's layout.
        tool: Name of the program that wrote it.
        tool_version: Version of that program.
        others: What else stands in the file, of a newer curate or by hand, by key.
        keys: All keys of the file in their order, where it was read.
    """

    state: str
    identity: JsonObject = field(default_factory=dict)
    source: SourceRecord = field(default_factory=SourceRecord)
    inputs: Mapping[str, str] = field(default_factory=dict)
    settings: JsonObject = field(default_factory=dict)
    models: Mapping[str, ModelRecord] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    crowd: str | None = None
    signals: Sequence[SignalRecord] = ()
    joins: Mapping[str, JoinRecord] = field(default_factory=dict)
    notes: Sequence[NoteRecord] = ()
    policy: JsonObject | None = None
    judged_by: str | None = None
    certified_line: float | None = None
    version: str | None = None
    references: References | None = None
    rules_of_file: Sequence[int] | None = None
    parts: int | None = None
    counts: CountsRecord | None = None
    stability_curve: CurveRecord | None = None
    silent_rules: Sequence[SilentRule] | None = None
    people: PeopleRecord | None = None
    judge: JudgeRecord | None = None
    quality_model: QualityModelRecord | None = None
    learning: LearningRecord | None = None
    certificate: CertificateRecord | None = None
    void_certificate: VoidCertificate | None = None
    estimate: EstimateRecord | None = None
    schema_version: int = SCHEMA_VERSION
    tool: str | None = None
    tool_version: str | None = None
    others: JsonObject = field(default_factory=dict)
    keys: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def from_dict(cls, content: JsonObject, where: str) -> AuditInfo:
        """Return the content of an ``audit.json`` of this schema version, checked.

        Args:
            content: The parsed file.
            where: The file, for errors.

        Raises:
            AuditError: Something in it is not as curate writes it; says what.
        """
        if what := misfit(content, _shape()):
            do = "restore it from a copy, or run the audit again with --restart"
            raise AuditError(f"it is not as curate writes it: {what}", where, do)
        names = _shape().shapes.keys()
        others = {key: value for key, value in content.items() if key not in names}
        known = {key: value for key, value in content.items() if key in names}
        return cls(**known, others=others, keys=tuple(content))  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, object]:
        """Return the content of the file, its keys in order."""
        found = {name: getattr(self, name) for name in ("schema_version", "tool", "tool_version")}
        found |= {name: getattr(self, name) for name in _shape().shapes if name not in found}
        found |= self.others
        kept = [name for name in self.keys if name in found]
        order = (*kept, *(name for name in found if name not in self.keys))
        return {name: found[name] for name in order if self._is_written(name, found[name])}

    def _is_written(self, name: str, value: object) -> bool:
        """Return whether a key is there; a file that was read without one gets it with a value."""
        if value is None:
            return name in _NULL_WITH and getattr(self, _NULL_WITH[name]) is not None
        is_default = value in ((), {})
        return not (is_default and self.keys and name not in self.keys)

    @property
    def is_undecided(self) -> bool:
        """Whether all is scored, and deciding on it was cut off: ``decide`` can finish it."""
        return self.state == DECIDING and self.references is not None

    @property
    def fitted(self) -> References:
        """What is usual in the dataset, of an audit whose masks are all scored."""
        assert self.references is not None, "all masks are scored"
        return self.references

    @property
    def mask_count(self) -> int | None:
        """How many masks there are, as far as the file says."""
        return None if self.counts is None else self.counts["masks"]


@cache
def _shape() -> Members:
    """Return the shape of ``audit.json``: only its state and schema version must be there."""
    shapes = {}
    for name, kind in get_type_hints(AuditInfo, include_extras=True).items():
        shape = shape_of(kind) if name not in ("others", "keys") else None
        if isinstance(shape, OrNull) and name not in _NULL_WITH:
            shape = shape.value
        if shape is not None:
            shapes[name] = shape
    return Members(shapes, frozenset(("schema_version", "state")))


def read_info(path: Path) -> AuditInfo | None:
    """Return ``audit.json`` of a directory, None if there is none.

    Raises:
        AuditError: It is there but is not an audit's, is damaged, is of another schema version, or
            holds something else than curate writes; says where.
    """
    file = path / INFO
    if not file.is_file():
        return None
    content = _read_own(file)
    version = content["schema_version"]
    if version != SCHEMA_VERSION:
        raise AuditError(
            f"it was written with schema version {version}, this curate reads {SCHEMA_VERSION}",
            str(file),
            "run the audit again with this version: into a new directory, or with --restart",
        )
    return AuditInfo.from_dict(content, str(file))


def has_info(path: Path) -> bool:
    """Return whether a directory has an ``audit.json``, of any schema version, damaged or not.

    Raises:
        AuditError: It is there but is not an audit's.
    """
    file = path / INFO
    if not file.is_file():
        return False
    with suppress(DamagedRecord):
        _read_own(file)
    return True


def _read_own(file: Path) -> JsonObject:
    return read_record(file, "an audit's", "curate audit")


def scored_info(path: Path) -> AuditInfo:
    """Return ``audit.json`` of an audit that is finished, or needs only to be decided on.

    Raises:
        AuditError: There is none, it is of another version, or it was interrupted before.
    """
    info = read_info(path) if path.is_dir() else None
    if info and info.is_undecided:
        return info
    return finished_info(path)


def any_info(path: Path) -> AuditInfo:
    """Return ``audit.json`` of an audit, finished or not.

    Raises:
        AuditError: There is none, or it is of another version.
    """
    info = read_info(path) if path.is_dir() else None
    if info is None:
        raise AuditError("there is no audit here", str(path), "run `curate audit SOURCE` first")
    return info


def finished_info(path: Path) -> AuditInfo:
    """Return ``audit.json`` of a finished audit.

    Raises:
        AuditError: There is none, it is of another version, or it was interrupted.
    """
    info = any_info(path)
    if info.state != COMPLETE:
        refuse_locked(path)
        do = f"`curate decide {path}` finishes it" if info.is_undecided else _AGAIN
        raise AuditError("the audit was interrupted", str(path), do)
    return info
