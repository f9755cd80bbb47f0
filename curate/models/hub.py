"""Where a model's files are: a local folder, or the hub's cache, or the hub."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from curate.errors import CallError, SourceError
from curate.fingerprint import fingerprint
from curate.models.extra import need

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
"""What weights are read from. Pickled ones (``pytorch_model.bin``) are never opened."""


def model_folder(name: str, what: str) -> Path:
    """Return the folder with a model's files, downloaded first where it is a hub name.

    Args:
        name: A folder, or a hub name ("facebook/sam-vit-base", with "@revision" behind it if any).
        what: "a segmenter", "a detector", for the sentence.

    Raises:
        CallError: There is no such folder, and the hub does not give it either.
        SourceError: The folder holds no model in the form that transformers saves.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _from_hub(name, what)
    if not (folder / "config.json").is_file():
        raise SourceError(
            "it holds no config.json", str(folder), "give a folder that save_pretrained has written"
        )
    if not any((folder / weights).is_file() for weights in WEIGHTS):
        pickled = (folder / "pytorch_model.bin").exists()
        why = "only pickled weights, which can run code" if pickled else "no weights"
        raise SourceError(f"it holds {why}", str(folder), "save the model as model.safetensors")
    return folder


def _from_hub(name: str, what: str) -> Path:
    hub = need("huggingface_hub", what)
    repository, _, revision = name.partition("@")
    path_like = name.startswith((".", "/", "~")) or name.count("/") != 1 or os.sep * 2 in name
    if path_like:
        raise CallError(f"there is no folder {name}", what, "give a folder or a hub name, a/b")
    try:
        found = hub.snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=["*.json", "*.safetensors"],
        )
    except Exception as error:  # the hub's errors are many and change with its version
        raise CallError(
            f"{name} is no folder here and cannot be had from the hub ({_first_line(error)})",
            what,
            "check the name and the network, or give the path of a folder with its files",
        ) from None
    return Path(found)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def read_config(folder: Path) -> dict[str, Any]:
    """Return a model's ``config.json``.

    Raises:
        SourceError: It is not a JSON object.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"it is no JSON ({error})", str(path), "save the model again") from None
    if not isinstance(config, dict):
        raise SourceError("it is no JSON object", str(path), "save the model again")
    return config


def model_fingerprint(folder: Path) -> str:
    """Return a short hex name of a model's configuration and weights."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.safetensors")]):
        digest.update(f"{path.name}:{fingerprint(path.resolve())};".encode())
    return digest.hexdigest()[:16]
