"""What the commands of the desktop export print: the script, what a linter says of it, and what an export held."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from fm_migration.errors import SettingsError
from fm_migration.filemaker.desktop.linting import lint
from fm_migration.filemaker.desktop.script import Names, as_text
from fm_migration.filemaker.desktop.script import as_xml as xml_of


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
