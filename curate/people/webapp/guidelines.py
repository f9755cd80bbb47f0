"""A project's guidelines on the review page: Markdown as plain nodes, by category, with pictures.

Markdown is parsed here, and the page builds it from nodes, element by element: raw HTML in it is
text, links go to http and https alone, and pictures are those of its own folder.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from curate.common import files
from curate.errors import CallError
from curate.people.webapp.answers import GuidelineNode, GuidelinesAnswer, GuidelineSection
from curate.people.webapp.request_parsing import RequestError

NAMES = ("guidelines", "guidelines.md")
"""Names of the folder and of the file that are looked for in an audit."""

GENERAL = ("index", "readme", "guidelines")
"""Names of files in a folder that are about all categories, without their ending."""

MAX_TEXT_BYTES = 2_000_000
MAX_FILES = 1000
MAX_PICTURE_BYTES = 20_000_000
"""Most bytes of all texts, most files of them, and most bytes of one picture."""

PICTURES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
"""Media types of pictures by their endings; others are not shown."""

_TAGS = {
    "paragraph": "p",
    "bullet_list": "ul",
    "ordered_list": "ol",
    "list_item": "li",
    "strong": "strong",
    "em": "em",
    "blockquote": "blockquote",
    "hr": "hr",
    "hardbreak": "br",
}
_TEXTS = {"code_inline": "code", "fence": "pre", "code_block": "pre"}
_WEB = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True)
class _Page:
    """A file of guidelines: its text, and the category that it is about ("" for all)."""

    path: Path
    category: str
    text: str


@dataclass
class Guidelines:
    """Guidelines for people who review.

    Attributes:
        sections: In the order in which they are shown: what is about all categories first.
        pictures: By number, as the nodes name them: files of the guidelines' own folder.
    """

    sections: list[GuidelineSection] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)

    def answer(self) -> GuidelinesAnswer:
        """Return the sections for the page."""
        return {"sections": self.sections}

    def picture(self, number: int) -> tuple[bytes, str]:
        """Return a picture and its media type.

        Raises:
            Refused: There is none of that number, or it cannot be read.
        """
        if not 0 <= number < len(self.pictures):
            raise RequestError(404, "there is no such picture")
        path = self.pictures[number]
        try:
            with files.open_to_read(path) as file:
                found = file.read(MAX_PICTURE_BYTES + 1)
        except OSError as error:
            raise RequestError(404, "the picture cannot be read") from error
        if len(found) > MAX_PICTURE_BYTES:
            raise RequestError(404, "the picture is too large")
        return found, PICTURES[path.suffix.lower()]


def find_guidelines(given: Path | None, audit: Path) -> Path | None:
    """Return the guidelines to show: those given, else those in the audit directory.

    Raises:
        CallError: What is given is not there.
    """
    if given is not None:
        if not given.exists():
            what = "there are no guidelines"
            raise CallError(what, str(given), "give a Markdown file or a folder of them")
        return given
    return next((audit / name for name in NAMES if (audit / name).exists()), None)


def read_guidelines(place: Path) -> Guidelines:
    """Read guidelines: a Markdown file, or a folder of them.

    In a folder, ``index.md`` is about all categories, and every other file about the category that
    it is named after. Within a file, what stands under a heading of the first or second level may
    be about a category of that name: the page shows that first where such a mask is shown.

    Raises:
        CallError: There is no Markdown, or it is too long, or no UTF-8.
    """
    folder = place if place.is_dir() else place.parent
    found = Guidelines()
    reader = MarkdownIt("commonmark", {"html": False})
    for page in _read_pages(place):
        tree = SyntaxTreeNode(reader.parse(page.text))
        for title, nodes in _split_sections(tree.children):
            made = [
                node for one in nodes for node in _to_nodes(one, page.path.parent, folder, found)
            ]
            if made:
                category = page.category or title
                found.sections.append({"category": category or None, "nodes": made})
    return found


def _read_pages(place: Path) -> list[_Page]:
    paths = sorted(place.rglob("*.md")) if place.is_dir() else [place]
    if not paths:
        raise CallError("there is no Markdown", str(place), "put a file NAME.md there")
    if len(paths) > MAX_FILES:
        raise CallError(f"there are {len(paths):,} files", str(place), f"give up to {MAX_FILES:,}")
    pages, left = [], MAX_TEXT_BYTES
    for path in paths:
        with files.open_to_read(path) as file:
            raw = file.read(left + 1)
        left -= len(raw)
        if left < 0:
            what = f"the guidelines are longer than {MAX_TEXT_BYTES:,} bytes"
            raise CallError(what, str(path), "shorten them")
        try:
            text = io.TextIOWrapper(io.BytesIO(raw), "utf-8-sig").read()
        except UnicodeDecodeError as error:
            raise CallError("the text is not UTF-8", str(path), "save it as UTF-8") from error
        general = not place.is_dir() or path.stem.lower() in GENERAL
        pages.append(_Page(path, "" if general else path.stem, text))
    return sorted(pages, key=lambda page: page.category != "")


def _split_sections(
    nodes: Sequence[SyntaxTreeNode],
) -> Iterator[tuple[str, list[SyntaxTreeNode]]]:
    """Yield the title of each heading of the first two levels, with all that is under it."""
    title, some = "", list[SyntaxTreeNode]()
    for node in nodes:
        if node.type == "heading" and node.tag in ("h1", "h2"):
            yield title, some
            title, some = _text_of(node), []
        some.append(node)
    yield title, some


def _text_of(node: SyntaxTreeNode) -> str:
    if node.children:
        return "".join(map(_text_of, node.children)).strip()
    return str(node.content)


def _to_nodes(
    node: SyntaxTreeNode, here: Path, folder: Path, found: Guidelines
) -> Iterator[GuidelineNode | str]:
    """Yield a node as the page builds it; kinds that are not known give what is in them."""
    inside = [part for child in node.children for part in _to_nodes(child, here, folder, found)]
    if node.type == "text":
        yield str(node.content)
    elif node.type == "softbreak":
        yield "\n"
    elif node.type in _TEXTS:
        yield {"tag": _TEXTS[node.type], "children": [str(node.content)]}
    elif node.type == "heading":
        yield {"tag": "h4" if node.tag not in ("h1", "h2") else "h3", "children": inside}
    elif node.type == "image":
        yield from _to_picture(node, here, folder, found)
    elif node.type == "link":
        href = str(node.attrs.get("href", ""))
        known = _WEB.match(href) is not None
        yield (
            {"tag": "a", "href": href, "children": inside}
            if known
            else {
                "tag": "span",
                "children": inside,
            }
        )
    elif node.type in _TAGS:
        yield {"tag": _TAGS[node.type], "children": inside}
    else:
        yield from inside


def _to_picture(
    node: SyntaxTreeNode, here: Path, folder: Path, found: Guidelines
) -> Iterator[GuidelineNode | str]:
    """Yield a picture of the folder; of another one the words that stand for it."""
    words = _text_of(node) or str(node.content)
    path = (here / str(node.attrs.get("src", ""))).resolve()
    inside = path.is_relative_to(folder.resolve()) and path.suffix.lower() in PICTURES
    if not inside or not path.is_file():
        yield words
        return
    found.pictures.append(path)
    source = f"/api/guidelines/{len(found.pictures) - 1}"
    yield {"tag": "img", "src": source, "alt": words, "children": []}
