"""The pictures of docs/report and docs/ui: `python -m fm_migration_tests.browser.screenshots [ui]`, after a change.

They show made-up reports, and the sample clinic. Look at them before committing them.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import uuid
from pathlib import Path

import psycopg
import pytest
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from fm_migration import database
from fm_migration.clinic import tables
from fm_migration.embedded.stack import hold
from fm_migration.ledger import schema
from fm_migration.report.files import publish
from fm_migration.settings import Settings, load_settings
from fm_migration_tests.browser.conftest import ARGUMENTS, DESKTOP, PHONE, find_chromium
from fm_migration_tests.browser.dagster_ui import PICTURES
from fm_migration_tests.report.made_up import Reports
from fm_migration_tests.report.nights import some_weeks

FOLDER = Path("docs/report")
UI_FOLDER = Path("docs/ui")
#: Name, size of the window, colour scheme, pixels for each of the style's, and what is scrolled to the top.
SHOTS = (
    ("desktop", DESKTOP, "light", 1, "header"),
    ("desktop-dark", DESKTOP, "dark", 1, "header"),
    ("desktop-trend", DESKTOP, "light", 1, "#trend"),
    ("desktop-list", DESKTOP, "dark", 1, "#list-title"),
    ("phone", PHONE, "light", 2, "header"),
    ("phone-findings", PHONE, "light", 2, "#filters"),
)


def main() -> int:
    chromium = find_chromium()
    if chromium is None:
        sys.stderr.write("There is no Chromium here: install Debian's package chromium.\n")
        return 1
    if sys.argv[1:] == ["ui"]:
        return _play_the_ui()
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        page = _make_page(load_settings(home=Path(home), embedded_linger_seconds=0))
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name, size, scheme, pixels, top in SHOTS:
            _shoot(browser, page, FOLDER / f"{name}.webp", size, scheme, pixels, top)
        browser.close()
    return 0


def _play_the_ui() -> int:
    """The test itself takes them, so that they show what is tested."""
    os.environ[PICTURES] = str(UI_FOLDER.absolute())
    story = f"{Path(__file__).with_name('test_dagster_ui.py')}::test_a_first_day_in_the_ui"
    return int(pytest.main(["-n", "0", "-q", story]))


def _make_page(settings: Settings) -> str:
    running = hold(settings)
    name = f"screenshots_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(running.database_url("postgres"), autocommit=True) as administration:
        administration.execute(f"create database {name}")
    engine = database.open_engine(running.database_url(name))
    tables.metadata.create_all(engine)
    schema.upgrade(engine)
    some_weeks(Reports(engine))
    with engine.begin() as connection:
        page = publish(connection, settings).page
    engine.dispose()
    return page


def _shoot(
    browser: Browser, page: str, target: Path, size: tuple[int, int], scheme: str, pixels: float, top: str
) -> None:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        device_scale_factor=pixels,
        reduced_motion="reduce",
    )
    view = context.new_page()
    view.goto(Path(page).as_uri())
    view.locator(top).evaluate("element => element.scrollIntoView({ block: 'start' })")
    with Image.open(io.BytesIO(view.screenshot())) as picture:
        picture.convert("RGB").save(target, "WEBP", quality=85, method=6)
    context.close()


if __name__ == "__main__":
    sys.exit(main())
