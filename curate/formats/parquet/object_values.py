"""Values of a row: its objects one by one, its image's name and size."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from curate.common.json_values import JsonObject
from curate.formats.parquet.mask_pictures import size_of_mask
from curate.formats.parquet.object_columns import ObjectColumns
from curate.images.quiet_decoders import quiet_pillow


def list_objects(value: Any) -> list[Any]:
    """Return objects one by one, None for one that is none.

    Args:
        value: A list of objects, or their fields as lists.

    Raises:
        ValueError: The lists differ in length.
    """
    if isinstance(value, dict):
        columns = {name: column for name, column in value.items() if isinstance(column, list)}
        return [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
    return value if isinstance(value, list) else []


def image_name(head: JsonObject, columns: ObjectColumns) -> str:
    """Return the name of a row's picture; "" where it has none."""
    if columns.named is None:
        return ""
    outer, _, inner = columns.named.partition(".")
    value = head.get(outer)
    if inner:
        value = value.get(inner) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def size_of_row(head: JsonObject, columns: ObjectColumns, objects: list[Any]) -> tuple[int, int]:
    """Return height and width of a row's image; (0, 0) where nothing tells them.

    Args:
        head: The row's values beside its objects.
        columns: The file's columns.
        objects: Its objects, of which run lengths state a size.
    """
    if columns.height is not None and columns.width is not None:
        height, width = head.get(columns.height), head.get(columns.width)
        if type(height) is int and type(width) is int and min(height, width) > 0:
            return height, width
    picture = head.get("image")
    data = picture.get("bytes") if isinstance(picture, dict) else None
    size = _size_of_picture(data) if isinstance(data, bytes) and data else None
    stated = (size_of_mask(one.get(columns.pixels)) for one in objects if isinstance(one, dict))
    return size or next((one for one in stated if one is not None), (0, 0))


def _size_of_picture(data: bytes) -> tuple[int, int] | None:
    try:
        with quiet_pillow(), Image.open(io.BytesIO(data)) as opened:
            return opened.height, opened.width
    except Exception:  # decoders raise whatever they like on broken bytes
        return None
