"""Which images of the app need a thumbnail, and what was made written into their rows, journalled and undoable.

Belongs here: the statements, which are in `sql/thumbnails.sql`, and what they take and give. Does not belong here:
objects, pictures and processes (the other modules of this room).

Somebody's own thumbnail is never replaced: a row is changed only while it shows none, ours, or the one that the
clinic's command had made before we came.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, CursorResult, text

from fm_migration import plans
from fm_migration.clinic import contract
from fm_migration.ledger import schema
from fm_migration.ledger.copying import copy_rows
from fm_migration.ledger.sql import Script
from fm_migration.plans import locks
from fm_migration.thumbnails import sql
from fm_migration.thumbnails.rules import THUMBNAILS

_SQL = Script(sql.__name__, "thumbnails")
_FINISHED_COLUMNS = (
    "clinic_image", "source_key", "source_etag", "state", "reason", "key", "size", "width", "height", "mime_type",
    "original_sha256", "mean_colour", "mirrored_side", "present_key", "after",
)  # fmt: skip


class ThumbnailState(StrEnum):
    """What became of an image. Those with a thumbnail first."""

    CURRENT = "current"
    ADOPTED = "adopted"
    PARTIAL = "partial"
    UNREADABLE = "unreadable"
    NOT_AN_IMAGE = "not_an_image"
    UNAVAILABLE = "unavailable"

    @property
    def meaning(self) -> str:
        return _TEXTS[self][0]

    @property
    def remedy(self) -> str:
        return _TEXTS[self][1]


_TEXTS: dict[ThumbnailState, tuple[str, str]] = {
    ThumbnailState.CURRENT: ("we have made its thumbnail from the present original", "Nothing"),
    ThumbnailState.ADOPTED: ("the clinic's own thumbnail shows the whole original upright, and stays", "Nothing"),
    ThumbnailState.PARTIAL: (
        "the file is damaged, and the thumbnail shows what is left of the picture",
        "Dump the photograph from FileMaker again",
    ),
    ThumbnailState.UNREADABLE: (
        "the file holds a picture that cannot be shown; its reason stands in fm_migration.thumbnail",
        "Dump the photograph from FileMaker again; it is tried again when the object changes",
    ),
    ThumbnailState.NOT_AN_IMAGE: (
        "the file is something else than a picture",
        "Nothing, if it was meant to be; else dump the photograph from FileMaker again",
    ),
    ThumbnailState.UNAVAILABLE: (
        "the object is gone, another one than was listed, or refused to us",
        "Materialize s3_inventory; what is still there is then tried again",
    ),
}


@dataclass(frozen=True)
class Choice:
    """Which thumbnails to make: by default those that are not current."""

    only_missing: bool = False
    force: bool = False
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """An image that needs a thumbnail."""

    clinic_image: UUID
    source_key: str
    #: The thumbnail that the app shows now; '' for none.
    present_key: str
    #: Of the original as it was listed; None when the listing does not know it.
    etag: str | None
    size: int | None
    type_text: str
    #: The thumbnail that we wrote last.
    our_key: str | None
    #: Whether that one was made of another picture.
    source_changed: bool
    #: A thumbnail of the clinic's own that may be as good as ours.
    existing_key: str | None


@dataclass(frozen=True, slots=True)
class FinishedThumbnail:
    """What became of an image, and what its row in the app shall say."""

    clinic_image: UUID
    source_key: str
    source_etag: str
    present_key: str
    state: ThumbnailState
    reason: str = ""
    key: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    mime_type: str = ""
    original_sha256: str = ""
    mean_colour: str = ""
    mirrored_side: bool = False
    #: The columns of the app's row. Empty: it stays as it is.
    after: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """What a batch has changed, under which plan it can be undone."""

    plan: int
    rows: int


@dataclass(frozen=True)
class ThumbnailSurvey:
    """How the images stand."""

    images: int
    pending: int
    #: Images that show no thumbnail, for whatever reason.
    without: int
    states: Mapping[ThumbnailState, int]
    replaced_by_others: int
    mirrored_side: int
    version: str


@dataclass(frozen=True)
class MonthPending:
    """A month with something to do; `version` stays the same as long as nothing of it is done."""

    month: str
    pending: int
    version: str


def months(connection: Connection) -> list[str]:
    """Every month that a linked photograph was taken in, sorted; `undated` comes last."""
    return list(_run(connection, "months").scalars())


def pending_by_month(connection: Connection, recipe: str, thumbnail_prefix: str) -> list[MonthPending]:
    """The months that have something to do, sorted."""
    rows = _run(connection, "by_month", recipe=recipe, thumbnail_prefix=thumbnail_prefix)
    return [MonthPending(row.month, row.pending, row.version) for row in rows]


def pending_ids(
    connection: Connection, month_keys: Sequence[str], choice: Choice, recipe: str, thumbnail_prefix: str
) -> list[UUID]:
    """The images to make thumbnails of. Checks the schema and the clinic's tables first."""
    schema.require_current(connection)
    contract.verify(connection)
    rows = _run(
        connection,
        "ids",
        **_chosen(choice, recipe, thumbnail_prefix),
        months=list(month_keys),
        limit=choice.limit,
    )
    return list(rows.scalars())


