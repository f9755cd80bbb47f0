"""Edits of single tags of CVAT's XML as bytes; all else stays as it was written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from curate.errors import CallError
from curate.formats.cvat.xml_stream import KINDS

PIXELS = {"mask": ("rle", "left", "top", "width", "height"), "polygon": ("points",)}
"""The attributes of each kind of shape that say which pixels it has."""

_ATTRIBUTE = re.compile(rb"""(\s+)([^\s=/>"']+)(\s*=\s*)("[^"]*"|'[^']*')""")
_END = re.compile(rb"\s*/?>\Z")
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def as_text(text: str, encoding: str) -> bytes:
    """Return text as it stands between tags.

    Args:
        text: Any text that XML can hold.
        encoding: The file's; "" for UTF-8.

    Raises:
        CallError: It holds a character that XML cannot hold.
    """
    if _NO_XML.search(text):
        raise CallError("it holds a character that XML has not", repr(text[:80]), "leave it out")
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;")):
        text = text.replace(character, entity)
    return text.encode(encoding or "utf-8", "xmlcharrefreplace")


def quote_attribute(value: str, encoding: str, quote: bytes = b'"') -> bytes:
    """Return text as the value of an attribute, with its quotes.

    Args:
        value: Any text that XML can hold.
        encoding: The file's; "" for UTF-8.
        quote: Which quotes to put around it.

    Raises:
        CallError: It holds a character that XML cannot hold.
    """
    inner = as_text(value, encoding).replace(b"\n", b"&#10;").replace(b"\t", b"&#9;")
    return quote + inner.replace(quote, b"&quot;" if quote == b'"' else b"&apos;") + quote


def edit_tag(tag: bytes, kind: str, values: Mapping[str, str], encoding: str) -> bytes:
    """Return the start tag of a shape with other values, everything else as it was.

    Args:
        tag: The tag, from ``<`` to ``>``.
        kind: ``mask`` or ``polygon``: what the shape becomes.
        values: Attributes to set. They stand where they stood; those that the tag does not have
            stand in place of the pixels of the other kind, or at its end.
        encoding: The file's; "" for UTF-8.
    """
    found = list(_ATTRIBUTE.finditer(tag))
    left = dict(values)
    here = {match[2].decode("latin-1") for match in found}
    fresh = [name for name in values if name not in here]
    other = {name for one in KINDS if one != kind for name in PIXELS[one]}
    end = _END.search(tag)
    pieces = [b"<", kind.encode()]
    at = found[0].start() if found else (end.start() if end else len(tag))
    for match in found:
        name = match[2].decode("latin-1")
        pieces.append(tag[at : match.start()])
        at = match.end()
        quote = match[4][:1]
        if name in left:
            value = quote_attribute(left.pop(name), encoding, quote)
            pieces += (match[1], match[2], match[3], value)
        elif name not in other:
            pieces.append(match[0])
        else:
            for new in fresh:
                value = quote_attribute(left.pop(new), encoding, quote)
                pieces += (match[1], new.encode(), match[3], value)
            fresh = []
    pieces += [b" " + new.encode() + b"=" + quote_attribute(left[new], encoding) for new in fresh]
    return b"".join(pieces) + tag[at:]


def open_empty_tag(tag: bytes) -> bytes:
    """Return a start tag that was the whole element (``<a/>``) as one with an end tag to come."""
    return re.sub(rb"\s*/>\Z", b">", tag)


def rename_end_tag(tag: bytes, kind: str) -> bytes:
    """Return an end tag with another name."""
    return re.sub(rb"\A</[^\s>]+", b"</" + kind.encode(), tag)


def declare_attributes(
    attributes: bytes, names: Iterable[str], blank: bytes, encoding: str
) -> bytes:
    """Return the ``<attributes>`` of a label with more attributes declared: texts, empty at first.

    Args:
        attributes: The element as it is.
        names: What to declare.
        blank: What stands before each new one.
        encoding: The file's; "" for UTF-8.
    """
    made = b"".join(
        blank + b"<attribute><name>" + as_text(name, encoding) + b"</name><mutable>False</mutable>"
        b"<input_type>text</input_type><default_value></default_value><values></values></attribute>"
        for name in names
    )
    if attributes.endswith(b"/>"):
        return open_empty_tag(attributes) + made + b"</attributes>"
    at = attributes.rindex(b"</")
    body = attributes[:at].rstrip()
    return body + made + attributes[len(body) :]
