"""The place of a desktop export: a folder of this machine, or a prefix of the bucket.

Belongs here: which files are there, whether they stand still, and their bytes. Does not belong here: what they are
(`filemaker/desktop/`), and what becomes of them (`operations/desktop_export.py`).

Nothing is followed out of the folder: each folder on the way to a file is opened without following a link, so that one
that is put in another's place after the listing leads nowhere either.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from fm_migration.errors import ObjectStoreError, SettingsError
from fm_migration.filemaker.desktop.states import State
from fm_migration.objects.facts import ObjectFacts
from fm_migration.objects.failures import ObjectChangedError, ObjectMissingError
from fm_migration.objects.store import ObjectStore
from fm_migration.places import Places

#: A photograph of FileMaker's has some megabytes, and each is held in memory while it is brought.
MOST_BYTES = 256 * 1024 * 1024
#: Below this many folders nobody keeps photographs; the folder itself gets the state.
DEEPEST_FOLDER = 16

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Not blocking, for a pipe that somebody has put there would keep us waiting for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Entry(NamedTuple):
    """A file as it was found."""

    size: int
    #: Another text means that the file may be another one.
    signature: str
    #: When it was written to last, by the clock of the machine that holds it, in seconds.
    touched: float
    state: State | None = None


class ExportPlace(Protocol):
    """Where an export lies. Safe to read from several threads."""

    @property
    def shown(self) -> str:
        """What the place is called."""
        ...

    def look(self) -> dict[str, Entry]:
        """Every file, by its path below the place."""
        ...

    def look_again(self, path: str) -> Entry | None:
        """One of them as it is now; None when it is gone."""
        ...

    def read(self, path: str, entry: Entry) -> bytes | State:
        """The bytes of exactly the file that was found, or why there are none."""
        ...


def open_place(places: Places, text: str) -> ExportPlace:
    """The place that a setting or a person names."""
    if text.startswith("s3://"):
        return Prefix(places.store, _prefix_of(places, text), text)
    return Folder(Path(text).expanduser())


class Folder:
    """An export in a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        if not root.is_dir():
            raise _bad_place(str(root), "there is no such folder")
        try:
            os.close(self._open_root())
        except OSError:
            raise _bad_place(str(root), "this user may not read it") from None

    @property
    def shown(self) -> str:
        return str(self._root)

    def look(self) -> dict[str, Entry]:
        folder = self._open_root()
        try:
            return dict(_walk(folder, "", DEEPEST_FOLDER))
        finally:
            os.close(folder)

    def look_again(self, path: str) -> Entry | None:
        try:
            file = self._open(path)
        except OSError as error:
            found = _why_not(error)
            return None if found is State.GROWING else Entry(0, "", 0, found)
        try:
            return _entry(os.fstat(file))
        finally:
            os.close(file)

    def read(self, path: str, entry: Entry) -> bytes | State:
        try:
            file = self._open(path)
        except OSError as error:
            return _why_not(error)
        try:
            return _read(file, entry)
        except OSError:
            return State.UNREADABLE
        finally:
            os.close(file)

    def _open_root(self) -> int:
        # The folder itself may be a link: a person has named it.
        return os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _open(self, path: str) -> int:
        *folders, name = path.split("/")
        at = self._open_root()
        try:
            for folder in folders:
                inner = os.open(folder, _FOLDER, dir_fd=at)
                os.close(at)
                at = inner
            return os.open(name, _FILE, dir_fd=at)
        finally:
            os.close(at)


class Prefix:
    """An export below a prefix of the bucket. An object is there as a whole or not at all, so none grows."""

    def __init__(self, store: ObjectStore, prefix: str, shown: str) -> None:
        self._store = store
        self._prefix = prefix
        self.shown = shown

    def look(self) -> dict[str, Entry]:
        return {
            facts.key.removeprefix(self._prefix): _entry_of(facts)
            for facts in self._store.list(self._prefix)
            if not facts.key.endswith("/")
        }

    def look_again(self, path: str) -> Entry | None:
        try:
            return _entry_of(self._store.head(self._prefix + path))
        except ObjectMissingError:
            return None

    def read(self, path: str, entry: Entry) -> bytes | State:
        if entry.size > MOST_BYTES:
            return State.TOO_LARGE
        try:
            return self._store.read(self._prefix + path, etag=entry.signature.partition(" ")[0] or None)
        except (ObjectMissingError, ObjectChangedError):
            return State.GROWING
        except ObjectStoreError:
            return State.UNREADABLE


