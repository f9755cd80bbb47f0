"""Vectorised evaluation of conditions over columns; syntax in :mod:`curate.policy.grammar`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from curate.common.arrays import AnyArray, BoolArray
from curate.errors import CallError
from curate.policy.grammar import Node, near, parse

Values: TypeAlias = AnyArray | None
"""One column in rows: bool, int64, float64 or object (text); None where there is no such column."""

Lookup: TypeAlias = Callable[[str], Values]


@dataclass(frozen=True)
class Expression:
    """A condition that has been understood.

    Attributes:
        text: As it was written.
        root: Its tree.
        where: File and rule it stands in, for error messages.
    """

    text: str
    root: Node
    where: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str, where: str = "") -> Expression:
        """Understand a condition.

        Raises:
            CallError: It does not follow the grammar; names the character.

        >>> Expression.parse("area_px < 20 and status == 'ok'").columns
        ('area_px', 'status')
        """
        return cls(text, parse(text, where), where)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column it names, in the order of first mention."""
        return tuple(dict.fromkeys(n.value for n in self.root.walk() if n.kind == "column"))

    @property
    def required(self) -> tuple[str, ...]:
        """Columns it cannot speak without: those outside ``missing()`` and ``available()``."""
        asked = [n.parts[0] for n in self.root.walk() if n.kind in ("missing", "available")]
        free = {c.value for a in asked for c in a.walk() if c.kind == "column"}
        return tuple(c for c in self.columns if c not in free)

    @property
    def thresholds(self) -> list[tuple[str, str, float]]:
        """Comparisons of a column with a number: (column, "below" or "above", number)."""
        found = []
        for node in self.root.walk():
            if node.kind != "compare" or node.value in ("==", "!="):
                continue
            a, b = node.parts
            below = node.value.startswith("<")
            if a.kind == "constant":
                a, b, below = b, a, not below
            if a.kind == "column" and b.kind == "constant" and type(b.value) in (int, float):
                found.append((a.value, "below" if below else "above", float(b.value)))
        return found

    def check(self, known: Collection[str]) -> None:
        """Raise :class:`CallError` on a column not ``known`` and not guarded by ``available()``."""
        guarded = {n.parts[0].value for n in self.root.walk() if n.kind == "available"}
        for node in self.root.walk():
            if node.kind == "column" and node.value not in known and node.value not in guarded:
                raise self.error(f"there is no column {node.value}", node, near(node.value, known))

    def error(self, what: str, node: Node, do: str = "") -> CallError:
        """Return an error that names the place of ``node``."""
        shown = self.text if len(self.text) <= 120 else self.text[:117] + "..."
        return CallError(f"{what} at character {node.at + 1} of `{shown}`", self.where, do)

    def evaluate(self, lookup: Lookup, rows: int) -> BoolArray:
        """Return in which rows the condition holds, shape (rows,).

        Args:
            lookup: Gives a column's values (see :func:`values_of`), None where there is none.
            rows: How many rows each column has.

        Raises:
            CallError: Text is compared with a number, or a number stands for a condition.
        """
        found = _Evaluation(self, lookup, rows).truth(self.root)
        return np.array(np.broadcast_to(found, (rows,)), np.bool_)

    def holds(self, numbers: Mapping[str, object]) -> bool:
        """Return whether the condition holds for one set of named numbers.

        What has no value (a number that is not available, 0/0) is unknown, and so is a comparison
        with it. Only what decides counts: ``and`` with one false part is false and ``or`` with one
        true part is true, whatever is unknown beside it. So ``a > 0 and b / a > 0.1`` is a guard.

        Raises:
            CallError: It names a number that is not there, or it is unknown as a whole: a gate that
                cannot see must not pass.
        """
        self.check(numbers.keys())
        gate = _Gate(self, numbers)
        found = gate.condition(self.root)
        if found is None:
            raise gate.unknown(self.root)
        return found


def _one(value: Any) -> Values:
    return None if value is None else values_of(pd.Series([value]))


def values_of(series: pd.Series[Any]) -> AnyArray:
    """Return a column as conditions take it: bool, int64, float64 (NaN: missing) or text."""
    dtype = series.dtype
    if pd.api.types.is_bool_dtype(dtype) and not series.hasnans:
        return series.to_numpy(np.bool_)
    if isinstance(dtype, np.dtype) and dtype.kind == "i":
        return series.to_numpy(np.int64)
    if pd.api.types.is_numeric_dtype(dtype):
        return series.to_numpy(np.float64, na_value=np.nan)
    if isinstance(dtype, pd.ArrowDtype):  # in one step, a repeated word as one object
        text = series.array.__arrow_array__()
        return np.asarray(text.to_numpy(zero_copy_only=False), object)
    return series.astype(object).where(series.notna(), None).to_numpy(object)


