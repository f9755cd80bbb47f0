"""Folder of what can be made again: embeddings of pictures, unpacked archives."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "CURATE_CACHE"
"""The environment variable that names another folder."""


def cache_folder() -> Path:
    """Return ``CURATE_CACHE``, else ``curate`` in the user's cache.

    That is ``XDG_CACHE_HOME``, else ``~/.cache``; paths that are not absolute do not count, as the
    standard has it.
    """
    named, home = os.environ.get(VARIABLE, ""), os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):
        return Path(named)
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "curate"
