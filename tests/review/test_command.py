"""The command: what it draws, what it says, how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from typing import Any

import numpy as np
import orjson
import pytest
from server import Client, Serve, Server, event

from curate import cli
from curate.people.reviews import open_reviews
from curate.people.webapp.closing import describe_access
from curate.rle import encode_counts, from_dense
from curate.store.audit import StoredAudit


def run(audit: StoredAudit, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "curate", "review", str(audit.path), "--no-open"]
    return subprocess.run(
        [*command, *options], check=False, capture_output=True, text=True, timeout=180
    )


def test_a_taken_port_is_said_in_one_sentence(audit: StoredAudit) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(audit, "--port", str(port), "--budget", "5")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"error: curate review: the port {port} is in use; choose another with --port, or 0 for any"
    ]
    assert not (audit.path / "reviews.sqlite").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--kind", "learn"], "draw one: give --budget or --minutes"),
        (["--kind", "estimat"], "'estimat' is not one of"),
        (["--draw", "3"], "there is no draw 3"),
        (["--draw", "3", "--budget", "4"], "a budget for a new one"),
        (["--images", "/nowhere/at/all"], "there is no such folder of images"),
        (["--port", "70000"], "--port is 70000"),
        (["--seconds-per-mask", "0"], "--seconds-per-mask is 0"),
    ],
)
def test_wrong_calls_are_said_in_one_line(
    audit: StoredAudit,
    options: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["curate", "review", str(audit.path), "--no-open", "--port", "0", *options]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_budget_draws_and_records(audit: StoredAudit, serve: Serve) -> None:
    server = serve("--kind", "estimate", "--budget", "6", "--reviewer", "Ann")
    page = Client(server)
    about = page.get("/api/about")
    assert (about["kind"], about["draw_id"], about["blind"]) == ("estimate", 1, True)
    assert about["total"] == 6
    assert page.get("/api/session")["reviewer"] == "Ann"
    draws = open_reviews(audit).draws()
    assert (draws["kind"].tolist(), draws["masks"].tolist()) == (["estimate"], [about["total"]])
    rest = server.stop()
    assert "Traceback" not in rest
    server.options = ("--kind", "estimate")  # without a budget the draw is gone on with
    assert Client(server.start()).get("/api/about")["draw_id"] == 1
    server.kill()


def test_it_says_who_can_reach_the_page_and_ends_with_what_was_decided(
    audit: StoredAudit, serve: Serve
) -> None:
    server = serve("--kind", "estimate", "--budget", "4", "--reviewer", "Ann")
    page = Client(server)
    for action in ("accept", "reject"):
        card = page.next()["cards"][0]
        assert page.send(page.decide(card["item"], action))["refused"] == []
    rest = server.stop()
    assert "decided on 2 masks: 1 accepted, 1 rejected; by" in rest
    assert "2 of 4 masks of draw 1 left" in rest
    assert describe_access("127.0.0.1", token=False).startswith("only this machine can reach it")
    assert "with the token only" in describe_access("0.0.0.0", token=True)
    assert "who can reach 192.168.1.7" in describe_access("192.168.1.7", token=True)


def counts_of(audit: StoredAudit, image_id: int) -> str:
    size = audit.query(f"select height, width from images where image_id = {image_id}").iloc[0]
    mask = np.zeros((int(size["height"]), int(size["width"])), bool)
    mask[5:25, 10:40] = True
    return bytes(encode_counts(from_dense(mask)).to_pylist()[0]).decode()


def test_fixes_and_missing_masks_stand_beside_the_old(audit: StoredAudit, serve: Serve) -> None:
    client = Client(serve())
    card = client.next()["cards"][0]
    counts = counts_of(audit, int(card["image_id"]))
    fix = client.decide(card["item"], "fix", counts=counts)
    place: dict[str, Any] = {"image_id": card["image_id"], "category": "blob 1", "counts": counts}
    added, reviewed_images = event("missing", **place), event("looked", image_id=card["image_id"])
    assert client.send(fix, added, reviewed_images)["done"] == [
        fix["key"],
        added["key"],
        reviewed_images["key"],
    ]
    reviews = open_reviews(audit)
    kept = reviews.decisions().iloc[0]
    assert kept["action"] == "fix"
    assert bytes(kept["segmentation"]).decode() == counts
    assert bytes(reviews.missing().iloc[0]["segmentation"]).decode() == counts
    assert reviews.reviewed_images()["image_id"].tolist() == [int(card["image_id"])]
    again = event("missing", **place)
    gone = event("withdraw_missing", of=added["key"], **place)
    back = event("withdraw_missing", of=again["key"], **place)
    assert len(client.send(gone, again, back)["done"]) == 3
    assert len(reviews.missing()) == 0
    client.server.kill()
    client.server.start()
    resent = client.send(fix, added, reviewed_images, gone)
    assert (len(resent["done"]), resent["refused"]) == (4, [])
    assert (len(reviews.decisions()), len(reviews.missing()), len(reviews.reviewed_images())) == (
        1,
        0,
        1,
    )


def test_an_audit_without_pictures_is_shown_without(audit: StoredAudit) -> None:
    info = audit.info.as_dict()
    info.pop("inputs")
    (audit.path / "audit.json").write_bytes(orjson.dumps(info))
    server = Server(audit.path).start()
    page = Client(server)
    assert not page.get("/api/about")["crops"]
    card = page.next()["cards"][0]
    assert card["picture"] is None
    assert card["path"]
    assert page.ask("GET", f"/api/picture/{card['mask_id']}?view=card")[0] == 404
    assert "there are no pictures" in server.stop()


def test_a_server_that_is_terminated_says_so_and_how(serve: Serve) -> None:
    server = serve()
    process = server.process
    assert process is not None
    assert server._end(signal.SIGTERM).rstrip().endswith("masks of the ranking left")
    assert process.returncode == 128 + signal.SIGTERM


IN_A_HALF_MADE_LOOP = """
import os, signal, socket, sys
from curate.cli import main

# Whoever runs the tests in the background may have it ignored.
signal.signal(signal.{name}, signal.SIG_DFL)
whole = socket.socketpair


def half(*args):
    os.kill(os.getpid(), signal.{name})
    return whole(*args)


socket.socketpair = half  # asyncio's event loop makes one for itself
main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_the_event_loop_is_made_ends_the_review(
    audit: StoredAudit, name: str
) -> None:
    command = [sys.executable, "-c", IN_A_HALF_MADE_LOOP.format(name=name)]
    done = subprocess.run(
        [*command, "review", str(audit.path), "--no-open", "--port", "0"],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.stdout.rstrip().endswith("masks of the ranking left")
    assert done.stderr.startswith("stopped; what people decided is kept\n")
    assert "Traceback" not in done.stderr
    assert done.returncode == (0 if name == "SIGINT" else 128 + getattr(signal, name))
