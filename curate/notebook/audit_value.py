"""``Audit``: a finished audit for Python and notebooks, and how one is opened."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from curate.common.paths import check_folder
from curate.common.ranges import ACTIONS
from curate.dataset.notes import count_noun, printable, short_version
from curate.errors import CurateError
from curate.notebook.row_selection import check_columns, parse_condition, select_rows
from curate.people.reviews import current_plan
from curate.people.reviews.decision_notes import DecisionNote
from curate.people.reviews.review_file import COLUMNS, Reviews, has_reviews
from curate.people.reviews.row_frames import empty_frame
from curate.store.audit import AnyAudit, StoredAudit
from curate.store.people_overlay import by_people_sql

if TYPE_CHECKING:
    from curate.common.paths import AnyPath
    from curate.notebook.audit_plots import AuditPlots
    from curate.notebook.mask_html import MaskGallery, MaskView
    from curate.notebook.report_view import ReportView


@dataclass(frozen=True, repr=False)
class Audit(StoredAudit):
    """A finished audit on disk: what :func:`curate.open_audit` and the verbs return.

    Its repr is a summary in words; notebooks show it as a small table.

    Attributes:
        path: The directory.
        info: ``audit.json``: source and its fingerprint, settings, policy, counts, timings,
            signals and why some are not available.
    """

    def masks(
        self, columns: Sequence[str] | None = None, *, where: str | None = None
    ) -> pd.DataFrame:
        """Read masks into memory, a row a mask, index ``mask_id``.

        ``action``, ``reasons`` and ``decided_by`` are those of today: where people have decided on
        a mask, theirs; else the policy's.

        Args:
            columns: Which columns; all if None. Leave ``segmentation`` out where it is not needed.
            where: A condition in the grammar of policies: ``area_px < 20 and category == 'cat'``;
                all masks if None. One part of the audit is in memory at a time beside the rows that
                are found.

        Raises:
            CallError: There is no such column, or the condition does not follow the grammar.
        """
        return self._select("masks", columns, where)

    def images(
        self, columns: Sequence[str] | None = None, *, where: str | None = None
    ) -> pd.DataFrame:
        """Read images into memory, a row an image, index ``image_id``.

        ``review_count`` and ``reject_count`` are those of today, as in :meth:`masks`.

        Args:
            columns: Which columns; all if None.
            where: A condition on the images' own columns, as in :meth:`masks`; all if None.

        Raises:
            CallError: There is no such column, or the condition does not follow the grammar.
        """
        return self._select("images", columns, where)

    def _select(self, kind: str, columns: Sequence[str] | None, where: str | None) -> pd.DataFrame:
        check_columns(self, kind, columns)
        if where is not None:
            return select_rows(self, kind, parse_condition(self, kind, where), columns)
        read = super().masks if kind == "masks" else super().images
        found = read(columns)
        return found if columns is None else found[[c for c in columns if c in found]]

    def show(self, mask_id: int, *, images: AnyPath | None = None) -> MaskView:
        """Draw a mask on a crop of its picture, its reasons and scores beside it.

        Args:
            mask_id: Which mask.
            images: Folder of the pictures, where they are not where they were.

        Returns:
            What notebooks show, and ``image()`` of it as a picture of Pillow. The outline runs
            along the edges of the pixels; a second, dashed one is that of the mask that it repeats,
            or what people drew in its place.

        Raises:
            CurateError: There is no such mask, or no such folder.
        """
        from curate.notebook.mask_pictures import draw_masks

        return draw_masks(self, [mask_id], images)[0]

    def gallery(
        self, where: str | None = None, *, limit: int = 12, images: AnyPath | None = None
    ) -> MaskGallery:
        """Draw masks beside each other, the first of the queue first.

        Args:
            where: A condition as in :meth:`masks`: ``hole_score < 0.5``; all masks if None.
            limit: Masks drawn, at most.
            images: Folder of the pictures, where they are not where they were.

        Raises:
            CurateError: The condition does not follow the grammar, or a number is out of range.
        """
        from curate.notebook.mask_pictures import draw_gallery

        return draw_gallery(self, where, limit, images)

    @property
    def plot(self) -> AuditPlots:
        """Plots of the audit with matplotlib: axes in, axes out."""
        from curate.notebook.audit_plots import AuditPlots

        return AuditPlots(self)

    def report(self, *, images: AnyPath | None = None, height: int = 720) -> ReportView:
        """Return the report of this moment, which notebooks show in a frame; nothing is written.

        Args:
            images: Folder of the pictures, where they are not where they were.
            height: Of the frame, in pixels.

        Raises:
            CurateError: There is no such folder.
        """
        from curate.notebook.report_view import ReportView
        from curate.reporting.page import render

        check_folder(images)
        pinned = self.pin()  # all of a report is of one moment
        folder = images or self.info.inputs.get("images")
        page = render(pinned, Path(folder) if folder else None)
        return ReportView(page, printable(self.path.name), height)

    def decisions(self) -> pd.DataFrame:
        """Return people's decisions that were not withdrawn, a row each, oldest entry first.

        Returns:
            ``decision_id``, ``mask_id``, ``action`` ("accept", "reject", "fix"), ``iou`` (of a fix
            with the mask before; NaN where it is not known), ``segmentation`` (of a fix: COCO
            counts), ``category`` (the right one, where a fix changed it), ``reviewer``,
            ``seconds`` (it took; NaN where not known), ``time`` (UTC), ``queue_kind``,
            ``inclusion_probability`` (NaN for no random draw), ``draw_id`` (NA for none),
            ``origin``, ``key``, and why: ``tags`` (a tuple) and ``comment``. No row where nobody
            has decided.

        Raises:
            AuditError: The file of decisions cannot be used.
        """
        if not has_reviews(self):
            return empty_frame(COLUMNS).assign(tags=None, comment="")
        reviews = Reviews(self)
        found, notes = reviews.decisions(), reviews.notes()
        said = [notes.get(number, DecisionNote()) for number in found["decision_id"].tolist()]
        return found.assign(
            tags=pd.Series([note.tags for note in said], found.index, object),
            comment=pd.Series([note.comment for note in said], found.index, "str"),
        )

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        head, *rest = (html.escape(line) for line in self._lines())
        return f"<p><strong>{head}</strong><br>{'<br>'.join(rest)}</p>"

    def _lines(self) -> list[str]:
        """Return the summary, a sentence a line; what cannot be read is left out."""
        source, info = self.info.source, self.info
        named = printable(str(source.get("path", "")).rpartition("/")[2]) or "a dataset"
        form = f" ({source['format']})" if source.get("format") else ""
        version = f", version {short_version(info.version)}" if info.version else ""
        lines = [f"Audit of {named}{form}{version}"]
        if info.counts is not None:
            masks = count_noun(info.counts["masks"], "mask")
            lines.append(f"{masks} in {count_noun(info.counts['images'], 'image')}")
            lines[-1] += self._plan_in_words()
        return [*lines, f"in {printable(str(self.path))}"]

    def _plan_in_words(self) -> str:
        """Return the counts of the plan of today, ": 300 accept, ..."; "" where it has none."""
        try:
            rows = self.query(
                f"select action, count(*) as n, count(*) filter ({by_people_sql()} and "
                "action <> 'review') as people from masks group by action"
            )
        except CurateError:
            return ""
        counted = dict(zip(rows["action"], rows["n"], strict=True))
        text = ": " + ", ".join(f"{counted.get(action, 0):,} {action}" for action in ACTIONS)
        people = int(rows["people"].sum())
        return f"{text}; people decided on {people:,} of them" if people else text


def open_audit(audit: AnyAudit) -> Audit:
    """Open a finished audit; its plan is that of today whenever it is read.

    Where its directory cannot be written, the plan is that of the moment in which it is opened.

    Args:
        audit: Its directory; or an audit, to see what was decided on disk since it was opened.

    Raises:
        AuditError: There is none, it is of another version, or it was interrupted.
    """
    found = current_plan.open_audit(audit)
    return Audit(found.path, found.info, found.refresh, found.pinned_people)
