"""Metrics of one worker: its child counts in memory that its parent shares and serves.

`memory` is what the two share, `counting` is for the child, `exposition` makes metrics of it, and
`endpoint` serves them in the parent, which answers also while the child hangs in C code. Without
SEQD_WORKER_METRICS_PORT nothing is counted, and nothing depends on what is.
"""
