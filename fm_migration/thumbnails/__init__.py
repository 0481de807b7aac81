"""Thumbnails: from the originals in the bucket to the gallery's rows, some at a time.

    thumbnailing   which images need one, and what was made written into their rows
    rules       what a plan of thumbnails may change
    reading     originals, a few ahead of the engine
    judging     what follows from what the engine says of a file; pure
    progress    how far it is, in figures and in words; pure
    sheet       a local page with what was made, for the operator
    making      all of it together

The engine itself is `fm_migration.images`. Nothing here is imported at the start of Dagster that would import Pillow.
"""
