"""What a sensor decides: whether there is a new export, whether there are new objects, and whether to wait.

Each decision is a pure function whose answer has its words. What it takes to look (a stretch of a listing, a few
messages of a queue) stands beside it, is bounded, and can be called without Dagster.
"""
