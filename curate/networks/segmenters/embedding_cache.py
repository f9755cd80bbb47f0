"""Embedding cache on disk: by picture, model and precision; bounded; shared by processes.

Embedding an image is most of a segmenter's work, and does not depend on the prompts. An entry is a
safetensors file (no code in it, its sizes checked) with a checksum, written to a temporary file and
moved into place, so that a reader in another process sees all of it or nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from curate.common import files
from curate.common.arrays import AnyArray, ByteArray
from curate.common.cache_folder import cache_folder
from curate.errors import CallError
from curate.networks.runtime.devices import AdaptiveBatches, is_out_of_memory
from curate.networks.runtime.hub import import_optional
from curate.networks.segmenters.segmenter import Embedding, Frame

DEFAULT_LIMIT_BYTES = 10_000_000_000
LIMIT_VARIABLE = "CURATE_CACHE_GB"

_NAME = re.compile(r"[0-9a-f]{64}\.safetensors")
_UNFINISHED = re.compile(r"\.writing-.*")
_ABANDONED_S = 3600.0
_BATCH = 8
_LIMIT_FRACTION = 16
"""A process adds at most this part of the limit before it looks at the folder again."""

Arrays = dict[str, AnyArray]


class ImageEmbedder(Protocol):
    """What the cache asks of a model: a segmenter, or an encoder of masks."""

    @property
    def fingerprint(self) -> str:
        """A short hash of its weights, and of whatever else its embeddings depend on."""

    @property
    def precision(self) -> str:
        """Type that it computes in."""

    def embed(self, images: Sequence[ByteArray]) -> list[Embedding]:
        """Embed RGB images, each of shape (height, width, 3), uint8."""

    def pack(self, embedding: Embedding) -> dict[str, AnyArray]:
        """Return an embedding's parts as plain arrays."""

    def unpack(self, arrays: dict[str, AnyArray], frame: Frame) -> Embedding:
        """Undo :meth:`pack`; raise any error where the arrays are others."""


