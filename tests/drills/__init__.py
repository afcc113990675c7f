"""Drills: something breaks, or is changed, while a job runs, and what came out is counted.

`python -m drills NAME …`, with `tests` on PYTHONPATH, prints one row for each. Real servers, real
workers, real signals, all on loopback.
"""
