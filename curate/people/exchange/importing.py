"""Import of decisions: detect the format, parse, validate, and commit in one transaction."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import NamedTuple

import numpy as np
import pandas as pd

from curate.archives.unpacked import open_archive, show_archives
from curate.common.archive_kinds import archive_kind
from curate.common.fingerprint import fingerprint
from curate.common.ranges import check_numbers
from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun
from curate.errors import CallError, CurateError, SourceError
from curate.formats.table_builder import plain
from curate.people.exchange.registry import REGISTRY, ImportedDecisions, ImportOptions
from curate.people.reviews.append_decisions import WriteCounts
from curate.people.reviews.current_plan import find_unsettled_masks
from curate.people.reviews.import_origin import ImportOrigin
from curate.people.reviews.outcomes import DISPUTED, NOT_DRAWN, describe_unsettled
from curate.people.reviews.replaced_additions import make_windows
from curate.people.reviews.review_file import Reviews, has_reviews, open_reviews
from curate.people.reviews.schema import ACTIONS
from curate.people.reviews.undo_import import UndoneImport, list_importers, undo_import
from curate.people.reviews.validation import is_name
from curate.store.audit import StoredAudit


def take_back_file(audit: StoredAudit, path: Path, reviewer: str | None = None) -> UndoneImport:
    """Undo the import of a file; see :func:`curate.people.reviews.undo_import.undo_import`.

    Args:
        audit: The audit that it was imported into.
        path: The file, unchanged since; its name does not matter.
        reviewer: Only what counts as this person's; "" for no name; None: everybody's.

    Raises:
        CallError: Nothing of the file counts, or nothing of that person.
        AuditError: There are no decisions.
    """
    reviews = open_reviews(audit)
    content = fingerprint(path)[:16]
    wanted = None if reviewer is None else reviewer.strip()
    people = list_importers(reviews, content)
    if not people:
        what = "no decision of this file counts: it was not imported as it is now, or is taken back"
        raise CallError(what, str(path), f"audit: {audit.path.name}")
    if wanted is not None and wanted not in people:
        names = ", ".join(name or "(no name)" for name in people)
        what = f"it was not imported as the decisions of {wanted or '(no name)'}"
        raise CallError(what, str(path), f"it counts for {names}")
    return undo_import(reviews, content, wanted)


_PAST_TENSE = {"accept": "accepted", "reject": "rejected", "fix": "fixed"}


@dataclass(frozen=True, repr=False)
class ImportResult(ReadableResult):
    """Result of an import: counts of decisions, notes and reviewers.

    Attributes:
        path: The file.
        format: What it was read as.
        added: What was written.
        notes: How many there were of what is no decision, in words.
        untouched: How many masks are accepted because they were left as they were; None where
            people say something of each.
        reviewers: Whose decisions they count as, and on how many masks; "" for no name.
        earlier: Whose decisions the same file counted as already, of others than these.
        disputed: On how many masks people disagree only since then.
        not_drawn: How many masks are to be fixed only since then, and nobody has drawn them.
    """

    path: Path
    format: str
    added: WriteCounts
    notes: dict[str, int] = field(default_factory=dict)
    untouched: int | None = None
    reviewers: dict[str, int] = field(default_factory=dict)
    earlier: tuple[str, ...] = ()
    disputed: int = 0
    not_drawn: int = 0

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        added = self.added
        return {
            "file": str(self.path),
            "format": self.format,
            "masks": added.masks,
            "actions": {action: added.actions.get(action, 0) for action in ACTIONS},
            "left_as_they_were": self.untouched,
            "decisions_added": added.decisions,
            "decisions_repeated": added.repeated,
            "missing_added": added.missing,
            "missing_withdrawn": added.withdrawn,
            "images_looked": added.reviewed_images,
            "reviewers": self.reviewers,
            "imported_before_as": list(self.earlier),
            "masks_disputed_now": self.disputed,
            "masks_not_drawn_now": self.not_drawn,
            "notes": self.notes,
        }

    def text(self) -> str:
        """Return the result in a few lines."""
        added = self.added
        summary = {
            word: f"{added.actions.get(action, 0):,} {word}" for action, word in _PAST_TENSE.items()
        }
        if self.untouched is not None:
            summary["accepted"] += f" ({self.untouched:,} left as they were)"
        words = ", ".join(summary.values())
        lines = [
            f"{self.path} ({self.format}): decisions on {count_noun(added.masks, 'mask')}: {words}",
            f"new: {added.decisions:,}",
        ]
        if added.repeated:
            lines[-1] += f" ({added.repeated:,} were there already)"
        if added.reviewed_images:
            lines.append(f"images fully reviewed: {added.reviewed_images:,}")
        if added.missing or added.withdrawn:
            gone = f", {added.withdrawn:,} taken away again" if added.withdrawn else ""
            lines.append(f"missing masks added: {added.missing:,}{gone}")
        lines += [f"{words}: {count:,}" for words, count in self.notes.items() if count]
        return "\n".join([*lines, *self._about_people()])

    def _about_people(self) -> list[str]:
        """Return lines on the reviewers, earlier imports and unsettled masks."""
        some = [
            f"{name or '(no name)'} ({count_noun(n, 'mask')})" for name, n in self.reviewers.items()
        ]
        lines = [f"counted as the decisions of {', '.join(some)}"] if some else []
        if "" in self.reviewers:
            lines[-1] += "; --reviewer NAME says who it was"
        for name in self.earlier:
            what = f"the same file counts as {name or '(no name)'} already, as if two had decided"
            how = f"curate import {quote(str(self.path))} --take-back --reviewer {quote(name)}"
            lines.append(f"warning: {what}; `{how}` takes that back")
        shown = describe_unsettled({DISPUTED: self.disputed, NOT_DRAWN: self.not_drawn})
        if shown:
            lines.append(f"not settled since this import, so they wait in review: {shown}")
        return lines


def _find_export(path: Path, format: str | None) -> Path:
    """Return the path that is read for a path: in an archive that no tool reads, what it holds."""
    if not archive_kind(path) or REGISTRY.match(path, format):
        return path
    found = open_archive(path).path
    while not REGISTRY.match(found, format):
        if archive_kind(found):
            return _find_export(found, format)
        entries = [] if found.is_file() else [p for p in found.iterdir() if p.name[:1] != "."]
        if len(entries) != 1:
            return path
        found = entries[0]
    return found


def import_file(
    audit: StoredAudit,
    path: Path,
    *,
    reviewer: str | None = None,
    format: str | None = None,
    exported: Path | int | None = None,
    same_iou: float = 1.0,
    match: str | None = None,
    assume_reviewed: bool = False,
) -> ImportResult:
    """Import people's decisions from a file; all of them, or none where one is wrong.

    Args:
        audit: The audit that they are about.
        path: The file or folder: CSV or JSON rows, a corrected COCO file, or a tool's export; or
            one of them in an archive.
        reviewer: Who decided, where the file names nobody.
        format: What the file is, where its content does not tell.
        exported: For a corrected dataset of whole images: the exported masks: the file that they
            corrected, or the number of the draw that it was made of. None: of a queue the draws
            that its masks name, or else the one that it fits; of other files the whole source.
        same_iou: For a corrected dataset: a mask with at least this IoU with its correction counts
            as not changed. 1: equal to the pixel. Lower it for a tool that turns masks into
            polygons.
        match: "iou": masks whose id a tool lost are found by how they overlap with those that
            were exported; None: they are new ones.
        assume_reviewed: For a corrected dataset: all of it was reviewed, also where nothing was
            changed. Else such a file is refused: it may be the exported one, untouched.

    Returns:
        What was imported.

    Raises:
        SourceError: The file cannot be read, or a row of it is wrong; says which. Or it is of masks
            that two people were assigned, and names nobody.
        AuditError: The audit's file of decisions cannot be used.
        CallError: An argument is wrong.
    """
    check_numbers(same_iou=same_iou)
    if match not in (None, "iou"):
        raise CallError(f"masks cannot be found by {match!r}", "--match", "use iou")
    if reviewer is not None and not is_name(reviewer):
        what = f"{ascii(reviewer)[:60]} is no name: it is not UTF-8, too long, or breaks the line"
        raise CallError(what, "--reviewer", "give one in plain letters")
    with show_archives():
        inside = _find_export(path, format)
        name, reader = REGISTRY.reader(inside, format)
    # Nothing is made before the file is known to be sound: a mistake leaves no empty file behind.
    reviews = open_reviews(audit) if has_reviews(audit) else Reviews(audit)
    options = ImportOptions(reviewer, exported, same_iou, match, assume_reviewed)
    with show_archives():
        found = reader.read(reviews, inside, options)
    _refuse_unused_options(found, options, reader.title, path)
    _refuse_nothing(found, path)
    found = _fill_reviewer(found, reviewer)
    _require_reviewer(reviews, found.decisions, path)
    content = fingerprint(path)[:16]
    before = _read_state(reviews, content)
    source = ImportOrigin(name, plain(path.name), content, found.scope)
    origin = str(source)
    try:
        added = reviews.add(
            found.decisions,
            origin=origin,
            missing=found.missing,
            reviewed_images=found.reviewed_images,
            shown=None if found.seen is None else make_windows(found.seen, source),
        )
    except SourceError as error:  # in messages, the path says more than what is kept of it
        where = error.where.replace(origin, str(path), 1)
        raise SourceError(error.what, where, error.do) from error
    new = _count_newly_unsettled(audit, before.unsettled)
    people = _count_by_reviewer(found)
    return ImportResult(
        path,
        name,
        added,
        found.notes,
        found.untouched,
        reviewers=people,
        earlier=tuple(one for one in before.people if one not in people),
        disputed=new[DISPUTED],
        not_drawn=new[NOT_DRAWN],
    )


def _refuse_unused_options(
    found: ImportedDecisions, options: ImportOptions, title: str, path: Path
) -> None:
    """Refuse options of corrected datasets for a file that is none."""
    compared = options.exported is not None or options.match or options.same_iou != 1
    if found.reviewed_images is None and compared:
        what = "--exported, --match and --same-iou are for corrected datasets"
        raise CallError(f"{what}; this is {title}", str(path), "leave them out")
    if options.assume_reviewed and found.untouched is None:
        what = f"in {title}, every reviewed mask has a decision of its own"
        raise CallError(what, "--assume-reviewed", "leave it out")


def _refuse_nothing(found: ImportedDecisions, path: Path) -> None:
    """Refuse a file in which nobody decided on anything."""
    whole = found.reviewed_images
    if len(found.decisions) or (whole is not None and len(whole)):
        return
    summary = "; ".join(f"{words}: {count:,}" for words, count in found.notes.items() if count)
    if whole is None:
        what = f"no decisions found in this file ({summary or 'it is empty'})"
        raise SourceError(what, str(path), "a table needs columns mask_id and decision")
    raise SourceError(f"it contains no decisions ({summary or 'it is empty'})", str(path))


class _StateBefore(NamedTuple):
    """State before an import: reviewers of the same file, and the masks not settled."""

    people: tuple[str, ...] = ()
    unsettled: frozenset[tuple[int, str]] = frozenset()


def _read_state(reviews: Reviews, content: str) -> _StateBefore:
    if not has_reviews(reviews.audit):
        return _StateBefore()
    return _StateBefore(
        list_importers(reviews, content), frozenset(find_unsettled_masks(reviews.audit).items())
    )


def _count_newly_unsettled(audit: StoredAudit, before: frozenset[tuple[int, str]]) -> Counter[str]:
    """Count masks that became unsettled, by reason; the decisions are kept in any case."""
    try:
        return Counter(why for _, why in find_unsettled_masks(audit).items() - before)
    except CurateError:  # the next reader of the plan says so
        return Counter()


def _count_by_reviewer(found: ImportedDecisions) -> dict[str, int]:
    """Return the number of masks decided by each person; 0 for image reviews alone."""
    frames = [found.decisions]
    if found.reviewed_images is not None:
        frames.append(found.reviewed_images.assign(mask_id=np.nan))
    every = pd.concat([frame[["mask_id", "reviewer"]].astype(object) for frame in frames])
    names = every["reviewer"].where(every["reviewer"].notna(), "").astype("str").str.strip()
    return {str(name): int(n) for name, n in every.groupby(names)["mask_id"].nunique().items()}


def _fill_reviewer(found: ImportedDecisions, reviewer: str | None) -> ImportedDecisions:
    """Fill in ``reviewer`` where the file names nobody."""

    def fill(frame: pd.DataFrame) -> pd.DataFrame:
        names = frame["reviewer"] if "reviewer" in frame else pd.Series(None, frame.index, object)
        named = names.notna() & (names != "")
        return frame.assign(reviewer=names if reviewer is None else names.where(named, reviewer))

    return replace(
        found,
        decisions=fill(found.decisions),
        missing=None if found.missing is None else fill(found.missing),
        reviewed_images=None if found.reviewed_images is None else fill(found.reviewed_images),
        seen=None if found.seen is None else fill(found.seen),
    )


def _require_reviewer(reviews: Reviews, decisions: pd.DataFrame, path: Path) -> None:
    """Refuse decisions without a name on masks that two people were assigned."""
    names = decisions["reviewer"]
    nobody = decisions[names.isna() | (names.astype("str").str.strip() == "")]
    if not len(nobody) or not has_reviews(reviews.audit):
        return
    draws = nobody["draw_id"] if "draw_id" in nobody else pd.Series(pd.NA, index=nobody.index)
    for draw_id in reviews.draws()["draw_id"].tolist():
        rows = reviews.read_draw(draw_id)
        second = rows.loc[rows["slot"] == 1, "mask_id"]
        named = (draws == draw_id).fillna(False) & bool(len(second))
        if named.any() or (draws.isna() & nobody["mask_id"].isin(second)).any():
            what = f"two people were given masks of draw {draw_id}, and it does not say whose it is"
            raise SourceError(what, str(path), "say who decided: --reviewer NAME")