def pending_page(
    connection: Connection, ids: Sequence[UUID], choice: Choice, recipe: str, thumbnail_prefix: str
) -> list[Pending]:
    """Some of them with all that it takes, as the world is now."""
    rows = _run(connection, "page", **_chosen(choice, recipe, thumbnail_prefix), ids=list(ids))
    return [Pending(**row) for row in rows.mappings()]


def survey(
    connection: Connection, recipe: str, thumbnail_prefix: str, month_keys: Sequence[str] | None = None
) -> ThumbnailSurvey:
    """How the images of these months stand, or of all."""
    chosen = None if month_keys is None else list(month_keys)
    row = dict(
        _run(connection, "survey", recipe=recipe, thumbnail_prefix=thumbnail_prefix, months=chosen).mappings().one()
    )
    states = {state: row.pop(state.value) for state in ThumbnailState}
    return ThumbnailSurvey(states=states, **row)


def others_without(connection: Connection) -> int:
    """Images without a thumbnail that are not ours to make one for: uploaded by hand, or doubles of earlier runs."""
    return int(_run(connection, "others_without").scalar_one())


def write(
    connection: Connection,
    finished: Iterable[FinishedThumbnail],
    recipe: str,
    plan: int | None,
    run_id: str | None = None,
) -> Written:
    """Record a batch and change the app's rows, in the caller's transaction. Without a plan, one is begun."""
    if plan is None:
        plan = _open_plan(connection, recipe, run_id)
    locks.limit_waiting(connection)
    _run(connection, "prepare")
    copy_rows(connection, "finished", _FINISHED_COLUMNS, (_as_row(one) for one in finished))
    rows = _run(connection, "write", plan=plan, run_id=run_id).rowcount
    _run(connection, "record", recipe=recipe, run_id=run_id)
    _run(connection, "count_changes", plan=plan, rows=rows)
    connection.execute(text("drop table finished"))
    return Written(plan, rows)


def _open_plan(connection: Connection, recipe: str, run_id: str | None) -> int:
    """A plan that is applied batch by batch as long as the run goes on."""
    readings = _run(connection, "readings").mappings().one()
    plan = plans.open_plan(connection, THUMBNAILS.name, inputs=recipe, run_id=run_id, **readings)
    plans.finish_applied(connection, plan, counts={"changes": 0}, inputs=recipe, run_id=run_id)
    return plan


def _chosen(choice: Choice, recipe: str, thumbnail_prefix: str) -> dict[str, Any]:
    return {
        "recipe": recipe,
        "thumbnail_prefix": thumbnail_prefix,
        "force": choice.force,
        "only_missing": choice.only_missing,
    }


def _as_row(finished: FinishedThumbnail) -> tuple[object, ...]:
    values = {name: getattr(finished, name) for name in _FINISHED_COLUMNS}
    return tuple({**values, "after": json.dumps(dict(finished.after)), "state": finished.state.value}.values())


def _run(connection: Connection, step: str, **parameters: object) -> CursorResult[Any]:
    body = _SQL.body(step)
    if "from source" in body:
        body = f"with source as (\n{_SQL.body('source')}\n)\n{body}"
    return connection.execute(text(body), parameters)
