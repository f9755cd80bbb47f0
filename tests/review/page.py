"""The review page in a real browser, on an audit with masks enough for a hundred decisions."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scenes import write_scenes
from scipy import ndimage
from server import Hosted, Server, servers_on
from waiting import until

from curate.people.reviews import open_reviews
from curate.rle import decode_counts, to_dense
from curate.store.audit import StoredAudit, open_audit
from curate.store.audit_files import write_info
from curate.store.audit_records import SourceRecord

DESKTOP = {"width": 1280, "height": 800}
TABLET = {"width": 820, "height": 1180}
PATIENCE_MS = 20_000
TITLE = "document.getElementById('rest-title').textContent"
SEEN_OR_ELSEWHERE = (
    "document.body.dataset.view !== 'single'"
    " || document.getElementById('stage').dataset.ready === 'true'"
)
DECIDING = frozenset("arftcs1234")  # the keys of one mask that need its picture
# The empty page that a tab begins with has no storage, and Firefox runs this there as well.
REMEMBER = "try { localStorage['curate-reviewer'] ??= %s; } catch {}"

Point = tuple[float, float]


def write_wide_audit(folder: Path) -> Path:
    """Write an audit of 150 masks, all of which people are to review."""
    audit, pictures = write_scenes(folder, images=12, masks_each=12)
    part = audit.path / "masks" / "part-00000.parquet"
    masks = pd.read_parquet(part)
    masks["action"] = "review"
    masks.to_parquet(part, index=False)
    source: SourceRecord = {
        **audit.info.source,
        "fingerprint": "fedcba9876543210fedcba9876543210",
    }
    info = replace(audit.info, source=source, inputs={"images": str(pictures)})
    write_info(audit.path, info)
    return audit.path


@pytest.fixture(scope="session")
def wide_audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The audit of 150 masks; tests take copies of it."""
    return write_wide_audit(tmp_path_factory.mktemp("wide"))


@pytest.fixture
def wide(wide_audit: Path, tmp_path: Path) -> StoredAudit:
    """A copy of the audit of 150 masks."""
    shutil.copytree(wide_audit, tmp_path / "wide")
    return open_audit(tmp_path / "wide")


@pytest.fixture
def serve_wide(wide: StoredAudit) -> Iterator[Callable[..., Server]]:
    """Start servers on the audit of 150 masks, each in a thread; they end with the test."""
    yield from servers_on(wide.path, Hosted)


@pytest.fixture
def run_wide(wide: StoredAudit) -> Iterator[Callable[..., Server]]:
    """Start servers on the audit of 150 masks, each in a process, to be killed and started anew."""
    yield from servers_on(wide.path)


