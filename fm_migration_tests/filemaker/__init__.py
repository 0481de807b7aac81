"""Tests of fm_migration.filemaker: export files."""
