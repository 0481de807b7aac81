"""Root's PostgreSQL runs where only root may enter, from a place that is its own, is found again, and goes."""

from __future__ import annotations

import importlib.metadata
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fm_migration.embedded import furnish, server_place
from fm_migration.embedded.server_place import SPARED_SECONDS, ServerPlace, prepare
from fm_migration.embedded.stack import borrow
from fm_migration.embedded.state import StackLayout
from fm_migration.errors import EmbeddedStackError
from fm_migration.settings import Settings, load_settings
from fm_migration_tests.embedded.running import clear_away, processes_in, wait_until_nobody_runs

PROJECT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's server lies in a place of its own")


@pytest.fixture(autouse=True)
def _places_in_the_test_s_own_folder(reachable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_place, "_folders", lambda: [reachable])
    monkeypatch.setenv("TMPDIR", str(reachable))  # for the keepers


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that its user alone may enter, with a name that shells stumble over."""
    folder = tmp_path / "Größe 100%"
    folder.mkdir(mode=0o700)
    yield folder
    for home in folder.glob("*/"):
        clear_away(home)


def _home(folder: Path, name: str = "home") -> Path:
    home = folder / name
    home.mkdir()
    return home


def _prepare(link: Path) -> ServerPlace:
    """A place, and in it what would be the data."""
    place = prepare(link)
    place.data.mkdir(exist_ok=True)
    return place


def _settings(home: Path) -> Settings:
    return load_settings(home=home, embedded_linger_seconds=0, sample_size=0.01)


@as_root
def test_it_runs_where_only_root_may_enter_and_opens_no_folder(closed: Path) -> None:
    home = closed / "home"
    with borrow(_settings(home)) as stack:
        with psycopg.connect(stack.database_url("postgres")) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        server = next(process for process in processes_in(home) if process.name() == "postgres")
        assert server.username() == "nobody"
        assert not any(str(closed) in word for word in server.cmdline())
    assert [folder.stat().st_mode & 0o777 for folder in (closed, home)] == [0o700, 0o700]
    place = (home / "postgres").readlink().parent
    assert place.stat().st_uid == 0
    assert place.stat().st_mode & 0o027 == 0, "others have no business there"
    assert (place / "data").stat().st_mode & 0o077 == 0


@as_root
def test_it_is_found_again_and_each_clone_has_its_own(closed: Path) -> None:
    first, second = _home(closed, "first") / "postgres", _home(closed, "second") / "postgres"
    assert _prepare(first) == _prepare(first)
    assert _prepare(first).data != _prepare(second).data


@as_root
def test_a_copied_clone_gets_its_own_and_a_moved_one_takes_its_own_along(closed: Path) -> None:
    home = _home(closed)
    data = _prepare(home / "postgres").data
    copy = closed / "copy"
    shutil.copytree(home, copy, symlinks=True)
    assert prepare(copy / "postgres").data != data
    home.rename(closed / "moved")
    assert prepare(closed / "moved" / "postgres").data == data
    # It is its own now: what is copied from it is known as a copy.
    shutil.copytree(closed / "moved", closed / "copy of the moved", symlinks=True)
    assert prepare(closed / "copy of the moved" / "postgres").data != data


@as_root
@pytest.mark.slow
def test_after_a_reboot_that_emptied_the_folder_the_sample_clinic_is_made_anew(closed: Path) -> None:
    home, patients = closed / "home", "select count(*) from patients"
    with borrow(_settings(home)) as stack:
        furnish.furnish(stack, _settings(home))
        with psycopg.connect(stack.database_url()) as connection:
            before = connection.execute(patients).fetchone()
    wait_until_nobody_runs(home)
    shutil.rmtree((home / "postgres").readlink().parent)
    with borrow(_settings(home)) as stack:
        furnish.furnish(stack, _settings(home))
        with psycopg.connect(stack.database_url()) as connection:
            assert connection.execute(patients).fetchone() == before


@as_root
def test_data_of_which_a_part_is_gone_are_not_started(closed: Path) -> None:
    home = closed / "home"
    with borrow(_settings(home)):
        pass
    wait_until_nobody_runs(home)
    (home / "postgres" / "PG_VERSION").unlink()
    with (
        pytest.raises(EmbeddedStackError, match=r"some of its files are gone.*remove the folder"),
        borrow(_settings(home)),
    ):
        pass


@as_root
@pytest.mark.parametrize("planted", ["another user's folder", "a link", "a folder that all may write to"])
def test_what_somebody_else_has_put_in_its_place_is_not_used(closed: Path, reachable: Path, planted: str) -> None:
    """The temporary folder was emptied, and there everybody may make a folder of the same name."""
    link = _home(closed) / "postgres"
    place = _prepare(link).data.parent
    away = reachable / "away"
    place.rename(away)
    if planted == "a link":
        place.symlink_to(away)
    else:
        shutil.copytree(away, place)
    if planted == "another user's folder":
        os.chown(place, pwd.getpwnam("daemon").pw_uid, -1)
    if planted == "a folder that all may write to":
        place.chmod(0o777)
    assert prepare(link).data.parent != place


@as_root
def test_a_folder_that_cannot_hold_it_is_passed_over(
    closed: Path, reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_place, "_folders", lambda: [closed, reachable])
    assert reachable in prepare(_home(closed) / "postgres").data.parents
    assert list(closed.glob("fm_migration-*")) == []


@as_root
def test_where_no_folder_can_hold_it_each_is_named_with_its_reason_and_the_remedy(
    closed: Path, reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = reachable / "full"
    full.mkdir()
    usage = shutil.disk_usage
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: usage(folder)._replace(free=1000 if folder == full else 10**10)
    )
    monkeypatch.setattr(server_place, "_folders", lambda: [closed, full, Path("/proc")])
    with pytest.raises(EmbeddedStackError) as caught:
        prepare(_home(closed) / "postgres")
    message = str(caught.value)
    assert f"{closed}: `nobody` may not run programs there" in message
    assert f"{full}: less than 200 MB are free" in message
    assert "/proc: " in message
    assert "set TMPDIR to a folder that every user may enter" in message


@as_root
def test_a_place_in_which_no_data_could_be_made_binds_nobody_to_it(
    closed: Path, reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was room for the programs and not for the data; the remedy, another folder, has to help."""
    link = _home(closed) / "postgres"
    (reachable / "full").mkdir()
    (reachable / "full").chmod(0o711)
    monkeypatch.setattr(server_place, "_folders", lambda: [reachable / "full", reachable])
    place = prepare(link).data.parent
    monkeypatch.setattr(server_place, "_folders", lambda: [reachable])
    assert prepare(link).data.parent.parent == reachable
    assert not place.exists()


