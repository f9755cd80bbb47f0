"""Embeddings on disk: the same bits back, never too many, whoever else is at work there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.errors import CallError
from curate.networks.segmenters.embedding_cache import EmbeddingCache, default_folder, default_limit
from curate.networks.segmenters.segmenter import Embedding, Frame

pytest.importorskip("safetensors")

SIZE = 40_000


@dataclass
class Counting:
    """A segmenter that embeds a picture as numbers made of its pixels, and counts its work."""

    fingerprint: str = "abc"
    precision: str = "float32"
    room: int = 100
    embedded: list[int] = field(default_factory=list)

    def embed(self, images: Sequence[Any]) -> list[Embedding]:
        if len(images) > self.room:
            raise MemoryError("out of memory")
        self.embedded.append(len(images))
        return [self._one(image) for image in images]

    def _one(self, image: Any) -> Embedding:
        rng = np.random.default_rng(int(image.sum()))
        values = rng.normal(size=SIZE // 8).astype(np.float32)
        values[:3] = np.nan, np.inf, -0.0
        half = rng.integers(0, 65536, SIZE // 4, dtype=np.uint16)
        return Embedding(Frame.longest_side(*image.shape[:2], 64), (values, half))

    def pack(self, embedding: Embedding) -> dict[str, Any]:
        return {"values": embedding.parts[0], "half": embedding.parts[1]}

    def unpack(self, arrays: dict[str, Any], frame: Frame) -> Embedding:
        if arrays.keys() != {"values", "half"} or arrays["half"].dtype != np.uint16:
            raise CallError("of another model", "", "")
        return Embedding(frame, (arrays["values"], arrays["half"]))


def picture(seed: int, height: int = 5, width: int = 7) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def same(one: Embedding, other: Embedding) -> bool:
    bits = [[np.asarray(p).tobytes() for p in e.parts] for e in (one, other)]
    return one.frame == other.frame and bits[0] == bits[1]


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def test_what_is_there_comes_back_bit_for_bit(tmp_path: Path) -> None:
    cache, model = EmbeddingCache(tmp_path / "new" / "folder"), Counting()
    images = [picture(k) for k in range(3)]
    first = cache.embed(model, images)
    assert model.embedded == [3]
    assert all(same(a, b) for a, b in zip(first, Counting().embed(images), strict=True))
    again = EmbeddingCache(cache.folder).embed(model, [*images[::-1], images[0], picture(9)])
    assert model.embedded == [3, 1]
    assert all(same(a, b) for a, b in zip(again, [*first[::-1], first[0]], strict=False))
    assert cache.embed(model, []) == []
    assert cache.folder.stat().st_mode & 0o077 == 0


def test_the_same_picture_twice_is_embedded_once(tmp_path: Path) -> None:
    model = Counting()
    found = EmbeddingCache(tmp_path).embed(model, [picture(1), picture(2), picture(1)])
    assert model.embedded == [2]
    assert same(found[0], found[2])
    assert len(entries(tmp_path)) == 2


def test_model_precision_pixels_and_shape_tell_entries_apart(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    flat = np.zeros((4, 6, 3), np.uint8)
    work = [
        (Counting(), flat),
        (Counting(fingerprint="abd"), flat),
        (Counting(precision="bfloat16"), flat),
        (Counting(), flat.reshape(6, 4, 3)),
        (Counting(), flat + np.uint8(1)),
    ]
    for n, (model, image) in enumerate(work):
        (embedding,) = cache.embed(model, [image])
        assert model.embedded == [1]
        assert (embedding.frame.height, embedding.frame.width) == image.shape[:2]
        assert len(entries(tmp_path)) == n + 1
    view = np.zeros((4, 12, 3), np.uint8)[:, ::2]  # not contiguous, and the same pixels
    model = Counting()
    cache.embed(model, [view])
    assert model.embedded == []


def test_the_folder_stays_under_the_limit_and_loses_the_oldest(tmp_path: Path) -> None:
    model = Counting()
    EmbeddingCache(tmp_path).embed(model, [picture(0)])
    (only,) = entries(tmp_path)
    size = only.stat().st_size
    cache = EmbeddingCache(tmp_path, int(4.5 * size))
    stranger = tmp_path / "notes.txt"
    stranger.write_bytes(bytes(10 * size))
    for k in range(1, 4):
        cache.embed(model, [picture(k)])
    assert len(entries(tmp_path)) == 4
    for age, path in enumerate(entries(tmp_path)):
        os.utime(path, ns=(10**9 * (100 + age), 10**9 * (100 + age)))
    by_age = {path: age for age, path in enumerate(entries(tmp_path))}
    oldest = min(by_age, key=by_age.__getitem__)
    seeds = {}
    for k in range(4):
        before = {path: path.stat().st_mtime_ns for path in by_age}
        EmbeddingCache(tmp_path).embed(model, [picture(k)])
        (seeds[k],) = [p for p in by_age if p.stat().st_mtime_ns != before[p]]
        os.utime(seeds[k], ns=(before[seeds[k]], before[seeds[k]]))
    used = next(k for k, path in seeds.items() if path == oldest)
    cache.embed(model, [picture(used)])  # a hit makes the oldest the youngest
    second = sorted(by_age, key=by_age.__getitem__)[1]
    cache.embed(model, [picture(50)])
    assert oldest.exists()
    assert not second.exists()
    for k in range(60, 90):
        cache.embed(model, [picture(k)])
        assert sum(path.stat().st_size for path in entries(tmp_path)) <= cache.limit_bytes
    assert len(entries(tmp_path)) >= 3
    assert stranger.exists()


def test_an_embedding_above_the_limit_is_not_kept(tmp_path: Path) -> None:
    model = Counting()
    small = EmbeddingCache(tmp_path / "small", 1000)
    assert len(small.embed(model, [picture(0), picture(1)])) == 2
    assert entries(tmp_path / "small") == []
    none = EmbeddingCache(tmp_path / "none", 0)
    none.embed(model, [picture(0)])
    none.embed(model, [picture(0)])
    assert model.embedded == [2, 1, 1]
    assert not (tmp_path / "none").exists()


def damage(path: Path, how: str) -> None:
    from safetensors.numpy import save_file

    content = bytearray(path.read_bytes())
    if how == "cut off":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = bytearray()
    elif how == "a bit":
        content[-100] ^= 4
    elif how == "a size":
        content[:8] = (2**62).to_bytes(8, "little")
    elif how == "nothing of ours":
        save_file({"values": np.zeros(3, np.float32)}, path)
        return
    elif how == "pickle":
        import pickle

        content = bytearray(pickle.dumps({"values": 1}))
    path.write_bytes(content)


KINDS = ["cut off", "empty", "a bit", "a size", "nothing of ours", "pickle"]


@pytest.mark.parametrize("how", KINDS)
def test_a_damaged_entry_is_made_again(tmp_path: Path, how: str) -> None:
    cache, model = EmbeddingCache(tmp_path), Counting()
    (first,) = cache.embed(model, [picture(0)])
    (path,) = entries(tmp_path)
    damage(path, how)
    (second,) = cache.embed(model, [picture(0)])
    assert same(first, second)
    assert model.embedded == [1, 1]
    cache.embed(model, [picture(0)])
    assert model.embedded == [1, 1]


def test_an_entry_of_another_form_is_made_again(tmp_path: Path) -> None:
    """Two versions of a segmenter may pack differently under one fingerprint."""

    class Newer(Counting):
        def pack(self, embedding: Embedding) -> dict[str, Any]:
            return {"all": embedding.parts[0]}

        def unpack(self, arrays: dict[str, Any], frame: Frame) -> Embedding:
            if arrays.keys() != {"all"}:
                raise CallError("of another model", "", "")
            return Embedding(frame, (arrays["all"],))

    cache, old, new = EmbeddingCache(tmp_path), Counting(), Newer()
    for model in (old, new, new):
        cache.embed(model, [picture(0)])
    assert (old.embedded, new.embedded) == ([1], [1])
    # The other image's entry under this one's name: told by the frame within.
    cache.embed(old, [picture(1), picture(2, 9, 3)])
    before = set(entries(tmp_path))
    cache.embed(old, [picture(3, 4, 4)])
    (last,) = set(entries(tmp_path)) - before
    for path in before:
        last.write_bytes(path.read_bytes())
        found = cache.embed(old, [picture(3, 4, 4)])
        assert (found[0].frame.height, found[0].frame.width) == (4, 4)


def test_out_of_memory_halves_the_batch(tmp_path: Path) -> None:
    cache, model = EmbeddingCache(tmp_path), Counting(room=3)
    assert len(cache.embed(model, [picture(k) for k in range(10)])) == 10
    assert model.embedded == [2] * 5
    assert len(entries(tmp_path)) == 10


def test_what_was_embedded_before_an_error_is_kept(tmp_path: Path) -> None:
    class Fails(Counting):
        def embed(self, images: Sequence[Any]) -> list[Embedding]:
            if self.embedded:
                raise ValueError("broken")
            return super().embed(images)

    with pytest.raises(ValueError, match="broken"):
        EmbeddingCache(tmp_path).embed(Fails(), [picture(k) for k in range(10)])
    assert len(entries(tmp_path)) == 8


def test_a_folder_that_cannot_be_written_is_done_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / "cache"
    cache, model = EmbeddingCache(folder), Counting()
    for _ in range(3):
        assert len(cache.embed(model, [picture(0), picture(1)])) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"embeddings are not kept: {folder} cannot be written (not a directory)"]


def test_a_folder_that_can_only_be_read_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    EmbeddingCache(tmp_path).embed(Counting(), [picture(0)])

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("utime", "replace", "unlink"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr("tempfile.mkstemp", refuse)
    cache, model = EmbeddingCache(tmp_path), Counting()
    cache.embed(model, [picture(0), picture(1)])
    cache.embed(model, [picture(0), picture(1)])
    assert model.embedded == [1, 1]
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    old, new = tmp_path / ".writing-old", tmp_path / ".writing-new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    EmbeddingCache(tmp_path).embed(Counting(), [picture(0)])
    assert not old.exists()
    assert new.exists()


WORK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_embedding_cache import Counting, picture, same
from curate.networks.segmenters.embedding_cache import EmbeddingCache
cache, model, fresh = EmbeddingCache(Path(sys.argv[2]), int(sys.argv[3])), Counting(), Counting()
for k in range(60):
    image = picture(k * int(sys.argv[4]) % 17)
    (found,) = cache.embed(model, [image])
    assert same(found, fresh.embed([image])[0])
print(len(model.embedded))
"""


