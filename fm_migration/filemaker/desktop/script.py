"""The export script for FileMaker Pro: what a person pastes into the Script Workspace of the clinic's solution.

Belongs here: its steps, for the layout and fields of whoever asks, as readable text and as the XML of the clipboard.
Does not belong here: judging them (`linting.py` does, and knows nothing of this module).

The step `Export Field Contents` runs in FileMaker Pro only, so a person at a desktop runs the script. No FileMaker can
run where this project is tested: it was checked against the rules that are known of its form, never in FileMaker.

It makes `exports/<patient>/<date>/<id>.<ext>` on the desktop, and beside the patients a manifest with one line a
record, written as it goes: what was exported from which container, with the size and MD5 that FileMaker itself knows.
It takes the best container that holds something, and never a smaller one because a larger one failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.sax.saxutils import quoteattr

from fm_migration.errors import SettingsError
from fm_migration.filemaker.desktop.manifest import COLUMNS
from fm_migration.filemaker.desktop.paths import ROOT, UNDATED, UNLINKED

#: The clinic's own containers, best first.
CONTAINERS = ("image_Full", "image_Ex_large", "image_large", "image_medium", "image_small")
#: FileMaker's number of UTF-8 in the step that writes a line.
_UTF_8 = "2"
_UNQUOTABLE = re.compile(r"[{}\x00-\x1f\x7f]|\]\]>|::")
_INDENT = "  "
_NO_BUTTON = '<Button CommitState="False"/>'


@dataclass(frozen=True)
class Names:
    """What the layout and its fields are called in the user's solution."""

    layout: str = "API_Images"
    #: The table occurrence that the layout shows records of.
    table: str = "API_Images"
    recid: str = "recid"
    image_id: str = "id"
    contact: str = "id_Contact"
    date: str = "date"
    type: str = "Type"
    containers: tuple[str, ...] = CONTAINERS

    def __post_init__(self) -> None:
        if not self.containers:
            raise _bad_name("no container", "Name at least one, the best first")
        for name in (self.layout, self.table, *self.fields):
            if not name.strip() or _UNQUOTABLE.search(name):
                raise _bad_name(repr(name), "Write the name as Manage Database shows it, without its table")

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that the script reads."""
        return (self.recid, self.image_id, self.contact, self.date, self.type, *self.containers)


@dataclass(frozen=True)
class Step:
    """One script step: its options as a person reads them, and as the elements of its XML, in FileMaker's order."""

    id: int
    name: str
    options: str = ""
    elements: tuple[str, ...] = field(default=())
    #: What the steps that follow are about, for a reader.
    remark: str = ""


def script_steps(names: Names) -> list[Step]:
    """The steps of the script in their order."""
    return [*_beginning(names), *_loop(names), *_end()]


def as_text(names: Names) -> str:
    """The script as FileMaker would print it."""
    lines, depth = [], 0
    for step in script_steps(names):
        if step.remark:
            lines += ["", *(f"{_INDENT * 2 * depth}# {line}" for line in step.remark.splitlines())]
        depth -= step.name in ("Else If", "End If", "End Loop")
        options = f" [ {step.options} ]" if step.options else ""
        lines.append(f"{_INDENT * 2 * depth}{step.name}{options}")
        depth += step.name in ("If", "Else If", "Loop")
    return "\n".join(lines).lstrip("\n") + "\n"


