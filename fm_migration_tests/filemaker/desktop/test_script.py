"""The export script, held against the linter, and the linter against scripts that FileMaker would not take."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm_migration.errors import SettingsError
from fm_migration.filemaker.desktop.calculations import CalculationError, parse
from fm_migration.filemaker.desktop.linting import lint
from fm_migration.filemaker.desktop.manifest import read_manifests
from fm_migration.filemaker.desktop.script import Names, as_text, as_xml
from fm_migration_tests.filemaker.desktop.writing import HEADER, line

CLINIC = Names(table="Images")
#: The steps of an export script and the numbers that FileMaker has for them, as they were collected.
KNOWN = {
    "Set Error Capture": 86,
    "Allow User Abort": 85,
    "Go to Layout": 6,
    "Show All Records": 23,
    "Set Variable": 141,
    "Loop": 71,
    "End Loop": 73,
    "If": 68,
    "Else If": 125,
    "End If": 70,
    "Go to Record/Request/Page": 16,
    "Export Field Contents": 132,
    "Create Data File": 190,
    "Open Data File": 191,
    "Write to Data File": 192,
    "Close Data File": 196,
    "Show Custom Dialog": 87,
}


def _steps(document: str) -> list[ET.Element]:
    return list(ET.fromstring(document))


def _values(document: str) -> dict[str, list[str]]:
    """What each variable is set to, in the order of the steps."""
    found: dict[str, list[str]] = {}
    for step in _steps(document):
        if step.get("name") == "Set Variable":
            found.setdefault(step.findtext("Name", ""), []).append(step.findtext("Value/Calculation", ""))
    return found


def test_the_clinics_script_has_no_fault_that_is_known() -> None:
    assert lint(as_xml(CLINIC), CLINIC.fields) == []


def test_every_step_of_the_facts_is_in_it_by_its_number() -> None:
    assert {step.get("name"): int(step.get("id", "")) for step in _steps(as_xml(CLINIC))} == KNOWN


def test_the_text_has_the_same_steps_in_the_same_order() -> None:
    lines = [text.strip() for text in as_text(CLINIC).splitlines() if text.strip() and not text.strip().startswith("#")]
    names = [step.get("name", "") for step in _steps(as_xml(CLINIC))]
    assert len(lines) == len(names)
    assert all(text == name or text.startswith(f"{name} [ ") for text, name in zip(lines, names, strict=True))


def test_each_container_is_exported_by_a_step_of_its_own_best_first() -> None:
    exported = [step.find("Field") for step in _steps(as_xml(CLINIC)) if step.get("id") == "132"]
    assert [field.get("name") for field in exported if field is not None] == [
        "image_Full",
        "image_Ex_large",
        "image_large",
        "image_medium",
        "image_small",
    ]


def test_a_smaller_container_is_chosen_only_when_the_larger_is_empty() -> None:
    """The choice is made before the first export, so that no error of one can lead to another."""
    script = as_xml(CLINIC)
    (chosen,) = _values(script)["$container"]
    assert re.findall(r'IsEmpty \( \S+::\$\{(\w+)\} \) or GetAsText \( \S+::\$\{(\w+)\} \) = "\?"', chosen) == [
        (name, name) for name in CLINIC.containers
    ]
    assert "$error" not in chosen
    assert script.index("<Name>$container</Name>") < script.index('id="132"')


def test_the_manifest_has_the_columns_of_the_facts() -> None:
    header, row = _values(as_xml(CLINIC))["$line"]
    assert [cell.strip('"') for cell in header.split(" & Char ( 9 ) & ")] == HEADER.split("\t")
    assert [cell.lstrip("$") for cell in row.split(" & Char ( 9 ) & ")] == [
        "recid",
        "id",
        "contact",
        "date",
        "type",
        "container",
        "filename",
        "bytes",
        "md5",
        "error",
        "path",
    ]
    assert len(read_manifests([("m", f"{HEADER}\n{line(1, b'one')}\n".encode())]).lines) == 1


def test_sizes_and_checksums_are_filemakers_own() -> None:
    values = _values(as_xml(CLINIC))
    assert 'GetContainerAttribute ( ${Images}::${image_Full} ; "MD5" )' in values["$md5"][0]
    assert 'GetContainerAttribute ( ${Images}::${image_Full} ; "fileSize" )' in values["$bytes"][0]


@pytest.mark.parametrize(
    "name", ["Größe & Art", "Fotos <alt>", 'die "guten"', "a]]b", "Back\\slash", "date", "x" * 100]
)
def test_any_name_of_a_field_can_be_written(name: str) -> None:
    names = Names(layout=f"Layout {name}", table=name, containers=(name, "klein"), type=f"Art {name}")
    assert lint(as_xml(names), names.fields) == []
    (layout,) = [step.find("Layout") for step in _steps(as_xml(names)) if step.get("id") == "6"]
    assert layout is not None
    assert layout.get("name") == f"Layout {name}"


@given(st.text(min_size=1, max_size=20))
def test_a_name_is_written_faithfully_or_refused(name: str) -> None:
    try:
        names = Names(containers=(name,))
        document = as_xml(names)
    except SettingsError:
        return
    if not any(0xD800 <= ord(character) < 0xE000 or ord(character) > 0xFFFD for character in name):
        assert lint(document, names.fields) == []


@pytest.mark.parametrize("name", ["", " ", "a}b", "a\tb", "a\nb", "Table::field", "a]]>b"])
def test_a_name_that_no_field_can_have_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="names of the solution"):
        Names(recid=name)


def test_no_container_is_refused() -> None:
    with pytest.raises(SettingsError, match="no container"):
        Names(containers=())


_EXPORT = re.search(r'  <Step enable="True" id="132".*?</Step>\n', as_xml(CLINIC), re.DOTALL)
_CLOSE = """  <Step enable="True" id="196" name="Close Data File">
    <Calculation><![CDATA[$file]]></Calculation>
  </Step>
