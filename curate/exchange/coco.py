"""Decisions from a corrected COCO (or LVIS) file; see :mod:`curate.exchange.corrected`.

A queue that was written as COCO holds only some masks of each image. Such a file is known by what
stands in it, and what people were given is then the last draw that fits it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from curate import files
from curate.decisions.reviews import Reviews
from curate.errors import SourceError
from curate.exchange.coco_labels import with_own_labels
from curate.exchange.coco_writing import check_coco, write_coco
from curate.exchange.coming_back import join
from curate.exchange.corrected import decisions_of
from curate.exchange.given import dataset_ids, shown_as_told, shown_in_queue
from curate.exchange.labels import Labels, safe_label
from curate.exchange.parts import CorrectedImages, ShownMasks
from curate.exchange.readers import ImportedDecisions, ImportOptions, Reader
from curate.exchange.shapes import Tool
from curate.exchange.tool_coco import coco_pictures, is_queue, version_of_queue, was_sent_out
from curate.exchange.versioning import check_version
from curate.exchange.writers import QueueWriter
from curate.formats.coco import FORMAT
from curate.formats.coco_index import CocoIndex
from curate.formats.json_shape import shape_of
from curate.store import Audit


def _file(path: Path) -> Path:
    """Return the file itself where a folder of crops is given."""
    return path / "instances.json" if path.is_dir() else path


def _matches(path: Path) -> bool:
    return shape_of(_file(path)).looks_coco


TOOL = Tool(
    _matches,
    lambda path, wanted: coco_pictures(_file(path), path.name, wanted, crowds=True),
    safe_label,
)
"""How COCO is read where its ids may have been numbered anew."""


def _read(reviews: Reviews, path: Path, options: ImportOptions) -> ImportedDecisions:
    check_version(reviews.audit, [version_of_queue(_file(path))], path.name)
    if options.match is not None or was_sent_out(_file(path)):
        return join(reviews, TOOL, path, options)
    with files.scratch() as work:
        shown = _shown(reviews, path, options)
        parts = _parts(reviews.audit, path, work)
        return decisions_of(reviews.audit, parts, path.name, shown, options)


def _parts(audit: Audit, path: Path, work: Path) -> Iterator[CorrectedImages]:
    labels = Labels(audit)
    for part in FORMAT.plan(path, work):
        index = CocoIndex.open(work)
        spare = index.spare_id
        if spare is None:
            raise SourceError("it has ids beyond 62 bits", path.name)
        table = FORMAT.load(path, part)
        table = with_own_labels(audit, labels, table, index.categories, path.name)
        yield CorrectedImages(
            table, np.asarray(table.masks.index.to_numpy(np.int64) >= spare, np.bool_)
        )


def _shown(reviews: Reviews, path: Path, options: ImportOptions) -> ShownMasks:
    """Return which masks people were given."""
    if options.given is not None:
        return shown_as_told(reviews, options.given, dataset_ids)
    if not _is_queue(path):
        return ShownMasks()
    return shown_in_queue(reviews, dataset_ids(path), path.name)


def _is_queue(path: Path) -> bool:
    attributes = shape_of(path).one("annotations").get("attributes")
    ranked = type(attributes) is dict and {"rank", "priority"} <= set(attributes)
    return ranked or is_queue(path)


READER = Reader("coco", "corrected COCO", _matches, _read)

WRITER = QueueWriter("coco", "COCO instances", write_coco, check=check_coco)
