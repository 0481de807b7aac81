"""The folder of a desktop export: real files, real links, and files that are still being written."""

from __future__ import annotations

import os
import threading
import time
import unicodedata
from pathlib import Path
from typing import Literal

import pytest

from fm_migration.errors import SettingsError
from fm_migration.filemaker.desktop.states import State
from fm_migration.sources.desktop import Entry, Folder, still_growing


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "exports"
    root.mkdir()
    return root


def _write(root: Path, path: str, body: bytes = b"picture") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
    return file


def test_every_file_is_found_by_its_path(root: Path) -> None:
    for path in ("a/2016-10-18/1.jpg", "a/2.jpg", "3.jpg", ".DS_Store"):
        _write(root, path)
    (root / "empty folder").mkdir()
    found = Folder(root).look()
    assert sorted(found) == [".DS_Store", "3.jpg", "a/2.jpg", "a/2016-10-18/1.jpg"]
    assert {entry.size for entry in found.values()} == {7}


def test_a_file_is_read_as_it_was_found(root: Path) -> None:
    _write(root, "a/1.jpg")
    folder = Folder(root)
    (entry,) = folder.look().values()
    assert folder.read("a/1.jpg", entry) == b"picture"
    _write(root, "a/1.jpg", b"another")
    os.utime(root / "a/1.jpg", ns=(0, 0))
    assert folder.read("a/1.jpg", entry) is State.GROWING
    (root / "a/1.jpg").unlink()
    assert folder.read("a/1.jpg", entry) is State.GROWING


def test_nothing_is_followed_out_of_the_folder(root: Path, tmp_path: Path) -> None:
    outside = _write(tmp_path, "outside/secret.jpg", b"secret")
    (root / "1.jpg").symlink_to(outside)
    (root / "2.jpg").symlink_to("missing")
    (root / "patient").symlink_to(outside.parent, target_is_directory=True)
    (root / "again").symlink_to(root, target_is_directory=True)
    folder = Folder(root)
    found = folder.look()
    assert {path: entry.state for path, entry in found.items()} == dict.fromkeys(
        ("1.jpg", "2.jpg", "again", "patient"), State.NOT_A_FILE
    )
    for path in ("1.jpg", "patient/secret.jpg", "../outside/secret.jpg"):
        body = folder.read(path, Entry(6, found.get(path, Entry(0, "", 0)).signature, 0))
        assert body is not None
        assert body != b"secret"


def test_a_link_in_the_place_of_a_folder_leads_nowhere(root: Path, tmp_path: Path) -> None:
    """Between the listing and the reading, somebody puts a link where the patient's folder was."""
    secret = _write(tmp_path, "outside/1.jpg", b"picture")
    file = _write(root, "patient/1.jpg")
    os.utime(secret, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    folder = Folder(root)
    (entry,) = folder.look().values()
    (root / "patient").rename(root / "former")
    (root / "patient").symlink_to(secret.parent, target_is_directory=True)
    assert folder.read("patient/1.jpg", entry) is State.NOT_A_FILE
    assert folder.look_again("patient/1.jpg") == Entry(0, "", 0, State.NOT_A_FILE)


def test_what_is_no_file_keeps_nobody_waiting(root: Path) -> None:
    os.mkfifo(root / "1.jpg")
    folder = Folder(root)
    (entry,) = folder.look().values()
    assert entry.state is State.NOT_A_FILE
    assert folder.read("1.jpg", entry) is State.NOT_A_FILE


def test_names_of_every_kind_are_read(root: Path) -> None:
    forms: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
    for form in forms:
        _write(root, unicodedata.normalize(form, "Füße") + "/1.jpg", form.encode())
    # Bytes that are not UTF-8, as Python names them.
    _write(root, "F\udcfc\udcdfe.jpg", b"latin")
    folder = Folder(root)
    assert sorted(folder.read(path, entry) for path, entry in folder.look().items()) == [b"NFC", b"NFD", b"latin"]


def test_a_folder_without_end_is_given_up(root: Path) -> None:
    (root / "/".join("a" * 20)).mkdir(parents=True)
    assert [entry.state for entry in Folder(root).look().values()] == [State.MISPLACED]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_told(root: Path) -> None:
    _write(root, "a/1.jpg").chmod(0)
    _write(root, "b/1.jpg").parent.chmod(0)
    folder = Folder(root)
    found = folder.look()
    assert found["b"].state is State.UNREADABLE
    assert folder.read("a/1.jpg", found["a/1.jpg"]) is State.UNREADABLE


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no such folder"):
        Folder(tmp_path / "missing")


def test_a_file_that_grows_waits_and_one_that_stands_still_does_not(root: Path) -> None:
    """Copies keep the time of their original, so that a file of last year may be growing at this moment."""
    still, grown = _write(root, "still.jpg"), _write(root, "grown.jpg")
    for file in (still, grown):
        os.utime(file, (0, 0))
    folder = Folder(root)
    found = folder.look()
    ended = threading.Event()

    def grow() -> None:
        while not ended.wait(0.02):
            with grown.open("ab") as file:
                file.write(b"more")
            os.utime(grown, (0, 0))

    copy = threading.Thread(target=grow)
    copy.start()
    try:
        assert still_growing(folder, found, 0.3) == {"grown.jpg"}
    finally:
        ended.set()
        copy.join()


def test_a_time_in_the_future_does_not_hold_a_file_back(root: Path) -> None:
    file = _write(root, "1.jpg")
    os.utime(file, (time.time() + 1e6, time.time() + 1e6))
    folder = Folder(root)
    assert still_growing(folder, folder.look(), 0.05) == set()
