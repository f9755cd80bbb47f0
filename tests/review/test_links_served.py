"""What a stranger's file names and links reach: nothing outside of the folder of pictures.

Over the real server, and in the report and in queues, which copy pictures.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from server import Client, Serve, servers_on

import curate
from curate.images import ImageFolder
from curate.people.exchange import write_queue
from curate.people.exchange.registry import ExportOptions
from curate.people.reviews import open_reviews
from curate.reporting.page import write_report
from curate.store.audit import StoredAudit, open_audit

SECRET = (250, 3, 197)
"""A colour that no picture of the dataset has."""

INSIDE = {"own.png", "link_inside.png", "below/own.png", "/home/them/below/deep.png"}
"""Names whose picture lies in the folder: a link within it, a path of another machine."""

OUTSIDE = [
    "../secret.png",
    "below/../../secret.png",
    "{root}/secret.png",
    "file://{root}/secret.png",
    "..\\secret.png",
    "%2e%2e/secret.png",
    "link.png",
    "link",
    "chained.png",
    "folder_link/secret.png",
    "up/secret.png",
    "later.png",
]
"""Names of a picture beside the folder, which no name and no link in it may reach."""


def painted(path: Path, colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (120, 80), colour).save(path)


def linked(root: Path) -> Path:
    """Make a folder of pictures with links as a dataset could plant them."""
    own = root / "pictures"
    for name in ("own.png", "below/own.png", "below/deep.png", "later.png"):
        painted(own / name, (40, 90, 60))
    painted(root / "secret.png", SECRET)
    (own / "link_inside.png").symlink_to("below/own.png")
    (own / "link.png").symlink_to(root / "secret.png")
    (own / "chained.png").symlink_to("link.png")
    (own / "folder_link").symlink_to(root)
    (own / "up").symlink_to("..")
    return own


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    return [*INSIDE, *(name.format(root=tmp_path) for name in OUTSIDE)]


@pytest.fixture
def planted(tmp_path: Path, names: list[str]) -> StoredAudit:
    """An audit of one mask a name; one file becomes a link once the audit is made."""
    own = linked(tmp_path)
    square = [[20, 20, 60, 20, 60, 50, 20, 50]]
    made = {
        "images": [
            {"id": k, "file_name": name, "height": 80, "width": 120}
            for k, name in enumerate(names, 1)
        ],
        "annotations": [
            {"id": k, "image_id": k, "category_id": 1, "segmentation": square}
            for k in range(1, len(names) + 1)
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(made))
    rule = {"when": "area_px > 0", "action": "review", "reason": "all are", "always": True}
    policy = {"name": "all", "rule": [rule]}
    audit = curate.audit(tmp_path / "a.json", tmp_path / "audit", images=own, policy=policy)
    (own / "later.png").unlink()
    (own / "later.png").symlink_to(tmp_path / "secret.png")
    return open_audit(audit.path)


def is_secret(image: Image.Image) -> bool:
    pixels = np.asarray(image.convert("RGB"), np.int64).reshape(-1, 3)
    return bool((np.abs(pixels - SECRET).sum(axis=1) < 90).any())


@pytest.fixture
def serve(planted: StoredAudit) -> Iterator[Serve]:
    """Start servers on the audit of planted names; they end with the test."""
    yield from servers_on(planted.path)


def test_the_server_serves_the_folder_and_nothing_else(serve: Serve, names: list[str]) -> None:
    client = Client(serve())
    for number, name in enumerate(names, 1):
        for view in ("card", "near", "whole"):
            status, _, body = client.ask("GET", f"/api/picture/{number}?view={view}")
            assert status == (200 if name in INSIDE else 404), name
            if status == 200:
                with Image.open(io.BytesIO(body)) as image:
                    assert not is_secret(image)


def test_the_report_and_queues_hold_the_folder_and_nothing_else(
    planted: StoredAudit, tmp_path: Path
) -> None:
    secret = (tmp_path / "secret.png").read_bytes()
    write_report(planted, tmp_path / "report.html", images=tmp_path / "pictures")
    page = (tmp_path / "report.html").read_text()
    found = re.findall(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", page)
    assert found
    for one in found:
        with Image.open(io.BytesIO(base64.b64decode(one))) as image:
            assert not is_secret(image)
    rows = curate.queue(planted.path, actions=("accept", "review", "reject"))
    open_reviews(planted, create=True)
    for crops in (False, True):
        for tool in ("cvat", "fiftyone", "label-studio"):
            out = tmp_path / f"{tool}-{crops}"
            write_queue(planted, rows, out, tool, how=ExportOptions(crops))
            written = [p for p in out.rglob("*") if p.suffix in (".png", ".jpg")]
            assert len(written) >= len(INSIDE) - 1
            for path in written:
                assert not path.is_symlink()
                assert path.read_bytes() != secret
                with Image.open(path) as image:
                    assert not is_secret(image)


def test_a_folder_that_is_a_link_itself_is_the_folder_given(tmp_path: Path) -> None:
    own = linked(tmp_path)
    (tmp_path / "given").symlink_to(own)
    images = ImageFolder(tmp_path / "given")
    assert images.load("own.png") is not None
    assert images.load("link.png") is None
    assert images.inspect("link.png", (80, 120)).detail.startswith("its file is a link that leads")
