"""Loopback ports: free ones, and whether somebody answers on one."""

from __future__ import annotations

import socket

from fm_migration.errors import EmbeddedStackError

LOOPBACK = "127.0.0.1"


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def choose(wanted: int | None, former: int | None, setting: str) -> int:
    """The port a person asked for, else the one of last time (so that bookmarks stay right), else any free one."""
    if wanted is not None:
        if not _is_free(wanted):
            raise EmbeddedStackError(
                "starting the embedded stack on",
                f"port {wanted}",
                "another program listens there",
                f"End that program, choose another port with {setting}, or unset it to get a free one",
            )
        return wanted
    if former is not None and _is_free(former):
        return former
    return free_port()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
