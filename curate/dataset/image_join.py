"""Join of images with pictures, detections, annotations and soft masks: one for all of these.

:class:`Listing` is what one source says of its images: names, ids where they are its own, sizes.
:func:`join` gives each thing of one listing its image of another, or a reason why it has none
(:class:`Join`). The keys, from the surest; each counts only where it is *unique on both sides*,
among everything that either lists, so that an image is never joined by what happens to be left:

1. ``file_name``, to the letter; of several equal ones that with the same id, where both state ids
   and those of what is joined by name alone do not differ (after 6. also of several that are equal
   but for folders, suffix and case);
2. the normalised name (:mod:`curate.dataset.image_names`);
3. the end of the path: the longest that they share, the base name at least;
4. the same without suffixes; 5. and 6. both without regard to case;
7. the base name without what Label Studio puts before an uploaded file's;
8. the number in the name, for a nameless thing, where the other side has no ids of its own;
9. the id, where both state ids, one has no name, and the ids of what is joined by name agree.

Ids that are positions in a listing (YOLO, folders of PNGs) are no key at all. Images of different
known sizes are never joined, nor by less than their normalised names those of different splits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, ByteArray, IntArray
from curate.dataset.image_names import (
    base_name,
    normalise,
    number,
    split_of,
    without_suffix,
    without_upload_prefix,
)

KEYS = (
    "",
    "file_name",
    "normalised name",
    "end of the path",
    "name without suffix",
    "name without case",
    "name without suffix and case",
    "name without upload prefix",
    "number in the name",
    "id",
)
"""What a thing can be joined by; the first stands for what is not joined."""

REASONS = ("", "none", "ambiguous", "size", "split", "no_name")
"""Why a thing has no image; the first stands for what has one."""

REASON_TEXTS = {
    "none": "no image of that name or id",
    "ambiguous": "more than one image, or more than one of them, has that name",
    "size": "the image has another size",
    "split": "the folders name different splits (train, val, test)",
    "no_name": "no name, and no id of its own",
}
"""The reasons for people."""


@dataclass(frozen=True)
class Listing:
    """Images, or what belongs to them, as one source lists them.

    Attributes:
        names: File name of each; what is no text counts as none.
        ids: Shape (n,), ids that the source itself states; None where it has none, so that its
            numbers are but positions.
        sizes: Shape (n, 2), height and width in pixels, under 1 where not known; None: none is.
    """

    names: Sequence[object]
    ids: IntArray | None = None
    sizes: IntArray | None = None

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def texts(self) -> list[str]:
        """The names as they stand; "" for none."""
        return [n if isinstance(n, str) and n.strip() else "" for n in self.names]

    @cached_property
    def paths(self) -> list[str]:
        """The normalised names; "" for none."""
        return [normalise(text) if text else "" for text in self.texts]

    def label(self, row: int) -> str:
        """Return a row's name in messages."""
        known = self.texts[row]
        return known or (f"id {self.ids[row]}" if self.ids is not None else f"number {row}")


@dataclass(frozen=True)
class Join:
    """Outcome of a join: each thing's image, and the key that found it.

    Attributes:
        rows: Shape (n things,), row of the image, -1 for none; no image occurs twice.
        keys: Shape (n things,), position in :data:`KEYS`.
        reasons: Shape (n things,), position in :data:`REASONS`.
    """

    rows: IntArray
    keys: ByteArray
    reasons: ByteArray

    def by_key(self) -> dict[str, int]:
        """Return how many are joined by each key, the surest key first."""
        return _count_by_word(KEYS, self.keys)

    def by_reason(self) -> dict[str, int]:
        """Return how many are not joined for each reason."""
        return _count_by_word(REASONS, self.reasons)


def _count_by_word(words: Sequence[str], codes: ByteArray) -> dict[str, int]:
    counts = np.bincount(codes, minlength=len(words))
    return {word: int(count) for word, count in zip(words, counts, strict=True) if word and count}


def join(images: Listing, things: Listing, *, same_ids: bool = False) -> Join:
    """Find the image of each thing.

    Takes time in proportion to the number of names. Symmetric: neither side's order counts, and
    with the sides exchanged the same pairs are found.

    Args:
        images: The images.
        things: What belongs to them.
        same_ids: Whether the ids of both are known to be of one dataset, as of a file that went out
            and came back. Else they are taken to be unless those of what is joined by name differ.
    """
    work = _Work(images, things, same_ids)
    for key in work.steps():
        if not work.waiting.any():
            break
        key()
    work.undo_chance_ids()
    return work.result()


