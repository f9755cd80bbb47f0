"""Judges that answer nonsense, slowly, too much, or not at all: a process and an HTTP address."""

from __future__ import annotations

import base64
import io
import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hand_clock import HandClock
from judge_programs import MASKS, read_asked, write_judge
from judge_server import judge_well, serve_judge
from PIL import Image
from waiting import until

import curate
from curate.cli.exit_codes import run
from curate.common.files import is_alive
from curate.common.locks import find_holder
from curate.errors import AuditError, CallError
from curate.judges import connections
from curate.judges.connections import JudgeProcess, find_judge_address
from curate.judges.judge_choice import choose_masks
from curate.judges.judge_requests import AskingTerms, JudgeAsking
from curate.judges.protocol import MOST_BYTES, JudgeTrouble, parse_answers
from curate.store.judgements import read_judgements


def ask(audit, command, batch=4, retries=0, timeout=20.0, budget=100):
    """Ask without a pause between tries; return the record and the pauses that there would be."""
    folder = Path(audit.info.inputs["images"])
    choice = choose_masks(audit, folder, budget, "random", pd.Index([]))
    pauses = []

    terms = AskingTerms(batch, timeout, retries, HandClock().clock, pauses.append)
    asking = JudgeAsking(audit, folder, find_judge_address(command))
    return asking.run(choice, terms, None), pauses


# --- answers -------------------------------------------------------------------------------------

GOOD = {"batch": 3, "answers": [{"id": "a", "accept": True}, {"id": "b", "accept": False}]}


def parse(value):
    reply = value if isinstance(value, bytes) else json.dumps(value).encode()
    return parse_answers(reply, 3, ["a", "b"])


def test_answers_may_come_in_any_order_and_leave_things_out():
    value = {
        "batch": 3,
        "answers": [
            {"id": "b", "accept": False, "score": 0, "reason": None, "more": [1]},
            {"id": "a", "accept": True, "score": None, "reason": " two\nlines \u0007 "},
        ],
    }
    found = parse(value)
    assert (found["b"].accept, found["b"].score, found["b"].reason) == (False, 0.0, "")
    assert found["a"].accept
    assert np.isnan(found["a"].score)
    assert found["a"].reason == "two lines \\x07"


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (b"Loading model...", "no JSON: “Loading model"),
        (b"", "no JSON: nothing"),
        (b"\xff\xfe{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        ([GOOD], "no object"),
        ({"batch": 3}, "no object"),
        (GOOD | {"batch": 2}, "batch 2, not batch 3"),
        (GOOD | {"batch": "3"}, "not batch 3"),
        (GOOD | {"answers": [1, 2]}, "no object but 1"),
        (GOOD | {"answers": GOOD["answers"][:1]}, "left out 1 of 2 masks, b first"),
        (GOOD | {"answers": GOOD["answers"] * 2}, "twice about a"),
        (GOOD | {"answers": [{"id": "c", "accept": True}]}, "about 'c', which was not asked"),
        (GOOD | {"answers": [{"id": ["a"], "accept": True}]}, "which was not asked"),
        (GOOD | {"answers": [{"id": "a", "accept": "yes"}]}, "not true or false"),
        (GOOD | {"answers": [{"id": "a", "accept": 1}]}, "not true or false"),
        (GOOD | {"answers": [{"id": "a"}]}, "not true or false"),
        (GOOD | {"answers": [{"id": "a", "accept": True, "score": 1.5}]}, "from 0 to 1"),
        (GOOD | {"answers": [{"id": "a", "accept": True, "score": "0.5"}]}, "from 0 to 1"),
        (GOOD | {"answers": [{"id": "a", "accept": True, "score": True}]}, "from 0 to 1"),
        (b'{"batch": 3, "answers": [{"id": "a", "accept": true, "score": NaN}]}', "no JSON"),
        (GOOD | {"answers": [{"id": "a", "accept": True, "reason": 7}]}, "not a text"),
    ],
)
def test_nonsense_is_refused(value, what):
    with pytest.raises(JudgeTrouble, match=what):
        parse(value)


