"""The clinic's own database: what its tables are, and what of them is ours to change.

Belongs here: the contract of the clinic's tables, and every statement that reads or writes them. Does not
belong here: our own schema (`ledger/`), and what only FileMaker or the object store knows.
"""
