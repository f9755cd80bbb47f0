"""Writer of people's answers to proposed missing masks."""

from __future__ import annotations

from collections.abc import Sequence

from curate.people.reviews import Reviews
from curate.people.reviews.proposal_answers import (
    ADD,
    REFUSE,
    ProposalAnswer,
    TakenBack,
    take_back_answers,
    write_answers,
)
from curate.people.webapp.decision_writer import ORIGIN, EventWriter, Refusal
from curate.people.webapp.events import Event
from curate.people.webapp.proposal_cards import ProposalCards

_NO_CATEGORY = "a missing mask needs a category: choose one"
_NO_NOTE = "a note is about a mask, and a proposal is none"


class ProposalWriter(EventWriter):
    """Writes answers: "accept" adds the mask as proposed, "fix" another one or with another
    category, "reject" refuses it."""

    def __init__(self, reviews: Reviews, cards: ProposalCards) -> None:
        self._cards = cards
        super().__init__(reviews, cards.queue)

    def _write_stretch(self, kind: str, events: Sequence[Event]) -> list[Refusal]:
        refusals = [self._refuse(event) for event in events]
        good = [event for event, why in zip(events, refusals, strict=True) if why is None]
        if kind == "withdraw":
            taken = [TakenBack(e.of, e.reviewer, e.time, e.key) for e in good]
            if taken:
                take_back_answers(self._reviews, taken)
            return refusals
        answers = [self._answer(event) for event in good if event.kind == "decide"]
        if answers:
            write_answers(self._reviews, answers, ORIGIN)
        drawn = [event for event in good if event.kind in ("missing", "withdraw_missing")]
        if drawn:
            super()._write_stretch(kind, drawn)
        return refusals

    def _refuse(self, event: Event) -> Refusal:
        if event.kind == "note":
            return _NO_NOTE
        if (why := self._stranger(event)) is not None:
            return why
        named = event.kind != "decide" or event.action == "reject" or not self._cards.names
        return None if named or self._category(event) is not None else _NO_CATEGORY

    def _category(self, event: Event) -> str | None:
        row = self._row(event)
        return event.category if event.category is not None else self._cards.category(row)

    def _row(self, event: Event) -> int:
        assert event.mask_id is not None
        return self._cards.queue.rows_of(event.mask_id)[0]

    def _answer(self, event: Event) -> ProposalAnswer:
        row = self._row(event)
        adds = event.action != "reject"
        counts = (event.counts or self._cards.counts(row)) if adds else None
        return ProposalAnswer(
            proposal_id=int(self._cards.queue.mask_ids[row]),
            image_id=int(self._cards.queue.image_ids[row]),
            answer=ADD if adds else REFUSE,
            counts=counts,
            category=self._category(event) if adds else None,
            reviewer=event.reviewer,
            seconds=event.seconds,
            time=event.time,
            key=event.key,
        )
