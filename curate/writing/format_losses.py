"""Guard against losing many masks for format errors, often a habit of a whole file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from curate.dataset.notes import count_noun
from curate.dataset.table import records
from curate.errors import CallError
from curate.scorers.duplicates import DUPLICATE_IOU
from curate.store.audit import StoredAudit
from curate.store.audit_sql import column_types
from curate.store.people_overlay import by_people_sql

MOST_MASKS = 0.5
"""The share of all masks that may go for format errors without a word."""

MOST_IMAGES = 0.1
"""The share of the images with several masks of which all may go so."""

_EXAMPLES = 3
_DECLARATION_WORDS = "stored box or area is not the mask's"
_DECLARATION = 0.5  # the bound of the default policy
_COUNTS = """
with all_masks as (select image_id, ({going}) as goes from masks),
  by_image as (select count(*) as n, bool_and(goes) as goes from all_masks group by image_id)
select (select count(*) filter (goes) from all_masks) as masks,
  (select count(*) from all_masks) as total,
  (select count(*) filter (goes and n > 1) from by_image) as images,
  (select count(*) filter (n > 1) from by_image) as several
"""
_REASONS = """
select {reason} as reason, count(*) as n from masks where {going} group by 1 order by n desc, 1
"""
_SHOWN = """
select file_name, mask_id, {reason} as status, status_detail from masks where {going}
order by mask_id limit {most}
"""


class LossExample(TypedDict):
    """A mask that would be removed, and its format error."""

    file_name: str
    mask_id: int
    status: str
    detail: str


@dataclass(frozen=True)
class FormLoss:
    """Masks that would be removed for format errors: undecided, and without a duplicate.

    Attributes:
        masks: How many masks.
        total: How many masks there are.
        images: How many images with several masks lose all of them so.
        several: How many images have several masks.
        reasons: How many masks go by status; "declaration" where a stored box or area is not that
            of the mask.
        examples: Some of them: ``file_name``, ``mask_id``, ``status``, ``detail``.
        agreed: Whether somebody said that they are to go, however many they are.
    """

    masks: int
    total: int
    images: int
    several: int
    reasons: dict[str, int]
    examples: Sequence[LossExample]
    agreed: bool = False

    @property
    def needs_yes(self) -> bool:
        """Whether nobody agreed, and it is more than anybody would want without being asked."""
        if self.agreed:
            return False
        by_masks = self.masks > MOST_MASKS * self.total
        return by_masks or self.images > MOST_IMAGES * self.several

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return {
            "masks": self.masks,
            "images_with_several": self.several,
            "images_that_lose_all": self.images,
            "reasons": dict(self.reasons),
            "examples": list(self.examples),
            "needs_yes": self.needs_yes,
        }

    def text(self) -> str:
        """Describe the loss and its reasons, with examples, as a clause."""
        reasons = ", ".join(f"{_words(status)}: {n:,}" for status, n in self.reasons.items())
        shown = "; ".join(
            f"{one['file_name'] or 'an image without a name'}, mask {one['mask_id']}: "
            f"{_words(one['status'])}" + (f" ({one['detail']})" if one["detail"] else "")
            for one in self.examples
        )
        some = f"{self.masks:,} of {count_noun(self.total, 'mask')}"
        if self.images:
            several = f"{count_noun(self.several, 'image')} with several"
            some += f", all masks of {self.images:,} of the {several},"
        why = "would be removed for format errors, not for what they show"
        return f"{some} {why} ({reasons}), for example {shown}"

    def warnings(self) -> list[str]:
        """Return the warnings of a dry run."""
        return [f"{self.text()}: writing needs --yes"] if self.needs_yes else []

    def refuse(self, where: str) -> None:
        """Raise where that is much and nobody agreed.

        Raises:
            CallError: So it is.
        """
        if self.needs_yes:
            do = "fix the file, or how it is read, or add --yes to remove them"
            raise CallError(self.text(), where, do)


def _words(status: str) -> str:
    """Return a status in words."""
    return _DECLARATION_WORDS if status == "declaration" else status.replace("_", " ")


def form_loss(audit: StoredAudit, dropped: str, *, agreed: bool = False) -> FormLoss:
    """Count the masks that would be removed for format errors."""
    types = column_types(audit)
    form, reason = "status <> 'ok'", "status"
    if "declaration_score" in types:
        form = f"({form} or coalesce(declaration_score < {_DECLARATION}, false))"
        reason = "case when status <> 'ok' then status else 'declaration' end"
    going = f"{dropped} and {form}"
    if "decided_by" in types:
        going += f" and coalesce(not {by_people_sql()}, true)"
    if "duplicate_iou" in types:
        going += f" and not coalesce(duplicate_iou >= {DUPLICATE_IOU}, false)"
    going = f"coalesce({going}, false)"
    counts = audit.query(_COUNTS.format(going=going)).iloc[0]
    reasons = audit.query(_REASONS.format(going=going, reason=reason))
    shown = audit.query(_SHOWN.format(going=going, reason=reason, most=_EXAMPLES))
    return FormLoss(
        int(counts["masks"]),
        int(counts["total"]),
        int(counts["images"]),
        int(counts["several"]),
        {str(row["reason"]): int(row["n"]) for row in reasons.to_dict("records")},
        [
            {
                "file_name": str(row["file_name"] or ""),
                "mask_id": int(row["mask_id"]),
                "status": str(row["status"]),
                "detail": str(row["status_detail"] or ""),
            }
            for row in records(shown)
        ],
        agreed,
    )
