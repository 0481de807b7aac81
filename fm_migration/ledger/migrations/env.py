"""Run by Alembic; `fm_migration.ledger.schema` hands in the connection and owns the transaction."""

from alembic import context

from fm_migration.ledger import SCHEMA

context.configure(connection=context.config.attributes["connection"], version_table_schema=SCHEMA)
context.run_migrations()
