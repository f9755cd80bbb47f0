"""Hugging Face: a folder that ``datasets.load_dataset`` reads, of Parquet with an image a row.

The files are ``data/<split>-00000-of-00002.parquet``, those without splits ``train``. With
``--images copy`` they hold the pictures, with ``link`` too, since nothing inside a file can be
linked; else ``file_name`` alone says which they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate.common import files
from curate.errors import CallError
from curate.formats.format import convert_read_errors
from curate.formats.parquet.written_columns import (
    FLOAT,
    GROUP_BYTES,
    GROUP_ROWS,
    INT,
    object_schema,
)
from curate.writing.edited_tables import SCORES
from curate.writing.exports.export import Export, Holds, Writer, WriterOptions
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage, FinalMask

_SHARD_BYTES = 500 << 20
"""About how large a file gets, as ``datasets`` cuts them itself."""

_GROUPS = ("track_id", "group_id")


class HuggingFaceWriter(Writer):
    """Writes rows to the shards of each split."""

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        if options.masks == "polygon":
            what = "Hugging Face Parquet is written with run lengths"
            raise CallError(what, "--masks", "use --masks same")
        self._numbers = {name: FLOAT for name in SCORES if name in dataset.columns}
        self._numbers |= {name: INT for name in _GROUPS if name in dataset.columns}
        self._schema = object_schema(self._numbers, pictures=options.puts_pictures)

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find images without a name."""
        if not image.file_name:
            name = f"image_{image.image_id}"
            yield Loss("image name", None, name, {"file_name": name})

    def write(self, images: Iterator[FinalImage], out: Path) -> None:
        """Write the shards."""
        folder = out / "data"
        files.mkdir(folder, parents=True, exist_ok=True)
        shards: dict[str, _Shards] = {}
        with ExitStack() as opened:
            for image in images:
                split = image.split or "train"
                if split not in shards:
                    shards[split] = opened.enter_context(_Shards(folder, split, self._schema))
                data = self._picture(image)
                shards[split].add(self._row(image, data), len(data or b""))
                self.tally.runs += len(image.masks)
        for one in shards.values():
            one.name_files()

    def _picture(self, image: FinalImage) -> bytes | None:
        if image.picture is None or not self.options.puts_pictures:
            return None
        with convert_read_errors(image.picture), files.open_to_read(image.picture) as file:
            return file.read()

    def _row(self, image: FinalImage, data: bytes | None) -> dict[str, object]:
        row: dict[str, object] = {
            "file_name": image.file_name,
            "image_id": image.image_id,
            "height": image.height,
            "width": image.width,
            "objects": self._objects(image),
        }
        if data is not None:
            row["image"] = {"bytes": data, "path": image.file_name}
        return row

    def _objects(self, image: FinalImage) -> dict[str, list[object]]:
        size, masks = [*image.size], image.masks
        made: dict[str, list[object]] = {
            "id": [mask.mask_id for mask in masks],
            "bbox": [[float(side) for side in mask.box] for mask in masks],
            "area": [mask.area for mask in masks],
            "category": [mask.label for mask in masks],
            "segmentation": [
                {"size": size, "counts": mask.counts.decode("ascii")} for mask in masks
            ],
            "iscrowd": [mask.iscrowd for mask in masks],
        }
        for name in self._numbers:
            made[name] = [_number(mask, name) for mask in masks]
        return made


def _number(mask: FinalMask, name: str) -> object:
    if name in _GROUPS:
        return mask.track_id if name == "track_id" else mask.group_id
    return mask.scores.get(name)


class _Shards:
    """The files of one split; their names say how many there are, so they get them at the end."""

    def __init__(self, folder: Path, split: str, schema: pa.Schema) -> None:
        self._folder, self._split, self._schema = folder, split, schema
        self._paths: list[Path] = []
        self._rows: list[dict[str, object]] = []
        self._size = self._written = 0
        self._open = ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._open.close()

    def add(self, row: dict[str, object], size: int) -> None:
        """Take a row whose picture has so many bytes."""
        self._rows.append(row)
        self._size += size
        if self._size >= GROUP_BYTES or len(self._rows) >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        """Write a row group."""
        if not self._rows:
            return
        if self._writer is None or self._written >= _SHARD_BYTES:
            self._open.close()
            path = self._folder / f"{self._split}-{len(self._paths):05d}.parquet"
            self._paths.append(path)
            file = self._open.enter_context(files.open_file(path))
            made = pq.ParquetWriter(file, self._schema, compression="zstd")
            self._writer = self._open.enter_context(made)
            self._written = 0
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._written += self._size
        self._rows, self._size = [], 0

    def name_files(self) -> None:
        """Give all files their names."""
        for path in self._paths:
            count = f"{len(self._paths):05d}"
            files.rename(path, path.with_name(f"{path.stem}-of-{count}.parquet"))


EXPORT = Export(
    "huggingface",
    "Hugging Face Parquet",
    "huggingface",
    Holds(unnamed=True, crowds=True, scores=True, mask_ids=True, groups=True),
    HuggingFaceWriter,
)
