"""The sensor that heals links after a re-import of the patients.

No `from __future__ import annotations` here: Dagster reads the types of resources from the functions.
"""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg

from fm_migration.clinic.healing import World, decide
from fm_migration.defs.failures import readable_failures
from fm_migration.defs.jobs import heal_links, within
from fm_migration.defs.resources import DatabaseResource, SettingsResource
from fm_migration.defs.sensors.runs import ended, links_on_their_way, request
from fm_migration.ledger import identity
from fm_migration.linking import applying
from fm_migration.patience import Seen
from fm_migration.settings import settings as read_settings

FINGERPRINT_TAG = "fm/patients"


@dg.sensor(
    job=heal_links,
    minimum_interval_seconds=read_settings().heal_interval_seconds,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Compares the patients with the state of them that the links were made from, and starts heal_links "
    "when they differ and no re-import is under way. A missed tick costs time, never truth.",
)
def patients_reimported(
    context: dg.SensorEvaluationContext, settings: SettingsResource, database: DatabaseResource
) -> dg.SensorResult:
    knobs = settings.settings()
    world = _look(database)
    decision = decide(
        world,
        Seen.from_dict(json.loads(context.cursor)) if context.cursor else None,
        datetime.now(UTC),
        run_on_its_way=links_on_their_way(context.instance),
        failures=ended(context.instance, {FINGERPRINT_TAG: world.fingerprint}, [dg.DagsterRunStatus.FAILURE]),
        settle=timedelta(seconds=knobs.heal_settle_seconds),
        tolerated_missing=knobs.tolerated_missing,
    )
    cursor = json.dumps(decision.seen.as_dict())
    if not decision.start:
        return dg.SensorResult(skip_reason=decision.words, cursor=cursor)
    return dg.SensorResult(
        run_requests=[
            request(context, decision.words, {FINGERPRINT_TAG: world.fingerprint}, run_config=within(_last(database)))
        ],
        asset_events=[dg.AssetObservation("patients", tags={"dagster/data_version": world.fingerprint})],
        cursor=cursor,
    )


def _last(database: DatabaseResource) -> applying.LastApplied | None:
    with readable_failures(), database.engine().connect() as connection:
        return applying.last_applied(connection)


def _look(database: DatabaseResource) -> World:
    # A look that fails fails its tick, which Dagster keeps with the message of the exception.
    with readable_failures(), database.engine().connect() as connection:
        consumed = applying.consumed_fingerprint(connection)
        fingerprint = identity.read_state(connection).fingerprint
        differs = consumed is not None and fingerprint != consumed
        known, present = identity.read_presence(connection) if differs else (0, 0)
    return World(fingerprint, consumed, known, present)
