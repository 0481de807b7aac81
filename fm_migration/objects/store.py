"""The one way to open the object store, and to read and write objects in it.

Belongs here: where the bucket is, the client that speaks to it, reading, and writing under our own prefixes.
Does not belong here: what a key means (`keys.py`) and how a listing is made fast and whole (`listing.py`).

Nothing here can overwrite or delete an original: every writing method refuses a key outside `writable_prefixes`,
and a writable prefix that overlaps a protected one is refused when the store is made. `add_original` alone writes where
originals lie, and only under a name that nothing has yet.
"""

from __future__ import annotations

import base64
import hashlib
import mmap
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from pydantic import SecretStr

from fm_migration.errors import FmMigrationError, ObjectStoreError, SettingsError
from fm_migration.objects import listing
from fm_migration.objects.facts import STANDARD, ObjectFacts, bare_etag
from fm_migration.objects.failures import STORE_FAILURES, ObjectChangedError, ObjectMissingError, translated
from fm_migration.objects.keys import shown_key

CONNECT_SECONDS = 5
READ_SECONDS = 60
ATTEMPTS = 5
CONNECTIONS = 32
CHUNK_BYTES = 1 << 20

#: What botocore accepts as a bucket's name; stricter rules are the server's.
_BUCKET = re.compile(r"[a-zA-Z0-9.\-_]{3,255}")
_EXAMPLE = "Write it like s3://bucket or s3://bucket?endpoint=https://host:9000&region=eu-central-1"


@dataclass(frozen=True, slots=True)
class ObjectsLocation:
    """Where the bucket is and as whom we speak to it."""

    bucket: str
    endpoint_url: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: SecretStr | None = None

    @classmethod
    def parse(
        cls, url: str, access_key: str | SecretStr | None = None, secret_key: str | SecretStr | None = None
    ) -> ObjectsLocation:
        """Read `s3://bucket?endpoint=…&region=…`. Without keys, the usual AWS chain finds the credentials."""
        parts = urlsplit(url)
        if parts.scheme != "s3":
            raise _bad_url(f"the scheme is {parts.scheme or 'missing'}; only s3:// is spoken here", _EXAMPLE)
        if "@" in parts.netloc:
            raise _bad_url("it carries credentials", "Move them to FM_OBJECTS_ACCESS_KEY and FM_OBJECTS_SECRET_KEY")
        if not _BUCKET.fullmatch(parts.netloc):
            raise _bad_url("the bucket is missing or has no bucket's name", _EXAMPLE)
        if parts.path.strip("/"):
            raise _bad_url("a key follows the bucket", "Leave it out; FM_DUMP_PREFIXES names the prefixes")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(options.keys() - {"endpoint", "region"})
        if unknown:
            raise _bad_url(f"unknown options: {', '.join(unknown)}", "Only endpoint and region are understood")
        if (access_key is None) != (secret_key is None):
            raise SettingsError(
                "checking the settings",
                "FM_OBJECTS_ACCESS_KEY and FM_OBJECTS_SECRET_KEY",
                "only one of them is set",
                "Set both, or neither to use the AWS profile or role of this machine",
            )
        return cls(
            bucket=parts.netloc,
            endpoint_url=_endpoint(options.get("endpoint")),
            region=options.get("region") or None,
            access_key=_plain(access_key),
            secret_key=None if secret_key is None else SecretStr(_plain(secret_key) or ""),
        )

    @property
    def url(self) -> str:
        """The same as one URL, without the credentials."""
        options = {"endpoint": self.endpoint_url, "region": self.region}
        query = urlencode({name: value for name, value in options.items() if value}, safe=":/")
        return f"s3://{self.bucket}{'?' + query if query else ''}"


def open_store(
    location: ObjectsLocation, *, writable_prefixes: Sequence[str] = (), protected_prefixes: Sequence[str] = ()
) -> ObjectStore:
    """A store with a client of its own. Nothing is sent yet; `check` asks whether it works."""
    return ObjectStore(
        open_client(location),
        location.bucket,
        writable_prefixes=writable_prefixes,
        protected_prefixes=protected_prefixes,
    )


