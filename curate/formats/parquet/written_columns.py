"""Columns of the Parquet files that curate writes: a picture and its objects a row.

``datasets.load_dataset("parquet", data_files=...)`` shows the pictures: the file says that
``image`` is one. Each object has COCO's ``{"size", "counts"}``, compressed run lengths.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
import pyarrow as pa

TEXT, INT, FLOAT = "string", "int64", "float64"
"""Types of further fields of objects."""

GROUP_BYTES = 32 << 20
"""About how many bytes of pictures stand in one row group."""

GROUP_ROWS = 100
"""Most rows of a row group: the viewer of Hugging Face reads whole groups."""


def object_schema(extra: Mapping[str, str], *, pictures: bool = True) -> pa.Schema:
    """Return the columns, and beside them what ``datasets`` needs to know to show them.

    Args:
        extra: Further fields of objects, and their types.
        pictures: Whether there is a column of pictures.
    """
    mask = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
    objects = {
        "id": pa.int64(),
        "bbox": pa.list_(pa.float64()),
        "area": pa.int64(),
        "category": pa.string(),
        "segmentation": mask,
        "iscrowd": pa.int64(),
    }
    objects |= {key: pa.type_for_alias(kind) for key, kind in extra.items()}
    columns = {
        "file_name": pa.string(),
        "image_id": pa.int64(),
        "height": pa.int32(),
        "width": pa.int32(),
        "objects": pa.struct([(name, pa.list_(kind)) for name, kind in objects.items()]),
    }
    features = {k: _feature(kind) for k, kind in columns.items()}
    if pictures:
        features = {"image": {"_type": "Image"}} | features
        image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        columns = {"image": image} | columns
    return pa.schema(
        columns,
        metadata={"huggingface": orjson.dumps({"info": {"features": features}}).decode()},
    )


def _feature(kind: pa.DataType) -> object:
    """Return the feature that ``datasets`` knows a type as."""
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if not pa.types.is_list(kind):
        return {"dtype": FLOAT if pa.types.is_float64(kind) else str(kind), "_type": "Value"}
    inner = _feature(kind.value_type)
    # A list around a dict: "Sequence" of a dict would mean a dict of lists.
    is_dict = pa.types.is_struct(kind.value_type)
    return [inner] if is_dict else {"feature": inner, "_type": "Sequence"}
