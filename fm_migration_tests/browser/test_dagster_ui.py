"""A clinic's first day in the Dagster UI: everything is imported, healed, looked at and backfilled by clicks.

One story with one server, told in order. `python -m fm_migration_tests.browser.screenshots ui` plays it for docs/ui.
`make test` tells what is to be seen and clicked when the import has been made; the whole day is in `make endurance`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from playwright.sync_api import Browser, expect

from fm_migration.definitions import defs
from fm_migration.defs.partitions import UNDATED
from fm_migration.embedded.sample.reimport import play_reimport
from fm_migration.embedded.stack import Stack
from fm_migration.settings import settings
from fm_migration_tests.browser.dagster_ui import PICTURES, WINDOW, Server, Ui, until_green
from fm_migration_tests.conftest import SampleClinic
from fm_migration_tests.defs.ticking import QUIET
from fm_migration_tests.e2e.daemon import PROJECT, environment_for, wait_for
from fm_migration_tests.e2e.homes import homes, misplaced, visible
from fm_migration_tests.own_clinic import own_clinic
from fm_migration_tests.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_MONTHS = "select month, count(*) from fm_migration.photo where clinic_image is not null group by month order by month"
#: The newest tick may still be one from before the run had ended.
_WHY_NOT = re.compile("the links were made from the patients as they are|a run that writes links is in progress")
_THUMBNAILS = """
select photo.month, image.s3_thumbnail_key from fm_migration.photo as photo
join fm_migration.thumbnail on thumbnail.clinic_image = photo.clinic_image
join images_image as image on image.id = photo.clinic_image
where thumbnail.state = 'current'
"""


@dataclass
class Day:
    """The clinic and the UI that watches over it."""

    clinic: SampleClinic
    ui: Ui

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.clinic.database_url) as connection:
            return connection.execute(query).fetchall()

    def homes(self) -> dict[str, str]:
        with psycopg.connect(self.clinic.database_url) as connection:
            return homes(connection)


@pytest.fixture(scope="module")
def _groups() -> dict[str, set[str]]:
    """The assets of each group. Asked for before the browser is there, beside which Dagster's event loop cannot run."""
    graph = defs().resolve_asset_graph()
    found: dict[str, set[str]] = {}
    for key in graph.get_all_asset_keys():
        found.setdefault(str(graph.get(key).group_name), set()).add(key.to_user_string())
    return found


@contextmanager
def _day(chromium: Browser, servers: Stack, clinic: SampleClinic, folder: Path) -> Iterator[Day]:
    """The UI on this clinic, in a home that is made by its first start or that lies in the folder already."""
    pictures = os.environ.get(PICTURES)
    # A picture shows where the report lies: that should not be the folder of a test.
    home = Path(tempfile.gettempdir(), "clinic") if pictures else folder / "home"
    server = Server(folder, {**_environment(servers, clinic), **_homes(home)})
    try:
        server.wait_for_months()
        context = chromium.new_context(
            viewport={"width": WINDOW[0], "height": WINDOW[1]}, color_scheme="light", reduced_motion="reduce"
        )
        expect.set_options(timeout=PATIENCE_SECONDS * 1000)
        yield Day(clinic, Ui(context.new_page(), server.url, Path(pictures) if pictures else None))
        context.close()
    finally:
        expect.set_options(timeout=5000)
        server.stop()
        shutil.rmtree(home)


def _environment(servers: Stack, clinic: SampleClinic) -> dict[str, str]:
    return environment_for(servers, clinic.database_url, clinic.bucket.name, clinic.export)


def _homes(home: Path) -> dict[str, str]:
    return {"FM_HOME": str(home), "FM_REPORTS": str(home / "reports")}


def test_a_day_after_the_import_in_the_ui(
    _groups: dict[str, set[str]],
    request: pytest.FixtureRequest,
    servers: Stack,
    s3_client: Any,
    _sample_template: Callable[[str], str],
    tmp_path: Path,
) -> None:
    """The import was made without a click, so that one run is all that the pages have to wait for."""
    with own_clinic(servers, s3_client, _sample_template("fresh"), tmp_path) as clinic:
        _import_into(tmp_path / "home", {**_environment(servers, clinic), **_homes(tmp_path / "home")})
        # Only now, because Dagster's event loop cannot run beside the browser.
        chromium: Browser = request.getfixturevalue("chromium")
        with _day(chromium, servers, clinic, tmp_path) as day, _pictured(day.ui, tmp_path):
            _the_lineage_shows_every_asset_in_its_group(day.ui, _groups)
            _the_launchpad_is_filled_in(day.ui)
            months = _a_backfill_of_two_months_is_launched(day)
            _checks_plots_and_report_are_there(day)
            _the_backfill_has_made_its_thumbnails(day, months)


