"""All that Dagster sees: assets, checks, sensors, schedules, jobs, resources. The only package that imports dagster.

What stands here is thin: read settings, call a function of the packages below, report what it returned. Whatever
could be called from a Python prompt without Dagster belongs there instead.
"""
