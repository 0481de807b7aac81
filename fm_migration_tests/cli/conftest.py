"""A sample clinic to order, its photographs linked, with a bucket of the test's own."""

from __future__ import annotations

from fm_migration_tests.thumbnails.conftest import photographed

__all__ = ["photographed"]
