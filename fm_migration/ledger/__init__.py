"""Our own schema `fm_migration`, in the clinic's database so that set-based SQL can join.

    migrations   how the schema came about (Alembic)
    schema       bringing it up to date, and asking how far it is

Does not belong here: any write to a table of the clinic (`clinic/` does that).
"""

SCHEMA = "fm_migration"
