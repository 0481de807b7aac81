"""The months that thumbnails are partitioned by: those in which any linked photograph was taken, and `undated`.

Dynamic, because a new export may bring a new month; whoever plans adds what is new, and the sensor of the thumbnails
does so as well. A month is never removed: its thumbnails stay on record.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

month_partitions = dg.DynamicPartitionsDefinition(name="month")
#: The name that Dagster keeps them under.
MONTH = "month"
#: That of photographs without a date. Known from the start, because "Materialize all" cannot be launched while there is
#: no month to choose: the import of the same run then adds the others.
UNDATED = "undated"


def new_months(instance: dg.DagsterInstance, months: Iterable[str]) -> list[str]:
    """Those that Dagster does not know yet, sorted, so that a range of them is a range of time."""
    return sorted({*months, UNDATED} - set(instance.get_dynamic_partitions(MONTH)))


def add_months(instance: dg.DagsterInstance, months: Iterable[str]) -> None:
    """Let Dagster know these months."""
    missing = new_months(instance, months)
    if missing:
        instance.add_dynamic_partitions(MONTH, missing)
