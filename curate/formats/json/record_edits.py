"""Edits of masks that stand in a list inside of an image's record, grouped by that record."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from curate.errors import CallError
from curate.formats.edits import Addition, Change, Edits

NUMBER = "(0|[1-9][0-9]{0,17})"
"""A position in a source key, as a regular expression."""


@dataclass
class RecordEdits:
    """Edits of one image's record.

    Attributes:
        drop: Source keys of masks that go, by their position in the record's list.
        change: Source keys and changes of masks that change, by their position.
        add: What is added.
    """

    drop: dict[int, str] = field(default_factory=dict)
    change: dict[int, tuple[str, Change]] = field(default_factory=dict)
    add: list[Addition] = field(default_factory=list)


def group_by_record(
    source: Path,
    edits: Edits,
    mask_key: re.Pattern[str],
    image_key: re.Pattern[str],
    files: Container[str],
) -> dict[str, dict[int, RecordEdits]]:
    """Group edits by the record that they change.

    Args:
        source: The dataset, for messages.
        edits: All edits.
        mask_key: A mask's source key: the file, the record's position and the mask's.
        image_key: An image's source key: the file and the record's position.
        files: Names of the files that there are.

    Returns:
        By file and position.

    Raises:
        CallError: A key is none of a mask or an image, or a mask is to go and to change.
    """
    found: dict[str, dict[int, RecordEdits]] = {}

    def find(pattern: re.Pattern[str], key: str, what: str) -> tuple[RecordEdits, re.Match[str]]:
        match = pattern.fullmatch(key)
        if match is None or match[1] not in files:
            raise CallError(f"{key} names no {what} of it", str(source))
        return found.setdefault(match[1], {}).setdefault(int(match[2]), RecordEdits()), match

    for key in edits.drop:
        mine, match = find(mask_key, key, "mask")
        mine.drop[int(match[3])] = key
    for key, change in edits.change.items():
        mine, match = find(mask_key, key, "mask")
        if key in edits.drop:
            raise CallError("a mask cannot be dropped and changed at once", key)
        mine.change[int(match[3])] = key, change
    for one in edits.add:
        mine, _ = find(image_key, one.image_key, "image")
        mine.add.append(one)
    return found
