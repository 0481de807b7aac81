"""Sensors: thin shells that read the state of the world, ask a pure function, and say in words what it decided.

No `from __future__ import annotations` here: Dagster reads the types of resources from the functions.
"""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg

from fm_migration.clinic import applying
from fm_migration.clinic.healing import Failures, Seen, World, decide
from fm_migration.clinic.thumbnailing import MonthPending, months, pending_by_month
from fm_migration.defs.assets.clinic import WRITES_LINKS
from fm_migration.defs.assets.thumbnails import MAKES_THUMBNAILS
from fm_migration.defs.failures import readable_failures
from fm_migration.defs.jobs import heal_links, make_thumbnails
from fm_migration.defs.partitions import MONTH, month_partitions, new_months
from fm_migration.defs.resources import DatabaseResource, SettingsResource
from fm_migration.images.recipe import Recipe
from fm_migration.ledger import identity
from fm_migration.settings import settings as read_settings
from fm_migration.thumbnails.choosing import choose

FINGERPRINT_TAG = "fm/patients"
_ON_ITS_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_LINK_ASSETS = {dg.AssetKey("image_batches"), dg.AssetKey("patient_links")}
#: How many failed runs of one state are looked at; the pause has reached its longest by then.
_FAILURES_LOOKED_AT = 10


@dg.sensor(
    job=heal_links,
    minimum_interval_seconds=read_settings().heal_interval_seconds,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Compares the patients with the state of them that the links were made from, and starts `heal_links` "
    "when they differ and no re-import is under way. A missed tick costs time, never truth.",
)
def patients_reimported(
    context: dg.SensorEvaluationContext, settings: SettingsResource, database: DatabaseResource
) -> dg.SensorResult:
    knobs = settings.settings()
    world = _look(database)
    decision = decide(
        world,
        _remembered(context.cursor),
        datetime.now(UTC),
        run_on_its_way=_run_on_its_way(context.instance),
        failures=_failures(context.instance, world.fingerprint),
        settle=timedelta(seconds=knobs.heal_settle_seconds),
        tolerated_missing=knobs.tolerated_missing,
    )
    cursor = json.dumps({"fingerprint": decision.seen.fingerprint, "since": decision.seen.since.isoformat()})
    if not decision.start:
        return dg.SensorResult(skip_reason=decision.words, cursor=cursor)
    return dg.SensorResult(
        # Without a run key on purpose: a failed run must be repeated, and a state may come back.
        run_requests=[dg.RunRequest(tags={FINGERPRINT_TAG: world.fingerprint})],
        asset_events=[dg.AssetObservation("patients", tags={"dagster/data_version": world.fingerprint})],
        cursor=cursor,
    )


def _look(database: DatabaseResource) -> World:
    # A look that fails fails its tick, which Dagster keeps with the message of the exception.
    with readable_failures(), database.engine().connect() as connection:
        consumed = applying.consumed_fingerprint(connection)
        fingerprint = identity.read_state(connection).fingerprint
        differs = consumed is not None and fingerprint != consumed
        known, present = identity.read_presence(connection) if differs else (0, 0)
    return World(fingerprint, consumed, known, present)


def _remembered(cursor: str | None) -> Seen | None:
    if not cursor:
        return None
    seen = json.loads(cursor)
    return Seen(seen["fingerprint"], datetime.fromisoformat(seen["since"]))


