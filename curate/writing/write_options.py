"""Options of writing: dropped actions, mask encoding, owners of shared pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from curate.common.ranges import DUPLICATES
from curate.formats.edits import MASKS, OVERLAPS
from curate.people.queues.population import actions_sql
from curate.policy.grammar import check_choice


@dataclass(frozen=True)
class WriteOptions:
    """Options of writing a dataset.

    Attributes:
        drop: Masks of which actions go beside the rejected ones: "review".
        masks: How new pixels are stored: "same", "polygon" or "rle"; see ``Edits``.
        overlap: "new" or "old": whose a pixel is that two masks claim where a pixel has one id
            only; None: refuse.
        duplicates: "keep" or "drop": what to do with an added mask whose object has a mask already;
            None: refuse.
        category: Category of added masks that have none.
        attributes: Note in the dataset itself what people did, where the format can.

    Raises:
        CallError: There is no such option.
    """

    drop: Sequence[str] = ("reject",)
    masks: str = "same"
    overlap: str | None = None
    duplicates: str | None = None
    category: str | None = None
    attributes: bool = False

    def __post_init__(self) -> None:
        actions_sql(self.drop)
        for name, value, known in (
            ("masks", self.masks, MASKS),
            ("overlap", self.overlap, OVERLAPS),
            ("duplicates", self.duplicates, DUPLICATES),
        ):
            check_choice(value, f"--{name}", known)
