"""Whose a photograph, a document, a batch is: links follow their patients, and photographs are placed.

    following    links that lead to nobody, led to whoever their patient is now, by the history
    placing      what would change so that every photograph hangs on its patient
    applying     when a plan of photographs may be applied, and what is noted then
    decisions    what people settle, and photographs that they want back
    consuming    which state of the patients the links were made from
    states       the states that a photograph or an original is in
    rules        what plans may do to batches, images and the identity history

Does not belong here: how a plan lives and how rows are changed (`plans/`), what the clinic's tables are (`clinic/`).
"""
