"""MkDocs hook: pages made from code, pages that stand elsewhere in the repository, their links.

The texts link to files as GitHub shows them (``../reports/guarantees/README.md``). On the site such
a file is a page under ``studies/`` or ``project/``, or, where it is no text, a file to download.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import reference_pages
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
STUDIES = sorted(p.parent.name for p in (ROOT / "reports").glob("*/README.md"))
PROJECT = {"CONTRIBUTING": "contributing", "SECURITY": "security", "CHANGELOG": "changelog"}

PAGES = {
    **{f"reports/{name}/README.md": f"studies/{name}.md" for name in STUDIES},
    **{f"{name}.md": f"project/{page}.md" for name, page in PROJECT.items()},
    "README.md": "index.md",
}
"""Pages of the site by the file of the repository that they show."""

SOURCES = {page: source for source, page in PAGES.items() if source != "README.md"}

LOADED = re.compile(r"<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=\"?(https?://[^\"> ]+)")
LINK = re.compile(r"(\]\()([^)\s#]+)([^)]*\))")
FENCE = re.compile(r"^(\s*)```(\w+)[ \t]+\S.*$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> None:
    """Put a page a study into the navigation."""
    assert config.nav
    (studies,) = [entry for entry in config.nav if "Studies" in entry]
    studies["Studies"] = ["studies/index.md", *(f"studies/{name}.md" for name in STUDIES)]


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the generated pages, the studies, and what they link to."""
    texts = {f"reference/{name}.md": make() for name, make in reference_pages.PAGES.items()}
    texts |= {page: (ROOT / source).read_text() for page, source in SOURCES.items()}
    texts["studies/index.md"] = studies_page()
    for page, text in texts.items():
        files.append(File.generated(config, page, content=text))
    for file in [f for f in files if f.is_documentation_page()]:
        for target in linked(file.content_string, file.src_uri):
            if target not in PAGES and (ROOT / target).is_file() and not target.startswith("docs/"):
                where = f"files/{target}"
                if where not in files.src_uris:
                    files.append(File.generated(config, where, abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Point links at the site's pages, and leave out what fences say to the tests."""
    here = page.file.src_uri

    def moved(match: re.Match[str]) -> str:
        target = resolved(match[2], here)
        return match[1] + relative(target, here) + match[3] if target else match[0]

    return FENCE.sub(r"\1```\2", LINK.sub(moved, markdown))


def on_post_page(output: str, *, page: Page, **_: Any) -> str:
    """See that a page loads nothing from a network.

    Raises:
        PluginError: It does.
    """
    if found := LOADED.search(output):
        raise PluginError(f"{page.file.src_uri} loads {found[1]}: keep it in docs/assets")
    return output


def home_of(page: str) -> str:
    """Return the file of the repository that a page shows."""
    if page.startswith("files/"):
        return page.removeprefix("files/")
    return SOURCES.get(page, f"docs/{page}")


def resolved(link: str, page: str) -> str:
    """Return the file of the repository that a link means, "" for an address elsewhere."""
    if re.match(r"[a-z]+:", link):
        return ""
    return posixpath.normpath(posixpath.join(posixpath.dirname(home_of(page)), link))


def linked(text: str, page: str) -> set[str]:
    """Return the files of the repository that a page links to."""
    return {target for m in LINK.finditer(text) if (target := resolved(m[2], page))}


def relative(target: str, page: str) -> str:
    """Return a link from a page of the site to what it shows of a file of the repository."""
    if target in PAGES:
        there = PAGES[target]
    elif target.startswith("docs/"):
        there = target.removeprefix("docs/")
    else:
        there = f"files/{target}" if (ROOT / target).is_file() else target
    return posixpath.relpath(there, posixpath.dirname(page) or ".")


def studies_page() -> str:
    """Return the list of studies, each with its first line."""
    lines = ["# Studies", "", "What was measured, how, and what falls short. Each study's script"]
    lines += ["and numbers stand in `reports/`, and it can be run again.", ""]
    for name in STUDIES:
        title = (ROOT / "reports" / name / "README.md").read_text().partition("\n")[0]
        lines.append(f"- [{title.lstrip('# ')}]({studies_link(name)})")
    return "\n".join(lines) + "\n"


def studies_link(name: str) -> str:
    """Return the link to a study as it would stand in ``docs/studies/index.md``."""
    return f"../../reports/{name}/README.md"
