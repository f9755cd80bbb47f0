"""The optional packages of the extra ``models``, and one clear line where they are missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from curate.errors import CallError


def need(module: str, what: str) -> Any:
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
        raise CallError(
            f"{module} is not installed", f"{what} needs it", "pip install 'curate-masks[models]'"
        ) from None
