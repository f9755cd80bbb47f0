"""Import of people's answers to proposed missing masks from a table, and its undo."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.common.fingerprint import fingerprint
from curate.common.readable_result import ReadableResult
from curate.dataset.notes import count_noun
from curate.errors import CallError, SourceError
from curate.people.exchange.answer_table import BOX, read_answer_table
from curate.people.queues.missing_proposals import (
    draw_proposal,
    name_proposal,
    proposal_states,
    read_pixels,
    read_proposals,
)
from curate.people.reviews import has_reviews
from curate.people.reviews.proposal_answers import (
    ADD,
    REFUSE,
    ProposalAnswer,
    TakenBack,
    read_answers,
    read_taken_back,
    take_back_answers,
    write_answers,
)
from curate.people.reviews.review_file import Reviews, open_reviews
from curate.people.reviews.undo_import import UndoneImport
from curate.rle import encode_counts
from curate.store.audit import StoredAudit

FORMAT = "missing"
"""The format's name, as ``--format`` takes it."""


@dataclass(frozen=True, repr=False)
class AnswersImport(ReadableResult):
    """Result of an import of answers to proposed missing masks.

    Attributes:
        path: The file.
        added: Masks that it added.
        refused: Proposals that it refused.
        undecided: Rows without a decision.
        answered: Rows of proposals that had an answer before, or a mask; these stay as they are.
        reviewers: Whose answers they count as, and how many; "" for no name.
    """

    path: Path
    added: int
    refused: int
    undecided: int
    answered: int
    reviewers: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "file": str(self.path),
            "format": FORMAT,
            "missing_added": self.added,
            "missing_refused": self.refused,
            "rows_without_a_decision": self.undecided,
            "answered_before": self.answered,
            "reviewers": self.reviewers,
        }

    def text(self) -> str:
        """Return the result in a few lines."""
        counts = f"{self.added:,} added, {self.refused:,} refused"
        lines = [f"{self.path}: answers to proposed missing masks: {counts}"]
        if self.answered:
            rows = count_noun(self.answered, "row")
            lines.append(f"{rows} left out: the proposal has an answer or a mask already")
        if self.undecided:
            lines.append(f"rows without a decision: {self.undecided:,}")
        if self.reviewers:
            some = [f"{name or '(no name)'} ({n:,})" for name, n in self.reviewers.items()]
            lines.append(f"counted as the answers of {', '.join(some)}")
        return "\n".join(lines)


def import_answers(audit: StoredAudit, path: Path, reviewer: str | None) -> AnswersImport:
    """Import answers to proposed missing masks; all of them, or none where one is wrong.

    Args:
        audit: The audit whose proposals they are.
        path: A table, see :mod:`curate.people.exchange.answer_table`.
        reviewer: Who answered, where the file names nobody.

    Raises:
        SourceError: The file cannot be read, or a row is wrong; says which.
        AuditError: The audit's file of decisions cannot be used.
    """
    rows, undecided = read_answer_table(path, audit)
    proposals = read_proposals(audit)
    proposals["state"] = proposal_states(audit, proposals)
    places = _match(rows, proposals)
    if len(rows) == 0:
        what = f"no decisions found in this file (rows without a decision: {undecided:,})"
        raise SourceError(what, str(path), "fill in its column decision")
    is_open = (proposals["state"].to_numpy()[places] == "left").astype(np.bool_)
    names = set(audit.query("select distinct category from masks")["category"].dropna())
    reviews = open_reviews(audit) if has_reviews(audit) else Reviews(audit)
    maker = _AnswerMaker(
        audit,
        fingerprint(path)[:16],
        names=frozenset(names),
        reviewer=reviewer or "",
        taken_back=read_taken_back(reviews),
        now=reviews.clock.now_us(),
    )
    answers = [
        maker.make(rows.iloc[at], proposals.iloc[places[at]]) for at in np.flatnonzero(is_open)
    ]
    if answers:
        write_answers(reviews, answers, f"{path.name} ({FORMAT})")
    said = Counter(one.answer for one in answers)
    people = Counter(one.reviewer for one in answers)
    answered = len(rows) - len(answers)
    return AnswersImport(path, said[ADD], said[REFUSE], undecided, answered, dict(people))


