"""The command `fm-migration`: what a person at a terminal needs beside the Dagster UI.

Belongs here: arguments, printing, exit codes. Does not belong here: any decision; each command calls one function.
Imports are made inside the commands, so that `fm-migration --help` answers at once.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from uuid import UUID

import typer
from rich.console import Console

from fm_migration.cli.progress import progress_bars
from fm_migration.errors import FmMigrationError

if TYPE_CHECKING:
    from fm_migration.embedded.stack import Stack
    from fm_migration.places import Places
    from fm_migration.settings import Settings

app = typer.Typer(
    help="Moves a clinic's photographs from FileMaker into its Django app and keeps them linked to the right patient.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
db = typer.Typer(help="Our own schema in the clinic's database.", no_args_is_help=True)
sample = typer.Typer(help="The sample clinic of the embedded stack.", no_args_is_help=True)
stack = typer.Typer(help="The embedded PostgreSQL and object server.", no_args_is_help=True)
repair = typer.Typer(help="Taking away what earlier broken runs have left, by a plan.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(repair, name="repair")
app.add_typer(sample, name="sample")
app.add_typer(stack, name="stack")

console = Console(highlight=False)


class ScriptForm(StrEnum):
    """In which form the export script is wanted."""

    STEPS = "steps"
    XML = "xml"


def main() -> None:
    """Run a command; an error of ours is one sentence on standard error and exit code 1."""
    try:
        app()
    except FmMigrationError as error:
        _complain(error)
    except Exception as error:
        # Imported here, as it takes a third of a second. A driver's own message may quote a patient's row, and what is
        # printed ends up in logs and mails.
        from fm_migration.database import explain_driver

        explained = explain_driver(error)
        if explained is None:
            raise
        _complain(explained)


def _complain(error: FmMigrationError) -> NoReturn:
    Console(stderr=True, highlight=False, style="red", soft_wrap=True).print(str(error), markup=False)
    sys.exit(1)


@app.command()
def demo() -> None:
    """Run the whole migration on the sample clinic, and say what happened."""
    from fm_migration.cli.demo import run_demo

    run_demo(console)


@app.command()
def dev(
    port: Annotated[int, typer.Option(help="Port of the UI; another free one is taken when it is in use.")] = 3000,
) -> None:
    """Open the Dagster UI, with its daemon, on the places that the settings name."""
    from fm_migration.cli.dev import run_dev

    sys.exit(run_dev(port, console))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print findings as JSON.")] = False,
) -> None:
    """Check everything that a migration needs; exit 1 when a check fails."""
    from fm_migration.operations.doctor import Examination, examine

    findings: list[Examination] = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            _print_finding(finding.well, finding.check, finding.said, finding.remedy)
    if as_json:
        typer.echo(json.dumps([finding.as_dict() for finding in findings], indent=2))
    raise typer.Exit(0 if all(finding.well for finding in findings) else 1)


def _print_finding(well: bool, check: str, said: str, remedy: str) -> None:
    mark = "[green]✓[/]" if well else "[red]✗[/]"
    console.print(f"{mark} {check}: ", end="")
    console.print(said, markup=False, soft_wrap=True)
    if remedy:
        console.print(f"  → {remedy}", markup=False, soft_wrap=True)


@app.command()
def prepare() -> None:
    """Make Dagster's storage and set its pools: once on a server, before webserver and daemon start."""
    from fm_migration.cli.instance import prepare_dagster_home
    from fm_migration.settings import load_settings

    console.print(f"Dagster's instance in {prepare_dagster_home(load_settings())} is ready", soft_wrap=True)


@app.command()
def heal() -> None:
    """Heal now: for the end of the clinic's re-import script, which then waits for no sensor.

    The links follow their patients at once; then the job heal_links does the rest and records all of it in Dagster.
    """
    from fm_migration.cli.links import follow

    # Before Dagster is imported, which takes longer than the healing. What stands against it is told by the run, where
    # it is on record.
    with suppress(FmMigrationError):
        follow(_places(), console)
    from fm_migration.cli.instance import open_instance, prepare_dagster_home
    from fm_migration.cli.jobs import run_job
    from fm_migration.settings import load_settings

    prepare_dagster_home(load_settings())
    with open_instance() as instance:
        result = run_job("heal_links", instance)
    console.print("healed" if result.success else f"run {result.run_id} failed; see it in the UI")
    raise typer.Exit(0 if result.success else 1)


