"""Checkpoints of a training: tensors as safetensors, and the rest as JSON in their header."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from curate.common import files
from curate.errors import CallError, SourceError
from curate.networks.runtime.hub import import_optional

Tensors = Mapping[str, Any]
"""Tensors by name."""

Rows = list[dict[str, float]]
"""A row of numbers for each epoch."""


def flatten_tensors(parts: Mapping[str, Tensors]) -> Tensors:
    """Return the tensors of several parts as one mapping, by ``part/name``."""
    return {f"{part}/{name}": t for part, held in parts.items() for name, t in held.items()}


def unflatten_tensors(tensors: Tensors) -> Mapping[str, Tensors]:
    """Undo :func:`flatten_tensors`; parts that had no tensors are not there."""
    parts: dict[str, dict[str, object]] = {}
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        parts.setdefault(part, {})[rest] = tensor
    return parts


def optimiser_tensors(optimiser: Any) -> Tensors:
    """Return the state of an optimiser, without its groups, which its maker knows."""
    state = optimiser.state_dict()["state"]
    return {f"{n}.{name}": t for n, values in state.items() for name, t in values.items()}


def load_optimiser(optimiser: Any, tensors: Tensors) -> None:
    """Give an optimiser the state of :func:`optimiser_tensors`."""
    state: dict[int, dict[str, object]] = {}
    for name, tensor in tensors.items():
        number, _, what = name.partition(".")
        state.setdefault(int(number), {})[what] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def save_checkpoint(
    path: Path, tensors: Tensors, identity: str, history: Sequence[Tensors]
) -> None:
    """Write a checkpoint atomically.

    Args:
        path: The file; replaced if it is there.
        tensors: By name.
        identity: What must be the same for the training to go on.
        history: The epochs so far.

    Raises:
        CallError: It cannot be written; the one before stays.
    """
    safetensors = import_optional("safetensors.torch", "training")
    about = {"identity": identity, "history": json.dumps(list(history))}
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    temporary = path.with_name(f".{path.name}.{files.process_tag()}.tmp")
    try:
        files.mkdir(path.parent, parents=True, exist_ok=True)
        files.write_bytes(temporary, safetensors.save(copies, metadata=about))
        files.replace(temporary, path)
    except Exception as error:  # safetensors wraps what the system says
        reason = (str(error) or type(error).__name__).splitlines()[0].lower()
        raise CallError(
            f"it cannot be written: {reason}", str(path), "make room and run the same command again"
        ) from error
    finally:
        with suppress(OSError):  # where nothing can be written nothing can be removed
            files.unlink(temporary, missing_ok=True)


def load_checkpoint(path: Path, identity: str) -> tuple[Tensors, Rows]:
    """Read a checkpoint: its tensors, and the epochs so far.

    Raises:
        SourceError: It is damaged, or of another training.
    """
    safetensors = import_optional("safetensors", "training")
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        history = json.loads(about["history"])
    except Exception as error:
        raise SourceError(
            "it is no checkpoint of a training", str(path), "pass --restart to begin anew"
        ) from error
    if about.get("identity") != identity:
        raise SourceError(
            "it is of a training on other images, from other weights or with other settings",
            str(path),
            "choose another directory, or pass --restart to throw that training away",
        )
    return tensors, history
