"""The catalogue is complete: whatever a person sees of an asset, a check or a job says what it is and what to do."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fm_migration.definitions import defs as load_definitions
from fm_migration.defs.catalogue import linked_to_code
from fm_migration.defs.figures import FIGURES, NOW_AND_THEN
from fm_migration.embedded.stack import Stack
from fm_migration.errors import SettingsError
from fm_migration.settings import settings
from fm_migration_tests.desktop_exports import DesktopExport
from fm_migration_tests.filemaker_server import FileMakerServer, ServerSettings
from fm_migration_tests.own_clinic import own_clinic
from fm_migration_tests.places import use_filemaker, use_places

PROJECT = Path(__file__).parents[2]
SOURCES = ("filemaker_export", "bulk_dump", "patients")
ASSETS = (
    *SOURCES, "desktop_export", "filemaker_images", "csv_metadata", "s3_inventory", "patient_map", "link_plan",
    "image_batches",
    "patient_links", "thumbnails", "orphan_report",
)  # fmt: skip
#: A prefix of a bucket has neither columns nor a number of rows; an export's rows are counted when it is read.
WITH_COLUMNS = tuple(name for name in ASSETS if name != "bulk_dump")
WITH_ROWS = tuple(name for name in WITH_COLUMNS if name != "filemaker_export")
#: Nobody can guess which plan a person means.
WITHOUT_DEFAULT = {("undo_plan", "undo", "plan")}

DEFINITIONS = load_definitions()
GRAPH = DEFINITIONS.resolve_asset_graph()
JOBS = [job for job in DEFINITIONS.resolve_all_job_defs() if not job.name.startswith("__")]
CHECKS = sorted(GRAPH.asset_check_keys, key=str)
SCRIPT = runpy.run_path(str(PROJECT / "scripts" / "catalogue.py"))
FIELDS = [(job.name, op, name, field) for job in JOBS for op, name, field in SCRIPT["config_fields"](job)]

Told = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def told(
    servers: Stack,
    s3_client: Any,
    _sample_template: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Told]:
    """What every asset says of itself after everything was materialized: the entries of its metadata by name."""
    folder, patch = tmp_path_factory.mktemp("catalogue"), pytest.MonkeyPatch()
    # Recids that the sample clinic's dump does not have.
    filemaker = FileMakerServer(ServerSettings(records=4, first_recid=900_001, dead_share=0.3))
    with own_clinic(servers, s3_client, _sample_template("fresh"), folder) as clinic, filemaker:
        use_places(patch, clinic.database_url, clinic.bucket, clinic.export)
        use_filemaker(patch, filemaker)
        patch.setenv("FM_HOME", str(folder / "home"))
        patch.setenv("FM_WATCH_SETTLE_SECONDS", "0")
        patch.setenv("FM_DESKTOP_EXPORT", str(_desktop_export(folder)))
        try:
            with dg.DagsterInstance.ephemeral(tempdir=str(folder)) as instance:
                yield _materialize_everything(instance)
        finally:
            patch.undo()
            settings.cache_clear()


def _desktop_export(folder: Path) -> Path:
    export = DesktopExport(folder)
    export.photograph(900_001)
    return export.root


def _materialize_everything(instance: dg.DagsterInstance) -> Told:
    told: Told = {}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

    def run(job: str, **options: Any) -> None:
        result = DEFINITIONS.resolve_job_def(job).execute_in_process(instance=instance, run_config=quiet, **options)
        for event in result.filter_events(lambda event: event.is_step_materialization or event.is_asset_observation):
            said = (
                event.asset_observation_data.asset_observation if event.is_asset_observation else event.materialization
            )
            told[said.asset_key.to_user_string()] = dict(said.metadata)

    run("observe_sources")
    run("bring_photographs")
    run("import_desktop_export")
    run("make_thumbnails", partition_key=instance.get_dynamic_partitions("month")[-1])
    run("report")
    return told


# --- What is declared ------------------------------------------------------------------------------------------------


def test_the_assets_are_these() -> None:
    assert {key.to_user_string() for key in GRAPH.get_all_asset_keys()} == set(ASSETS)


@pytest.mark.parametrize("name", ASSETS)
def test_every_asset_says_what_it_is_whose_it_is_and_where_it_lies(name: str) -> None:
    asset = GRAPH.get(dg.AssetKey(name))
    assert len(asset.description or "") > 40
    assert asset.owners
    assert asset.group_name in SCRIPT["GROUPS"]
    assert asset.kinds
    assert asset.tags["domain"]
    assert asset.tags["dagster/storage_kind"] in asset.kinds


@pytest.mark.parametrize("name", ASSETS)
def test_every_asset_is_linked_to_the_function_that_makes_it(name: str) -> None:
    (reference,) = GRAPH.get(dg.AssetKey(name)).metadata["dagster/code_references"].code_references
    lines = Path(reference.file_path).read_text("utf-8").splitlines()[reference.line_number - 1 :]
    assert next(line for line in lines if line.startswith("def ")).startswith(f"def {name}(")


@pytest.mark.parametrize(
    ("code_url", "start"),
    [
        ("https://github.com/clinic/fm_migration/tree/main", "https://github.com/clinic/fm_migration/tree/main/"),
        ("https://git.clinic.example/it/fm/-/tree/v1/", "https://git.clinic.example/it/fm/-/tree/v1/"),
    ],
)
def test_with_an_address_the_links_lead_to_where_the_code_is_browsed(code_url: str, start: str) -> None:
    linked = linked_to_code(_unlinked(), code_url).resolve_asset_graph()
    (reference,) = linked.get(dg.AssetKey("link_plan")).metadata["dagster/code_references"].code_references
    assert re.fullmatch(re.escape(start) + r"fm_migration/defs/assets/links\.py#L\d+", reference.url)


def test_an_address_that_is_no_branch_is_refused() -> None:
    with pytest.raises(SettingsError, match="FM_CODE_URL: it is not a page of a branch"):
        linked_to_code(_unlinked(), "https://github.com/clinic/fm_migration")


def _unlinked() -> dg.Definitions:
    return DEFINITIONS.map_asset_specs(func=lambda spec: spec.replace_attributes(metadata={}))


@pytest.mark.parametrize("key", CHECKS, ids=str)
def test_every_check_says_what_to_do(key: dg.AssetCheckKey) -> None:
    description = GRAPH.get(key).description or ""
    what, _, remedy = description.partition("If ")
    assert len(what) > 20
    assert re.match(r"(not|it fails|more do), .{10}", remedy), description


def test_every_asset_but_the_sources_is_checked() -> None:
    assert {key.asset_key.to_user_string() for key in CHECKS} == set(ASSETS) - set(SOURCES)


# --- Jobs and the launchpad ------------------------------------------------------------------------------------------


def test_the_jobs_are_these() -> None:
    assert {job.name for job in JOBS} >= {
        "import_photographs", "heal_links", "make_thumbnails", "report", "undo_plan", "observe_sources",
    }  # fmt: skip


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_every_job_says_what_it_does(job: dg.JobDefinition) -> None:
    assert len(job.description or "") > 40


@pytest.mark.parametrize(("job", "op", "name", "field"), FIELDS, ids=[".".join(field[:3]) for field in FIELDS])
def test_every_field_of_the_launchpad_has_type_default_and_description(
    job: str, op: str, name: str, field: Any
) -> None:
    assert len(field.description or "") > 20
    assert field.is_required == ((job, op, name) in WITHOUT_DEFAULT)
    assert SCRIPT["type_of"](field) in ("whole number", "text", "true or false", "list of text")


@pytest.mark.parametrize("job", [job for job in JOBS if job.name != "undo_plan"], ids=lambda job: job.name)
def test_every_job_starts_without_config(job: dg.JobDefinition) -> None:
    assert dg.validate_run_config(job, {})


# --- What a run tells ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ASSETS)
def test_every_asset_says_first_what_it_has_read_and_changed(name: str, told: Told) -> None:
    assert next(iter(told[name])) == "summary"
    assert re.search(r"\d", str(told[name]["summary"].value))


@pytest.mark.parametrize("name", WITH_COLUMNS)
def test_every_asset_shows_its_columns(name: str, told: Told) -> None:
    columns = told[name]["dagster/column_schema"].value.columns
    assert columns
    assert all(column.type for column in columns)


@pytest.mark.parametrize("name", WITH_ROWS)
def test_every_asset_shows_its_table_and_its_rows(name: str, told: Told) -> None:
    assert told[name]["dagster/table_name"].value
    assert told[name]["dagster/row_count"].value > 0


@pytest.mark.parametrize("name", [name for name in ASSETS if name not in SOURCES])
def test_every_column_that_has_a_source_names_one_that_exists(name: str, told: Told) -> None:
    lineage = told[name]["dagster/column_lineage"].value.deps_by_column
    parents = {key.to_user_string() for key in GRAPH.get(dg.AssetKey(name)).parent_keys}
    assert {dep.asset_key.to_user_string() for deps in lineage.values() for dep in deps} <= parents
    assert set(lineage) <= _columns(told, name)
    for dep in {dep for deps in lineage.values() for dep in deps}:
        upstream = dep.asset_key.to_user_string()
        assert upstream == "bulk_dump" or dep.column_name in _columns(told, upstream)


def _columns(told: Told, name: str) -> set[str]:
    return {column.name for column in told[name]["dagster/column_schema"].value.columns}


@pytest.mark.parametrize("name", ASSETS)
def test_every_figure_keeps_its_name(name: str, told: Told) -> None:
    reported = {
        entry
        for entry, value in told[name].items()
        if isinstance(value, dg.IntMetadataValue | dg.FloatMetadataValue) and not entry.startswith("dagster/")
    }
    listed = set(FIGURES[name])
    assert reported <= listed, "add them to fm_migration/defs/figures.py, with what they count"
    assert {figure for figure in listed - reported if (name, figure) not in NOW_AND_THEN} == set()


def test_the_page_of_the_catalogue_is_up_to_date() -> None:
    page = PROJECT / "docs" / "catalogue.md"
    assert page.read_text("utf-8") == SCRIPT["page"](), "run `python scripts/catalogue.py`"


def test_the_report_links_its_page_and_its_files(told: Told) -> None:
    report = told["orphan_report"]
    for entry in ("page", "latest_page", "csv", "parquet"):
        assert isinstance(report[entry], dg.PathMetadataValue | dg.UrlMetadataValue)
    assert "![" in report["waterfall"].value or any("data:image" in str(value.value) for value in report.values())
