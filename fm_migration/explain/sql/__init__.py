"""The statements of fm_migration.explain; `fm_migration.ledger.sql` says how a file is read."""
