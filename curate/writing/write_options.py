"""Options of writing: dropped actions, mask encoding, owners of shared pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from curate.common.ranges import DUPLICATES
from curate.formats.edits import MASKS, OVERLAPS
from curate.policy.grammar import check_actions, check_choice


@dataclass(frozen=True)
class WriteOptions:
    """Options of writing a dataset; each is an argument of :func:`curate.write`.

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
        check_actions(self.drop, "--drop")
        for name, value, known in (
            ("masks", self.masks, MASKS),
            ("overlap", self.overlap, OVERLAPS),
            ("duplicates", self.duplicates, DUPLICATES),
        ):
            check_choice(value, f"--{name}", known)
