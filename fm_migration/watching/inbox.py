"""The queue of S3's events, drained into the inbox, and whether what waits there is worth a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Engine

from fm_migration.ledger import inbox
from fm_migration.ledger.inbox import Waiting
from fm_migration.objects.events import MalformedMessageError, Message, ObjectEvent, read_message
from fm_migration.watching.backoff import Failures
from fm_migration.watching.decision import Decision, is_being_written, start_unless_waiting, wait

#: A tick of a sensor may take a minute.
DRAIN_SECONDS = 20.0
#: A request that lists reports so many objects, one that looks up of one.
PAGE = 1_000


class Receiving(Protocol):
    """What draining needs of a queue."""

    def receive(self, most: int) -> list[Message]: ...

    def delete(self, messages: list[Message]) -> None: ...


@dataclass(frozen=True)
class Drained:
    """What came out of the queue: messages, events that were new to us, those of no interest, and refused messages."""

    messages: int = 0
    kept: int = 0
    foreign: int = 0
    refused: int = 0

    @property
    def summary(self) -> str:
        if not self.messages:
            return "the queue is empty"
        return (
            f"{self.messages:,} messages: {self.kept:,} new events of originals, {self.foreign:,} of other objects, "
            f"{self.refused:,} that are not events (fm_migration.refused_message)"
        )


def drain(
    engine: Engine,
    queue: Receiving,
    concerns_us: Callable[[ObjectEvent], bool],
    *,
    most: int,
    seconds: float = DRAIN_SECONDS,
) -> Drained:
    """At most so many messages into the inbox. Each is deleted only when what it tells is committed."""
    done = Drained()
    end = time.monotonic() + seconds
    while done.messages < most and time.monotonic() < end:
        messages = queue.receive(most - done.messages)
        if not messages:
            break
        events: list[ObjectEvent] = []
        refused: dict[Message, str] = {}
        for message in messages:
            try:
                events += read_message(message.body)
            except MalformedMessageError as error:
                refused[message] = str(error)
        ours = [event for event in events if concerns_us(event)]
        with engine.begin() as connection:
            kept = inbox.keep(connection, ours)
            inbox.refuse(connection, refused)
        queue.delete(messages)
        done = Drained(
            done.messages + len(messages),
            done.kept + kept,
            done.foreign + len(events) - len(ours),
            done.refused + len(refused),
        )
    return done


def judge(
    drained: Drained,
    waiting: Waiting,
    now: datetime,
    *,
    settle: timedelta,
    run_is_active: bool,
    tried: Failures | None,
    unfinished: Failures | None,
) -> Decision:
    """Whether to ingest now what waits."""
    if not waiting.events:
        if unfinished is None:
            return wait(f"{drained.summary}; no event waits")
        reason = "new objects were read, and the run failed behind that"
        return start_unless_waiting(reason, now, run_is_active=run_is_active, tried=unfinished)
    reason = f"{drained.summary}; {waiting.events:,} events of {waiting.keys:,} objects wait"
    if is_being_written(waiting.newest, waiting.oldest, now, settle):
        return wait(f"{reason} until none has come for {settle}")
    return start_unless_waiting(reason, now, run_is_active=run_is_active, tried=tried)


def cheaper_to_look_up(keys: int, known: int) -> bool:
    """Whether looking each of these objects up takes fewer requests than listing the bucket."""
    return keys < known / PAGE