def still_growing(place: ExportPlace, files: Mapping[str, Entry], settle_seconds: float) -> set[str]:
    """The files that do not stand still.

    What was written to a moment ago is looked at twice, as long apart as a file must stand still. Copies keep the time
    of their original, so the time alone says nothing: what counts is the time of the last change of any kind.
    """
    now = time.time()
    young = {
        path: entry for path, entry in files.items() if entry.state is None and entry.touched > now - settle_seconds
    }
    if not young:
        return set()
    newest = min(max(entry.touched for entry in young.values()), now)
    time.sleep(max(0.0, newest + settle_seconds - now))
    return {path for path, entry in young.items() if place.look_again(path) != entry}


def _walk(folder: int, below: str, deepest: int) -> Iterator[tuple[str, Entry]]:
    """Every file below an open folder. Of a folder that cannot be read, or is a link, the folder itself."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for one in entries:
        path = f"{below}{one.name}"
        if not one.is_dir(follow_symlinks=False):
            yield path, _of_entry(one)
            continue
        if not deepest:
            yield path, Entry(0, "", 0, State.MISPLACED)
            continue
        try:
            inner = os.open(one.name, _FOLDER, dir_fd=folder)
        except OSError as error:
            yield path, Entry(0, "", 0, _why_not(error))
            continue
        try:
            yield from _walk(inner, f"{path}/", deepest - 1)
        finally:
            os.close(inner)


def _of_entry(one: os.DirEntry[str]) -> Entry:
    try:
        return _entry(one.stat(follow_symlinks=False))
    except OSError:
        return Entry(0, "", 0, State.GROWING)


def _entry(found: os.stat_result) -> Entry:
    state = None if stat.S_ISREG(found.st_mode) else State.NOT_A_FILE
    # A time of writing that lies in the future is a camera's or a copy's, and says nothing.
    touched = max(found.st_ctime, found.st_mtime if found.st_mtime <= time.time() else 0)
    return Entry(found.st_size, f"{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}", touched, state)


def _entry_of(facts: ObjectFacts) -> Entry:
    return Entry(facts.size, f"{facts.etag} {facts.size} {facts.last_modified.timestamp():.0f}", 0)


def _read(file: int, entry: Entry) -> bytes | State:
    found = _entry(os.fstat(file))
    if found.state is not None or found.signature != entry.signature:
        return found.state or State.GROWING
    if found.size > MOST_BYTES:
        return State.TOO_LARGE
    pieces = []
    while piece := os.read(file, 1 << 20):
        pieces.append(piece)
        if sum(map(len, pieces)) > found.size:
            return State.GROWING
    body = b"".join(pieces)
    whole = len(body) == found.size and _entry(os.fstat(file)).signature == entry.signature
    return body if whole else State.GROWING


def _why_not(error: OSError) -> State:
    if isinstance(error, PermissionError):
        return State.UNREADABLE
    # Gone since the listing, as files do that are being moved; any other trouble is a link or no folder on the way.
    return State.GROWING if isinstance(error, FileNotFoundError) else State.NOT_A_FILE


def _prefix_of(places: Places, text: str) -> str:
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/") + "/"
    if bucket != places.objects.bucket or prefix == "/":
        raise _bad_place(
            text,
            f"it is not a prefix of the bucket {places.objects.bucket}, which is the one that we may read",
            f"Put the export there and write s3://{places.objects.bucket}/PREFIX/, or name a local folder",
        )
    settings = places.settings
    for taken in (*settings.original_prefixes, settings.thumbnail_prefix, settings.own_prefix):
        if prefix.startswith(taken) or taken.startswith(prefix):
            raise _bad_place(
                text,
                f"it overlaps with {taken}, where the app's photographs lie, so each would be there twice",
                "Put the export below a prefix of its own, or name the prefix in FM_EXPORTS_PREFIXES to leave it there",
            )
    return prefix


def _bad_place(
    place: str, found: str, remedy: str = "Name the folder that the export script has made"
) -> SettingsError:
    return SettingsError("opening the desktop export", place, found, remedy)
