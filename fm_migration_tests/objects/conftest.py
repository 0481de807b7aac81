"""Stores over a bucket of the test's own, a way to make pages small, and a server with https and users."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.retries.standard
import pytest
import stamina

from fm_migration.embedded.ports import LOOPBACK
from fm_migration.embedded.processes import end_child
from fm_migration.objects.facts import ObjectFacts
from fm_migration.objects.store import ObjectsLocation, ObjectStore, open_store
from fm_migration_tests.conftest import Bucket
from fm_migration_tests.objects.faults import FaultyProxy
from fm_migration_tests.waiting import PATIENCE_SECONDS, STOP_SECONDS

DUMP = "filemaker-import/images-bulk-dump/"
OWN = "thumbnails/"
#: More than two pages of S3's, so that paging, and dividing behind the first page, really happen.
MANY = 2_010


def is_multipart(facts: ObjectFacts) -> bool:
    """Uploaded in parts: then the ETag is not the MD5 of the bytes."""
    return "-" in facts.etag


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Repeats happen as in production, the pauses between them do not."""
    monkeypatch.setattr(botocore.retries.standard.ExponentialBackoff, "delay_amount", lambda *_: 0)
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


def location_of(bucket: Bucket, **changes: Any) -> ObjectsLocation:
    return ObjectsLocation.parse(
        changes.get("url", bucket.url),
        changes.get("access_key", bucket.access_key),
        changes.get("secret_key", bucket.secret_key),
    )


@pytest.fixture
def store(bucket: Bucket) -> ObjectStore:
    """May write under `thumbnails/`, and knows that the dump is not to be written."""
    return open_store(location_of(bucket), writable_prefixes=[OWN], protected_prefixes=[DUMP])


@pytest.fixture(scope="session")
def dump(s3_client: Any, servers: Any) -> Bucket:
    """A bucket with 2,010 numbered photographs, and neighbours that a listing of the dump must not show. Read only."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=name)
    keys = [f"{DUMP}{recid}.jpg" for recid in range(1, MANY + 1)]
    neighbours = ["filemaker-import/images-bulk-dump", "filemaker-import/images-bulk-dump2/1.jpg", "zebra.jpg"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: s3_client.put_object(Bucket=name, Key=key, Body=b"x"), keys + neighbours))
    endpoint = f"http://{LOOPBACK}:{servers.objects_port}"
    return Bucket(name, s3_client, f"s3://{name}?endpoint={endpoint}", servers.access_key, servers.secret_key)


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[FaultyProxy]:
    """Stands between the client and the server, and can do to an answer what networks do to it."""
    with FaultyProxy(bucket.client.meta.endpoint_url) as running:
        yield running


def small_pages(store: ObjectStore, size: int) -> ObjectStore:
    """Make the server hand out pages of a few keys, so that a handful of objects is a large bucket."""

    def shrink(params: dict[str, Any], **_: Any) -> None:
        params["MaxKeys"] = min(size, params.get("MaxKeys", size))

    store.client.meta.events.register("provide-client-params.s3.ListObjectsV2", shrink)
    return store


@dataclass(frozen=True)
class SecureServer:
    """A server of its own: https, and users whose signatures and rights are checked.

    ministack checks neither for its root key, which is what the embedded stack uses.
    """

    endpoint: str
    certificate: Path
    root_key: str = "root-of-the-https-tests"
    root_secret: str = "any"
    bucket: str = "over-https"

    def root(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            verify=str(self.certificate),
            region_name="us-east-1",
            aws_access_key_id=self.root_key,
            aws_secret_access_key=self.root_secret,
        )

    def user(self, *actions: str) -> ObjectsLocation:
        """The bucket as seen by a new user who may do this and nothing else."""
        iam, name = self.root("iam"), f"user-{uuid.uuid4().hex[:8]}"
        iam.create_user(UserName=name)
        resources = [f"arn:aws:s3:::{self.bucket}", f"arn:aws:s3:::{self.bucket}/*"]
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": resources}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        iam.put_user_policy(UserName=name, PolicyName="only-this", PolicyDocument=json.dumps(policy))
        pair = iam.create_access_key(UserName=name)["AccessKey"]
        url = f"s3://{self.bucket}?endpoint={self.endpoint}"
        return ObjectsLocation.parse(url, pair["AccessKeyId"], pair["SecretAccessKey"])


@pytest.fixture(scope="session")
def _secure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    folder = tmp_path_factory.mktemp("https")
    certificate, key = _self_signed(folder)
    server = SecureServer(f"https://{LOOPBACK}:{_free_port()}", certificate)
    child = _start(server, folder, key)
    try:
        _wait_for(server, child)
        server.root("s3").create_bucket(Bucket=server.bucket)
        yield server
    finally:
        end_child(child, signal.SIGTERM, STOP_SECONDS)


@pytest.fixture
def secure_server(_secure_server: SecureServer, monkeypatch: pytest.MonkeyPatch) -> SecureServer:
    """A ministack that speaks https, with a certificate that only this test run trusts."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(_secure_server.certificate))
    return _secure_server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _self_signed(folder: Path) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is needed to make a certificate for the https tests")
    certificate, key = folder / "server.pem", folder / "server.key"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=object-server"]
    request += ["-addext", f"subjectAltName=IP:{LOOPBACK}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(request, check=True, capture_output=True)
    return certificate, key


def _start(server: SecureServer, folder: Path, key: Path) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    settings = {
        "BIND_HOST": LOOPBACK,
        "GATEWAY_PORT": server.endpoint.rpartition(":")[2],
        "SERVICES": "s3,iam",
        "AUTH": "true",
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(server.certificate),
        "MINISTACK_SSL_KEY": str(key),
        "AWS_ACCESS_KEY_ID": server.root_key,
        "AWS_SECRET_ACCESS_KEY": server.root_secret,
        "TMPDIR": str(folder),
        "LOG_LEVEL": "WARNING",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "ministack"],
        env=inherited | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait_for(server: SecureServer, child: subprocess.Popen[bytes]) -> None:
    port = int(server.endpoint.rpartition(":")[2])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        try:
            ssl.get_server_certificate((LOOPBACK, port), timeout=3)
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the https object server did not start")