# --- a process -----------------------------------------------------------------------------------

HANG = "__import__('threading').Event().wait()"

SEND, READ, LOG = "print(json.dumps(value), flush=True)", "for line in", "    log("

EVIL = {
    "prints first": ({READ: f"print('Loading model...', flush=True)\n{READ}"}, "no JSON: “Loading"),
    "dies": ({LOG: f"    print('out of memory', file=sys.stderr); sys.exit(3)\n{LOG}"}, "code 3"),
    "prints first and dies": (
        {READ: f"print('Hi', flush=True); print('no GPU', file=sys.stderr); sys.exit(4)\n{READ}"},
        "no JSON: “Hi”; the process ended with code 4; it said last: no GPU",
    ),
    "never reads": ({READ: f"{HANG}\n{READ}"}, "within 0.2 s"),
    "never answers": ({SEND: HANG}, "within 0.2 s"),
    "another batch": ({'request["batch"],': "-1,"}, "batch -1"),
    "half a line": ({SEND: "sys.stdout.write('{\"ba'); sys.exit()"}, "no JSON"),
    "endless": (
        {SEND: "[sys.stdout.write('x' * 65536) for _ in range(999)]"},
        "more than 4 MB, which begin “xxx",
    ),
    "ends": ({READ: f"sys.exit()\n{READ}"}, "code 0"),
}


@pytest.mark.parametrize("kind", EVIL)
def test_a_bad_process_is_stopped_and_named(audit, tmp_path, monkeypatch, kind):
    changes, what = EVIL[kind]
    if "code" not in what:  # it goes on, so that its end is waited for in vain
        monkeypatch.setattr(connections, "_ENDING_S", 0.05)
    with pytest.raises(AuditError) as error:
        ask(audit, write_judge(tmp_path, changes), timeout=0.2 if "within" in what else 20.0)
    for piece in ("no answer to 3 batches in a row", "batch 3 (masks ", what, "judge.py"):
        assert piece in str(error.value)
    if kind == "dies":
        assert "it said last: out of memory" in str(error.value)
    assert len(read_judgements(audit.path)) == 0
    assert not [t for t in threading.enumerate() if t.name.startswith("judge")]


def test_what_a_slow_process_said_last_is_named(audit, tmp_path):
    command = write_judge(tmp_path, {SEND: f"print('no GPU', file=sys.stderr, flush=True); {HANG}"})
    with pytest.raises(AuditError, match="within 2 s; it said last: no GPU"):
        ask(audit, command, budget=4, timeout=2.0)


def test_what_a_process_says_while_it_is_being_asked_is_read():
    """Neither side waits for the other, though the request and the answer fill every pipe."""
    request = b"x" * (3 << 20)
    writes = "while True: print('y')"
    echoes = """
import sys
for piece in iter(lambda: sys.stdin.buffer.read1(4096), b""):
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
"""
    for code, reply in ((writes, b"y\n"), (echoes, request + b"\n")):
        process = JudgeProcess([sys.executable, "-c", code])
        assert process.ask(request, 60.0) == reply
        process.stop()
    with pytest.raises(JudgeTrouble, match="it sent no JSON: “y”"):
        parse_answers(b"y\n", 1, ["a"])


def test_progress_counts_what_was_answered(audit, tmp_path):
    command = write_judge(
        tmp_path, {"    send(": "    if request['batch'] == 2: sys.exit(1)\n    send("}
    )
    curate.judge(audit, write_judge(tmp_path, {}, "other.py"), budget=3)
    told = []
    given = {"budget": 100, "batch": 8, "retries": 0}
    found = curate.judge(audit, command, **given, progress=lambda *now: told.append(now))
    assert [now[1:] for now in told if now[0] == "judging"] == [
        (8, MASKS, 8),
        (8, MASKS, 0),
        (16, MASKS, 8),
    ]
    assert found.asked == 16
    (failed,) = found.failed
    assert "without an answer, for the next call: 8 masks" in found.text()
    for mask_id in failed.mask_ids:
        assert str(mask_id) in found.text().split("no answer to batch 2 (masks ")[1].split(")")[0]


