"""A run of the intake on the places that the settings name: what an asset and a command call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from fm_migration.errors import SettingsError
from fm_migration.filemaker import columns
from fm_migration.filemaker.data_api.access import Access, Patience
from fm_migration.filemaker.data_api.addresses import server_origin
from fm_migration.filemaker.data_api.client import DataApi
from fm_migration.filemaker.data_api.containers import ByteSource, ContainerUrls, ODataValues
from fm_migration.filemaker.data_api.failures import UNAVAILABLE, FileClosedError, TransferLimitError
from fm_migration.filemaker.data_api.records import Columns, check_layout
from fm_migration.intake.bringing import SOURCE, Intake, Outcome, PhotographOutcome, Workplace
from fm_migration.intake.forecasting import Forecast, forecast
from fm_migration.intake.wishes import Ending, Wishes
from fm_migration.ledger import schema, transfers
from fm_migration.places import Places
from fm_migration.settings import Settings

EVERY_ONE = "all"
#: Pauses grow from FM_RETRY_SECONDS: a passing failure is met a fifth of it later, a dead engine six times as long.
_SHORTER, _LONGER = 5.0, 6.0


@dataclass(frozen=True)
class IntakeResult:
    """What a run has done, how all photographs stand now, and how it would go on."""

    outcome: Outcome
    standing: list[transfers.Standing]
    forecast: Forecast


def find_access(settings: Settings) -> Access:
    """The server that the settings name, and as whom we speak to it."""
    if settings.filemaker_url is None or not settings.filemaker_database:
        raise SettingsError(
            "looking for FileMaker at",
            "FM_FILEMAKER_URL" if settings.filemaker_url is None else "FM_FILEMAKER_DATABASE",
            "it is not set",
            "Set FM_FILEMAKER_URL, FM_FILEMAKER_DATABASE, FM_FILEMAKER_ACCOUNT and FM_FILEMAKER_PASSWORD "
            "(docs/intake.md)",
        )
    return Access(
        server_origin(settings.filemaker_url),
        settings.filemaker_database,
        settings.filemaker_layout,
        settings.filemaker_account,
        settings.filemaker_password,
        settings.filemaker_claris_token,
        settings.filemaker_ca,
    )


def run_intake(
    places: Places,
    wishes: Wishes,
    *,
    again: Sequence[str] = (),
    run_id: str | None = None,
    on_progress: Callable[[PhotographOutcome], None] = lambda _told: None,
) -> IntakeResult:
    """Bring photographs from FileMaker. `again` names quarantined recids to be tried again, or `all`."""
    settings = places.settings
    access = find_access(settings)
    with places.engine.begin() as connection:
        schema.require_current(connection)
        if again and not wishes.dry_run:
            transfers.release(connection, SOURCE, None if EVERY_ONE in again else again)
    with DataApi(access, session_folder(settings), patience=_patience(settings)) as api:
        try:
            outcome = _intake(api, places, wishes, run_id, on_progress).run()
        except TransferLimitError:
            # Refused at the log-in already.
            outcome = Outcome(Ending.SERVER_LIMIT)
    with places.engine.connect() as connection:
        return IntakeResult(outcome, transfers.standing(connection, SOURCE), look_ahead(connection, settings))


def nothing_brought() -> IntakeResult:
    """Of a run where no FileMaker is set."""
    return IntakeResult(Outcome(Ending.NOT_SET), [], Forecast(0, 0, 0.0, None, ()))


def _intake(
    api: DataApi, places: Places, wishes: Wishes, run_id: str | None, on_progress: Callable[[PhotographOutcome], None]
) -> Intake:
    """A run, after the layout was checked."""
    settings = places.settings
    profiles = columns.load_profiles(settings.export_columns)

    def look() -> Columns:
        return check_layout(api, settings.filemaker_containers, profiles, settings.filemaker_md5_suffix)

    # A database that is not open at the beginning is more likely one whose name is misspelt: that is not waited for.
    found = api.steadily(look, waited_for=tuple(kind for kind in UNAVAILABLE if kind is not FileClosedError))
    second: ByteSource | None = None
    if settings.filemaker_odata_table is not None:
        second = ODataValues(api, settings.filemaker_odata_table, found.fields.get("image_id", "id"))
    place = Workplace(
        places.engine,
        places.store,
        settings.dump_prefixes,
        settings.zone,
        settings.filemaker_counts,
        run_id,
        on_progress,
    )
    return Intake(api, found, ContainerUrls(api), second, place, wishes)


def look_ahead(connection: Connection, settings: Settings) -> Forecast:
    """How it would go on, by what the ledger knows."""
    standing = transfers.standing(connection, SOURCE)
    done = sum(one.photographs for one in standing if one.state != "waiting")
    here = sum(one.photographs for one in standing if one.state in ("arrived", "present"))
    arrived = [one for one in standing if one.state == "arrived"]
    count = sum(one.photographs for one in arrived)
    walk = transfers.read_walk(connection, SOURCE)
    known = sum(one.photographs for one in standing)
    return forecast(
        transfers.days(connection, SOURCE),
        here=here,
        left=max(walk.records or 0, known) - done,
        mean_bytes=sum(one.bytes for one in arrived) / count if count else 0.0,
        today=datetime.now(settings.zone).date(),
        every_six_hours=settings.filemaker_every_six_hours,
    )


def session_folder(settings: Settings) -> Path:
    """Where the token of the open session lies, as long as one is."""
    return settings.home / "filemaker"


def _patience(settings: Settings) -> Patience:
    return Patience(
        first=settings.retry_seconds / _SHORTER,
        engine_first=settings.retry_seconds * _LONGER,
        engine_total=settings.filemaker_wait_seconds,
    )
