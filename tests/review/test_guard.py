"""What no page of ours would ask is refused, and no answer tells what it must not."""

from __future__ import annotations

import json
import socket
import stat
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import uvicorn
from hand_clock import HandClock
from server import Client, Serve, event

from curate.people.reviews import open_reviews
from curate.people.webapp import middleware
from curate.people.webapp import server as idle_connections
from curate.people.webapp.middleware import AllowedHosts
from curate.people.webapp.tokens import Tokens
from curate.store.audit import StoredAudit, open_audit

PASSWD = (
    "/../../../../etc/passwd",
    "/static/../../../../etc/passwd",
    "/static/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/static/..%5c..%5cetc%5cpasswd",
    "/static/%252e%252e%252fetc%252fpasswd",
    "/static//etc/passwd",
    "/static/index.html/../../../etc/passwd",
    "/static/index.html%00.js",
    "/api/picture/../../etc/passwd?view=card",
    "/api/picture/..%2f..%2fetc%2fpasswd?view=card",
    "/api/picture/1?view=../../../etc/passwd",
    "/api/mask/%2fetc%2fpasswd",
    "//etc/passwd",
    "/static/app.py",
    "/static/__init__.py",
)


@pytest.mark.parametrize("path", PASSWD)
def test_no_spelling_of_a_path_leaves_what_is_served(visitor: Client, path: str) -> None:
    status, _, body = visitor.ask("GET", path)
    assert status in (400, 404)
    assert set(json.loads(body)) == {"error"}
    assert b"root:" not in body
    assert b"/work" not in body


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1:1", "127.0.0.1", "localhost.evil:{port}",
     "127.0.0.1:{port}@evil", "[::2]:{port}", "127.0.0.1:0{port}0", ""],
)  # fmt: skip
def test_another_name_is_not_ours(visitor: Client, host: str) -> None:
    host = host.format(port=visitor.server.port)
    for path in ("/", "/api/about", "/static/index.html"):
        assert visitor.ask("GET", path, Host=host)[0] in (400, 421)
    body = {"client": visitor.client, "items": []}
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert visitor.ask("POST", "/api/release", body, **headers)[0] in (400, 421)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_this_machines_own_names_are_ours(visitor: Client, host: str) -> None:
    host = f"{host}:{visitor.server.port}"
    body = visitor.who() | {"items": []}
    headers = {"Host": host, "Origin": f"http://{host.lower()}"}
    assert visitor.ask("POST", "/api/release", body, **headers)[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": "multipart/form-data; boundary=application/json"}, 415),
        ({"Content_Type": ""}, 415),
    ],
)
def test_another_sites_page_writes_nothing(
    visitor: Client, headers: dict[str, str], status: int
) -> None:
    visitor.reviewer = str(headers)
    item = visitor.next()["cards"][0]["item"]
    made = {
        "client": visitor.client,
        "reviewer": visitor.reviewer,
        "now": 0,
        "events": [visitor.decide(item)],
    }
    assert visitor.ask("POST", "/api/events", made, **headers)[0] == status
    assert visitor.next()["progress"]["mine"] == 0


def test_another_sites_page_reads_nothing(visitor: Client) -> None:
    for path in ("/api/about", "/api/picture/3?view=card", "/api/session"):
        assert visitor.ask("GET", path, Sec_Fetch_Site="cross-site")[0] == 403
    assert visitor.ask("GET", "/", Sec_Fetch_Site="cross-site")[0] == 200  # a link may lead here


def test_other_methods_are_refused(visitor: Client) -> None:
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT"):
        assert visitor.ask(method, "/api/about")[0] in (400, 405)
    assert visitor.ask("POST", "/api/about", {})[0] == 405
    assert visitor.ask("GET", "/api/events")[0] == 405


def test_every_answer_has_the_headers(visitor: Client) -> None:
    card = visitor.next()["cards"][0]
    answers = [
        visitor.ask("GET", "/"),
        visitor.ask("GET", "/nothing"),
        visitor.ask("GET", card["picture"]),
        visitor.ask("GET", "/api/about", Host="evil.example"),
        visitor.ask("POST", "/api/next", b"{"),
    ]
    for _, headers, _ in answers:
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


