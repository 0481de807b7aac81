"""The statements of fm_migration.certificate; `fm_migration.ledger.sql` says how a file is read."""
