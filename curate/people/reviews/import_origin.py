"""Origin of imported decisions, as stored with each: reader, file, exported subset."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEXT = re.compile(r"(\S+) (.*) ([0-9a-f]{16})(?: of (.+))?", re.DOTALL)


@dataclass(frozen=True)
class ImportOrigin:
    """A file that decisions were imported from.

    Attributes:
        reader: What it was read as.
        name: The file's name.
        content: The first 16 digits of its fingerprint.
        scope: The exported subset: "draw 3", "draw 3, draw 4", a name for some masks, or "" for
            the whole dataset.
    """

    reader: str
    name: str
    content: str
    scope: str = ""

    def __str__(self) -> str:
        of = f" of {self.scope}" if self.scope else ""
        return f"{self.reader} {self.name} {self.content}{of}"

    @classmethod
    def parse(cls, text: str) -> ImportOrigin | None:
        """Return the origin that a text was made of; None where it is none of a file."""
        found = _TEXT.fullmatch(text)
        return None if found is None else cls(found[1], found[2], found[3], found[4] or "")

    def is_of_the_same(self, other: ImportOrigin | None) -> bool:
        """Return whether both were imported by one reader, and of overlapping exported subsets."""
        if other is None or self.reader != other.reader:
            return False
        mine, theirs = set(self.scope.split(", ")), set(other.scope.split(", "))
        return bool(mine & theirs)
