"""What runs print: in files below DAGSTER_HOME, or in the bucket of FM_COMPUTE_LOGS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fm_migration.instance import dagster_home
from fm_migration.instance._private import ComputeLogManager, ConfigurableClass, ConfigurableClassData, local_logs
from fm_migration.objects.store import ObjectsLocation, open_client
from fm_migration.settings import Settings, load_settings

#: How often the output of a run that goes on is brought to the bucket.
UPLOAD_SECONDS = 30


class RunLogs(ComputeLogManager, ConfigurableClass):
    """Never made itself: Dagster asks it for a manager of logs, and is given the one for files or the one for S3."""

    @classmethod
    def config_type(cls) -> Any:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, _empty: Mapping[str, Any]) -> Any:
        settings = load_settings()
        local = str(dagster_home(settings) / "storage")
        if settings.compute_logs is None:
            return local_logs(local, inst_data)
        return _in_bucket(settings, local, inst_data)


def _in_bucket(settings: Settings, local: str, inst_data: ConfigurableClassData | None) -> Any:
    # Imported here: it takes more than a second, and files need nothing of it.
    from dagster_aws.s3.compute_log_manager import S3ComputeLogManager

    location, prefix = logs_location(settings)

    class BucketLogs(S3ComputeLogManager):
        """With our client: Dagster's knows neither our keys nor path-style addresses."""

        def __init__(self) -> None:
            super().__init__(
                bucket=location.bucket,
                prefix=prefix,
                local_dir=local,
                inst_data=inst_data,
                skip_empty_files=True,
                upload_interval=UPLOAD_SECONDS,
                region=location.region or "us-east-1",
            )
            self._s3_session = open_client(location)

    return BucketLogs()


def logs_location(settings: Settings) -> tuple[ObjectsLocation, str]:
    """The bucket of FM_COMPUTE_LOGS, with the keys of FM_OBJECTS_*, and the prefix in it."""
    where, _, options = str(settings.compute_logs).removeprefix("s3://").partition("?")
    bucket, _, prefix = where.partition("/")
    url = f"s3://{bucket}{'?' + options if options else ''}"
    return ObjectsLocation.parse(url, settings.objects_access_key, settings.objects_secret_key), prefix
