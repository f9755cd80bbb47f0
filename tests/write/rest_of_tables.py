"""The rest of datasets whose masks are listed in tables."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from drawn_masks import box_of, decoded, rasterised
from mask_files import tree
from PIL import Image
from rest import Touched
from small_table_datasets import CODES

# --- run lengths in CSV --------------------------------------------------------------------------

Rows = list[list[str]]


def _rows(path: Path) -> Rows:
    text = path.read_bytes().decode("utf-8-sig")
    return [row for row in csv.reader(io.StringIO(text, newline="")) if row]


def _decoded(text: str, size: tuple[int, int], order: str) -> np.ndarray:
    flat = np.zeros(size[0] * size[1], bool)
    numbers = [int(one) for one in text.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        flat[start - 1 : start - 1 + length] = True
    return flat.reshape(size, order="F" if order == "F" else "C")


def _check_csv(source: Path, written: Path, touched: Touched, order: str, kind: int | None) -> None:
    """Compare two files: column 0 is the image, 1 the runs, ``kind`` the class."""
    old, new = _rows(source), _rows(written)
    assert new.pop(0) == old[0]
    header = [name.lower() for name in old.pop(0)]
    text = source.read_bytes()
    lines = [k for k, line in enumerate(text.splitlines(), 1) if line.strip()][1:]
    added = list(touched.added)
    untouched = set(written.read_bytes().splitlines())
    for line, was in zip(lines, old, strict=True):
        key = f"{source.name}:{line}"
        size = _size(header, was, touched)
        left = [row for row in new if row[0] == was[0]]
        if key in touched.dropped:
            others = [one for one in touched.added if one[0] == was[0]]
            if left and left[0][1] == "" and not others:
                assert left[0][2:] == was[2:]
                new.remove(left[0])
            continue
        if was[1] == "" and any(one[0] == was[0] for one in added):
            continue  # filled: looked at below
        if key not in touched.redrawn and key not in touched.relabelled:
            assert was in new
            assert text.splitlines()[line - 1] in untouched
            new.remove(was)
            continue
        found = None
        for row in left:
            meant = list(was)
            if key in touched.redrawn:
                mask = touched.redrawn[key]
                if row[1] == "" or (_decoded(row[1], mask.shape, order) != mask).any():
                    continue
                meant[1] = row[1]
            if key in touched.relabelled and kind is not None:
                rest = was[kind].partition("_")
                meant[kind] = touched.relabelled[key] + rest[1] + rest[2]
            if row == meant:
                found = row
        assert found is not None, (key, size)
        new.remove(found)
    for image, mask, label in added:
        matches = [
            row
            for row in new
            if row[0] == image
            and (_decoded(row[1], mask.shape, order) == mask).all()
            and (kind is None or row[kind] == label)
        ]
        assert matches
        new.remove(matches[0])
    assert new == []


def _size(header: list[str], row: list[str], touched: Touched) -> tuple[int, int] | None:
    if "height" not in header:
        return None
    return int(row[header.index("height")]), int(row[header.index("width")])


def check_kaggle_csv(source: Path, written: Path, touched: Touched) -> None:
    _check_csv(source, written, touched, "F", 4)


def check_kaggle_csv_rows(source: Path, written: Path, touched: Touched) -> None:
    _check_csv(source, written, touched, "C", 4)


# --- Hugging Face Parquet ------------------------------------------------------------------------


def check_huggingface(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    assert list(before) == list(after)
    for name, data in before.items():
        if name in {key.partition("#")[0] for key in touched.files}:
            _check_parquet(source / name, written / name, name, touched)
        else:
            assert after[name] == data


def check_huggingface_list(source: Path, written: Path, touched: Touched) -> None:
    if touched:
        _check_parquet(source, written, source.name, touched)
    else:
        assert source.read_bytes() == written.read_bytes()


def _check_parquet(source: Path, written: Path, name: str, touched: Touched) -> None:
    """Compare two files value by value, and how they are packed."""
    old, new = (pq.ParquetFile(path) for path in (source, written))
    assert new.schema_arrow.equals(old.schema_arrow, check_metadata=True)
    assert new.metadata.num_row_groups == old.metadata.num_row_groups
    for group in range(old.metadata.num_row_groups):
        was, now = old.metadata.row_group(group), new.metadata.row_group(group)
        assert was.num_rows == now.num_rows
        for k in range(was.num_columns):
            assert was.column(k).compression == now.column(k).compression
            assert was.column(k).path_in_schema == now.column(k).path_in_schema
    rows = list(zip(old.read().to_pylist(), new.read().to_pylist(), strict=True))
    for number, (row, made) in enumerate(rows):
        objects, others = (_objects(one.pop("objects")) for one in (row, made))
        assert repr(row) == repr(made)
        key = f"{name}#{number}"
        _check_objects(objects, others, key, touched, _size_in(row))


def _objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return value
    return [dict(zip(value, one, strict=True)) for one in zip(*value.values(), strict=True)]


def _size_in(row: dict[str, Any]) -> tuple[int, int]:
    with Image.open(io.BytesIO(row["image"]["bytes"])) as image:
        return image.height, image.width


def _pixels(one: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    mask = one["segmentation"]
    return rasterised(mask, size) if isinstance(mask, list) else decoded(mask["counts"], size)


def _check_objects(
    old: list[dict[str, Any]],
    new: list[dict[str, Any]],
    key: str,
    touched: Touched,
    size: tuple[int, int],
) -> None:
    left = list(new)
    for k, was in enumerate(old):
        place = f"{key}/{k}"
        if place in touched.dropped:
            continue
        made = left.pop(0)
        changed = set[str]()
        if place in touched.redrawn:
            mask = touched.redrawn[place]
            assert (_pixels(made, size) == mask).all()
            changed |= {"segmentation", "bbox", "area"}
            _check_measures(made, mask)
        if place in touched.relabelled:
            _check_label(made, touched.relabelled[place])
            changed |= {"category", "label"}
        for name, value in was.items():
            assert name in changed or repr(made[name]) == repr(value)
    added = [one for one in touched.added if one[0] == key]
    assert len(added) == len(left)
    for made, (_, mask, label) in zip(left, added, strict=True):
        assert (_pixels(made, size) == mask).all()
        _check_measures(made, mask)
        _check_label(made, str(label))


def _check_measures(one: dict[str, Any], mask: np.ndarray) -> None:
    x, y, w, h = box_of(mask)
    if "area" in one:
        assert (one["bbox"], one["area"]) == ([x, y, w, h], mask.sum())
    else:  # in that dataset boxes are of corners, as long as some mask of the row shows it
        assert one["bbox"] in ([x, y, x + w, y + h], [x, y, w, h])


def _check_label(one: dict[str, Any], label: str) -> None:
    assert one["category"] == label if "category" in one else ("cat", "dog")[one["label"]] == label


# --- Open Images ---------------------------------------------------------------------------------


def check_open_images(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    found: list[tuple[str, bytes, bytes]] = []
    gone = set[str]()
    for name in before:
        if not name.endswith("-segmentation.csv"):
            continue
        own = touched.below(f"{name}:", "")
        added = [(i.partition("#")[2], m, c) for i, m, c in touched.added if i.startswith(name)]
        split = name.rpartition("/")[2].partition("-")[0]
        old, new = _rows(source / name), _rows(written / name)
        assert new.pop(0) == old.pop(0)
        texts = (source / name).read_bytes().splitlines()
        for line, was in enumerate(old, 2):
            png, key = f"masks/{split}/{was[0]}", str(line)
            if key in own.dropped:
                gone.add(png)
                continue
            made, label = new.pop(0), own.relabelled.get(key)
            assert made == [*was[:2], was[2] if label is None else _code_of(label), *was[3:]]
            if key in own.redrawn:
                assert (_png(after[png]) == own.redrawn[key]).all()
            else:
                assert after[png] == before[png]
            if label is None:
                assert texts[line - 1] in (written / name).read_bytes().splitlines()
        meant = sorted((i, m.tobytes(), _code_of(str(c)).encode()) for i, m, c in added)
        pngs = [f"masks/{split}/{made[0]}" for made in new]
        assert not before.keys() & set(pngs)
        here = [
            (made[1], _png(after[png]).tobytes(), made[2].encode())
            for made, png in zip(new, pngs, strict=True)
        ]
        assert sorted(here) == meant
        found += here
    assert set(before) - set(after) == gone
    assert len(set(after) - set(before)) == len(found) == len(touched.added)
    for name in set(before) & set(after):
        if not name.startswith("masks/") and not name.endswith("-segmentation.csv"):
            assert after[name] == before[name]


def _code_of(label: str) -> str:
    return next(code for code, name in CODES.items() if name == label)


def _png(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image) > 0
