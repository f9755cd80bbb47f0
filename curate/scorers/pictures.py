"""Picture signal, per image: status of the file, hash of its content, perceptual hash."""

from __future__ import annotations

import pandas as pd

from curate.dataset.table import STRING, MaskTable
from curate.images import ImageFolder
from curate.images.image_folder import names_and_sizes
from curate.scorers.near_duplicates import picture_hash
from curate.scorers.scorer import Column, Scorer


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
