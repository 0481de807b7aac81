"""What is not as it should be between export, bucket and app: findings, and the page and the files that show them.

Belongs here: finding and showing, from stamped snapshots. Does not belong here: why one photograph shows or not
(`explain/`), the proof that all do (`certificate/`), and changing anything of the clinic's (`repairs/`).
"""
