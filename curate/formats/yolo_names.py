"""Class names of a YOLO dataset: ``names`` in its YAML file, or ``classes.txt``.

Only what YOLO writes for ``names`` is understood, not all of YAML: a list or a mapping, in block or
flow style, with plain or quoted names.
"""

from __future__ import annotations

import re
from pathlib import Path

_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_LISTS = ("classes.txt", "obj.names", "labels/classes.txt")
_LARGEST = 10_000_000

_ITEM = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,\[\]{}]*?)\s*(,|$)""")
_ENTRY = re.compile(r"""(?:-\s+|['"]?(\d+)['"]?\s*:\s+)(.*)$""")
_PAIR = re.compile(r"""\s*['"]?(\d+)['"]?\s*:\s*""")


def class_names(source: Path) -> dict[int, str]:
    """Return the names of a dataset's classes by number; empty where none are declared.

    Args:
        source: The dataset's folder, or its folder of labels. Files that cannot be read or
            understood count as absent: names are a convenience, and the numbers remain.
    """
    folders = [source, source.parent] if source.name == "labels" else [source]
    for folder in folders:
        others = sorted(folder.glob("*.y*ml")) if folder == source else []
        for path in [*(folder / name for name in _FILES), *others]:
            names = yaml_names(_text(path))
            if names:
                return names
        for name in _LISTS:
            lines = _text(folder / name).strip().splitlines()
            if lines:
                return {i: line.strip() for i, line in enumerate(lines)}
    return {}


def yaml_names(text: str) -> dict[int, str]:
    """Return what stands under the top-level key ``names`` of YAML text.

    >>> yaml_names("nc: 2\\nnames: ['a', b]\\n")
    {0: 'a', 1: 'b'}
    >>> yaml_names("names:\\n  0: cat  # an animal\\n  5: 'it''s'\\n")
    {0: 'cat', 5: "it's"}
    """
    found = re.search(r"^names[ \t]*:[ \t]*(.*)$", text, re.MULTILINE)
    if not found:
        return {}
    first, rest = _uncommented(found[1]).strip(), text[found.end() :]
    if first[:1] in ("[", "{"):
        return _flow(first + rest)
    return {} if first else _block(rest)


def _flow(text: str) -> dict[int, str]:
    end = "]" if text[0] == "[" else "}"
    names: dict[int, str] = {}
    at = 1
    text = "\n".join(_uncommented(line) for line in text.splitlines())
    while at < len(text) and text[at:].lstrip()[:1] not in (end, ""):
        number = len(names)
        if end == "}":
            pair = _PAIR.match(text, at)
            if not pair:
                return {}
            number, at = int(pair[1][:9]), pair.end()
        item = re.compile(_ITEM.pattern.replace("|$)", rf"|(?=\{end}))")).match(text, at)
        if not item:
            return {}
        names[number] = _unquoted(item[1])
        at = item.end()
    return names


def _block(text: str) -> dict[int, str]:
    names: dict[int, str] = {}
    for line in text.splitlines():
        bare = _uncommented(line)
        entry = _ENTRY.match(bare.strip())
        if not bare.strip():
            continue
        if not entry or (entry[1] and not line[:1].isspace()):
            break
        names[int(entry[1][:9]) if entry[1] else len(names)] = _unquoted(entry[2].strip())
    return names


def _uncommented(line: str) -> str:
    """Return a line without a comment: a # at its start or after a blank, outside quotes."""
    quote = ""
    for i, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and (i == 0 or line[i - 1] in " \t,[{:-"):
            quote = character
        elif character == "#" and (i == 0 or line[i - 1] in " \t"):
            return line[:i]
    return line


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) > 1 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), text[1:-1])
    return text


def _text(path: Path) -> str:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return ""
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return ""
