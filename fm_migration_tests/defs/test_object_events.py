"""The sensor `object_events`: from an upload by way of S3's event and a real queue to the inventory."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import dagster as dg
import pytest

from fm_migration.defs.sensors.objects import INGESTED_BY, object_events
from fm_migration.embedded import object_server
from fm_migration.objects import events
from fm_migration_tests.defs.ticking import Ticking
from fm_migration_tests.places import DUMP
from fm_migration_tests.waiting import PATIENCE_SECONDS

JPEG = b"\xff\xd8\xff\xe0"
UNDONE = "select count(*) from fm_migration.inbox where done is null"


class Listening(Ticking):
    """A clinic whose bucket tells a queue of what comes and goes."""

    sqs: Any
    queue: str

    def deliver(self, *names: str, size: int = 4) -> None:
        """Upload, and wait until S3 has told the queue of all of it."""
        before = self.in_queue()
        for name in names:
            self.bucket.put(f"{DUMP}{name}", JPEG[:size])
        self.arrive(before + len(names))

    def arrive(self, messages: int) -> None:
        """Wait until so many messages lie in the queue: S3 sends them behind the answer."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.in_queue() < messages:
            assert time.monotonic() < deadline, "S3 did not report it"
            time.sleep(0.02)

    def in_queue(self) -> int:
        """How many messages the queue holds, those that somebody has received and not deleted included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def send(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=body)


@pytest.fixture
def listening(with_own_bucket: Ticking, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listening]:
    bucket = with_own_bucket.bucket
    endpoint = urlsplit(bucket.url).query.split("endpoint=")[1].split("&")[0]
    sqs = boto3.client(
        "sqs",
        endpoint_url=endpoint,
        region_name=object_server.REGION,
        aws_access_key_id=bucket.access_key,
        aws_secret_access_key=bucket.secret_key,
    )
    queue = sqs.create_queue(QueueName=f"test-{uuid.uuid4().hex}", Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{bucket.name}"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    monkeypatch.setenv("FM_OBJECT_EVENTS", queue)
    monkeypatch.setattr(events, "WAIT_SECONDS", 0)
    clinic = Listening(
        with_own_bucket.sample, bucket, with_own_bucket.definitions, with_own_bucket.instance, object_events
    )
    clinic.sqs, clinic.queue = sqs, queue
    configuration = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
    bucket.client.put_bucket_notification_configuration(
        Bucket=bucket.name, NotificationConfiguration={"QueueConfigurations": [configuration]}
    )
    yield clinic
    sqs.delete_queue(QueueUrl=queue)


def test_without_a_queue_it_says_so(linked: Ticking) -> None:
    linked.sensor = object_events
    assert linked.message() == "FM_OBJECT_EVENTS names no queue; new_objects scans the bucket instead"


def test_the_test_event_that_s3_sends_is_no_object(listening: Listening) -> None:
    listening.arrive(1)
    assert listening.message().startswith("1 messages: 0 new events of originals")
    assert listening.in_queue() == 0
    assert listening.message() == "the queue is empty; no event waits"


def test_uploads_are_taken_in_by_one_run_and_are_then_done(listening: Listening) -> None:
    listening.arrive(1)
    listening.deliver("900001.jpg", "left foot + ä.jpg", "900002.jpg")
    request = listening.requested()
    assert list(request.asset_selection or ()) == INGESTED_BY
    assert listening.in_queue() == 0
    assert listening.ask("select count(*) from fm_migration.inbox where key = '" + DUMP + "left foot + ä.jpg'") == 1
    assert listening.ask(UNDONE) == 3
    assert listening.follow(request).success
    assert listening.ask(UNDONE) == 0
    assert listening.ask("select count(*) from fm_migration.photo where recid in ('900001', '900002')") == 2
    assert listening.message() == "the queue is empty; no event waits"


def test_what_comes_while_the_run_reads_waits_for_the_next_one(listening: Listening) -> None:
    listening.deliver("900001.jpg")
    request = listening.requested()
    listening.deliver("900002.jpg")
    assert listening.follow(request).success
    again = listening.requested()
    assert again.tags != request.tags
    assert listening.ask(UNDONE) == 1


def test_what_is_removed_is_told_too(listening: Listening) -> None:
    listening.deliver("900001.jpg")
    assert listening.follow(listening.requested()).success
    listening.bucket.client.delete_object(Bucket=listening.bucket.name, Key=f"{DUMP}900001.jpg")
    listening.arrive(1)
    assert listening.follow(listening.requested()).success
    gone = "select count(*) from fm_migration.s3_inventory where vanished is not null and recid = '900001'"
    assert listening.ask(gone) == 1


def test_our_own_thumbnails_and_other_buckets_start_nothing(listening: Listening) -> None:
    listening.arrive(1)
    listening.bucket.put("thumbnails/aa-bb/1.jpg")
    listening.arrive(2)
    listening.send(_message("another-bucket", f"{DUMP}1.jpg", "0A"))
    assert "3 messages: 0 new events of originals, 2 of other objects, 0 that are not events" in listening.message()
    assert listening.ask("select count(*) from fm_migration.inbox") == 0


def test_a_message_that_comes_twice_is_one_event(listening: Listening) -> None:
    body = _message(listening.bucket.name, f"{DUMP}1.jpg", "0A")
    listening.send(body)
    listening.send(body)
    listening.requested()
    assert listening.ask("select count(*) from fm_migration.inbox") == 1


def test_a_message_that_comes_again_after_it_was_done_starts_nothing(listening: Listening) -> None:
    body = _message(listening.bucket.name, f"{DUMP}900001.jpg", "0A")
    listening.send(body)
    assert listening.follow(listening.requested()).success
    listening.send(body)
    assert listening.message() == (
        "1 messages: 0 new events of originals, 0 of other objects, 0 that are not events "
        "(fm_migration.refused_message); no event waits"
    )


def test_a_restart_between_commit_and_deletion_loses_nothing_and_doubles_nothing(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening.arrive(1)
    listening.deliver("900001.jpg", "900002.jpg")
    delete = events.Queue.delete

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(events.Queue, "delete", die)
    with pytest.raises(KeyboardInterrupt):
        listening.tick()
    assert listening.ask(UNDONE) == 2
    assert listening.in_queue() == 3
    monkeypatch.setattr(events.Queue, "delete", delete)
    time.sleep(1.1)
    assert listening.requested()
    assert listening.ask(UNDONE) == 2
    assert listening.in_queue() == 0


def test_a_restart_before_the_commit_leaves_the_messages_in_the_queue(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fm_migration.ledger import inbox

    listening.arrive(1)
    listening.deliver("900001.jpg")
    refuse = inbox.refuse

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inbox, "refuse", die)
    with pytest.raises(KeyboardInterrupt):
        listening.tick()
    assert listening.ask("select count(*) from fm_migration.inbox") == 0
    monkeypatch.setattr(inbox, "refuse", refuse)
    time.sleep(1.1)
    assert listening.requested()


def test_a_tick_takes_so_many_messages_and_the_next_one_goes_on(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening.arrive(1)
    assert listening.message()
    for number in range(25):
        listening.send(_message(listening.bucket.name, f"{DUMP}{number}.jpg", f"{number:04X}"))
    monkeypatch.setenv("FM_OBJECT_EVENTS_MESSAGES", "12")
    listening.tick()
    assert (listening.ask(UNDONE), listening.in_queue()) == (12, 13)
    listening.tick()
    assert (listening.ask(UNDONE), listening.in_queue()) == (24, 1)
    listening.tick()
    assert (listening.ask(UNDONE), listening.in_queue()) == (25, 0)


def test_messages_that_are_no_events_are_kept_apart_and_hold_up_nothing(listening: Listening) -> None:
    listening.arrive(1)
    for body in ("no JSON", "[]", '{"Records": [{"s3": {}}]}', '{"Records": 7}'):
        listening.send(body)
    listening.send(_message(listening.bucket.name, f"{DUMP}1.jpg", "0A"))
    assert listening.requested()
    assert listening.in_queue() == 0
    assert listening.ask("select count(*) from fm_migration.refused_message where body = 'no JSON'") == 1
    assert listening.ask("select count(*) from fm_migration.refused_message") == 4


def test_a_large_bucket_is_not_listed_for_a_few_events(listening: Listening) -> None:
    """The same run, but only the objects that the queue has reported are looked up."""
    listening.arrive(1)
    listening.execute("""
        insert into fm_migration.s3_inventory
        select 'filemaker-import/images-bulk-dump/far/' || number, 'other', null, null, null, null, '', 'e', 1, now(),
               'STANDARD', (select min(id) from fm_migration.inventory_snapshot),
               (select min(id) from fm_migration.inventory_snapshot), null
        from generate_series(1, 3000) as number
    """)
    listening.deliver("900001.jpg", "900002.jpg")
    listening.bucket.client.delete_object(Bucket=listening.bucket.name, Key=f"{DUMP}900002.jpg")
    listening.arrive(3)
    request = listening.requested()
    assert request.run_config == {"ops": {"s3_inventory": {"config": {"only_new": True}}}}
    snapshots = "select count(*) from fm_migration.inventory_snapshot where source = 'events'"
    assert listening.follow(request).success
    assert listening.ask(snapshots) == 1
    assert listening.ask("select count(*) from fm_migration.s3_inventory where recid = '900001'") == 1
    assert listening.ask("select count(*) from fm_migration.s3_inventory where recid = '900002'") == 0
    assert (
        listening.ask("select count(*) from fm_migration.s3_inventory where vanished is null and key like '%far%'")
        == 3000
    )
    assert listening.message() == "the queue is empty; no event waits"


def test_a_stream_of_uploads_is_waited_for(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_WATCH_SETTLE_SECONDS", "3600")
    listening.arrive(1)
    listening.deliver("900001.jpg")
    assert listening.message().endswith("1 events of 1 objects wait until none has come for 1:00:00")
    listening.execute("update fm_migration.inbox set received_at = received_at - interval '15 minutes'")
    listening.deliver("900002.jpg")
    assert listening.requested()


def test_a_queue_that_is_not_there_is_named(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FM_OBJECT_EVENTS", listening.queue + "-not")
    with pytest.raises(dg.Failure, match=r"there is no such queue\. Correct FM_OBJECT_EVENTS"):
        listening.tick()
    monkeypatch.setenv("FM_OBJECT_EVENTS", "http://127.0.0.1:9/000000000000/queue")
    assert listening.message().startswith("the queue could not be read this time")


def _message(bucket: str, key: str, sequencer: str) -> str:
    thing = {"key": key, "size": 4, "eTag": "e", "sequencer": sequencer}
    record = {
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-03-01T12:00:00.000Z",
        "s3": {"bucket": {"name": bucket}, "object": thing},
    }
    return json.dumps({"Records": [record]})
