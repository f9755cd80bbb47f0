"""Keys of pictures: hashes of their pixels, by which networks know what they were trained on."""

from __future__ import annotations

import hashlib

import numpy as np

from curate.common.arrays import ByteArray


def hash_pixels(image: ByteArray) -> str:
    """Return a short hash of a picture's pixels, the same whatever its file is called."""
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