class _Evaluation:
    """One condition over one set of rows."""

    def __init__(self, expression: Expression, lookup: Lookup, rows: int) -> None:
        self.expression, self.lookup, self.rows = expression, lookup, rows

    def truth(self, node: Node) -> BoolArray:
        """Evaluate a node that must be a condition."""
        value = self.value(node)
        if value is None:
            return np.zeros(self.rows, np.bool_)
        if value.dtype != np.bool_:
            kind = "text" if value.dtype == object else "a number"
            raise self.expression.error(
                f"expected a condition, not {kind}", node, "compare it with something"
            )
        return value

    def value(self, node: Node) -> Values:
        if node.kind == "column":
            return self.lookup(str(node.value))
        if node.kind == "constant":
            kind = object if isinstance(node.value, str) else None
            return np.array([node.value], kind)
        if node.kind in ("and", "or"):
            found = [self.truth(part) for part in node.parts]
            join = np.logical_and if node.kind == "and" else np.logical_or
            for other in found[1:]:
                found[0] = join(found[0], other)
            return found[0]
        if node.kind == "not":
            return ~self.truth(node.parts[0])
        if node.kind == "available":
            return np.array([self.lookup(node.parts[0].value) is not None])
        if node.kind == "missing":
            value = self.value(node.parts[0])
            return np.ones(1, np.bool_) if value is None else _missing(value)
        if node.kind == "in":
            left, *options = node.parts
            asked = self.value(left)
            if asked is not None and asked.dtype == object and _all_text(options):
                return np.asarray(pd.Series(asked).isin([o.value for o in options]), np.bool_)
            found = [self.compare(node, "==", asked, self.value(o)) for o in options]
            return np.asarray(np.logical_or.reduce(np.broadcast_arrays(*found)), np.bool_)
        if node.kind == "contains":
            return self.contains(node)
        left_value, *rest = (self.value(part) for part in node.parts)
        if node.kind == "compare":
            return self.compare(node, node.value, left_value, rest[0])
        return self.calculate(node, [left_value, *rest])

    def compare(self, node: Node, sign: str, a: Values, b: Values) -> BoolArray:
        if a is None or b is None:
            return np.zeros(1, np.bool_)
        text = (a.dtype == object, b.dtype == object)
        if text[0] != text[1]:
            raise self.expression.error("text is compared with a number", node)
        if text[0] and sign not in ("==", "!="):
            raise self.expression.error(
                f"text cannot be compared with {sign}", node, "use == or in"
            )
        known = ~(_missing(a) | _missing(b))
        with np.errstate(invalid="ignore"):
            compared = _OPERATIONS[sign](a, b).astype(np.bool_)
        return np.asarray(known & compared, np.bool_)

    def contains(self, node: Node) -> BoolArray:
        searched = self.value(node.parts[0])
        if searched is None:
            return np.zeros(1, np.bool_)
        if searched.dtype != object:
            raise self.expression.error("contains() searches a text, not a number", node)
        texts = pd.Series(searched, dtype="str").str.lower()
        found = texts.str.contains(str(node.value).lower(), regex=False, na=False)
        return np.asarray(found, np.bool_)

    def calculate(self, node: Node, operands: list[Values]) -> Values:
        numbers = []
        for operand in operands:
            if operand is None:
                return None
            if operand.dtype == object:
                raise self.expression.error("expected a number, not text", node)
            numbers.append(operand if operand.dtype == np.float64 else operand.astype(np.float64))
        with np.errstate(all="ignore"):
            if node.kind == "negative":
                return np.asarray(-numbers[0])
            if node.kind == "abs":
                return np.asarray(np.abs(numbers[0]))
            return np.asarray(_OPERATIONS[node.value](*numbers))


class _Gate(_Evaluation):
    """One condition over one set of numbers; the value of what is unknown is None."""

    def __init__(self, expression: Expression, numbers: Mapping[str, object]) -> None:
        super().__init__(expression, lambda name: _one(numbers.get(name)), 1)
        self._found: dict[int, Values] = {}

    def condition(self, node: Node) -> bool | None:
        """Return whether a condition holds; None where that is unknown."""
        return None if self.value(node) is None else bool(self.truth(node)[0])

    def unknown(self, node: Node) -> CallError:
        """Return the error that a node has no value, which names the part that is why."""
        for part in node.parts:
            if self.value(part) is None:
                return self.unknown(part)
        if node.kind == "column":
            return self.expression.error(f"{node.value} is not available here", node)
        do = "say when it counts: `accept_count > 0 and ...`"
        return self.expression.error("there is no value, as of 0 / 0,", node, do)

    def value(self, node: Node) -> Values:
        if id(node) not in self._found:  # asked for several times, at every level
            self._found[id(node)] = self._value(node)
        return self._found[id(node)]

    def _value(self, node: Node) -> Values:
        if node.kind in ("and", "or"):
            return _combine_parts([self.condition(part) for part in node.parts], node.kind == "or")
        if node.kind == "in":
            asked, *options = map(self.value, node.parts)
            return _combine_parts([self._equal(node, asked, option) for option in options], True)
        asks = node.kind in ("missing", "available")
        if not asks and any(self.value(part) is None for part in node.parts):
            return None
        value = super().value(node)
        return None if value is None or _missing(value)[0] else value

    def _equal(self, node: Node, a: Values, b: Values) -> bool | None:
        return None if a is None or b is None else bool(self.compare(node, "==", a, b)[0])


def _combine_parts(parts: Sequence[bool | None], by: bool) -> Values:
    """Combine parts: one of value ``by`` decides, else all do; None where that is unknown."""
    if by in parts:
        return np.array([by])
    return None if None in parts else np.array([not by])


def _all_text(options: Iterable[Node]) -> bool:
    return all(option.kind == "constant" and type(option.value) is str for option in options)


def _missing(values: AnyArray) -> BoolArray:
    if values.dtype == np.float64:
        return np.asarray(np.isnan(values), np.bool_)
    if values.dtype == object:
        return np.asarray(pd.isna(values), np.bool_)
    return np.zeros(len(values), np.bool_)


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}