def open_client(location: ObjectsLocation) -> Any:
    """The boto3 client for a location, with the time-outs, retries and addressing that suit it."""
    options: dict[str, Any] = {}
    if location.endpoint_url:
        # Servers other than AWS rarely have a host name per bucket, and many refuse the checksum trailers that
        # boto3 adds by default; `put` sends an MD5 instead, which all of them verify.
        options = {"s3": {"addressing_style": "path"}, "request_checksum_calculation": "when_required"}
    return open_service("s3", location, f"the bucket {location.bucket}", **options)


def open_service(service: str, location: ObjectsLocation, subject: str, **options: Any) -> Any:
    """A boto3 client of any service, with the credentials of a location; `subject` names it in a complaint."""
    patience: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
        "max_pool_connections": CONNECTIONS,
    }
    secret = location.secret_key
    try:
        session = boto3.session.Session(
            aws_access_key_id=location.access_key,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            region_name=location.region or ("us-east-1" if location.endpoint_url else None),
        )
        return session.client(service, endpoint_url=location.endpoint_url, config=Config(**patience, **options))
    except (*STORE_FAILURES, ValueError) as error:
        raise translated(error, "opening", subject) from None


class ObjectStore:
    """One bucket. Safe to share between threads."""

    def __init__(
        self,
        client: Any,
        bucket: str,
        *,
        writable_prefixes: Sequence[str] = (),
        protected_prefixes: Sequence[str] = (),
    ) -> None:
        for own in writable_prefixes:
            _refuse_overlap(own, protected_prefixes)
        self.client = client
        self.bucket = bucket
        self.writable_prefixes = tuple(writable_prefixes)
        self.protected_prefixes = tuple(protected_prefixes)

    @property
    def endpoint(self) -> str:
        return str(self.client.meta.endpoint_url)

    def check(self, prefix: str = "") -> None:
        """Ask for one key, so that wrong keys, a missing bucket or a wrong clock show now and with their names.

        A HEAD of the bucket would not do: its refusals come without a reason.
        """
        subject = f"the bucket {self.bucket}"
        with self._named_failures("reaching", subject):
            answer = self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, MaxKeys=1)
        if "IsTruncated" not in answer:
            raise ObjectStoreError(
                "reaching",
                subject,
                f"what answers at {self.endpoint} is not an S3 server",
                "Check the endpoint in FM_OBJECTS_URL, and whether a proxy or a login page stands in between",
            )

    def server_time(self) -> datetime:
        """What the server's clock shows; also when it refuses the request, for a wrong clock is one reason to."""
        try:
            answer = self.client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)
        except ClientError as refusal:
            answer = refusal.response
        except STORE_FAILURES as error:
            raise translated(error, "asking for the time of", self.endpoint, self.endpoint) from None
        try:
            return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        except (KeyError, ValueError):
            raise ObjectStoreError(
                "asking for the time of",
                self.endpoint,
                "its answer has no Date",
                "Compare the clocks by hand; S3 refuses requests that are 15 minutes off",
            ) from None

    def head(self, key: str) -> ObjectFacts:
        """What the store says about an object; ObjectMissingError when it is not there."""
        with self._named_failures("looking up", shown_key(key)):
            answer = self.client.head_object(Bucket=self.bucket, Key=key)
        return ObjectFacts(
            key=key,
            etag=bare_etag(answer.get("ETag", "")),
            size=answer["ContentLength"],
            last_modified=answer["LastModified"],
            storage_class=answer.get("StorageClass", STANDARD),
        )

    def look_up(self, keys: Sequence[str], *, threads: int = listing.THREADS) -> Iterator[ObjectFacts]:
        """What the store says about each of these objects; those that are not there are left out."""

        def facts(key: str) -> ObjectFacts | None:
            try:
                return self.head(key)
            except ObjectMissingError:
                return None

        with ThreadPoolExecutor(threads, thread_name_prefix="look-up") as pool:
            yield from (found for found in pool.map(facts, keys) if found is not None)

    def read(self, key: str, *, etag: str | None = None, max_bytes: int | None = None) -> bytes:
        """The bytes of an object.

        With `etag`, exactly the object that was listed under it, else ObjectChangedError. More than `max_bytes`
        are refused before they are fetched.
        """
        with self._named_failures("reading", shown_key(key)):
            answer = self._get(key, etag)
            if max_bytes is not None and answer["ContentLength"] > max_bytes:
                answer["Body"].close()
                raise ObjectStoreError(
                    "reading",
                    shown_key(key),
                    f"it has {answer['ContentLength']:,} bytes, more than the {max_bytes:,} allowed",
                    "Raise the limit if such a file is wanted",
                )
            body: bytes = answer["Body"].read()
        return body

    def stream(self, key: str, *, etag: str | None = None, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """The bytes of an object in pieces, for what may not fit into memory."""
        with self._named_failures("reading", shown_key(key)):
            answer = self._get(key, etag)
            with closing(answer["Body"]) as body:
                yield from body.iter_chunks(chunk_bytes)

    def put(
        self,
        key: str,
        body: bytes | mmap.mmap,
        content_type: str,
        *,
        only_if_new: bool = False,
        cache_control: str | None = None,
    ) -> str:
        """Write an object under one of our own prefixes and return its ETag; the server verifies the bytes' MD5.

        A file that may be large comes as a memory map, which is never in memory as a whole.

        `only_if_new` refuses to replace (ObjectChangedError). Not every server does that atomically: two writers at
        the same moment may both succeed, so let keys be named by content.
        """
        self._refuse_foreign(key, "writing")
        options: dict[str, Any] = {"ContentMD5": _md5(body)}
        if only_if_new:
            options["IfNoneMatch"] = "*"
        if cache_control:
            options["CacheControl"] = cache_control
        with self._named_failures("writing", shown_key(key)):
            answer = self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type, **options)
        return bare_etag(answer.get("ETag", ""))

    def add_original(
        self,
        key: str,
        body: bytes | mmap.mmap,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        *,
        looked: bool = False,
    ) -> str:
        """Bring a new original to where originals lie, with what proves it as the object's metadata; its ETag.

        ObjectChangedError when something has this name already: an original is never overwritten. Servers that ignore
        the condition are asked before, unless the caller has `looked` just now; as one run at a time brings originals,
        that is enough.
        """
        _refuse_outside(key, self.protected_prefixes, "bringing an original to", "Bring it below FM_DUMP_PREFIXES")
        if not looked and self._is_there(key):
            raise ObjectChangedError(
                "bringing an original to",
                shown_key(key),
                "an object of this name is there already, and no original is ever overwritten",
                "Compare the two, and move the one that is wrong out of the dump by hand",
            )
        with self._named_failures("writing", shown_key(key)):
            answer = self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=body,
                ContentType=content_type,
                ContentMD5=_md5(body),
                IfNoneMatch="*",
                Metadata=dict(metadata or {}),
            )
        return bare_etag(answer.get("ETag", ""))

    def _is_there(self, key: str) -> bool:
        try:
            self.head(key)
        except ObjectMissingError:
            return False
        return True

    def metadata(self, key: str) -> dict[str, str]:
        """What was written with an object by whoever wrote it; ObjectMissingError when it is not there."""
        with self._named_failures("looking up", shown_key(key)):
            answer = self.client.head_object(Bucket=self.bucket, Key=key)
        return dict(answer.get("Metadata", {}))

    def copy(self, source_key: str, target_key: str, *, source_etag: str | None = None) -> str:
        """Copy an object, type and all, to a key under one of our own prefixes; returns the ETag of the copy."""
        self._refuse_foreign(target_key, "copying to")
        options = {"CopySourceIfMatch": source_etag} if source_etag else {}
        with self._named_failures("copying", shown_key(source_key)):
            answer = self.client.copy_object(
                Bucket=self.bucket,
                Key=target_key,
                CopySource={"Bucket": self.bucket, "Key": source_key},
                **options,
            )
        return bare_etag(answer["CopyObjectResult"].get("ETag", ""))

    def delete_own(self, key: str) -> None:
        """Remove an object that we wrote. Keys outside our own prefixes are refused; a missing object is fine."""
        self._refuse_foreign(key, "deleting")
        with self._named_failures("deleting", shown_key(key)):
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def list(self, prefix: str = "", *, threads: int = listing.THREADS) -> Iterator[ObjectFacts]:
        """Every object below a prefix, in no particular order. An incomplete listing ends in an exception."""
        return listing.list_objects(self, prefix, threads=threads)

    def _get(self, key: str, etag: str | None) -> dict[str, Any]:
        condition = {"IfMatch": etag} if etag else {}
        answer: dict[str, Any] = self.client.get_object(Bucket=self.bucket, Key=key, **condition)
        # Some servers ignore the condition and hand out whatever is there now.
        if etag and bare_etag(answer.get("ETag", etag)) != etag:
            answer["Body"].close()
            raise ObjectChangedError(
                "reading",
                shown_key(key),
                "somebody has written to this key since it was listed",
                "List the bucket again, then run again",
            )
        return answer

    def _refuse_foreign(self, key: str, doing: str) -> None:
        remedy = "Originals are never written: set FM_THUMBNAIL_PREFIX or FM_OWN_PREFIX and write below it"
        _refuse_outside(key, self.writable_prefixes, doing, remedy)

    def _named_failures(self, doing: str, subject: str) -> _NamedFailures:
        return _NamedFailures(doing, subject, self.endpoint)


