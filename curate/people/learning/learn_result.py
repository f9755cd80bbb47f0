"""Result of learning, as JSON values and as text."""

from __future__ import annotations

from dataclasses import dataclass, field

from curate.common.readable_result import ReadableResult
from curate.store.audit import StoredAudit
from curate.store.audit_records import LearningRecord

USED, CALIBRATED, KEPT = "learned", "calibrated", "kept"
"""Outcomes: a model is in force that orders masks better; the order is as before and its scale is a
probability; everything is as before."""


@dataclass(frozen=True, repr=False)
class LearningResult(ReadableResult):
    """Result of learning from people's decisions.

    Attributes:
        audit: The audit, decided anew where something changed.
        record: What stands in ``audit.json`` under ``learning`` (under ``later`` there, where
            a model before stays in force): ``outcome``, ``why``, ``reviews``
            (counts), ``left_out``, ``label_free`` and ``model`` (loss, average precision,
            calibration error, all on images not learned from), ``experts``, ``reliability``,
            ``importance``, ``start``, ``judge`` (whether each helped), ``extrapolated`` (share of
            the dataset), ``check`` (against the random sample, where there is one), ``seconds``.
    """

    audit: StoredAudit
    record: LearningRecord = field(repr=False)

    @property
    def outcome(self) -> str:
        """Return "learned", "calibrated" or "kept"."""
        return self.record["outcome"]

    def as_dict(self) -> LearningRecord:
        """Return the record."""
        return self.record

    def text(self) -> str:
        """Return the result as lines of text."""
        r = self.record
        n = r["reviews"]
        lines = [
            f"{n['masks']:,} reviewed masks of {n['images']:,} images, {n['bad']:,} of them bad",
            r["why"],
            *(f"left out: {count:,} {why}" for why, count in r["left_out"].items()),
        ]
        before, after = r["label_free"], r["model"]
        lines.append(
            "on images not learned from: average precision of bad masks "
            f"{after['average_precision']:.3f} (label-free {before['average_precision']:.3f}), "
            f"log loss {after['log_loss']:.4f} ({before['log_loss']:.4f}), "
            f"calibration error {after['calibration_error']:.3f}"
        )
        if r["importance"]:
            most = [f"{one['title']} {one['share']:.0%}" for one in r["importance"][:5]]
            lines.append(f"what counts most: {', '.join(most)}")
        if r["extrapolated"] >= 0.01:
            lines.append(
                f"extrapolated: {r['extrapolated']:.0%} of the dataset is less prominent than "
                "what people saw"
            )
        start, check = r["start"], r["check"]
        judge = r.get("judge")
        if judge and "why" in judge:
            lines.append(
                "these numbers weight each mask by how many of the dataset it stands for; `curate "
                "judge` counts each once, by the quality as it stands, not by a model fitted anew "
                "without its image"
            )
            lines.append(judge["why"])
        if "why" in start:
            lines.append(start["why"])
        if "masks" in check:
            lines.append(
                f"on {check['masks']:,} masks of the random sample: calibration error "
                f"{check['calibration_error']:.3f}"
            )
        return "\n".join(lines)
