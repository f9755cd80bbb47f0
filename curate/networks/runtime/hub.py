"""Files of a model: a local folder, the hub's cache, or a download."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from curate.common.fingerprint import fingerprint
from curate.errors import CallError, SourceError

INSTALL = (
    "in a copy of curate's repository run `pip install '.[models]'`; where curate-masks was "
    "installed by its name, `pip install 'curate-masks[models]'`"
)
"""How the extra is installed: the distribution has another name than the command."""


def import_optional(module: str, what: str) -> Any:
    """Import a module of the extra ``models``.

    Args:
        module: Its import name: "torch", "transformers", "onnxruntime".
        what: What asks for it, for the sentence: "a segmenter".

    Raises:
        CallError: It is not installed; says what to install.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise CallError(f"{module} is not installed", f"{what} needs it", INSTALL) from None


WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
"""What weights are read from. Pickled ones (``pytorch_model.bin``) are never opened."""

_CODE = frozenset({"auto_map", "custom_pipelines", "quantization_config"})
"""Settings by which the library loads code of the folder, or of packages that it names."""

_KERNELS = frozenset({"attn_implementation", "experts_implementation"})
"""Settings that can name a repository with code, as ``owner/name``."""


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
        folder = _download(name, what)
    if not (folder / "config.json").is_file():
        raise SourceError(
            "it holds no config.json", str(folder), "give a folder that save_pretrained has written"
        )
    if not any((folder / weights).is_file() for weights in WEIGHTS):
        pickled = (folder / "pytorch_model.bin").exists()
        why = "only pickled weights, which can run code" if pickled else "no weights"
        raise SourceError(f"it holds {why}", str(folder), "save the model as model.safetensors")
    _refuse_code(folder)
    return folder


def _refuse_code(folder: Path) -> None:
    """Check that nothing in a folder makes the library run code or read pickled weights.

    Raises:
        SourceError: Something does.
    """
    for name, value in _walk_settings(read_config(folder)):
        own = name in _CODE and bool(value)
        if own or (name.lstrip("_") in _KERNELS and re.search(r"[/@:]", str(value))):
            what = f"its config.json names code to load ({name}), which curate does not run"
            raise SourceError(
                what, str(folder), "save the model with classes of transformers alone"
            )
    index = folder / WEIGHTS[1]
    if not index.is_file():
        return
    try:
        files = {str(name) for name in json.loads(index.read_bytes())["weight_map"].values()}
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError, OverflowError):
        raise SourceError("it is no index of weights", str(index), "save the model again") from None
    for name in sorted(files):
        if Path(name).name != name or not name.endswith(".safetensors"):
            what = f"it names weights that are no safetensors file beside it ({name!r})"
            raise SourceError(what, str(index), "save the model again")


def _walk_settings(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield all names and values of a document, at any depth."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from one.items()
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _download(name: str, what: str) -> Path:
    hub = import_optional("huggingface_hub", what)
    repository, _, revision = name.partition("@")
    path_like = name.startswith((".", "/", "~")) or name.count("/") != 1 or os.sep * 2 in name
    if path_like:
        raise CallError(f"there is no folder {name}", what, "give a folder or a hub name, a/b")
    try:
        found = hub.snapshot_download(
            repository, revision=revision or None, allow_patterns=["*.json", "*.safetensors"]
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


def read_config(folder: Path) -> dict[str, object]:
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
    """Return a short hash of a model's configuration and weights."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.safetensors")]):
        digest.update(f"{path.name}:{fingerprint(path.resolve())};".encode())
    return digest.hexdigest()[:16]
