"""The two halves of a set's images: one to choose on, the other to report of."""

from __future__ import annotations

import hashlib


def is_reported(file_name: str) -> bool:
    """Return whether an image is of the half that numbers are of; the other was for choosing."""
    return hashlib.sha256(f"half:{file_name}".encode()).digest()[0] % 2 == 1
