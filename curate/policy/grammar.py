"""Grammar of conditions in policies and gates: parsed into trees, never executed as code.

The grammar, loosest first::

    condition   or, and, not
    comparison  a < b, a <= b, a > b, a >= b, a == b (or a = b), a != b, 0.1 < a < 0.5,
                a in ('x', 'y')
    number      + - * /, unary minus, abs(a)
    value       12, 0.5, 1e-3, 'text', "text", true, false, column, `odd column name`
    question    missing(a): no value here;  available(column): the audit has this column at all;
                contains(a, 'text'): the text stands in a, upper and lower case being the same

A comparison with a missing value is false, ``!=`` included, so a rule never speaks about what is
not known. A column that does not exist counts as missing in every row.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from curate.common.ranges import ACTIONS
from curate.errors import CallError

LONGEST = 5000
"""Characters that a condition may have."""

DEEPEST = 60
"""Levels of brackets and ``not`` that a condition may have."""

TALLEST = 100
"""Steps that a condition may have one within the other: ``a + b + c`` has two."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<name>[^\W\d]\w*)|`(?P<odd>[^`]+)`"
    r"|(?P<sign><=|>=|==|!=|[=<>(),+\-*/]))"
)
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=", "=")
_HINTS = {"&": "write and", "|": "write or", "!": "write not or !="}
_FUNCTIONS = ("missing", "available", "abs", "contains")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


@dataclass(frozen=True)
class Node:
    """One step of a condition: what it does (``kind``), to what, and where it was written."""

    kind: str
    at: int
    value: Any = None
    parts: tuple[Node, ...] = ()

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it."""
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


def check_choice(value: str | None, option: str, known: Collection[str]) -> None:
    """Check that an option's value is one of its words; None passes.

    Raises:
        CallError: It is not; says which there are, and which may be meant.
    """
    if value is None or value in known:
        return
    advice = near(str(value), known)
    do = advice if advice.startswith("did you") else "choose one of these"
    raise CallError(f"{value!r} is not one of {', '.join(known)}", option, do)


def check_actions(actions: Sequence[str], option: str) -> None:
    """Check that a list of actions holds actions of a plan only, and at least one.

    Raises:
        CallError: There is no such action, none is given, or a text is given in place of a list.
    """
    if isinstance(actions, str):
        do = f"give a list: [{actions!r}]"
        raise CallError(f"actions are a list, not the text {actions!r}", option, do)
    for action in actions:
        if action not in ACTIONS:
            raise CallError(f"there is no action {action!r}", option, near(action, ACTIONS))
    if not actions:
        raise CallError("no action is given", option, "choose from " + ", ".join(ACTIONS))


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

    def parse(self) -> Node:
        if self.token.kind == "end":
            raise self.error("the condition is empty", 0, "write true to match every mask")
        node = self.condition()
        if self.token.kind != "end":
            raise self.error(f"{self.token.text!r} is not expected", self.token.at)
        if _height(node) > TALLEST:
            do = f"calculate with at most {TALLEST} values in a row"
            raise self.error("its calculations are too long", node.at, do)
        return node

    def condition(self) -> Node:
        return self.chain("or", self.conjunction)

    def conjunction(self) -> Node:
        return self.chain("and", self.negation)

    def chain(self, word: str, part: Callable[[], Node]) -> Node:
        parts = [part()]
        at = parts[0].at
        while self.take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Node(word, at, None, tuple(parts))

    def negation(self) -> Node:
        if token := self.take("not"):
            self.descend(token.at)
            node = Node("not", token.at, None, (self.negation(),))
            self.depth -= 1
            return node
        return self.comparison()

    def descend(self, at: int) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error("the brackets are too deep", at, f"at most {DEEPEST} levels")

    def comparison(self) -> Node:
        left = self.sum()
        if token := self.take("in"):
            return Node("in", token.at, None, (left, *self.options()))
        links: list[Node] = []
        while token := self.take(*_COMPARISONS):
            right = self.sum()
            sign = "==" if token.text == "=" else token.text
            links.append(Node("compare", token.at, sign, (left, right)))
            left = right
        if not links:
            return left
        return links[0] if len(links) == 1 else Node("and", links[0].at, None, tuple(links))

    def options(self) -> list[Node]:
        self.expect("(")
        found = [self.sum()]
        while self.take(",") and not (self.token.kind == "sign" and self.token.text == ")"):
            found.append(self.sum())
        self.expect(")")
        return found

    def sum(self) -> Node:
        return self.calculation(("+", "-"), lambda: self.calculation(("*", "/"), self.signed))

    def calculation(self, signs: tuple[str, ...], part: Callable[[], Node]) -> Node:
        node = part()
        while token := self.take(*signs):
            node = Node("calculate", token.at, token.text, (node, part()))
        return node

    def signed(self) -> Node:
        if token := self.take("-"):
            self.descend(token.at)
            node = Node("negative", token.at, None, (self.signed(),))
            self.depth -= 1
            return node
        return self.atom()

    def atom(self) -> Node:
        token = self.token
        self.position += 1
        if token.kind == "number":
            whole = token.text.isdigit() and len(token.text) < 19
            value = int(token.text) if whole else float(token.text)
            if math.isinf(value):
                raise self.error("the number is beyond all floats", token.at, "give a smaller one")
            return Node("constant", token.at, value)
        if token.kind == "text":
            return Node("constant", token.at, re.sub(r"\\(.)", r"\1", token.text[1:-1]))
        if token.kind == "odd":
            return Node("column", token.at, token.text)
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
            return Node("constant", token.at, token.text == "true")
        return self.call(token) if self.take("(") else Node("column", token.at, token.text)

    def call(self, name: _Token) -> Node:
        if name.text not in _FUNCTIONS:
            raise self.error(
                f"there is no function {name.text}", name.at, "known are " + ", ".join(_FUNCTIONS)
            )
        self.descend(name.at)
        argument = self.condition()
        value = self.sought_text() if name.text == "contains" else None
        self.depth -= 1
        self.expect(")")
        if name.text == "available" and argument.kind != "column":
            raise self.error("available() takes the name of a column", argument.at)
        return Node(name.text, name.at, value, (argument,))

    def sought_text(self) -> str:
        self.expect(",")
        sought = self.sum()
        if sought.kind != "constant" or not isinstance(sought.value, str):
            raise self.error("contains() looks for a text", sought.at, "write it in quotes")
        return sought.value


def _height(root: Node) -> int:
    """Return how many nodes stand one below the other in a tree, without recursion."""
    level, height = [root], 0
    while level:
        level, height = [part for node in level for part in node.parts], height + 1
    return height


def parse(text: str, where: str) -> Node:
    """Return the tree of a condition.

    Raises:
        CallError: It does not follow the grammar; names the character.
    """
    return _Parser(text, where).parse()
