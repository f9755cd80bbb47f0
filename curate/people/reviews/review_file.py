"""The file of decisions of an audit: reading, writing, draws, labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from curate.common.clock import SYSTEM, Clock
from curate.common.json_values import JsonObject
from curate.errors import AuditError, CallError
from curate.people.reviews import schema
from curate.people.reviews.annotator_agreement import measure_agreement
from curate.people.reviews.append_decisions import (
    CheckedBatch,
    WriteCounts,
    check_withdrawals,
    write_decisions,
    write_withdrawals,
)
from curate.people.reviews.decision_notes import DecisionNote, NewNote, read_notes, write_notes
from curate.people.reviews.recorded_draws import check_drawn, read_drawn, read_draws, write_draw
from curate.people.reviews.resolved_labels import resolve_labels
from curate.people.reviews.row_frames import fetch_frame
from curate.people.reviews.validation import check_decisions, check_missing, check_reviewed_images
from curate.store.audit import StoredAudit
from curate.store.audit_info import AuditInfo, read_info

if TYPE_CHECKING:
    import sqlite3

    from curate.people.reviews.annotator_agreement import Agreement
    from curate.people.reviews.replaced_additions import ShownWindows

COLUMNS = (
    *("decision_id", "mask_id", "action", "iou", "segmentation", "category", "reviewer"),
    *("seconds", "time", "queue_kind", "inclusion_probability", "draw_id", "origin", "key"),
)
"""Columns of decisions, as they are kept."""

_STANDING = """
select missing_id, image_id, segmentation, category, reviewer, time, origin, seconds from (
  select *, row_number() over (
    partition by image_id, reviewer, category, segmentation order by missing_id desc) as back
  from missing
) where back = 1 and withdrawn = 0 order by missing_id
"""

_LOOKED = f"select {{0}} from {schema.REVIEWED_IMAGES} order by looked_id"


@dataclass(frozen=True)
class Reviews:
    """The decisions of people on one audit, in its ``reviews.sqlite``.

    Every call opens the file, checks it and closes it again, so one value can be used from several
    threads and processes at once. Rows are only ever added.

    Attributes:
        audit: The audit that the decisions are about.
        clock: What time it is.
    """

    audit: StoredAudit
    clock: Clock = SYSTEM

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self.audit.path / schema.FILE

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """Open the file for a piece of reading, checked, and close it again.

        Raises:
            AuditError: There is none yet, or it cannot be used.
        """
        with self._open() as connection:
            yield connection

    @contextmanager
    def transaction(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        """Open the file for a transaction; refuse where the audit was replaced since it was opened.

        A new audit has a file of its own: decisions on the old masks do not belong there, and would
        keep the new audit from being used.
        """
        info = read_info(self.audit.path)
        if info is None or not is_same_source(self.audit, info):
            gone = "is not there any more" if info is None else "was made anew from another source"
            what = f"the audit {gone} since it was opened; nothing was written"
            raise AuditError(what, str(self.audit.path), "open it again")
        with self._open(create=create, write=True) as connection, schema.transaction(connection):
            yield connection

    @contextmanager
    def _open(
        self, *, create: bool = False, write: bool = False, thorough: bool = False
    ) -> Iterator[sqlite3.Connection]:
        create = create and not has_reviews(self.audit)
        with schema.open_connection(
            self.path, file_identity(self.audit), create=create, write=write, thorough=thorough
        ) as connection:
            yield connection

    def add(
        self,
        decisions: pd.DataFrame,
        *,
        origin: str,
        missing: pd.DataFrame | None = None,
        reviewed_images: pd.DataFrame | None = None,
        shown: ShownWindows | None = None,
        live: bool = False,
    ) -> WriteCounts:
        """Write decisions, all or none; repeated ones are skipped.

        Args:
            decisions: ``mask_id`` and ``action`` ("accept", "reject", "fix"); optional are ``iou``
                and ``segmentation`` (of the corrected mask; compressed counts, or any segmentation
                COCO has), ``category`` (the right one, where a fix changed it), ``reviewer``,
                ``seconds``, ``time``, ``queue_kind`` ("errors", "learn", "estimate", "none"),
                ``inclusion_probability``, ``draw_id``, ``key`` (what makes sending twice harmless),
                ``note`` (why, a ``DecisionNote`` or None) and ``row`` (where each stands, for
                messages). Where nothing says why a mask was
                shown, the last draw it stands in does. A decision without a time was made now.
            origin: Where they come from, for people.
            missing: Masks that people added: ``image_id`` and ``segmentation``; optional are
                ``category``, ``reviewer``, ``seconds``, ``time``, ``withdrawn`` (1: taken away
                again), ``key``.
            reviewed_images: Images that were fully reviewed: ``image_id``; optional are
                ``reviewer``, ``seconds`` (of the search for missing masks), ``time``, ``draw_id``
                (left out: the draw of all its masks), ``key``.
            shown: What a corrected file shows. Masks added earlier there by the same person, from
                the same kind of file of the same masks, are withdrawn where ``missing`` does not
                hold them any more.
            live: Whether all times are of this machine's clock, by which people decide just now. A
                decision then comes after what is stored, even if the clock was set back since.

        Returns:
            What was new.

        Raises:
            SourceError: A row is wrong or contradicts another; nothing is written.
            AuditError: The file cannot be used or written; nothing is written.
            CallError: A column is missing, strange, or of another type.
        """
        now = self._now((decisions, missing, reviewed_images) if live else ())
        batch = CheckedBatch(
            check_decisions(self.audit, decisions, origin, now),
            None if missing is None else check_missing(self.audit, missing, origin, now),
            None
            if reviewed_images is None
            else check_reviewed_images(self.audit, reviewed_images, origin, now),
            live,
        )
        with self.transaction(create=True) as connection:
            return write_decisions(connection, batch, origin, now, shown)

    def _now(self, live: Iterable[pd.DataFrame | None]) -> int:
        """Return the time; not before any that was taken from the same clock before it was set."""
        latest = [frame["time"].max() for frame in live if frame is not None and len(frame)]
        return max([self.clock.now_us(), *(int(time.value // 1000) for time in latest)])

    def withdraw(self, keys: pd.DataFrame, *, live: bool = False) -> int:
        """Withdraw decisions, all or none; withdrawn ones are skipped.

        They stay in the file, but count for nothing: as if the person had not decided.

        Args:
            keys: ``decision_key`` (the ``key`` of the decision), ``reviewer`` (who made it) and
                ``key`` (what makes sending twice harmless); optional is ``time``.
            live: Whether all times are of this machine's clock.

        Returns:
            How many were withdrawn now.

        Raises:
            SourceError: There is no such decision of that person; nothing is written.
            AuditError: The file cannot be used or written; nothing is written.
            CallError: A column is missing, strange, or of another type.
        """
        now = self._now((keys,) if live else ())
        checked = check_withdrawals(keys, now)
        with self.transaction() as connection:
            return write_withdrawals(connection, checked, now)

    def add_notes(self, notes: Sequence[NewNote]) -> int:
        """Write why people decided as they did, all or none; return how many notes were new.

        Raises:
            SourceError: There is no such decision of that person; nothing is written.
            AuditError: The file cannot be used or written; nothing is written.
        """
        with self.transaction() as connection:
            return write_notes(connection, notes, self.clock.now_us())

    def notes(self) -> Mapping[int, DecisionNote]:
        """Return the last note of each decision that has one, by ``decision_id``."""
        with self._open() as connection:
            return read_notes(connection)

    def decisions(self) -> pd.DataFrame:
        """Return all decisions that were not withdrawn, oldest entry first; see :data:`COLUMNS`."""
        with self._open() as connection:
            sql = f"select {', '.join(COLUMNS)} from standing order by decision_id"
            return fetch_frame(connection, sql, COLUMNS)

    def missing(self) -> pd.DataFrame:
        """Return the masks that people added and did not withdraw.

        Returns:
            ``missing_id``, ``image_id``, ``segmentation``, ``category``, ``reviewer``, ``time``,
            ``origin``, ``seconds`` (None where not known). Two people who add the same object give
            two rows.
        """
        columns = ("missing_id", "image_id", "segmentation", "category", "reviewer", "time")
        with self._open() as connection:
            return fetch_frame(connection, _STANDING, (*columns, "origin", "seconds"))

    def reviewed_images(self) -> pd.DataFrame:
        """Return the images that people fully reviewed.

        Returns:
            ``image_id``, ``reviewer``, ``time``, ``draw_id`` (NA for none), ``origin``,
            ``seconds`` (NaN where not known).
        """
        columns = ("image_id", "reviewer", "time", "draw_id", "origin", "seconds")
        with self._open() as connection:
            return fetch_frame(connection, _LOOKED.format(", ".join(columns)), columns)

    def record_draw(
        self,
        kind: str,
        drawn: pd.DataFrame,
        settings: JsonObject,
        *,
        draw_id: int | None = None,
    ) -> int:
        """Record which masks were drawn for people, and how.

        Args:
            kind: "errors", "learn" or "estimate".
            drawn: A row each time a mask is shown: ``mask_id``; optional are
                ``inclusion_probability`` (NaN where chance had no part), ``stratum``, ``place``
                (from 1), ``slot`` (1 for the second person), ``honeypot`` ("accept" or "reject",
                the known answer; None for an ordinary mask).
            settings: How it was drawn; anything JSON can hold. See
                :class:`curate.people.reviews.recorded_draws.DrawSettings`.
            draw_id: The number that it must have, where it stands in files already; None for the
                next one.

        Returns:
            The draw's number.

        Raises:
            SourceError: A mask is not the audit's, or occurs twice for one person.
            CallError: The kind, a column or a value is wrong, or another draw has that number.
        """
        checked = check_drawn(self.audit, kind, drawn, empty="images" in settings)
        with self.transaction(create=True) as connection:
            return write_draw(
                connection, kind, checked, settings, draw_id=draw_id, now=self.clock.now_us()
            )

    def draws(self) -> pd.DataFrame:
        """Return the draws, oldest first; see
        :func:`curate.people.reviews.recorded_draws.read_draws`."""
        with self._open() as connection:
            return read_draws(connection, self.path)

    def read_draw(self, draw_id: int) -> pd.DataFrame:
        """Return a draw's rows in order of ``place``, as :meth:`record_draw` took them.

        Raises:
            CallError: There is no such draw.
        """
        with self._open() as connection:
            return read_drawn(connection, draw_id)

    def resolve_labels(
        self, rule: str = "majority", good_iou: float | None = None, draw_id: int | None = None
    ) -> pd.DataFrame:
        """Return one label a mask.

        A person's later decision on a mask replaces that person's earlier one. Masks with a known
        answer, shown to check people, are no labels.

        Args:
            rule: How people who disagree are resolved: "majority" (a tie is bad), "latest", or
                "strictest" (one who calls it bad is enough).
            good_iou: A fix with at least this IoU counts as good; None: every fix is bad.
            draw_id: Only masks that were decided on for this draw, and their place in it. Their
                label still comes from all that people said of them.

        Returns:
            Index ``mask_id``: ``good``; ``action`` and ``iou`` of the decision that speaks for the
            mask (1 for an accepted mask, NaN for a rejected one and where it is not known);
            ``reviewers`` (how many people); ``disagree`` (on good or bad); ``settled`` (False
            where as many people say good as bad, and the majority counts); ``queue_kind``,
            ``inclusion_probability`` (NaN if not from a random draw), ``draw_id`` and ``stratum``
            (NA for none). A mask that an estimate has drawn stays one of that draw, whatever it was
            shown for later.

        Raises:
            CallError: There is no such rule, or the IoU is out of range.
        """
        with self._open() as connection:
            return resolve_labels(connection, rule, good_iou, draw_id)

    def agreement(self) -> Agreement:
        """Return the agreement between people, and each one's rates."""
        with self._open() as connection:
            return measure_agreement(connection)


