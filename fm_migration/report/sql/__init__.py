"""The statements of the report; `fm_migration.ledger.sql` says how a file is read."""
