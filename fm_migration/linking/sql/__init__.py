"""The statements that join our schema with the clinic's tables; `fm_migration.ledger.sql` says how they are read."""
