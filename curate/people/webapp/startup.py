"""Settings of a server, its queue and pictures, and its audit and decisions while it runs.

A server creates the file of decisions when it starts. From then on a file that is gone, empty, or
without rows that the server has seen is an error that passes when the right one is back: the pages
keep people's events until then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from curate.common.archive_kinds import is_folder
from curate.errors import AuditError, CallError
from curate.networks.segmenters.prompt_recipes import PromptsInUse
from curate.people.reviews import Reviews
from curate.people.reviews.review_file import file_identity, is_same_source
from curate.people.reviews.review_settings import DecisionSettings as PeopleSettings
from curate.people.webapp.cards import list_unchecked_images
from curate.people.webapp.queue_progress import QueueProgress, find_unsettled
from curate.people.webapp.request_parsing import RequestError
from curate.people.webapp.shown_queue import make_ranked_queue, make_recorded_queue
from curate.store.audit import StoredAudit
from curate.store.audit_info import COMPLETE, INFO, AuditInfo, read_info

if TYPE_CHECKING:
    import sqlite3

_SAMPLED_SQL = (
    "select distinct mask_id from drawn join draws using (draw_id)"
    " where kind = 'estimate' and honeypot is null"
)

_AUDIT_GONE = 503, "the audit is not there any more; put its folder back, or stop the server"
_AUDIT_REPLACED = (
    409,
    "the audit was made anew, of another version of its source; stop the server and start it again",
)

_TABLES = {
    "decisions": "decision_id",
    "withdrawn": "withdrawn_id",
    "notes": "note_id",
    "missing": "missing_id",
    "looked": "looked_id",
    "proposals": "answer_id",
}
_REMEDY = "put the file back"


@dataclass(frozen=True)
class ReviewSettings:
    """Settings of a review server.

    Attributes:
        kind: "errors", "learn", "estimate" or "missing"; None for a given draw's own, else errors.
        draw_id: A recorded draw; None for the latest of that kind that is not finished, and of
            errors, where there is none, for the ranking as it stands.
        reviewer: The name that the page begins with.
        seconds_per_mask: What one mask takes people.
        minutes: How much time people have; None if nobody said.
        images: Folder of the pictures; the audit's own if None.
        segmenter: A segmenter for clicks; None for none.
        device: Where it runs.
        prompts: Those that were found best for it; None: the usual ones.
        guidelines: A Markdown file or a folder of them; None: what lies in the audit directory.
    """

    kind: str | None = None
    draw_id: int | None = None
    reviewer: str = ""
    seconds_per_mask: float = 14.0
    minutes: float | None = None
    images: Path | None = None
    segmenter: str | None = None
    device: str | None = None
    prompts: PromptsInUse | None = None
    guidelines: Path | None = None


class ShownAudit:
    """State of ``audit.json`` when the server started; the audit may be replaced meanwhile."""

    def __init__(self, audit: StoredAudit) -> None:
        self.audit = audit
        self._seen = _file_stamp(audit.path / INFO)

    def read_if_changed(self) -> AuditInfo | None:
        """Return the content of ``audit.json`` if it was rewritten since the last call.

        Raises:
            Refused: It is of another version of the source by now, gone, or not finished.
        """
        stamp = _file_stamp(self.audit.path / INFO)
        if stamp == self._seen:
            return None
        info = read_info(self.audit.path)
        if info is None or not is_same_source(self.audit, info):
            raise RequestError(*(_AUDIT_GONE if info is None else _AUDIT_REPLACED))
        if info.state != COMPLETE:
            raise RequestError(503, "the audit is being made anew")
        self._seen = stamp
        return info


def _file_stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino


def name_queue(audit: StoredAudit, queue: str) -> str:
    """Return a name for a queue of an audit, by its name there; the same after a restart."""
    identity = file_identity(audit)
    text = f"{identity['fingerprint']} {identity['format']} {queue}"
    return blake2b(text.encode(), digest_size=12).hexdigest()


def find_images(audit: StoredAudit, settings: ReviewSettings) -> Path | None:
    """Return the folder of pictures; None where there is none."""
    if settings.images is not None:
        return settings.images
    recorded = audit.info.inputs.get("images")
    folder = Path(recorded) if recorded else None
    return folder if folder is not None and is_folder(folder) else None


def find_queue(reviews: Reviews, settings: ReviewSettings) -> QueueProgress:
    """Return the queue that the settings select, and its progress.

    Unsettled masks come first, whether they are of the draw or not; only a random sample is shown
    without them.
    """
    rule = PeopleSettings.of(reviews.audit.info).rule
    with reviews.connect() as connection:
        sampled = [mask_id for (mask_id,) in connection.execute(_SAMPLED_SQL)]
        first = list(find_unsettled(connection, rule))
    if settings.draw_id is not None:
        queue = make_recorded_queue(reviews, settings.draw_id, settings.kind, first=first)
        return QueueProgress(queue, reviews, rule)
    kind = settings.kind or "errors"
    draws = reviews.draws()
    files = None
    for number in draws.loc[draws["kind"] == kind, "draw_id"].tolist()[::-1]:
        decided = QueueProgress(
            make_recorded_queue(reviews, int(number), kind, files, first), reviews, rule
        )
        answered = decided.answered
        if not answered.all() or list_unchecked_images(decided.queue, reviews, answered):
            return decided
        files = decided.queue.files
    if kind != "errors":
        what = f"there is no draw of the kind {kind} with masks left"
        raise CallError(what, f"--kind {kind}", "draw one: give --budget or --minutes")
    return QueueProgress(make_ranked_queue(reviews.audit, sampled, first), reviews, rule)


@dataclass(frozen=True)
class AttachedReviews(Reviews):
    """The decisions of people while a server shows their audit.

    Attributes:
        last: By table, number and key of the last row that was seen. Rows are only ever added, so
            a file without them is an older copy, or another file.
    """

    last: dict[str, tuple[int, str]] = field(default_factory=dict, compare=False)

    @contextmanager
    def _open(
        self, *, create: bool = False, write: bool = False, thorough: bool = False
    ) -> Iterator[sqlite3.Connection]:
        del create
        opened = _file_identity(self.path)
        with super()._open(write=write, thorough=thorough) as connection:
            self._compare(connection)
            yield connection
            if write and _file_identity(self.path) != opened:
                what = "it was moved away while it was written"
                raise AuditError(what, str(self.path), _REMEDY)
            self._note(connection)

    def _compare(self, connection: sqlite3.Connection) -> None:
        """Refuse a file that lacks the last rows seen in it."""
        for table, (number, key) in list(self.last.items()):
            sql = f"select key from {table} where {_TABLES[table]} = ?"
            found = connection.execute(sql, (number,)).fetchone()
            if found is None or found[0] != key:
                what = "it is an older copy, or another file: it lacks decisions that were saved"
                do = f"{_REMEDY}, or stop the server and start it on this one"
                raise AuditError(what, str(self.path), do)

    def _note(self, connection: sqlite3.Connection) -> None:
        for table, name in _TABLES.items():
            sql = f"select {name}, key from {table} order by {name} desc limit 1"
            found = connection.execute(sql).fetchone()
            if found is not None and found[0] >= self.last.get(table, (0, ""))[0]:
                self.last[table] = found


def _file_identity(path: Path) -> tuple[int, int]:
    """Return device and inode of a file, whatever its path.

    Raises:
        AuditError: It is not there, or it is empty.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise AuditError("it is not there any more", str(path), _REMEDY) from error
    if not found.st_size:
        raise AuditError("it is empty, and was not before", str(path), _REMEDY)
    return found.st_dev, found.st_ino
