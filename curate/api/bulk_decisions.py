"""Verbs that decide on all masks that fit a condition: accept, reject, fix, undo."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from shlex import quote

import numpy as np
import pandas as pd

from curate.api.bulk_fixes import BulkRows, fix_rows
from curate.api.bulk_preview import check_preview, write_preview
from curate.common.paths import AnyPath, check_folder
from curate.common.ranges import check_numbers
from curate.dataset.notes import count_noun
from curate.errors import CallError
from curate.notebook.audit_value import Audit, open_audit
from curate.people.reviews.bulk import BulkDecision, add_bulk, read_decided, undo_bulk
from curate.people.reviews.mechanical_fixes import MechanicalFix
from curate.people.reviews.review_file import Reviews
from curate.people.reviews.validation import is_name
from curate.reporting.report_file import renew_report
from curate.store.audit import AnyAudit
from curate.store.audit_sql import column_types

EXAMPLES = 10
"""Masks that a preview lists."""

_SHOWN = ("file_name", "category", "action", "reasons")
_DONE = {"accept": "accepted", "reject": "rejected", "fix": "fixed"}
_KEPT = {"accept": ("accept", "fix"), "reject": ("reject",), "fix": ("reject",)}
"""By action: last actions in bulk that it would not change, or would take back."""


@dataclass(frozen=True)
class BulkResult:
    """What a decision in bulk is about, and what was written of it.

    Attributes:
        audit: The audit directory.
        action: "accept", "reject" or "fix".
        where: The condition, and what is fixed.
        masks: How many masks it is made on.
        images: How many images these are in.
        looked: How many more masks fit, but somebody has looked at them: that decision stays.
        already: How many more fit, and need no such decision: it was made in bulk before, or the
            fix changes no pixel of them.
        added: How many masks are new: parts that were split off.
        crowds: How many of the masks are crowd regions, which an audit does not judge.
        before: The masks by their action until now.
        examples: The first of them, index ``mask_id``: file, category, action, reasons.
        decision: What was written; None for a preview, or where no mask fits.
    """

    audit: str
    action: str
    where: str
    masks: int
    images: int
    looked: int
    already: int
    crowds: int
    added: int
    before: dict[str, int]
    examples: pd.DataFrame = field(repr=False)
    decision: BulkDecision | None = None

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        examples = self.examples.reset_index()
        return {
            "action": self.action,
            "where": self.where,
            "masks": self.masks,
            "images": self.images,
            "looked_at": self.looked,
            "already": self.already,
            "crowds": self.crowds,
            "added": self.added,
            "before": self.before,
            "examples": examples.astype(object).where(examples.notna(), None).to_dict("records"),
            "number": self.decision.number if self.decision else None,
        }

    def text(self) -> str:
        """Return the counts in a few lines; of a preview, with examples."""
        lines = [self.first_line()]
        if self.before:
            now = ", ".join(f"{count:,} {action}" for action, count in self.before.items())
            lines.append(f"their action until now: {now}")
        if self.crowds:
            lines.append(
                f"crowd regions among them, which an audit does not judge: {self.crowds:,}"
            )
        if self.added:
            lines.append(f"new masks, split off from them: {self.added:,}")
        if self.looked:
            lines.append(f"left as they are, since people looked at them: {self.looked:,}")
        if self.already:
            lines.append(f"left as they are, since nothing would change: {self.already:,}")
        if self.decision is None:
            lines += self._list_examples()
        else:
            undo = f"curate undo {quote(self.audit)} --number {self.decision.number}"
            lines.append(f"undo it with `{undo}`")
        return "\n".join(lines)

    __repr__ = text

    def first_line(self) -> str:
        """Return the first line: the masks that the decision is about."""
        what = f"{count_noun(self.masks, 'mask')} in {count_noun(self.images, 'image')}"
        if not self.masks:
            return f"no mask to {self.action} where {self.where}"
        if self.decision is None:
            return f"to {self.action} in bulk: {what}, where {self.where}"
        who = self.decision.reviewer
        return f"{_DONE[self.action]} in bulk by {who}: {what}, where {self.where}"

    def _list_examples(self) -> list[str]:
        lines = []
        rows = zip(self.examples.index, self.examples.to_dict("records"), strict=True)
        for mask_id, row in rows:
            said = [str(row[name]) for name in _SHOWN if name in row and pd.notna(row[name])]
            line = f"  mask {mask_id}: {', '.join(one for one in said if one)}"
            lines.append(line if len(line) <= 79 else f"{line[:78]}…")
        more = self.masks - len(self.examples)
        return [*lines, *([f"  and {more:,} more"] if more > 0 else [])]


def accept(
    audit: AnyAudit,
    *,
    where: str,
    reviewer: str,
    count: int | None = None,
    dry_run: bool = False,
    preview: AnyPath | None = None,
    images: AnyPath | None = None,
) -> BulkResult:
    """Accept all masks that fit a condition; what people decided after a look stays.

    A decision in bulk decides what becomes of a mask. It is no look at it: nothing is learned,
    certified or estimated from it, and a look of anybody, earlier or later, counts before it.

    Args:
        audit: The audit, or its directory.
        where: A condition on the masks' columns, in the grammar of policies (see
            :mod:`curate.policy.grammar`): ``"area_px < 20 and contains(reasons, 'it has holes')"``.
        reviewer: Who decides.
        count: How many masks must fit; nothing is decided if it is another number. None: any.
        dry_run: Decide nothing; only return what it would be about.
        preview: Where to write a page with pictures of the first masks, those of a fix before and
            after; None: nowhere.
        images: Folder of the pictures for report and preview; where the audit had them if None.

    Raises:
        CurateError: The condition is wrong, the count is another, or nothing can be written.
    """
    return _Bulk("accept", where, reviewer, count, dry_run, preview, images).run(audit)


def reject(
    audit: AnyAudit,
    *,
    where: str,
    reviewer: str,
    count: int | None = None,
    dry_run: bool = False,
    preview: AnyPath | None = None,
    images: AnyPath | None = None,
) -> BulkResult:
    """Reject all masks that fit a condition; see :func:`accept`."""
    return _Bulk("reject", where, reviewer, count, dry_run, preview, images).run(audit)


def fix(
    audit: AnyAudit,
    *,
    where: str,
    reviewer: str,
    drop_islands: int | None = None,
    fill_holes: int | None = None,
    split: bool = False,
    merge: bool = False,
    restate: bool = False,
    count: int | None = None,
    dry_run: bool = False,
    preview: AnyPath | None = None,
    images: AnyPath | None = None,
) -> BulkResult:
    """Fix all masks that fit a condition mechanically; see :func:`accept`.

    A fixed mask is accepted, as one that a person redrew. What is rejected stays as it is.

    Args:
        audit: The audit, or its directory.
        where: Which masks.
        reviewer: Who decides.
        drop_islands: Remove 8-connected parts of fewer pixels; the largest part always stays.
        fill_holes: Fill 4-connected holes of fewer pixels.
        split: Make each part a mask of its own; the largest keeps the id.
        merge: Make the masks of one image and category one; the largest keeps the id, the others
            are rejected.
        restate: Make the stored box and area those of the pixels, and end polygons at the border.
        count: How many masks must change; nothing is decided if it is another number. None: any.
        dry_run: Decide nothing; only return what it would be about.
        preview: Where to write a page with pictures of the first masks, those of a fix before and
            after; None: nowhere.
        images: Folder of the pictures for report and preview; where the audit had them if None.

    Raises:
        CurateError: Nothing is to be fixed, the condition is wrong, the count is another, or
            nothing can be written.
    """
    check_numbers(drop_islands=drop_islands, fill_holes=fill_holes)
    how = MechanicalFix(drop_islands, fill_holes, split, merge, restate)
    how.check()
    return _Bulk("fix", where, reviewer, count, dry_run, preview, images, how).run(audit)


@dataclass(frozen=True)
class _Bulk:
    """A decision in bulk as it was asked for; see :func:`accept`."""

    action: str
    where: str
    reviewer: str
    count: int | None
    dry_run: bool
    preview: AnyPath | None
    images: AnyPath | None
    fix: MechanicalFix | None = None

    def run(self, audit: AnyAudit) -> BulkResult:
        """Find its masks, and write it."""
        check_folder(self.images)
        check_numbers(count=self.count)
        reviewer = self.reviewer.strip()
        if not reviewer or not is_name(reviewer):
            raise CallError("a decision needs the name of a person", "reviewer", "give a short one")
        if self.preview is not None:
            check_preview(self.preview)
        opened = open_audit(audit)
        rows, looked, already = self._candidates(opened)
        chosen = self._choose(opened, rows)
        found = self._result(opened, rows, chosen, looked)
        found = replace(found, already=already + len(rows) - found.masks)
        if self.count not in (None, found.masks):
            what = f"the condition fits {count_noun(found.masks, 'mask')}, not {self.count:,}"
            if found.already:
                what += f" ({found.already:,} more are decided so already)"
            raise CallError(what, self.where, "look at them again: nothing was decided")
        if self.preview is not None and found.masks:
            words = found.first_line()
            write_preview(self.preview, opened, chosen.decisions, words, self.images)
        if self.dry_run or not found.masks:
            return found
        decision = add_bulk(
            Reviews(opened), chosen.decisions, found.where, reviewer, chosen.missing
        )
        renew_report(opened, self.images)
        return replace(found, decision=decision)

    def _choose(self, opened: Audit, rows: pd.DataFrame) -> BulkRows:
        """Return the rows to write, of masks that fit and that nobody looked at."""
        if self.fix is not None:
            return fix_rows(opened, rows, self.fix)
        ids = rows.index.to_numpy(np.int64)
        return BulkRows(pd.DataFrame({"mask_id": ids, "action": self.action}))

    def _candidates(self, opened: Audit) -> tuple[pd.DataFrame, int, int]:
        """Return the masks that fit and may change, and how many others people or bulk decided."""
        known = column_types(opened)
        columns = [n for n in ("image_id", "area_px", "iscrowd", *_SHOWN) if n in known]
        rows = opened.masks(columns, where=self.where)
        looked, bulk = read_decided(Reviews(opened))
        ids = rows.index.to_numpy(np.int64)
        seen = np.isin(ids, looked)
        kept = bulk.index[bulk.isin(_KEPT[self.action])].to_numpy(np.int64)
        same = ~seen & np.isin(ids, kept)
        return rows[~seen & ~same], int(seen.sum()), int(same.sum())

    def _result(
        self, opened: Audit, rows: pd.DataFrame, chosen: BulkRows, looked: int
    ) -> BulkResult:
        rows = rows[rows.index.isin(chosen.decisions["mask_id"])]
        before = rows["action"].value_counts() if "action" in rows else pd.Series(dtype="int64")
        where = f"{self.where} ({self.fix.describe()})" if self.fix else self.where
        return BulkResult(
            audit=str(opened.path),
            action=self.action,
            where=where,
            masks=len(rows),
            images=int(rows["image_id"].nunique()),
            looked=looked,
            already=0,
            crowds=int((rows["iscrowd"] == 1).sum()) if "iscrowd" in rows else 0,
            added=0 if chosen.missing is None else len(chosen.missing),
            before={str(name): int(number) for name, number in before.items()},
            examples=rows[[name for name in _SHOWN if name in rows]].head(EXAMPLES),
        )


@dataclass(frozen=True)
class UndoneBulk:
    """A decision in bulk that was undone, as it was."""

    decision: BulkDecision

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        one = self.decision
        return {
            "number": one.number,
            "action": one.action,
            "where": one.condition,
            "reviewer": one.reviewer,
            "masks": one.masks,
        }

    def text(self) -> str:
        """Return the undone decision in a line."""
        one = self.decision
        what = f"{count_noun(one.masks, 'mask')} {_DONE[one.action]} in bulk by {one.reviewer}"
        return f"undone: {what}, where {one.condition}"


def undo(
    audit: AnyAudit, number: int | None = None, *, images: AnyPath | None = None
) -> UndoneBulk:
    """Undo a decision in bulk, on all of its masks; they are what they were before.

    Args:
        audit: The audit, or its directory.
        number: Which, from 1 in the order in which they were made; None for the last that stands.
        images: Folder of the pictures for the report; where the audit had them if None.

    Raises:
        CurateError: There is none, or it is undone already.
    """
    check_folder(images)
    check_numbers(number=number)
    opened = open_audit(audit)
    undone = UndoneBulk(undo_bulk(Reviews(opened), number))
    renew_report(opened, images)
    return undone
