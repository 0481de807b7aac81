"""The Dagster UI as a person has it: `fm-migration dev` on a clinic of its own, and a page in it that is watched.

Belongs here: starting, waiting, what the pages' parts are called. Does not belong here: what is expected of them.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import ConsoleMessage, Locator, Page, expect

from fm_migration.embedded.ports import free_port
from fm_migration.embedded.processes import end_child
from fm_migration_tests.e2e.daemon import PROJECT, wait_for
from fm_migration_tests.terminal import listen_to_ctrl_c
from fm_migration_tests.waiting import PATIENCE_SECONDS, STOP_SECONDS

#: Names a folder: the test then leaves its pictures there (`python -m fm_migration_tests.browser.screenshots ui`).
PICTURES = "UI_TESTS_PICTURES"
WINDOW = (1400, 900)
_OWN_HOSTS = ("127.0.0.1", "localhost")


class Server:
    """`fm-migration dev` in a home of its own, with whatever it starts."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "dev.log"
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("FM_", "DAGSTER_"))}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(Path(sys.executable).parent / "fm-migration"), "dev", "--port", str(self.port)],
                cwd=PROJECT,
                env={**ours, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=listen_to_ctrl_c,
            )

    def wait_for_months(self) -> None:
        """Until the UI answers and the sensor of the thumbnails has ticked, which lets Dagster know a first month."""
        wait_for("the UI knows a month", lambda: bool(self._months()), PATIENCE_SECONDS, every=0.5)

    def _months(self) -> list[str]:
        assert self._process.poll() is None, f"it ended by itself:\n{self.log()}"
        query = '{ assetNodeOrError(assetKey: {path: ["thumbnails"]}) { ... on AssetNode { partitionKeys } } }'
        request = urllib.request.Request(
            f"{self.url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                found: dict[str, Any] = json.load(answer)["data"]["assetNodeOrError"]
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return []
        months: list[str] = found.get("partitionKeys", [])
        return months

    def stop(self) -> None:
        end_child(self._process, signal.SIGTERM, STOP_SECONDS, whole_session=True)

    def log(self) -> str:
        return self._log.read_text("utf-8", errors="replace")


class Ui:
    """A page of the UI in a browser. What it complains of and whom else it calls is remembered."""

    def __init__(self, page: Page, url: str, pictures: Path | None) -> None:
        self.page, self._url, self._pictures = page, url, pictures
        self.trouble: list[str] = []
        self.outside: list[str] = []
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        page.on("request", lambda request: self._heard(request.url))
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.on("console", self._said)

    def _heard(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "file") and parts.hostname not in _OWN_HOSTS:
            self.outside.append(url)

    def _said(self, message: ConsoleMessage) -> None:
        # Warnings are left out: Dagster's own pages give some about the libraries that they are made of.
        if message.type == "error":
            self.trouble.append(message.text)

    def open(self, path: str) -> None:
        self.page.goto(self._url + path)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    def tab(self, name: str) -> Locator:
        return self.page.get_by_role("tab", name=name)

    def dialog(self, words: str) -> Locator:
        """The dialog with these words in it; the innermost one, where one has opened another."""
        return self.page.get_by_role("dialog").filter(has_text=words).last

    def run_of(self, target: str) -> Locator:
        """The newest line of the Runs page with this target."""
        return self.page.locator("[data-index]").filter(has=self.page.get_by_text(target, exact=True)).first

    def lines(self, *texts: str) -> None:
        """All these texts stand on the page, for everybody to see."""
        for text in texts:
            expect(self.page.get_by_text(text, exact=True).first).to_be_visible()

    def picture(self, name: str, prepare: Callable[[], None] = lambda: None) -> None:
        """Keep what is to be seen now, when somebody has asked for pictures; `prepare` makes it presentable."""
        if self._pictures is None:
            return
        prepare()
        self.page.wait_for_timeout(4000)
        self._pictures.mkdir(parents=True, exist_ok=True)
        with Image.open(io.BytesIO(self.page.screenshot())) as picture:
            picture.convert("RGB").save(self._pictures / f"{name}.webp", "WEBP", quality=85, method=6)


def until_green(line: Locator) -> None:
    """Wait until a run or a backfill is shown as well ended; one that failed is not waited for."""
    ended = line.get_by_text("Success", exact=True).or_(line.get_by_text("Failure", exact=True))
    started = time.monotonic()
    expect(ended.first).to_be_visible()
    words = " ".join(line.inner_text().split())
    assert "Success" in words, f"after {time.monotonic() - started:.0f} s: {words}"
