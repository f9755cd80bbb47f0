"""Queues in the order of display: a recorded draw, or the current ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.common.arrays import BoolArray, IntArray
from curate.errors import AuditError, CallError
from curate.people.queues.draw_queue import visible_columns
from curate.people.reviews import Reviews
from curate.people.reviews.recorded_draws import DrawSettings, asks_for_missing_masks
from curate.people.webapp.mask_files import MaskFiles
from curate.store.audit import StoredAudit

ACTION = "review"
"""The ranking holds masks with this action."""

BLIND = "estimate"
"""Kind of a draw that is shown with nothing that judges a mask, and so with no other masks."""


@dataclass(frozen=True)
class ShownQueue:
    """Masks in the order in which people see them.

    A mask that two people see stands in two rows, of slots 0 and 1. Which slot a person has is
    never told: slots are as good as each other, and the second of a mask is open once the first is
    taken, to somebody else.

    Attributes:
        kind: "errors", "learn" or "estimate".
        draw_id: Number of the recorded draw; None for the ranking.
        settings: As recorded of the draw.
        files: Where the masks stand.
        places: Place in the files of each row.
        slots: 0, or 1 for a second person's row.
        checks: Whether masks with a known answer are mixed in.
        whole: Which rows are of an image that was drawn as a whole for the person who gets them;
            None for no row.
        undrawn: How many rows, the first ones, are not of the draw: people have not settled their
            masks, and what is decided on them is no decision for the draw.
    """

    kind: str
    draw_id: int | None
    settings: DrawSettings
    files: MaskFiles
    places: IntArray
    slots: npt.NDArray[np.int8]
    checks: bool = False
    whole: BoolArray | None = None
    undrawn: int = 0
    columns: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        shown = visible_columns(self.kind, dict.fromkeys(self.files.names, ""), checks=self.checks)
        object.__setattr__(self, "columns", frozenset(shown))

    def __len__(self) -> int:
        return len(self.places)

    @property
    def name(self) -> str:
        """Name of this queue among those of the audit."""
        return "ranking" if self.draw_id is None else f"draw {self.draw_id}"

    @property
    def blind(self) -> bool:
        """Whether the queue shows nothing that judges a mask."""
        return self.kind == BLIND

    @property
    def whole_images(self) -> bool:
        """Whether images were drawn, with all their masks."""
        return asks_for_missing_masks(self.settings)

    @cached_property
    def drawn_images(self) -> tuple[int, ...]:
        """Images drawn as a whole, with and without masks."""
        drawn = self.settings["images"]["ids"] if "images" in self.settings else []
        return tuple(int(image) for image in drawn)

    @cached_property
    def bare_images(self) -> tuple[int, ...]:
        """Images drawn as a whole without a mask of the queue: people only search them."""
        held = set(self.image_ids.tolist())
        return tuple(image for image in self.drawn_images if image not in held)

    def asks_for_missing(self, row: int) -> bool:
        """Whether the person who gets a row reviews the whole image."""
        return self.whole is not None and bool(self.whole[row])

    def takes(self, mask_id: int) -> bool:
        """Return whether people may decide on a mask: one of the queue, or another on an image that
        they search, such as a prefilled one."""
        if self.rows_of(mask_id):
            return True
        if not self.drawn_images or not len(self.files.ids):
            return False
        place = int(self.files.find([mask_id])[0])
        return place >= 0 and int(self.files.image_of[place]) in self.drawn_images

    def shown_for(self, mask_id: int) -> tuple[str, int | None]:
        """Return the kind and the number of the draw that a decision on a mask is made for."""
        if mask_id in self.undrawn_ids or not self.rows_of(mask_id):
            return "errors", None
        return self.kind, self.draw_id

    @cached_property
    def undrawn_ids(self) -> frozenset[int]:
        """The masks that are not of the draw."""
        return frozenset(self.mask_ids[: self.undrawn].tolist())

    @cached_property
    def mask_ids(self) -> IntArray:
        """The mask of each row."""
        return self.files.ids[self.places]

    @cached_property
    def twice(self) -> bool:
        """Whether some masks are for two people."""
        return bool(self.slots.any())

    @cached_property
    def image_ids(self) -> IntArray:
        """The image of each row; read when first needed."""
        return self.files.image_of[self.places]

    @cached_property
    def _by_id(self) -> IntArray:
        return np.lexsort((self.slots, self.mask_ids))

    def rows_of(self, mask_id: int) -> list[int]:
        """Return the rows of a mask, slot 0 first; none where it is not in the queue."""
        ordered = self._by_id
        low = int(np.searchsorted(self.mask_ids, mask_id, "left", sorter=ordered))
        high = int(np.searchsorted(self.mask_ids, mask_id, "right", sorter=ordered))
        return [int(row) for row in ordered[low:high]]


def make_ranked_queue(
    audit: StoredAudit, left_out: Sequence[int] | IntArray = (), first: Sequence[int] = ()
) -> ShownQueue:
    """Return the masks to review in the order of the plan, as ``curate queue`` gives them.

    Args:
        audit: The audit.
        left_out: Masks of random samples, which are shown for those samples only.
        first: Masks that come before all others, whatever the policy makes of them: people have
            not settled them.

    Raises:
        AuditError: There is no plan, or no mask to review.
    """
    places: list[IntArray] = []
    ranks: list[IntArray] = []

    def visit(start: int, table: pa.Table) -> None:
        if not {"action", "rank"} <= set(table.schema.names):
            what = "no mask has an action yet"
            raise AuditError(what, str(audit.path), "run `curate decide` first")
        chosen = pc.equal(table["action"].cast(pa.large_string()), ACTION)
        rows = np.flatnonzero(np.asarray(pc.fill_null(chosen, False)))
        places.append(rows + start)
        ranks.append(table["rank"].to_numpy().astype(np.int64)[rows])

    files = MaskFiles(audit, ("action", "rank"), visit)
    at, rank = np.concatenate(places), np.concatenate(ranks)
    before = files.find(np.asarray(first, np.int64))
    before = before[before >= 0]
    out = np.concatenate([np.asarray(left_out, np.int64), files.ids[before]])
    if len(out):
        keep = ~np.isin(files.ids[at], out)
        at, rank = at[keep], rank[keep]
    if not len(at) + len(before):
        raise AuditError("no mask is left to review", str(audit.path), "nothing needs to be done")
    # Every rank stands there once, from 1: to put masks at their ranks is faster than to sort them.
    ordered = np.full(int(rank.max(initial=0)) + 1, -1, np.int64)
    ordered[rank] = at
    ordered = np.concatenate([before, ordered[ordered >= 0]])
    return ShownQueue("errors", None, {}, files, ordered, np.zeros(len(ordered), np.int8))


def make_recorded_queue(
    reviews: Reviews,
    draw_id: int,
    kind: str | None = None,
    files: MaskFiles | None = None,
    first: Sequence[int] = (),
) -> ShownQueue:
    """Return a recorded draw as a queue.

    Args:
        reviews: Where the draw is recorded.
        draw_id: Its number.
        kind: What it must be; None for any.
        files: The masks, where they are at hand.
        first: Masks that come before those of the draw: people have not settled them. A random
            sample is shown without them.

    Raises:
        CallError: There is no such draw, or it is of another kind.
    """
    draws = reviews.draws().set_index("draw_id")
    if draw_id not in draws.index:
        known = ", ".join(map(str, draws.index)) or "none"
        raise CallError(f"there is no draw {draw_id}", "--draw", f"recorded are: {known}")
    draw = draws.loc[draw_id]
    if kind is not None and draw["kind"] != kind:
        what = f"draw {draw_id} is of kind {draw['kind']}, not {kind}"
        raise CallError(what, "--draw", "leave --kind out")
    rows = reviews.read_draw(draw_id)
    files = files or MaskFiles(reviews.audit)
    places = files.find(rows["mask_id"].to_numpy(np.int64))
    here = places >= 0  # an audit that was run anew may have lost some
    slots = rows["slot"].to_numpy(np.int8)
    answered = rows["honeypot"].notna().to_numpy(np.bool_)
    how = cast(DrawSettings, draw["settings"])
    kind_of_draw, checks = str(draw["kind"]), bool(answered.any())
    before = files.find(np.asarray(first, np.int64))
    before = before[(before >= 0) & ~np.isin(before, places)]
    if kind_of_draw == BLIND:
        before = before[:0]
    whole = (slots[here] == 0) & ~answered[here] if asks_for_missing_masks(how) else None
    return ShownQueue(
        kind_of_draw,
        draw_id,
        how,
        files,
        np.concatenate([before, places[here]]),
        np.concatenate([np.zeros(len(before), np.int8), slots[here]]),
        checks,
        None if whole is None else np.concatenate([np.zeros(len(before), np.bool_), whole]),
        undrawn=len(before),
    )
