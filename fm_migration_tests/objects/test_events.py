"""Reading what S3 writes into a queue: as AWS documents it, as SNS wraps it, and as nobody should have written it."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm_migration.objects.events import MalformedMessageError, ObjectEvent, open_queue, read_message
from fm_migration.objects.store import ObjectsLocation

KEY = "filemaker-import/images-bulk-dump/1000.jpg"


def _record(key: str = KEY, name: str = "ObjectCreated:Put", **thing: Any) -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": "2026-03-01T12:00:00.000Z",
        "eventName": name,
        "s3": {
            "bucket": {"name": "clinic"},
            "object": {"key": quote_plus(key, safe="/"), "size": 4, "eTag": "e", "sequencer": "0055AE", **thing},
        },
    }


def _body(*records: dict[str, Any]) -> str:
    return json.dumps({"Records": records})


def test_an_upload_is_read() -> None:
    assert read_message(_body(_record())) == [
        ObjectEvent("clinic", KEY, "0055AE", "ObjectCreated:Put", datetime(2026, 3, 1, 12, tzinfo=UTC))
    ]


def test_a_message_may_hold_several_events_and_those_of_other_kinds_are_left_out() -> None:
    body = _body(_record(), _record(name="ObjectTagging:Put"), _record("b", "ObjectRemoved:Delete"))
    assert [event.event for event in read_message(body)] == ["ObjectCreated:Put", "ObjectRemoved:Delete"]


def test_what_sns_wraps_is_unwrapped() -> None:
    wrapped = json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:x:1:t", "Message": _body(_record())})
    assert len(read_message(wrapped)) == 1


def test_the_test_of_the_queue_has_no_events() -> None:
    assert read_message(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "clinic"})) == []


@given(key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_every_key_comes_through(key: str) -> None:
    (event,) = read_message(_body(_record(key)))
    assert event.key == key


def test_without_a_sequencer_time_and_content_tell_two_events_apart() -> None:
    first, second = (_record(eTag=tag) for tag in ("a", "b"))
    for record in (first, second):
        del record["s3"]["object"]["sequencer"]
    one, other = read_message(_body(first, second))
    assert one.sequencer != other.sequencer
    assert read_message(_body(first, second))[0] == one


@pytest.mark.parametrize(
    "body",
    [
        "",
        "Anna Muster 1970-01-01",
        "7",
        "[]",
        "{}",
        '{"Records": {}}',
        '{"Records": [7]}',
        '{"Records": [{"s3": null}]}',
        _body(_record(key="")),
        _body({**_record(), "eventTime": "yesterday"}),
        _body({**_record(), "eventName": ""}),
        _body(_record(sequencer={"a": 1})),
        _body({**_record(), "s3": {"bucket": {"name": "b"}, "object": {"key": "%FF"}}}),
        json.dumps({"TopicArn": "t", "Message": "no JSON"}),
    ],
)
def test_what_is_no_event_is_refused_without_quoting_it(body: str) -> None:
    with pytest.raises(MalformedMessageError) as refusal:
        read_message(body)
    assert str(refusal.value)
    assert "Anna" not in str(refusal.value)


@given(body=st.text() | st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["Records", "s3", "bucket", "object", "key", "name", "Message", "TopicArn", "eventTime"]), inner
)).map(json.dumps))  # fmt: skip
def test_whatever_comes_is_read_or_refused(body: str) -> None:
    with contextlib.suppress(MalformedMessageError):
        assert isinstance(read_message(body), list)


@pytest.mark.parametrize(
    ("url", "endpoint", "region"),
    [
        ("https://sqs.eu-central-1.amazonaws.com/1/q", "https://sqs.eu-central-1.amazonaws.com", "eu-central-1"),
        ("http://127.0.0.1:4566/000000000000/q", "http://127.0.0.1:4566", "us-west-2"),
    ],
)
def test_the_server_and_the_region_are_those_of_the_url(url: str, endpoint: str, region: str) -> None:
    queue = open_queue(url, ObjectsLocation("clinic", "http://elsewhere", "us-west-2", None, None))
    assert (queue._client.meta.endpoint_url, queue._client.meta.region_name) == (endpoint, region)