def test_trouble_is_tried_again_with_longer_pauses(audit, tmp_path):
    flag = tmp_path / "tries"
    first = (
        f"import os\nn = os.path.getsize({str(flag)!r}) if os.path.exists({str(flag)!r}) else 0\n"
        f"open({str(flag)!r}, 'a').write('x')\nif n < 3: sys.exit(1)\nfor line in"
    )
    record, pauses = ask(audit, write_judge(tmp_path, {"for line in": first}), retries=3)
    assert (record.asked, record.failed) == (MASKS, [])
    assert pauses == [1.0, 2.0, 4.0]


def test_a_batch_without_an_answer_is_counted_and_the_others_go_on(audit, tmp_path):
    command = write_judge(
        tmp_path, {"    send(": "    if request['batch'] == 2: sys.exit(1)\n    send("}
    )
    record, _ = ask(audit, command)
    assert record.asked == MASKS - 4
    (failed,) = record.failed
    assert (failed.number, len(failed.mask_ids)) == (2, 4)
    answered = read_judgements(audit.path)["mask_id"].to_pylist()
    assert not set(failed.mask_ids) & set(answered)
    assert len(answered) == MASKS - 4
    found = curate.judge(audit, command, budget=100, batch=24, retries=0)
    assert (found.asked, found.known) == (4, 20)  # the rest is one batch now
    assert "no answer" not in found.text()


def test_if_nothing_is_answered_it_says_so(audit, tmp_path):
    command = write_judge(tmp_path, {"    log(": "    sys.exit(1)\n    log("})
    with pytest.raises(AuditError, match=r"no answer to batch 1.*nothing was answered"):
        ask(audit, command, budget=3)


def test_a_process_gets_pictures_that_show_the_mask(audit, tmp_path):
    keep = f"    open({str(tmp_path / 'sent.json')!r}, 'w').write(line)\n    log("
    ask(audit, write_judge(tmp_path, {"    log(": keep}), budget=1)
    request = json.loads((tmp_path / "sent.json").read_text())
    assert (request["protocol"], request["batch"]) == (1, 1)
    (mask,) = request["masks"]
    assert set(mask) == {*("id", "category", "width", "height", "bbox"), *PICTURES}
    assert (mask["category"], mask["width"], mask["height"]) == ("cat", 50, 40)
    drawn = {name: Image.open(io.BytesIO(base64.b64decode(mask[name]))) for name in PICTURES}
    assert {one.format for one in drawn.values()} == {"PNG"}
    assert drawn["picture"].size == drawn["overlay"].size == (50, 40)
    assert 128 < max(drawn["zoom"].size) <= 256  # a window of under 40 px, enlarged
    x, y, w, h = map(int, mask["bbox"])
    changed = np.any(np.asarray(drawn["picture"]) != np.asarray(drawn["overlay"]), axis=2)
    inside = np.zeros((40, 50), bool)
    inside[y : y + h, x : x + w] = True
    assert changed[inside].all()
    assert not changed[: max(y - 1, 0)].any()
    assert not changed[:, : max(x - 1, 0)].any()


PICTURES = ("picture", "overlay", "zoom")


# --- an address ----------------------------------------------------------------------------------


def test_an_address_judges(audit):
    with serve_judge(judge_well) as (url, requests):
        found = curate.judge(audit, url, budget=100, batch=10)
        again = curate.judge(audit, url, budget=100, batch=10)
    assert [len(one["masks"]) for one in requests] == [10, 10, 4]
    assert requests[0]["path"] == "/judge?model=a"
    assert (found.asked, found.accepted, again.asked) == (MASKS, MASKS, 0)
    masks = found.audit.masks(["judge_score", "judge_reason"])
    assert (masks["judge_score"] == 1).all()
    assert masks["judge_reason"].isna().all()
    assert "?model" not in found.judge  # it may hold a secret
    assert "this machine" in found.place


