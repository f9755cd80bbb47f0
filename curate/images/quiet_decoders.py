"""Silenced decoders: their findings become the picture's status, not lines on stderr."""

from __future__ import annotations

import ctypes
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from PIL import _imaging


@cache
def silence_decoders() -> None:
    """Let Pillow, and the libtiff that it uses, print nothing by themselves.

    libtiff prints errors on the process's standard error, past Python and without a file's name.
    It is found through Pillow's own module, be it one that Pillow brings or one of the system.
    Pillow logs errors, which Python prints where nobody has set up logging; whoever has still gets
    them.
    """
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    try:
        library = ctypes.CDLL(_imaging.__file__)  # looks through what it was linked with
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)
    except (OSError, AttributeError):  # a Pillow without libtiff, or with one inside itself
        return


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Open or decode a picture without Pillow's warnings: odd metadata, broken animations, sizes.

    What is wrong with a picture is its status in the audit; sizes are judged before.
    """
    silence_decoders()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