def as_xml(names: Names) -> str:
    """The script as the XML that FileMaker puts on the clipboard, to be pasted into an empty script."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<fmxmlsnippet type="FMObjectList">']
    for step in script_steps(names):
        head = f'{_INDENT}<Step enable="True" id="{step.id}" name="{step.name}"'
        if step.elements:
            lines += [f"{head}>", *(f"{_INDENT * 2}{element}" for element in step.elements), f"{_INDENT}</Step>"]
        else:
            lines.append(f"{head}/>")
    return "\n".join([*lines, "</fmxmlsnippet>", ""])


def _beginning(names: Names) -> Iterator[Step]:
    yield _option(86, "Set Error Capture", "On")
    yield _option(85, "Allow User Abort", "On")
    yield Step(
        6,
        "Go to Layout",
        _text(names.layout),
        ('<LayoutDestination value="SelectedLayout"/>', f'<Layout id="1" name={quoteattr(names.layout)}/>'),
        remark="All records of the layout. Run it in FileMaker Pro. Esc stops it; what was exported stays provable.",
    )
    yield _set("$problem", "Get ( LastError )")
    yield Step(23, "Show All Records")
    yield _go_to("First")
    yield _set(
        "$kind",
        'Case ( Abs ( Get ( SystemPlatform ) ) = 2 ; "filewin:" ; "filemac:" )',
        remark="Where it goes: a folder on the desktop, and in it a manifest of this run's own.",
    )
    yield _set("$root", f'Get ( DesktopPath ) & "{ROOT}/"')
    yield _set("$now", "Get ( CurrentTimestamp )")
    digits = " & ".join(f'Right ( "0" & {part} ( $now ) ; 2 )' for part in ("Month", "Day"))
    clock = " & ".join(f'Right ( "0" & {part} ( $now ) ; 2 )' for part in ("Hour", "Minute", "Seconds"))
    yield _set("$manifest", f'$kind & $root & "manifest-" & Year ( $now ) & {digits} & "-" & {clock} & ".tsv"')
    for counter in ("$exported", "$empty", "$failed", "$differing"):
        yield _set(counter, "0")
    yield _set("$names", '""')
    yield _if("$problem = 0 and Get ( FoundCount ) > 0")
    yield Step(
        190,
        "Create Data File",
        "$manifest ; Create folders: On",
        ('<CreateDirectories state="True"/>', "<UniversalPathList>$manifest</UniversalPathList>"),
    )
    yield Step(
        191,
        "Open Data File",
        "$manifest ; Target: $file",
        ("<UniversalPathList>$manifest</UniversalPathList>", "<Text/>", "<Field>$file</Field>"),
    )
    yield _set("$problem", "Get ( LastError )")
    yield Step(70, "End If")
    yield _if("$problem = 0 and Get ( FoundCount ) > 0")
    yield _set("$line", " & Char ( 9 ) & ".join(_text(column) for column in COLUMNS))
    yield _write()


def _loop(names: Names) -> Iterator[Step]:
    yield Step(71, "Loop", remark="One record: whose photograph it is, of which day, and what it shows.")
    recid = _field(names, names.recid)
    yield _set("$recid", f"Case ( IsEmpty ( {recid} ) ; Get ( RecordID ) ; {_cleaned(recid)} )")
    yield _set("$id", _cleaned(_field(names, names.image_id)))
    yield _set("$contact", _cleaned(_field(names, names.contact)))
    yield _set("$date", _iso_day(_field(names, names.date)))
    yield _set("$type", _cleaned(_field(names, names.type)))
    yield _set("$differing", "$differing + ( GetAsNumber ( $recid ) <> Get ( RecordID ) )")
    yield _set("$name", "Case ( IsEmpty ( $id ) ; $recid ; $id )", remark="A duplicated record has the id of another.")
    yield _set("$again", "ValueCount ( FilterValues ( $names ; $name ) )")
    yield _set("$names", "$names & $name & ¶")
    yield _set("$name", f'{_as_name("$name")} & Case ( $again > 0 ; " " & $again ; "" )')
    yield _set(
        "$folder",
        f'Case ( IsEmpty ( $contact ) ; "{UNLINKED}" ; {_as_name("$contact")} ) & "/" & '
        f'Case ( IsEmpty ( $date ) ; "{UNDATED}" ; {_as_name("$date")} ) & "/"',
    )
    held = " ; ".join(
        f'not ( IsEmpty ( {container} ) or GetAsText ( {container} ) = "?" ) ; {_text(name)}'
        for name in names.containers
        for container in [_field(names, name)]
    )
    yield _set("$container", f'Case ( {held} ; "" )', remark="The best container that holds something.")
    yield _set("$filename", _cleaned(_of_container(names, "filename")))
    yield _set("$bytes", _of_container(names, "fileSize"))
    yield _set("$md5", _of_container(names, "MD5"))
    yield _set("$path", f'Case ( $container = "" ; "" ; $folder & $name & {_EXTENSION} )')
    yield _set("$target", "$kind & $root & $path")
    for at, name in enumerate(names.containers):
        yield from _export(names, name, first=at == 0)
    yield _branch('$container = ""')
    yield _set("$error", "102")
    yield Step(70, "End If")
    yield _set("$exported", "$exported + ( $error = 0 )")
    yield _set("$empty", "$empty + ( $error = 102 )")
    yield _set("$failed", "$failed + ( $error <> 0 and $error <> 102 )")
    columns = ("$recid", "$id", "$contact", "$date", "$type", "$container", "$filename", "$bytes", "$md5", "$error")
    yield _set("$line", " & Char ( 9 ) & ".join((*columns, "$path")))
    yield _write()
    yield _go_to("Next")
    yield Step(73, "End Loop")


def _of_container(names: Names, attribute: str) -> str:
    """What FileMaker knows of the content of the container that was chosen."""
    known = " ; ".join(
        f'$container = {_text(name)} ; GetContainerAttribute ( {_field(names, name)} ; "{attribute}" )'
        for name in names.containers
    )
    return f'Case ( {known} ; "" )'


def _export(names: Names, name: str, *, first: bool) -> Iterator[Step]:
    """Export one container: the step names a field, so that each needs one of its own."""
    condition = f"$container = {_text(name)}"
    yield _if(condition) if first else _branch(condition)
    yield Step(
        132,
        "Export Field Contents",
        f"{names.table}::{name} ; $target ; Create folders: On",
        (
            '<CreateDirectories state="True"/>',
            '<AutoOpen state="False"/>',
            '<CreateEmail state="False"/>',
            "<UniversalPathList>$target</UniversalPathList>",
            f'<Field table={quoteattr(names.table)} id="1" name={quoteattr(name)}/>',
        ),
    )
    yield _set("$error", "Get ( LastError )")


def _end() -> Iterator[Step]:
    yield Step(196, "Close Data File", "File ID: $file", (_calculation("$file"),))
    yield _dialog(
        "Export",
        '$exported & " pictures exported, " & $empty & " records without one, " & $failed & " failed." & ¶ & '
        "Case ( $differing > 0 ; $differing & \" records have another recid than FileMaker's own number of the record: "
        'tell whoever runs fm_migration." & ¶ ; "" ) & "The folder and its manifest are on the desktop: exports."',
    )
    yield _branch("$problem <> 0")
    yield _dialog("Export", '"Nothing was exported: error " & $problem & " at the layout or at the manifest."')
    yield _branch("Get ( FoundCount ) = 0")
    yield _dialog("Export", '"Nothing was exported: the layout shows no records."')
    yield Step(70, "End If")


#: The extension of the file that the container holds, as far as it is one.
_EXTENSION = (
    'Let ( ~dot = Position ( $filename ; "." ; Length ( $filename ) ; -1 ) ; Case ( ~dot > 0 ; '
    'Filter ( Lower ( Middle ( $filename ; ~dot ; 9 ) ) ; ".abcdefghijklmnopqrstuvwxyz0123456789" ) ; "" ) )'
)


def _field(names: Names, name: str) -> str:
    """A field in a calculation. Always in braces: `Name of file` and `date` would be read as something else."""
    return f"${{{names.table}}}::${{{name}}}"


def _text(text: str) -> str:
    """A text in a calculation."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _cleaned(text: str) -> str:
    """Without what would part cells or lines of the manifest."""
    gaps = " ; ".join(f'[ {mark} ; " " ]' for mark in ("Char ( 9 )", "Char ( 10 )", "Char ( 11 )", "¶"))
    return f"Substitute ( {text} ; {gaps} )"


