"""The open tenures by themselves: a healing costs what it changes, however long the history is.

With one index over all tenures of an id, after a hundred re-imports each question who holds an id now read the hundred
who held it once. An index that knows which tenures are open costs an entry in each index for each tenure that ends.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("""
        create index patient_identity_open on fm_migration.patient_identity (filemaker_id) where ended is null;
        create index patient_identity_twin on fm_migration.patient_identity (filemaker_id) where twin;
        create index patient_identity_since on fm_migration.patient_identity (filemaker_id, began);
        drop index fm_migration.patient_identity_filemaker;
    """)


def downgrade() -> None:
    op.execute("""
        create index patient_identity_filemaker on fm_migration.patient_identity (filemaker_id);
        drop index fm_migration.patient_identity_open, fm_migration.patient_identity_twin,
            fm_migration.patient_identity_since;
    """)
