"""The one door by which rows and objects come in, from wherever they are.

Belongs here: finding a source, and giving what it holds in the one form that the ledger keeps. Does not belong here:
what a file's cells or a server's answers mean (`filemaker/`, `objects/`), and what becomes of it (`ledger/`).
"""
