"""What the commands of the desktop export print: the script, what a linter says of it, and what an export held.

No path is printed: the folders are patients' ids, and what is printed ends up in logs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fm_migration.errors import SettingsError
from fm_migration.filemaker.desktop.linting import lint
from fm_migration.filemaker.desktop.script import Names, as_text
from fm_migration.filemaker.desktop.script import as_xml as xml_of
from fm_migration.filemaker.desktop.states import Kind, State
from fm_migration.operations import desktop_export
from fm_migration.operations.desktop_export import Brought
from fm_migration.places import Places
from fm_migration.sources.desktop import open_place

OnProgress = Callable[[str, int, int], None]

#: What somebody has to look at first.
_ORDER = (Kind.LEFT, Kind.WAITING, Kind.TAKEN, Kind.CLUTTER)


def print_script(names: Names, console: Console, *, as_xml: bool, output: Path | None) -> None:
    """Print the export script, or write it into a file."""
    script = xml_of(names) if as_xml else as_text(names)
    if output is None:
        console.print(script, markup=False, emoji=False, soft_wrap=True, end="")
    else:
        output.write_text(script, encoding="utf-8")
        console.print(f"script {output}", markup=False, soft_wrap=True)


def check_script(file: Path, console: Console) -> bool:
    """Print what the linter says of a script; whether it found nothing."""
    try:
        document = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            "reading the script", str(file), f"it cannot be read ({type(error).__name__})", "Name a file of UTF-8 text"
        ) from None
    complaints = lint(document)
    for complaint in complaints:
        console.print(f"{complaint}", markup=False, soft_wrap=True)
    if not complaints:
        console.print("No fault that is known here. That FileMaker takes it, only FileMaker can say.")
    return not complaints


def bring(
    places: Places,
    console: Console,
    named: str | None,
    *,
    dry_run: bool,
    read_all: bool,
    workers: int,
    on_progress: OnProgress,
) -> bool:
    """Bring an export in and print what became of its files; whether nothing was left."""
    place = open_place(places, _named(places, named))
    brought = desktop_export.bring(
        places.engine,
        places.store,
        place,
        places.settings,
        dry_run=dry_run,
        read_all=read_all,
        workers=workers,
        on_progress=lambda done, of, _: on_progress("photographs", done, of),
    )
    _print_figures(console, brought, dry_run=dry_run)
    _print_states(console, brought)
    return not brought.of_kind(Kind.LEFT)


def _named(places: Places, named: str | None) -> str:
    place = named or places.settings.desktop_export
    if not place:
        raise SettingsError(
            "bringing in a desktop export, because",
            "FM_DESKTOP_EXPORT",
            "is not set and no folder was named",
            "Name the folder that the export script has made: fm-migration desktop-export FOLDER",
        )
    return place


def _print_figures(console: Console, brought: Brought, *, dry_run: bool) -> None:
    verb = "would be brought" if dry_run else "brought"
    a_second = f", {brought.uploaded / brought.seconds:,.0f} a second" if brought.uploaded and not dry_run else ""
    console.print(
        f"{brought.files:,} files, {brought.bytes:,} bytes: {brought.uploaded:,} photographs {verb}, "
        f"{brought.present:,} were there ({brought.seconds:,.0f} s{a_second})",
        soft_wrap=True,
    )
    if brought.manifest_lines:
        console.print(
            f"{brought.manifest_lines:,} records in the manifest, {brought.proven:,} photographs have the MD5 that "
            "FileMaker knows",
            soft_wrap=True,
        )
    else:
        console.print("There is no manifest: nothing proves that a photograph arrived as it left FileMaker.")


def _print_states(console: Console, brought: Brought) -> None:
    table = Table("files", "state", "what it means", "what to do", box=None)
    states = sorted(brought.states.items(), key=lambda item: (_ORDER.index(item[0].kind), -item[1]))
    for state, count in states:
        table.add_row(f"{count:,}", _coloured(state), state.meaning, state.remedy)
    console.print(table)


def _coloured(state: State) -> str:
    colours = {Kind.LEFT: "red", Kind.WAITING: "yellow", Kind.TAKEN: "green"}
    colour = colours.get(state.kind)
    return f"[{colour}]{state.value}[/]" if colour else state.value
