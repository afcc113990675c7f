"""Drills of the runbook: each page's fault in a running stack, and how soon its cause has a name.

`stack` is what runs, `operator` what a person asks, `fault` one drill, `of_redis`, `of_workers` and
`of_work` the faults, one for each page of `docker/RUNBOOK.md`. `make drills` prints the table.
"""
