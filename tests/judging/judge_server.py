"""A local HTTP server that judges masks, well or badly."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], bytes]
Answer = Callable[[dict[str, Any]], Reply]


def judge_well(request: dict[str, Any]) -> Reply:
    """Accept every mask, without a number or a reason."""
    answers = [{"id": mask["id"], "accept": True} for mask in request["masks"]]
    return 200, {}, json.dumps({"batch": request["batch"], "answers": answers}).encode()


@contextmanager
def serve_judge(answer: Answer) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Run a server; give its address, and the list of requests that it gets."""
    requests: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(json.loads(body) | {"path": self.path})
            status, headers, reply = answer(requests[-1])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(reply)
            except OSError:
                self.close_connection = True  # nobody waits any more

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/judge?model=a", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
