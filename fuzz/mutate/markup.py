"""Changes of XML: attributes, elements, and what stands around them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from random import Random

from fuzz.mutate.values import NUMBERS, TEXTS

_LAUGHS = '<!DOCTYPE a [<!ENTITY b "0123456789"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
_LOOKS = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>'
_LISTS = (
    *("0", "1,2", "1, 2, 3", "-1, 5", "9999999999, 1", "1,,2", "1;2", "0,0;0,9;9,9"),
    *("0,0;9,9", "nan,nan;1,1;2,2", "inf,0;0,1;1,1", "1e9,1;2,2;3,3", "0,0;5,0;5"),
)


def mutate(data: bytes, random: Random) -> bytes:
    """Return XML with one to three changes; bytes that are none are given back."""
    try:
        root = ET.fromstring(data)
    except ET.ParseError:
        return data
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        _change(root, random)
    try:
        made = ET.tostring(root, encoding="unicode")
    except (ValueError, RecursionError, TypeError):
        return data
    return _around(made, random)


def _around(text: str, random: Random) -> bytes:
    """Return XML text as bytes, now and then with an odd declaration or encoding."""
    way = random.random()
    if way < 0.03:
        odd = random.choice((_LAUGHS, _LOOKS))
        return f'<?xml version="1.0"?>{odd}{text.replace("<image ", "&c;<image ", 1)}'.encode()
    if way < 0.05:
        return b"\xff\xfe" + text.encode("utf-16-le", "replace")
    if way < 0.08:
        name = random.choice(("latin-1", "utf-7", "none", "utf-16", "cp037"))
        return f'<?xml version="1.0" encoding="{name}"?>{text}'.encode("utf-8", "replace")
    return ('<?xml version="1.0" encoding="utf-8"?>\n' + text).encode("utf-8", "replace")


def _change(root: ET.Element, random: Random) -> None:
    elements = list(root.iter())
    one = random.choice([e for e in elements if e.attrib] or elements)
    if random.random() < 0.25:
        one = random.choice(elements)
    parents = {child: parent for parent in elements for child in parent}
    way = random.random()
    if way < 0.6 and one.attrib:
        _change_attribute(one, random)
    elif way < 0.68 and one in parents:
        parents[one].remove(one)
    elif way < 0.76 and one in parents:
        for _ in range(random.choice((1, 1, 3, 50))):
            parents[one].insert(random.randrange(len(parents[one]) + 1), one)
    elif way < 0.8:
        one.tag = random.choice([e.tag for e in elements] + ["x", "mask", "polygon", "image"])
    elif way < 0.88:
        one.text = _value(one.text or "", random)
    elif way < 0.94 and len(one):
        del one[random.randrange(len(one))]
    else:
        _nest(one, random)


def _change_attribute(one: ET.Element, random: Random) -> None:
    name = random.choice(list(one.attrib))
    way = random.random()
    if way < 0.15:
        del one.attrib[name]
    elif way < 0.2:
        one.set(random.choice(("id", "name", "rle", "points", "width", "x")), one.attrib.pop(name))
    else:
        one.set(name, _value(one.attrib[name], random))


def _value(value: str, random: Random) -> str:
    way = random.random()
    if way < 0.25:
        return _clean(str(random.choice(NUMBERS[:19] + NUMBERS[22:])))
    if way < 0.4:
        return _clean(random.choice(TEXTS))
    if way < 0.55:
        return random.choice(_LISTS)
    for mark in (";", ","):
        if mark in value:
            parts = value.split(mark)
            at = random.randrange(len(parts))
            parts[at : at + 1] = random.choice(
                ([], [parts[at]] * 2, [_value(parts[at], random)], [""], ["1"], ["-1"], ["0"])
            )
            return mark.join(parts)
    try:
        number = int(value)
    except ValueError:
        return value[: random.randrange(len(value) + 1)] + random.choice(("", "é", " ", "0"))
    return str(random.choice((number + 1, number - 1, -number, number * 10)))


def _clean(text: str) -> str:
    """Leave out what no XML can hold."""
    return "".join(c for c in text if c in "\t\n" or " " <= c < "\ud800" or c >= "\ue000")


def _nest(one: ET.Element, random: Random) -> None:
    for _ in range(random.choice((2, 30, 400))):
        one = ET.SubElement(one, one.tag, dict(one.attrib))