class _Work:
    """A join under way."""

    def __init__(self, images: Listing, things: Listing, same_ids: bool) -> None:
        self.images, self.things, self.same_ids = images, things, same_ids
        self.rows = np.full(len(things), -1, np.int64)
        self.keys = np.zeros(len(things), np.uint8)
        self.why = np.full(len(things), REASONS.index("none"), np.uint8)
        self.taken = np.zeros(len(images), np.bool_)
        self.waiting = np.full(len(things), len(images) > 0)
        self.by_id = np.zeros(len(things), np.bool_)
        """Which things are joined to one of several images of their name, by its id."""

    def steps(self) -> Iterator[Callable[[], None]]:
        """Yield the steps, the surest first."""
        if any(self.images.texts) and any(self.things.texts):
            yield lambda: self._by_equal(self.images.texts, self.things.texts, 1)
            yield self._by_name_and_id
            yield lambda: self._by_equal(self.images.paths, self.things.paths, 2)
            yield lambda: self._by_tail(str, 3)
            yield lambda: self._by_tail(without_suffix, 4)
            yield lambda: self._by_tail(str.casefold, 5)
            yield lambda: self._by_tail(lambda path: without_suffix(path).casefold(), 6)
            yield self._by_uploaded_name
            yield self._by_stem_and_id
        yield self._by_number
        yield self._by_id

    def result(self) -> Join:
        """Return the finished join."""
        if self.things.ids is None:
            nameless = np.array([not text for text in self.things.texts], np.bool_)
            self.why[nameless & self.waiting] = REASONS.index("no_name")
        self.why[self.rows >= 0] = 0
        return Join(self.rows, self.keys, self.why)

    def _pair(self, images: IntArray, things: IntArray, key: int) -> None:
        """Join things, each with its image, unless something speaks against it."""
        free = ~self.taken[images]
        self._note(things[~free], "ambiguous")
        images, things = images[free], things[free]
        self.taken[images] = True
        self.waiting[things] = False
        for reason, against in (("size", self._other_size), ("split", self._other_split)):
            if reason == "size" or key > 2:
                bad = against(images, things)
                self._note(things[bad], reason)
                images, things = images[~bad], things[~bad]
        self.rows[things], self.keys[things] = images, key

    def _note(self, things: IntArray, reason: str) -> None:
        self.why[things] = REASONS.index(reason)

    def _other_size(self, images: IntArray, things: IntArray) -> BoolArray:
        if self.images.sizes is None or self.things.sizes is None:
            return np.zeros(len(things), np.bool_)
        mine, theirs = self.images.sizes[images], self.things.sizes[things]
        return np.asarray(((mine != theirs) & (mine >= 1) & (theirs >= 1)).any(axis=1), np.bool_)

    def _other_split(self, images: IntArray, things: IntArray) -> BoolArray:
        mine, theirs = self.images.paths, self.things.paths
        words = [
            (split_of(mine[i]), split_of(theirs[t]))
            for i, t in zip(images.tolist(), things.tolist(), strict=True)
        ]
        return np.array([bool(a and b and a != b) for a, b in words], np.bool_)

    def _by_equal(self, mine: Sequence[Any], theirs: Sequence[Any], key: int) -> None:
        """Join what has an equal key; "" and None are no keys."""
        self._settle(_Shared(mine, theirs), np.flatnonzero(self.waiting), key)

    def _settle(self, shared: _Shared, things: IntArray, key: int) -> IntArray:
        """Join things whose key is unique; return those whose key is shared, but not unique."""
        once, images = shared.unique(things)
        self._pair(images, things[once], key)
        several = things[shared.several(things)]
        self._note(several, "ambiguous")
        return several

    def _by_name_and_id(self) -> None:
        """Tell equal names apart by ids that both sides state."""
        if self.images.ids is not None and self.things.ids is not None:
            before = self.rows >= 0
            self._by_equal(_named_ids(self.images), _named_ids(self.things), 1)
            self.by_id = (self.rows >= 0) & ~before

    def undo_chance_ids(self) -> None:
        """Take equal names apart again where the ids turn out to be of another dataset.

        Only the later steps, which join by names alone, show whether the ids of the two agree.
        """
        by_name = (self.rows >= 0) & ~self.by_id
        if self.by_id.any() and not self.same_ids and self._ids_agree(by_name) == 0:
            chance = np.flatnonzero(self.by_id)
            self.rows[chance], self.keys[chance] = -1, 0
            self._note(chance, "ambiguous")

    def _by_stem_and_id(self) -> None:
        """Tell stems that occur twice apart by ids that are sure to be of one dataset."""
        if self.same_ids or self._ids_agree() > 0:
            self._by_equal(_stem_ids(self.images), _stem_ids(self.things), KEYS.index("id"))

    def _ids_agree(self, of: BoolArray | None = None) -> float:
        """Return the share of what is joined by name that has the same id, 0 for under a half.

        NaN where nothing is joined by name; -1 where a side states no ids.

        Args:
            of: Shape (n things,), the joined things to ask; all that are joined if None.
        """
        mine, theirs = self.images.ids, self.things.ids
        if mine is None or theirs is None:
            return -1
        joined = np.flatnonzero(self.rows >= 0 if of is None else of)
        if not len(joined):
            return np.nan
        same = float((mine[self.rows[joined]] == theirs[joined]).mean())
        return same if same >= 0.5 else 0

    def _by_tail(self, spelled: Callable[[str], str], key: int) -> None:
        """Join by the longest end of the path that is shared, a part at a time."""
        mine = [spelled(path) for path in self.images.paths]
        theirs = [spelled(path) for path in self.things.paths]
        ends = [[_tail(path, 1) for path in paths] for paths in (mine, theirs)]
        active, depth = np.flatnonzero(self.waiting), 1
        while len(active):
            shared = _Shared(*ends)
            active = self._settle(shared, active, key)
            depth += 1
            deeper = shared.beside(active)
            ends = [
                [_tail(path, depth) if keep else "" for path, keep in zip(paths, kept, strict=True)]
                for paths, kept in zip((mine, theirs), deeper, strict=True)
            ]

    def _by_uploaded_name(self) -> None:
        """Join what is called alike but for the prefix of an upload."""
        mine, theirs = (_uploaded_names(one) for one in (self.images, self.things))
        self._by_equal(mine, theirs, KEYS.index("name without upload prefix"))

    def _by_number(self) -> None:
        """Join ids with numbers in names, where one side has no ids of its own."""
        key = KEYS.index("number in the name")
        if self.images.ids is None and self.things.ids is not None:
            self._by_equal(_numbers(self.images), _ids(self.things, bare=True), key)
        elif self.things.ids is None and self.images.ids is not None:
            self._by_equal(_ids(self.images, bare=True), _numbers(self.things), key)

    def _by_id(self) -> None:
        """Join by ids that both sides state, where one of the two has no name."""
        if self._ids_agree() <= 0 and not self.same_ids:
            return  # one states none, or what has a name shows that they are of another dataset
        shared = _Shared(_ids(self.images), _ids(self.things))
        waiting = np.flatnonzero(self.waiting)
        once, images = shared.unique(waiting)
        named = [np.array([bool(t) for t in one.texts]) for one in (self.images, self.things)]
        both = named[0][images] & named[1][waiting[once]]
        self._pair(images[~both], waiting[once][~both], KEYS.index("id"))
        self._note(waiting[shared.several(waiting)], "ambiguous")