def _refuse_outside(key: str, prefixes: Sequence[str], doing: str, remedy: str) -> None:
    inside = any(key.startswith(prefix) and key != prefix for prefix in prefixes)
    # Gateways that map keys to paths would walk a `..` out of the prefix.
    climbing = any(part in ("", ".", "..") for part in key.split("/"))
    if not inside or climbing:
        raise ObjectStoreError(
            doing, shown_key(key), "the key lies outside the prefixes that are ours to write", remedy
        )


def _md5(body: bytes | mmap.mmap) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode("ascii")


class _NamedFailures:
    """Turns what botocore raises inside the block into the errors of this project, without botocore's text."""

    def __init__(self, doing: str, subject: str, endpoint: str) -> None:
        self._about = doing, subject, endpoint

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, STORE_FAILURES):
            raise translated(error, *self._about) from None


def _refuse_overlap(own: str, protected: Sequence[str]) -> None:
    if not own.strip("/") or not own.endswith("/"):
        found = "is the whole bucket" if not own.strip("/") else "does not end in a slash"
        raise _bad_prefix(own, found)
    for original in protected:
        if own.startswith(original) or original.startswith(own):
            raise _bad_prefix(own, f"overlaps with the originals under {original or 'the whole bucket'}")


def _bad_prefix(own: str, found: str) -> SettingsError:
    return SettingsError(
        "checking the prefix to write to,",
        own or "(empty)",
        f"it {found}",
        "Choose FM_THUMBNAIL_PREFIX and FM_OWN_PREFIX outside FM_DUMP_PREFIXES, each with a slash at its end",
    )


def _bad_url(found: str, remedy: str) -> FmMigrationError:
    # The URL itself stays out of the text: somebody may have put a secret into it.
    return SettingsError("checking the setting", "FM_OBJECTS_URL", found, remedy)


def _endpoint(text: str | None) -> str | None:
    if not text:
        return None
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _bad_url("the endpoint is not an http:// or https:// address", _EXAMPLE)
    if "@" in parts.netloc:
        raise _bad_url(
            "the endpoint carries credentials", "Move them to FM_OBJECTS_ACCESS_KEY and FM_OBJECTS_SECRET_KEY"
        )
    return text.rstrip("/")


def _plain(secret: str | SecretStr | None) -> str | None:
    return secret.get_secret_value() if isinstance(secret, SecretStr) else secret
