"""People's work on a round, carried over to the round that repeats it with other settings.

People vouch for masks: proposals that they accepted, what they redrew, what they added. Each of
these keeps its object. Where the new round proposes that object too, the proposal is accepted if it
is that very mask, else redrawn to it; where it does not, the mask is added. A proposal that people
rejected is rejected again where it is proposed again, nearly the same. All else is asked about.

Each person's own decision is carried, with its time and its seconds, so that who decided, and who
disagreed, stays known. Keys are made from the old decisions, so doing it twice is doing it once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pandas as pd

from curate.common.arrays import IntArray
from curate.dataset.notes import count_noun
from curate.dataset.table import plain
from curate.engine.proposal_cuts import MATCH_IOU
from curate.engine.proposal_truth import GOOD_IOU, match_pairs
from curate.engine.round_record import CarriedRecord
from curate.people.reviews import Reviews, has_reviews
from curate.people.reviews.decision_notes import DecisionNote
from curate.rle import Runs, area, cross_overlaps, decode_counts
from curate.store.audit import StoredAudit

_DECISIONS = (
    *("mask_id", "action", "segmentation", "category", "reviewer", "seconds", "time"),
    *("queue_kind", "key", "note"),
)
_ADDED = ("image_id", "segmentation", "category", "reviewer", "seconds", "time", "key")


@dataclass(frozen=True)
class OldWork:
    """What people did in a round that is repeated.

    Attributes:
        masks: Its proposals, index ``mask_id``: ``image_id``, ``segmentation``, ``category``,
            ``height``, ``width``, and ``change``: what became of it ("kept", "redrawn",
            "relabelled", "removed", "unsettled"), None where nobody decided; ``new_segmentation``
            and ``new_category``, None where they stay.
        decisions: What each person last said of each mask, with the seconds of all that this person
            said of it.
        added: Masks that people added, a row a person.
        searched: Images that people searched, a row a person.
        notes: Why people decided so, by ``decision_id``.
    """

    masks: pd.DataFrame
    decisions: pd.DataFrame
    added: pd.DataFrame
    searched: pd.DataFrame
    notes: Mapping[int, DecisionNote]


def read_old_work(audit: StoredAudit) -> OldWork | None:
    """Return the work of people on a round; None for none.

    Args:
        audit: Of the round.
    """
    if not has_reviews(audit):
        return None
    reviews = Reviews(audit)
    decisions, added, searched = reviews.decisions(), reviews.missing(), reviews.reviewed_images()
    if not len(decisions) and not len(added) and not len(searched):
        return None
    masks = _read_masks(audit)
    outcomes = pd.DataFrame({"change": [], "segmentation": [], "category": []})
    if audit.has_people():
        sql = "select mask_id, change, segmentation, category from people"
        outcomes = audit.query(sql).set_index("mask_id")
    for name, source in (
        ("change", "change"),
        ("new_segmentation", "segmentation"),
        ("new_category", "category"),
    ):
        values = outcomes[source].reindex(masks.index).astype(object)
        masks[name] = values.where(values.notna(), None)
    person = ["mask_id", "reviewer"]
    seconds = decisions.groupby(person)["seconds"].sum(min_count=1)
    last = decisions.sort_values(["time", "decision_id"], kind="stable").groupby(person).tail(1)
    last = last.drop(columns="seconds").join(seconds, on=person)
    return OldWork(masks, last, added, searched, reviews.notes())


def _read_masks(audit: StoredAudit) -> pd.DataFrame:
    names = ["image_id", "segmentation", "category", "height", "width"]
    found = audit.masks(names)[names].sort_index()
    for name in ("segmentation", "category"):
        values = found[name].astype(object)
        found[name] = values.where(values.notna(), None)
    return found


@dataclass(frozen=True)
class _Vouched:
    """A mask that people vouch for: of an old proposal, or added (then ``proposal`` is -1)."""

    image_id: int
    segmentation: bytes
    category: str | None
    proposal: int


def carry_work(old: OldWork, reviews: Reviews, origin: str) -> CarriedRecord:
    """Write what people did in a round into the round that repeats it, all or nothing.

    Proposals that people have decided on there already are left as they are.

    Args:
        old: What they did.
        reviews: Decisions of the new round.
        origin: Where they come from, for people, and in front of each key.

    Returns:
        What was carried, and what is asked again.
    """
    masks = _read_masks(reviews.audit)
    decided = reviews.decisions()
    taken = set(decided.loc[decided["origin"] != origin, "mask_id"].tolist())
    plan = _Plan(old, masks, origin, taken)
    plan.place()
    decisions = pd.DataFrame(
        [{"mask_id": mask_id, **vars(vote)} for mask_id, vote in plan.decisions],
        columns=list(_DECISIONS),
    )
    added = pd.DataFrame(
        [
            {**vars(vote), "image_id": one.image_id}
            | {"segmentation": one.segmentation, "category": one.category}
            for one, vote in plan.added
        ],
        columns=list(_ADDED),
    )
    searched = old.searched[~old.searched["image_id"].isin(plan.unsearched)]
    searched = searched[["image_id", "reviewer", "seconds", "time"]].assign(
        key=[f"{origin}: image {row.image_id} {row.reviewer}" for row in searched.itertuples()]
    )
    reviews.add(
        decisions.astype({"mask_id": "int64"}),
        origin=origin,
        missing=added.astype({"image_id": "int64"}) if len(added) else None,
        reviewed_images=searched if len(searched) else None,
    )
    parts = [part["seconds"].astype("float64") for part in (decisions, added, searched)]
    seconds = np.concatenate([part.to_numpy() for part in parts])
    images = set(old.searched["image_id"].tolist())
    return {
        "decided": int(decisions["mask_id"].nunique()),
        "redrawn": plan.redrawn,
        "added": len(set(zip(added["image_id"], added["segmentation"], strict=True))),
        "searched": len(images - plan.unsearched),
        "asked_again": plan.asked_again,
        "searched_again": len(images & plan.unsearched),
        "seconds": round(float(np.nansum(seconds)), 3),
        "untimed": int(np.isnan(seconds).sum()),
    }


@dataclass(frozen=True)
class _CarriedVote:
    """A person's decision on a mask, or the mask that a person added."""

    action: str
    segmentation: bytes | None
    category: str | None
    reviewer: str
    seconds: float
    time: pd.Timestamp
    queue_kind: str
    key: str
    note: DecisionNote | None


