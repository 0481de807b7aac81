"""Pictures: from the bytes of a file to a thumbnail, right side up, and what is known of the original.

Belongs here: telling formats apart, decoding, turning, shrinking, comparing pictures, and the processes that keep a
hostile file from doing harm. Does not belong here: where bytes come from and go to, the database, Dagster.

`engine.make_thumbnail` does the work in this process; `isolation.IsolatedEngine` does it in processes of their own
and is the one to use for files that we did not make.
"""
