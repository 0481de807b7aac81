"""What earlier broken runs have left: planned, applied and taken back like everything else.

    repairing    plans from chosen findings of the newest report, and their application
    quarantine   thumbnails that nobody shows, moved away and back
    rules        what such plans may do

Does not belong here: finding (`report/`), and how a plan lives (`plans/`).
"""
