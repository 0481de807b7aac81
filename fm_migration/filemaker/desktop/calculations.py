"""FileMaker's calculations: enough of their grammar to tell whether one would be accepted.

Belongs here: cutting a calculation into its parts, brackets, functions with their numbers of arguments, what it reads.
Does not belong here: working one out.

Stricter than FileMaker where that is of use: a field's name must stand in `${…}`, because a name such as `date` or
`Name of file` is otherwise read as a function or refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

#: Each function with the smallest and the largest number of its arguments.
FUNCTIONS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(
        (
            *(
                "Abs",
                "Char",
                "Code",
                "Day",
                "GetAsDate",
                "GetAsNumber",
                "GetAsText",
                "Hour",
                "Int",
                "IsEmpty",
                "Length",
            ),
            *("Lower", "Minute", "Month", "Proper", "Seconds", "Trim", "Upper", "ValueCount", "Year"),
        ),
        (1, 1),
    ),
    **dict.fromkeys(
        ("Filter", "FilterValues", "GetContainerAttribute", "Left", "Mod", "PatternCount", "Right"), (2, 2)
    ),
    **dict.fromkeys(("Middle", "Date", "Time"), (3, 3)),
    **dict.fromkeys(("Position", "Replace"), (4, 4)),
    "Case": (2, 255),
    "If": (2, 3),
    "List": (1, 255),
    "Max": (1, 255),
    "Min": (1, 255),
    "Substitute": (2, 255),
}
#: What Get ( … ) may be asked for.
ASKED = frozenset(
    {
        *("CurrentDate", "CurrentTime", "CurrentTimestamp", "DesktopPath", "DocumentsPath", "FileName", "FoundCount"),
        *(
            "LastError",
            "LayoutName",
            "RecordID",
            "RecordNumber",
            "ScriptName",
            "SystemPlatform",
            "TemporaryPath",
            "UUID",
        ),
    }
)
ATTRIBUTES = frozenset({"filename", "fileSize", "MD5", "storageType", "externalSize", "internalSize", "created"})
_CONSTANTS = frozenset({"True", "False", "Pi"})
_WORDS = frozenset({"and", "or", "xor", "not"})

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\["\\¶])*")
      | (?P<number>\d+(?:\.\d+)?)
      | (?P<field>\$\{[^{}]+\}(?:::\$\{[^{}]+\})?)
      | (?P<variable>\$\$?[A-Za-z][A-Za-z0-9_]*)
      | (?P<local>~[A-Za-z][A-Za-z0-9_]*)
      | (?P<bare>[A-Za-z_][A-Za-z0-9_ ]*::[^\s;()\[\]&]+)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<operator><>|<=|>=|[&+\-*/^=<>≠≤≥])
      | (?P<mark>[()\[\];¶])
    )""",
    re.VERBOSE,
)


class CalculationError(Exception):
    """Why FileMaker would not accept a calculation; its text goes on from "in its calculation"."""


@dataclass
class Found:
    """What a calculation reads."""

    variables: set[str] = field(default_factory=set)
    fields: list[str] = field(default_factory=list)
    functions: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)


class _Token(NamedTuple):
    kind: str
    text: str


_END = _Token("end", "the end")


def parse(text: str) -> Found:
    """What a calculation reads; CalculationError where it would be refused."""
    parser = _Parser(_tokens(text))
    parser.expression()
    if parser.next is not _END:
        raise CalculationError(f"{parser.next.text} stands where it should end")
    return parser.found


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise CalculationError(f"{text[at : at + 12]!r} is nothing that a calculation can hold")
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match.group(kind)))
        at = match.end()
    return tokens


class _Parser:
    """Goes through the parts of one calculation, once."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.found = Found()
        self._tokens = [*tokens, _END]
        self._at = 0
        self._locals: set[str] = set()

    @property
    def next(self) -> _Token:
        return self._tokens[self._at]

    def expression(self) -> None:
        self._operand()
        while self.next.kind == "operator" or self.next.text in ("and", "or", "xor"):
            self._take()
            self._operand()

    def _operand(self) -> None:
        while self.next.text in ("not", "-", "+"):
            self._take()
        token = self._take()
        if token.text == "(":
            self.expression()
            self._expect(")")
        elif token.kind == "variable":
            self.found.variables.add(token.text)
        elif token.kind == "local":
            if token.text not in self._locals:
                raise CalculationError(f"{token.text} is not set by a Let around it")
        elif token.kind == "field":
            self._field(token.text)
        elif token.kind == "bare":
            raise CalculationError(f"the field {token.text} does not stand in ${{…}}")
        elif token.kind == "word":
            self._word(token.text)
        elif token.kind not in ("text", "number") and token.text != "¶":
            raise CalculationError(f"{token.text} stands where a value should")

    def _field(self, text: str) -> None:
        table, parted, name = text.partition("::")
        if not parted:
            raise CalculationError(f"the field {table} is without its table")
        self.found.fields.append(name[2:-1])

    def _word(self, name: str) -> None:
        if name in _CONSTANTS:
            return
        if name in _WORDS or self.next.text != "(":
            raise CalculationError(f"{name} is neither a function with its arguments nor a field in ${{…}}")
        self._take()
        if name == "Get":
            self._asked()
        elif name == "Let":
            self._let()
        elif name in FUNCTIONS:
            self._call(name)
        else:
            raise CalculationError(f"there is no function {name} that is known here")

    def _asked(self) -> None:
        asked = self._take().text
        if asked not in ASKED:
            raise CalculationError(f"Get cannot be asked for {asked}")
        self.found.asked.add(asked)
        self._expect(")")

    def _let(self) -> None:
        before = set(self._locals)
        if self.next.text == "[":
            self._take()
            self._assignment()
            while self.next.text == ";":
                self._take()
                self._assignment()
            self._expect("]")
        else:
            self._assignment()
        self._expect(";")
        self.expression()
        self._expect(")")
        self._locals = before

    def _assignment(self) -> None:
        name = self._take()
        if name.kind != "local":
            raise CalculationError(f"Let sets {name.text}, which is not a name with ~")
        self._expect("=")
        self.expression()
        self._locals.add(name.text)

    def _call(self, name: str) -> None:
        self.found.functions.add(name)
        count, at = 0, self._at
        while True:
            if self.next.text == "[" and name == "Substitute" and count:
                self._pair()
            else:
                self.expression()
            count += 1
            if self.next.text != ";":
                break
            self._take()
        self._expect(")")
        fewest, most = FUNCTIONS[name]
        if not fewest <= count <= most:
            raise CalculationError(f"{name} has {count} arguments, and takes {fewest} to {most}")
        if name == "GetContainerAttribute":
            self._attribute(self._tokens[at : self._at - 1])

    def _pair(self) -> None:
        self._take()
        self.expression()
        self._expect(";")
        self.expression()
        self._expect("]")

    def _attribute(self, arguments: list[_Token]) -> None:
        if [token.kind for token in arguments] != ["field", "mark", "text"]:
            raise CalculationError("GetContainerAttribute is not asked for an attribute of a field")
        if arguments[2].text.strip('"') not in ATTRIBUTES:
            raise CalculationError(f"a container has no attribute {arguments[2].text}")

    def _expect(self, text: str) -> None:
        found = self._take()
        if found.text != text:
            raise CalculationError(f"{found.text} stands where {text} should")

    def _take(self) -> _Token:
        token = self.next
        if token is _END:
            raise CalculationError("it ends too early")
        self._at += 1
        return token
