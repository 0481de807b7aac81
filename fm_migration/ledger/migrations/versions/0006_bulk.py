"""Tables that are filled a million rows at a time do without a look-up of the one row that all of them name.

That row is written in the same transaction and never deleted, so the look-up could find nothing wrong; it took a third
of the time that the states of all photographs take to write. The journal keeps its references: undoing rests on them.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

REFERENCES = {
    "photo": {"plan_id": "link_plan"},
    "s3_inventory": dict.fromkeys(("first_seen", "changed", "vanished"), "inventory_snapshot"),
}
#: A re-import retires every pair: with half of each page free all of them stay where they are, and no index is touched.
ROOM = "alter table fm_migration.patient_identity set (fillfactor = {})"


def upgrade() -> None:
    op.execute(ROOM.format(50))
    for table, references in REFERENCES.items():
        for column in references:
            op.execute(f"alter table fm_migration.{table} drop constraint {table}_{column}_fkey")


def downgrade() -> None:
    op.execute(ROOM.format(60))
    for table, references in REFERENCES.items():
        for column, referenced in references.items():
            op.execute(
                f"alter table fm_migration.{table} add foreign key ({column}) references fm_migration.{referenced}"
            )