@app.command()
def backfill(
    months: Annotated[str | None, typer.Option(help="Months and ranges: 2016-10..2017-03,undated")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All months that have linked photographs.")] = False,
    missing: Annotated[bool, typer.Option(help="The months that lack current thumbnails.")] = False,
    watch: Annotated[str | None, typer.Option(metavar="ID", help="Watch a backfill that is under way.")] = None,
    cancel: Annotated[str | None, typer.Option(metavar="ID", help="Cancel one; what it has made stays.")] = None,
    detach: Annotated[bool, typer.Option(help="Hand it to the daemon and do not wait for its end.")] = False,
) -> None:
    """Make thumbnails of many months, through the queue of the running Dagster instance."""
    from fm_migration.cli.backfill import Asked, run_backfill

    sys.exit(run_backfill(Asked(months, everything, missing, watch, cancel, detach), console))


@app.command()
def intake(
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many photographs in this run.")] = None,
    a_minute: Annotated[
        float | None, typer.Option("--pace", min=0, help="Photographs a minute; also for a run that is under way.")
    ] = None,
    quiet_hours: Annotated[str, typer.Option(help="Hours of the clinic's day to leave alone: 7:30-19:00.")] = "",
    daily_bytes: Annotated[int | None, typer.Option(min=1, help="Bytes a day at most.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=1000, help="Records that are read at a time.")] = 100,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be fetched.")] = False,
    again: Annotated[
        list[str] | None, typer.Option(metavar="RECID", help="Try a quarantined one again; `all` for every one.")
    ] = None,
    pause: Annotated[bool, typer.Option("--pause", help="Pause the run that is under way, and those to come.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Let it go on.")] = False,
    only_say: Annotated[
        bool, typer.Option("--set", help="Only tell the run that is under way its --pace; 0: as it was configured.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Only show how far it has come.")] = False,
) -> None:
    """Bring photographs and their rows from FileMaker, each proven; a run that was stopped goes on (docs/intake.md)."""
    from fm_migration.cli.intake import Said, bring, say, show_status
    from fm_migration.intake.wishes import QuietHours, Wishes

    if pause and resume:
        raise typer.BadParameter("--pause and --resume contradict each other")
    places = _places()
    if status:
        show_status(places, console)
    elif pause or resume or only_say:
        say(places, console, Said(pause, resume, a_minute))
    else:
        wishes = Wishes(limit, batch_size, a_minute, QuietHours.parse(quiet_hours), daily_bytes, dry_run)
        with progress_bars(console) as bar:
            bring(places, console, wishes, again or [], bar)


@app.command("plan-intake")
def plan_intake(
    photographs: Annotated[int | None, typer.Option(min=0, help="How many are left. Default: as far as known.")] = None,
    mean_megabytes: Annotated[float | None, typer.Option(min=0, help="Their mean size in MB.")] = None,
    a_minute: Annotated[float | None, typer.Option("--pace", min=0.1, help="Photographs a minute.")] = None,
    every_six_hours: Annotated[int | None, typer.Option(min=1, help="Photographs of a scheduled run.")] = None,
    upload_megabits: Annotated[float | None, typer.Option(min=0.1, help="Of the desktop's line, a second.")] = None,
) -> None:
    """Compare the ways to bring the photographs: days, gigabytes, requests, risks, and what that assumes."""
    from fm_migration.cli.intake import plan

    given = {
        "photographs": photographs,
        "mean_bytes": None if mean_megabytes is None else mean_megabytes * 1_000_000,
        "a_minute": a_minute,
        "every_six_hours": every_six_hours,
        "upload_megabits": upload_megabits,
    }
    plan(_places(), console, given)


@app.command()
def plans(most: Annotated[int, typer.Option(help="How many, the newest first.")] = 20) -> None:
    """The plans that were made, what became of them, and the hashes to approve."""
    from fm_migration.cli.links import print_plans

    print_plans(_places(), console, most)


@app.command()
def undo(plan: Annotated[int, typer.Argument(help="The number of an applied plan.")]) -> None:
    """Take a plan back: whatever nobody has changed since is as it was before."""
    from fm_migration.cli.links import undo as undo_plan

    undo_plan(_places(), console, plan)


@app.command()
def settle(
    former: Annotated[UUID, typer.Argument(help="The former UUID, as a finding or fm_migration.tenure names it.")],
    patient: Annotated[UUID, typer.Argument(help="The UUID of the patient in the app who that is.")],
) -> None:
    """Say who a former patient is: everything that points at the former UUID follows, now and later. Can be undone."""
    from fm_migration.cli.links import settle as settle_patient

    settle_patient(_places(), console, former, patient)


@app.command()
def restore(
    recids: Annotated[list[str] | None, typer.Argument(help="Their recids. None: with --all, every one.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All photographs that staff have deleted.")] = False,
) -> None:
    """Create photographs again that staff have deleted in the app and whose originals are there. Can be undone."""
    from fm_migration.cli.links import restore as restore_photographs

    if everything == bool(recids):
        raise typer.BadParameter("name recids, or --all")
    restore_photographs(_places(), console, recids or [])


@app.command()
def prune(
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Such as 365d. Default: FM_JOURNAL_DAYS.")
    ] = None,
) -> None:
    """Drop plans that were never applied and that newer ones have replaced, and changes that are long past."""
    from fm_migration.cli.links import prune as drop

    drop(_places(), console, older_than)