@pytest.fixture(scope="session")
def one_wide_server(wide_audit: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for tests that mind only what they did themselves; each is a person of its own."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copytree(wide_audit, folder / "wide")
    server = Hosted(folder / "wide").start()
    yield server
    server.kill()


@pytest.fixture
def shared(one_wide_server: Server) -> Iterator[Server]:
    """The shared server; what a test had in hand is open again afterwards."""
    yield one_wide_server
    leases(open_audit(one_wide_server.audit), "delete from leases")


@pytest.fixture
def tab(browser: Any, shared: Server, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab on the shared server."""
    with opened(browser, shared, reviewer=request.node.name) as tab:
        yield tab


def leases(audit: StoredAudit, sql: str) -> list[Any]:
    """Run a statement on the file of leases."""
    with closing(sqlite3.connect(audit.path / "leases.sqlite", timeout=10)) as connection:
        found = connection.execute(sql).fetchall()
        connection.commit()
        return found


class Page:
    """One person's tab, with everything that it complained about."""

    def __init__(self, browser: Any, server: Server, reviewer: str = "", **options: Any) -> None:
        self.reviewer = reviewer
        self.audit = open_audit(server.audit)
        self.context = browser.new_context(**({"viewport": DESKTOP} | options))
        self.context.set_default_timeout(PATIENCE_MS)
        if "--reviewer" in server.options:
            self.reviewer = server.options[server.options.index("--reviewer") + 1]
        if self.reviewer:  # this browser was told before
            self.context.add_init_script(REMEMBER % json.dumps(self.reviewer))
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)
        self.server = server

    def _heard(self, message: Any) -> None:
        # Pictures that are not there and a server that is down are part of the tests.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)

    def open(self) -> Page:
        self.page.goto(self.server.url)
        self.ready()
        return self

    def ready(self) -> None:
        """Wait until a mask stands on the stage with its picture."""
        self.page.wait_for_selector('#stage[data-ready="true"]')

    @property
    def item(self) -> str:
        """The mask that is shown."""
        return str(self.page.get_attribute("#stage", "data-item"))

    @property
    def mask_id(self) -> int:
        return int(self.item.partition(".")[0])

    def stocked(self) -> None:
        """Wait until the next masks are here with their pictures."""
        self.until("Number(document.body.dataset.ahead) >= 9")

    def press(self, *keys: str) -> None:
        """Press keys; one that decides waits for the picture, as the page takes none before."""
        for key in keys:
            if key in DECIDING:
                self.until(SEEN_OR_ELSEWHERE)
            self.page.keyboard.press(key)

    def decide(self, key: str) -> int:
        """Press a key on a mask that can be seen; return the mask."""
        self.ready()
        mask_id = self.mask_id
        self.press(key)
        return mask_id

    def view(self, name: str) -> None:
        """Wait for a view."""
        self.page.wait_for_selector(f'body[data-view="{name}"]')

    def saved(self) -> None:
        """Wait until the server has everything."""
        self.page.wait_for_selector('#saved[data-state="saved"]')

    def online(self) -> None:
        """Let the browser say that the network is back: the page then asks at once."""
        self.page.evaluate("dispatchEvent(new Event('online'))")

    def until(self, expression: str) -> None:
        """Wait until an expression holds; Playwright's own way is forbidden by the page's CSP."""
        until(lambda: self.page.evaluate(expression), expression, PATIENCE_MS / 1000)

    def settle(self) -> str:
        """Wait until a mask can be seen, or its image is asked about; return the view."""
        seen = '#view-single:not([hidden]) #stage[data-ready="true"]'
        asked = "document.body.dataset.view === 'looked'"
        self.until(f"{asked} || Boolean(document.querySelector('{seen}'))")
        return str(self.page.get_attribute("body", "data-view"))

    def step(self, key: str) -> None:
        """Press a key that goes on, and wait until something else is shown."""
        shown = "document.body.dataset.view + ' ' + document.getElementById('stage').dataset.item"
        before = self.page.evaluate(shown)
        self.press(key)
        self.until(f"{shown} !== {json.dumps(before)}")

    def decide_all(self, key: str = "a") -> set[str]:
        """Press a key on all that comes until all is decided; return the views that were shown.

        The page shows the view ``rest`` as well while it fetches the next masks.
        """
        views = set()
        while self.rest_or_mask() != "All is decided":
            views.add(str(self.page.get_attribute("body", "data-view")))
            self.step(key)
        return views

    def rest_or_mask(self, *titles: str) -> str:
        """Wait until there is something to decide or a view with one of the titles.

        Returns the title, empty where there is something to decide.
        """
        titles = titles or ("All is decided",)
        shown = f"{json.dumps(titles)}.includes({TITLE})"
        resting = f"(document.body.dataset.view === 'rest' && {shown})"
        seen = '#view-single:not([hidden]) #stage[data-ready="true"]'
        asked = "#view-looked:not([hidden]) #looked-nothing:enabled"
        self.until(f"{resting} || Boolean(document.querySelector('{seen}, {asked}'))")
        return str(self.page.evaluate(f"{resting} ? {TITLE} : ''"))

    def toasts(self, words: str) -> None:
        """Wait until the page says something."""
        self.page.locator("#toast", has_text=words).wait_for()

    def narrow(self, reason: str) -> None:
        """Let the queue show only masks whose reason begins with some words."""
        self.press("/")
        options = self.page.locator("#filter-reason option", has_text=reason)
        self.page.select_option("#filter-reason", label=options.first.inner_text())
        self.page.get_by_role("button", name="Show these").click()
        self.until(
            f"document.getElementById('reasons').textContent.startsWith({json.dumps(reason)})"
        )

    def seek(self, wanted: Callable[[dict[str, Any]], bool], key: str = "s") -> dict[str, Any]:
        """Skip until the mask that is shown is as wanted; return what the server says of it."""
        for _ in range(160):
            self.ready()
            card = self.mask()
            if wanted(card):
                return card
            self.press(key)
        raise AssertionError("there is no such mask in the queue")

    def mask(self) -> dict[str, Any]:
        """Return the stored mask that is shown, its pixels under ``pixels``."""
        answer: dict[str, Any] = self.context.request.get(
            f"{self.server.url}/api/mask/{self.mask_id}"
        ).json()
        return answer | {"pixels": dense(answer["counts"], answer["height"], answer["width"])}

    # The editor: where a pixel of the image lies on the screen, and drawing there.

    def mask_loads(self) -> None:
        """Wait until the mask that is to be fixed is in the editor."""
        self.view("editor")
        self.until("document.getElementById('editor-words').textContent.includes('px')")

    def edit(self, tool: str) -> None:
        self.press("f")
        self.mask_loads()
        self.see_whole()
        self.press(tool)

    def see_whole(self) -> None:
        """Let the editor, which begins near the mask, show the whole image."""
        near = self.page.get_attribute("#canvas", "data-place")
        self.press("z")
        self.until(f"document.getElementById('canvas').dataset.place !== {near!r}")

    @property
    def brush(self) -> int:
        """Size of the brush in pixels."""
        return int(str(self.page.text_content("#size-words")).split()[0])

    def spot(self, x: float, y: float) -> tuple[Point, Point]:
        """Return the screen's pixel nearest to a place of the image, and that pixel's own place."""
        canvas = self.page.locator("#canvas")
        left, top, scale = (float(v) for v in str(canvas.get_attribute("data-place")).split())
        box = canvas.bounding_box()
        at = round(box["x"] + (x - left) * scale), round(box["y"] + (y - top) * scale)
        return at, ((at[0] - box["x"]) / scale + left, (at[1] - box["y"]) / scale + top)

    def click(self, x: float, y: float) -> Point:
        at, place = self.spot(x, y)
        self.page.mouse.click(*at)
        return place

    def drag(self, points: list[Point]) -> list[Point]:
        """Draw from point to point; return the places of the image where the pointer was."""
        spots = [self.spot(*point) for point in points]
        self.page.mouse.move(*spots[0][0])
        self.page.mouse.down()
        for at, _ in spots[1:]:
            self.page.mouse.move(*at)
        self.page.mouse.up()
        return [place for _, place in spots]

    def save(self) -> None:
        self.press("Enter")
        self.view("single")
        self.saved()

    def mine(self, what: str = "decisions") -> pd.DataFrame:
        """Return what this person did that stands in the file: decisions or missing masks."""
        kept: pd.DataFrame = getattr(open_reviews(self.audit), what)()
        return kept[kept["reviewer"] == self.reviewer]

    def fixed(self) -> np.ndarray:
        """Return this person's only decision, which is a fix."""
        (row,) = self.mine().to_dict("records")
        assert row["action"] == "fix"
        sql = f"select height, width from masks where mask_id = {row['mask_id']}"
        size = self.audit.query(sql).iloc[0]
        return dense(row["segmentation"], int(size["height"]), int(size["width"]))

    def close(self) -> None:
        self.context.close()


@contextmanager
def opened(browser: Any, server: Server, **options: Any) -> Iterator[Page]:
    """Open a tab; it must have complained of nothing when it is closed."""
    page = Page(browser, server, **options)
    try:
        yield page.open()
        assert page.complaints == []
        assert page.page.evaluate("window.hacked") is None
    finally:
        page.close()


def centre(pixels: np.ndarray) -> Point:
    """Return the middle of a mask."""
    ys, xs = np.nonzero(pixels)
    return float(xs.mean()), float(ys.mean())


def blob(card: dict[str, Any]) -> bool:
    """Whether a mask is one piece without a hole, well inside its image."""
    pixels = card["pixels"]
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    whole = ndimage.binary_fill_holes(pixels)
    return bool(pixels.sum() > 800 and not border.any() and (whole == pixels).all()) and (
        ndimage.label(pixels, np.ones((3, 3)))[1] == 1
    )


def dense(counts: str | bytes, height: int, width: int) -> np.ndarray:
    """Return a mask's pixels."""
    raw = counts.encode() if isinstance(counts, str) else counts
    runs, problems = decode_counts([raw], [height], [width])
    assert not problems.any()
    return np.asarray(to_dense(runs, 0), bool)


def decisions(audit: StoredAudit) -> pd.DataFrame:
    """Return what stands in reviews.sqlite, by mask: two that came apart in time may swap places.

    When a decision was made is known to the server as well as the network is fast.
    """
    return open_reviews(audit).decisions().sort_values("mask_id")
