from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from curate.store.audit import StoredAudit, open_audit
from curate.store.audit_files import write_info
from curate.store.audit_records import SourceRecord

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "report"))

from page import (  # noqa: F401
    one_wide_server,
    run_wide,
    serve_wide,
    shared,
    tab,
    wide,
    wide_audit,
)
from scenes import write_scenes
from server import Client, Hosted, Serve, Server, servers_on


@pytest.fixture(scope="session")
def drawn_audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn audit that knows its pictures; tests take copies of it."""
    audit, pictures = write_scenes(tmp_path_factory.mktemp("review"))
    source: SourceRecord = {
        **audit.info.source,
        "fingerprint": "0123456789abcdef0123456789abcdef",
    }
    info = replace(audit.info, source=source, inputs={"images": str(pictures)})
    write_info(audit.path, info)
    return audit.path


@pytest.fixture
def audit(drawn_audit: Path, tmp_path: Path) -> StoredAudit:
    """A copy of the drawn audit."""
    shutil.copytree(drawn_audit, tmp_path / "audit")
    return open_audit(tmp_path / "audit")


@pytest.fixture
def serve(audit: StoredAudit) -> Iterator[Serve]:
    """Start servers on the audit; they end with the test."""
    yield from servers_on(audit.path)


@pytest.fixture(scope="module")
def one_server(drawn_audit: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the tests of a module that need no fresh one."""
    folder = tmp_path_factory.mktemp("one")
    shutil.copytree(drawn_audit, folder / "audit")
    server = Server(folder / "audit").start()
    yield server
    server.kill()


@pytest.fixture
def visitor(one_server: Server) -> Iterator[Client]:
    """A new page of the module's server; it gives back what it did not decide on."""
    client = Client(one_server)
    yield client
    client.post("/api/release", **client.who(), items=client.given)


@pytest.fixture
def client(audit: StoredAudit) -> Iterator[Client]:
    """A page of a server on the audit."""
    server = Hosted(audit.path).start()
    yield Client(server)
    server.kill()
