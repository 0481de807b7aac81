"""The three places that the lineage starts at: FileMaker's export, the bucket, the clinic's patients.

They are observed, never written. An observation records a data version, so that Dagster can tell an asset that was
made from an older state of the world from one that was not.
"""

from __future__ import annotations

import dagster as dg

from fm_migration.defs.limits import LONG
from fm_migration.defs.resources import DatabaseResource, ObjectStoreResource, SettingsResource
from fm_migration.export_source import open_export
from fm_migration.ledger import identity
from fm_migration.objects.fingerprint import state_of

GROUP = "source"


@dg.observable_source_asset(
    group_name=GROUP,
    tags={"domain": "filemaker"},
    description="FileMaker's export: one row of metadata per photograph. The data version is the hash of the file.",
)
def filemaker_export(settings: SettingsResource) -> dg.ObserveResult:
    with open_export(settings.places()) as export:
        return dg.ObserveResult(
            data_version=dg.DataVersion(export.sha256[:16]),
            metadata={"file": export.source, "bytes": export.size},
        )


@dg.observable_source_asset(
    group_name=GROUP,
    tags={"domain": "s3"},
    description="The photographs that FileMaker dumped into the bucket. "
    "The data version is a hash over keys, ETags and sizes.",
)
def bulk_dump(settings: SettingsResource, objects: ObjectStoreResource) -> dg.ObserveResult:
    prefixes = settings.settings().dump_prefixes
    store = objects.store()
    state = state_of(facts for prefix in prefixes for facts in store.list(prefix))
    return dg.ObserveResult(
        data_version=dg.DataVersion(state.fingerprint),
        metadata={"prefixes": ", ".join(prefixes), "objects": state.objects, "bytes": state.bytes},
    )


@dg.observable_source_asset(
    group_name=GROUP,
    tags={"domain": "clinic"},
    description="The clinic's table of patients, which a re-import deletes and makes again under new UUIDs. "
    "The data version is a fingerprint over the pairs of UUID and FileMaker id, computed in the database.",
)
def patients(database: DatabaseResource) -> dg.ObserveResult:
    with database.engine().connect() as connection:
        state = identity.read_state(connection)
    return dg.ObserveResult(
        data_version=dg.DataVersion(state.fingerprint),
        metadata={"patients": state.patients, "with_filemaker_id": state.with_filemaker_id},
    )


observe_sources = dg.define_asset_job(
    "observe_sources",
    selection=dg.AssetSelection.assets("filemaker_export", "bulk_dump", "patients"),
    tags=LONG,
    description="Looks at the export, the bucket and the patients, and records in which state they are.",
)
