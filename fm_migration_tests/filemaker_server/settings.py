"""How the server is set up: who may come in, what is in it, and which of two contradicting facts it follows.

Belongs here: every option with its default, which is what the clinic's server is known to do. Does not belong here:
what goes wrong on the way, which `storms.py` says.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: The containers of a photograph, best first.
CONTAINERS = ("image_Full", "image_Ex_large", "image_large", "image_medium", "image_small")

#: What the records are made from: cannot change while the server runs.
FIXED = frozenset({"records", "seed", "contacts", "first_recid", "gap_every", "database"})

DeadKind = Literal["empty", "question", "zero", "html", "broken", "garbage", "error", "refused", "gateway"]


class ServerSettings(BaseModel):
    """All of it can be changed while the server runs, but what says how many records there are."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    # --- who may come in ---
    database: str = "Clinic"
    accounts: dict[str, str] = Field(default={"intake": "invented-for-tests"}, description="name: password")
    read_only: bool = Field(False, description="writing is refused with 200; it is counted either way")
    fmid_tokens: list[str] = Field([], description="id tokens of Claris' cloud that are good")
    fmid_expired: list[str] = Field([], description="and those that were; answered 401 in HTML")
    fmid_login_body: Literal["empty", "object", "token"] = Field(
        "object", description="the log-in's body by FMID: no bytes, no token, or as by Basic"
    )
    version: str = "20.3.2.205"

    # --- the records ---
    records: int = Field(6_664, ge=0)
    seed: int = 14
    contacts: int = Field(2_842, ge=1)
    first_recid: int = Field(1, ge=1, description="the number of the first record")
    gap_every: int = Field(0, ge=0, description="every so many numbers are missing")
    duplicate_recids: float = Field(0.0, ge=0, le=1, description="share of records with the field recid of another")
    recid_shift: int = Field(0, description="by how much the field recid differs from the record's own number")
    text_recids: float = Field(0.0, ge=0, le=1, description="share of records whose number field recid holds text")
    dead_share: float = Field(0.0, ge=0, le=1, description="share of records none of whose pictures ever arrives")
    dead_kinds: list[DeadKind] = ["empty", "question", "zero", "html", "broken", "garbage", "error", "refused"]
    smaller_share: float = Field(0.1, ge=0, le=1, description="share of records whose larger containers are empty")
    broken_largest: float = Field(0.0, ge=0, le=1, description="share whose largest picture is broken, the next sound")
    png_share: float = Field(0.06, ge=0, le=1)
    heic_share: float = Field(0.03, ge=0, le=1)
    picture_bytes: int = Field(0, ge=0, le=1 << 28, description="image_Full is padded to this size, others to less")

    # --- sessions and limits ---
    session_seconds: float = Field(900, gt=0)
    max_sessions: int = Field(0, ge=0, description="0: no limit")
    max_sessions_code: Literal["956", "812"] = "956"
    max_sessions_status: int = Field(500, description="what a real server answers with it was never seen")
    container_resets_session: bool = False
    budget_bytes: int = Field(0, ge=0, description="0: no limit; then 953")
    budget_counts: Literal["json", "containers", "both"] = "json"
    budget_status: int = Field(500, description="never seen either")

    # --- answers ---
    no_match_status: Literal[500, 404, 400] = Field(500, description="older servers answer 401 with another status")
    past_end: Literal["101", "empty"] = Field("101", description="an offset beyond the last record")
    counts: Literal["numbers", "strings", "absent"] = "numbers"
    key_order: Literal["varies", "fixed"] = "varies"
    file_dates: str = Field("%d.%m.%Y", description="dateformats=1, the file's own")
    first_repetition: Literal["numbered", "bare"] = Field("numbered", description="name(1), or name")
    other_spelling: Literal["952", "802"] = Field("952", description="another case of the database's name")

    # --- containers ---
    authenticated_stream: Literal[1, 2] = Field(
        1, description="1: a redirect with a cookie first; 2: the bytes at once"
    )
    container_bearer: Literal["ignored", "required"] = Field(
        "ignored", description="required: without a Bearer in the first GET there is no cookie"
    )
    cookie_holds_for: Literal["url", "all"] = Field("url", description="what a cookie opens")
    second_get: Literal["refuse", "offer"] = Field(
        "refuse", description="the same URL again without its cookie: 401, or another cookie"
    )
    redirect_location: Literal["absolute", "relative", "alternate", "elsewhere"] = Field(
        "absolute", description="elsewhere: to another host, which must not be given anything"
    )
    container_urls: Literal["port", "upper", "443", "glued", "http", "path", "elsewhere"] = Field(
        "port",
        description="the host in URLs: with its true port; in capitals; with :443; glued to the next word; as http; "
        "none; another",
    )
    extension_share: float = Field(0.5, ge=0, le=1, description="share of URLs with an extension")
    url_seconds: float = Field(900, gt=0, description="how long a URL is good")
    stale_redirect_seconds: float = Field(900, ge=0, description="how long it then redirects without a cookie")

    # --- OData ---
    odata: bool = True
    odata_heic: Literal["octet-stream", "refuse"] = "octet-stream"
    odata_octet_stream: Literal["bytes", "name"] = Field(
        "bytes", description="what Accept: application/octet-stream gets: the bytes, or the name of the file"
    )

    # --- the line ---
    http: Literal["serve", "redirect"] = Field("serve", description="what plain HTTP does")
    latency: dict[str, float] = Field({}, description="seconds by kind of request, `any` for the others")
    latency_jitter: float = Field(0.0, ge=0, description="up to this share more, by the seed")

    @model_validator(mode="after")
    def _kinds_that_exist(self) -> Self:
        if self.dead_share and not self.dead_kinds:
            raise ValueError("dead_share needs dead_kinds")
        return self
