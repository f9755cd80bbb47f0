"""Guidelines on the page: Markdown as plain elements, by category, with pictures of the project."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from page import opened
from PIL import Image
from server import Server

from curate.errors import CallError
from curate.people.webapp.guidelines import MAX_TEXT_BYTES, find_guidelines, read_guidelines
from curate.people.webapp.request_parsing import RequestError
from curate.store.audit import StoredAudit

Serve = Callable[..., Server]

GENERAL = """# How to decide

Accept what is **right to the pixel**. <script>window.hacked = true</script>

- [the rules](https://example.org/rules)
- [not these](javascript:alert(1))
- `code`, *and* more

![outside](../secret.png) ![a torn one](torn.png)

## blob 2

Blobs of this kind have no holes.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of guidelines, and a picture that lies outside it."""
    made = tmp_path / "guide"
    made.mkdir()
    (made / "index.md").write_text(GENERAL)
    (made / "blob 1.md").write_text("Reject it where it touches the border.\n")
    Image.new("RGB", (8, 8), (250, 20, 20)).save(made / "torn.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    return made


def texts(node: Any) -> str:
    """Return the text of a node."""
    return node if isinstance(node, str) else "".join(map(texts, node["children"]))


def tags(nodes: Any) -> list[str]:
    """Return the tags of nodes and of what is in them."""
    return [
        tag
        for node in nodes
        if not isinstance(node, str)
        for tag in (node["tag"], *tags(node["children"]))
    ]


def test_sections_are_of_all_categories_or_of_one(folder: Path) -> None:
    found = read_guidelines(folder).sections
    assert [one["category"] for one in found] == ["How to decide", "blob 2", "blob 1"]
    assert "".join(map(texts, found[2]["nodes"])) == "Reject it where it touches the border."


def test_markup_stays_text_and_links_go_to_the_web_only(folder: Path) -> None:
    (general, *_) = read_guidelines(folder).sections
    assert {"script", "html"}.isdisjoint(tags(general["nodes"]))
    words = "".join(map(texts, general["nodes"]))
    assert "<script>window.hacked = true</script>" in words
    assert tags(general["nodes"]).count("a") == 1
    assert "not these" in words


def test_only_pictures_of_its_own_folder_are_served(folder: Path) -> None:
    found = read_guidelines(folder)
    assert [path.name for path in found.pictures] == ["torn.png"]
    data, kind = found.picture(0)
    assert (data, kind) == ((folder / "torn.png").read_bytes(), "image/png")
    with pytest.raises(RequestError, match="no such picture"):
        found.picture(1)
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "index.md").write_text("![a link](link.png)")
    assert read_guidelines(folder).pictures == []


def test_guidelines_that_cannot_be_shown_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CallError, match="there are no guidelines"):
        find_guidelines(tmp_path / "none.md", tmp_path)
    with pytest.raises(CallError, match="there is no Markdown"):
        read_guidelines(tmp_path)
    page = tmp_path / "guidelines.md"
    page.write_bytes(b"\xff\xfe")
    with pytest.raises(CallError, match="not UTF-8"):
        read_guidelines(page)
    with page.open("wb") as file:
        os.truncate(file.fileno(), MAX_TEXT_BYTES + 1)
    with pytest.raises(CallError, match="longer than"):
        read_guidelines(page)


def test_what_lies_in_the_audit_is_found(tmp_path: Path) -> None:
    assert find_guidelines(None, tmp_path) is None
    (tmp_path / "guidelines.md").write_text("Be kind.")
    found = find_guidelines(None, tmp_path)
    assert found is not None
    (section,) = read_guidelines(found).sections
    assert (section["category"], texts(section["nodes"][0])) == (None, "Be kind.")


def test_the_panel_follows_the_mask_that_is_shown(
    wide: StoredAudit, folder: Path, browser: Any, serve_wide: Serve
) -> None:
    folder.rename(wide.path / "guidelines")
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        page = tab.page
        tab.press("d")
        page.locator("#guide").wait_for()
        page.locator("#guide-text img").wait_for()
        assert page.locator("#guide-text a").count() == 1
        assert page.locator("#guide-text script").count() == 0
        first = "document.querySelector('#guide-text section').textContent"
        wanted = {"blob 1": "Reject it where", "blob 2": "blob 2"}
        for name, begins in wanted.items():
            while page.inner_text("#single-title") != name:
                tab.ready()  # before, the key counts for nothing
                tab.step("s")
            tab.until(f"{first}.startsWith({begins!r})")
        tab.press("d")
        page.locator("#guide").wait_for(state="hidden")
