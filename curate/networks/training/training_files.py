"""Folder that a training writes its network into: claimed, filled, and given its record last."""

from __future__ import annotations

from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

import orjson

from curate.common import files
from curate.common.json_values import JsonObject
from curate.common.own_records import check_directory, describe_differences
from curate.errors import AuditError
from curate.networks.runtime.trained_folder import RECORD, WORK
from curate.networks.segmenters.transformers_sam import silence_library

CHECKPOINT = "checkpoint.safetensors"
"""Name of the checkpoint in the folder :data:`WORK`."""

MODEL = frozenset({"config.json", "preprocessor_config.json", "model.safetensors", RECORD, WORK})
"""Names of all that a training writes into the folder of one network."""


def check_training_folder(out: Path, more: Set[str] = frozenset()) -> set[str]:
    """Return the names in a folder that is new, empty, or an earlier training's.

    Args:
        out: The folder.
        more: Names beside :data:`MODEL` that such a training makes; each tells of one.

    Raises:
        AuditError: It holds something else.
    """
    return check_directory(out, {RECORD, WORK} | more, MODEL | more)


def claim_folder(
    out: Path, settings: JsonObject, identity: str, command: str, *, more: Set[str] = frozenset()
) -> JsonObject | None:
    """Check that a training may write into a folder.

    Args:
        out: The folder; new, empty, or an earlier training's.
        settings: Of the training.
        identity: What must be the same for an earlier one to be this one.
        command: The command: "train-detector".
        more: Names beside :data:`MODEL` that such a training makes; each tells of one.

    Returns:
        The record of a training that is finished already.

    Raises:
        AuditError: It holds something else, or another training.
    """
    what = command.removeprefix("train-")
    if RECORD not in check_training_folder(out, more):
        return None
    try:
        found = orjson.loads((out / RECORD).read_bytes())
    except orjson.JSONDecodeError as error:
        do = f"restore it from a copy, or run `curate {command}` again with --restart"
        raise AuditError("it is damaged or cut short", str(out / RECORD), do) from error
    record: JsonObject = found if isinstance(found, dict) else {}
    if record.get("identity") != identity:
        other = describe_differences(record.get("settings"), settings) or "on other masks"
        raise AuditError(
            f"it holds a {what} that was trained otherwise ({other})",
            str(out),
            f"choose another directory, or pass --restart to throw that {what} away",
        )
    return record


def remove_training(out: Path, more: Set[str] = frozenset()) -> None:
    """Remove an earlier training: its record first, the files that identify it last.

    Args:
        out: The folder.
        more: Names of folders beside :data:`MODEL` that such a training makes.

    Raises:
        AuditError: It holds something else, or cannot be written.
    """
    names = check_training_folder(out, more)
    with files.convert_write_errors(out):
        files.mkdir(out / WORK, exist_ok=True)
        for folder in (out, *(out / name for name in sorted(names & more))):
            files.unlink(folder / RECORD, missing_ok=True)
        for name in sorted(names - {RECORD, WORK}):
            path = out / name
            if path.is_dir() and not path.is_symlink():
                files.remove_tree(path)
            else:
                files.unlink(path)
        files.remove_tree(out / WORK)


def publish_model(target: Path, save: Callable[[Path], None]) -> None:
    """Write a trained network into its folder, each file whole or not at all; no record yet.

    Args:
        target: The folder.
        save: Writes all files of the network into a folder that is not there yet.
    """
    made = target / WORK / "model"
    if made.exists():  # a killed run may have left half a file there
        files.remove_tree(made)
    save(made)
    for path in sorted(made.iterdir()):
        files.replace(path, target / path.name)


def remove_checkpoints(target: Path) -> None:
    """Remove the checkpoints of a finished training; the next run does it where this fails."""
    files.remove_tree(target / WORK, quiet=True)


def save_pretrained(model: Any, folder: Path, preprocessing: JsonObject) -> None:
    """Write a network as ``save_pretrained`` does, with its preprocessing.

    Args:
        model: The library's.
        folder: Where; not there yet.
        preprocessing: Content of ``preprocessor_config.json``.
    """
    with silence_library():
        files.announce_library_write(folder)
        model.save_pretrained(folder)
    rights = 0o666 & ~files.umask()  # the library keeps weights from others, whatever the umask
    for path in sorted(folder.iterdir()):
        files.chmod(path, rights)
    content = orjson.dumps(preprocessing, option=orjson.OPT_INDENT_2)
    files.write_bytes(folder / "preprocessor_config.json", content)