def _run_on_its_way(instance: dg.DagsterInstance) -> bool:
    """Whether links are being written, by a job of ours or by somebody who materializes these assets in the UI."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_ON_ITS_WAY))
    return any(
        WRITES_LINKS.items() <= run.tags.items() or _LINK_ASSETS & (run.asset_selection or set()) for run in runs
    )


def _failures(instance: dg.DagsterInstance, fingerprint: str) -> Failures | None:
    failed = instance.get_run_records(
        dg.RunsFilter(tags={FINGERPRINT_TAG: fingerprint}, statuses=[dg.DagsterRunStatus.FAILURE]),
        limit=_FAILURES_LOOKED_AT,
    )
    if not failed:
        return None
    last = max(record.end_time or record.create_timestamp.timestamp() for record in failed)
    return Failures(len(failed), datetime.fromtimestamp(last, UTC))


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells a person of failed runs: posts job, run and message to FM_ALERT_URL. The message holds no "
    "patient data, because no message of ours does.",
)
def tell_of_failures(context: dg.RunFailureSensorContext, settings: SettingsResource) -> None:
    url = settings.settings().alert_url
    if url is None:
        return
    # Imported here: every run imports this module, and httpx takes a tenth of that time.
    import httpx

    steps = [event.step_failure_data.user_failure_data for event in context.get_step_failure_events()]
    messages = [data.description for data in steps if data is not None and data.description]
    httpx.post(
        url.get_secret_value(),
        json={
            "job": context.dagster_run.job_name,
            "run_id": context.dagster_run.run_id,
            "message": messages[0] if messages else "the run failed without a message of fm_migration's own",
        },
        timeout=10,
    ).raise_for_status()


PENDING_TAG = "fm/pending"
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.sensor(
    job=make_thumbnails,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts `make_thumbnails` for months that hold photographs without a current thumbnail, the newest "
    "first, FM_THUMBNAIL_RUNS at a time. A month whose last runs have changed nothing pauses, longer each time.",
)
def pending_thumbnails(
    context: dg.SensorEvaluationContext, settings: SettingsResource, database: DatabaseResource
) -> dg.SensorResult:
    knobs = settings.settings()
    with readable_failures(), database.engine().connect() as connection:
        pending = pending_by_month(connection, Recipe().hash, knobs.thumbnail_prefix)
        unknown = new_months(context.instance, months(connection))
    runs = _thumbnail_runs(context.instance)
    choice = choose(
        pending,
        _months_of(context.instance, runs),
        len(runs),
        knobs.thumbnail_runs,
        lambda one: _tried(context.instance, one),
        datetime.now(UTC),
    )
    return dg.SensorResult(
        # Without a run key: what is still to do after a run has to be done by another.
        run_requests=[
            dg.RunRequest(partition_key=one.month, tags={PENDING_TAG: f"{one.month} {one.version}"})
            for one in choice.months
        ],
        skip_reason=None if choice.months else choice.words,
        dynamic_partitions_requests=[month_partitions.build_add_request(unknown)] if unknown else [],
    )


def _thumbnail_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Runs that make thumbnails, by our job or by somebody in the UI."""
    asset = dg.AssetKey("thumbnails")
    return [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=_ON_ITS_WAY))
        if MAKES_THUMBNAILS.items() <= run.tags.items() or asset in (run.asset_selection or set())
    ]


def _months_of(instance: dg.DagsterInstance, runs: list[dg.DagsterRun]) -> set[str]:
    """The months of these runs, those of a range included."""
    known = list(instance.get_dynamic_partitions(MONTH))
    found: set[str] = set()
    for run in runs:
        first = run.tags.get("dagster/asset_partition_range_start", run.tags.get("dagster/partition"))
        last = run.tags.get("dagster/asset_partition_range_end", first)
        if first in known and last in known:
            found.update(known[known.index(first) : known.index(last) + 1])
    return found


def _tried(instance: dg.DagsterInstance, one: MonthPending) -> Failures | None:
    """Runs for exactly what is still pending: whether they failed or ended well, they have changed nothing."""
    ended = instance.get_run_records(
        dg.RunsFilter(tags={PENDING_TAG: f"{one.month} {one.version}"}, statuses=_ENDED), limit=_FAILURES_LOOKED_AT
    )
    times = [record.end_time or record.create_timestamp.timestamp() for record in ended]
    return Failures(len(times), datetime.fromtimestamp(max(times), UTC)) if times else None
