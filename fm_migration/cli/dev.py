"""`fm-migration dev`: the Dagster UI with its daemon, on places that are kept open as long as it runs."""

from __future__ import annotations

import signal
import subprocess
import sys

from rich.console import Console

from fm_migration.cli.instance import PROJECT, prepare_dagster_home
from fm_migration.errors import SettingsError
from fm_migration.places import find_places
from fm_migration.settings import load_settings


def run_dev(port: int, console: Console) -> int:
    """Run `dg dev` until it is interrupted; its exit code."""
    if not (PROJECT / "pyproject.toml").is_file():
        raise SettingsError(
            "opening the UI from",
            str(PROJECT),
            "this is an installed package, and `dg dev` wants the project's folder",
            "Run it in a clone; a server starts dagster-webserver and dagster-daemon instead (docs/deploy.md)",
        )
    settings = load_settings()
    # Held here, the embedded servers outlive every single run; otherwise each would start and stop them.
    places = find_places(settings)
    home = prepare_dagster_home(settings)
    console.print(
        f"{'The embedded sample clinic' if places.embedded else 'The real clinic'}; Dagster keeps its history"
    )
    console.print(f"in {home}. Ctrl-C ends everything.", soft_wrap=True)
    # A shell that starts us in the background has SIGINT ignored, the child would inherit that, and `dg dev` ends by
    # nothing else.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    child = subprocess.Popen([_dg(), "dev", "--port", str(port)], cwd=PROJECT)
    # The terminal sends Ctrl-C to both; the child ends its own children, and is waited for.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGINT))
    return child.wait()


def _dg() -> str:
    from pathlib import Path

    return str(Path(sys.executable).parent / "dg")