class _Plan:
    """Rows to write into the new round, found by matching its proposals with the old work."""

    def __init__(self, old: OldWork, masks: pd.DataFrame, origin: str, taken: set[int]) -> None:
        self.old, self.masks, self.origin, self.taken = old, masks, origin, taken
        self.decisions: list[tuple[int, _CarriedVote]] = []
        self.added: list[tuple[_Vouched, _CarriedVote]] = []
        self.redrawn = self.asked_again = 0
        self.unsearched: set[int] = set()
        self.free = np.ones(len(masks), np.bool_)
        self.votes = _read_votes(old, origin)

    def place(self) -> None:
        """Match what people vouch for first, then what they rejected, then what they left."""
        vouched = list(self._list_vouched())
        for one, row in zip(vouched, self._match(vouched, MATCH_IOU), strict=True):
            if row < 0:
                self._add(one)
            elif int(self.masks.index[row]) not in self.taken:
                self._decide(one, row)
        change = self.old.masks["change"]
        for wanted, least in ((change == "removed", GOOD_IOU), (change == "unsettled", 1.0)):
            rows = self.old.masks[wanted]
            for mask_id, row in zip(rows.index, self._match_old(rows, least), strict=True):
                if row >= 0 and int(self.masks.index[row]) not in self.taken:
                    self._copy(int(mask_id), row)
        rest = self.old.masks[change.isna()]
        found = self._match_old(rest, MATCH_IOU)
        self.unsearched = set(rest["image_id"].to_numpy()[found < 0].tolist())
        again = self.old.masks[change.isin(("removed", "unsettled"))]
        self.asked_again = int((self._match_old(again, MATCH_IOU) >= 0).sum())

    def _list_vouched(self) -> Iterator[_Vouched]:
        for mask_id, row in self.old.masks.iterrows():
            if row["change"] in ("kept", "redrawn", "relabelled"):
                mask = row["new_segmentation"] or row["segmentation"]
                category = row["new_category"] or row["category"]
                yield _Vouched(int(row["image_id"]), bytes(mask), category, int(str(mask_id)))
        seen = set()
        for image_id, vote in _read_additions(self.old, self.origin):
            if vote.segmentation is not None:
                one = _Vouched(image_id, vote.segmentation, vote.category, -1)
                if one not in seen:
                    seen.add(one)
                    yield one

    def _match_old(self, rows: pd.DataFrame, least: float) -> IntArray:
        """Match old proposals with new ones that are free, from an IoU on; -1 for none."""
        masks = zip(rows["image_id"].tolist(), rows["segmentation"], strict=True)
        return self._match([_Vouched(int(k), bytes(one), None, -1) for k, one in masks], least)

    def _match(self, wanted: Sequence[_Vouched], least: float) -> IntArray:
        """Match masks one to one with new proposals that are free; these are not any more."""
        sizes = self.masks.groupby("image_id")[["height", "width"]].first()
        found = np.full(len(wanted), -1, np.int64)
        rows = np.flatnonzero(self.free)
        mine = [k for k, one in enumerate(wanted) if one.image_id in sizes.index]
        if not mine or not len(rows):
            return found
        images = np.array([wanted[k].image_id for k in mine], np.int64)
        old = _decode([wanted[k].segmentation for k in mine], sizes.loc[images])
        free = self.masks.iloc[rows]
        new = _decode([bytes(one) for one in free["segmentation"]], free)
        pairs = cross_overlaps(old, images, new, free["image_id"].to_numpy(np.int64))
        both = area(old)[pairs.first] + area(new)[pairs.second] - pairs.intersection
        iou = pairs.intersection / both
        use = iou >= least
        matched, _ = match_pairs(pairs.first[use], pairs.second[use], iou[use], len(mine))
        hits = np.flatnonzero(matched >= 0)
        found[np.array(mine)[hits]] = rows[matched[hits]]
        self.free[rows[matched[hits]]] = False
        return found

    def _add(self, one: _Vouched) -> None:
        """Keep a mask whose object is not proposed any more, by all who vouch for it."""
        votes = self._list_votes(one)
        self.added += [(one, vote) for vote in votes if vote.action != "reject"]

    def _decide(self, one: _Vouched, row: int) -> None:
        """Settle a new proposal as people settled its object."""
        before = len(self.decisions)
        if one.proposal >= 0:
            self._copy(one.proposal, row)
        else:
            for vote in self._list_votes(one):
                self._take(vote, row, one.segmentation, one.category)
        mask = bytes(self.masks["segmentation"].iloc[row])
        self.redrawn += len(self.decisions) > before and mask != one.segmentation

    def _list_votes(self, one: _Vouched) -> list[_CarriedVote]:
        """Return the decisions of people that led to a mask."""
        if one.proposal >= 0:
            return self.votes[one.proposal]
        return [
            vote
            for image_id, vote in _read_additions(self.old, self.origin)
            if (image_id, vote.segmentation, vote.category)
            == (one.image_id, one.segmentation, one.category)
        ]

    def _copy(self, mask_id: int, row: int) -> None:
        """Write what each person said of an old proposal for the new one in its place."""
        old = self.old.masks.loc[mask_id]
        own, category = bytes(old["segmentation"]), cast("str | None", old["category"])
        for vote in self.votes[mask_id]:
            if vote.action == "reject":
                self.decisions.append((int(self.masks.index[row]), vote))
            elif vote.action == "accept" or vote.segmentation or vote.category:
                self._take(vote, row, vote.segmentation or own, vote.category or category)
            elif own == bytes(self.masks["segmentation"].iloc[row]):
                # It is to be drawn anew, by somebody else.
                self.decisions.append((int(self.masks.index[row]), vote))

    def _take(self, vote: _CarriedVote, row: int, mask: bytes, category: str | None) -> None:
        """Write that a new proposal is a mask, or what it is to be."""
        proposal = self.masks.iloc[row]
        other = None if mask == bytes(proposal["segmentation"]) else mask
        named = category if category != proposal["category"] else None
        action = "accept" if other is None and named is None else "fix"
        new = replace(vote, action=action, segmentation=other, category=named)
        self.decisions.append((int(self.masks.index[row]), new))


