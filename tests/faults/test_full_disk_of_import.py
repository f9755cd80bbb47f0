"""A disk that fills while SQLite writes people's decisions, at any size of its files."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from fault_harness import Server, leftovers

CASES = Path(__file__).with_name("cases_people.py")
SOME = (100, 20_000)
MANY = range(0, 140_000, 1_500)


def fill(limits: tuple[int, ...] | range) -> None:
    """Import with files of limited size: refused or killed, and the next import does it all."""
    with Server(CASES, "import again") as server:
        ends = []
        for size in limits:
            for deadly in ("", " kill"):
                folder = server._fresh()
                (folder / "limit").write_text(f"{size}{deadly}")
                done = server.call("run", folder)
                assert done.status in (0, 2, -signal.SIGXFSZ), done.said
                assert "\n" not in done.said
                (folder / "limit").unlink()
                seen = server.call("see", folder)
                assert seen.seen in (server.before.seen, server.after.seen), size
                if done.status == 0:
                    assert seen.seen == server.after.seen
                ends.append((done.status, seen.seen == server.before.seen))
                again = server.call("run", folder)
                assert again.seen == server.after.seen, (size, again.said)
                assert not leftovers(folder)
        assert (2, True) in ends
        assert (-signal.SIGXFSZ, True) in ends  # in the middle of SQLite's writing


def test_a_disk_that_fills_during_import_loses_nothing() -> None:
    fill(SOME)


@pytest.mark.slow
def test_a_disk_that_fills_at_any_size_during_import_loses_nothing() -> None:
    fill(MANY)
