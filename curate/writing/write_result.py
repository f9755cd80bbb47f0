"""Result of writing a dataset or of its dry run: counts, JSON, text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun, plural, short_version
from curate.dataset.table import records
from curate.formats.edits import Stored
from curate.people.reviews.outcomes import DISPUTED, NOT_DRAWN, describe_unsettled
from curate.writing.changes import Changes
from curate.writing.exporting import Exporting
from curate.writing.exports.losses import Losses
from curate.writing.prune_plan import PrunePlan
from curate.writing.prune_result import describe_effect, emptied_text

_SHOWN = 5
"""How many masks a line of text names."""


@dataclass(frozen=True, repr=False)
class WriteResult(ReadableResult):
    """Result of writing, or of a dry run; as text: a few lines for people.

    Attributes:
        source: The dataset that was audited.
        format: The name of the format in which it is written.
        changes: What changed.
        audit: The audit, for people.
        out: What was written, read back and compared; None for a dry run.
        provenance: The file that says what happened to each mask; None for a dry run.
        version: Content id of what was written; "" for a dry run.
        version_before: Content id of the source; "" where the audit does not know it.
        stored: How new pixels were stored.
        export: The export: splits, losses; None where it is written in its own format.
        weights: The file of weights that was written beside it; None for none.
        ignores: How the format marks ignore regions: "crowd", "void", "" where it has none.
    """

    source: Path
    format: str
    changes: Changes
    audit: Path
    out: Path | None = None
    provenance: Path | None = None
    version: str = ""
    version_before: str = ""
    stored: Stored = field(default=Stored(), repr=False)
    export: Exporting | None = field(default=None, repr=False)
    weights: Path | None = None
    ignores: str = ""

    @property
    def plan(self) -> PrunePlan | None:
        """Which masks stay, where that is more than a matter of their actions."""
        return self.changes.plan

    @property
    def readable(self) -> Path | None:
        """The file or folder of what was written that curate reads again; None for a dry run."""
        if self.out is None or self.export is None or self.export.export.reads_folder:
            return self.out
        return self.export.writer.read_back(self.out)[0].path

    @property
    def losses(self) -> Losses | None:
        """What another format than the source's cannot carry; None where it is its own."""
        return None if self.export is None else self.export.losses

    @property
    def left_out(self) -> int:
        """How many masks cannot stand in another format than the source's, or may not."""
        return 0 if self.losses is None else self.losses.left_out

    @property
    def unnamed(self) -> int:
        """How many masks without a category get one, since the format demands it."""
        return 0 if self.losses is None else self.losses.counts.get("no category", 0)

    @property
    def moved(self) -> pd.DataFrame:
        """The masks that the format could not hold to the pixel: ``stored_iou`` says how far."""
        return self.changes.rows[self.changes.rows["stored_iou"].notna()]

    def counts(self) -> dict[str, int]:
        """Return how many masks each change happens to."""
        found = self.changes
        return {
            **found.counts(),
            "masks_before": found.masks,
            "masks_left_out": self.left_out,
            "masks_after": found.masks_after if self.losses is None else self.losses.masks,
            "masks_without_category": self.unnamed,
            "emptied_images": found.emptied,
        }

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON.

        ``masks`` lists what changes, mask by mask; ``moved`` those of them that the format could
        not hold to the pixel; ``not_settled`` those that stay because people have not settled.
        """
        stored, moved = self.stored, self.moved
        names = ["mask_id", "new_mask_id", "source_key", "file_name", "change", "stored_iou"]
        return {
            "source": str(self.source),
            "format": self.format,
            "dry_run": self.out is None,
            "out": None if self.out is None else str(self.out),
            "provenance": None if self.provenance is None else str(self.provenance),
            "version": self.version or None,
            "version_before": self.version_before or None,
            **self.counts(),
            "form": self.changes.form.as_dict(),
            "choice": None if self.plan is None else self.plan.as_dict(),
            "weights": None if self.weights is None else str(self.weights),
            "stored": {
                "polygons": stored.polygons,
                "seams": stored.seams,
                "rle": stored.runs,
                "polygons_to_rle": stored.turned,
            },
            "export": None if self.export is None else self.export.as_dict(),
            "renumbered": {str(old): new for old, new in self.changes.renumbered.items()},
            "moved": _to_records(moved[names]),
            "not_settled": _to_records(self.changes.waiting),
            "masks": _to_records(self.changes.rows),
        }

    def effect_text(self) -> str:
        """Return the effect of the choice of masks as a table; "" where none is made."""
        plan = self.plan
        if plan is None:
            return ""
        effect = plan.effect
        left_out = self.losses is not None and "ignored" in self.losses.counts
        if left_out:  # they are said among the losses
            effect = replace(effect, ignored=0)
        return describe_effect(effect, plan.subset, self.format, self.ignores)

    def text(self) -> str:
        """Return the result in a few lines; that of a dry run with the effect of its choice."""
        n = self.counts()
        lines = [*self._removed_text(n), *self._changed_text(n)] or ["nothing changes"]
        if self.plan is not None and self.plan.certified is not None:
            lines.append(self.plan.certified.line(ignored=bool(n["ignored"])))
        lines += [*self._export_text(), *self._waiting_text(n)]
        before = count_noun(n["masks_before"], "mask")
        if self.out is None:
            lines += [self.effect_text()] if self.plan is not None else []
            lines.append(f"{before} now, {n['masks_after']:,} would be after")
            lines += self._after_text() + self.changes.form.warnings()
            if self.losses is not None and self.losses.needs_lossy:
                lines.append("not all can be written so: writing needs --lossy")
            return "\n".join([*lines, "nothing is written without --out"])
        lines.append(f"{before} before, {n['masks_after']:,} after")
        lines += self._after_text()
        versions = " -> ".join(short_version(v) for v in (self.version_before, self.version) if v)
        meant = "all as expected" if not len(self.moved) else "all others as expected"
        lines += [
            f"wrote {self.out}, read it back: {count_noun(n['masks_after'], 'mask')}, {meant}",
            f"version {versions}",
            f"provenance: {self.provenance}",
            *([] if self.weights is None else [f"weights: {self.weights}"]),
        ]
        return "\n".join(lines)

    def _removed_text(self, n: dict[str, int]) -> list[str]:
        parts = (
            ("removed_by_people", "that people rejected"),
            ("removed_by_policy", "that the policy rejects"),
            ("removed_for_review", "that wait for review"),
            ("removed_accepted", "that are accepted"),
            ("removed_by_choice", "that are not chosen"),
        )
        shown = _join_counts((n[name], what) for name, what in parts)
        return [f"removed: {shown}"] if shown else []

    def _changed_text(self, n: dict[str, int]) -> list[str]:
        both = n["redrawn_and_relabelled"]
        more = {"redrawn": f" ({both:,} of them relabelled, too)" if both else ""}
        return [
            f"{what}: {n[name]:,}{more.get(name, '')}"
            for name, what in (
                ("ignored", "ignore regions instead of masks"),
                ("redrawn", "redrawn by people"),
                ("relabelled", "relabelled by people"),
                ("added", "added by people"),
                ("cut", "cut, since a changed or added mask has some of their pixels"),
                ("added_left_out", "added but left out, since their object has a mask already"),
            )
            if n[name]
        ]

    def _export_text(self) -> list[str]:
        """Say what another format than the source's makes of masks."""
        return [] if self.export is None else self.export.lines()

    def _waiting_text(self, n: dict[str, int]) -> list[str]:
        shown = describe_unsettled({DISPUTED: n["disputed"], NOT_DRAWN: n["not_drawn"]})
        see = f"(see `curate queue {self.audit}`)"
        return [f"not settled, left as they were: {shown} {see}"] if shown else []

    def _after_text(self) -> list[str]:
        # The effect of a choice, shown before the writing, says it too.
        emptied = self.changes.emptied if self.plan is None else 0
        return [*emptied_text(emptied, self.format), *self._stored_text()]

    def _stored_text(self) -> list[str]:
        """Say what people may want to know of how new pixels were stored."""
        lines = []
        if self.stored.seams:
            lines.append(
                f"{count_noun(self.stored.seams, 'mask')} with holes or several parts "
                f"{plural(self.stored.seams, 'is', 'are')} one polygon each, "
                "which runs through a seam of no width"
            )
        if self.stored.turned:
            lines.append(
                f"{count_noun(self.stored.turned, 'mask')} of polygons "
                f"{plural(self.stored.turned, 'is', 'are')} run lengths now: no polygon without a "
                "seam has exactly the pixels"
            )
        moved = self.moved
        if len(moved):
            iou, some = moved["stored_iou"], moved.head(_SHOWN).to_dict("records")
            names = ", ".join(f"{_name(row)} ({row['stored_iou']:.4f})" for row in some)
            more = f" and {len(moved) - _SHOWN:,} more" if len(moved) > _SHOWN else ""
            lines.append(
                f"{count_noun(len(moved), 'mask')} not held to the pixel, "
                f"IoU with the intended mask at least {iou.min():.4f}, mean {iou.mean():.4f}: "
                f"{names}{more}"
            )
        return lines


def _name(row: dict[Any, Any]) -> str:
    if pd.notna(row["mask_id"]):
        return f"mask {row['mask_id']}"
    return f"the mask added to {row['file_name']}"


def _join_counts(parts: Iterable[tuple[int, str]]) -> str:
    return ", ".join(f"{number:,} {what}" for number, what in parts if number)


def _to_records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Return rows as plain values for JSON, None for NA."""
    rows = records(frame)
    for row in rows:
        if row.get("time") is not None:
            row["time"] = row["time"].isoformat()
    return rows
