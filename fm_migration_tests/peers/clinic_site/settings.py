"""Django's settings for the small clinic: one PostgreSQL, given by CLINIC_DATABASE_URL, and nothing around it.

The object store is optional. With CLINIC_S3_BUCKET set (and the other CLINIC_S3_* beside it) the gallery
presigns its URLs; without it, a URL is the plain key.
"""

from __future__ import annotations

import os
import re

from psycopg.conninfo import conninfo_to_dict


def database(url: str) -> dict[str, object]:
    """Django's description of the database that a libpq or SQLAlchemy URL names."""
    parts = conninfo_to_dict(re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
        "OPTIONS": parts,
    }


DATABASES = {"default": database(os.environ["CLINIC_DATABASE_URL"])}

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "patients",
    "images",
    "documents",
    "contacts",
    "appointments",
    "notes",
]
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
SECRET_KEY = "a-test-project-signs-nothing-of-value"
# An error inside a view reaches whoever asked, instead of becoming a page about it.
DEBUG_PROPAGATE_EXCEPTIONS = True
USE_TZ = True
TIME_ZONE = "UTC"

CLINIC_S3 = {
    "bucket": os.environ.get("CLINIC_S3_BUCKET", ""),
    "endpoint_url": os.environ.get("CLINIC_S3_ENDPOINT_URL") or None,
    "region": os.environ.get("CLINIC_S3_REGION", "us-east-1"),
    "access_key_id": os.environ.get("CLINIC_S3_ACCESS_KEY_ID"),
    "secret_access_key": os.environ.get("CLINIC_S3_SECRET_ACCESS_KEY"),
}
