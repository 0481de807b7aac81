"""Sensors: thin shells that read the state of the world, ask a pure function, and say in words what it decided.

No `from __future__ import annotations` here: Dagster reads the types of resources from the functions.
"""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import httpx

from fm_migration.clinic import applying
from fm_migration.clinic.healing import Failures, Seen, World, decide
from fm_migration.defs.assets.clinic import WRITES_LINKS
from fm_migration.defs.jobs import heal_links
from fm_migration.defs.resources import DatabaseResource, SettingsResource
from fm_migration.ledger import identity
from fm_migration.settings import settings as read_settings

FINGERPRINT_TAG = "fm/patients"
_ON_ITS_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
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
    with database.engine().connect() as connection:
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
    return bool(instance.get_run_records(dg.RunsFilter(tags=WRITES_LINKS, statuses=_ON_ITS_WAY), limit=1))


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
