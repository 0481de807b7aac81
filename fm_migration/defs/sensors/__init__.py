"""Sensors: thin shells that read the state of the world, ask a pure function, and say in words what it decided.

State, not events: each compares what is with what was last recorded, so a tick that never came costs time and nothing
else. None uses a run key, because a failed run must be repeated, and a state may come back.
"""
