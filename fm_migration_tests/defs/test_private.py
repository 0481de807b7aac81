"""What we use of Dagster without a public name: in two modules only, and just as it was when we came to rest on it.

When Dagster is upgraded, these tests say what has changed before anything else fails in a way that is hard to read.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import fm_migration
from fm_migration.defs import _private
from fm_migration.instance import _private as of_instance

PRODUCT = Path(fm_migration.__file__).parent
DOORS = {"defs/_private.py", "instance/_private.py"}


def _private_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        yield from (name for name in names if name.startswith("dagster") and "._" in name)


def test_two_modules_alone_import_what_dagster_keeps_private() -> None:
    found = {path.relative_to(PRODUCT).as_posix() for path in PRODUCT.rglob("*.py") if list(_private_imports(path))}
    assert found == DOORS


def test_as_few_private_modules_as_can_be_are_imported() -> None:
    """Each costs time at an upgrade; a new one must be worth it."""
    assert sum(len(set(_private_imports(PRODUCT / door))) for door in DOORS) <= 10


def _parameters(function: object) -> set[str]:
    return set(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_a_backfill_is_made_from_the_same_facts() -> None:
    assert _parameters(_private.PartitionBackfill.from_asset_partitions) == {
        "backfill_id", "asset_graph", "partition_names", "asset_selection", "backfill_timestamp", "tags",
        "dynamic_partitions_store", "all_partitions", "title", "description", "run_config",
    }  # fmt: skip
    assert {"status", "asset_backfill_data"} <= set(_private.PartitionBackfill._fields)
    assert "statuses" in _private.BulkActionsFilter.__annotations__
    assert _private.make_new_backfill_id() != _private.make_new_backfill_id()


def test_a_backfill_goes_through_the_same_states() -> None:
    status = _private.BulkActionStatus
    assert {one.name for one in status} == {
        "REQUESTED", "COMPLETED", "FAILED", "CANCELED", "CANCELING", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILING",
    }  # fmt: skip
    assert {status.COMPLETED_SUCCESS, status.CANCELED, status.FAILED} <= set(_private.BULK_ACTION_TERMINAL_STATUSES)
    assert not {status.REQUESTED, status.CANCELING} & set(_private.BULK_ACTION_TERMINAL_STATUSES)


def test_staleness_is_resolved_by_what_we_override() -> None:
    resolver = _private.CachingStaleStatusResolver
    assert _parameters(resolver.__init__) == {
        "self", "instance", "asset_graph", "loading_context", "instance_queryer",
    }  # fmt: skip
    assert _parameters(resolver._get_partition_dependencies) == {"self", "key"}
    assert "key" in _parameters(resolver.get_status)
    assert {one.name for one in _private.StaleStatus} == {"MISSING", "STALE", "FRESH"}
    assert _private.AssetKeyPartitionKey._fields == ("asset_key", "partition_key")


def test_the_instance_is_made_from_classes_that_configure_themselves() -> None:
    for base in (of_instance.DagsterStorage, of_instance.ComputeLogManager):
        assert inspect.isclass(base)
    assert _parameters(of_instance.ConfigurableClass.from_config_value) == {"inst_data", "config_value"}
    assert _parameters(of_instance.ConfigurableClass.config_type) == set()
