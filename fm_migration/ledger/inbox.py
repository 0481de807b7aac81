"""What the queue has reported about new objects: kept once each, until a reading of the bucket has ingested it.

`inventory.py` marks events as done, in the same transaction as the reading that has seen them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from fm_migration.ledger.inventory import as_stored
from fm_migration.objects.events import Message, ObjectEvent

_KEEP = text("""
insert into fm_migration.inbox (bucket, key, sequencer, event, happened_at)
values (:bucket, :key, :sequencer, :event, :happened_at)
on conflict (bucket, key, sequencer) do nothing
""")
_REFUSE = text("""
insert into fm_migration.refused_message (message_id, body, reason) values (:message_id, :body, :reason)
on conflict (message_id) do nothing
""")
_WAITING = text("""
select count(*) as events, count(distinct key) as keys, min(received_at) as oldest, max(received_at) as newest,
       count(*) || '-' || coalesce(sum(hashtextextended(key || '|' || sequencer, 0)), 0) as fingerprint
from fm_migration.inbox where done is null and bucket = :bucket
""")


@dataclass(frozen=True)
class Waiting:
    """What no reading has taken in yet."""

    events: int
    keys: int
    oldest: datetime | None
    newest: datetime | None
    fingerprint: str


def keep(connection: Connection, events: Sequence[ObjectEvent]) -> int:
    """Put events into the inbox; how many of them were not there yet."""
    return sum(
        connection.execute(
            _KEEP,
            {
                "bucket": event.bucket,
                "key": as_stored(event.key),
                "sequencer": as_stored(event.sequencer),
                "event": as_stored(event.event),
                "happened_at": event.happened_at,
            },
        ).rowcount
        for event in events
    )


def refuse(connection: Connection, messages: Mapping[Message, str]) -> None:
    """Keep messages that cannot be read, with the reason, for a person to look at."""
    for message, reason in messages.items():
        facts = {"message_id": message.id, "body": as_stored(message.body), "reason": reason}
        connection.execute(_REFUSE, facts)


def waiting(connection: Connection, bucket: str) -> Waiting:
    row = connection.execute(_WAITING, {"bucket": bucket}).one()
    return Waiting(row.events, row.keys, row.oldest, row.newest, row.fingerprint)
