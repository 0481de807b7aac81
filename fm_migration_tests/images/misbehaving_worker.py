"""A worker that does on request what a codec does by accident. Stands in for the real one in tests, and runs as it does."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import time

from fm_migration.images.engine import make_thumbnail
from fm_migration.images.outcome import NotAnImage, Outcome
from fm_migration.images.recipe import Recipe
from fm_migration.images.worker import serve

TOKEN = b"misbehave:"


def misbehave(data: bytes, recipe: Recipe) -> Outcome:
    if not data.startswith(TOKEN):
        return make_thumbnail(data, recipe)
    wish = data.removeprefix(TOKEN).decode()
    if wish == "sleep":
        time.sleep(3600)
    elif wish == "loop in C":
        # Holds the interpreter's lock for longer than anybody waits.
        re.match(r"(a+)+$", "a" * 64 + "b")
    elif wish == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif wish == "crash":
        ctypes.string_at(8)
    elif wish == "abort":
        os.abort()
    elif wish == "exit":
        os._exit(0)
    elif wish == "be killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif wish == "hog":
        hoard = []
        while True:
            hoard.append(bytearray(16 * 1024 * 1024))
    elif wish == "hog in the codec":
        from PIL import Image

        Image.new("RGB", (60000, 60000))
    elif wish == "write a file":
        with open("misbehaviour.txt", "wb") as file:  # noqa: PTH123
            file.write(b"x" * 4096)
    elif wish == "say environment":
        return NotAnImage(" ".join(sorted(os.environ)), "")
    elif wish == "say limits":
        import resource

        return NotAnImage(str(resource.getrlimit(resource.RLIMIT_CORE)), "")
    elif wish == "say process":
        return NotAnImage(str(os.getpid()), "")
    elif wish.startswith("say "):
        _write_to_parent({"nonsense": b"\xff" * 64, "half an answer": b"\x40\0\0\0\0\0\0\0{"}[wish[4:]])
        time.sleep(3600)
    raise AssertionError(wish)


def _write_to_parent(words: bytes) -> None:
    import json

    os.write(json.loads(sys.argv[1])["socket"], words)


if __name__ == "__main__":
    serve(sys.argv[1], misbehave)
