"""What no decision touched must be there byte by byte: checked for each format, without curate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from drawn_decisions import Decided, Source, default_label, listed


@dataclass
class Touched:
    """What changes, by source keys.

    Attributes:
        dropped: Masks that go.
        redrawn: New pixels of masks.
        relabelled: New categories of masks.
        added: Image, pixels and category of new masks, in the order in which they come.
    """

    dropped: set[str] = field(default_factory=set)
    redrawn: dict[str, np.ndarray] = field(default_factory=dict)
    relabelled: dict[str, str] = field(default_factory=dict)
    added: list[tuple[str, np.ndarray, str | None]] = field(default_factory=list)

    @classmethod
    def of(cls, source: Source, decided: Decided) -> Touched:
        keys = source.table.masks["source_key"]
        images = source.table.images["source_key"]
        before, label = listed(source.table), default_label(source.kind)
        return cls(
            {keys[number] for number in decided.of("reject")},
            {keys[number]: mask for number, mask in decided.pixels.items()},
            {
                keys[number]: own
                for number, own in decided.labels.items()
                if own != before[number].label
            },
            [
                (images[image], mask, own or label)
                for image, mask, own in sorted(decided.added, key=lambda one: one[0])
            ],
        )

    def below(self, prefix: str, image: str) -> Touched:
        """Return what concerns one file: keys without the prefix, and what its image gets."""
        n = len(prefix)
        return Touched(
            {key[n:] for key in self.dropped if key.startswith(prefix)},
            {key[n:]: mask for key, mask in self.redrawn.items() if key.startswith(prefix)},
            {key[n:]: label for key, label in self.relabelled.items() if key.startswith(prefix)},
            [one for one in self.added if one[0] == image],
        )

    @property
    def files(self) -> set[str]:
        """The files of a folder in which something happens, from keys with a # behind the name."""
        keys = {*self.dropped, *self.redrawn, *self.relabelled, *(one[0] for one in self.added)}
        return {key.partition("#")[0] for key in keys}

    def __bool__(self) -> bool:
        return bool(self.dropped or self.redrawn or self.relabelled or self.added)


Check = Callable[[Path, Path, Touched], None]


def check_rest(source: Source, written: Path, decided: Decided) -> None:
    """Fail where something differs that no decision is about."""
    import rest_of_documents
    import rest_of_files
    import rest_of_json
    import rest_of_records
    import rest_of_tables

    rooms = (rest_of_documents, rest_of_files, rest_of_json, rest_of_records, rest_of_tables)
    checks: dict[str, Any] = {name: one for room in rooms for name, one in vars(room).items()}
    name = source.name.replace("-", "_")
    for variant in ("_bare", "_polygons", "_x"):
        name = name.removesuffix(variant)
    check: Check = checks[f"check_{name}"]
    check(source.path, written, Touched.of(source, decided))
