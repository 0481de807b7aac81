"""Sensors tick by tick, as the daemon evaluates them, on a sample clinic and a real instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import psycopg

from fm_migration.defs.resources import RESOURCES
from fm_migration.defs.sensors.healing import patients_reimported
from fm_migration.embedded.sample.reimport import play_reimport
from fm_migration_tests.conftest import Bucket, SampleClinic
from fm_migration_tests.e2e.homes import homes

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Ticking:
    """A clinic, an instance, one sensor, and its cursor from tick to tick. Runs are real ones in this process."""

    sample: SampleClinic
    bucket: Bucket
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    sensor: dg.SensorDefinition = patients_reimported
    cursor: str | None = None

    def tick(self) -> Any:
        """One tick as the daemon does it, but for starting the run."""
        with dg.build_sensor_context(self.instance, self.cursor, resources=RESOURCES) as context:
            result = self.sensor.evaluate_tick(context)
        self.cursor = result.cursor
        for event in result.asset_events:
            assert isinstance(event, dg.AssetObservation)
            self.instance.report_runless_asset_event(event)
        return result

    def message(self) -> str:
        """Why the tick starts no run."""
        result = self.tick()
        assert not result.run_requests
        return str(result.skip_message)

    def requested(self) -> dg.RunRequest:
        """The run that the tick asks for."""
        result = self.tick()
        assert result.run_requests, result.skip_message
        (request,) = result.run_requests
        assert isinstance(request, dg.RunRequest)
        assert request.run_key is None, "with a key, a failed run would never be repeated"
        return request

    def follow(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """The run that was asked for, as it was asked for."""
        return self.run(str(self.sensor.job_name), request.tags, request.asset_selection, request.run_config)

    def run(
        self,
        job: str,
        tags: Mapping[str, str] | None = None,
        assets: Sequence[dg.AssetKey] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            run_config={**(config or {}), **QUIET},
            tags=dict(tags or {}),
            asset_selection=assets,
            raise_on_error=False,
        )

    def reimport(self, *, keep_ids: bool = False) -> None:
        with psycopg.connect(self.sample.database_url) as connection:
            for _ in play_reimport(connection, seed=1, keep_ids=keep_ids):
                pass

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.sample.database_url) as connection:
            connection.execute(statement)

    def ask(self, query: str) -> Any:
        """The one value that a query answers with."""
        with psycopg.connect(self.sample.database_url) as connection:
            (value,) = connection.execute(query).fetchone() or (None,)
        return value

    def homes(self) -> dict[str, str]:
        with psycopg.connect(self.sample.database_url) as connection:
            return homes(connection)