@app.command()
def drill() -> None:
    """Rehearse a re-import of all patients on a copy; exit 1 if one photograph would be lost."""
    from fm_migration.cli.links import drill as play

    raise typer.Exit(0 if play(_places(), console) else 1)


@app.command()
def explain(
    subject: Annotated[
        list[str],
        typer.Argument(
            help="A patient's UUID (a former one too) or FileMaker id, a recid, an image's or batch's UUID, or an "
            "object's key; as in a report, its kind may stand before it: `image 6f9c...`."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    show_names: Annotated[
        bool, typer.Option("--show-names", help="Also say who the patient is, on this terminal only.")
    ] = False,
    ask_bucket: Annotated[
        bool, typer.Option("--bucket/--no-bucket", help="Also ask the bucket itself, or take its newest listing.")
    ] = True,
) -> None:
    """Say why something shows or does not; exit 0 when nothing is broken, 1 when something is, 2 when unknown."""
    from fm_migration.cli.explain import explain as answer
    from fm_migration.cli.explain import refusal

    errors = Console(stderr=True, highlight=False)
    if refused := refusal(console, as_json=as_json, show_names=show_names):
        errors.print(refused, style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2)
    asked = " ".join(subject)
    raise typer.Exit(
        answer(_places(), console, errors, asked, as_json=as_json, show_names=show_names, ask_bucket=ask_bucket)
    )


@app.command()
def certify(
    output: Annotated[
        Path | None, typer.Option(help="The file to write. Default: a new one in the folder certificates of FM_HOME.")
    ] = None,
    read_all: Annotated[
        bool, typer.Option("--read-all", help="Read every original to its end, so that none is without a hash.")
    ] = False,
) -> None:
    """Write a certificate: every row's state adds up, every original with its hash, and a Merkle root over them."""
    from fm_migration.cli.certificate import certify as write

    places = _places()
    with progress_bars(console) as on_progress:
        write(places, console, output, read_all, on_progress)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A certificate.")],
    read_all: Annotated[bool, typer.Option("--read-all", help="Read every original again and compare.")] = False,
    file_only: Annotated[bool, typer.Option("--file-only", help="Only whether the file itself is unaltered.")] = False,
    sha256: Annotated[str | None, typer.Option(help="What the file's hash should be.")] = None,
) -> None:
    """Check a certificate, then against the bucket and the database; exit 1 on any difference."""
    from fm_migration.cli.certificate import verify as check

    with progress_bars(console) as on_progress:
        well = check(_places, console, file, read_all, file_only, sha256, on_progress)
    raise typer.Exit(0 if well else 1)


@app.command("desktop-export")
def desktop_export(
    place: Annotated[
        str | None, typer.Argument(help="A folder, or s3://bucket/prefix/. Default: FM_DESKTOP_EXPORT.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")] = False,
    read_all: Annotated[
        bool, typer.Option("--read-all", help="Read every file again, also those that have not changed.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many files are brought at a time.")] = 8,
) -> None:
    """Bring what was exported with FileMaker Pro into the dump; exit 1 when something was left with a reason."""
    from fm_migration.cli.desktop import bring

    places = _places()
    with progress_bars(console) as on_progress:
        well = bring(
            places, console, place, dry_run=dry_run, read_all=read_all, workers=workers, on_progress=on_progress
        )
    if not dry_run:
        console.print("The job import_desktop_export in the Dagster UI leads it to the galleries.")
    raise typer.Exit(0 if well else 1)


@app.command("filemaker-script")
def filemaker_script(
    form: Annotated[
        ScriptForm, typer.Option("--format", help="Steps to read and type in, or the XML of FileMaker's clipboard.")
    ] = ScriptForm.STEPS,
    layout: Annotated[str, typer.Option(help="The layout that shows the photographs' records.")] = "API_Images",
    table: Annotated[
        str | None, typer.Option(help="Its table occurrence, as layout mode shows it. Default: like the layout.")
    ] = None,
    container: Annotated[
        list[str] | None, typer.Option(help="A container field; once for each, the best first. Default: the clinic's.")
    ] = None,
    recid: Annotated[str, typer.Option(help="Field of the record's number.")] = "recid",
    image_id: Annotated[str, typer.Option("--id", help="Field of the photograph's UUID.")] = "id",
    contact: Annotated[str, typer.Option(help="Field of the patient's id.")] = "id_Contact",
    date: Annotated[str, typer.Option(help="Field of the day.")] = "date",
    kind: Annotated[str, typer.Option("--type", help="Field of what the photograph shows.")] = "Type",
    output: Annotated[Path | None, typer.Option(help="The file to write. Default: the terminal.")] = None,
    check: Annotated[
        Path | None, typer.Option(help="Check a script in the XML of the clipboard instead, one you have altered.")
    ] = None,
) -> None:
    """Print the script that exports all photographs with FileMaker Pro, and a manifest that proves them."""
    from fm_migration.cli.desktop import check_script, print_script
    from fm_migration.filemaker.desktop.script import CONTAINERS, Names

    if check is not None:
        raise typer.Exit(0 if check_script(check, console) else 1)
    names = Names(layout, table or layout, recid, image_id, contact, date, kind, tuple(container or CONTAINERS))
    print_script(names, console, as_xml=form is ScriptForm.XML, output=output)


@repair.command("plan")
def repair_plan(
    classes: Annotated[list[str], typer.Argument(help="Classes of findings, such as image_doubled batch_empty.")],
) -> None:
    """Plan the repair of all findings of these classes in the newest report; nothing is changed yet."""
    from fm_migration.cli.repair import plan

    plan(_places(), console, classes)


@repair.command("apply")
def repair_apply(plan: Annotated[int, typer.Argument(help="The number of a repair plan.")]) -> None:
    """Apply a repair plan. Each row is looked at again; `fm-migration undo` takes it back."""
    from fm_migration.cli.repair import apply

    apply(_places(), console, plan)


@db.command("upgrade")
def db_upgrade(revision: Annotated[str, typer.Argument(help="A revision, or `head`.")] = "head") -> None:
    """Bring our schema up to date."""
    from fm_migration.ledger import schema

    engine = _places().engine
    schema.upgrade(engine, revision)
    with engine.connect() as connection:
        console.print(f"schema fm_migration is at {schema.current_revision(connection)}")


@db.command("downgrade")
def db_downgrade(revision: Annotated[str, typer.Argument(help="A revision, or `base` to remove it whole.")]) -> None:
    """Take our schema back. What it knew beyond that revision is lost, the history of patients' ids included."""
    from fm_migration.ledger import schema

    engine = _places().engine
    if not typer.confirm("This removes what our schema knows beyond that revision. Go on?"):
        raise typer.Abort
    schema.downgrade(engine, revision)
    with engine.connect() as connection:
        console.print(f"schema fm_migration is at {schema.current_revision(connection) or 'nothing'}")


@db.command("status")
def db_status() -> None:
    """At which revision our schema is, and which one this version needs."""
    from fm_migration import database
    from fm_migration.ledger import schema

    places = _places()
    database.check(places.engine)
    with places.engine.connect() as connection:
        found = schema.current_revision(connection)
    console.print(f"found {found or 'nothing'}, needed {schema.newest_revision()}")
    raise typer.Exit(0 if found == schema.newest_revision() else 1)


def _places() -> Places:
    from fm_migration.places import find_places

    return find_places(_settings())


@sample.command("make")
def sample_make(
    size: Annotated[float | None, typer.Option(help="1 is the real clinic: 6,490 photographs.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed makes the same clinic.")] = None,
    stale: Annotated[bool, typer.Option("--stale", help="With the stale batches of nine failed repairs.")] = False,
) -> None:
    """Throw the sample clinic away and make another one."""
    from fm_migration.embedded.furnish import clear, furnish, truth_of

    given = {"sample_size": size, "sample_seed": seed, "sample_variant": "stale" if stale else None}
    settings = _settings(**{name: value for name, value in given.items() if value is not None})
    running = _stack(settings)
    clear(running)
    with progress_bars(console) as on_progress:
        export = furnish(running, settings, on_progress)
    console.print(f"export {export}\ntruth  {truth_of(running)}", markup=False, soft_wrap=True)
    console.print("Set the same FM_SAMPLE_* for the commands that follow, where they differ from the defaults.")


@sample.command("reimport")
def sample_reimport(
    pause: Annotated[float, typer.Option(help="Seconds between two hundreds of patients.")] = 0.0,
    keep_ids: Annotated[bool, typer.Option("--keep-ids", help="Without deleting first: UUIDs stay.")] = False,
) -> None:
    """Play the clinic's re-import: delete the patients and create them again under new UUIDs."""
    import psycopg

    from fm_migration.embedded.sample.reimport import play_reimport

    settings = _settings()
    running = _stack(settings)
    with psycopg.connect(running.database_url()) as connection, progress_bars(console) as on_progress:
        for step in play_reimport(connection, pause=pause, keep_ids=keep_ids, seed=settings.sample_seed):
            on_progress(step.phase, step.done, step.total)


@stack.command("status")
def stack_status() -> None:
    """Whether the embedded servers run, and where."""
    from fm_migration.embedded.state import StackLayout, read_state

    state = read_state(StackLayout(_settings().home.resolve()))
    if state is None or not state.keeper.is_alive():
        console.print("not running; any command that needs them starts them")
        raise typer.Exit(1)
    console.print(f"PostgreSQL on 127.0.0.1:{state.postgres.port}, objects on 127.0.0.1:{state.objects.port}")


@stack.command("run")
def stack_run() -> None:
    """Keep the embedded servers up until Ctrl-C, and print how to reach them, passwords included."""
    from fm_migration.embedded import object_server
    from fm_migration.places import find_places

    settings = _settings()
    running = _stack(settings)
    find_places(settings)
    console.print(f"psql '{running.database_url()}'", markup=False, soft_wrap=True)
    console.print(
        f"AWS_ACCESS_KEY_ID={running.access_key} AWS_SECRET_ACCESS_KEY={running.secret_key} "
        f"AWS_DEFAULT_REGION={object_server.REGION} "
        f"aws --endpoint-url {object_server.url(running.objects_port)} s3 ls",
        markup=False,
        soft_wrap=True,
    )
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


@stack.command("stop")
def stack_stop() -> None:
    """Stop the embedded servers, whoever uses them."""
    from fm_migration.embedded.processes import end
    from fm_migration.embedded.state import StackLayout, read_state

    state = read_state(StackLayout(_settings().home.resolve()))
    if state is not None and state.keeper.is_alive():
        end(state.keeper.process(), signal.SIGTERM, seconds=60)
    console.print("stopped")


def _settings(**overrides: Any) -> Settings:
    from fm_migration.settings import load_settings

    return load_settings(**overrides)


def _stack(settings: Settings) -> Stack:
    from fm_migration.embedded.stack import hold

    return hold(settings)
