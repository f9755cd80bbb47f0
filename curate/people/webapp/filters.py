"""Filters of a queue by category, reason, kind of error and score; which scores people see.

The columns of a million masks take a second or two, so they are read in a thread beside the first
masks.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.common.arrays import AnyArray, BoolArray, Int32Array, IntArray
from curate.errors import CallError
from curate.people.webapp.answers import (
    CategoryFilter,
    FilterLists,
    KindFilter,
    ReasonFilter,
    ScoreFilter,
)
from curate.people.webapp.mask_files import MaskFiles
from curate.people.webapp.shown_queue import ShownQueue
from curate.render.formatting import (
    BLANKED,
    display_text,
    hash_reason,
    kind_of,
    score,
    title_of,
)
from curate.reporting.methods import ColumnTerm, column_terms
from curate.scorers.reason_template import JOINT
from curate.store.audit_records import References

_PLAIN = ("predicted_iou", "score")

KIND_COLUMN = "verifier_kind"
"""Column of the kind of error that a verifier names."""

HALF = 0.5
"""A score is low below this where nothing says what is usual in the dataset."""

_DIGITS = 2
"""Digits in which people see a score: one that reads like the usual value is not called low."""

MAX_LISTED = 500
"""Categories and reasons that are listed, the frequent ones."""

_CACHED_FILTERS = 8


def read_usual(references: References | None) -> dict[str, float]:
    """Return, by score, the value that nine masks in ten of an audit's dataset reach.

    Args:
        references: Of the audit; None: nothing is known.
    """
    reference = references["quality"] if references else {}
    return {name: float(one["usual"]) for name, one in reference.items()}


def is_low(value: float, usual: float | None) -> bool:
    """Return whether a score is below the usual value of its dataset, where that is known."""
    return round(value, _DIGITS) < round(HALF if usual is None else usual, _DIGITS)


def describe_low(value: float, usual: float | None, low_means: str) -> str:
    """Return the meaning of a low score, "" for one that is not low.

    Where most of a dataset is nearly perfect a score may be low and look high, so the usual value
    stands beside it.

    Args:
        value: The score.
        usual: What nine masks in ten of the dataset reach; None where that is not known.
        low_means: What a low value says.
    """
    if not is_low(value, usual):
        return ""
    if value < HALF or usual is None or not low_means:
        return low_means
    return f"{low_means}; nine masks in ten reach {score(usual)}"


def score_columns(queue: ShownQueue) -> list[ColumnTerm]:
    """Return the scores that people may see of a queue's masks, the quality first if it is one."""
    wanted = [
        name
        for name in queue.files.names
        if (name.endswith("_score") or name in _PLAIN) and name in queue.columns
    ]
    wanted.sort(key=lambda name: name != "quality_score")
    return [column_terms().get(name) or ColumnTerm(name, title_of(name)) for name in wanted]


@dataclass(frozen=True)
class Filter:
    """A filter of a queue; all given conditions must hold.

    Attributes:
        category: A category's name.
        reason: A reason's id.
        kind: A kind of error that a verifier named.
        score: A score's column, and the lowest and highest value.
    """

    category: str | None = None
    reason: str | None = None
    kind: str | None = None
    score: tuple[str, float, float] | None = None

    def __bool__(self) -> bool:
        parts = (self.category, self.reason, self.kind, self.score)
        return any(part is not None for part in parts)


@dataclass(frozen=True)
class _CodedColumn:
    """A text column as integer codes with a dictionary."""

    codes: Int32Array
    words: Sequence[str | None]
    masks: Counter[int] = field(default_factory=Counter)


