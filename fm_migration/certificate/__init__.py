"""The proof that a migration is complete: issued as one file, and checked against the clinic by anybody, later.

Belongs here: what a certificate holds, how it is signed by its own digests, and how it is compared with the present.
"""
