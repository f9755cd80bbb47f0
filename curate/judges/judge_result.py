"""Result of asking a judge, as JSON values and as text."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun
from curate.judges.judge_pictures import PICTURE_PX, ZOOM_PX
from curate.judges.judge_requests import FailedBatch
from curate.judges.judge_worth import JudgeWorth
from curate.store.audit import StoredAudit

_LISTED = 5
"""Failed batches that the text names."""

_LISTED_IDS = 8
"""Masks of each that it names."""


@dataclass(frozen=True)
class ReplacedAnswers:
    """Answers of another judge that an audit's columns hold no longer.

    Attributes:
        judge: The other judge's name.
        masks: How many of its answers leave the columns.
    """

    judge: str
    masks: int


@dataclass(frozen=True, repr=False)
class JudgeResult(ReadableResult):
    """Result of asking a judge about an audit's masks.

    Attributes:
        audit: The audit, decided anew where there are new answers.
        judge: The judge's name.
        place: Where pictures go: the process or address, and on which machine.
        chosen: How many masks have an answer, or are to get one within the budget.
        candidates: How many masks could be asked about.
        known: How many of the chosen ones had an answer before.
        asked: How many were asked about now and answered; 0 in a dry run.
        without_picture: How many could be asked about but for their picture, which is not there.
        unreadable: How many of the chosen ones have a picture that cannot be used, by why.
        failed: Batches without an answer.
        accepted: Masks of the audit that the judge accepts, by now.
        rejected: Masks that it rejects.
        batch: Masks in a request.
        worth: The judge measured on people's decisions; None where there are too few.
        lacking: What is missing for that; "" for nothing.
        budget: How many masks are to have an answer, at most.
        replaced: Answers of another judge that leave the columns; None for none.
        dry_run: Whether nothing was sent.
    """

    audit: StoredAudit
    judge: str
    place: str
    chosen: int
    candidates: int
    known: int
    asked: int
    without_picture: int
    unreadable: dict[str, int]
    failed: tuple[FailedBatch, ...]
    accepted: int
    rejected: int
    batch: int
    worth: JudgeWorth | None
    lacking: str = ""
    budget: int = 0
    replaced: ReplacedAnswers | None = None
    dry_run: bool = field(default=False)

    @property
    def to_ask(self) -> int:
        """How many masks a dry run would ask about."""
        return self.chosen - self.known

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "judge": self.judge,
            "place": self.place,
            "dry_run": self.dry_run,
            "chosen": self.chosen,
            "candidates": self.candidates,
            "known": self.known,
            "asked": self.asked,
            "without_picture": self.without_picture,
            "unreadable": self.unreadable,
            "unanswered": [
                {"batch": one.number, "mask_ids": list(one.mask_ids), "why": one.why}
                for one in self.failed
            ],
            "accepted": self.accepted,
            "rejected": self.rejected,
            "worth": self.worth.as_dict() if self.worth else None,
            "lacking": self.lacking,
            "budget": self.budget,
            "replaced": asdict(self.replaced) if self.replaced else None,
        }

    def text(self) -> str:
        """Return the result in lines; of a dry run, what would be sent where."""
        if self.dry_run:
            return self._text_before()
        lines = [f"asked {self.judge} about {count_noun(self.asked, 'mask')}"]
        if self.known:
            lines[0] += f"; {self.known:,} more had been answered before"
        lines.append(f"it accepts {self.accepted:,} and rejects {self.rejected:,} by now")
        if self.failed:
            silent = sum(len(one.mask_ids) for one in self.failed)
            lines.append(f"without an answer, for the next call: {count_noun(silent, 'mask')}")
        for one in self.failed[:_LISTED]:
            more = ", ..." if len(one.mask_ids) > _LISTED_IDS else ""
            ids = ", ".join(map(str, one.mask_ids[:_LISTED_IDS])) + more
            lines.append(f"no answer to batch {one.number} (masks {ids}): {one.why}")
        if len(self.failed) > _LISTED:
            lines.append(f"and to {len(self.failed) - _LISTED:,} more batches")
        lines += self._lines_without_picture() + self._lines_replaced("have left")
        lines.append(self.worth.text() if self.worth else self.lacking)
        return "\n".join(line for line in lines if line)

    def _text_before(self) -> str:
        masks = count_noun(self.to_ask, "mask")
        lines = [
            f"to be asked about: {masks} (of {self.candidates:,} with a picture), "
            f"{self.batch} at a time"
        ]
        if self.to_ask:
            lines += [
                f"sent to: {self.place}",
                "sent of each: its category, size and box; the whole picture (longer side at most "
                f"{PICTURE_PX} px), the same with the mask drawn on it, and a window around the "
                f"mask (at most {ZOOM_PX} px); no file names",
            ]
        if self.known:
            lines.append(f"answered before, and not sent again: {count_noun(self.known, 'mask')}")
        if not self.to_ask and self.known >= self.budget:
            lines.append(f"--budget {self.budget} counts these; a larger one asks about more")
        lines += self._lines_without_picture() + self._lines_replaced("leave")
        return "\n".join(lines)

    def _lines_replaced(self, verb: str) -> list[str]:
        """Return a line about the answers of another judge, whose place the new ones take."""
        if self.replaced is None:
            return []
        other, mine = self.replaced.judge, self.judge
        if other == mine:  # a script that was edited, or another query of one address
            other, mine = f"{other} as it was before", f"{mine} as it is now"
        answers = count_noun(self.replaced.masks, "answer")
        return [
            f"{answers} of {other} {verb} the columns, for those of {mine}; they are kept in "
            "judgements.parquet"
        ]

    def _lines_without_picture(self) -> list[str]:
        lines = []
        if self.without_picture:
            lines.append(f"not asked about, without a picture: {self.without_picture:,}")
        for why, count in self.unreadable.items():
            lines.append(f"not asked about, since {why}: {count:,}")
        return lines
