"""Parts of a corrected dataset, the set of exported masks, and the tally of a comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, IntArray
from curate.dataset.table import MaskTable
from curate.errors import SourceError
from curate.rle import Runs
from curate.store.audit import Audit
from curate.store.rows_by_id import decode_masks


@dataclass(frozen=True)
class CorrectedImages:
    """Some whole images of a corrected dataset.

    Attributes:
        table: Its masks and images; the index of masks is the file's ids.
        fresh: Which masks have no id in the file.
        places: Where masks stand in the file, by id, where that says more than the id.
        pieces: Images of which only pieces were shown or understood, so they are not reviewed
            as a whole.
    """

    table: MaskTable
    fresh: BoolArray
    places: Mapping[int, str] = field(default_factory=dict)
    pieces: frozenset[int] = frozenset()


@dataclass(frozen=True)
class ExportedMasks:
    """The masks that were exported, in which people could have changed anything.

    Attributes:
        ids: Their ids, sorted; None for all of the audit.
        sure: Whether that is known, rather than taken for granted.
        lost: Masks that a tool lost, so that nothing follows from their absence.
        draws: The draw that each was shown for, by ``mask_id``, where that is known.
    """

    ids: IntArray | None = None
    sure: bool = False
    lost: IntArray | None = None
    draws: pd.Series[Any] | None = None

    def among(self, ids: pd.Series[Any]) -> BoolArray:
        """Return which of some masks were exported, shape (n,)."""
        numbers = ids.to_numpy(np.int64)
        given = np.isin(numbers, numbers if self.ids is None else self.ids)
        if self.lost is not None:
            given &= ~np.isin(numbers, self.lost)
        return np.asarray(given, np.bool_)

    @property
    def scope(self) -> str:
        """A name for the exported subset; "" for the whole dataset."""
        if self.draws is not None:
            return name_draws(self.draws.dropna().unique().tolist())
        if self.ids is None:
            return ""
        return f"masks {blake2b(self.ids.tobytes(), digest_size=4).hexdigest()}"

    def add_draws(self, decisions: pd.DataFrame) -> pd.DataFrame:
        """Return decisions with the draw that each mask was shown for, where it is known.

        Who corrects a whole dataset was shown its masks for no draw, though some stand in one.
        """
        if self.draws is None:
            whole = self.ids is None and len(decisions)
            return decisions.assign(queue_kind="none") if whole else decisions
        draws = self.draws.reindex(decisions["mask_id"]).astype("Int64")
        return decisions.assign(draw_id=draws.array)


def name_draws(draws: Iterable[int]) -> str:
    """Return a name for some draws."""
    return ", ".join(f"draw {number}" for number in sorted(set(draws)))


@dataclass
class ComparisonTally:
    """Decisions and counts of the parts compared so far.

    Attributes:
        decisions: On exported masks.
        missing: Masks that they added.
        reviewed_images: Images that they fully reviewed.
        unmatched: New masks with ids that are not those of their images.
        counts: How many there were of each action, and of what is checked or told at the end.
    """

    decisions: list[pd.DataFrame] = field(default_factory=list)
    missing: list[pd.DataFrame] = field(default_factory=list)
    reviewed_images: list[IntArray] = field(default_factory=list)
    unmatched: list[pd.DataFrame] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class ComparedPart:
    """A part, and the audit that it is compared with.

    Attributes:
        audit: The audit.
        part: The part.
        name: Its file's name, for messages.
        shown: The exported masks.
        same_iou: A mask with at least this IoU with its correction counts as not changed.
    """

    audit: Audit
    part: CorrectedImages
    name: str
    shown: ExportedMasks
    same_iou: float

    def where(self, mask_id: Any) -> str:
        """Name an annotation for a message."""
        return f"{self.name}, {self.place(mask_id)}"

    def place(self, mask_id: Any) -> str:
        """Return the place of an annotation in the file, for messages."""
        return self.part.places.get(int(mask_id), f"annotation {mask_id}")


def wrong_image_error(where: str) -> SourceError:
    """Return the error for a mask on another image than the audit's mask of its id."""
    do = "ids must be the audit's; if a tool has numbered them anew, import its own export"
    return SourceError("it lies on another image than in the audit", where, do)


def decode_rows(frame: pd.DataFrame) -> tuple[Runs, BoolArray]:
    """Return masks as runs, and which of them are readable, shape (n,)."""
    heights, widths = (frame[side].to_numpy(np.int64) for side in ("height", "width"))
    runs, problems = decode_masks(frame["segmentation"], heights, widths)
    return runs, np.array([not problem for problem in problems], np.bool_)
