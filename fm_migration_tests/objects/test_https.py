"""The same over https, where boto3 takes another path for uploads, and with keys whose signatures are checked."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import botocore.auth
import pytest
from pydantic import SecretStr

from fm_migration.errors import FmMigrationError, ObjectStoreError
from fm_migration.objects.store import ObjectsLocation, open_store
from fm_migration_tests.objects.conftest import DUMP, OWN, SecureServer, small_pages

ALL = ("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject")


def failure_of_check(location: ObjectsLocation) -> FmMigrationError:
    with pytest.raises(FmMigrationError) as failure:
        open_store(location).check()
    return failure.value


def test_listing_reading_and_writing_over_https(secure_server: SecureServer) -> None:
    store = open_store(secure_server.user(*ALL), writable_prefixes=[OWN], protected_prefixes=[DUMP])
    store.check()
    for recid in range(25):
        store.client.put_object(Bucket=store.bucket, Key=f"{DUMP}{recid} +é.jpg", Body=b"x")
    small_pages(store, 4)
    expected = {f"{DUMP}{recid} +é.jpg" for recid in range(25)}
    assert {facts.key for facts in store.list(DUMP, threads=1)} == expected
    assert {facts.key for facts in store.list(DUMP, threads=4)} == expected
    etag = store.put(f"{OWN}1.jpg", b"written over https", "image/jpeg")
    assert store.read(f"{OWN}1.jpg", etag=etag) == b"written over https"


def test_a_certificate_that_nobody_vouches_for(secure_server: SecureServer, monkeypatch: pytest.MonkeyPatch) -> None:
    location = secure_server.user(*ALL)
    monkeypatch.delenv("AWS_CA_BUNDLE")
    failure = failure_of_check(location)
    assert failure.found == f"the certificate of {secure_server.endpoint} is not trusted here"
    assert "AWS_CA_BUNDLE" in failure.remedy


def test_http_where_https_is_spoken(secure_server: SecureServer) -> None:
    failure = failure_of_check(
        replace(secure_server.user(*ALL), endpoint_url=secure_server.endpoint.replace("https", "http"))
    )
    assert secure_server.bucket in str(failure)


def test_a_wrong_secret_key_is_told_from_an_unknown_access_key(secure_server: SecureServer) -> None:
    location = secure_server.user(*ALL)
    wrong_secret = failure_of_check(replace(location, secret_key=SecretStr("not the secret")))
    unknown_key = failure_of_check(replace(location, access_key="AKIAUNKNOWNTOTHEM00"))
    assert "secret key does not belong to the access key" in wrong_secret.found
    assert "FM_OBJECTS_SECRET_KEY" in wrong_secret.remedy
    assert "does not know the access key" in unknown_key.found
    assert "FM_OBJECTS_ACCESS_KEY" in unknown_key.remedy
    assert "not the secret" not in str(wrong_secret)


def test_a_user_who_may_not_list(secure_server: SecureServer) -> None:
    failure = failure_of_check(secure_server.user("s3:GetObject"))
    assert "access denied" in failure.found
    assert "s3:ListBucket" in failure.remedy


def test_a_user_who_may_not_write(secure_server: SecureServer) -> None:
    store = open_store(secure_server.user("s3:ListBucket", "s3:GetObject"), writable_prefixes=[OWN])
    store.check()
    with pytest.raises(ObjectStoreError, match="access denied") as failure:
        store.put(f"{OWN}1.jpg", b"x", "image/jpeg")
    assert not failure.value.transient


def test_a_wrong_clock_is_named(secure_server: SecureServer, monkeypatch: pytest.MonkeyPatch) -> None:
    location = secure_server.user(*ALL)
    half_an_hour_ago = dt.datetime.now(dt.UTC).replace(tzinfo=None) - dt.timedelta(minutes=30)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: half_an_hour_ago)
    failure = failure_of_check(location)
    assert "the server refuses our time" in failure.found
    assert "clock" in failure.remedy
    # The server's time can be had all the same, so that `doctor` can say how far off we are.
    assert abs(open_store(location).server_time() - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)
