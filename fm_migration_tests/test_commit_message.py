"""The hook commit-msg: a short subject and a reason, or no commit."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
SCRIPT = PROJECT / "scripts" / "commit_message.py"
SUBJECT = "Refuse an export with two date orders"
GOOD = f"{SUBJECT}\n\nHalf of a column was read as the other half's months.\n"


def _complaints(message: str) -> list[str]:
    return list(runpy.run_path(str(SCRIPT))["complaints"](message))


@pytest.mark.parametrize(
    "message",
    [
        GOOD,
        f"\n# Please enter the commit message\n{GOOD}# On branch main\n",
        "x" * 72 + "\n\nWhy.\n",
        "fixup! " + "x" * 80,
        'Revert "Refuse an export"\n',
    ],
)
def test_a_message_as_it_should_be_passes(message: str) -> None:
    assert _complaints(message) == []


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ("", "it has no subject"),
        ("# only what git wrote\n", "it has no subject"),
        ("x" * 73 + "\n\nWhy.\n", "the subject has 73 characters"),
        (f"{SUBJECT}\nwhy at once\n", "the second line is not empty"),
        (f"{SUBJECT}\n", "it has no body"),
        (f"{SUBJECT}\n\n# comment\nSigned-off-by: A. B. <a@example.org>\n", "it has no body"),
        (f"{SUBJECT}\n# ------------------------ >8 ------------------------\n+not a reason\n", "it has no body"),
    ],
)
def test_a_message_that_lacks_something_is_refused_with_what_it_lacks(message: str, complaint: str) -> None:
    assert [one for one in _complaints(message) if complaint in one]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of git's own whose hook is the project's."""
    if shutil.which("git") is None:
        pytest.skip("no git")
    _git(tmp_path, "init", "--quiet")
    hook = tmp_path / ".git" / "hooks" / "commit-msg"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SCRIPT}" "$1"\n')
    hook.chmod(0o755)
    return tmp_path


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "core.hooksPath=.git/hooks"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_git_makes_no_commit_of_a_message_without_a_reason(repository: Path) -> None:
    refused = _git(repository, "commit", "--allow-empty", "--message", SUBJECT)
    assert refused.returncode != 0
    assert "it has no body: say why" in refused.stderr
    assert _git(repository, "commit", "--allow-empty", "--message", GOOD).returncode == 0
    assert _git(repository, "log", "--format=%s").stdout.strip() == SUBJECT


def test_pre_commit_installs_the_hook() -> None:
    config = (PROJECT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert "default_install_hook_types: [pre-commit, commit-msg]" in config
    assert "scripts/commit_message.py" in config
