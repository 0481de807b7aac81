"""The clinics that the report's tests use: what a repair takes away is what the report has found."""

from fm_migration_tests.report.conftest import own_world, world
from fm_migration_tests.thumbnails.conftest import photographed

__all__ = ["own_world", "photographed", "world"]
