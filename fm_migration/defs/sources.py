"""The three places that the lineage starts at: FileMaker's export, the bucket, the clinic's patients.

They are observed, never written. An observation records a data version, so that Dagster can tell an asset that was
made from an older state of the world from one that was not.

Each is declared by a spec, because `observable_source_asset` knows neither owners nor kinds. No `from __future__
import annotations` here: Dagster reads the types of resources from the functions.
"""

from collections.abc import Callable

import dagster as dg

from fm_migration.defs.catalogue import OWNERS, export_columns, storage, table_metadata
from fm_migration.defs.failures import readable_failures
from fm_migration.defs.limits import LONG
from fm_migration.defs.resources import DatabaseResource, ObjectStoreResource, SettingsResource
from fm_migration.ledger import identity
from fm_migration.objects.fingerprint import state_of
from fm_migration.sources.export_file import open_export

GROUP = "source"


def _source(
    name: str, kinds: set[str], domain: str, stored_as: str, description: str
) -> Callable[[Callable[..., dg.ObserveResult]], dg.AssetsDefinition]:
    spec = dg.AssetSpec(
        name,
        group_name=GROUP,
        owners=OWNERS,
        kinds=kinds,
        tags={"domain": domain, **storage(stored_as)},
        description=description,
    )
    decorator: Callable[[Callable[..., dg.ObserveResult]], dg.AssetsDefinition]
    decorator = dg.multi_observable_source_asset(specs=[spec], name=name)
    return decorator


@_source(
    "filemaker_export",
    kinds={"csv"},
    domain="filemaker",
    stored_as="csv",
    description="FileMaker's export: one row of metadata per photograph. The data version is the hash of the file.",
)
def filemaker_export(settings: SettingsResource) -> dg.ObserveResult:
    with readable_failures(), open_export(settings.places()) as export:
        return dg.ObserveResult(
            data_version=dg.DataVersion(export.sha256[:16]),
            metadata={
                "summary": f"an export of {export.size:,} bytes",
                "dagster/column_schema": export_columns(settings.settings().export_columns),
                "file": export.source,
                "bytes": export.size,
            },
        )


@_source(
    "bulk_dump",
    kinds={"s3"},
    domain="s3",
    stored_as="s3",
    description="The photographs that FileMaker dumped into the bucket. "
    "The data version is a hash over keys, ETags and sizes.",
)
def bulk_dump(settings: SettingsResource, objects: ObjectStoreResource) -> dg.ObserveResult:
    prefixes = settings.settings().dump_prefixes
    with readable_failures():
        store = objects.store()
        state = state_of(facts for prefix in prefixes for facts in store.list(prefix))
    return dg.ObserveResult(
        data_version=dg.DataVersion(state.fingerprint),
        metadata={
            "summary": f"{state.objects:,} objects of {state.bytes:,} bytes together",
            "dagster/uri": f"s3://{store.bucket}/{prefixes[0]}",
            "prefixes": ", ".join(prefixes),
            "objects": state.objects,
            "bytes": state.bytes,
        },
    )


@_source(
    "patients",
    kinds={"postgres", "django"},
    domain="clinic",
    stored_as="postgres",
    description="The clinic's table of patients, which a re-import deletes and makes again under new UUIDs. "
    "The data version is a fingerprint over the pairs of UUID and FileMaker id, computed in the database.",
)
def patients(database: DatabaseResource) -> dg.ObserveResult:
    with readable_failures(), database.engine().connect() as connection:
        state = identity.read_state(connection)
        table = table_metadata(connection, "patients")
    return dg.ObserveResult(
        data_version=dg.DataVersion(state.fingerprint),
        metadata={
            "summary": f"{state.patients:,} patients, {state.with_filemaker_id:,} with a FileMaker id",
            **table,
            "patients": state.patients,
            "with_filemaker_id": state.with_filemaker_id,
        },
    )


observe_sources = dg.define_asset_job(
    "observe_sources",
    selection=dg.AssetSelection.assets("filemaker_export", "bulk_dump", "patients"),
    tags=LONG,
    description="Looks at the export, the bucket and the patients, and records in which state they are.",
)
