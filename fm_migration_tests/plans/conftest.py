"""The small clinic of the linking tests, and kinds of plans of the tests' own."""

from fm_migration_tests.clinic.conftest import _linking_engine, own_world, world

__all__ = ["_linking_engine", "own_world", "world"]