class EmbeddingCache:
    """Embeddings of images, kept in a folder.

    The least recently used go first when the folder is full. An entry that is damaged, or not of
    the form that the segmenter packs, is dropped and made again. Where the folder cannot be written
    the work goes on without it, after one line on stderr. One process keeps to the limit; each
    further one at the same time may pass it by a sixteenth of it.

    Args:
        folder: Where they lie; ``embeddings`` in :func:`~curate.common.cache_folder.cache_folder`
            if None. Other files in it are left alone.
        limit_bytes: What all entries together may take; if None, 10 GB, or the number of GB in the
            environment variable ``CURATE_CACHE_GB``. 0 keeps none.

    Raises:
        CallError: The limit is negative or not a number.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int | None = None) -> None:
        self.folder = default_folder() if folder is None else folder
        self.limit_bytes = default_limit() if limit_bytes is None else limit_bytes
        if self.limit_bytes < 0:
            raise CallError("the limit is negative", "EmbeddingCache", "give 0 to keep none")
        self._batches = AdaptiveBatches(_BATCH)
        self._room = 0
        self._writes = self.limit_bytes > 0  # until the folder refuses

    def embed(self, segmenter: ImageEmbedder, images: Sequence[ByteArray]) -> list[Embedding]:
        """Return the embedding of each image, from the folder where it has it.

        Args:
            segmenter: Embeds what is missing, each picture once, several at once.
            images: RGB, each of shape (height, width, 3), uint8.

        Raises:
            CurateError: What the segmenter raises.
        """
        import_optional("safetensors", "the embedding cache")
        keys = [_key(segmenter, image) for image in images]
        found: dict[str, Embedding] = {}
        missing: dict[str, ByteArray] = {}
        for key, image in zip(keys, images, strict=True):
            if key in found or key in missing:
                continue
            entry = self._read(segmenter, key, image)
            if entry is None:
                missing[key] = image
            else:
                found[key] = entry

        def embed(batch: list[str]) -> None:
            for key, one in zip(batch, segmenter.embed([missing[k] for k in batch]), strict=True):
                found[key] = one
                self._write(segmenter, key, one)

        self._batches.run(embed, list(missing))
        return [found[key] for key in keys]

    def find(self, segmenter: ImageEmbedder, image: ByteArray) -> Embedding | None:
        """Return the embedding of an image if the folder has it; nothing is embedded.

        Args:
            segmenter: The model that embedded it.
            image: RGB, shape (height, width, 3), uint8.

        Raises:
            CurateError: The package that reads entries is missing.
        """
        import_optional("safetensors", "the embedding cache")
        return self._read(segmenter, _key(segmenter, image), image)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def _read(self, segmenter: ImageEmbedder, key: str, image: ByteArray) -> Embedding | None:
        path = self._path(key)
        if not self.limit_bytes:
            return None
        try:
            arrays, frame = _load(path)
            if (frame.height, frame.width) != image.shape[:2]:
                raise ValueError("of another image")
            embedding = segmenter.unpack(arrays, frame)
        except OSError:  # not there, or not ours to read
            return None
        except Exception as error:  # whatever a damaged file makes of itself
            if is_out_of_memory(error):
                raise
            _remove(path)
            return None
        with suppress(OSError):  # gone by now, or not ours: it is used no less
            files.set_times(path, time.time_ns())
        return embedding

    def _write(self, segmenter: ImageEmbedder, key: str, embedding: Embedding) -> None:
        if not self._writes:
            return
        content = _save(segmenter.pack(embedding), embedding.frame)
        if len(content) > self.limit_bytes:
            return
        try:
            files.mkdir(self.folder, parents=True, exist_ok=True, rights=0o700)
            self._make_room(len(content))
            _write_atomically(self._path(key), content)
        except OSError as error:
            self._writes = False
            reason = (error.strerror or str(error)).lower()
            print(
                f"embeddings are not kept: {self.folder} cannot be written ({reason})",
                file=sys.stderr,
            )

    def _make_room(self, size: int) -> None:
        """Make room for ``size`` bytes, and subtract them from what may be added without a
        listing."""
        if size > self._room:
            taken = self._evict(size)
            self._room = max(
                size, min(self.limit_bytes - taken, self.limit_bytes // _LIMIT_FRACTION)
            )
        self._room -= size

    def _evict(self, size: int) -> int:
        """Remove the least recently used until ``size`` bytes fit; return the bytes left."""
        entries = []
        with os.scandir(self.folder) as listed:
            for entry in listed:
                kept = _NAME.fullmatch(entry.name)
                if not kept and not _UNFINISHED.fullmatch(entry.name):
                    continue
                try:
                    stat = entry.stat(follow_symlinks=False)
                except OSError:  # another process was faster
                    continue
                if kept:
                    entries.append((stat.st_mtime_ns, stat.st_size, entry.path))
                elif time.time() - stat.st_mtime > _ABANDONED_S:
                    _remove(Path(entry.path))
        taken = sum(entry[1] for entry in entries)
        fits = taken + size <= self.limit_bytes
        # A little more than needed, so that a full folder is not listed for every image.
        allowed = (
            self.limit_bytes - size - (0 if fits else self.limit_bytes // (2 * _LIMIT_FRACTION))
        )
        for _, gone, path in sorted(entries):
            if taken <= allowed:
                break
            _remove(Path(path))
            taken -= gone
        return taken


def default_folder() -> Path:
    """Return the default folder of embeddings."""
    return cache_folder() / "embeddings"


def default_limit() -> int:
    """Return the default limit in bytes: 10 GB, or CURATE_CACHE_GB.

    Raises:
        CallError: The variable is no number, or negative.
    """
    said = os.environ.get(LIMIT_VARIABLE, "")
    if not said:
        return DEFAULT_LIMIT_BYTES
    try:
        limit = int(float(said) * 1e9)
    except (ValueError, OverflowError):
        limit = -1
    if limit < 0:
        raise CallError(f"{said!r} is no size", LIMIT_VARIABLE, "give a number of GB, 0 for none")
    return limit


def _key(segmenter: ImageEmbedder, image: ByteArray) -> str:
    digest = hashlib.sha256()
    digest.update(
        f"{segmenter.fingerprint} {segmenter.precision} {image.dtype} {image.shape}\n".encode()
    )
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def _checksum(arrays: Arrays, frame: str) -> str:
    """Hash an entry: safetensors itself does not detect a flipped bit."""
    digest = hashlib.blake2b(frame.encode(), digest_size=16)
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _save(arrays: Arrays, frame: Frame) -> bytes:
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    described = json.dumps(vars(frame))
    metadata = {"frame": described, "checksum": _checksum(plain, described)}
    store = import_optional("safetensors.numpy", "the embedding cache")
    return bytes(store.save(plain, metadata=metadata))


def _load(path: Path) -> tuple[Arrays, Frame]:
    with import_optional("safetensors", "the embedding cache").safe_open(
        path, framework="numpy"
    ) as file:
        metadata = file.metadata() or {}
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if metadata.get("checksum") != _checksum(arrays, metadata.get("frame", "")):
        raise ValueError("damaged")
    return arrays, Frame(**json.loads(metadata["frame"]))


def _write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    file, made = files.open_temporary(path.parent, ".writing-")
    try:
        with file:
            file.write(content)
        files.replace(made, path)
    except BaseException:
        _remove(made)
        raise


def _remove(path: Path) -> None:
    with suppress(OSError):  # another process was faster, or it is not ours to remove
        files.unlink(path)
