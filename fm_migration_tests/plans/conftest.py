"""The small clinic of the linking tests, and kinds of plans of the tests' own."""

from fm_migration_tests.linking.conftest import own_world, world

__all__ = ["own_world", "world"]
