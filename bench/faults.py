"""Small faults that code may have, in Python and in SQL: what `bench/mutants.py` puts in, one at a time.

Belongs here: finding the places of a text where a fault can be, and what stands there then. Does not belong here: which
files, and what the tests say.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple


class Fault(NamedTuple):
    """One place of a file, and what stands there instead."""

    path: str
    start: int
    end: int
    text: str
    kind: str


#: In SQL: what is looked for, and what takes its place. Words stand for themselves, in lower case, as all our SQL does.
SQL_FAULTS: tuple[tuple[str, str, str], ...] = (
    (r"\band\b", "or", "and, or"),
    (r"\bor\b", "and", "and, or"),
    (r"\bis not null\b", "is null", "null or not"),
    (r"\bis null\b", "is not null", "null or not"),
    (r"\bis not distinct from\b", "is distinct from", "comparison"),
    (r"\bis distinct from\b", "is not distinct from", "comparison"),
    (r"\bnot exists\b", "exists", "there or not"),
    (r"(?<!not )\bexists\b(?= \()", "not exists", "there or not"),
    (r"\bnot (?=[a-z_.]+\b)(?!exists|in|null|valid|distinct|materialized)", "", "not"),
    (r"\bnot in\b", "in", "there or not"),
    (r"(?<=[\w)'] )=(?= [\w(':])", "<>", "comparison"),
    (r"<>", "=", "comparison"),
    (r"(?<![<>])<=", "<", "comparison"),
    (r"(?<![<>])>=", ">", "comparison"),
    (r"(?<=\s)<(?=\s)", ">=", "comparison"),
    (r"(?<=\s)>(?=\s)", "<=", "comparison"),
    (r"\bleft join\b(?! lateral)", "join", "join"),
    (r"\bmin\(", "max(", "least, most"),
    (r"\bmax\(", "min(", "least, most"),
    (r"\bbool_or\(", "bool_and(", "any, all"),
    (r"\bbool_and\(", "bool_or(", "any, all"),
    (r"\btrue\b", "false", "true, false"),
    (r"\bfalse\b", "true", "true, false"),
    (r"\bdesc\b", "asc", "order"),
    (r"(?<=[=>] )\b[1-9]\b", "0", "number"),
)
#: A line of its own that only narrows what the lines before it say.
_CONDITION = re.compile(r"^ +(and .+)$", re.MULTILINE)
_NOT_CODE = re.compile(r"--[^\n]*|'(?:[^']|'')*'")
#: A string of Python that holds a statement and not a message.
_STATEMENT = re.compile(r"^\s*(--[^\n]*\s+)*(select|insert|update|delete|with)\s", re.IGNORECASE)


def faults_of_sql(path: str, text: str, start: int = 0, end: int | None = None) -> Iterator[Fault]:
    """Every fault that a stretch of SQL may have."""
    code = _NOT_CODE.sub(lambda hidden: "\0" * len(hidden[0]), text[start:end])
    for pattern, instead, kind in SQL_FAULTS:
        for found in re.finditer(pattern, code):
            yield Fault(path, start + found.start(), start + found.end(), instead, kind)
    for found in _CONDITION.finditer(code):
        # A condition that goes on in the next line cannot be taken out alone; nor can what ends a statement.
        condition = found[1].rstrip(";")
        if condition.count("(") == condition.count(")"):
            yield Fault(path, start + found.start(1), start + found.start(1) + len(condition), "", "condition left out")


_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "!=", ast.NotEq: "==", ast.Lt: ">=", ast.LtE: "<", ast.Gt: "<=", ast.GtE: ">",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip


#: Calls that change how long something takes, and nothing else.
_ONLY_SPEED = re.compile("analyze|work_mem")


class _Module:
    """A module of Python, and where its parts stand in its text."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text
        self.tree = ast.parse(text)
        self._bytes = text.encode()
        self._lines = [0]
        for line in self._bytes.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._documentation = {id(node.value) for node in ast.walk(self.tree) if isinstance(node, ast.Expr)}

    def faults(self) -> Iterator[Fault]:
        for node in ast.walk(self.tree):
            match node:
                case ast.Compare(ops=[operator]):
                    yield self._between(node.left, node.comparators[0], _COMPARISONS[type(operator)], "comparison")
                case ast.BoolOp():
                    yield from self._turned(node)
                case ast.UnaryOp(op=ast.Not()):
                    start, _ = self._span(node)
                    yield Fault(self.path, start, self._span(node.operand)[0], "", "not")
                case ast.If() | ast.IfExp() | ast.While():
                    start, end = self._span(node.test)
                    yield Fault(self.path, start, end, f"not ({self.text[start:end]})", "condition turned")
                case ast.Expr(value=ast.Call()) if not _ONLY_SPEED.search(self._text(node)):
                    yield Fault(self.path, *self._span(node), "pass", "call left out")
                case ast.Constant() if id(node) not in self._documentation:
                    yield from self._other_value(node)

    def _turned(self, node: ast.BoolOp) -> Iterator[Fault]:
        word, instead = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            fault = self._between(left, right, instead, "and, or")
            # With brackets between them it is no longer the word alone that stands there.
            if self.text[fault.start : fault.end].strip() == word:
                yield fault

    def _other_value(self, node: ast.Constant) -> Iterator[Fault]:
        start, end = self._span(node)
        if isinstance(node.value, bool):
            yield Fault(self.path, start, end, str(not node.value), "true, false")
        elif isinstance(node.value, int):
            yield Fault(self.path, start, end, str(node.value + 1), "number")
        elif isinstance(node.value, str) and _STATEMENT.match(node.value):
            yield from faults_of_sql(self.path, self.text, start, end)

    def _between(self, left: ast.expr, right: ast.expr, text: str, kind: str) -> Fault:
        return Fault(self.path, self._span(left)[1], self._span(right)[0], f" {text} ", kind)

    def _text(self, node: ast.stmt) -> str:
        start, end = self._span(node)
        return self.text[start:end]

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        return self._place(node.lineno, node.col_offset), self._place(node.end_lineno or 0, node.end_col_offset or 0)

    def _place(self, line: int, column: int) -> int:
        return len(self._bytes[: self._lines[line - 1] + column].decode())


def faults_of_python(path: str, text: str) -> Iterator[Fault]:
    """Every fault that a module may have, in its own language and in the SQL of its strings."""
    return _Module(path, text).faults()