def test_a_body_is_counted_while_it_is_read(visitor: Client) -> None:
    assert visitor.ask("POST", "/api/next", b"{", Content_Length="9000000")[0] == 413
    with socket.create_connection(("127.0.0.1", visitor.server.port)) as raw:
        head = (
            f"POST /api/next HTTP/1.1\r\nHost: 127.0.0.1:{visitor.server.port}\r\n"
            f"Origin: {visitor.server.url}\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        raw.sendall(head.encode())
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        try:
            for _ in range(9):  # nothing says how long it will be
                raw.sendall(chunk)
            answer = raw.recv(1000)
        except ConnectionError:
            answer = b"HTTP/1.1 413"
        assert b" 413" in answer.splitlines()[0]
    assert visitor.next()["cards"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000,
        b'{"client": 5}', b'{"client": "abcdefgh", "count": 1e400}', b'{"client": "a b c d e f"}',
        b'{"client": "abcdefgh", "count": 0}', b'{"client": "abcdefgh", "count": 49}',
        b'{"client": "abcdefgh", "count": true}', b'{"client": "abcdefgh", "count": "1"}',
        b'{"client": "abcdefgh", "count": 1, "order": "worst"}',
        b'{"client": "abcdefgh", "count": 1, "holding": ["1"]}',
        b'{"client": "abcdefgh", "count": 1, "holding": ["99999999999999999999.0"]}',
        b'{"client": "abcdefgh", "count": 1, "reviewer": "\\u0000"}',
        b'{"client": "abcdefgh", "count": 1, "reviewer": "\\ud800"}',
        b'{"client": "abcdefgh", "count": 1, "filter": {"reason": "../../etc"}}',
        b'{"client": "abcdefgh", "count": 1, "filter": {"score": {"column": "a;drop table"}}}',
    ],
)  # fmt: skip
def test_a_request_that_is_none_is_refused_in_words(visitor: Client, body: bytes) -> None:
    status, _, answer = visitor.ask("POST", "/api/next", body)
    assert status == 400
    said = json.loads(answer)["error"]
    assert said
    assert "Traceback" not in said
    assert "/" not in said


def test_a_column_that_is_no_score_is_no_filter(visitor: Client) -> None:
    body = visitor.who() | {"count": 1, "filter": {"score": {"column": "mask_id"}}}
    status, _, answer = visitor.ask("POST", "/api/next", body)
    assert (status, b"no such score" in answer) == (400, True)


def test_bad_events_are_refused_and_good_ones_beside_them_stand(visitor: Client) -> None:
    visitor.reviewer = "events"
    first, second, third = (card["item"] for card in visitor.next(3)["cards"])
    good = visitor.decide(first)
    bad = [
        visitor.decide(second, "delete"),
        visitor.decide(second, "fix"),
        visitor.decide(second, "fix", counts="\x7f\x7f not counts"),
        visitor.decide(second, "fix", counts="0" * 100_000),
        visitor.decide(second, "accept", seconds=-1),
        visitor.decide("999999.0"),
        event("missing", image_id="12345", category="a", counts="abc"),
        event("missing", image_id="0", category="x" * 501, counts="abc"),
        event("withdraw", item=third, of="no-such-key-at-all"),
        event("dance", item=third),
        event("looked", image_id="77777"),
    ]
    last = visitor.decide(third, "reject")
    answer = visitor.send(good, *bad, last)
    assert answer["done"] == [good["key"], last["key"]]
    assert {r["key"] for r in answer["refused"]} == {one["key"] for one in bad}
    assert all(r["error"] and "/" not in r["error"] for r in answer["refused"])
    assert answer["progress"]["mine"] == 2


EVIL = [
    "<script>alert(1)</script>",
    "'; drop table decisions; --",
    "\u202eevil\u202c",
    "é",
]


@pytest.mark.parametrize("name", EVIL)
def test_names_are_only_ever_values(visitor: Client, name: str) -> None:
    other = Client(visitor.server, name)
    assert other.send(other.decide(other.next()["cards"][0]["item"]))["progress"]["mine"] == 1
    kept = open_reviews(open_audit(visitor.server.audit)).decisions()
    assert kept["reviewer"].tolist()[-1] == name
    for path in ("/", "/api/about"):
        _, headers, body = visitor.ask("GET", path)
        assert path != "/" or b"scene" not in body  # the page itself holds no data
        assert path == "/" or headers["content-type"] == "application/json"


def test_names_that_break_lines_are_refused(visitor: Client) -> None:
    other = Client(visitor.server, "a\nb")
    body = other.who() | {"count": 1, "holding": []}
    status, _, answer = visitor.ask("POST", "/api/next", json.dumps(body).encode())
    assert (status, b"line break" in answer) == (400, True)


def test_a_name_in_an_address_is_not_echoed(visitor: Client) -> None:
    evil = "<script>alert(1)</script>"
    for path in (f"/{quote(evil)}", f"/static/{quote(evil)}", f"/api/mask/{quote(evil)}"):
        assert b"script" not in visitor.ask("GET", path)[2]


TOKEN = "correct horse battery staple"


@pytest.fixture
def guarded(serve: Serve) -> Client:
    return Client(serve("--host", "0.0.0.0", env={"CURATE_REVIEW_TOKEN": TOKEN}))


