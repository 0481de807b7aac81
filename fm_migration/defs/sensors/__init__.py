"""Sensors: each reads a state, asks a pure function of `watching/` what to do, and gives its reason.

State, not events: each compares what is with what was last recorded, so a missed tick delays the work and loses
nothing. None uses a run key, because a failed run must be repeated, and a state may come back.
"""