def test_a_copy_that_failed_at_hundreds_of_files_is_told_in_a_sentence() -> None:
    failed = [(f"from/{number}", f"to/{number}", "No space left on device") for number in range(400)]
    words = server_place._in_words(shutil.Error(failed), server_place.ServerUser("nobody", 1, 1))
    assert words == "400 files could not be copied, the first because of No space left on device"


@as_root
def test_a_machine_without_the_second_user_is_told_so(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_place, "SERVER_USER", "no-such-user")
    with pytest.raises(EmbeddedStackError, match=r"`no-such-user`.*no such user.*work as an ordinary user"):
        prepare(_home(closed) / "postgres")


@as_root
def test_data_that_an_earlier_version_made_in_the_clone_are_taken_over(closed: Path) -> None:
    home = closed / "home"
    with borrow(_settings(home)) as stack, psycopg.connect(stack.database_url("postgres")) as connection:
        connection.execute("create table kept as select 7 as seven")
    wait_until_nobody_runs(home)
    place = (home / "postgres").readlink().parent
    (home / "postgres").unlink()
    (place / "data").rename(home / "postgres")
    with borrow(_settings(home)) as stack, psycopg.connect(stack.database_url("postgres")) as connection:
        assert connection.execute("select seven from kept").fetchone() == (7,)
    assert (home / "postgres").is_symlink()


