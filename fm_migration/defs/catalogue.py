"""What every asset shows in the catalogue in the same way: who owns it, its table, its problems with their remedies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from sqlalchemy import Connection, text

OWNERS = ["team:clinic-it"]

_COLUMNS = text("""
select attname as name, format_type(atttypid, atttypmod) as type, attnotnull as required,
       coalesce(col_description(attrelid, attnum), '') as description
from pg_attribute where attrelid = cast(:table as regclass) and attnum > 0 and not attisdropped order by attnum
""")


def table_metadata(connection: Connection, table: str) -> dict[str, Any]:
    """Name, columns and number of rows of a table, under the keys that Dagster's UI knows."""
    columns = [
        dg.TableColumn(
            row.name, row.type, row.description, constraints=dg.TableColumnConstraints(nullable=not row.required)
        )
        for row in connection.execute(_COLUMNS, {"table": table})
    ]
    rows: int = connection.execute(text(f"select count(*) from {table}")).scalar_one()  # noqa: S608  our own names
    return {
        "dagster/table_name": table,
        "dagster/column_schema": dg.TableSchema(columns),
        "dagster/row_count": rows,
    }


def column_lineage(upstream: str, columns: Mapping[str, tuple[str, ...]]) -> dg.TableColumnLineage:
    """Which columns of one upstream asset each column is made from."""
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(asset_key=dg.AssetKey(upstream), column_name=source) for source in sources]
            for column, sources in columns.items()
        }
    )


def problem_table(problems: Mapping[str, tuple[int, str, str]]) -> dg.MarkdownMetadataValue:
    """Problem classes as a table: how many, what it means, what to do."""
    if not problems:
        return dg.MetadataValue.md("No problems.")
    lines = ["| problem | rows | meaning | what to do |", "|---|---:|---|---|"]
    lines += [
        f"| {name} | {count:,} | {meaning} | {remedy} |"
        for name, (count, meaning, remedy) in sorted(problems.items(), key=lambda item: -item[1][0])
    ]
    return dg.MetadataValue.md("\n".join(lines))