def test_several_processes_at_once(tmp_path: Path) -> None:
    """Each reads what the others write and remove, and all is right; the folder stays small."""
    size = 12 * SIZE
    command = [sys.executable, "-c", WORK, str(Path(__file__).parent), str(tmp_path), str(size)]
    running = [
        subprocess.Popen([*command, str(step)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for step in (3, 5, 7)
    ]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, b""), err.decode()
        assert int(out) <= 60
    left = sorted(tmp_path.iterdir())
    assert left == entries(tmp_path)
    assert sum(path.stat().st_size for path in left) <= size * 1.25


def test_where_and_how_much_if_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CURATE_CACHE_GB", raising=False)
    monkeypatch.delenv("CURATE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == EmbeddingCache().folder == tmp_path / "curate" / "embeddings"
    for none in ("", "not/absolute"):
        monkeypatch.setenv("XDG_CACHE_HOME", none)
        assert default_folder() == Path.home() / ".cache" / "curate" / "embeddings"
    assert default_limit() == EmbeddingCache().limit_bytes == 10 * 10**9
    for said, limit in (("0.5", 5 * 10**8), ("0", 0), ("", 10**10)):
        monkeypatch.setenv("CURATE_CACHE_GB", said)
        assert default_limit() == limit
    for said in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv("CURATE_CACHE_GB", said)
        with pytest.raises(CallError, match="is no size"):
            default_limit()
    with pytest.raises(CallError, match="negative"):
        EmbeddingCache(tmp_path, -1)
