"""The server in a process of its own: for measurements, where it must not take its client's time."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fm_migration.embedded import processes
from fm_migration_tests.filemaker_server.handle import Handle
from fm_migration_tests.filemaker_server.settings import ServerSettings

MODULE = "fm_migration_tests.filemaker_server"
STOP_SECONDS = 10
CONTROL_SECONDS = 300


class ServerProcess(Handle):
    """Speaks with the control port of a server that runs somewhere on this machine."""

    def __init__(self, where: Mapping[str, Any]) -> None:
        self.host = where["host"]
        self.https_port, self.http_port = where["https_port"], where["http_port"]
        self.control_port = where["control_port"]
        self.ca_file = Path(where["ca_file"])
        self.account = (where["account"], where["password"])

    def _do(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=CONTROL_SECONDS)
        try:
            connection.request("POST", f"/{operation}", json.dumps(arguments))
            answer = connection.getresponse()
            result = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(result["error"])
        return result


@contextmanager
def server_process(settings: ServerSettings | None = None) -> Iterator[ServerProcess]:
    """Runs until the block ends."""
    options = (settings or ServerSettings()).model_dump_json(exclude_unset=True)
    command = [sys.executable, "-m", MODULE, "--json", "--any-port", "--settings", options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            line = child.stdout.readline()
            if not line:
                raise RuntimeError("the simulated FileMaker Server ended before it was ready")
            yield ServerProcess(json.loads(line))
        finally:
            processes.end_child(child, signal.SIGTERM, STOP_SECONDS)