def _match(rows: pd.DataFrame, proposals: pd.DataFrame) -> Any:
    """Return the place of each row's proposal, shape (n,).

    Image and box name a proposal as its id does, whose digits a spreadsheet may have rounded.

    Raises:
        SourceError: A row is of no proposal of the audit, or two rows are of one.
    """
    index = {int(name): at for at, name in enumerate(proposals["proposal_id"])}
    places: dict[int, None] = {}  # in order
    for row in rows.to_dict("records"):
        box = tuple(float(row[side]) for side in BOX)
        if pd.notna(row["image_id"]) and np.isfinite(box).all():
            name = name_proposal(int(row["image_id"]), box)
        else:
            name = 0 if pd.isna(row["proposal_id"]) else int(row["proposal_id"])
        if name not in index:
            do = "import it into the audit that `curate queue --kind missing` wrote it from"
            raise SourceError("the audit proposes no such mask", row["where"], do)
        if index[name] in places:
            raise SourceError("its proposal stands in the file twice", row["where"])
        places[index[name]] = None
    return np.array(list(places), np.int64)


@dataclass(frozen=True)
class _AnswerMaker:
    """Makes answers of rows.

    Attributes:
        audit: The audit.
        content: The first 16 digits of the file's fingerprint; begins the answers' keys.
        names: Categories that the dataset has.
        reviewer: Who answered, where a row names nobody.
        taken_back: Keys of answers that were taken back, which cannot be used again.
        now: The time, in microseconds since 1970.
        drawn: The detector's masks of images so far, by proposal: an image is read once.
    """

    audit: StoredAudit
    content: str
    names: frozenset[str]
    reviewer: str
    taken_back: frozenset[str]
    now: int
    drawn: dict[int, dict[int, str]] = field(default_factory=dict)

    def make(self, row: pd.Series[Any], proposal: pd.Series[Any]) -> ProposalAnswer:
        """Return the answer that a row gives to a proposal."""
        adds = row["decision"] != "reject"
        proposal_id, image_id = int(proposal["proposal_id"]), int(proposal["image_id"])
        return ProposalAnswer(
            proposal_id=proposal_id,
            image_id=image_id,
            answer=ADD if adds else REFUSE,
            counts=self._pixels(row, proposal) if adds else None,
            category=self._category(row, proposal) if adds else None,
            reviewer=row["reviewer"] or self.reviewer,
            seconds=None if np.isnan(row["seconds"]) else float(row["seconds"]),
            time=self.now,
            key=self._key(proposal_id),
        )

    def _key(self, proposal_id: int) -> str:
        number = 0
        while (key := f"{self.content}|{proposal_id}|{number}") in self.taken_back:
            number += 1
        return key

    def _pixels(self, row: pd.Series[Any], proposal: pd.Series[Any]) -> Any:
        if row["decision"] == "fix":
            if row["segmentation"] is None:
                do = "give the mask in a column segmentation, or accept it as it is proposed"
                raise SourceError("it is fixed, and no mask is given", row["where"], do)
            return row["segmentation"]
        image_id, proposal_id = int(proposal["image_id"]), int(proposal["proposal_id"])
        if image_id not in self.drawn:
            self.drawn[image_id] = read_pixels(self.audit, image_id)
        counts = self.drawn[image_id].get(proposal_id)
        box = tuple(float(proposal[side]) for side in BOX)
        runs, _ = draw_proposal(counts, box, int(proposal["height"]), int(proposal["width"]))
        return bytes(encode_counts(runs).to_pylist()[0] or b"").decode("ascii")

    def _category(self, row: pd.Series[Any], proposal: pd.Series[Any]) -> str | None:
        """Return the category to add it with: the dataset's, or one that the person wrote."""
        name: str | None = row["category"]
        is_own = name is not None and (name in self.names or name != proposal["category"])
        if not is_own and self.names:
            what = "a missing mask needs a category that the dataset has"
            raise SourceError(what, row["where"], "fill in its column category")
        return name if is_own else None


def take_back_answers_of(audit: StoredAudit, path: Path, reviewer: str | None) -> UndoneImport:
    """Take back the answers that were imported from a table; their proposals are open again.

    Args:
        audit: The audit that it was imported into.
        path: The file, unchanged; its name does not matter.
        reviewer: Only what counts as this person's; "" for no name; None: everybody's.

    Raises:
        CallError: No answer of the file counts, or none of that person.
        AuditError: There are no decisions.
    """
    reviews = open_reviews(audit)
    answers = read_answers(reviews)
    content = fingerprint(path)[:16]
    found = answers[answers["key"].str.startswith(f"{content}|")]
    if reviewer is not None:
        found = found[found["reviewer"] == reviewer.strip()]
    if not len(found):
        what = "no answer of this file counts: it was not imported as it is now, or is taken back"
        raise CallError(what, str(path), f"audit: {audit.path.name}")
    now = reviews.clock.now_us()
    taken = [TakenBack(key, who, now, f"back|{key}") for key, who in _keys(found)]
    take_back_answers(reviews, taken)
    people = tuple(sorted(set(found["reviewer"])))
    return UndoneImport(people, len(found), int((found["answer"] == ADD).sum()))


def _keys(answers: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(answers["key"], answers["reviewer"], strict=True))
