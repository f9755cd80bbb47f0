"""Files that go away, are replaced or cannot be written under a running server, and come back."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from asgi import App, Tab
from page import decisions, opened
from server import now_ms

from curate.common import files
from curate.people.reviews import open_reviews, schema
from curate.people.reviews.schema_tables import APPEND_ONLY
from curate.store.audit import StoredAudit, open_audit


@pytest.fixture
def app(audit: StoredAudit) -> Iterator[App]:
    made = App(audit)
    yield made
    made.close()


def first_saved(app: App) -> tuple[Tab, list[str]]:
    """Save a decision; return the page, and the items that it has left."""
    tab = Tab(app, "ann", now_ms)
    first, *items = tab.next(3)
    assert tab.send(tab.decide(first))[0] == 200
    return tab, items


@contextmanager
def moved(path: Path) -> Iterator[None]:
    """Move a file or folder away, and back."""
    aside = path.with_name("aside")
    path.rename(aside)
    yield
    assert not path.exists()
    aside.rename(path)


@contextmanager
def removed(path: Path) -> Iterator[None]:
    """Remove a file and restore it from a copy."""
    copy = shutil.copyfile(path, path.with_name("aside"))
    path.unlink()
    yield
    assert not path.exists()
    shutil.move(copy, path)


@contextmanager
def older(path: Path) -> Iterator[None]:
    """Put a copy in its place that lacks what was saved last."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma wal_checkpoint")
    other = path.with_name("other")
    shutil.copyfile(path, other)
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("drop trigger decisions_no_delete")
        connection.execute("delete from decisions")
        connection.executescript(APPEND_ONLY.format(table="decisions", event="delete"))
        connection.commit()
    path.rename(path.with_name("aside"))
    other.rename(path)
    yield
    path.with_name("aside").rename(path)


@contextmanager
def overwritten(path: Path, content: Callable[[bytes], bytes]) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(content(before))
    yield
    path.write_bytes(before)


@contextmanager
def failing(code: int, words: str) -> Iterator[None]:
    """Let every commit fail as SQLite would."""

    def hook(operation: str, path: Path) -> None:
        if operation == "commit" and path.name == schema.FILE:
            error = sqlite3.OperationalError(words)
            error.sqlite_errorcode = code
            raise error

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(files, "_hook", hook)
        yield


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path)) as connection, pytest.MonkeyPatch.context() as patched:
        patched.setattr(schema, "BUSY_S", 0.05)
        connection.execute("begin immediate")
        yield


