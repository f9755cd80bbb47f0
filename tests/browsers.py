"""The browsers that the tests drive: those that are on the machine, else Playwright's own."""

from __future__ import annotations

import shutil
from typing import Any

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIREFOXES = ("firefox-esr", "firefox")

DARK = {"layout.css.prefers-color-scheme.content-override": 0}
"""Settings of a Firefox that prefers dark pages; it cannot be asked of a tab."""


def launch_chromium(playwright: Any) -> Any:
    """Start a Chromium without a window."""
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    return playwright.chromium.launch(executable_path=_first(CHROMIUMS), args=flags)


def launch_firefox(playwright: Any, **options: Any) -> Any:
    """Start a Firefox without a window.

    A distribution's Firefox is driven by WebDriver BiDi, which has no touch, no emulated media, no
    CDP session, and no event when a page saves what it made itself; Playwright's own build speaks
    Playwright's protocol.
    """
    path = _first(FIREFOXES)
    if path is not None:
        options |= {"channel": "moz-firefox", "executable_path": path}
    return playwright.firefox.launch(**options)


def _first(names: tuple[str, ...]) -> str | None:
    return next((found for name in names if (found := shutil.which(name))), None)
