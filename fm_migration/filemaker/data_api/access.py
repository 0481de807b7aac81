"""Which server, which database, as whom, and how patient: what a client is made from.

Belongs here: plain values. Secrets are SecretStr, so that no repr shows them.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import certifi
from pydantic import SecretStr

from fm_migration.errors import SettingsError
from fm_migration.filemaker.data_api.addresses import Origin, segment

#: The containers of the clinic's layout, the best picture first.
CONTAINERS = ("image_Full", "image_Ex_large", "image_large", "image_medium", "image_small")


@dataclass(frozen=True)
class Access:
    """Where FileMaker is and as whom we speak to it."""

    origin: Origin
    database: str
    layout: str
    account: SecretStr | None = None
    password: SecretStr | None = None
    #: An id token of Claris (FMID), for FileMaker Cloud; it is taken before the account.
    claris_token: SecretStr | None = None
    authority: Path | None = None
    version: str = "vLatest"

    @property
    def authorization(self) -> SecretStr:
        """The header by which a session is asked for, and each call of OData."""
        if self.claris_token is not None:
            return SecretStr(f"FMID {self.claris_token.get_secret_value()}")
        if self.account is None or self.password is None:
            raise SettingsError(
                "logging in to FileMaker as",
                "FM_FILEMAKER_ACCOUNT",
                "the account or its password is not set",
                "Set FM_FILEMAKER_ACCOUNT and FM_FILEMAKER_PASSWORD, or FM_FILEMAKER_CLARIS_TOKEN",
            )
        pair = f"{self.account.get_secret_value()}:{self.password.get_secret_value()}"
        return SecretStr("Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii"))

    @property
    def api(self) -> str:
        """The path below which the Data API is."""
        return f"/fmi/data/{segment(self.version)}"

    @property
    def records(self) -> str:
        """The path of the layout, below the database."""
        return f"/layouts/{segment(self.layout)}"

    def fingerprint(self) -> str:
        """Which server, database and account a kept session belongs to, without naming them."""
        whose = f"{self.origin.url}|{self.database}|{self.authorization.get_secret_value()}"
        return hashlib.sha256(whose.encode("utf-8")).hexdigest()[:32]

    def trust(self) -> ssl.SSLContext:
        """Whom we believe: the public authorities, and the one that the settings name."""
        context = ssl.create_default_context(cafile=certifi.where())
        if self.authority is not None:
            try:
                context.load_verify_locations(self.authority)
            except (OSError, ssl.SSLError) as error:
                raise SettingsError(
                    "reading the certificate of",
                    "FM_FILEMAKER_CA",
                    f"it cannot be read ({type(error).__name__})",
                    "Set it to a file in PEM form that this user may read",
                ) from None
        return context


@dataclass(frozen=True)
class Patience:
    """How long we wait for what, in seconds. Every pause is doubled from one time to the next, and scattered."""

    first: float = 1.0
    longest: float = 60.0
    #: How often a call is made before its failure counts.
    attempts: int = 4
    #: A dead engine is asked so much later, and at most so rarely.
    engine_first: float = 30.0
    engine_longest: float = 600.0
    #: How long a run waits for a dead engine all in all. It has come back after one to two hours.
    engine_total: float = 7_200.0
    call_timeout: float = 120.0
    connect_timeout: float = 20.0


@dataclass
class Meter:
    """What was transferred since it was read last: answers and container bytes apart, because they may count apart."""

    json_bytes: int = 0
    container_bytes: int = 0
    requests: int = 0
    _read: tuple[int, int, int] = field(default=(0, 0, 0), repr=False)

    def since_last(self) -> tuple[int, int, int]:
        """JSON bytes, container bytes and requests since the last call of this."""
        now = (self.json_bytes, self.container_bytes, self.requests)
        before, self._read = self._read, now
        return now[0] - before[0], now[1] - before[1], now[2] - before[2]
