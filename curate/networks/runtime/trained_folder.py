"""Folder of a trained network: the names in it that tell whether its training has ended."""

from __future__ import annotations

from pathlib import Path

from curate.errors import SourceError

RECORD = "training.json"
"""Written last: what has it is whole."""

WORK = "work"
"""A training's own folder in that of its network, until that is whole."""


def check_training_ended(folder: Path, command: str, more: tuple[str, ...] = ()) -> None:
    """Check that no training is under way in a folder, nor was cut off there.

    Args:
        folder: The folder of a network.
        command: The command that trains such networks: "train-detector".
        more: Names of folders in it that tell of a training, besides :data:`WORK`.

    Raises:
        SourceError: One is. Its weights may be there already; what they were trained on is not.
    """
    if not (folder / RECORD).is_file() and any((folder / name).is_dir() for name in (WORK, *more)):
        raise SourceError(
            "its training has not ended",
            str(folder),
            f"wait until it has, or run the same `curate {command}` again",
        )
