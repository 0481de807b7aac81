"""Which answer of a server is worth another try, and which one needs a person.

These answers cannot all be had from a local server, so they are made as botocore makes them.
"""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime
from typing import Any

import pytest
from botocore import exceptions as aws

from fm_migration.errors import FmMigrationError, ObjectStoreError, TransientError
from fm_migration.objects.failures import ObjectChangedError, ObjectMissingError, translated


def answer(code: str, status: int, headers: dict[str, str] | None = None) -> FmMigrationError:
    response: dict[str, Any] = {
        "Error": {"Code": code, "Message": "from the server"},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers or {}},
    }
    return translated(aws.ClientError(response, "ListObjectsV2"), "listing", "clinic-files/dump/")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("SlowDown", 503),
        ("ServiceUnavailable", 503),
        ("InternalError", 500),
        ("502", 502),
        ("504", 504),
        ("TooManyRequests", 429),
        ("RequestTimeout", 400),
    ],
)
def test_worth_another_try(code: str, status: int) -> None:
    assert isinstance(answer(code, status), TransientError)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("AccessDenied", 403, "access denied"),
        ("403", 403, "access denied"),
        ("InvalidAccessKeyId", 403, "does not know the access key"),
        ("SignatureDoesNotMatch", 403, "secret key does not belong"),
        ("ExpiredToken", 400, "have expired"),
        ("NoSuchBucket", 404, "no such bucket"),
        ("PermanentRedirect", 301, "another region"),
        ("AuthorizationHeaderMalformed", 400, "another region"),
        ("InvalidObjectState", 403, "archived"),
        ("SomethingNew", 418, "refuses with SomethingNew (HTTP 418)"),
    ],
)
def test_needs_a_person(code: str, status: int, expected: str) -> None:
    error = answer(code, status)
    assert isinstance(error, ObjectStoreError)
    assert not error.transient
    assert expected in error.found
    assert error.remedy


def test_missing_and_changed_have_kinds_of_their_own() -> None:
    assert isinstance(answer("NoSuchKey", 404), ObjectMissingError)
    assert isinstance(answer("404", 404), ObjectMissingError)
    assert isinstance(answer("PreconditionFailed", 412), ObjectChangedError)


@pytest.mark.parametrize(
    ("minutes", "expected"), [(42, "42 minutes behind the server's"), (-42, "42 minutes ahead of the server's")]
)
def test_a_wrong_clock_is_measured_by_the_servers_date(minutes: int, expected: str) -> None:
    theirs = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)
    error = answer("RequestTimeTooSkewed", 403, {"date": format_datetime(theirs, usegmt=True)})
    assert expected in error.found
    assert "more than 15 minutes" in answer("RequestTimeTooSkewed", 403).found


@pytest.mark.parametrize(
    ("error", "kind", "expected"),
    [
        (aws.ReadTimeoutError(endpoint_url="http://host/patient-folder/1.jpg"), TransientError, "timed out"),
        (aws.ConnectionClosedError(endpoint_url="http://host/patient-folder/1.jpg"), TransientError, "broke off"),
        (aws.IncompleteReadError(actual_bytes=1, expected_bytes=2), TransientError, "broke off"),
        (
            aws.SSLError(endpoint_url="https://host/patient-folder/1.jpg", error="CERTIFICATE_VERIFY_FAILED"),
            ObjectStoreError,
            "certificate of https://host is not trusted",
        ),
        (
            aws.SSLError(endpoint_url="https://host/patient-folder/1.jpg", error="WRONG_VERSION_NUMBER"),
            ObjectStoreError,
            "does not speak TLS",
        ),
        (aws.NoCredentialsError(), ObjectStoreError, "no usable credentials"),
        (aws.ParamValidationError(report="Bucket"), ObjectStoreError, "malformed before it is sent"),
        (aws.DataNotFoundError(data_path="x"), ObjectStoreError, "makes no sense as S3"),
    ],
)
def test_failures_without_an_answer(error: Exception, kind: type[FmMigrationError], expected: str) -> None:
    raised = translated(error, "reading", "1.jpg", "https://host")
    assert type(raised) is kind
    assert expected in raised.found
    assert "patient-folder" not in str(raised)
