"""The TOML file of a policy, read; what it means is for :mod:`curate.curation.policy`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from curate.errors import CallError
from curate.options import PRESETS


def policy_file(policy: str | Path) -> dict[str, Any]:
    """Read the content of a policy's file.

    Raises:
        CallError: It is not there, or not TOML; says what to do.
    """
    path = Path(policy)
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        do = f"give a TOML file, or one of the presets {', '.join(PRESETS)}"
        raise CallError("there is no such policy", str(path), do) from error
    except OSError as error:
        raise CallError(f"it cannot be read ({error.strerror})", str(path)) from error
    except UnicodeDecodeError as error:
        raise CallError("it is not UTF-8 text", str(path), "save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise CallError(f"it is not TOML ({error})", str(path), "correct the line") from error
