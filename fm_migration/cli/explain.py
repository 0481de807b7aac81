"""What `explain` prints: the answer in the first line, then the way of the photograph, or the reasons by number."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime

import typer
from rich.console import Console
from rich.table import Table

from fm_migration.errors import FmMigrationError
from fm_migration.explain import explaining
from fm_migration.explain.answers import Explanation, SubjectFinding
from fm_migration.explain.hops import HopState, HopWalk
from fm_migration.explain.known import Tenure
from fm_migration.explain.recognising import UnknownSubjectError
from fm_migration.places import Places
from fm_migration.report.classes import FindingClass, Severity

#: Where several photographs have one id, every hop of so many of them is printed.
MOST_WALKS = 3
EXAMPLES = 3
MOST_TENURES = 20

_MARKS = {
    HopState.OK: "[green]✓[/]",
    HopState.REMARK: "[yellow]•[/]",
    HopState.BROKEN: "[red]✗[/]",
    HopState.UNKNOWN: "[yellow]?[/]",
    HopState.NONE: "[dim]–[/]",
}
_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "dim"}


def explain(
    places: Places, console: Console, errors: Console, asked: str, *, as_json: bool, show_names: bool, ask_bucket: bool
) -> int:
    """Print the answer; the exit code: 0 when nothing is broken, 1 when something is, 2 when nothing is known."""
    settings, store = places.settings, places.store if ask_bucket else None
    # One moment for all questions.
    with places.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        try:
            answer = explaining.explain(connection, settings, asked, store)
        except UnknownSubjectError as error:
            _say_unknown(errors, asked, error, as_json)
            return 2
        names = explaining.names_of(connection, settings, answer.patients) if show_names else []
    if as_json:
        typer.echo(json.dumps(answer.as_dict(), indent=2))
    else:
        _print(console, answer, names)
    return 1 if answer.broken else 0


def refusal(console: Console, *, as_json: bool, show_names: bool) -> str:
    """Why names are not shown: they are for a person at a terminal, and must not get into a file or a pipe."""
    if show_names and as_json:
        return "--show-names does not go with --json: names stay on the terminal"
    if show_names and not console.is_terminal:
        return "--show-names needs a terminal: names are not written into files or pipes"
    return ""


def _say_unknown(errors: Console, asked: str, error: UnknownSubjectError, as_json: bool) -> None:
    if as_json:
        could_be = [str(subject) for subject in error.could_be]
        typer.echo(json.dumps({"asked": asked, "could_be": could_be, "error": error.found}, indent=2))
    else:
        _say_error(errors, error)


def _say_error(errors: Console, error: FmMigrationError) -> None:
    errors.print(str(error), style="red", markup=False, soft_wrap=True)


def _print(console: Console, answer: Explanation, names: list[str]) -> None:
    _say(console, answer.headline, style="bold")
    for name in names:
        _say(console, f"The patient is {name}.")
    if answer.of_many:
        _print_reasons(console, answer)
    else:
        for walk in answer.walks[:MOST_WALKS]:
            _print_walk(console, walk)
    _print_tenures(console, answer.tenures)
    _print_findings(console, answer.findings)
    for name, subject in answer.report_only:
        _say(console, f"The newest report also says of {subject}: {name}.", style="dim")
    _say(console, _as_of(answer.moments), style="dim")


def _print_walk(console: Console, walk: HopWalk) -> None:
    # A line for each hop, however narrow the terminal: people search and copy ids.
    _say(console, walk.subject)
    broken = walk.first_broken
    for number, hop in enumerate(walk.hops, start=1):
        console.print(f" {_MARKS[hop.state]}  {number} {hop.name.value:<9}  ", end="")
        _say(console, f"{hop.said}  ← first broken hop" if hop is broken else hop.said)


def _print_reasons(console: Console, answer: Explanation) -> None:
    """A line for each reason, whatever the number of photographs."""
    hidden = answer.photographs - answer.visible
    _say(console, f"Photographs: {answer.photographs:,} expected, {answer.visible:,} visible, {hidden:,} not.")
    if not answer.reasons and not answer.wrong:
        return
    table = Table("photographs", "visible", "first broken hop", "why", "such as", box=None, pad_edge=True)
    for visible, reasons in (("no", answer.reasons), ("yes", answer.wrong)):
        for reason in reasons:
            examples = _plain(", ".join(reason.subjects[:EXAMPLES]))
            table.add_row(f"{reason.photographs:,}", visible, reason.hop.value, _plain(reason.because), examples)
    console.print(table)


def _print_tenures(console: Console, tenures: tuple[Tenure, ...]) -> None:
    """Who was who, since when; the newest where there were many."""
    if not tenures:
        return
    _say(console, "Who held which FileMaker id:")
    if len(tenures) > MOST_TENURES:
        _say(console, f"  {len(tenures) - MOST_TENURES:,} earlier ones stand in fm_migration.tenure")
    for one in tenures[-MOST_TENURES:]:
        held = f"held {one.written}" if one.written else "had none"
        until = f"until {_moment(one.ended_at)}, {one.ending}" if one.ending else "until today"
        since = f"from {_moment(one.began_at)} " if one.began_at else ""
        shared = ", and somebody else had it too" if one.shared else ""
        how = ", as its photographs or a person tell" if one.recognised else ""
        settled = f"; a person has settled that this is {one.settled}" if one.settled else ""
        _say(console, f"  {one.patient_id} {held} {since}{until}{shared}{how}{settled}")


def _print_findings(console: Console, findings: tuple[SubjectFinding, ...]) -> None:
    """Each class once, with its remedy and command, whatever the number of its subjects."""
    classes: dict[FindingClass, list[SubjectFinding]] = defaultdict(list)
    for found in findings:
        classes[found.finding].append(found)
    for finding, group in classes.items():
        examples = ", ".join(found.subject for found in group[:EXAMPLES])
        more = f" and {len(group) - EXAMPLES:,} more" if len(group) > EXAMPLES else ""
        console.print(f"[{_STYLES[finding.severity]}]{finding.severity.value}[/] {finding.value}: ", end="")
        _say(console, f"{finding.meaning} ({examples}{more}){_since(group)}")
        _say(console, f"  → {finding.remedy}")
        commands = list(dict.fromkeys(found.command for found in group if found.command))
        for command in commands[:EXAMPLES]:
            _say(console, f"  {'then ' if group[0].after_remedy else ''}$ {command}")
        if len(commands) > EXAMPLES:
            _say(console, f"  and {len(commands) - EXAMPLES:,} more of the kind")


def _since(group: list[SubjectFinding]) -> str:
    seen = min((found.first_seen for found in group if found.first_seen), default=None)
    waived = sum(found.waiver is not None for found in group)
    since = f", known since {seen:%Y-%m-%d}" if seen else ""
    return f"{since}{f', {waived:,} accepted by the clinic' if waived else ''}"


def _as_of(moments: dict[str, datetime | None]) -> str:
    text = {"export_read": "export read", "listed": "bucket listed", "patients_read": "patients read"}
    said = [f"{word} {_moment(moments[name])}" for name, word in text.items()]
    report = moments["report"]
    return f"As of: {', '.join(said)}; {f'report of {_moment(report)}' if report else 'no report was made yet'}."


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "never"


def _plain(text: str) -> str:
    # rich takes square brackets for markup.
    return text.replace("[", r"\[")


def _say(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False, soft_wrap=True)
