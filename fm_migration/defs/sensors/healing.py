"""The sensor that heals links after a re-import of the patients.

No `from __future__ import annotations` here: Dagster reads the types of resources from the functions.
"""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg

from fm_migration.defs.failures import readable_failures
from fm_migration.defs.jobs import heal_links, within
from fm_migration.defs.resources import DatabaseResource, SettingsResource
from fm_migration.defs.sensors.runs import ended, link_run_is_active, request
from fm_migration.ledger import identity
from fm_migration.linking import applying, consuming, following
from fm_migration.operations.alerts import send_waiting_alert
from fm_migration.settings import settings as read_settings
from fm_migration.watching.healing import HealingDecision, Patients, PatientsObservation, decide

FINGERPRINT_TAG = "fm/patients"


@dg.sensor(
    job=heal_links,
    minimum_interval_seconds=read_settings().heal_interval_seconds,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Compares the patients with the state of them that the links were made from, and starts heal_links "
    "when they differ: at once when everybody known is there, else once the table has stopped changing, and after a "
    "minute in any case. Tells a person when it has to wait for longer than FM_ALERT_AFTER.",
)
def patients_reimported(
    context: dg.SensorEvaluationContext, settings: SettingsResource, database: DatabaseResource
) -> dg.SensorResult:
    values = settings.settings()
    patients = _read_patients(database)
    decision = decide(
        patients,
        PatientsObservation.from_dict(json.loads(context.cursor)) if context.cursor else None,
        datetime.now(UTC),
        run_is_active=link_run_is_active(context.instance),
        failures=ended(context.instance, {FINGERPRINT_TAG: patients.fingerprint}, [dg.DagsterRunStatus.FAILURE]),
        settle=timedelta(seconds=values.heal_settle_seconds),
        alert_after=timedelta(seconds=values.alert_after),
    )
    if patients.concerns_nobody:
        _note_new_patients(database)
    if decision.alarm:
        with readable_failures():
            send_waiting_alert(values, heal_links.name, decision.reason)
    return _result(context, database, patients, decision)


def _result(
    context: dg.SensorEvaluationContext, database: DatabaseResource, patients: Patients, decision: HealingDecision
) -> dg.SensorResult:
    cursor = json.dumps(decision.observation.as_dict())
    if not decision.start:
        return dg.SensorResult(skip_reason=decision.reason, cursor=cursor)
    tags = {FINGERPRINT_TAG: patients.fingerprint}
    return dg.SensorResult(
        run_requests=[request(context, decision.reason, tags, run_config=within(_last(database)))],
        asset_events=[dg.AssetObservation("patients", tags={"dagster/data_version": patients.fingerprint})],
        cursor=cursor,
    )


def _last(database: DatabaseResource) -> applying.LastApplied | None:
    with readable_failures(), database.engine().connect() as connection:
        return applying.last_applied(connection)


def _read_patients(database: DatabaseResource) -> Patients:
    # A look that fails fails its tick, which Dagster keeps with the message of the exception.
    with readable_failures(), database.engine().connect() as connection:
        consumed = consuming.consumed(connection)
        fingerprint = identity.read_state(connection).fingerprint
        if consumed.fingerprint is None or fingerprint == consumed.fingerprint:
            return Patients(fingerprint, consumed.fingerprint, undone_plan=consumed.undone_plan)
        known, present = identity.read_presence(connection)
        nobody = identity.concerns_nobody(connection)
    return Patients(fingerprint, consumed.fingerprint, known, present, concerns_nobody=nobody)


def _note_new_patients(database: DatabaseResource) -> None:
    """Take newly registered patients into the history without a run: nothing hangs on them yet."""
    engine = database.engine().execution_options(isolation_level="REPEATABLE READ")
    with readable_failures(), engine.begin() as connection:
        following.note_new_patients(connection)
