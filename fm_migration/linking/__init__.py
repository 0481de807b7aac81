"""Whose a photograph, a document, a batch is: planned, applied by `plans/`, and led along when patients change.

    planning    what would change so that every photograph hangs on its patient
    rules       what plans may do to batches, images and the identity history
    applying    when a plan of photographs may be applied, and what is noted then
    links       every other link to a patient, led to its successor

Does not belong here: how a plan lives and how rows are changed (`plans/`), and what the clinic's tables are
(`clinic/`).
"""
