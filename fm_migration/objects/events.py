"""S3's events by way of an SQS queue: which objects came or went.

Belongs here: receiving and deleting messages, and reading what S3, or SNS in between, has written into them. Does not
belong here: what is done about an event.

A queue delivers at least once and in no particular order. So a message is deleted only after what it tells is kept
(`Queue.delete`), and an event is known again by bucket, key and sequencer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from botocore.exceptions import ClientError

from fm_migration.errors import ObjectStoreError
from fm_migration.objects.failures import STORE_FAILURES, translated
from fm_migration.objects.store import ObjectsLocation, open_service

#: The most that a queue gives, or takes, at a time.
AT_ONCE = 10
#: A queue has many servers, and only a request that waits asks all of them.
WAIT_SECONDS = 1

_OF_OBJECTS = ("ObjectCreated:", "ObjectRemoved:", "LifecycleExpiration:")
_AWS_HOST = re.compile(r"sqs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_NO_QUEUE = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came. The receipt is what it is deleted by."""

    id: str
    body: str
    receipt: str


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """An object came, or went."""

    bucket: str
    key: str
    sequencer: str
    event: str
    happened_at: datetime


class MalformedMessageError(Exception):
    """No event of S3. The text says why, and quotes nothing: what is in the message may be anybody's."""


def read_message(body: str) -> list[ObjectEvent]:
    """The events of objects in a message's body: none in S3's test of the queue, and none of other kinds."""
    told = _json(body)
    if isinstance(told.get("Message"), str) and "TopicArn" in told:
        told = _json(told["Message"])
    if told.get("Event") == "s3:TestEvent":
        return []
    records = told.get("Records")
    if not isinstance(records, list):
        raise MalformedMessageError("it has no list of records")
    return [event for event in map(_event, records) if event.event.startswith(_OF_OBJECTS)]


def _json(text: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except ValueError:
        raise MalformedMessageError("it is not JSON") from None
    if not isinstance(told, dict):
        raise MalformedMessageError("it is not a JSON object")
    return told


def _event(record: Any) -> ObjectEvent:
    try:
        bucket, thing = record["s3"]["bucket"]["name"], record["s3"]["object"]
        # Strict: a key whose bytes are not UTF-8 would otherwise become another key.
        key = unquote_plus(thing["key"], errors="strict")
        happened_at = datetime.fromisoformat(record["eventTime"])
        # Servers other than AWS may leave the sequencer out.
        sequencer = thing.get("sequencer") or f"{record['eventTime']} {thing.get('eTag', '')}"
        texts = (bucket, key, sequencer, str(record["eventName"]).removeprefix("s3:"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedMessageError(f"a record lacks what S3 writes ({type(error).__name__})") from None
    if not all(isinstance(text, str) and text for text in texts):
        raise MalformedMessageError("a record has an empty field")
    return ObjectEvent(*texts, happened_at if happened_at.tzinfo else happened_at.replace(tzinfo=UTC))


class Queue:
    """One SQS queue."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def receive(self, most: int = AT_ONCE) -> list[Message]:
        """Up to ten messages; none when the queue is empty. They are hidden from others for a while, not gone."""
        try:
            answer = self._client.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=min(most, AT_ONCE), WaitTimeSeconds=WAIT_SECONDS
            )
        except STORE_FAILURES as error:
            raise self._explained(error, "receiving from") from None
        return [
            Message(message["MessageId"], message["Body"], message["ReceiptHandle"])
            for message in answer.get("Messages", [])
        ]

    def delete(self, messages: Sequence[Message]) -> None:
        """What it tells is kept now. A message that cannot be deleted comes again, and changes nothing then."""
        entries = [{"Id": str(number), "ReceiptHandle": message.receipt} for number, message in enumerate(messages)]
        try:
            self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
        except STORE_FAILURES as error:
            raise self._explained(error, "deleting from") from None

    def _explained(self, error: Exception, doing: str) -> Exception:
        code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
        if code in _NO_QUEUE:
            return ObjectStoreError(doing, "the queue", "there is no such queue", "Correct FM_OBJECT_EVENTS")
        if "AccessDenied" in code:
            return ObjectStoreError(
                doing, "the queue", "access denied", "Grant sqs:ReceiveMessage and sqs:DeleteMessage on the queue"
            )
        return translated(error, doing, "the queue", str(self._client.meta.endpoint_url))


def open_queue(url: str, location: ObjectsLocation) -> Queue:
    """The queue, with the credentials of the bucket. The server is the one that its URL names."""
    parts = urlsplit(url)
    region = _AWS_HOST.fullmatch(parts.hostname or "")
    there = replace(
        location,
        endpoint_url=f"{parts.scheme}://{parts.netloc}",
        region=region.group(1) if region else location.region,
    )
    return Queue(open_service("sqs", there, "the queue of FM_OBJECT_EVENTS"), url)
