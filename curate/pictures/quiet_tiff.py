"""libtiff kept quiet: what it meets in a file is told as the picture's status, not on stderr."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path


@cache
def silence_libtiff() -> None:
    """Let the libtiff that Pillow brings with it print nothing, for the rest of the process.

    It prints errors on the process's standard error, past Python. Where Pillow uses a libtiff of
    the system, that one is left as it is.
    """
    import PIL

    home = Path(PIL.__file__).parent
    for folder in (home.parent / "pillow.libs", home / ".dylibs"):
        for path in sorted(folder.glob("libtiff*")):
            try:
                library = ctypes.CDLL(str(path))  # the one that Pillow has loaded
                library.TIFFSetErrorHandler(None)
                library.TIFFSetWarningHandler(None)
            except (OSError, AttributeError):
                continue
