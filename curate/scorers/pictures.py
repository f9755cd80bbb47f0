"""Picture signal, per image: status of the file, exact copies by content, near ones by hash.

A picture's hash is the sign pattern of its 64 lowest frequencies (the "pHash" of Zauner, 2010,
"Implementation and benchmarking of perceptual image hash functions"), which survives scaling,
recompression and a change of brightness, but no crop, turn or mirroring.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from curate.common.arrays import BoolArray, ByteArray, FloatArray, IntArray, UInt64Array
from curate.dataset.table import STRING, MaskTable
from curate.errors import CallError
from curate.images import ImageFolder
from curate.images.image_folder import names_and_sizes
from curate.rle.runs import kernel
from curate.scorers.scorer import Column, Scorer

MAX_DISTANCE = 6
"""Largest distance in bits that the search finds without fail."""

FLAT_LEVELS = 2.0
"""Standard deviation in gray levels under which a thumbnail has nothing to compare."""

_SIDE = 32


def _cosines() -> FloatArray:
    k, n = np.meshgrid(np.arange(_SIDE), np.arange(_SIDE), indexing="ij")
    return np.cos(np.pi * k * (2 * n + 1) / (2 * _SIDE))


def _lowest() -> tuple[IntArray, IntArray]:
    """Return the 64 lowest frequencies, the constant left out, in a fixed order."""
    y, x = (axis.ravel() for axis in np.meshgrid(np.arange(12), np.arange(12), indexing="ij"))
    order = np.lexsort((x, np.maximum(x, y), x + y))[1:65]
    return y[order], x[order]


_COSINES = _cosines()
_ROWS, _COLUMNS = _lowest()


def picture_hash(thumbnail: ByteArray) -> int | None:
    """Return 64 bits that tell what a picture looks like.

    Args:
        thumbnail: Shape (32, 32), gray.

    Returns:
        A signed 64-bit integer; None for a picture with no contrast, which looks like any other
        such picture.
    """
    values = thumbnail.astype(np.float64)
    if values.std() < FLAT_LEVELS:
        return None
    spectrum = _COSINES @ (values - values.mean()) @ _COSINES.T
    lowest = spectrum[_ROWS, _COLUMNS]
    return int(np.packbits(lowest > np.median(lowest)).view(np.int64)[0])


def near_duplicates(images: pd.DataFrame, *, distance: int = 6) -> pd.DataFrame:
    """Find the images that show what another image shows.

    Images are gone through by ascending id. One that is an exact copy of an earlier one, or whose
    hash is within ``distance`` of an earlier image that is itself no near-duplicate, points at
    the lowest id among those. So every image is within ``distance`` of the one it points at, and
    there are no chains. Time and memory grow linearly with the number of images that differ.

    Args:
        images: All images of the dataset; index ``image_id``, columns ``content_hash`` and
            ``picture_hash`` as :func:`pictures` gives them.
        distance: Most bits in which two hashes may differ, 0 to :data:`MAX_DISTANCE`.

    Returns:
        Same index; ``near_duplicate_of`` (Int64, the image id, missing where there is none) and
        ``near_duplicate_distance`` (Int64, bits; 0 for exact copies too; always even, because a
        hash has as many ones as zeros).

    Raises:
        CallError: ``distance`` is out of range.
    """
    if not 0 <= distance <= MAX_DISTANCE:
        raise CallError(f"distance is {distance}", "near_duplicates", f"give 0 to {MAX_DISTANCE}")
    order = np.argsort(images.index.to_numpy(), kind="stable")
    ids = images.index.to_numpy()[order]
    first = _first_copies(images["content_hash"].to_numpy(object)[order])
    known = images["picture_hash"].notna().to_numpy()[order]
    values = images["picture_hash"].fillna(0).to_numpy(np.int64)[order].view(np.uint64)
    leaders, distances = _leaders(values, known & (first == np.arange(len(ids))), distance)
    leaders, distances = leaders[first], distances[first]
    alone = leaders == np.arange(len(ids))
    result = pd.DataFrame(index=images.index)
    for column, numbers in (
        ("near_duplicate_of", ids[leaders]),
        ("near_duplicate_distance", distances),
    ):
        ordered = np.empty_like(numbers)
        ordered[order] = numbers
        missing = np.empty_like(alone)
        missing[order] = alone
        result[column] = pd.arrays.IntegerArray(ordered.astype(np.int64), missing)
    return result


def _first_copies(digests: npt.NDArray[np.object_]) -> IntArray:
    """Return for each row the first row of the same content; itself where content is unknown."""
    codes, _ = pd.factorize(digests)
    rows = np.arange(len(digests))
    first = np.full(codes.max(initial=-1) + 1, len(digests))
    np.minimum.at(first, codes[codes >= 0], rows[codes >= 0])
    return np.where(codes >= 0, first[codes] if len(first) else rows, rows)


def _probes(distance: int) -> tuple[IntArray, IntArray]:
    """Return changes to a band's key, and how many of them each of three bands is looked up with.

    Bands have 22, 21 and 21 bits. If two hashes differ in at most 2 bits, some band is equal. With
    every single bit changed in r bands, to be missed takes 2 differences in each of those and 1 in
    each other, r + 3 in all; with every two bits changed in the first band too, 7.
    """
    bits = [1 << k for k in range(22)]
    changes = [0, *bits, *(a | b for k, a in enumerate(bits) for b in bits[:k])]
    counts = [1, 1, 1]
    for band in range(min(distance - 2, 3)):
        counts[band] = 23 if band == 0 else 22
    if distance == MAX_DISTANCE:
        counts[0] = len(changes)
    return np.array(changes, np.int64), np.array(counts, np.int64)


def _leaders(values: UInt64Array, wanted: BoolArray, distance: int) -> tuple[IntArray, IntArray]:
    """Return for each hash the row of its leader (its own, if none is near) and the distance."""
    leaders = np.arange(len(values), dtype=np.int64)
    distances = np.zeros(len(values), np.int64)
    changes, counts = _probes(distance)
    _follow(values, wanted, distance, changes, counts, leaders, distances)
    return leaders, distances


@kernel
def _bits(value: np.uint64) -> int:
    value = value - ((value >> np.uint64(1)) & np.uint64(0x5555555555555555))
    value = (value & np.uint64(0x3333333333333333)) + (
        (value >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    value = (value + (value >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int((value * np.uint64(0x0101010101010101)) >> np.uint64(56))


@kernel
def _follow(
    values: UInt64Array,
    wanted: BoolArray,
    distance: int,
    changes: IntArray,
    counts: IntArray,
    leaders: IntArray,
    distances: IntArray,
) -> None:
    """Give each hash the first leader within ``distance``, or make it a leader."""
    n = np.int64(len(values))
    heads = np.full((3, 1 << 22), -1, np.int32)
    nodes = np.full((n, 4), -1, np.int64)  # next leader of the same band, and the hash itself
    keys = np.zeros(3, np.int64)
    for i in range(n):
        if not wanted[i]:
            continue
        keys[0] = np.int64(values[i] & np.uint64(0x3FFFFF))
        keys[1] = np.int64((values[i] >> np.uint64(22)) & np.uint64(0x1FFFFF))
        keys[2] = np.int64(values[i] >> np.uint64(43))
        best = np.int64(n)
        best_distance = 0
        for band in range(3):
            for probe in range(counts[band]):
                j = np.int64(heads[band, keys[band] ^ changes[probe]])
                while j >= 0:
                    if j < best:
                        differ = _bits(values[i] ^ np.uint64(nodes[j, 3]))
                        if differ <= distance:
                            best = j
                            best_distance = differ
                    j = nodes[j, band]
        if best < n:
            leaders[i] = best
            distances[i] = best_distance
            continue
        nodes[i, 3] = np.int64(values[i])
        for band in range(3):
            nodes[i, band] = heads[band, keys[band]]
            heads[band, keys[band]] = i


def pictures(table: MaskTable, *, images: ImageFolder) -> pd.DataFrame:
    """Look at the picture of every image, once.

    Args:
        table: Only its ``images`` are read.
        images: The folder.

    Returns:
        Index ``image_id``; ``picture_path`` (where in the folder it is, missing where there is
        none), ``picture_status`` and ``picture_status_detail`` (what the file itself
        shows; see :func:`curate.images.worse_status` to join it with what the source says),
        ``content_hash`` (32 hexadecimal digits of the file's bytes, missing where it does not
        decode) and ``picture_hash`` (64 bits as a signed integer; missing where the picture does
        not decode or is flat). Nothing is raised for a broken picture.
    """
    paths = [images.find(name) for name in table.images["file_name"]]
    seen = [images.inspect(name, size) for name, size in names_and_sizes(table.images)]
    hashes = [picture_hash(s.thumbnail) if s.thumbnail is not None else None for s in seen]
    frame = pd.DataFrame(index=table.images.index)
    for column, values in {
        "picture_path": [p and p.relative_to(images.path).as_posix() for p in paths],
        "picture_status": [s.status for s in seen],
        "picture_status_detail": [s.detail for s in seen],
        "content_hash": [s.digest or None for s in seen],
    }.items():
        frame[column] = pd.Series(values, index=frame.index, dtype=STRING)
    frame["picture_hash"] = pd.array(hashes, dtype="Int64")
    return frame


SCORERS = (
    Scorer(
        name="pictures",
        function=pictures,
        columns=(
            Column("picture_path", "Picture's file", "word", low_means="where its picture stands"),
            Column("picture_status", "Picture", "word", low_means="what the picture's file shows"),
            Column(
                "picture_status_detail",
                "Picture, in words",
                "word",
                low_means="the facts, where something is wrong with the picture's file",
            ),
            Column("content_hash", "Content hash", "word", low_means="the file's bytes, hashed"),
            Column(
                "picture_hash",
                "Picture hash",
                "id",
                low_means="what the picture looks like in 64 bits; alike pictures differ in few",
            ),
        ),
        question="is the picture there, whole, and of the declared size?",
        needs=("images",),
        level="image",
    ),
)
