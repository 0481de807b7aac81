"""Bringing photographs in from FileMaker itself: what is asked for when, what proves it, and how long it will take.

Belongs here: the intake's decisions and its run. Does not belong here: speaking to FileMaker (`filemaker/data_api/`),
the tables (`ledger/transfers.py`), Dagster.
"""