def file_identity(audit: StoredAudit) -> dict[str, str]:
    """Return the identity that a file of decisions must have to be this audit's.

    Decisions are about the source's masks, and mask ids come from the source alone; so the identity
    is the fingerprint of the source's content and the format it was read in, not where the source
    lies, how it was scored, or under which policy.
    """
    source = audit.info.source
    return {
        "fingerprint": source.get("fingerprint", ""),
        "format": source.get("format", ""),
        "source": Path(source.get("path", "")).name,
    }


def is_same_source(audit: StoredAudit, info: AuditInfo) -> bool:
    """Return whether ``audit.json`` still names the same source, in the same version."""
    before, now = file_identity(audit), file_identity(StoredAudit(audit.path, info))
    return all(before[name] == now[name] for name in ("fingerprint", "format"))


def has_reviews(audit: StoredAudit) -> bool:
    """Return whether an audit has a file of decisions; it may be unusable."""
    path = audit.path / schema.FILE
    return path.is_file() and path.stat().st_size > 0


def check_same_dataset(audit: StoredAudit) -> None:
    """Check that a directory holds no decisions on another dataset, before it is used.

    Args:
        audit: The directory, and what its ``audit.json`` is to say of the source.

    Raises:
        AuditError: It does, or its file of decisions cannot be used.
    """
    if has_reviews(audit):
        with Reviews(audit).connect():
            pass


def open_reviews(audit: StoredAudit, *, create: bool = False, clock: Clock = SYSTEM) -> Reviews:
    """Open the decisions of people on an audit, every page and row of the file checked.

    Args:
        audit: The audit.
        create: Make the file if there is none yet; its folder must be writable then.
        clock: What time it is.

    Raises:
        AuditError: There is none yet, it is damaged, or it is of another version or audit.
        CallError: The audit does not say what it is of.
    """
    if not file_identity(audit)["fingerprint"]:
        raise CallError("the audit does not say what its source is", str(audit.path))
    reviews = Reviews(audit, clock)
    if not create and not has_reviews(audit):
        raise schema.no_reviews_error(reviews.path)
    with reviews._open(create=create, write=create, thorough=True):
        return reviews
