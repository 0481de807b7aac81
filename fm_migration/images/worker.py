"""The process in which files are decoded: reads one, answers, waits for the next, and can do little else.

Belongs here: what happens inside that process. Does not belong here: starting, timing and replacing it
(isolation.py).

The file arrives in memory shared with the parent, its size over a socket; the answer goes back over the socket.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from fm_migration.images import decoding, documents
from fm_migration.images.engine import make_thumbnail
from fm_migration.images.outcome import Outcome
from fm_migration.images.recipe import Recipe
from fm_migration.images.wire import pack

READY = b"R"
SIZE = struct.Struct("<Q")
#: The parent ends a worker that is late. Should the parent itself be gone, the kernel does it, this much later.
GRACE_SECONDS = 10.0

Make = Callable[[bytes, Recipe], Outcome]


def serve(arguments: str, make: Make = make_thumbnail) -> None:
    """Answer until the parent hangs up. `arguments` is what `isolation.py` puts on the command line."""
    told = json.loads(arguments)
    recipe = Recipe(**told["recipe"])
    parent = socket.socket(fileno=told["socket"])
    decoding.one_thread_each()
    documents.can_render()
    _restrict(told["memory"])
    # The kernel's own action for an alarm: it ends the process, whichever codec holds it at that moment.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    parent.sendall(READY)
    while request := parent.recv(SIZE.size, socket.MSG_WAITALL):
        signal.setitimer(signal.ITIMER_REAL, told["seconds"] + GRACE_SECONDS)
        answer = pack(make(_read(told["data"], *SIZE.unpack(request)), recipe))
        signal.setitimer(signal.ITIMER_REAL, 0)
        parent.sendall(answer)


def _read(file: int, size: int) -> bytes:
    parts: list[bytes] = []
    at = 0
    while at < size:
        parts.append(os.pread(file, size - at, at))
        at += len(parts[-1])
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _restrict(memory: int) -> None:
    """Limits of the kernel: so much memory above what the start took, no files written, no dump of a photograph."""
    import resource

    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0}
    # Only Linux tells how much address space is taken, and only there the limit holds.
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + memory
    for what, limit in limits.items():
        # A lower limit from outside stays.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (limit, limit))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(sys.argv[1])
    else:
        print("The decoders load. IsolatedEngine starts this module; there is nothing to do by hand.")  # noqa: T201
