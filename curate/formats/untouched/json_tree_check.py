"""JSON documents of nested lists and objects in all that no edit names, value by value.

What may differ is named by paths: member names and positions in lists, from the outermost value
inwards. Only values on the way to such a place are taken apart; all others are compared as text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from curate.formats.untouched.json_list_check import Token, elements, members, tokens

JsonPath = tuple[str | int, ...]
"""Where a value stands: names of members (or their positions) and positions of elements."""


@dataclass
class TreeChanges:
    """Differences that are allowed in a document.

    Attributes:
        drop: Elements of lists that go.
        free: Values that may be any other, come, or go.
        more: How many elements come at the end of a list; a list that was not there may come.
    """

    drop: set[JsonPath] = field(default_factory=set)
    free: set[JsonPath] = field(default_factory=set)
    more: dict[JsonPath, int] = field(default_factory=dict)

    def ways(self) -> set[JsonPath]:
        """Return the paths of all values on the way to a difference, and of what differs."""
        found: set[JsonPath] = set()
        for path in (*self.drop, *self.free, *self.more):
            found |= {path[:n] for n in range(len(path) + 1)}
        return found


def check_json(changes: TreeChanges, source: Path, written: Path) -> str:
    """Compare two JSON files in all that no edit names; blanks between outer values do not count.

    Returns:
        What is wrong as a clause, "" where nothing is.
    """
    try:
        with source.open("rb") as old, written.open("rb") as new:
            return _TreeComparison(changes).tokens(tokens(old), tokens(new))
    except ValueError as error:
        return f"the JSON cannot be read again ({error})"


_BOM = b"\xef\xbb\xbf"


class _TreeComparison:
    def __init__(self, changes: TreeChanges) -> None:
        self.changes, self.ways = changes, changes.ways()

    def tokens(self, old: Iterator[Token], new: Iterator[Token]) -> str:
        """Compare two streams of outermost values and elements of outermost lists."""
        path: JsonPath = ()
        number = position = -1
        for token in old:
            if token.kind == "end":
                problem = self._end(path, token, new)
                if problem:
                    return problem
                continue
            if token.kind == "element":
                number += 1
                here: JsonPath = (*path, number)
            else:
                position += token.text != _BOM
                here = (self._step((), position, token.key),)
            if token.kind == "list":
                path, number = here if token.text else (), -1
            if here in self.changes.drop:
                continue
            found = next(new, None)
            if found is None or (found.kind, found.key) != (token.kind, token.key):
                return f"{_name(here)} is not as it was"
            problem = self._pair(here, token, found)
            if problem:
                return problem
        return "" if next(new, None) is None else "there is data after its end"

    def _pair(self, here: JsonPath, token: Token, found: Token) -> str:
        """Compare two pieces of one kind under one key."""
        if token.kind == "element":
            return self.values(here, token.text, found.text)
        if token.kind == "list" or token.text == _BOM:
            return "" if token == found else f"{_name(here)} is not as it was"
        texts = [members(b"{" + one.text + b"}")[0][1] for one in (token, found)]
        return self.values(here, *texts)

    def _end(self, path: JsonPath, token: Token, new: Iterator[Token]) -> str:
        """Check that an outermost list ends as it did, but for what was added."""
        count, found = 0, next(new, None)
        while found is not None and found.kind == "element":
            count, found = count + 1, next(new, None)
        same = found == token and count == self.changes.more.get(path, 0)
        return "" if same else f"{_name(path)} has {count} elements more than are meant to stay"

    def values(self, path: JsonPath, old: bytes, new: bytes) -> str:
        """Compare two values."""
        if path in self.changes.free:
            return ""
        if path not in self.ways:
            return "" if old == new else f"{_name(path)} is not as it was"
        before, after = elements(old), elements(new)
        if before is not None and after is not None:
            return self._lists(path, before, after)
        if old.lstrip()[:1] == b"{" == new.lstrip()[:1]:
            return self._objects(path, members(old), members(new))
        return "" if old == new else f"{_name(path)} is not as it was"

    def _lists(self, path: JsonPath, old: list[bytes], new: list[bytes]) -> str:
        kept = [(i, one) for i, one in enumerate(old) if (*path, i) not in self.changes.drop]
        if len(new) != len(kept) + self.changes.more.get(path, 0):
            return f"{_name(path)} has {len(new)} elements, which is not what was asked for"
        problems = (
            self.values((*path, i), one, now) for (i, one), now in zip(kept, new, strict=False)
        )
        return next(filter(None, problems), "")

    def _objects(
        self, path: JsonPath, old: list[tuple[str, bytes]], new: list[tuple[str, bytes]]
    ) -> str:
        known = {name: i for i, (name, _) in enumerate(old)}
        before = [
            # Of values under one name the last is read: those before it may not differ.
            (self._step(path, i, name) if known[name] == i else i, name, value)
            for i, (name, value) in enumerate(old)
        ]
        after = [one for one in new if one[0] in known or not self._may_come((*path, one[0]), one)]
        stays = {name for name, _ in new}
        before = [
            one for one in before if one[1] in stays or (*path, one[0]) not in self.changes.free
        ]
        if [name for _, name, _ in before] != [name for name, _ in after]:
            return f"{_name(path)} has other names than before"
        problems = (
            self.values((*path, step), value, now)
            for (step, _, value), (_, now) in zip(before, after, strict=True)
        )
        return next(filter(None, problems), "")

    def _step(self, path: JsonPath, position: int, name: str) -> str | int:
        """Return the step to a member: its position where they name that, else its name."""
        return position if (*path, position) in self.ways else name

    def _may_come(self, path: JsonPath, member: tuple[str, bytes]) -> bool:
        if path in self.changes.free:
            return True
        made = elements(member[1])
        return made is not None and len(made) == self.changes.more.get(path, -1)


def _name(path: JsonPath) -> str:
    """Return a path as it is written in messages."""
    return "/".join(str(step)[:80] for step in path) or "the list"
