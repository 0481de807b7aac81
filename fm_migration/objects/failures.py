"""From botocore's exceptions to errors that a person can act on.

Belongs here: which answer of a server means what, and what to do about it. Does not belong here: trying again.
Raise what comes out of `translated` with `from None`: botocore's own texts carry whole URLs, and so keys, and
a key may carry a patient's id.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore import exceptions as aws
from urllib3 import exceptions as http

from fm_migration.errors import FmMigrationError, ObjectStoreError, TransientError

#: Everything that a call of a boto3 client may raise because of the store, the network or the credentials.
STORE_FAILURES = (aws.ClientError, aws.BotoCoreError, aws.HTTPClientError, http.HTTPError)


class ObjectMissingError(ObjectStoreError):
    """The object is not there (any more): it may have vanished between listing and reading."""


class ObjectChangedError(ObjectStoreError):
    """The object is another one than the one that was listed, or one is there where none should be."""


class UnreachableError(TransientError):
    """Nobody answers at the store's address. botocore has tried several times before this is raised."""


_UNKNOWN_KEY = (
    "the server does not know the access key",
    "Correct FM_OBJECTS_ACCESS_KEY, or the AWS profile or role when it is unset",
)
_EXPIRED = (
    "the temporary credentials have expired or are not valid here",
    "Log in again (aws sso login) or renew the session token",
)
_WRONG_REGION = (
    "the bucket lives in another region",
    "Set the region in FM_OBJECTS_URL: s3://bucket?region=eu-central-1",
)
_DENIED = (
    "access denied: the credentials are known but not allowed to do this",
    "Grant s3:ListBucket on the bucket, s3:GetObject on its objects and s3:PutObject under our own prefixes",
)
_ARCHIVED = (
    "the object is archived and cannot be read at once",
    "Restore it from the archive storage class first, then run again",
)
_NO_BUCKET = ("there is no such bucket", "Correct the bucket in FM_OBJECTS_URL, or create it")

_PERMANENT: dict[str, tuple[str, str]] = {
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "InvalidClientTokenId": _UNKNOWN_KEY,
    "UnrecognizedClientException": _UNKNOWN_KEY,
    "SignatureDoesNotMatch": (
        "the secret key does not belong to the access key",
        "Correct FM_OBJECTS_SECRET_KEY, or the AWS profile when it is unset",
    ),
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "InvalidToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "403": _DENIED,
    "NoSuchBucket": _NO_BUCKET,
    "InvalidBucketName": _NO_BUCKET,
    "PermanentRedirect": _WRONG_REGION,
    "AuthorizationHeaderMalformed": _WRONG_REGION,
    "301": _WRONG_REGION,
    "InvalidObjectState": _ARCHIVED,
    "NotImplemented": (
        "the server does not know this kind of request",
        "Use a server that speaks ListObjectsV2 and conditional writes, or update it",
    ),
}
_MISSING = frozenset({"NoSuchKey", "404"})
_CHANGED = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412"})
#: Besides every 5xx and 429. BadDigest: the bytes were altered on their way.
_TRANSIENT = frozenset({"RequestTimeout", "RequestTimeoutException", "BadDigest", "OperationAborted"})
_THROTTLED = "it is overloaded or throttles us"

_CREDENTIAL_TROUBLE = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.ProfileNotFound,
    aws.SSOError,
    aws.TokenRetrievalError,
)
_NETWORK_TROUBLE = (
    aws.ConnectionError,
    aws.HTTPClientError,
    aws.IncompleteReadError,
    http.HTTPError,
)


