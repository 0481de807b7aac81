"""Side-by-side benchmarks: each module answers one question by running two ways in turn and printing the ratio.

Belongs here: measuring, and what is measured against what. Does not belong here: anything the product needs, or
a test; a figure that must not get worse belongs in RESULTS.md with its machine, not in an assertion.
"""
