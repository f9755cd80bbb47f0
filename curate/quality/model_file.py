"""Model file: a skops file with plain arrays, numbers and names, nothing that can run.

A model may come from a stranger. A skops file is a ZIP of ``.npy`` arrays and a JSON description of
what to make of them. Before skops is asked to make anything, the description is checked to speak of
dicts, lists, texts, numbers and arrays only, and every array to be as large as it says; afterwards
each value is checked to be what a model is made of. Nothing in the file is ever run.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from typing import Any

import numpy as np

from curate.common.arrays import AnyArray
from curate.errors import AuditError
from curate.quality.features import FeatureColumns
from curate.quality.model import QualityModel
from curate.quality.trees import Trees

VERSION = 1
KIND = "curate quality model"

TRUSTED: frozenset[tuple[str, str]] = frozenset(
    {
        ("DictNode", "builtins.dict"),
        ("ListNode", "builtins.list"),
        ("JsonNode", "builtins.str"),
        ("TypeNode", "builtins.str"),
        ("NdArrayNode", "numpy.ndarray"),
    }
)
"""What a file may ask skops to make: loader and type. All are types that cannot do anything."""

LARGEST = 64_000_000
LONGEST_DESCRIPTION = 1_000_000
MOST_COLUMNS = 2_000

_DO = "run `curate learn` again"

_TREES: dict[str, str] = {
    "column": "int32",
    "threshold": "float64",
    "left": "int32",
    "right": "int32",
    "missing_left": "bool",
    "value": "float64",
    "roots": "int32",
}
_ARRAYS: dict[str, str] = {"usual": "float64", "middle": "float64", "seen": "uint64"}


class _StrangeFile(ValueError):
    """The file is not what :func:`to_bytes` writes."""


def _skops() -> Any:
    # Loaded here: it loads scikit-learn, and most audits have no learned model.
    import skops.io

    return skops.io


def to_bytes(model: QualityModel) -> bytes:
    """Return a model as a skops file."""
    trees: dict[str, object] = {name: getattr(model.trees, name) for name in _TREES}
    content = {
        "kind": KIND,
        "version": VERSION,
        "signals": list(model.columns.signals),
        "measures": list(model.columns.measures),
        "intercept": float(model.intercept),
        "slope": float(model.slope),
        "trees": trees | {"base": float(model.trees.base)},
        **{name: getattr(model, name) for name in _ARRAYS},
    }
    return bytes(_skops().dumps(content))


def from_bytes(data: bytes, where: str) -> QualityModel:
    """Return the model that a skops file holds.

    Raises:
        AuditError: It is of another version, or not a file that curate writes.
    """
    try:
        _check_description(data)
        unknown = _skops().get_untrusted_types(data=data)
        _require(not unknown, f"it holds {', '.join(map(str, unknown))[:80]}")
        content = _skops().loads(data, trusted=[])
        _require(type(content) is dict and content.get("kind") == KIND, "it is none")
        if content.get("version") != VERSION:
            what = f"the quality model is of version {content.get('version')!r:.20}"
            raise AuditError(f"{what}, this curate reads {VERSION}", where, _DO)
        return _model(content)
    except AuditError:
        raise
    except Exception as error:  # whatever a made-up file makes a reader stumble over
        why = str(error) if isinstance(error, _StrangeFile) else type(error).__name__
        raise AuditError(f"it is no quality model of curate's ({why})", where, _DO) from error


def _require(holds: object, why: str) -> None:
    if not holds:
        raise _StrangeFile(why)


def _check_description(data: bytes) -> None:
    """Check that a file asks for nothing but plain values, and is as large as it says."""
    _require(len(data) <= LARGEST, "it is too large")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        _require(len(entries) <= 64, "it has too many parts")
        for entry in entries:
            plain = entry.compress_type == zipfile.ZIP_STORED
            _require(plain and entry.file_size <= len(data), "its parts are packed")
        description = archive.read("schema.json")
        _require(len(description) <= LONGEST_DESCRIPTION, "its description is too long")
        files = _files(json.loads(description))
        for name in files:
            _check_array(archive.read(name))


def _files(node: Any) -> list[str]:
    """Return the arrays' files that a description names; refuse it if it names another type."""
    found: list[str] = []
    todo = [node]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            if "__loader__" in each or "__class__" in each:
                made = f"{each.get('__module__')}.{each.get('__class__')}"
                known = (each.get("__loader__"), made) in TRUSTED
                _require(known, f"it holds {made[:60]}")
            if each.get("__loader__") == "NdArrayNode":
                _require(each.get("type") == "numpy", "it holds an array of objects")
                found.append(str(each["file"]))
            todo.extend(each.values())
        elif isinstance(each, list):
            todo.extend(each)
    return found


def _check_array(data: bytes) -> None:
    """Check that an array's header asks for as many bytes as there are."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    _require(version == (1, 0), "an array is of another version")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a header of Python 2, which skops would warn of as well
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    _require(len(shape) == 1 and not dtype.hasobject, "an array is of another shape")
    _require(shape[0] * dtype.itemsize == len(data) - stream.tell(), "an array is cut off")


def _model(content: dict[str, object]) -> QualityModel:
    columns = FeatureColumns(_names(content["signals"]), _names(content["measures"]))
    _require(
        len(set(columns.names)) == len(columns.names) <= MOST_COLUMNS,
        "its columns are repeated or too many",
    )
    width = 1 + len(columns.names)
    trees = _read_trees(content["trees"], width)
    arrays = {name: _array(content[name], dtype) for name, dtype in _ARRAYS.items()}
    for name in ("usual", "middle"):
        _require(len(arrays[name]) == width, f"{name} is of another length")
    _require(np.isfinite(arrays["usual"]).all(), "usual is not finite")
    slope = _number(content["slope"])
    _require(slope >= 0, "its slope falls")
    return QualityModel(columns, _number(content["intercept"]), slope, trees, **arrays)


def _read_trees(content: Any, width: int) -> Trees:
    _require(type(content) is dict, "it has no trees")
    arrays = {name: _array(content[name], dtype) for name, dtype in _TREES.items()}
    count = len(arrays["column"])
    for name in set(_TREES) - {"roots"}:
        _require(len(arrays[name]) == count, "its trees do not fit together")
    column, roots = arrays["column"], arrays["roots"]
    _require(((column >= -1) & (column < width)).all(), "a tree asks about no column")
    _require(((roots >= 0) & (roots < count)).all(), "a tree has no root")
    inner = np.flatnonzero(column >= 0)
    for side in ("left", "right"):  # children stand behind their parent, so that no walk is endless
        child = arrays[side][inner]
        _require(((child > inner) & (child < count)).all(), "a tree has no end")
    _require(np.isfinite(arrays["value"]).all(), "a tree has no value")
    _require(not np.isnan(arrays["threshold"]).any(), "a tree has no threshold")
    return Trees(**arrays, base=_number(content["base"]))


def _names(value: Any) -> tuple[str, ...]:
    _require(type(value) is list, "its columns are no list")
    for name in value:
        _require(type(name) is str and name.isidentifier() and len(name) <= 200, "a column is odd")
    return tuple(value)


def _number(value: Any) -> float:
    _require(type(value) is float and np.isfinite(value), "a number is odd")
    return float(value)


def _array(value: Any, dtype: str) -> AnyArray:
    _require(type(value) is np.ndarray, "an array is missing")
    _require(value.dtype == np.dtype(dtype) and value.ndim == 1, "an array is of another type")
    return np.ascontiguousarray(value)