class Filters:
    """The filters of a queue; empty where the queue is blind."""

    def __init__(self, queue: ShownQueue) -> None:
        self.queue = queue
        self._kept: OrderedDict[Filter, BoolArray] = OrderedDict()
        self._numbers: OrderedDict[str, AnyArray] = OrderedDict()
        self._lock = threading.Lock()

    @cached_property
    def _category(self) -> _CodedColumn:
        return _read_coded(self.queue, "category")

    @cached_property
    def _reasons(self) -> _CodedColumn:
        return _read_coded(self.queue, "reasons")

    @cached_property
    def _error_kinds(self) -> _CodedColumn:
        return _read_coded(self.queue, KIND_COLUMN)

    @cached_property
    def _kinds(self) -> dict[str, tuple[str, IntArray]]:
        """By id: a kind of reason, and the codes of the texts that hold it."""
        holding: dict[str, list[int]] = {}
        for code, text in enumerate(self._reasons.words):
            for kind in dict.fromkeys(kind_of(part) for part in (text or "").split(JOINT)):
                if kind:
                    holding.setdefault(kind, []).append(code)
        return {hash_reason(kind): (kind, np.array(codes)) for kind, codes in holding.items()}

    def list_filters(self) -> FilterLists:
        """Return the available filters as JSON values; reads the columns."""
        if self.queue.blind:
            return {"categories": [], "reasons": [], "kinds": [], "scores": []}
        with self._lock:
            categories: list[CategoryFilter] = [
                {"name": name, "masks": masks} for name, masks in _count_words(self._category)
            ]
            kinds: list[KindFilter] = [
                {"name": name, "masks": masks} for name, masks in _count_words(self._error_kinds)
            ]
            counts = self._reasons.masks
            reasons: list[ReasonFilter] = [
                {
                    "id": key,
                    "words": display_text(kind),
                    "masks": sum(counts[int(c)] for c in codes),
                }
                for key, (kind, codes) in self._kinds.items()
            ]
        reasons.sort(key=lambda reason: (-reason["masks"], reason["words"]))
        scores: list[ScoreFilter] = [
            {"column": term.column, "title": term.title, "words": term.low_means}
            for term in score_columns(self.queue)
        ]
        reasons = [reason for reason in reasons if reason["masks"]][:MAX_LISTED]
        return {"categories": categories, "reasons": reasons, "kinds": kinds, "scores": scores}

    def reason_words(self, reason: str) -> str:
        """Return a kind of reason in words, by its id.

        Raises:
            CallError: No mask has it.
        """
        if reason not in self._kinds:
            raise CallError("no mask has this reason", do="choose another filter")
        return display_text(self._kinds[reason][0])

    def names(self) -> list[str]:
        """Return the categories of all masks of the audit, for people who add or relabel one."""
        return list_categories(self.queue.files)

    def rows(self, wanted: Filter) -> BoolArray | None:
        """Return which rows of the queue match, shape (rows,); None for all.

        Raises:
            CallError: There is no such reason or score.
        """
        if not wanted or self.queue.blind:
            return None
        with self._lock:
            if wanted not in self._kept:
                self._kept[wanted] = self._find(wanted)
                while len(self._kept) > _CACHED_FILTERS:
                    self._kept.popitem(last=False)
            return self._kept[wanted]

    def _find(self, wanted: Filter) -> BoolArray:
        fits = np.ones(len(self.queue), np.bool_)
        if wanted.category is not None:
            codes = [k for k, word in enumerate(self._category.words) if word == wanted.category]
            fits &= np.isin(self._category.codes, codes)
        if wanted.reason is not None:
            if wanted.reason not in self._kinds:
                raise CallError("no mask has this reason", do="choose another filter")
            fits &= np.isin(self._reasons.codes, self._kinds[wanted.reason][1])
        if wanted.kind is not None:
            if wanted.kind not in self._error_kinds.words:
                raise CallError("no mask has this kind of error", do="choose another filter")
            code = self._error_kinds.words.index(wanted.kind)
            fits &= self._error_kinds.codes == code
        if wanted.score is not None:
            column, low, high = wanted.score
            values = self._score(column)
            fits &= (values >= low) & (values <= high)  # a missing value is neither
        return fits

    def _score(self, column: str) -> AnyArray:
        if column not in {term.column for term in score_columns(self.queue)}:
            raise CallError("there is no such score", do="choose another filter")
        if column not in self._numbers:
            self._numbers[column] = self.queue.files.numbers(column, self.queue.places)
            while len(self._numbers) > _CACHED_FILTERS:
                self._numbers.popitem(last=False)
        return self._numbers[column]


def _count_words(column: _CodedColumn) -> Iterator[tuple[str, int]]:
    """Yield the frequent words of a column, and how many masks have each."""
    for code, masks in column.masks.most_common(MAX_LISTED):
        if (word := column.words[code]) is not None:
            yield word, masks


def list_categories(files: MaskFiles) -> list[str]:
    """Return the categories of all masks of an audit."""
    if "category" not in files.names:
        return []
    found: set[str] = set()
    for _, table in files.parts(["category"]):
        found.update(word for word in pc.unique(table["category"]).to_pylist() if word)
    return sorted(found)


def _read_coded(queue: ShownQueue, column: str) -> _CodedColumn:
    """Read a text column of a queue's masks; of reasons, the numbers in them are blanked.

    A column that the audit lacks, or that is not shown, has no words.
    """
    codes = np.zeros(len(queue), np.int32)
    if column not in queue.columns:
        return _CodedColumn(codes, [])
    places = queue.places
    in_files = np.argsort(places, kind="stable")
    ordered = places[in_files]
    words: dict[str | None, int] = {}
    for start, table in queue.files.parts([column]):
        low, high = np.searchsorted(ordered, [start, start + len(table)])
        if low == high or column not in table.schema.names:
            continue
        texts = table[column].combine_chunks().take(pa.array(ordered[low:high] - start))
        own, numbers = _encode_texts(texts, blanked=column == "reasons")
        known = np.array([words.setdefault(word, len(words)) for word in own], np.int32)
        codes[in_files[low:high]] = known[numbers]
    counted = np.bincount(codes, minlength=len(words)) if words else np.zeros(0, np.int64)
    masks = Counter({code: int(n) for code, n in enumerate(counted) if n})
    return _CodedColumn(codes, list(words), masks)


def _encode_texts(texts: Any, *, blanked: bool) -> tuple[list[str | None], IntArray]:
    """Return a column's distinct texts, and the code of each row."""
    if not pa.types.is_dictionary(texts.type):
        texts = texts.dictionary_encode()
    words, numbers = texts.dictionary.cast(pa.large_string()), texts.indices
    if blanked:
        short = pc.replace_substring_regex(words, BLANKED, "…").dictionary_encode()
        words, again = short.dictionary, short.indices.to_numpy()
    else:
        again = np.arange(len(words))
    row = pc.fill_null(numbers, len(words)).to_numpy(zero_copy_only=False)
    return [*words.to_pylist(), None], np.append(again, len(words))[row]
