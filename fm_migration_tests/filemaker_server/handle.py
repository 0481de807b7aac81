"""What a test holds of a server, in its own process or in another: where it is, and what can be asked of it."""

from __future__ import annotations

import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fm_migration_tests.filemaker_server.storms import Storm


class Handle(ABC):
    """The operations of `service.py`, with their types."""

    host: str
    https_port: int
    http_port: int
    ca_file: Path
    account: tuple[str, str]

    @abstractmethod
    def _do(self, operation: str, arguments: Mapping[str, Any]) -> Any: ...

    # --- where it is ---

    def url(self, path: str = "", *, secure: bool = True) -> str:
        port = self.https_port if secure else self.http_port
        return f"{'https' if secure else 'http'}://{self.host}:{port}{path}"

    @property
    def ca(self) -> ssl.SSLContext:
        """For httpx and urllib: trusts this server's authority, and no other."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    # --- what it has seen ---

    def report(self) -> dict[str, Any]:
        return dict(self._do("report", {}))

    def clear_report(self) -> None:
        """Counts from the beginning; sessions and records stay as they are."""
        self._do("clear_report", {})

    def log(self) -> list[str]:
        return list(self._do("log", {}))

    def truth(self) -> list[dict[str, Any]]:
        """Each photograph with the SHA-256 of its best picture, or why there is none."""
        return list(self._do("truth", {}))

    # --- what shall happen ---

    def storms(self, storms: Iterable[Storm], seed: int = 0) -> None:
        """These and no others from now on."""
        rules = [storm.model_dump(exclude_unset=True) for storm in storms]
        self._do("storms", {"storms": rules, "seed": seed})

    def change_settings(self, **values: Any) -> None:
        self._do("change_settings", values)

    def advance(self, seconds: float) -> None:
        """The clock goes forwards: sessions and URLs grow old."""
        self._do("advance", {"seconds": seconds})

    def end_sessions(self) -> int:
        """As an administrator does in the console."""
        return int(self._do("end_sessions", {}))

    def stop_engine(self, engine: str = "data") -> None:
        """502 until it is started: "data" with its sessions and containers, or "odata"."""
        self._do("stop_engine", {"engine": engine})

    def start_engine(self, engine: str = "data") -> None:
        self._do("start_engine", {"engine": engine})

    def close_database(self) -> None:
        """The engine answers, the file is not open: 802."""
        self._do("close_database", {})

    def open_database(self) -> None:
        self._do("open_database", {})

    def add_records(self, count: int = 1) -> list[int]:
        return list(self._do("add_records", {"count": count}))

    def remove_records(self, numbers: Iterable[int]) -> list[int]:
        return list(self._do("remove_records", {"numbers": list(numbers)}))
