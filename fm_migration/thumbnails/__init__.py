"""Thumbnails: from the originals in the bucket to the gallery's rows, some at a time.

    reading     originals, a few ahead of the engine
    judging     what follows from what the engine says of a file; pure
    progress    how far it is, in figures and in words; pure
    sheet       a local page with what was made, for the operator
    making      all of it together

The engine itself is `fm_migration.images`, the statements are `fm_migration.clinic.thumbnailing`. Nothing here is
imported at the start of Dagster that would import Pillow.
"""
