"""What a person or an asset asks for above the rooms: staging, the doctor, a rehearsal, an undo, an alert.

Belongs here: what joins several rooms for one purpose, and can be called from a Python prompt without Dagster. Does not
belong here: a decision that one room can take by itself.
"""
