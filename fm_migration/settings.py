"""Every setting, typed, in one place: environment variables that start with FM_, or a .env file.

Belongs here: what a setting is called, what it means, its default and its plausibility. Does not belong
here: opening what a setting points at (`places.py` does), or a second way to configure something.

The descriptions below are the documentation: `docs/settings.md` and `.env.example` are generated from them
(`python -m fm_migration.settings`), and a test fails when they are not up to date.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fm_migration.errors import SettingsError

DateOrder = Literal["mdy", "dmy", "ymd"]


def default_home() -> Path:
    """The folder `.fm_migration` beside the project's `workspace.yaml`, found from any folder inside the project."""
    here = Path.cwd()
    project = next((folder for folder in (here, *here.parents) if (folder / "workspace.yaml").is_file()), here)
    return project / ".fm_migration"


class Settings(BaseSettings):
    """What a person may set. Without any setting, everything runs on the embedded stack and its sample clinic."""

    # An empty variable counts as unset: compose files and CI hand on what they do not have as "".
    model_config = SettingsConfigDict(
        env_prefix="FM_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    home: Path = Field(
        default_factory=default_home,
        description="Folder of the embedded stack, the sample clinic and local reports.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="The clinic's PostgreSQL: `postgresql://user:password@host:5432/clinic`. "
        "Unset: the embedded PostgreSQL with the sample clinic.",
    )
    objects_url: str | None = Field(
        default=None,
        description="The bucket: `s3://bucket`, for other servers than AWS with "
        "`?endpoint=https://host:9000&region=eu-central-1`. Unset: the embedded object server.",
    )
    objects_access_key: SecretStr | None = Field(
        default=None,
        description="Access key of the bucket. Unset: the usual AWS chain (profile, role, environment).",
    )
    objects_secret_key: SecretStr | None = Field(default=None, description="Secret key that belongs to it.")
    dump_prefixes: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("filemaker-import/images-bulk-dump/",),
        description="Where the originals lie in the bucket, comma-separated. Nothing there is ever changed; an intake "
        "from FileMaker adds new ones to the first.",
    )
    exports_prefixes: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Where originals lie as `<patient id>/<date>/<image id>.<ext>`, comma-separated. Only ever read.",
    )
    inventory_reports: str | None = Field(
        default=None,
        description="Where S3 Inventory writes its reports, `s3://bucket/prefix/`, to read the newest of them instead "
        "of listing the bucket. Unset: list.",
    )
    thumbnail_prefix: str = Field(
        default="thumbnails/",
        description="Where our thumbnails go. Must not lie inside a dump prefix.",
    )
    own_prefix: str = Field(
        default="fm-migration/",
        description="Where reports and quarantined thumbnails go. Must not lie inside a dump prefix.",
    )
    reports: str | None = Field(
        default=None,
        description="Where the pages of the reports go: a folder or `s3://bucket/prefix`. Unset: `reports/` below "
        "FM_OWN_PREFIX, on the embedded stack below FM_HOME.",
    )
    export: str | None = Field(
        default=None,
        description="FileMaker's export: a file, a folder (its newest matching file is taken) or `s3://bucket/key`. "
        "Unset: the sample clinic's.",
    )
    export_pattern: str = Field(
        default="*", description="Which files of an export folder count, as a glob: `Image_data*.csv`."
    )
    export_columns: Path | None = Field(
        default=None, description="A TOML file with column profiles of your own (docs/exports.md)."
    )
    export_types: Path | None = Field(
        default=None,
        description="A CSV file that overrides the table from Type to category (docs/exports.md).",
    )
    export_encoding: str | None = Field(
        default=None,
        description="Encoding of the export, when it is guessed wrongly: `mac-roman`, `cp1252`, `utf-16`.",
    )
    desktop_export: str | None = Field(
        default=None,
        description="What the export script has made with FileMaker Pro: a folder, or a prefix of the bucket, "
        "`s3://bucket/prefix/` (docs/desktop-export.md). Unset: none.",
    )
    date_order: DateOrder | None = Field(
        default=None,
        description="Order of the export's dates: `mdy`, `dmy` or `ymd`. Unset: inferred over the whole column.",
    )
    clinic_timezone: str = Field(
        default="Australia/Melbourne",
        description="Time zone of the clinic; a batch made from a photograph's date is dated noon there.",
    )
    tolerated_shrinkage: float = Field(
        default=0.10,
        ge=0,
        lt=1,
        description="By how much an export or a listing may be smaller than the last good one before it is refused.",
    )
    tolerated_missing: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        description="Which share of the known patients may be missing before a report takes it for a re-import.",
    )
    filemaker_url: str | None = Field(
        default=None,
        description="FileMaker Server, for an intake by its Data API: `https://filemaker.example.org`. Unset: no "
        "intake (docs/intake.md).",
    )
    filemaker_database: str = Field(
        default="", description="Name of the database there, without `.fmp12`; upper and lower case count."
    )
    filemaker_layout: str = Field(
        default="API_Images", description="Layout that holds recid, id, id_Contact, date, Type and the containers."
    )
    filemaker_account: SecretStr | None = Field(
        default=None, description="Account with the extended privilege fmrest; it needs to read only."
    )
    filemaker_password: SecretStr | None = Field(default=None, description="Password that belongs to it.")
    filemaker_claris_token: SecretStr | None = Field(
        default=None,
        description="For FileMaker Cloud instead of account and password: an id token of Claris (FMID), which holds "
        "for an hour.",
    )
    filemaker_ca: Path | None = Field(
        default=None,
        description="Certificate of the authority that signed the server's, in PEM form, where it is not a public one. "
        "Checking cannot be switched off.",
    )
    filemaker_containers: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("image_Full", "image_Ex_large", "image_large", "image_medium", "image_small"),
        description="Container fields of the layout, the best picture first, comma-separated.",
    )
    filemaker_md5_suffix: str = Field(
        default="_md5",
        description="A field named like a container with this behind it holds `GetContainerAttribute ( container ; "
        '"MD5" )`, and what arrives must have that MD5. Without such fields nothing is compared.',
    )
    filemaker_odata_table: str | None = Field(
        default=None,
        description="Table occurrence by which OData knows the photographs, to fetch bytes that way while the Data "
        "API's engine is down. Unset: that is waited for.",
    )
    filemaker_counts: Literal["all", "json", "containers"] = Field(
        default="all",
        description="Which bytes count towards the server's yearly limit and towards `daily_bytes`. The clinic's "
        "console seemed not to count containers; all is the careful choice.",
    )
    filemaker_yearly_gb: float = Field(
        default=144.0, gt=0, description="The yearly limit in GB, as the licence has it: 24 for each user."
    )
    filemaker_used_gb: float | None = Field(
        default=None,
        ge=0,
        description="How much of it the server's console shows as used, to plan with. We cannot know it.",
    )
    filemaker_wait_seconds: float = Field(
        default=7200.0,
        ge=0,
        description="How long a run waits for FileMaker's engine when it is down; it has come back after 1 to 2 hours.",
    )
    filemaker_every_six_hours: int = Field(
        default=0,
        ge=0,
        description="How many photographs the schedule `filemaker_intake` brings every six hours. 0: it brings none, a "
        "person starts the intake.",
    )
    link_columns: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Further columns that hold patients' UUIDs without a foreign key or a content type, as "
        "`table.column`, comma-separated. Generic links (content type and object id) are found without.",
    )
    heal_interval_seconds: int = Field(
        default=5,
        ge=5,
        description="How often the sensor compares the patients with the links; Dagster's daemon looks every 5 s.",
    )
    heal_settle_seconds: float = Field(
        default=5.0,
        ge=0,
        description="For how long the patients' table must not change while known patients are missing from it; "
        "after a minute healing begins all the same.",
    )
    alert_after: float = Field(
        default=900.0,
        gt=0,
        description="After how many seconds of waiting a person is told that healing is due, as of a failed run: by "
        "FM_ALERT_URL and FM_ALERT_EMAIL.",
    )
    watch_export: bool = Field(
        default=True,
        description="Whether the sensor `new_export` imports a new or changed export by itself, once the first import "
        "was made. Off: a person starts the imports.",
    )
    watch_objects: bool = Field(
        default=True,
        description="Whether the sensor `new_objects` scans the bucket and ingests what is new.",
    )
    watch_pages: int = Field(
        default=20,
        ge=1,
        le=200,
        description="How many pages of 1,000 objects `new_objects` lists at a tick, once a minute; it goes on with the "
        "next ones at the next tick.",
    )
    watch_settle_seconds: float = Field(
        default=30.0,
        ge=0,
        description="For how long an export, or the newest of the new objects, must not have changed before a run "
        "starts.",
    )
    object_events: str | None = Field(
        default=None,
        description="URL of the SQS queue that S3 sends its events to, for buckets that are too large to scan: "
        "`https://sqs.eu-central-1.amazonaws.com/123456789012/clinic`. Unset: no queue (docs/sensors.md).",
    )
    object_events_messages: int = Field(
        default=1000, ge=1, le=10_000, description="How many messages of the queue are taken at a tick, at most."
    )
    code_url: str | None = Field(
        default=None,
        description="Where this code is browsed, the page of its branch on GitHub or GitLab: "
        "`https://github.com/ORGANISATION/fm_migration/tree/main`. The catalogue links every asset to its function "
        "there. Unset: to the file on this machine.",
    )
    alert_url: SecretStr | None = Field(
        default=None,
        description="A webhook that is told about failed runs: job, run, and the message, which holds no patient data.",
    )
    alert_email: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Addresses that are told about failed runs by e-mail, comma-separated: counts only.",
    )
    smtp_url: SecretStr | None = Field(
        default=None,
        description="The mail server for it: `smtps://user:password@mail.example.org:465`, or `smtp://…:587` with "
        "STARTTLS; `?from=address` names the sender, else it is the first of FM_ALERT_EMAIL.",
    )
    retry_seconds: float = Field(
        default=5.0,
        ge=0,
        le=600,
        description="The pause before a step that failed for a passing reason (a dropped connection, a throttled call) "
        "is tried again; it doubles, three times. Permanent failures are not tried again.",
    )
    thumbnail_workers: int = Field(
        default=2,
        ge=1,
        le=64,
        description="How many processes of a run make thumbnails; as many as there are cores is a good choice.",
    )
    thumbnail_backfill: Literal["single", "multi"] = Field(
        default="single",
        description="Whether a backfill of thumbnails is one run for all months (`single`) or one run for each "
        "(`multi`). Dagster's UI and API follow it; `dagster job backfill` always queues one run a month.",
    )
    thumbnail_runs: int = Field(
        default=4,
        ge=0,
        description="How many runs of thumbnails, queued ones included, the sensor `pending_thumbnails` allows at a "
        "time, one for each month. 0: it starts none, a person does.",
    )
    journal_days: int = Field(
        default=365,
        ge=1,
        description="How many days a change stays in the journal and its plan can be undone. What is older, "
        "`fm-migration prune` drops; it never runs by itself.",
    )
    implausible_share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="Which share of what it is about a class of findings may hold before the report takes it for a "
        "mistake of ours and counts it instead of listing it. Up to 20 are always listed.",
    )
    waivers: Path | None = Field(
        default=None,
        description="A CSV file with the columns class, subject, reason, date: findings that the clinic accepts. They "
        "are counted apart (docs/report.md).",
    )
    dagster_database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL for Dagster's own history, a database of its own: "
        "`postgresql://user:password@host:5432/dagster`. Unset: SQLite in DAGSTER_HOME, for one machine.",
    )
    compute_logs: str | None = Field(
        default=None,
        description="Where the output of runs is kept: `s3://bucket/prefix`, with the same options and keys as "
        "FM_OBJECTS_URL. Unset: files in DAGSTER_HOME, for one machine.",
    )
    app_schema: str = Field(default="public", description="Schema of the Django app's tables.")
    sample_size: float = Field(
        default=0.05,
        gt=0,
        le=10,
        description="Size of the sample clinic on the embedded stack; 1 is the real clinic (6,490 photographs).",
    )
    sample_seed: int = Field(default=1, description="Seed of the sample clinic; the same seed makes the same clinic.")
    sample_variant: Literal["fresh", "imported", "stale"] = Field(
        default="fresh",
        description="What the clinic's app holds: `fresh` no import yet, `imported` one good import, "
        "`stale` the batches that nine failed repairs left after a re-import.",
    )
    embedded_postgres_port: int | None = Field(
        default=None, ge=1, le=65535, description="Port of the embedded PostgreSQL. Unset: any free one."
    )
    embedded_objects_port: int | None = Field(
        default=None, ge=1, le=65535, description="Port of the embedded object server. Unset: any free one."
    )
    embedded_linger_seconds: float = Field(
        default=3.0,
        ge=0,
        description="How long the embedded servers stay up after the last process that used them has ended.",
    )

    @field_validator(
        "dump_prefixes", "exports_prefixes", "link_columns", "alert_email", "filemaker_containers", mode="before"
    )
    @classmethod
    def _split_prefixes(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("dump_prefixes")
    @classmethod
    def _prefixes_end_in_slash(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("at least one prefix is needed, such as filemaker-import/images-bulk-dump/")
        return tuple(_as_prefix(prefix) for prefix in value)

    @field_validator("exports_prefixes")
    @classmethod
    def _exports_end_in_slash(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_as_prefix(prefix) for prefix in value)

    @field_validator("thumbnail_prefix", "own_prefix")
    @classmethod
    def _own_prefix_ends_in_slash(cls, value: str) -> str:
        prefix = _as_prefix(value)
        if prefix == "/":
            raise ValueError("must name a prefix, not the whole bucket")
        return prefix

    @field_validator("database_url", "dagster_database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            scheme = urlsplit(value.get_secret_value()).scheme
            if scheme.partition("+")[0] not in ("postgresql", "postgres"):
                raise ValueError(f"the scheme is {scheme!r}; only postgresql:// is spoken here")
        return value

    @field_validator("objects_url", "inventory_reports", "compute_logs")
    @classmethod
    def _is_s3(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme != "s3" or not parts.netloc:
                raise ValueError("must begin with s3://bucket")
        return value

    @field_validator("filemaker_url")
    @classmethod
    def _is_https(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or "@" in parts.netloc:
                raise ValueError("must be https://host, without a path and without an account")
        return value

    @field_validator("reports")
    @classmethod
    def _is_a_place(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            parts = urlsplit(value)
            if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/"):
                raise ValueError("must be a folder or begin with s3://bucket/prefix")
        return value

    @field_validator("object_events")
    @classmethod
    def _is_a_queue(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.netloc or not parts.path.strip("/"):
                raise ValueError("must be the URL of a queue: https://sqs.REGION.amazonaws.com/ACCOUNT/NAME")
        return value

    @field_validator("clinic_timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("is not a time zone of the IANA list, such as Australia/Melbourne") from error
        return value

    @property
    def original_prefixes(self) -> tuple[str, ...]:
        """Where originals lie, in either layout; never written."""
        return (*self.dump_prefixes, *self.exports_prefixes)

    @property
    def quarantine_prefix(self) -> str:
        return f"{self.own_prefix}quarantine/"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.clinic_timezone)

    def model_post_init(self, _context: Any, /) -> None:
        if self.alert_email and self.smtp_url is None:
            raise SettingsError(
                "checking the setting",
                "FM_ALERT_EMAIL",
                "there are addresses, but no mail server to send by",
                "Set FM_SMTP_URL too",
            )
        for own in (self.thumbnail_prefix, self.own_prefix):
            if any(own.startswith(original) for original in self.original_prefixes):
                raise SettingsError(
                    "checking the setting",
                    "FM_THUMBNAIL_PREFIX" if own == self.thumbnail_prefix else "FM_OWN_PREFIX",
                    f"{own} lies inside a dump prefix, so the next listing would take our files for originals",
                    "Choose a prefix outside FM_DUMP_PREFIXES",
                )


def _as_prefix(text: str) -> str:
    return text.strip().lstrip("/").rstrip("/") + "/"


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process; every complaint of the validation in one readable error.

    The values themselves are left out of the message: any of them may be a credential.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        complaints = "; ".join(
            f"{_variable(str(item['loc'][0]))} {item['msg'].removeprefix('Value error, ')}" for item in error.errors()
        )
        raise SettingsError(
            "checking the settings",
            ", ".join(sorted({_variable(str(item["loc"][0])) for item in error.errors()})),
            complaints,
            "Correct them in the environment or in .env; docs/settings.md lists every setting",
        ) from None


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()


def _variable(field: str) -> str:
    return f"FM_{field.upper()}"


def _type_name(annotation: Any) -> str:
    names = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        Path: "path",
        SecretStr: "secret",
    }
    if annotation in names:
        return names[annotation]
    options = [arg for arg in get_args(annotation) if arg is not type(None) and arg is not Ellipsis]
    if options and all(isinstance(option, str) for option in options):
        return ", ".join(f"`{option}`" for option in options)
    return _type_name(options[0]) if options else str(annotation)


def _default_text(field: str) -> str:
    if field == "home":
        return ".fm_migration"
    default = Settings.model_fields[field].default
    if default in (None, PydanticUndefined):
        return ""
    return ",".join(default) if isinstance(default, tuple) else str(default).removesuffix(".0")


def as_env_example() -> str:
    """`.env.example`: every setting, commented out, with what it means."""
    lines = [
        "# Copy to .env and uncomment what you need. Nothing here is needed for the embedded sample clinic.",
        "",
    ]
    for name, field in Settings.model_fields.items():
        lines += [f"# {field.description}", f"#{_variable(name)}={_default_text(name)}", ""]
    return "\n".join(lines)


def as_markdown() -> str:
    """`docs/settings.md`: the same as a table."""
    lines = [
        "# Settings",
        "",
        "Environment variables, or lines of a file `.env` in the folder where a command is started. An environment",
        "variable wins over the file. Without any of them everything runs on the embedded stack.",
        "",
        "| variable | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = _default_text(name)
        shown = f"`{default}`" if default else ""
        lines.append(f"| `{_variable(name)}` | {_type_name(field.annotation)} | {shown} | {field.description} |")
    return "\n".join([*lines, ""])


def _write_documents() -> None:
    Path(".env.example").write_text(as_env_example(), encoding="utf-8")
    Path("docs/settings.md").write_text(as_markdown(), encoding="utf-8")


if __name__ == "__main__":
    _write_documents()
