"""A decision about each photograph that one image has shown.

An image's UUID is made of FileMaker's image id, and ids move between rows: one UUID may show two photographs in turn,
and staff may delete both. The second deletion was taken for the first, and the photograph was made again.
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute("""
        drop index fm_migration.decision_standing;
        create unique index decision_standing
            on fm_migration.decision (kind, table_name, row_id, column_name, coalesce(photo, ''))
            where ended_at is null;
    """)


def downgrade() -> None:
    """Of several that stand for one image the newest does."""
    op.execute("""
        update fm_migration.decision as older set ended_at = now()
        where ended_at is null and exists (
            select from fm_migration.decision as newer
            where newer.ended_at is null and newer.id > older.id
              and (newer.kind, newer.table_name, newer.row_id, newer.column_name)
                  = (older.kind, older.table_name, older.row_id, older.column_name));
        drop index fm_migration.decision_standing;
        create unique index decision_standing on fm_migration.decision (kind, table_name, row_id, column_name)
            where ended_at is null;
    """)