def test_another_address_demands_the_token(guarded: Client) -> None:
    assert guarded.get("/api/session") == {
        "signed_in": False,
        "needs_token": True,
        "reviewer": "",
    }
    assert guarded.ask("GET", "/")[0] == 200
    for path in ("/api/about", "/api/mask/3", "/api/picture/3?view=card", "/api/image/0"):
        assert guarded.ask("GET", path)[0] == 401
    assert guarded.ask("GET", f"/api/about?token={quote(TOKEN)}")[0] == 401
    for wrong in ("", "correct", TOKEN + " x"):
        assert guarded.ask("POST", "/api/session", {"token": wrong})[0] == 403
    status, headers, _ = guarded.ask("POST", "/api/session", {"token": TOKEN})
    assert status == 200
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie
    guarded.cookie = cookie.partition(";")[0]
    assert guarded.get("/api/session")["signed_in"]
    assert guarded.next()["cards"]
    guarded.server.kill()
    guarded.server.start()
    assert guarded.next()["cards"]  # the cookie outlives the server
    guarded.cookie = guarded.cookie[:-1] + ("0" if guarded.cookie[-1] != "0" else "1")
    assert guarded.ask("GET", "/api/about")[0] == 401
    assert TOKEN not in "".join(guarded.server.printed) + guarded.server.stop()


def test_a_token_is_made_and_kept_to_oneself(serve: Serve, audit: StoredAudit) -> None:
    server = serve("--host", "0.0.0.0")
    kept = audit.path.parent / "state" / "curate" / "review-token"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    token = kept.read_text().strip()
    assert len(token) > 30
    client = Client(server)
    assert client.ask("POST", "/api/session", {"token": token})[0] == 200
    printed = server.stop()
    assert str(kept) in printed
    assert token not in printed


def test_a_token_can_stand_in_a_file(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    client = Client(serve("--token-file", str(tmp_path / "token")))
    assert client.ask("GET", "/api/about")[0] == 401
    assert client.ask("POST", "/api/session", {"token": TOKEN})[0] == 200


def test_old_and_foreign_cookies_are_no_good() -> None:
    tokens, hands = Tokens(TOKEN), HandClock()
    assert tokens.is_good(tokens.cookie())
    hands.jump(-31 * 24 * 3600)
    assert not tokens.is_good(Tokens(TOKEN, hands.clock).cookie())
    assert not tokens.is_good(Tokens("another token of some length").cookie())
    assert not tokens.is_good("")
    assert not tokens.is_good("é.é")
    assert Tokens("").is_good("")


def test_listening_everywhere_takes_addresses_and_its_own_name_only() -> None:
    everywhere = AllowedHosts("0.0.0.0", 8765)
    assert everywhere.has("192.168.7.9:8765")
    assert everywhere.has(f"{socket.gethostname()}:8765")
    assert not everywhere.has("rebound.example:8765")
    one = AllowedHosts("192.168.7.9", 8765)
    assert one.has("192.168.7.9:8765")
    assert not one.has("192.168.7.10:8765")


def test_nothing_of_a_request_is_logged(serve: Serve) -> None:
    client = Client(serve())
    client.reviewer = "Secretive Person"
    client.send(client.decide(client.next()["cards"][0]["item"]))
    client.ask("GET", "/api/nothing?token=abc")
    printed = client.server.stop()
    assert "Secretive" not in printed
    assert "token" not in printed
    assert "GET" not in printed


def test_connections_that_say_nothing_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_connections, "FIRST_REQUEST_S", 0.3)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here"})

    config = uvicorn.Config(
        answer, http=idle_connections.FirstRequestTimeout, log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    bound = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    address = bound.getsockname()
    with socket.create_connection(address) as silent, socket.create_connection(address) as half:
        half.sendall(b"GET / HTTP/1.1\r\nHost: a")
        for quiet in (silent, half):
            quiet.settimeout(20)
            assert quiet.recv(100) == b""
    with socket.create_connection(address) as asking:
        asking.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200 OK" in asking.recv(1000)
    server.should_exit = True
    thread.join(20)
    bound.close()


def test_names_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def getfqdn() -> str:
        asked.append(1)
        return "desk.example"

    monkeypatch.setattr(socket, "getfqdn", getfqdn)
    middleware._find_own_names.cache_clear()
    everywhere = AllowedHosts("0.0.0.0", 80)
    assert everywhere.has("10.0.0.3:80")
    assert not asked
    assert everywhere.has("desk.example:80")
    assert not everywhere.has("evil.example:80")
    assert len(asked) == 1
    middleware._find_own_names.cache_clear()
