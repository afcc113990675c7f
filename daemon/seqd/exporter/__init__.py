"""The exporter: what Prometheus, and through it an autoscaler, reads of a fleet.

`metrics` makes metrics of what the ledger has, `reading` reads it in time, `rights` says what the
user may not read, `server` answers.
"""
