"""Looks of an engine's images, ``looks.parquet``: features and clusters, found once and kept.

Kept, as numbers of clusters compare between rounds only where the clusters stay the same. All of it
can be made again from the pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from curate.common import files
from curate.common.arrays import FloatArray, IntArray
from curate.common.progress import Progress
from curate.engine.diversity import assign_clusters, find_clusters, measure_diversity
from curate.engine.image_features import describe_images
from curate.engine.pictures import LEFT_OUT
from curate.engine.round_record import DiversityRecord
from curate.errors import AuditError
from curate.formats.reading import read
from curate.images import ImageFolder
from curate.store.audit_files import writing
from curate.store.engine_folder import LOOKS

_THREADS = 4
_PART = 64
_TYPES = pa.schema(
    {
        "image_id": pa.int64(),
        "cluster": pa.int64(),
        "described_by": pa.string(),
        "features": pa.list_(pa.float64()),
    }
)


@dataclass(frozen=True)
class ImageLooks:
    """Looks of an engine's usable images.

    Attributes:
        image_id: Shape (n,), ascending.
        features: Shape (n, d), see :func:`curate.engine.image_features.describe_images`; NaN for a
            picture that could not be read then. d is 0 where none could.
        cluster: Shape (n,), from 0; -1 for a picture that could not be read.
    """

    image_id: IntArray
    features: FloatArray
    cluster: IntArray

    def of(self, images: Iterable[int]) -> FloatArray:
        """Return the features of some images, in that order; NaN for those that are not there."""
        rows = pd.Index(self.image_id).get_indexer(pd.Index(list(images), dtype=np.int64))
        found: FloatArray = np.where((rows >= 0)[:, None], self.features[rows], np.nan)
        return found

    def clusters_of(self, images: IntArray) -> IntArray:
        """Return the clusters of some images, -1 for those that are not there."""
        rows = pd.Index(self.image_id).get_indexer(pd.Index(images))
        return np.asarray(np.where(rows >= 0, self.cluster[rows], -1), np.int64)


def find_looks(
    project: Path, pictures: Path, images: pd.DataFrame, *, seed: int, progress: Progress | None
) -> ImageLooks:
    """Return the looks of an engine's images; look at them and write the file where there is none.

    Args:
        project: The engine.
        pictures: Folder of its pictures.
        images: ``images.parquet``.
        seed: Of the engine.
        progress: Called with progress.

    Raises:
        AuditError: The file is damaged, or cannot be written.
    """
    if (project / LOOKS).is_file():
        return read_looks(project)
    usable = images[images["role"] != LEFT_OUT].sort_values("image_id")
    folder = ImageFolder(pictures).exactly(usable["file_name"].tolist())
    parts = [usable.iloc[at : at + _PART] for at in range(0, len(usable), _PART)]
    found: list[FloatArray | None] = []
    described_by = ""
    with ThreadPoolExecutor(_THREADS) as threads:
        for done, looks in enumerate(
            threads.map(lambda part: describe_images(folder, part), parts)
        ):
            found.append(looks.features)
            described_by = looks.described_by or described_by
            if progress:
                progress("describing pictures", done + 1, len(parts), 0)
    width = next((part.shape[1] for part in found if part is not None), 0)
    features = np.concatenate(
        [
            np.full((len(part), width), np.nan) if some is None else some
            for part, some in zip(parts, found, strict=True)
        ]
    )
    ids = usable["image_id"].to_numpy(np.int64)
    clusters = np.full(len(ids), -1, np.int64)
    if width:
        clusters = assign_clusters(features, find_clusters(ids, features, seed=seed))
    columns = [ids, clusters, [described_by] * len(ids), list(features)]
    table = pa.Table.from_arrays(
        [pa.array(values, kind) for values, kind in zip(columns, _TYPES.types, strict=True)],
        schema=_TYPES,
    )
    with writing(project / LOOKS) as temporary, files.open_file(temporary) as file:
        pq.write_table(table, file, compression="zstd")
    return read_looks(project)


def measure_masks(masks: Path, images: pd.DataFrame, looks: ImageLooks) -> DiversityRecord:
    """Return how diverse the masks of a dataset on an engine's images are.

    Args:
        masks: The dataset, as a round writes it.
        images: ``images.parquet``.
        looks: Of the images, for their clusters.
    """
    table = read(masks, "coco")
    ids = images.set_index("file_name")["image_id"]
    names = table.masks["image_id"].map(table.images["file_name"])
    clusters = looks.clusters_of(names.map(ids).to_numpy(np.int64))
    found = measure_diversity(table.masks.assign(cluster=clusters)).as_dict()
    return DiversityRecord(
        categories=found["categories"], sizes=found["sizes"], clusters=found["clusters"]
    )


def read_looks(project: Path) -> ImageLooks:
    """Read ``looks.parquet``.

    Raises:
        AuditError: It is missing or damaged.
    """
    path = project / LOOKS
    try:
        table = pq.read_table(path, schema=_TYPES)
        ids, clusters = (table[name].to_numpy() for name in ("image_id", "cluster"))
        features = np.array(table["features"].to_pylist(), np.float64).reshape(len(ids), -1)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        what = f"it cannot be read ({' '.join(str(error).split())[:100]})"
        raise AuditError(
            what, str(path), "remove it: it is made again from the pictures"
        ) from error
    return ImageLooks(ids.astype(np.int64), features, clusters.astype(np.int64))