def _read_votes(old: OldWork, origin: str) -> dict[int, list[_CarriedVote]]:
    """Return each person's last decision on each old proposal, by its id."""
    found: dict[int, list[_CarriedVote]] = {}
    columns = ("mask_id", "decision_id", "action", "reviewer", "seconds", "time", "queue_kind")
    rows = zip(
        *(old.decisions[name].tolist() for name in columns),
        plain(old.decisions["segmentation"]),
        plain(old.decisions["category"]),
        strict=True,
    )
    for mask_id, number, action, reviewer, seconds, time, kind, mask, category in rows:
        vote = _CarriedVote(
            action,
            None if mask is None else bytes(mask),
            category,
            reviewer,
            seconds,
            time,
            "bulk" if kind == "bulk" else "none",
            f"{origin}: {number}",
            old.notes.get(number),
        )
        found.setdefault(int(mask_id), []).append(vote)
    return found


def _read_additions(old: OldWork, origin: str) -> list[tuple[int, _CarriedVote]]:
    """Return the masks that people added, each with its image."""
    columns = ("image_id", "missing_id", "segmentation", "reviewer", "seconds", "time")
    rows = zip(
        *(old.added[name].tolist() for name in columns), plain(old.added["category"]), strict=True
    )
    found = []
    for image_id, number, mask, reviewer, seconds, time, category in rows:
        key = f"{origin}: added {number}"
        said = (reviewer, seconds, time, "none", key, None)
        found.append((int(image_id), _CarriedVote("accept", bytes(mask), category, *said)))
    return found


def _decode(counts: list[bytes], sizes: pd.DataFrame) -> Runs:
    heights, widths = (sizes[name].to_numpy(np.int64) for name in ("height", "width"))
    return decode_counts(counts, heights, widths)[0]


def describe_carried(record: CarriedRecord) -> str:
    """Describe in a clause what was carried over to a round, and what is asked again."""
    decided, redrawn = record["decided"], record["redrawn"]
    text = f"carried over: decisions on {count_noun(decided, 'mask')}"
    if redrawn:
        text += f" ({redrawn:,} drawn otherwise now, and redrawn to what people took before)"
    if record["added"]:
        text += f", {count_noun(record['added'], 'mask')} that people made and nothing proposes"
    text += f", searches of {count_noun(record['searched'], 'image')}"
    if record["asked_again"]:
        some = count_noun(record["asked_again"], "mask that was", "masks that were")
        text += f"; asked again: {some} rejected or not settled, drawn otherwise now"
    if record["searched_again"]:
        some = count_noun(record["searched_again"], "image")
        text += f"; to be searched again: {some}, where an undecided mask is not proposed any more"
    return text