class _Shared:
    """Which keys of two lists are equal; "" and None are no keys."""

    def __init__(self, mine: Sequence[Any], theirs: Sequence[Any]) -> None:
        every = np.empty(len(mine) + len(theirs), object)
        every[: len(mine)], every[len(mine) :] = mine, theirs
        codes, words = pd.factorize(every)
        codes = np.where(every == "", -1, codes)
        self.codes = codes[: len(mine)], codes[len(mine) :]
        n = len(words) + 1  # the last, which is at -1, for what has no key
        self._counts = [np.bincount(one[one >= 0], minlength=n) for one in self.codes]
        self._row = np.full(n, -1, np.int64)
        known = np.flatnonzero(self.codes[0] >= 0)
        self._row[self.codes[0][known]] = known

    def unique(self, things: IntArray) -> tuple[BoolArray, IntArray]:
        """Return which things have a key that each side has once, and the images of those."""
        codes = self.codes[1][things]
        once = (self._counts[0][codes] == 1) & (self._counts[1][codes] == 1)
        return once, self._row[codes[once]]

    def several(self, things: IntArray) -> BoolArray:
        """Return which things have a key that both sides have, one of them more than once."""
        codes = self.codes[1][things]
        mine, theirs = (counts[codes] for counts in self._counts)
        return np.asarray((mine > 0) & (mine + theirs > 2), np.bool_)

    def beside(self, things: IntArray) -> tuple[BoolArray, BoolArray]:
        """Return which images and which things have the key of one of some things."""
        wanted = np.zeros(len(self._row), np.bool_)
        wanted[self.codes[1][things]] = True
        return wanted[self.codes[0]], wanted[self.codes[1]]


def _numbers(listing: Listing) -> list[int | None]:
    return [number(text) for text in listing.texts]


def _ids(listing: Listing, *, bare: bool = False) -> list[int | None]:
    """Return an id for each row; with ``bare`` None for rows that have a name."""
    assert listing.ids is not None, "the caller has seen to it"
    ids = listing.ids.tolist()
    if not bare:
        return ids  # type: ignore[no-any-return]
    return [None if text else one for text, one in zip(listing.texts, ids, strict=True)]


def _named_ids(listing: Listing) -> list[str]:
    pairs = zip(listing.texts, _ids(listing), strict=True)
    return [f"{one}/{text}" if text else "" for text, one in pairs]


def _stem_ids(listing: Listing) -> list[str]:
    pairs = zip(listing.paths, _ids(listing), strict=True)
    return [
        f"{one}/{without_suffix(base_name(path)).casefold()}" if path else "" for path, one in pairs
    ]


def _uploaded_names(listing: Listing) -> list[str]:
    """Return base names without upload prefix, suffix and case."""
    bases = [base_name(path) for path in listing.paths]
    return [without_suffix(without_upload_prefix(base)).casefold() for base in bases]


def _tail(path: str, depth: int) -> str:
    """Return the last parts of a path; "" where it has fewer."""
    at = len(path)
    for _ in range(depth):
        if at < 0:
            return ""
        at = path.rfind("/", 0, at)
    return path[at + 1 :]