def _as_name(text: str) -> str:
    """Without what parts folders on one of the systems."""
    return f'Substitute ( {text} ; [ "/" ; "-" ] ; [ ":" ; "-" ] ; [ "\\\\" ; "-" ] )'


def _iso_day(day: str) -> str:
    """A date as year-month-day, which means the same in every language; what is not a date stays as it is written."""
    iso = f'Year ( {day} ) & "-" & Right ( "0" & Month ( {day} ) ; 2 ) & "-" & Right ( "0" & Day ( {day} ) ; 2 )'
    return f'Case ( IsEmpty ( {day} ) ; "" ; GetAsNumber ( Year ( {day} ) ) > 0 ; {iso} ; {_cleaned(day)} )'


def _set(variable: str, value: str, remark: str = "") -> Step:
    elements = (
        f"<Value>{_calculation(value)}</Value>",
        f"<Repetition>{_calculation('1')}</Repetition>",
        f"<Name>{variable}</Name>",
    )
    return Step(141, "Set Variable", f"{variable} ; Value: {value}", elements, remark)


def _if(condition: str) -> Step:
    return Step(68, "If", condition, ('<Restore state="False"/>', _calculation(condition)))


def _branch(condition: str) -> Step:
    return Step(125, "Else If", condition, ('<Restore state="False"/>', _calculation(condition)))


def _go_to(which: str) -> Step:
    last = ('<Exit state="True"/>',) if which == "Next" else ()
    elements = ('<NoInteract state="True"/>', *last, f'<RowPageLocation value="{which}"/>')
    return Step(16, "Go to Record/Request/Page", f"{which}{' ; Exit after last: On' if last else ''}", elements)


def _write() -> Step:
    elements = (
        '<AppendLineFeed state="True"/>',
        f'<DataSourceType value="{_UTF_8}"/>',
        _calculation("$file"),
        "<Text/>",
        "<Field>$line</Field>",
    )
    options = "File ID: $file ; Data source: $line ; Write as: UTF-8 ; Append line feed: On"
    return Step(192, "Write to Data File", options, elements)


def _dialog(title: str, message: str) -> Step:
    elements = (
        f"<Title>{_calculation(_text(title))}</Title>",
        f"<Message>{_calculation(message)}</Message>",
        f'<Buttons><Button CommitState="True">{_calculation(_text("OK"))}</Button>{_NO_BUTTON * 2}</Buttons>',
    )
    return Step(87, "Show Custom Dialog", f"{_text(title)} ; {message}", elements)


def _option(number: int, name: str, value: str) -> Step:
    return Step(number, name, value, (f'<Set state="{value == "On"}"/>',))


def _calculation(text: str) -> str:
    return f"<Calculation><![CDATA[{text}]]></Calculation>"


def _bad_name(found: str, remedy: str) -> SettingsError:
    return SettingsError(
        "making the export script for", "the names of the solution", f"{found} cannot stand there", remedy
    )