def translated(error: Exception, doing: str, subject: str, endpoint: str = "the store") -> FmMigrationError:
    """The error to raise for a failed call. `subject` must already be fit to be shown."""
    if isinstance(error, aws.ClientError):
        return _from_answer(error, doing, subject)
    if isinstance(error, _CREDENTIAL_TROUBLE):
        return ObjectStoreError(
            doing,
            subject,
            f"there are no usable credentials ({type(error).__name__})",
            "Set FM_OBJECTS_ACCESS_KEY and FM_OBJECTS_SECRET_KEY, or give this machine an AWS profile or role",
        )
    if isinstance(error, aws.SSLError):
        return _from_handshake(error, doing, subject, endpoint)
    if isinstance(error, _NETWORK_TROUBLE):
        return _from_network(error, doing, subject, endpoint)
    if isinstance(error, aws.ParamValidationError):
        return ObjectStoreError(
            doing, subject, "the request is malformed before it is sent", "Correct the bucket in FM_OBJECTS_URL"
        )
    return ObjectStoreError(
        doing,
        subject,
        f"the answer makes no sense as S3 ({type(error).__name__})",
        "Check that the endpoint in FM_OBJECTS_URL is an S3 server and not a web page or a proxy",
    )


def _from_answer(error: aws.ClientError, doing: str, subject: str) -> FmMigrationError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    answer: dict[str, Any] = error.response.get("ResponseMetadata", {})
    status = int(answer.get("HTTPStatusCode", 0))
    if code == "RequestTimeTooSkewed":
        return ObjectStoreError(
            doing,
            subject,
            f"the server refuses our time: {_clock_difference(answer)}",
            "Synchronise this machine's clock (NTP), then run again",
        )
    if code in _MISSING:
        return ObjectMissingError(
            doing,
            subject,
            "there is no such object; it may have been moved or deleted since it was listed",
            "List the bucket again, then run again",
        )
    if code in _CHANGED:
        return ObjectChangedError(
            doing,
            subject,
            "it is not the object that was expected; somebody has written to this key since it was listed",
            "List the bucket again, then run again",
        )
    if code in _PERMANENT:
        found, remedy = _PERMANENT[code]
        return ObjectStoreError(doing, subject, found, remedy)
    if status >= 500 or status == 429 or code in _TRANSIENT:
        return TransientError(
            doing, subject, f"the server says {code or status}: {_THROTTLED}", "Run again in a few minutes"
        )
    return ObjectStoreError(
        doing,
        subject,
        f"the server refuses with {code or 'no code'} (HTTP {status})",
        "Look the code up in the documentation of the S3 server",
    )


def _clock_difference(answer: dict[str, Any]) -> str:
    try:
        theirs = parsedate_to_datetime(answer["HTTPHeaders"]["date"])
        minutes = round((datetime.now(UTC) - theirs).total_seconds() / 60)
    except (KeyError, TypeError, ValueError):
        minutes = 0
    if not minutes:
        return "its clock and ours differ by more than 15 minutes"
    return f"this machine's clock is {abs(minutes)} minutes {'ahead of' if minutes > 0 else 'behind'} the server's"


def _from_handshake(error: Exception, doing: str, subject: str, endpoint: str) -> FmMigrationError:
    if "certificate" in str(error).lower():
        return ObjectStoreError(
            doing,
            subject,
            f"the certificate of {endpoint} is not trusted here",
            "Point AWS_CA_BUNDLE at the certificate authority's file, or use the host name that the certificate names",
        )
    return ObjectStoreError(
        doing,
        subject,
        f"{endpoint} does not speak TLS as we do",
        "Check whether the endpoint in FM_OBJECTS_URL should begin with http:// or https://",
    )


def _from_network(error: Exception, doing: str, subject: str, endpoint: str) -> FmMigrationError:
    if isinstance(error, aws.EndpointConnectionError | aws.ConnectTimeoutError | aws.ProxyConnectionError):
        return UnreachableError(
            doing,
            subject,
            f"nobody answers at {endpoint} ({_reason(error)})",
            "Check the endpoint in FM_OBJECTS_URL, that the server runs, and the firewall",
        )
    return TransientError(
        doing,
        subject,
        f"the connection to {endpoint} broke off or timed out",
        "Run again; if it happens again, check the network to the store",
    )


def _reason(error: Exception) -> str:
    # botocore keeps urllib3's exception, which knows more than botocore's own text.
    detail = str(getattr(error, "kwargs", {}).get("error", "")).lower()
    if "refused" in detail:
        return "connection refused"
    if any(part in detail for part in ("resolve", "name or service", "nodename")):
        return "its name is unknown to the DNS"
    return "no connection"
