"""Pictures: only by mask, rendered once, and never one that is too large or outside the folder."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.images import Box, ImageFolder
from curate.images import image_folder as folder_module
from curate.people.webapp.picture_cache import ViewCache, ViewRequest


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def bomb(width: int, height: int) -> bytes:
    """Return a small PNG that would decode to a huge picture."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(b"\0" * 10_000_000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    own = tmp_path / "pictures"
    own.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (80, 120, 3), np.uint8)
    Image.fromarray(pixels).save(own / "a.png")
    (tmp_path / "secret.png").write_bytes((own / "a.png").read_bytes())
    (own / "link.png").symlink_to(tmp_path / "secret.png")
    (own / "bomb.png").write_bytes(bomb(40_000, 40_000))
    (own / "broken.png").write_bytes((own / "a.png").read_bytes()[:200])
    return own


def shown(
    views: ViewCache, name: str, size: tuple[int, int] = (80, 120), **more: Any
) -> bytes | None:
    found = asked(views, name, size, **more)
    return found if isinstance(found, bytes) else None


def asked(
    views: ViewCache, name: str, size: tuple[int, int] = (80, 120), **more: Any
) -> bytes | str:
    view = ViewRequest(name, size, **({"box": Box(10, 20, 30, 40), "longest": 1024} | more))
    return views.ask(view).result(30)


def test_a_view_is_the_window_of_the_picture(folder: Path) -> None:
    views = ViewCache(ImageFolder(folder))
    packed = shown(views, "a.png")
    assert packed is not None
    with Image.open(io.BytesIO(packed)) as image:
        assert (image.format, image.size) == ("JPEG", (30, 40))
        found = np.asarray(image.convert("RGB"), float)
    want = np.asarray(Image.open(folder / "a.png").convert("RGB"), float)[20:60, 10:40]
    assert abs(found.mean(axis=(0, 1)) - want.mean(axis=(0, 1))).max() < 8
    whole = shown(views, "a.png", box=None, longest=60)
    assert whole is not None
    with Image.open(io.BytesIO(whole)) as image:
        assert image.size == (60, 40)


def test_what_is_rendered_is_rendered_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views, made = ViewCache(ImageFolder(folder)), []
    real = views._encode
    monkeypatch.setattr(views, "_encode", lambda view: made.append(view) or real(view))
    view = ViewRequest("a.png", (80, 120), Box(0, 0, 50, 50), 1024)
    asked = [views.ask(view) for _ in range(20)]
    assert len({future.result(30) for future in asked}) == 1
    (folder / "a.png").unlink()
    assert views.ask(view).result(30) == asked[0].result()
    assert len(made) == 1


@pytest.mark.parametrize(
    "name",
    ["link.png", "../secret.png", "../../secret.png", "/etc/passwd", "broken.png", "none.png", "",
     "a.png\0", "..\\secret.png", "pictures/../../secret.png"],
)  # fmt: skip
def test_nothing_else_is_a_picture(folder: Path, name: str) -> None:
    assert shown(ViewCache(ImageFolder(folder)), name) is None


def test_a_bomb_is_refused_before_it_is_decoded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    real = folder_module.Pixels

    def decode(path: Path, *how: Any) -> Any:
        decoded.append(path.name)
        return real(path, *how)

    monkeypatch.setattr(folder_module, "Pixels", decode)
    why = asked(ViewCache(ImageFolder(folder)), "bomb.png", (40_000, 40_000))
    assert why == (
        "it is 40000 x 40000 px, over the limit of 1,000,000,000 pixels: "
        "set CURATE_PICTURE_MEGAPIXELS=1600 if it is sound"
    )
    assert shown(ViewCache(ImageFolder(folder)), "a.png")
    assert decoded == ["a.png"]


def test_why_there_is_no_picture_is_told(folder: Path) -> None:
    views = ViewCache(ImageFolder(folder))
    assert asked(views, "none.png") == "the folder has no file of this name"
    assert "ends too early" in str(asked(views, "broken.png"))
    assert "another size" in str(asked(views, "a.png", (81, 120)))
    assert "over 80,000,000 pixels" in str(views.pixels("a.png", (10_000, 10_000)))


def test_the_caches_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.people.webapp.picture_cache.ENCODED_BYTES", 5_000)
    monkeypatch.setattr("curate.people.webapp.picture_cache.DECODED_BYTES", 40_000)
    Image.new("RGB", (120, 80), (200, 30, 30)).save(folder / "b.png")
    views = ViewCache(ImageFolder(folder))
    for k in range(20):
        assert shown(views, "ab"[k % 2] + ".png", box=Box(k, 0, 60, 60))
    assert sum(len(kept or b"") for kept in views._made.values()) <= 5_000
    assert len(views._decoded) == 1
    views.close()
