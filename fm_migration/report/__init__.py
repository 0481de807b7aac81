"""What is not as it should be between export, bucket and app: findings, the page that shows them, and proofs.

Belongs here: finding, explaining and certifying, from stamped snapshots. Does not belong here: changing anything of
the clinic's; repair plans are made and applied by `clinic`.
"""
