"""A model as judge: a small clinic in plain Python that says who may see what, played against the real database.

`people` who is who; `things` what they own and what staff have done; `rules` the judge; `undoing` the judge of an
undo; `driver` the one door to the code under test; `play` both side by side; `machine` a clinic's life at random. But
for the driver, none of them knows a statement or a table of ours.
"""
