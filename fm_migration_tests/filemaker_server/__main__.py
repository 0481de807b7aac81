"""The server by hand: `python -m fm_migration_tests.filemaker_server --help`, or `make filemaker`."""

# ruff: noqa: T201 - it speaks to its terminal

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from fm_migration_tests.filemaker_server.server import LOOPBACK, FileMakerServer
from fm_migration_tests.filemaker_server.service import OPERATIONS
from fm_migration_tests.filemaker_server.settings import ServerSettings
from fm_migration_tests.filemaker_server.storms import Storm

SMALL_CLINIC = 200


def main(arguments: Sequence[str]) -> int:
    """Runs until it is interrupted, then prints its report."""
    options = _options(arguments)
    if options.list:
        print("\n".join(["Settings (--set NAME=VALUE)", *_lines(ServerSettings), "", "Storms (--storms FILE)"]))
        print("\n".join(_lines(Storm)))
        return 0
    try:
        settings = _settings(options)
        storms = [Storm.model_validate(one) for one in json.loads(options.storms.read_text())] if options.storms else []
    except (OSError, ValueError, ValidationError) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        _run(options, settings, storms)
    except OSError as error:
        print(f"Cannot listen: {error}. --any-port takes ports that are free.", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace, settings: ServerSettings, storms: list[Storm]) -> None:
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    log = options.log.open("a", encoding="utf-8", buffering=1) if options.log else None
    server = FileMakerServer(
        settings,
        host=options.host,
        bind=options.bind,
        https_port=0 if options.any_port else options.https_port,
        http_port=0 if options.any_port else options.http_port,
        control_port=0 if options.any_port else options.control_port,
        on_line=(lambda line: print(line, file=log)) if log else None,
    )
    with server:
        server.storms(storms, options.storm_seed)
        if options.ca:
            options.ca.write_bytes(server.ca_file.read_bytes())
        print(json.dumps(_where(server)) if options.json else _introduction(server, options.ca), flush=True)
        over.wait()
        report = json.dumps(server.report(), indent=2)
    if options.report:
        options.report.write_text(report + "\n", encoding="utf-8")
    elif not options.json:
        print(report)
    if log:
        log.close()


def _where(server: FileMakerServer) -> dict[str, Any]:
    account, password = server.account
    return {
        "host": server.host,
        "https_port": server.https_port,
        "http_port": server.http_port,
        "control_port": server.control_port,
        "ca_file": str(server.ca_file),
        "account": account,
        "password": password,
    }


def _introduction(server: FileMakerServer, ca: Path | None) -> str:
    account, password = server.account
    data = server.url(f"/fmi/data/vLatest/databases/{server.settings.database}")
    return f"""\
A simulated FileMaker Server with {server.settings.records:,} photographs. Everything in it is invented.

  Data API    {server.url("/fmi/data/vLatest")}
  plain HTTP  {server.url("/fmi/data/vLatest", secure=False)}
  OData       {server.url("/fmi/odata/v4")}
  control     http://{LOOPBACK}:{server.control_port}/NAME  ({", ".join(OPERATIONS)})
  authority   {ca or server.ca_file}
  database    {server.settings.database}, layouts {", ".join(server.service.clinic.layouts)}
  account     {account} with password {password}

Try it:

  curl --cacert {ca or server.ca_file} -u '{account}:{password}' -H 'Content-Type: application/json' -d '{{}}' \\
    {data}/sessions
  curl -X POST http://{LOOPBACK}:{server.control_port}/storms \\
    -d '{{"storms": [{{"on": ["container"], "after": 50, "status": 502, "for_seconds": 60, "covers": ["any"]}}]}}'
  curl http://{LOOPBACK}:{server.control_port}/report

Ctrl-C ends it and prints the report."""


def _settings(options: argparse.Namespace) -> ServerSettings:
    values: dict[str, Any] = {"records": options.records} if options.records is not None else {}
    values |= json.loads(options.settings)
    for pair in options.set:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ValueError(f"--set {pair}: say NAME=VALUE; --list shows the names")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return ServerSettings.model_validate({"records": SMALL_CLINIC} | values if not options.json else values)


def _lines(model: type[BaseModel]) -> list[str]:
    lines = []
    for name, one in model.model_fields.items():
        kind = str(one.annotation if not isinstance(one.annotation, type) else one.annotation.__name__)
        text = f"  {name} = {one.get_default(call_default_factory=True)!r}"
        lines.append(f"{text}  {one.description or kind.replace('typing.', '')}")
    return lines


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fm_migration_tests.filemaker_server", description="A simulated FileMaker Server."
    )
    parser.add_argument("--records", type=int, help=f"photographs (default {SMALL_CLINIC})")
    parser.add_argument("--https-port", type=int, default=8443)
    parser.add_argument("--http-port", type=int, default=8080)
    parser.add_argument("--control-port", type=int, default=8444)
    parser.add_argument("--any-port", action="store_true", help="take ports that are free")
    parser.add_argument("--host", default="localhost", help="its name, in the certificate and in container URLs")
    parser.add_argument("--bind", default=LOOPBACK, help="the address to listen on (default: loopback only)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting; may be repeated")
    parser.add_argument("--settings", default="{}", metavar="JSON", help="several settings at once")
    parser.add_argument("--storms", type=Path, metavar="FILE", help="a JSON list of storms")
    parser.add_argument("--storm-seed", type=int, default=0)
    parser.add_argument("--ca", type=Path, metavar="FILE", help="also write the authority's certificate here")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append the server's log to this file")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report here when it ends")
    parser.add_argument("--json", action="store_true", help="say where it is as one line of JSON, and nothing else")
    parser.add_argument("--list", action="store_true", help="show all settings and what a storm can be, and end")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