@as_root
def test_data_of_an_ordinary_user_are_left_alone(closed: Path) -> None:
    data = _home(closed) / "postgres"
    data.mkdir()
    os.chown(data, 4242, 4242)
    with pytest.raises(EmbeddedStackError, match=r"belong to the user with the number 4242.*Work as that user"):
        prepare(data)
    assert data.is_dir()
    data.rmdir()


def test_an_ordinary_user_is_told_that_the_data_are_root_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    link = _home(tmp_path) / "postgres"
    link.symlink_to(tmp_path / "fm_migration-x/data")
    with pytest.raises(EmbeddedStackError, match=r"root has made them.*choose another folder with FM_HOME"):
        prepare(link)


def test_an_ordinary_user_s_lies_in_fm_home_and_runs_out_of_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    place = prepare(tmp_path / "postgres")
    assert (place.data, place.user) == (tmp_path / "postgres", None)
    assert "site-packages" in place.programs.parts


@as_root
def test_a_newer_wheel_replaces_the_programs(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = _home(closed) / "postgres"
    former = _prepare(link)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "999")
    present = prepare(link)
    assert present.data == former.data
    assert Path(present.program("postgres")).is_file()
    assert not former.programs.exists()


@as_root
@pytest.mark.parametrize("left", ["removed with its clone", "used by its clone", "just made", "in use"])
def test_the_next_start_sweeps_what_removed_clones_have_left(closed: Path, left: str) -> None:
    gone = _home(closed, "gone")
    place = _prepare(gone / "postgres").data.parent
    long_ago = time.time() - SPARED_SECONDS - 60
    os.utime(place / "home", None if left == "just made" else (long_ago, long_ago))
    if left != "used by its clone":
        shutil.rmtree(gone)
    folder = place / "data" if left == "in use" else closed
    with subprocess.Popen(["sleep", "60"], cwd=folder) as process:
        prepare(_home(closed, "another") / "postgres")
        assert place.exists() == (left != "removed with its clone")
        process.kill()


def _clone_with_a_clinic(folder: Path) -> tuple[Path, Path]:
    """As much of a clone as `make distclean` looks at, and root's place of it."""
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(PROJECT / "scripts/distclean.sh", folder / "scripts")
    (folder / ".venv").mkdir()
    place = _prepare(_home(folder, ".fm_migration") / "postgres").data.parent
    return folder, place


def _distclean(clone: Path) -> subprocess.CompletedProcess[str]:
    script = ["sh", str(clone / "scripts/distclean.sh")]
    return subprocess.run(script, capture_output=True, text=True, check=False)


@as_root
def test_distclean_removes_the_place_too(closed: Path) -> None:
    clone, place = _clone_with_a_clinic(closed / "clone")
    assert _distclean(clone).returncode == 0
    assert not place.exists()
    assert sorted(path.name for path in clone.iterdir()) == ["scripts"]


@as_root
def test_distclean_of_a_moved_clone_removes_the_place_and_that_of_a_copy_does_not(closed: Path) -> None:
    clone, place = _clone_with_a_clinic(closed / "clone")
    shutil.copytree(clone, closed / "copy", symlinks=True)
    assert _distclean(closed / "copy").returncode == 0
    assert place.exists()
    clone.rename(closed / "moved")
    assert _distclean(closed / "moved").returncode == 0
    assert not place.exists()


@as_root
def test_distclean_leaves_a_running_server_alone(closed: Path) -> None:
    clone, place = _clone_with_a_clinic(closed / "clone")
    (place / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    outcome = _distclean(clone)
    assert outcome.returncode == 1
    assert f"is running (process {os.getpid()})" in outcome.stderr
    assert place.exists()


def test_distclean_follows_no_link_to_anything_else(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    (clone / "scripts").mkdir(parents=True)
    (clone / ".fm_migration").mkdir()
    shutil.copy(PROJECT / "scripts/distclean.sh", clone / "scripts")
    (tmp_path / "precious" / "data").mkdir(parents=True)
    StackLayout(clone / ".fm_migration").postgres_data.symlink_to(tmp_path / "precious" / "data")
    assert _distclean(clone).returncode == 0
    assert (tmp_path / "precious" / "data").is_dir()
