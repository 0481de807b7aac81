"""What every asset shows in the catalogue in the same way: who owns it, where it is stored and which code makes it, its
table, its problems with their remedies. What its figures are called and mean stands in `figures.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import Connection, text

import fm_migration
from fm_migration.errors import SettingsError
from fm_migration.filemaker import columns

OWNERS = ["team:clinic-it"]
#: A page of a branch on GitHub or GitLab, as the browser's address bar has it.
_BRANCH = re.compile(r"(?P<repository>https://[^/]+/.+?)(?P<gitlab>/-)?/tree/(?P<branch>[^?#]+?)/?")

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


def storage(kind: str) -> dict[str, str]:
    """The tag by which the UI says what kind of storage an asset lies in."""
    return {"dagster/storage_kind": kind}


def export_columns(own_profiles: Path | None) -> dg.TableSchema:
    """The columns that we look for in an export, by the headings that FileMaker gives them."""
    known = columns.load_profiles(own_profiles)
    profile = known.profiles[0]
    return dg.TableSchema(
        [
            dg.TableColumn(
                known.headings[name][0],
                "text",
                "may be left out" if name in profile.optional else None,
                constraints=dg.TableColumnConstraints(nullable=name in profile.optional),
            )
            for name in profile.order
        ]
    )


def column_lineage(**upstream: Mapping[str, tuple[str, ...]]) -> dg.TableColumnLineage:
    """Which columns of the assets that it is named after each column is made from."""
    made_from: dict[str, list[dg.TableColumnDep]] = {}
    for asset, columns_made in upstream.items():
        for column, sources in columns_made.items():
            deps = [dg.TableColumnDep(asset_key=dg.AssetKey(asset), column_name=source) for source in sources]
            made_from.setdefault(column, []).extend(deps)
    return dg.TableColumnLineage(made_from)


def same(*names: str) -> dict[str, tuple[str, ...]]:
    """Columns that are made from one of the same name."""
    return {name: (name,) for name in names}


def linked_to_code(definitions: dg.Definitions, code_url: str | None) -> dg.Definitions:
    """The same, each asset with a link to the function that makes it: on this machine, or where the code is browsed."""
    assets = dg.with_source_code_references(list(definitions.assets or []))
    if code_url is not None:
        found = _BRANCH.fullmatch(code_url)
        if found is None:
            raise SettingsError(
                "linking the assets to their code at",
                "FM_CODE_URL",
                "it is not a page of a branch",
                "Write it as https://github.com/ORGANISATION/fm_migration/tree/main, or with /-/tree/ for GitLab",
            )
        assets = dg.link_code_references_to_git(
            assets,
            git_url=found["repository"],
            git_branch=found["branch"],
            platform="gitlab" if found["gitlab"] else "github",
            file_path_mapping=dg.AnchorBasedFilePathMapping(
                local_file_anchor=Path(fm_migration.__file__), file_anchor_path_in_repository="fm_migration/__init__.py"
            ),
        )
    links = {
        spec.key: spec.metadata["dagster/code_references"]
        for asset in assets
        if isinstance(asset, dg.AssetsDefinition)
        for spec in asset.specs
    }
    return definitions.map_asset_specs(
        func=lambda spec: spec.merge_attributes(metadata={"dagster/code_references": links[spec.key]})
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