def _import_into(home: Path, environment: Mapping[str, str]) -> None:
    """The job `import_photographs`, recorded where `fm-migration dev` will look."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        dagster_home = home / "dagster"
        dagster_home.mkdir(parents=True)
        shutil.copyfile(PROJECT / "dagster.yaml", dagster_home / "dagster.yaml")
        patch.setenv("DAGSTER_HOME", str(dagster_home))
        settings.cache_clear()
        with dg.DagsterInstance.get() as instance:
            job = defs().resolve_job_def("import_photographs")
            assert job.execute_in_process(instance=instance, run_config=QUIET).success
    settings.cache_clear()


@pytest.mark.long
def test_a_first_day_in_the_ui(
    _groups: dict[str, set[str]],
    chromium: Browser,
    servers: Stack,
    s3_client: Any,
    _sample_template: Callable[[str], str],
    tmp_path: Path,
) -> None:
    with (
        own_clinic(servers, s3_client, _sample_template("fresh"), tmp_path) as clinic,
        _day(chromium, servers, clinic, tmp_path) as day,
        _pictured(day.ui, tmp_path),
    ):
        _the_lineage_shows_every_asset_in_its_group(day.ui, _groups)
        _everything_is_materialized_from_nothing(day)
        _the_launchpad_is_filled_in(day.ui)
        _a_reimport_is_healed_without_a_click(day)
        months = _a_backfill_of_two_months_is_launched(day)
        _checks_plots_and_report_are_there(day)
        _the_backfill_has_made_its_thumbnails(day, months)


@contextmanager
def _pictured(ui: Ui, folder: Path) -> Iterator[None]:
    """What was to be seen when something failed; and the page has neither complained nor called anybody else."""
    try:
        yield
    except BaseException:
        ui.page.screenshot(path=folder / "when_it_failed.png")
        raise
    assert ui.trouble == []
    assert ui.outside == []


def _the_lineage_shows_every_asset_in_its_group(ui: Ui, groups: dict[str, set[str]]) -> None:
    ui.open("/asset-groups")
    ui.lines(*groups)
    ui.page.keyboard.press("Alt+e")
    for assets in groups.values():
        ui.lines(*assets)


def _everything_is_materialized_from_nothing(day: Day) -> None:
    """Three clicks: the button, all of the one month that there is, and launch. It is one run."""
    ui = day.ui
    ui.button("Materialize all").click()
    dialog = ui.dialog("Partition selection")
    dialog.get_by_role("button", name="All", exact=True).click()
    dialog.get_by_role("button", name="Launch 1 run").click()
    ui.page.get_by_text("Launched run").wait_for()
    ui.open("/runs")
    until_green(ui.run_of("8 assets"))
    with psycopg.connect(day.clinic.database_url) as connection:
        assert misplaced(connection, day.clinic.truth) == 0
    assert visible(day.homes()) > 100


def _the_launchpad_is_filled_in(ui: Ui) -> None:
    """Every field with its default stands there, and what it means beside it."""
    ui.open("/locations/fm_migration.definitions/jobs/undo_plan/playground")
    expect(ui.page.locator("body")).to_contain_text("plan: 0")
    ui.lines("No errors")


def _a_reimport_is_healed_without_a_click(day: Day) -> None:
    ui, before = day.ui, day.homes()
    ui.open("/runs")
    ui.lines("Launched by")
    with psycopg.connect(day.clinic.database_url) as connection:
        for _ in play_reimport(connection, seed=1, batch=20):
            pass
    assert visible(day.homes()) < visible(before) / 2, "the galleries are empty now"
    until_green(ui.run_of("heal_links"))
    assert day.homes() == before
    # The automation makes a new report by itself; only the picture waits for it.
    ui.picture("runs", lambda: until_green(ui.run_of("reports")))
    ui.run_of("heal_links").get_by_role("link").first.click()
    ui.page.wait_for_url("**/runs/*")
    ui.lines("image_batches")
    ui.picture("healed")
    ui.open("/locations/fm_migration.definitions/sensors/patients_reimported")
    ui.page.get_by_text("0 runs requested").first.wait_for()
    ui.page.get_by_role("button", name="0 runs requested").first.click()
    expect(ui.dialog("Skip reason")).to_contain_text(_WHY_NOT)
    ui.picture("tick")


def _a_backfill_of_two_months_is_launched(day: Day) -> list[str]:
    ui = day.ui
    months = [month for month, _ in day.ask(_MONTHS) if month != UNDATED][:2]
    ui.open("/assets/thumbnails")
    ui.button("Materialize…").first.click()
    ui.page.get_by_text("Select a partition or create one").click()
    choice = ui.dialog("Select all")
    for month in months:
        choice.get_by_text(month, exact=True).first.click()
    ui.page.keyboard.press("Escape")
    dialog = ui.dialog("Partition selection")
    expect(dialog).to_contain_text("2 partitions")
    expect(dialog).to_contain_text("Backfills all partitions in a single run")
    ui.picture("backfill")
    dialog.get_by_role("button", name="Launch backfill").click()
    ui.dialog("Partition selection").wait_for(state="detached")
    return months


def _checks_plots_and_report_are_there(day: Day) -> None:
    ui = day.ui
    ui.open("/assets/orphan_report?view=checks")
    ui.lines("counts_reconcile", "no_batch_dangles", "thumbnails_are_complete", "Passed")
    ui.picture("checks")
    ui.open("/assets/orphan_report?view=events")
    ui.lines("summary", "latest_page")
    ui.picture("report")
    # A path is not a link, because a browser opens no file for a page of a server: it is clicked to be copied.
    line = ui.page.locator("tr").filter(has=ui.page.get_by_text("latest_page", exact=True))
    address = line.get_by_title("Copy to clipboard").inner_text()
    ui.open("/assets/orphan_report?view=overview")
    ui.lines("Freshness policy", "Row count")
    ui.button("Plots").click()
    ui.lines("photographs_visible")
    expect(ui.page.locator("canvas").first).to_be_visible()
    ui.picture("plots")
    report = ui.page.context.new_page()
    report.goto(Path(address).as_uri())
    expect(report.locator("h1")).to_contain_text("photographs")
    report.close()


def _the_backfill_has_made_its_thumbnails(day: Day, months: list[str]) -> None:
    ui = day.ui
    ui.open("/runs")
    ui.tab("Backfills").click()
    backfill = ui.run_of("2 partitions")
    expect(backfill).to_contain_text("thumbnails")
    until_green(backfill)
    wait_for("thumbnails of both months", lambda: _dated(day) == set(months), PATIENCE_SECONDS)
    for month, key in day.ask(_THUMBNAILS):
        if month in months:
            assert day.clinic.bucket.client.head_object(Bucket=day.clinic.bucket.name, Key=key)["ContentLength"] > 100
    ui.open("/automation")
    ui.lines("patients_reimported", "pending_thumbnails", "nightly_report")
    ui.picture("automation")
    ui.open("/assets/link_plan")
    ui.lines("Owners", "Columns", "clinic_image")
    ui.picture("asset")
    ui.picture("lineage", lambda: _make_the_lineage_green(ui))


def _make_the_lineage_green(ui: Ui) -> None:
    """The other months as well, and then a report of everything; with as much room for the graph as there is."""
    ui.open("/assets/thumbnails")
    ui.button("Materialize…").first.click()
    dialog = ui.dialog("Partition selection")
    dialog.get_by_role("button", name="Missing", exact=True).click()
    many = re.compile(r"^\d\d partitions$")
    words = dialog.get_by_text(many).inner_text()
    dialog.get_by_role("button", name="Launch backfill").click()
    dialog.wait_for(state="detached")
    ui.open("/runs")
    ui.tab("Backfills").click()
    until_green(ui.run_of(words))
    ui.open("/locations/fm_migration.definitions/jobs/report")
    ui.button("Materialize all").click()
    ui.page.get_by_text("Launched run").wait_for()
    ui.open("/runs")
    until_green(ui.run_of("report"))
    ui.button("Hide navigation").click()
    ui.open("/asset-groups")
    ui.page.keyboard.press("Alt+e")
    ui.lines("link_plan")


def _dated(day: Day) -> set[str]:
    """The months that have thumbnails of ours."""
    return {month for month, _ in day.ask(_THUMBNAILS)} - {UNDATED}
