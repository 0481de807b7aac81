"""Our own schema `fm_migration`, in the clinic's database so that set-based SQL can join.

    migrations   how the schema came about (Alembic)
    schema       bringing it up to date, and asking how far it is

Does not belong here: any write to a table of the clinic (`plans/` does that).
"""

import uuid

SCHEMA = "fm_migration"

#: Ids that we mint are UUIDv5 under this name, so that a second run makes the same ones.
NAMESPACE = uuid.UUID("6d1f7a34-8f5b-5a0e-9c55-0f4f4c1c7e11")