TROUBLES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "moved away": (moved, "reviews.sqlite is not there any more; put the file back"),
    "removed, and restored from a copy": (removed, "is not there any more"),
    "replaced by an older copy": (
        older,
        "reviews.sqlite is an older copy, or another file: it lacks decisions that were saved",
    ),
    "cut to nothing": (lambda path: overwritten(path, lambda _: b""), "reviews.sqlite is empty"),
    "cut in half": (
        lambda path: overwritten(path, lambda b: b[: len(b) // 2]),
        "reviews.sqlite is damaged",
    ),
    "overwritten": (lambda path: overwritten(path, lambda b: b"?" * len(b)), "no SQLite file"),
    "full disk": (
        lambda _: failing(sqlite3.SQLITE_FULL, "database or disk is full"),
        "cannot be written or read (database or disk is full); nothing was added; make room on",
    ),
    "read-only": (
        lambda _: failing(sqlite3.SQLITE_READONLY, "attempt to write a readonly database"),
        "reviews.sqlite cannot be opened (attempt to write a readonly database)",
    ),
    "locked": (locked, "another process has been writing to it"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_a_decision_is_refused_for_now_and_taken_when_the_file_is_back(
    app: App, audit: StoredAudit, name: str
) -> None:
    make, words = TROUBLES[name]
    tab, (second, third) = first_saved(app)
    made = tab.decide(second), tab.decide(third, "reject")
    with make(audit.path / schema.FILE):
        for _ in range(2):
            status, answer = tab.send(*made)
            assert status == 503
            assert words in answer["error"]
            assert str(audit.path) not in answer["error"]
            assert "same command" not in answer["error"]
    status, answer = tab.send(*made)
    assert (status, answer["done"]) == (200, [one["key"] for one in made])
    assert tab.send(*made)[1]["done"] == answer["done"]
    assert decisions(audit)["action"].tolist().count("accept") == 2
    assert len(decisions(audit)) == 3


def test_no_mask_is_given_while_nobody_knows_what_is_decided(app: App, audit: StoredAudit) -> None:
    tab, held = first_saved(app)
    with moved(audit.path / schema.FILE):
        status, answer = tab.ask("/api/next", count=1, holding=held)
        assert (status, answer["error"].partition(";")[0]) == (
            503,
            "reviews.sqlite is not there any more",
        )
    assert tab.next(1, held)


def test_a_file_that_goes_in_the_middle_of_writing_takes_no_decision_along(
    app: App, audit: StoredAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written into the file that is gone is sent again, and stands there once."""
    tab, (second, _) = first_saved(app)
    made, path = tab.decide(second), audit.path / schema.FILE
    aside = path.with_name("aside")

    def hook(operation: str, at: Path) -> None:
        if operation == "commit" and at.name == schema.FILE and not aside.exists():
            path.rename(aside)
            shutil.copyfile(aside, path)

    monkeypatch.setattr(files, "_hook", hook)
    status, answer = tab.send(made)
    assert (status, "moved away while it was written" in answer["error"]) == (503, True)
    monkeypatch.undo()
    assert tab.send(made)[1]["done"] == [made["key"]]
    assert len(decisions(audit)) == 2


LEASES: dict[str, Callable[[Path], Any]] = {
    "removed": lambda path: path.unlink(),
    "moved away": lambda path: path.rename(path.with_name("aside")),
    "cut to nothing": lambda path: path.write_bytes(b""),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[:2000]),
    "overwritten": lambda path: path.write_bytes(b"?" * 20_000),
}


@pytest.mark.parametrize("name", LEASES)
def test_without_the_file_of_leases_people_keep_what_they_have_in_hand(
    app: App, audit: StoredAudit, name: str
) -> None:
    beside = App(audit)
    ann, bea = Tab(app, "ann", now_ms), Tab(beside, "bea", now_ms)
    hers, theirs = ann.next(4), bea.next(4)
    assert not {*hers} & {*theirs}
    LEASES[name](audit.path / "leases.sqlite")
    more = ann.next(40, hers), bea.next(40, theirs)
    assert not {*hers, *more[0]} & {*theirs, *more[1]}
    assert ann.send(ann.decide(hers[0]))[0] == bea.send(bea.decide(theirs[0]))[0] == 200
    assert len(decisions(audit)) == 2
    beside.close()


def test_an_audit_that_is_moved_away_and_back_goes_on(app: App, audit: StoredAudit) -> None:
    tab, (second, _) = first_saved(app)
    made = tab.decide(second)
    with moved(audit.path):
        for path, body in (("/api/events", {"events": [made]}), ("/api/next", {"count": 1})):
            status, answer = tab.ask(path, now=now_ms(), **body)
            assert (status, answer["error"].partition(";")[0]) == (
                503,
                "the audit is not there any more",
            )
    assert tab.send(made)[1]["done"] == [made["key"]]
    assert len(decisions(audit)) == 2


def test_a_page_of_an_audit_restarted_on_another_version_writes_to_neither(
    app: App, audit: StoredAudit
) -> None:
    """As `curate audit --restart` demands: the decisions are moved away, then all is made anew."""
    tab, (second, _) = first_saved(app)
    path, aside = audit.path / schema.FILE, audit.path.with_name("old.sqlite")
    path.rename(aside)
    assert tab.send(tab.decide(second))[0] == 503  # not in a new file, which would stop the restart
    assert not path.exists()
    info = json.loads((audit.path / "audit.json").read_text())
    info["source"]["fingerprint"] = "f" * 32
    (audit.path / "audit.json").write_text(json.dumps(info))
    status, answer = tab.send(tab.decide(second))
    assert (status, "made anew, of another version" in answer["error"]) == (409, True)
    anew = App(open_audit(audit.path))
    assert tab.send(tab.decide(second))[0] == 409
    assert len(decisions(open_audit(audit.path))) == 0
    anew.close()
    path.unlink()
    aside.rename(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select count(*) from decisions").fetchone() == (1,)


def test_the_page_says_what_is_wrong_keeps_its_decisions_and_sends_them(
    wide: StoredAudit, browser: Any, serve_wide: Any
) -> None:
    path = wide.path / schema.FILE
    with opened(browser, serve_wide("--reviewer", "ann")) as tab:
        pressed = [tab.decide("a")]
        tab.saved()
        tab.stocked()
        with moved(path):
            pressed += [tab.decide("r"), tab.decide("a")]
            tab.page.locator("#saved-words", has_text="Not saved, 2 decisions kept").wait_for()
            words = tab.page.inner_text("#strip-words")
            assert "Nothing can be saved now: reviews.sqlite is not there any more" in words
            assert "2 decisions are kept here and sent when it can" in words
            tab.page.reload()
            tab.page.get_by_role("heading", name="No mask can be shown now").wait_for()
            assert "reviews.sqlite is not there any more" in tab.page.inner_text("#rest-words")
        tab.online()
        tab.saved()
        tab.ready()
        assert tab.page.locator("#strip").is_hidden()
    assert decisions(wide)["mask_id"].tolist() == sorted(pressed)
    assert len(open_reviews(wide).decisions()) == 3
