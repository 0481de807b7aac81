"""A worker that does on request what a codec does by accident. Stands in for the real one in tests and runs like it."""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from fm_migration.images.engine import make_thumbnail
from fm_migration.images.outcome import NotAnImage, Outcome
from fm_migration.images.recipe import Recipe
from fm_migration.images.worker import serve

TOKEN = b"misbehave:"


def misbehave(data: bytes, recipe: Recipe) -> Outcome:
    if not data.startswith(TOKEN):
        return make_thumbnail(data, recipe)
    wish = data.removeprefix(TOKEN).decode()
    return NotAnImage(str(WISHES[wish]()), "")


def _hog() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(16 * 1024 * 1024))


def _say(words: bytes) -> None:
    os.write(json.loads(sys.argv[1])["socket"], words)
    time.sleep(3600)


WISHES: dict[str, Callable[[], object]] = {
    "sleep": lambda: time.sleep(3600),
    # Holds the interpreter's lock for longer than anybody waits.
    "loop in C": lambda: re.match(r"(a+)+$", "a" * 64 + "b"),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "crash": lambda: ctypes.string_at(8),
    "abort": os.abort,
    "exit": lambda: os._exit(0),
    "be killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hog": _hog,
    "hog in the codec": lambda: Image.new("RGB", (60_000, 60_000)),
    "write a file": lambda: Path(tempfile.gettempdir(), "misbehaviour").write_bytes(bytes(4096)),
    "say environment": lambda: " ".join(sorted(os.environ)),
    "say limits": lambda: resource.getrlimit(resource.RLIMIT_CORE),
    "say process": os.getpid,
    "say nonsense": lambda: _say(b"\xff" * 64),
    "say half an answer": lambda: _say(b"\x40\0\0\0\0\0\0\0{"),
}

if __name__ == "__main__":
    serve(sys.argv[1], misbehave)
