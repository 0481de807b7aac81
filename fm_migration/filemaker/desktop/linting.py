"""A linter for FileMaker script steps in the XML of the clipboard, and for the calculations in them.

Belongs here: what is known of that undocumented form. FileMaker drops what it does not understand without a word, or
pastes it as a comment, and no FileMaker can run where this project is tested. So this module knows nothing of the one
that writes the script (`script.py`), and has tables of its own: an error in one shows in the other.

Does not belong here: whether the script does what it should.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fm_migration.filemaker.desktop.calculations import CalculationError, Found, parse


class Complaint(NamedTuple):
    """What is wrong, and at which step (0: with the whole)."""

    step: int
    said: str

    def __str__(self) -> str:
        return f"step {self.step}: {self.said}" if self.step else self.said


@dataclass(frozen=True)
class _Form:
    """The children of a step in their order; those with a question mark may be left out."""

    name: str
    children: tuple[str, ...] = ()


STEPS: dict[int, _Form] = {
    6: _Form("Go to Layout", ("LayoutDestination", "Layout")),
    16: _Form("Go to Record/Request/Page", ("NoInteract", "Exit?", "RowPageLocation")),
    23: _Form("Show All Records"),
    68: _Form("If", ("Restore?", "Calculation")),
    70: _Form("End If"),
    71: _Form("Loop", ("FlushType?",)),
    73: _Form("End Loop"),
    85: _Form("Allow User Abort", ("Set",)),
    86: _Form("Set Error Capture", ("Set",)),
    87: _Form("Show Custom Dialog", ("Title?", "Message", "Buttons")),
    125: _Form("Else If", ("Restore?", "Calculation")),
    132: _Form("Export Field Contents", ("CreateDirectories", "AutoOpen", "CreateEmail", "UniversalPathList", "Field")),
    141: _Form("Set Variable", ("Value", "Repetition", "Name")),
    190: _Form("Create Data File", ("CreateDirectories", "UniversalPathList")),
    191: _Form("Open Data File", ("UniversalPathList", "Text", "Field")),
    192: _Form("Write to Data File", ("AppendLineFeed", "DataSourceType", "Calculation", "Text", "Field")),
    196: _Form("Close Data File", ("Calculation",)),
}
_STATES = frozenset({"True", "False"})
#: What may stand in an attribute, by element and attribute.
_VALUES: dict[tuple[str, str], frozenset[str]] = {
    **{
        (element, "state"): _STATES
        for element in ("Set", "NoInteract", "Exit", "CreateDirectories", "AutoOpen", "CreateEmail", "AppendLineFeed")
    },
    ("Button", "CommitState"): _STATES,
    ("Restore", "state"): _STATES,
    ("FlushType", "value"): frozenset({"Always", "Minimum", "Defer"}),
    ("LayoutDestination", "value"): frozenset({"SelectedLayout"}),
    ("RowPageLocation", "value"): frozenset({"First", "Last", "Next", "Previous"}),
    ("DataSourceType", "value"): frozenset({"1", "2"}),
    ("Layout", "id"): frozenset({"1"}),
    ("Field", "id"): frozenset({"1"}),
}
_ATTRIBUTES: dict[str, frozenset[str]] = {
    "Layout": frozenset({"id", "name"}),
    **{
        element: frozenset()
        for element in ("Value", "Repetition", "Name", "Title", "Message", "Buttons", "Calculation")
    },
    **{element: frozenset() for element in ("UniversalPathList", "Text")},
}
_BUTTONS = 3
_VARIABLE = re.compile(r"\$\$?[A-Za-z][A-Za-z0-9_]*")
_BARE_CALCULATION = re.compile(r"<Calculation>(?!<!\[CDATA\[)|(?<!\]\]>)</Calculation>|<Calculation\s*/>")


def lint(document: str, fields: Sequence[str] | None = None) -> list[Complaint]:
    """Everything that is wrong with a script in the form of the clipboard; nothing when nothing is known to be.

    With `fields`, the names that the layout has, a field that is none of them is wrong too.
    """
    complaints = list(_of_text(document))
    try:
        root = ET.fromstring(document.encode())  # noqa: S314  the document is our own, or the user's
    except ET.ParseError as error:
        line, column = error.position
        return [*complaints, Complaint(0, f"it is not well-formed XML (line {line}, column {column})")]
    if root.tag != "fmxmlsnippet" or root.attrib != {"type": "FMObjectList"}:
        complaints.append(Complaint(0, 'its outermost element is not <fmxmlsnippet type="FMObjectList">'))
    script = _Script(fields=None if fields is None else frozenset(fields), complaints=complaints)
    for number, element in enumerate(root, start=1):
        script.take(number, element)
    script.close()
    return complaints


def _of_text(document: str) -> list[Complaint]:
    """What only the text shows: FileMaker drops elements that are indented by tabs."""
    complaints = []
    if "\t" in document:
        complaints.append(Complaint(0, "it holds a tab; indent by two spaces, and write Char ( 9 ) in a calculation"))
    if _BARE_CALCULATION.search(document):
        complaints.append(Complaint(0, "a calculation does not stand in CDATA in an element of its own"))
    for at, line in enumerate(document.splitlines(), start=1):
        indent = len(line) - len(line.lstrip(" "))
        if line.lstrip(" ").startswith("<") and indent % 2:
            complaints.append(Complaint(0, f"line {at} is indented by {indent} spaces, which is not a multiple of two"))
    return complaints


@dataclass
class _Script:
    """What is open, set and known after the steps that were taken."""

    fields: frozenset[str] | None
    complaints: list[Complaint]
    blocks: list[str] = field(default_factory=list)
    exits: list[bool] = field(default_factory=list)
    variables: set[str] = field(default_factory=set)
    capturing: bool = False
    #: Whether the step before was an export, whose error must be asked for at once.
    exported: bool = False
    files: set[str] = field(default_factory=set)
    number: int = 0

    def complain(self, said: str) -> None:
        self.complaints.append(Complaint(self.number, said))

    def take(self, number: int, step: ET.Element) -> None:
        """Look at the next step."""
        self.number = number
        form = STEPS.get(_number(step.get("id")))
        if step.tag != "Step" or form is None:
            self.complain(f"<{step.tag} id={step.get('id')!r}> is not a step that is known here")
            return
        if step.get("name") != form.name:
            self.complain(f"the step of id {step.get('id')} is {form.name!r}, not {step.get('name')!r}")
        if step.get("enable") != "True" or set(step.keys()) - {"enable", "id", "name"}:
            self.complain("its attributes are not enable, id and name, or it is switched off")
        self._children(step, form)
        self._options(step)
        calculations = [found for text in _calculations(step) for found in [self._calculation(text)] if found]
        self._errors(form.name, calculations)
        self._blocks(form.name, step)
        self._names(form.name, step)

    def close(self) -> None:
        """Look at what is left open at the end."""
        self.number = 0
        for block in self.blocks:
            self.complain(f"a step {block} is never ended")
        for variable in sorted(self.files):
            self.complain(f"the data file of {variable} is never closed")
        if not self.capturing:
            self.complain("errors are not captured, so that a dialog would stop the script at each of them")

    def _children(self, step: ET.Element, form: _Form) -> None:
        found = [child.tag for child in step]
        rest = list(found)
        for wanted in form.children:
            optional = wanted.endswith("?")
            if rest and rest[0] == wanted.rstrip("?"):
                rest.pop(0)
            elif not optional:
                self.complain(f"its children are {', '.join(found) or 'none'}; in order: {', '.join(form.children)}")
                return
        if rest:
            self.complain(f"its children are {', '.join(found)}; in order: {', '.join(form.children) or 'none'}")

    def _options(self, step: ET.Element) -> None:
        for element in step.iter():
            for name, value in element.attrib.items():
                allowed = _VALUES.get((element.tag, name))
                if allowed is not None and value not in allowed:
                    self.complain(
                        f"{name} of {element.tag} is {value!r}, which is none of {', '.join(sorted(allowed))}"
                    )
            if element.tag in _ATTRIBUTES and set(element.keys()) - _ATTRIBUTES[element.tag]:
                self.complain(
                    f"{element.tag} has attributes that it does not know: {', '.join(sorted(element.keys()))}"
                )
            for tag, needed in _VALUES:
                # Where a field could stand, a variable may, without any attribute.
                missing = element.tag == tag and element.get(needed) is None
                if missing and (tag != "Field" or element.keys()):
                    self.complain(f"{tag} has no {needed}")
        for buttons in step.iter("Buttons"):
            if [child.tag for child in buttons] != ["Button"] * _BUTTONS:
                self.complain(f"a dialog has {_BUTTONS} buttons, of which the unused ones are empty")

    def _calculation(self, text: str) -> Found | None:
        if not text.strip():
            self.complain("a calculation is empty")
            return None
        try:
            found = parse(text)
        except CalculationError as error:
            self.complain(f"in its calculation {error}")
            return None
        for variable in sorted(found.variables - self.variables):
            if not variable.startswith("$$"):
                self.complain(f"{variable} is used before it is set")
        for table_field in found.fields:
            self._field(table_field)
        return found

    def _field(self, name: str) -> None:
        if self.fields is not None and name not in self.fields:
            self.complain(f"the layout has no field {name!r}")

    def _errors(self, name: str, calculations: Sequence[Found]) -> None:
        """After an export, and after a file was opened, comes the question how it went."""
        if self.exported and not (name == "Set Variable" and any("LastError" in found.asked for found in calculations)):
            self.complain("the error of the step before is lost: ask for Get ( LastError ) at once")
        self.exported = name in ("Export Field Contents", "Open Data File")

    def _blocks(self, name: str, step: ET.Element) -> None:
        if name in ("If", "Loop"):
            self.blocks.append(name)
            self.exits += [False] if name == "Loop" else []
        elif name in ("Else If", "End If"):
            self._within("If", name)
        elif name == "End Loop":
            self._within("Loop", name)
            if self.exits and not self.exits.pop():
                self.complain("nothing ends this loop")
        elif name == "Go to Record/Request/Page" and step.find("Exit") is not None:
            if self.exits:
                self.exits[-1] = True
            else:
                self.complain("it would leave a loop, but is in none")

    def _within(self, block: str, name: str) -> None:
        if not self.blocks or self.blocks[-1] != block:
            self.complain(f"{name} without {block}, or across the end of another block")
        elif name.startswith("End"):
            self.blocks.pop()

    def _names(self, name: str, step: ET.Element) -> None:
        """What a step sets, and what it needs to be set."""
        written = [element.text or "" for element in step.iter("Field") if not element.keys()]
        needed = [element.text or "" for element in step.iter("UniversalPathList")]
        targets: list[str] = []
        if name == "Set Error Capture":
            self.capturing = step.find("Set[@state='True']") is not None
        elif name == "Set Variable":
            targets = [step.findtext("Name", "")]
        elif name == "Open Data File":
            targets = written
            self.files.update(written)
        elif name == "Write to Data File":
            needed += written
        elif name == "Close Data File":
            self.files.discard(step.findtext("Calculation", "").strip())
        self._variables(targets, needed)
        for element in step.iter("Field"):
            if element.keys():
                self._reference(element)

    def _variables(self, targets: Sequence[str], needed: Sequence[str]) -> None:
        for variable in (*targets, *needed):
            if not _VARIABLE.fullmatch(variable):
                self.complain(f"{variable!r} is not a name of a variable")
        for variable in needed:
            if variable not in self.variables:
                self.complain(f"{variable} is used before it is set")
        self.variables.update(targets)

    def _reference(self, element: ET.Element) -> None:
        if set(element.keys()) != {"table", "id", "name"} or not element.get("table") or element.text:
            self.complain('a field is <Field table="…" id="1" name="…"/>')
        self._field(element.get("name", ""))


def _calculations(step: ET.Element) -> list[str]:
    return [element.text or "" for element in step.iter("Calculation")]


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() else 0
