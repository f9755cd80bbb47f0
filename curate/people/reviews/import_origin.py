"""Where imported decisions come from, as kept beside each: reader, file, scope."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEXT = re.compile(r"(\S+) (.*) ([0-9a-f]{16})(?: of (.+))?", re.DOTALL)


@dataclass(frozen=True)
class Origin:
    """A file that decisions were imported from.

    Attributes:
        reader: What it was read as.
        name: The file's name.
        content: The first 16 digits of its fingerprint.
        scope: What people were given: "draw 3", "draw 3, draw 4", a name for some masks, or "" for
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
    def parse(cls, text: str) -> Origin | None:
        """Return the origin that a text was made of; None where it is none of a file."""
        found = _TEXT.fullmatch(text)
        return None if found is None else cls(found[1], found[2], found[3], found[4] or "")

    def is_of_the_same(self, other: Origin | None) -> bool:
        """Return whether people were given the same, or some of it, by the same kind of file."""
        if other is None or self.reader != other.reader:
            return False
        mine, theirs = set(self.scope.split(", ")), set(other.scope.split(", "))
        return bool(mine & theirs)
