"""Silenced decoders: their findings become the picture's status, not lines on stderr."""

from __future__ import annotations

import ctypes
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import PIL


@cache
def silence_decoders() -> None:
    """Let Pillow, and the libtiff that it brings with it, print nothing by themselves.

    libtiff prints errors on the process's standard error, past Python; where Pillow uses a libtiff
    of the system, that one is left as it is. Pillow logs errors, which Python prints where nobody
    has set up logging; whoever has still gets them.
    """
    logging.getLogger("PIL").addHandler(logging.NullHandler())

    home = Path(PIL.__file__).parent
    for folder in (home.parent / "pillow.libs", home / ".dylibs"):
        for path in sorted(folder.glob("libtiff*")):
            try:
                library = ctypes.CDLL(str(path))  # the one that Pillow has loaded
                library.TIFFSetErrorHandler(None)
                library.TIFFSetWarningHandler(None)
            except (OSError, AttributeError):
                continue


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Open or decode a picture without Pillow's warnings: odd metadata, broken animations, sizes.

    What is wrong with a picture is its status in the audit; sizes are judged before.
    """
    silence_decoders()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