def failing(status=500, headers=None, reply=b"out <b>of</b> memory"):
    return lambda _: (status, headers or {}, reply)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (failing(), "HTTP 500: “out <b>of</b> memory”"),
        (failing(404), "HTTP 404"),
        (failing(200, reply=b"x" * (MOST_BYTES + 10)), "more than 4 MB"),
        (failing(200, {"Content-Length": "99999999999"}, b"{}"), "no object"),
        (failing(200, reply=b"<html>"), "no JSON"),
        (lambda _: threading.Event().wait(3) or failing()(_), "within 1 s"),
    ],
)
def test_a_bad_address_is_named(audit, answer, what):
    with serve_judge(answer) as (url, _), pytest.raises(AuditError, match=what):
        ask(audit, url, timeout=1.0 if "within" in what else 20.0, budget=4)


def test_a_connection_that_notices_its_limit_first_says_the_same(monkeypatch):
    def late(*_):
        raise TimeoutError("timed out")

    connection = connections.JudgeEndpoint("http://127.0.0.1:9/")
    monkeypatch.setattr(connection, "_post", late)
    with pytest.raises(JudgeTrouble, match="did not answer within 7 s"):
        connection.ask(b"{}", 7.0)


def test_an_address_that_drips_is_broken_off(audit):
    """Each byte comes soon after the one before, and the answer never ends."""
    ended = threading.Event()

    def drip(listener):
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while not ended.wait(0.05):
                    connection.sendall(b" ")
            except OSError:
                ended.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(AuditError, match="within 1 s"):
            ask(audit, url, timeout=1.0, budget=2)
        assert ended.wait(20), "the connection is still open"
        thread.join()


def test_no_redirection_is_followed(audit):
    with serve_judge(judge_well) as (there, requests):
        for status in (301, 302, 307, 308):
            away = failing(status, {"Location": there})
            with serve_judge(away) as (url, _), pytest.raises(CallError, match="not followed"):
                ask(audit, url, retries=5)
        assert requests == []


def test_nobody_listens(audit):
    with serve_judge(judge_well) as (url, _):
        pass
    with pytest.raises(AuditError, match=r"it broke off .*refused"):
        ask(audit, url)


def test_the_command_line_asks_before_it_sends(audit, tmp_path, capsys, monkeypatch):
    command = " ".join(write_judge(tmp_path))
    words = ["judge", str(audit.path), "--with", command, "--budget", "6"]
    assert run(words) == 2
    said = capsys.readouterr()
    assert "pictures of 6 masks would be sent" in said.err
    assert "confirm with --yes" in said.err
    assert "6 masks" in said.out
    assert run([*words, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dry_run"] is True
    assert read_asked(tmp_path) == []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "no")
    assert run(words) == 2
    assert read_asked(tmp_path) == []
    monkeypatch.setattr("builtins.input", lambda _: "6")
    assert run(words) == 0
    assert sum(read_asked(tmp_path)) == 6
    capsys.readouterr()
    assert run([*words, "--json"]) == 0  # nothing is sent, so nobody need be asked
    told = json.loads(capsys.readouterr().out)
    assert (told["asked"], told["known"], told["unanswered"]) == (0, 6, [])
    assert run([*words[:3], "'", "--budget", "6"]) == 2
    assert "check its quotes" in capsys.readouterr().err


def test_a_command_that_is_stopped_stops_its_judge(audit, tmp_path):
    pids, hang = tmp_path / "pid", f"    {HANG}\n    send("
    body = f"import os\nopen({str(pids)!r}, 'w').write(str(os.getpid()))\n{READ}"
    judge = " ".join(write_judge(tmp_path, {READ: body, "    send(": hang}))
    words = ["judge", str(audit.path), "--with", judge, "--budget", "5", "--yes"]
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.argv = ['curate', *{words!r}]\n"
        "from curate.cli import main\nmain()\n"
    )
    curate_process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    pid = int(until(lambda: pids.exists() and pids.read_text(), "the judge"))
    until(lambda: read_asked(tmp_path), "its question")
    curate_process.send_signal(signal.SIGINT)
    _, said = curate_process.communicate(timeout=60)
    assert curate_process.returncode == 130, said
    assert "Traceback" not in said
    until(lambda: not is_alive(pid), "its end")
    assert find_holder(audit.path) is None
