"""Conditions over columns, as people write them in a policy or a gate: parsed here, never run.

The grammar, loosest first::

    condition   or, and, not
    comparison  a < b, a <= b, a > b, a >= b, a == b, a != b, 0.1 < a < 0.5, a in ('x', 'y')
    number      + - * /, unary minus, abs(a)
    value       12, 0.5, 1e-3, 'text', "text", true, false, column, `odd column name`
    question    missing(a): no value here;  available(column): the audit has this column at all

A comparison with a missing value is false, ``!=`` included, so a rule never speaks about what is
not known. A column that does not exist counts as missing in every row.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from curate.errors import CallError

LONGEST = 5000
"""Characters that a condition may have."""

DEEPEST = 60
"""Levels of brackets and ``not`` that a condition may have."""

Values: TypeAlias = npt.NDArray[Any] | None
"""One column in rows: bool, int64, float64 or object (text); None where there is no such column."""

Lookup: TypeAlias = Callable[[str], Values]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<name>[^\W\d]\w*)|`(?P<odd>[^`]+)`"
    r"|(?P<sign><=|>=|==|!=|[<>(),+\-*/]))"
)
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
_HINTS = {"=": "write == to compare", "&": "write and", "|": "write or", "!": "write not or !="}
_WORDS = ("and", "or", "not", "in", "true", "false")
_FUNCTIONS = ("missing", "available", "abs")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


@dataclass(frozen=True)
class _Node:
    """One step of a condition: what it does (``kind``), to what, and where it was written."""

    kind: str
    at: int
    value: Any = None
    parts: tuple[_Node, ...] = ()

    def walk(self) -> Iterator[_Node]:
        yield self
        for part in self.parts:
            yield from part.walk()


def near(name: str, known: Collection[str]) -> str:
    """Return advice that lists the known names closest to a wrong one."""
    close = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    listed = sorted(known)
    return "known are " + ", ".join(listed[:12]) + (", ..." if len(listed) > 12 else "")


class _Parser:
    """Recursive descent over the tokens of one condition."""

    def __init__(self, text: str, where: str) -> None:
        self.text, self.where, self.depth, self.position = text, where, 0, 0
        if len(text) > LONGEST:
            raise CallError(
                f"a condition of {len(text)} characters is too long", where, f"at most {LONGEST}"
            )
        self.tokens = list(self._split())

    def error(self, what: str, at: int, do: str = "") -> CallError:
        shown = self.text if len(self.text) <= 120 else self.text[:117] + "..."
        return CallError(f"{what} at character {at + 1} of `{shown}`", self.where, do)

    def _split(self) -> Iterator[_Token]:
        at, end = 0, len(self.text.rstrip())
        while at < end:
            found = _TOKEN.match(self.text, at)
            if not found:
                at += len(self.text[at:]) - len(self.text[at:].lstrip())
                bad = self.text[at]
                what = "a text without its end" if bad in "'\"" else f"{bad!r} is not understood"
                raise self.error(what, at, _HINTS.get(bad, ""))
            kind = str(found.lastgroup)
            yield _Token(kind, found.group(kind), found.start(kind))
            at = found.end()
        yield _Token("end", "", end)

    @property
    def token(self) -> _Token:
        return self.tokens[self.position]

    def take(self, *texts: str) -> _Token | None:
        token = self.token
        if token.kind in ("sign", "name") and token.text in texts:
            self.position += 1
            return token
        return None

    def expect(self, text: str) -> None:
        if not self.take(text):
            found = repr(self.token.text) if self.token.text else "the end"
            raise self.error(f"{text!r} is expected, not {found}", self.token.at)

    def parse(self) -> _Node:
        if self.token.kind == "end":
            raise self.error("the condition is empty", 0, "write true to match every mask")
        node = self.condition()
        if self.token.kind != "end":
            raise self.error(f"{self.token.text!r} is not expected", self.token.at)
        return node

    def condition(self) -> _Node:
        return self.chain("or", self.conjunction)

    def conjunction(self) -> _Node:
        return self.chain("and", self.negation)

    def chain(self, word: str, part: Callable[[], _Node]) -> _Node:
        parts = [part()]
        at = parts[0].at
        while self.take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else _Node(word, at, None, tuple(parts))

    def negation(self) -> _Node:
        if token := self.take("not"):
            self.descend(token.at)
            node = _Node("not", token.at, None, (self.negation(),))
            self.depth -= 1
            return node
        return self.comparison()

    def descend(self, at: int) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error("the brackets are too deep", at, f"at most {DEEPEST} levels")

    def comparison(self) -> _Node:
        left = self.sum()
        if token := self.take("in"):
            return _Node("in", token.at, None, (left, *self.options()))
        links: list[_Node] = []
        while token := self.take(*_COMPARISONS):
            right = self.sum()
            links.append(_Node("compare", token.at, token.text, (left, right)))
            left = right
        if not links:
            return left
        return links[0] if len(links) == 1 else _Node("and", links[0].at, None, tuple(links))

    def options(self) -> list[_Node]:
        self.expect("(")
        found = [self.sum()]
        while self.take(",") and not (self.token.kind == "sign" and self.token.text == ")"):
            found.append(self.sum())
        self.expect(")")
        return found

    def sum(self) -> _Node:
        return self.calculation(("+", "-"), lambda: self.calculation(("*", "/"), self.signed))

    def calculation(self, signs: tuple[str, ...], part: Callable[[], _Node]) -> _Node:
        node = part()
        while token := self.take(*signs):
            node = _Node("calculate", token.at, token.text, (node, part()))
        return node

    def signed(self) -> _Node:
        if token := self.take("-"):
            self.descend(token.at)
            node = _Node("negative", token.at, None, (self.signed(),))
            self.depth -= 1
            return node
        return self.atom()

    def atom(self) -> _Node:
        token = self.token
        self.position += 1
        if token.kind == "number":
            whole = token.text.isdigit() and len(token.text) < 19
            return _Node("constant", token.at, int(token.text) if whole else float(token.text))
        if token.kind == "text":
            return _Node("constant", token.at, re.sub(r"\\(.)", r"\1", token.text[1:-1]))
        if token.kind == "odd":
            return _Node("column", token.at, token.text)
        if token.kind == "sign" and token.text == "(":
            self.descend(token.at)
            node = self.condition()
            self.depth -= 1
            self.expect(")")
            return node
        if token.kind != "name" or token.text in ("and", "or", "not", "in"):
            self.position -= 1
            found = repr(token.text) if token.text else "the end"
            raise self.error(f"a column or a value is expected, not {found}", token.at)
        if token.text in ("true", "false"):
            return _Node("constant", token.at, token.text == "true")
        return self.call(token) if self.take("(") else _Node("column", token.at, token.text)

    def call(self, name: _Token) -> _Node:
        if name.text not in _FUNCTIONS:
            raise self.error(
                f"there is no function {name.text}", name.at, "known are " + ", ".join(_FUNCTIONS)
            )
        self.descend(name.at)
        argument = self.condition()
        self.depth -= 1
        self.expect(")")
        if name.text == "available" and argument.kind != "column":
            raise self.error("available() takes the name of a column", argument.at)
        return _Node(name.text, name.at, None, (argument,))


@dataclass(frozen=True)
class Expression:
    """A condition that has been understood.

    Attributes:
        text: As it was written.
        root: Its tree.
        where: File and rule it stands in, for error messages.
    """

    text: str
    root: _Node
    where: str = ""

    @classmethod
    def parse(cls, text: str, where: str = "") -> Expression:
        """Understand a condition.

        Raises:
            CallError: It does not follow the grammar; names the character.

        >>> Expression.parse("area_px < 20 and status == 'ok'").columns
        ('area_px', 'status')
        """
        return cls(text, _Parser(text, where).parse(), where)

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

    def error(self, what: str, node: _Node, do: str = "") -> CallError:
        """Return an error that names the place of ``node``."""
        shown = self.text if len(self.text) <= 120 else self.text[:117] + "..."
        return CallError(f"{what} at character {node.at + 1} of `{shown}`", self.where, do)

    def evaluate(self, lookup: Lookup, rows: int) -> npt.NDArray[np.bool_]:
        """Return in which rows the condition holds, shape (rows,).

        Args:
            lookup: Gives a column's values (see :func:`values_of`), None where there is none.
            rows: How many rows each column has.

        Raises:
            CallError: Text is compared with a number, or a number stands for a condition.
        """
        found = _Evaluation(self, lookup, rows).truth(self.root)
        return np.array(np.broadcast_to(found, (rows,)), np.bool_)

    def holds(self, numbers: Mapping[str, Any]) -> bool:
        """Return whether the condition holds for one set of named numbers.

        Raises:
            CallError: It names a number that is not there, or one that is not available (None or
                NaN): a gate that cannot see must not pass.
        """
        self.check(numbers.keys())
        for node in self.root.walk():
            if node.kind == "column" and node.value in self.required:
                value = numbers.get(node.value)
                if value is None or value != value:
                    raise self.error(f"{node.value} is not available here", node)
        return bool(self.evaluate(lambda name: _one(numbers.get(name)), 1)[0])


def _one(value: Any) -> Values:
    return None if value is None else values_of(pd.Series([value]))


def values_of(series: pd.Series[Any]) -> npt.NDArray[Any]:
    """Return a column as conditions take it: bool, int64, float64 (NaN: missing) or text."""
    dtype = series.dtype
    if pd.api.types.is_bool_dtype(dtype) and not series.hasnans:
        return series.to_numpy(np.bool_)
    if isinstance(dtype, np.dtype) and dtype.kind == "i":
        return series.to_numpy(np.int64)
    if pd.api.types.is_numeric_dtype(dtype):
        return series.to_numpy(np.float64, na_value=np.nan)
    return series.astype(object).where(series.notna(), None).to_numpy(object)


class _Evaluation:
    """One condition over one set of rows."""

    def __init__(self, expression: Expression, lookup: Lookup, rows: int) -> None:
        self.expression, self.lookup, self.rows = expression, lookup, rows

    def truth(self, node: _Node) -> npt.NDArray[np.bool_]:
        """Evaluate a node that must be a condition."""
        value = self.value(node)
        if value is None:
            return np.zeros(self.rows, np.bool_)
        if value.dtype != np.bool_:
            kind = "text" if value.dtype == object else "a number"
            raise self.expression.error(
                f"{kind} stands where a condition must", node, "compare it with something"
            )
        return value

    def value(self, node: _Node) -> Values:
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
            found = [self.compare(node, "==", self.value(left), self.value(o)) for o in options]
            return np.logical_or.reduce(np.broadcast_arrays(*found))
        left_value, *rest = (self.value(part) for part in node.parts)
        if node.kind == "compare":
            return self.compare(node, node.value, left_value, rest[0])
        return self.calculate(node, [left_value, *rest])

    def compare(self, node: _Node, sign: str, a: Values, b: Values) -> npt.NDArray[np.bool_]:
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

    def calculate(self, node: _Node, operands: list[Values]) -> Values:
        numbers = []
        for operand in operands:
            if operand is None:
                return None
            if operand.dtype == object:
                raise self.expression.error("text stands where a number must", node)
            numbers.append(operand if operand.dtype == np.float64 else operand.astype(np.float64))
        with np.errstate(all="ignore"):
            if node.kind == "negative":
                return np.asarray(-numbers[0])
            if node.kind == "abs":
                return np.asarray(np.abs(numbers[0]))
            return np.asarray(_OPERATIONS[node.value](*numbers))


def _missing(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if values.dtype == np.float64:
        return np.isnan(values)
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
