"""Why a photograph shows or does not: one subject, every hop from FileMaker to the screen, and what to do.

Belongs here: recognising what a person has asked about, looking at it, and wording the answer. Does not belong here:
findings about the whole clinic (`report/`).
"""
