"""An S3 server out of the wheel `ministack`: on loopback, with keys of its own, its objects in files.

It emulates far more of AWS than a bucket; only S3, and SQS for the events of new objects, are switched on. Its access
control keeps accidents away, not attackers: it refuses access keys that it never gave, but does not verify the secret
of its root key, and takes `test` for root as well. Hence loopback alone, and invented photographs alone.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from fm_migration.embedded import processes
from fm_migration.embedded.ports import LOOPBACK
from fm_migration.errors import EmbeddedStackError

REGION = "us-east-1"
START_SECONDS = 60.0
STOP_SECONDS = 15.0


def url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


def start(folder: Path, port: int, access_key: str, secret_key: str, log: Path) -> psutil.Process:
    """Start the server on its folder; returns when it answers."""
    for part in ("objects", "state", "tmp"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        child = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env=_environment(folder, port, access_key, secret_key),
            stdout=sink,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise _failure(folder, log)
        if answers(port):
            return psutil.Process(child.pid)
        time.sleep(0.05)
    child.kill()
    raise _failure(folder, log)


def answers(port: int) -> bool:
    """Whether the server on this port is a ministack that serves S3."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=3)
    try:
        connection.request("GET", "/_ministack/health")
        return "s3" in json.load(connection.getresponse()).get("services", {})
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return False
    finally:
        connection.close()


def stop(server: psutil.Process) -> None:
    processes.end(server, signal.SIGTERM, STOP_SECONDS)


def _environment(folder: Path, port: int, access_key: str, secret_key: str) -> dict[str, str]:
    # What AWS_* the caller has set is meant for another server, and could be a real credential.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **inherited,
        "BIND_HOST": LOOPBACK,
        "GATEWAY_PORT": str(port),
        "SERVICES": "s3,sqs",
        "AUTH": "true",
        # Listeners of their own, on all interfaces and well-known ports, which SERVICES does not switch off.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "MINISTACK_REGION": REGION,
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "objects"),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "state"),
        "TMPDIR": str(folder / "tmp"),
        "LOG_LEVEL": "WARNING",
    }


def _failure(folder: Path, log: Path) -> EmbeddedStackError:
    tail = " / ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])
    return EmbeddedStackError(
        "starting the embedded object server in",
        str(folder),
        tail or "it ended without a word",
        f"Look at {log}; the objects themselves are files under {folder / 'objects'}",
    )
