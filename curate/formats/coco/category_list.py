"""Category list of COCO: names by number for readers, numbers by name for writers."""

from __future__ import annotations

from typing import Any

from curate.errors import CallError
from curate.formats.json.json_columns import id_key, text, whole_number

_BACKGROUND = {"background", "__background__", "_background_"}


def category_names(listed: list[Any] | None) -> tuple[dict[int, str] | None, dict[int, str]]:
    """Return names by id (of a text: by its stand-in), and which categories no object can have.

    Category 0 is an ordinary category where the file declares it as one. Where it is called
    background, or is the parent of the others (as one exporter writes it), no object can have it.
    """
    if listed is None:
        return None, {}
    known = [one for one in listed if type(one) is dict]
    names: dict[int, str] = {}
    placeholders: dict[int, str] = {}
    parents = {one["supercategory"] for one in known if type(one.get("supercategory")) is str}
    for one in known:
        number, name = _key(one.get("id")), text(one.get("name"))
        if number is None:
            continue
        names[number] = name
        is_parent = one.get("supercategory") == "none" and one.get("name") in parents
        if number == 0 and (name.lower() in _BACKGROUND or is_parent):
            placeholders[0] = f"({name}) stands for no object"
    return names, placeholders


def _key(given: Any) -> int | None:
    return id_key(given) if type(given) is str else whole_number(given)


class Categories:
    """Numbers of categories by name, for a file that is written.

    Args:
        listed: The categories as they stand in the file; None where it has none.
        where: Name of the file, for messages.
        closed: Why no category can be added; "" where one can.

    Attributes:
        declared: Whether the file has a list of categories.
        added: Numbers of the names that were asked for and are not declared.
    """

    def __init__(self, listed: list[Any] | None, where: str, closed: str = "") -> None:
        self.added: dict[str, int] = {}
        self._where, self._closed, self.declared = where, closed, listed is not None
        self._names, placeholders = category_names(listed)
        names = self._names or {}
        self._real = [number for number in names if number not in placeholders]
        given = [one.get("id") for one in listed or () if type(one) is dict]
        self._spelled = {_key(one): one for one in given if type(one) is str}
        self._numbers: dict[str, int] = {}
        for number in (*self._real, *placeholders):
            self._numbers.setdefault(names[number], number)

    def number(self, name: str, present: Any = None) -> int | str:
        """Return the id that a category's name stands for, the first of several, as it is written.

        A name that is not declared gets a number of its own. Where the file declares none, names
        are numbers.

        Args:
            name: The name.
            present: The category id that a mask has now; kept where it has that name already.

        Raises:
            CallError: There is no such category, and none can be added.
        """
        now = _key(present)
        if not self.declared:
            return self._plain(name)
        if now in self._real and self._names and self._names[now] == name:
            return present if type(present) is str else now
        if name in self._numbers:
            number = self._numbers[name]
            return self._spelled.get(number, number)
        if self._closed:
            what = f"the category {name!r} is not declared, and {self._closed}"
            raise CallError(what, self._where, "write it as COCO, with --to coco")
        if name not in self.added:
            top = max((0, *(self._names or ()), *self.added.values()))
            self.added[name] = top + 1
        return self.added[name]

    def only(self) -> int | str | None:
        """Return the one category that masks can have; None where there are none or several."""
        return self._spelled.get(self._real[0], self._real[0]) if len(self._real) == 1 else None

    def _plain(self, name: str) -> int:
        digits = name.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
            what = f"the category {name!r} is no number, and the file has no list of categories"
            raise CallError(what, self._where, "give the number of the category")
        return int(name)
