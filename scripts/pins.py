"""Writes constraints.txt anew: the newest versions that pyproject.toml allows and that fit each other.

What `make pins` runs. pip resolves for the oldest Python that we support, down to its first release, because some
packages refuse an early 3.11 (Debian's own is 3.11.2); then the result is tried on the other ones. Nothing is
installed: look at the difference, then `make check test`, which does.

Belongs here: choosing versions. Does not belong here: why one is held back, which pyproject.toml says.
"""

# ruff: noqa: T201 - a script speaks to its terminal

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11.0", "3.12.0", "3.13.0")
HEADER = """\
# The exact version of every package in the development environment, for Python 3.11, 3.12 and 3.13.
# Written by `make pins`. To hold a package back, say so (and why) in pyproject.toml, not here.
# Names and versions only: where they come from is for each machine's pip to know.
# boto3 and botocore stand at the version that ministack asks for exactly; they move when it does.
"""


def wanted() -> list[str]:
    """What pyproject.toml asks for, all extras included, and the two that set-up installs first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    return ["pip", "setuptools", *(text for text in texts if not text.startswith(f"{project['name']}["))]


def resolve(python: str, *options: str) -> dict[str, str]:
    """Name and version of everything that pip would install."""
    with tempfile.TemporaryDirectory(prefix="pins-") as folder:
        report = Path(folder, "report.json")
        # For another Python than its own, pip wants a target folder and wheels only.
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
        elsewhere = ["--ignore-installed", "--python-version", python, "--only-binary", ":all:", "--target", folder]
        subprocess.run([*command, *elsewhere, *options, "--report", str(report), *wanted()], check=True)
        items = json.loads(report.read_text("utf-8"))["install"]
    return {item["metadata"]["name"]: item["metadata"]["version"] for item in items}


def main() -> int:
    output = ROOT / "constraints.txt"
    oldest, *others = PYTHONS
    print(f"Resolving for Python {oldest} (a minute or two) ...", flush=True)
    pins = resolve(oldest)
    lines = sorted((f"{name}=={version}" for name, version in pins.items()), key=str.lower)
    with tempfile.TemporaryDirectory(prefix="pins-") as folder:
        draft = Path(folder, "constraints.txt")
        draft.write_text(HEADER + "\n".join(lines) + "\n", "utf-8")
        for python in others:
            print(f"Trying the same versions on Python {python} ...", flush=True)
            if more := resolve(python, "--constraint", str(draft)).keys() - pins.keys():
                print(f"Python {python} needs {', '.join(sorted(more))} besides; nothing was written.", file=sys.stderr)
                return 1
        output.write_text(draft.read_text("utf-8"), "utf-8")
    print(f"{output.name}: {len(pins)} packages. Now: git diff {output.name}, then make check test.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
