"""New classes in a YOLO dataset's YAML: only ``names`` grows, and ``nc`` with it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from curate.formats.yolo.class_names import yaml_names

_BOM = "\ufeff"
_NAMES = re.compile(r"^names[ \t]*:[ \t]*(.*)$", re.MULTILINE)
_COUNT = re.compile(r"^(nc[ \t]*:[ \t]*)([^\r\n]*)", re.MULTILINE)
_ENTRY = re.compile(r"([ \t]*)(-[ \t]+|['\"]?\d+['\"]?[ \t]*:[ \t]+)\S[^\r\n]*")


def with_yaml_names(data: bytes, names: Mapping[int, str]) -> bytes | None:
    """Return a YAML file with more classes behind its last, all else as it was.

    Args:
        data: What it holds; it declares a class at least.
        names: The new names by number.

    Returns:
        The new content; None where that cannot be done safely: a name that does not fit on a line,
        numbers that a list does not give, a comment within brackets, ``nc`` that is no number.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    mark, text = (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)
    before, top = yaml_names(text), max(names)
    place = _place(text)
    if place is None or any(len(name.splitlines()) != 1 for name in names.values()):
        return None
    at, head, is_list, end = place
    made = "".join(
        head + ("" if is_list else f"{number}: ") + _quote_scalar(name) + end
        for number, name in names.items()
    )
    grown = _raise_count(text[:at] + made + text[at:], top + 1)
    if grown is None or yaml_names(grown) != before | dict(names):
        return None
    return (mark + grown).encode("utf-8")


def _quote_scalar(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _place(text: str) -> tuple[int, str, bool, str] | None:
    """Return where names are added, what stands before each, whether without number, and its end.

    None where that is not known.
    """
    found = _NAMES.search(text)
    if found is None:
        return None
    if found[1][:1] in ("[", "{"):
        end = _last_in_brackets(text, found.start(1))
        return None if end is None else (end, ", ", found[1][0] == "[", "")
    return _after_block(text, found.end())


def _last_in_brackets(text: str, start: int) -> int | None:
    """Return where the last item in brackets ends; None where there is a comment or no end."""
    quote, close = "", {"[": "]", "{": "}"}[text[start]]
    for at in range(start + 1, len(text)):
        character = text[at]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and text[at - 1] in " \t\r\n,[{:":
            quote = character
        elif character in "#[{":
            return None
        elif character == close:
            inner = text[:at].rstrip()
            return len(inner.removesuffix(",").rstrip())
    return None


def _after_block(text: str, start: int) -> tuple[int, str, bool, str] | None:
    """Return the same of names on lines of their own."""
    line_end = re.search(r"\r\n|\n", text)
    if line_end is None:
        return None
    last = None
    at = start + len(re.match(r"[^\n]*\n?", text[start:])[0])  # type: ignore[index]
    while at < len(text):
        line = re.compile(r"[^\n]*\n?").match(text, at)
        if line is None:
            break
        bare = line[0].strip()
        entry = _ENTRY.match(line[0])
        if entry and (entry[1] or entry[2].startswith("-")):
            last = line, entry
        elif bare and not bare.startswith("#"):
            break
        at = line.end()
    if last is None:
        return None
    line, entry = last
    is_list = entry[2].startswith("-")
    head = entry[1] + ("- " if is_list else "")
    if line[0].endswith("\n"):
        return line.end(), head, is_list, line_end[0]
    return line.end(), line_end[0] + head, is_list, ""


def _raise_count(text: str, count: int) -> str | None:
    """Return the text with ``nc`` at least so much; None where that is no number."""
    found = _COUNT.search(text)
    if found is None:
        return text
    number = re.match(r"(\d{1,9})(?=[ \t]*(#|$))", found[2])
    if number is None:
        return None
    start = found.start(2)
    return text[:start] + str(max(count, int(number[1]))) + text[start + number.end() :]