"""
_OPEN = re.search(r'  <Step enable="True" id="191".*?</Step>\n', as_xml(CLINIC), re.DOTALL)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("</fmxmlsnippet>", "", "not well-formed XML"),
        ('type="FMObjectList"', 'type="LayoutObjectList"', "outermost element"),
        ("    <Set state", "\t<Set state", "holds a tab"),
        ("    <Set state", "   <Set state", "indented by 3 spaces"),
        ('id="23" name="Show All Records"', 'id="999" name="Show All Records"', "not a step that is known"),
        ('id="23" name="Show All Records"', 'id="24" name="Show All Records"', "not a step that is known"),
        ('id="132" name="Export Field Contents"', 'id="132" name="Export Field"', "'Export Field Contents'"),
        ('enable="True" id="23"', 'enable="False" id="23"', "switched off"),
        ('  <Step enable="True" id="73" name="End Loop"/>\n', "", "without If, or across"),
        ('  <Step enable="True" id="71" name="Loop"/>\n', "", "End Loop without Loop"),
        ('  <Step enable="True" id="70" name="End If"/>\n</fm', "</fm", "a step If is never ended"),
        ('    <Exit state="True"/>\n', "", "nothing ends this loop"),
        ('    <Set state="True"/>\n  </Step>\n  <Step enable="True" id="85"',
         '    <Set state="False"/>\n  </Step>\n  <Step enable="True" id="85"', "errors are not captured"),
        ('<Set state="True"/>', '<Set state="On"/>', "none of False, True"),
        ('value="Next"', 'value="Onwards"', "none of First"),
        ('value="2"', 'value="7"', "DataSourceType"),
        ("    <Text/>\n", "", "in order: UniversalPathList, Text, Field"),
        ('    <AutoOpen state="False"/>\n    <CreateEmail state="False"/>\n',
         '    <CreateEmail state="False"/>\n    <AutoOpen state="False"/>\n', "in order: CreateDirectories"),
        ("    <Repetition><Calculation><![CDATA[1]]></Calculation></Repetition>\n    <Name>$kind</Name>",
         "    <Name>$kind</Name>\n    <Repetition><Calculation><![CDATA[1]]></Calculation></Repetition>",
         "in order: Value, Repetition, Name"),
        ("<![CDATA[Get ( DesktopPath ) &", "<![CDATA[Get ( DesktopPath ) &]]> <![CDATA[&", "in its calculation"),
        ("<Calculation><![CDATA[102]]></Calculation>", "<Calculation>102</Calculation>", "CDATA"),
        ("<Calculation><![CDATA[102]]></Calculation>", "<Calculation><![CDATA[ ]]></Calculation>", "is empty"),
        ("<Name>$kind</Name>", "<Name>kind</Name>", "not a name of a variable"),
        ("<Name>$target</Name>", "<Name>$aim</Name>", "$target is used before it is set"),
        ("<Field>$line</Field>", "<Field>$row</Field>", "$row is used before it is set"),
        ('<Field table="Images" id="1" name="image_Full"/>', '<Field table="Images" id="7" name="image_Full"/>',
         "id of Field is '7'"),
        ('<Field table="Images" id="1" name="image_Full"/>', '<Field table="Images" id="1" name="image_full"/>',
         "no field 'image_full'"),
        ('<Field table="Images" id="1" name="image_Full"/>', '<Field id="1" name="image_Full"/>', "a field is <Field"),
        ('<Layout id="1" name="API_Images"/>', '<Layout id="12" name="API_Images"/>', "id of Layout is '12'"),
        ("${Images}::${date}", "Images::date", "does not stand in ${…}"),
        ("${Images}::${date}", "${date}", "without its table"),
        ("${Images}::${date}", "${Images}::${day}", "no field 'day'"),
        ("GetContainerAttribute (", "GetContainerAttributes (", "no function GetContainerAttributes"),
        ('"MD5"', '"CRC"', "no attribute"),
        ("Get ( LastError )", "Get ( LastFault )", "Get cannot be asked for LastFault"),
        ("ValueCount ( FilterValues ( $names ; $name ) )", "ValueCount ( FilterValues ( $names ) )", "has 1 arguments"),
        ("ValueCount ( FilterValues ( $names ; $name ) )", "ValueCount ( FilterValues ( $names ; $name )", "too early"),
        ('<Button CommitState="False"/><Button CommitState="False"/>', "", "3 buttons"),
        (_CLOSE, "", "is never closed"),
    ],
)  # fmt: skip
def test_each_rule_of_the_form_is_known(old: str, new: str, said: str) -> None:
    document = as_xml(CLINIC)
    assert old in document
    complaints = [str(complaint) for complaint in lint(document.replace(old, new), CLINIC.fields)]
    assert any(said in complaint for complaint in complaints), complaints


@pytest.mark.parametrize("step", [_EXPORT, _OPEN])
def test_the_error_of_an_export_must_be_asked_for_at_once(step: re.Match[str] | None) -> None:
    assert step is not None
    between = f'{step.group()}  <Step enable="True" id="23" name="Show All Records"/>\n'
    (complaint,) = lint(as_xml(CLINIC).replace(step.group(), between, 1), CLINIC.fields)
    assert "ask for Get ( LastError ) at once" in complaint.said


@pytest.mark.parametrize(
    "text",
    [
        "1 + 2 * ( 3 - 4 )",
        'Case ( $a = 1 ; "one" ; $a = 2 ; "two" ; "many" )',
        'Let ( [ ~a = 1 ; ~b = ~a + 1 ] ; ~a & "\\"" & ~b ) & ¶',
        'Substitute ( $x ; [ "a" ; "b" ] ; [ ¶ ; "" ] )',
        'Substitute ( $x ; "a" ; "b" )',
        "not IsEmpty ( ${T}::${Name of file} ) and True",
        "- Abs ( -1 ) ≠ 1",
    ],
)
def test_calculations_that_filemaker_takes(text: str) -> None:
    parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 +",
        "( 1",
        "1 )",
        "1 2",
        '"open',
        "Case ( 1 )",
        "Case ( ; 1 )",
        "Let ( ~a ; ~a )",
        "~a",
        "Let ( ~a = 1 ; 2 ) & ~a",
        "Let ( $a = 1 ; $a )",
        "Name of file",
        "Get ( )",
        "Get ( 1 )",
        "len ( $x )",
        "[ 1 ; 2 ]",
        "#",
        "${T}::",
        "and",
        'GetContainerAttribute ( $x ; "MD5" )',
    ],
)
def test_calculations_that_filemaker_would_refuse(text: str) -> None:
    with pytest.raises(CalculationError):
        parse(text)


@given(st.text(alphabet='()[];"&+-=<>$~ {}:¶\\aGet1Case', max_size=40))
def test_any_text_is_taken_or_refused(text: str) -> None:
    try:
        parse(text)
    except CalculationError as error:
        assert str(error)
