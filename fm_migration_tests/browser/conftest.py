"""Headless Chromium, and pages that are watched: every message of the console and every request is remembered."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = (1280, 900), (390, 844)
#: Containers have neither user namespaces for the sandbox nor a graphics card.
ARGUMENTS = ("--no-sandbox", "--disable-gpu")


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Watched:
    """A page, and what it said and asked for."""

    page: Page
    trouble: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def outside(self) -> list[str]:
        """Requests for anything but the file itself and what is written into it."""
        own = self.page.url.partition("#")[0]
        return [url for url in self.requests if url.partition("#")[0] != own and not url.startswith("data:")]


# No longer than a module: as long as it runs, this thread has a running event loop, which Dagster's own does not bear.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium here; install Debian's package chromium to run the browser tests")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Watched]]:
    """Opens a file in a window of this size, by default a desktop's; contexts share nothing and end with the test."""
    with ExitStack() as contexts:

        def open_file(path: Path | str, size: tuple[int, int] = DESKTOP, **options: Any) -> Watched:
            context = chromium.new_context(
                viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce", **options
            )
            contexts.callback(context.close)
            watched = Watched(context.new_page())
            watched.page.on("request", lambda request: watched.requests.append(request.url))
            watched.page.on("pageerror", lambda error: watched.trouble.append(str(error)))
            watched.page.on(
                "console",
                lambda said: watched.trouble.append(said.text) if said.type in ("error", "warning") else None,
            )
            watched.page.goto(Path(os.fspath(path)).absolute().as_uri())
            return watched

        yield open_file
